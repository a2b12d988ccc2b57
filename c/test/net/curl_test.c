/* Our numbers of libcurl's interface, beside its own header where that is installed. */
#include "../support/db.h"
#include "net/curl.h"

#if __has_include(<curl/curl.h>)
#define CURL_DISABLE_DEPRECATION /* so: a newer libcurl has another name beside it */
#include <curl/curl.h>

static void numbers_are_those_of_the_header(void **state) {
    (void)state;
#define LSQI_CURL(name, number) assert_int_equal((long)(name), (long)(number));
#include "net/curl.def"
#undef LSQI_CURL
    assert_int_equal(sizeof(struct lsqi_curl_msg), sizeof(CURLMsg));
    assert_int_equal(offsetof(struct lsqi_curl_msg, easy), offsetof(CURLMsg, easy_handle));
    assert_int_equal(offsetof(struct lsqi_curl_msg, data), offsetof(CURLMsg, data));
    assert_int_equal(sizeof(curl_socket_t), sizeof(int));
    assert_int_equal(sizeof(curl_off_t), sizeof(int64_t));
}

#else

static void numbers_are_those_of_the_header(void **state) {
    (void)state;
    skip();
}

#endif

static void load_finds_libcurl_and_may_come_again(void **state) {
    struct lsq_error err;

    (void)state;
    assert_int_equal(lsqi_curl_load(&err), LSQ_OK);
    assert_int_equal(lsqi_curl_load(&err), LSQ_OK);
    assert_non_null(lsqi_curl()->multi_poll);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_header),
        cmocka_unit_test(load_finds_libcurl_and_may_come_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

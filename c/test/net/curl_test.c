/* Our numbers of libcurl's interface, beside its own header where that is installed. */
#include <stdio.h>
#include <stdlib.h>

#include "../support/db.h"
#include "net/curl.h"
#include "net/http.h"

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
    assert_non_null(lsqi_curl()->multi_socket_action);
}

/* Beside files of its names that are no libraries. */
static int without_libcurl(const char *argument) {
    struct lsqi_http_peer_config cfg = {.proxy = ""};
    struct lsqi_http_request request = {.url = "http://127.0.0.1:1/"};
    struct lsqi_http *http;
    struct lsq_error err;

    (void)argument;
    if (lsqi_http_peer_new(&request.peer, &cfg, &err) != LSQ_OK) return 1;
    if (lsqi_http_start(&http, &request, &err) != LSQ_UNSUPPORTED) return 2;
    if (strstr(err.message, "libcurl4") == NULL) return 3;
    if (lsqi_http_post(free, NULL, &err) != LSQ_UNSUPPORTED) return 4;
    lsqi_http_peer_unref(request.peer);
    return lsqi_http_shutdown() ? 5 : 0;
}

static void where_it_is_missing_the_package_is_named(void **state) {
    char folder[] = "/tmp/lsq-curl-XXXXXX";
    char command[256];
    struct child child;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof(command),
             "cd %s && echo no >libcurl.so.4 && echo no >libcurl-gnutls.so.4", folder);
    assert_int_equal(system(command), 0);
    setenv("LD_LIBRARY_PATH", folder, 1);
    child = child_begin("without_libcurl", "");
    unsetenv("LD_LIBRARY_PATH");
    assert_int_equal(child_end(&child), 0);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv) {
    static const struct child_role roles[] = {{"without_libcurl", without_libcurl}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_header),
        cmocka_unit_test(load_finds_libcurl_and_may_come_again),
        cmocka_unit_test(where_it_is_missing_the_package_is_named),
    };

    child_main(argc, argv, roles, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

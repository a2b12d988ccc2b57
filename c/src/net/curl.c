#include "net/curl.h"

#include <dlfcn.h>
#include <string.h>

#include "base/error.h"

/* Process-wide: libcurl's functions; set once, under the lock of lsqi_curl_load()'s caller. */
static struct {
    struct lsqi_curl f;
    bool loaded;
} curl;

static const struct {
    const char *name;
    size_t at;
} functions[] = {
#define FUNCTION(name)                                                                             \
    { "curl_" #name, offsetof(struct lsqi_curl, name) }
    FUNCTION(global_init),      FUNCTION(easy_init),           FUNCTION(easy_cleanup),
    FUNCTION(easy_setopt),      FUNCTION(easy_getinfo),        FUNCTION(easy_pause),
    FUNCTION(easy_strerror),    FUNCTION(slist_append),        FUNCTION(slist_free_all),
    FUNCTION(multi_init),       FUNCTION(multi_cleanup),       FUNCTION(multi_setopt),
    FUNCTION(multi_add_handle), FUNCTION(multi_remove_handle), FUNCTION(multi_info_read),
    FUNCTION(easy_send),        FUNCTION(easy_recv),           FUNCTION(multi_socket_action),
#undef FUNCTION
};

/* All functions, or none: an old libcurl has not all of them. */
static bool find_functions(struct lsqi_curl *f, void *library) {
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *function = dlsym(library, functions[i].name);

        if (function == NULL) return false;
        memcpy((char *)f + functions[i].at, &function, sizeof(function));
    }
    return true;
}

static int allow_request(void *arg, char *ip, char *local_ip, int port, int local_port) {
    (void)arg, (void)ip, (void)local_ip, (void)port, (void)local_port;
    return 0;
}

static enum lsq_status too_old(struct lsq_error *err) {
    return lsqi_error_set(err, LSQ_UNSUPPORTED, "remote databases need libcurl 7.80 or newer");
}

/* What tells whether a request was sent, and keeps libcurl from sending it twice, came with 7.80. */
static enum lsq_status check_version(const struct lsqi_curl *f, struct lsq_error *err) {
    void *easy = f->easy_init();
    int rc;

    if (easy == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for libcurl");
    rc = f->easy_setopt(easy, LSQI_CURLOPT_PREREQFUNCTION, allow_request);
    f->easy_cleanup(easy);
    return rc == 0 ? LSQ_OK : too_old(err);
}

/* OpenSSL frees its own at exit(), also where a thread is just using it. */
static void keep_openssl_at_exit(void *library) {
    enum { NO_ATEXIT = 0x80000 };
    void *function = dlsym(library, "OPENSSL_init_crypto");
    int (*init)(uint64_t options, const void *settings);

    if (function == NULL) return;
    memcpy(&init, &function, sizeof(init));
    (void)init(NO_ATEXIT, NULL);
}

enum lsq_status lsqi_curl_load(struct lsq_error *err) {
    void *library;
    struct lsqi_curl f;
    enum lsq_status st;

    if (curl.loaded) return LSQ_OK;
    library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return lsqi_error_set(err, LSQ_UNSUPPORTED,
                              "remote databases need libcurl, which is not installed "
                              "(Debian and Ubuntu: the package libcurl4)");
    /* It stays open even where it does not serve: its own threads may run. */
    if (!find_functions(&f, library)) return too_old(err);
    keep_openssl_at_exit(library);
    if (f.global_init(LSQI_CURL_GLOBAL_DEFAULT) != 0)
        return lsqi_error_set(err, LSQ_ERROR, "libcurl could not be initialized");
    st = check_version(&f, err);
    if (st != LSQ_OK) return st;
    curl.f = f;
    curl.loaded = true;
    return LSQ_OK;
}

const struct lsqi_curl *lsqi_curl(void) { return &curl.f; }

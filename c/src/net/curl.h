/* curl.h - libcurl's binary interface, as far as we use it, found with dlopen(): so building needs no header of
 * libcurl, and who opens only local files needs no libcurl.
 * Threads: lsqi_curl_load() under the caller's lock; the functions as libcurl says. */
#ifndef LSQI_NET_CURL_H
#define LSQI_NET_CURL_H

#include <stddef.h>
#include <stdint.h>

#include "lsq/lsq.h"

enum {
#define LSQI_CURL(name, number) LSQI_##name = (number),
#include "net/curl.def"
#undef LSQI_CURL
};

/* Its handles are opaque. */
struct lsqi_curl_list;

struct lsqi_curl_msg {
    int msg;
    void *easy;
    union {
        void *whatever;
        int result;
    } data;
};

/* Named as libcurl's functions, without "curl_". */
struct lsqi_curl {
    int (*global_init)(long flags);
    void *(*easy_init)(void);
    void (*easy_cleanup)(void *easy);
    int (*easy_setopt)(void *easy, int option, ...);
    int (*easy_getinfo)(void *easy, int info, ...);
    int (*easy_pause)(void *easy, int mask);
    int (*easy_send)(void *easy, const void *data, size_t len, size_t *sent);
    int (*easy_recv)(void *easy, void *data, size_t len, size_t *received);
    const char *(*easy_strerror)(int code);
    struct lsqi_curl_list *(*slist_append)(struct lsqi_curl_list *list, const char *text);
    void (*slist_free_all)(struct lsqi_curl_list *list);
    void *(*multi_init)(void);
    int (*multi_cleanup)(void *multi);
    int (*multi_setopt)(void *multi, int option, ...);
    int (*multi_add_handle)(void *multi, void *easy);
    int (*multi_remove_handle)(void *multi, void *easy);
    int (*multi_socket_action)(void *multi, int fd, int events, int *running);
    struct lsqi_curl_msg *(*multi_info_read)(void *multi, int *left);
};

/* Opens libcurl and prepares it, once for the process; it is never closed again.
 * Errors: LSQ_UNSUPPORTED (the message says which package to install), LSQ_ERROR. */
enum lsq_status lsqi_curl_load(struct lsq_error *err);

/* The functions; valid once lsqi_curl_load() has succeeded. */
const struct lsqi_curl *lsqi_curl(void);

#endif

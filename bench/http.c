/* http.c - what an exchange costs over libcurl's own: the same POST, one after the other.
 *
 *     http URL BODY COUNT
 *
 * Seven rounds of COUNT by turns; prints the median of their medians in microseconds: ours, libcurl's
 * (curl_easy_perform() on one handle), and what lies between. */
#include <dlfcn.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/curl.h"
#include "net/http.h"

enum { ROUNDS = 7 };

static sem_t ended;

static void check(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t median(int64_t *times, int count) {
    qsort(times, (size_t)count, sizeof(*times), compare);
    return times[count / 2];
}

/* ---- Ours ---- */

static size_t on_body(void *arg, const char *data, size_t len) {
    (void)arg, (void)data;
    return len;
}

static void on_done(void *arg, const struct lsqi_http_end *end) {
    (void)arg;
    check(end->kind == LSQI_HTTP_DONE && end->status == 200, end->message);
    sem_post(&ended);
}

static int64_t one_of_ours(const struct lsqi_http_request *request) {
    int64_t begin = lsqi_now_ns();
    struct lsqi_http *http;

    check(lsqi_http_start(&http, request, NULL) == LSQ_OK, "no exchange");
    while (sem_wait(&ended) != 0) continue;
    return lsqi_now_ns() - begin;
}

/* ---- libcurl's ---- */

static int (*perform)(void *easy);

static size_t on_curl_body(char *data, size_t size, size_t n, void *arg) {
    (void)data, (void)arg;
    return size * n;
}

static void *easy_handle(const struct lsqi_http_request *request) {
    const struct lsqi_curl *curl = lsqi_curl();
    void *library = dlopen("libcurl.so.4", RTLD_NOW);
    void *function = library != NULL ? dlsym(library, "curl_easy_perform") : NULL;
    void *easy = curl->easy_init();

    check(function != NULL && easy != NULL, "no libcurl");
    memcpy(&perform, &function, sizeof(perform));
    curl->easy_setopt(easy, LSQI_CURLOPT_URL, request->url);
    curl->easy_setopt(easy, LSQI_CURLOPT_POSTFIELDS, request->body);
    curl->easy_setopt(easy, LSQI_CURLOPT_WRITEFUNCTION, on_curl_body);
    curl->easy_setopt(easy, LSQI_CURLOPT_PROXY, "");
    return easy;
}

static int64_t one_of_libcurl(void *easy) {
    int64_t begin = lsqi_now_ns();

    check(perform(easy) == 0, "libcurl failed");
    return lsqi_now_ns() - begin;
}

int main(int argc, char **argv) {
    static const struct lsqi_http_events events = {.body = on_body, .done = on_done};
    struct lsqi_http_request request = {.events = &events, .total_ms = 15000};
    int count = argc == 4 ? atoi(argv[3]) : 0;
    int64_t ours[ROUNDS];
    int64_t theirs[ROUNDS];
    int64_t *times;
    void *easy;

    check(count > 0, "usage: http URL BODY COUNT");
    request.url = argv[1];
    request.body = argv[2];
    request.body_len = strlen(argv[2]);
    check(lsqi_http_peer_new(&request.peer, &(struct lsqi_http_peer_config){.proxy = ""}, NULL) ==
              LSQ_OK,
          "no memory");
    times = calloc((size_t)count, sizeof(*times));
    check(times != NULL && sem_init(&ended, 0, 0) == 0, "no memory");
    one_of_ours(&request);
    easy = easy_handle(&request);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < count; i++) times[i] = one_of_ours(&request);
        ours[round] = median(times, count);
        for (int i = 0; i < count; i++) times[i] = one_of_libcurl(easy);
        theirs[round] = median(times, count);
    }
    printf("ours %.1f us, libcurl %.1f us, more %.1f us\n", (double)median(ours, ROUNDS) / 1e3,
           (double)median(theirs, ROUNDS) / 1e3,
           (double)(median(ours, ROUNDS) - median(theirs, ROUNDS)) / 1e3);
    free(times);
    lsqi_curl()->easy_cleanup(easy);
    lsqi_http_peer_unref(request.peer);
    lsq_shutdown();
    return 0;
}

#include "net/exchange.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/curl.h"
#include "net/peer.h"

enum {
    CONNECT_MS = 10000,
    /* libcurl's own deadline does not know that an exchange may wait for its turn on a host: ours does. */
    FAR_MS = 24 * 3600 * 1000,
    /* Reading the authorities takes tens of ms, in which the loop stands still; but they may change. */
    AUTHORITIES_S = 600,
    PROBE_IDLE_S = 30,
    PROBE_INTERVAL_S = 10,
    /* A connection ends when the other side has not confirmed what was sent for so long. A deadline ends but its
     * own exchange: without this, all that share a connection of HTTP/2 to a dead host would go into it. */
    UNCONFIRMED_MS = 10000
};

static int64_t ms_to_ns(int64_t ms) { return ms * 1000000; }

static int64_t sooner(int64_t a, int64_t b) { return a < b ? a : b; }

static long info_long(const struct lsqi_http *http, int what) {
    long value = 0;

    (void)lsqi_curl()->easy_getinfo(http->easy, what, &value);
    return value;
}

static int64_t info_time(const struct lsqi_http *http, int what) {
    int64_t value = 0;

    (void)lsqi_curl()->easy_getinfo(http->easy, what, &value);
    return value;
}

/* ---- What libcurl calls ---- */

static void begin_connecting(struct lsqi_http *http) {
    if (http->connect_due != INT64_MAX || http->requested) return;
    http->connect_due = lsqi_now_ns() + http->connect_ns;
    lsqi_http_look_at(http->connect_due);
}

/* Before a name is looked up. */
static int on_resolve(void *resolver, void *reserved, void *arg) {
    (void)resolver, (void)reserved;
    begin_connecting(arg);
    return 0;
}

/* Whether a byte of the request was given to a connection. */
static bool wrote_request(const struct lsqi_http *http) {
    return info_long(http, LSQI_CURLINFO_REQUEST_SIZE) > http->sent_before;
}

void lsqi_exchange_set_socket(int fd, int64_t connect_ms) {
    /* It counts while connecting, too. */
    unsigned unconfirmed = (unsigned)(connect_ms > UNCONFIRMED_MS ? connect_ms : UNCONFIRMED_MS);

    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unconfirmed, sizeof(unconfirmed));
}

/* Before a socket connects. */
static int on_socket(void *arg, int fd, int purpose) {
    struct lsqi_http *http = arg;

    (void)purpose;
    http->fd = fd;
    lsqi_exchange_set_socket(fd, http->connect_ns / 1000000);
    begin_connecting(http);
    if (!http->requested || !wrote_request(http)) return 0;
    http->refused_twice = true;
    return LSQI_CURL_SOCKOPT_ERROR;
}

static void await_first_byte(struct lsqi_http *http) {
    if (http->first_byte_ns == 0 || http->first_byte_due != INT64_MAX || http->answered) return;
    http->first_byte_due = lsqi_now_ns() + http->first_byte_ns;
    lsqi_http_look_at(http->first_byte_due);
}

/* Before the request is sent on a connection. Where one that was used before breaks without a byte of the answer,
 * libcurl sends the request again on another one; but the server may have acted on the first. */
static int on_request(void *arg, char *ip, char *local_ip, int port, int local_port) {
    struct lsqi_http *http = arg;

    (void)ip, (void)local_ip, (void)port, (void)local_port;
    if (http->requested && wrote_request(http)) {
        http->refused_twice = true;
        return LSQI_CURL_PREREQFUNC_ABORT;
    }
    http->requested = true;
    http->connect_due = INT64_MAX;
    http->sent_before = info_long(http, LSQI_CURLINFO_REQUEST_SIZE);
    if (http->body_len == 0) await_first_byte(http);
    return 0;
}

static int on_progress(void *arg, int64_t total, int64_t received, int64_t to_send, int64_t sent) {
    struct lsqi_http *http = arg;

    (void)total, (void)received, (void)to_send;
    if (http->requested && sent >= (int64_t)http->body_len) await_first_byte(http);
    return 0;
}

static void keep_value(char *field, size_t size, const char *line, size_t len, const char *name) {
    size_t n = strlen(name);

    if (len <= n || strncasecmp(line, name, n) != 0) return;
    line += n, len -= n;
    while (len > 0 && (*line == ' ' || *line == '\t')) line++, len--;
    while (len > 0 && (unsigned char)line[len - 1] <= ' ') len--;
    lsqi_error_copy(field, size, line, len);
}

static void tell_head(struct lsqi_http *http) {
    struct lsqi_http_head head = {.status = (int)info_long(http, LSQI_CURLINFO_RESPONSE_CODE),
                                  .content_type = http->content_type,
                                  .retry_after = http->retry_after,
                                  .grpc_status = http->grpc_status,
                                  .grpc_message = http->grpc_message,
                                  .location = http->location,
                                  .content_encoding = http->content_encoding,
                                  .etag = http->etag,
                                  .accept_ranges = http->accept_ranges,
                                  .content_range = http->content_range};

    if (http->headed || head.status < 200) return;
    http->headed = true;
    if (http->events->head != NULL) http->events->head(http->arg, &head);
}

/* A line of a head: also of those before the final one, and of what follows the body. */
static size_t on_header(char *line, size_t size, size_t n, void *arg) {
    struct lsqi_http *http = arg;
    size_t len = size * n;

    http->answered = true;
    http->first_byte_due = INT64_MAX;
    if (http->headed) return len;
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        http->content_type[0] = '\0';
        http->retry_after[0] = '\0';
        http->grpc_status[0] = '\0';
        http->grpc_message[0] = '\0';
        http->location[0] = '\0';
        http->content_encoding[0] = '\0';
        http->etag[0] = '\0';
        http->accept_ranges[0] = '\0';
        http->content_range[0] = '\0';
    } else if (line[0] == '\r' || line[0] == '\n') {
        tell_head(http);
    } else {
        keep_value(http->content_type, sizeof(http->content_type), line, len, "content-type:");
        keep_value(http->retry_after, sizeof(http->retry_after), line, len, "retry-after:");
        keep_value(http->grpc_status, sizeof(http->grpc_status), line, len, "grpc-status:");
        keep_value(http->grpc_message, sizeof(http->grpc_message), line, len, "grpc-message:");
        keep_value(http->location, sizeof(http->location), line, len, "location:");
        keep_value(http->content_encoding, sizeof(http->content_encoding), line, len,
                   "content-encoding:");
        keep_value(http->etag, sizeof(http->etag), line, len, "etag:");
        keep_value(http->accept_ranges, sizeof(http->accept_ranges), line, len, "accept-ranges:");
        keep_value(http->content_range, sizeof(http->content_range), line, len, "content-range:");
    }
    return len;
}

/* A paused transfer gives the same bytes again when it goes on, maybe cut in other pieces: `skip` of them are
 * behind us. */
static size_t on_body(char *data, size_t size, size_t n, void *arg) {
    struct lsqi_http *http = arg;
    size_t given = size * n;
    size_t len;
    size_t took;

    if (http->over) return given;
    if (http->paused) return LSQI_CURL_WRITEFUNC_PAUSE;
    if (given <= http->skip) {
        http->skip -= given;
        return given;
    }
    len = given - http->skip;
    if (http->max_response != 0 && len > http->max_response - http->taken) {
        /* What may be told is: it may say where the server's stream is. */
        len = http->max_response - http->taken;
        if (len > 0) (void)http->events->body(http->arg, data + http->skip, len);
        http->taken += len;
        http->too_big = true;
        return given == 0 ? 1 : 0;
    }
    took = http->events->body(http->arg, data + http->skip, len);
    if (took == LSQI_HTTP_STOP) {
        http->stopped = true;
        return given == 0 ? 1 : 0;
    }
    if (took > len) took = len;
    http->taken += took;
    if (took == len) {
        http->skip = 0;
        return given;
    }
    http->skip += took;
    http->paused = true;
    return LSQI_CURL_WRITEFUNC_PAUSE;
}

/* ---- The request ---- */

static bool add_header(struct lsqi_http *http, const char *header) {
    struct lsqi_curl_list *list = lsqi_curl()->slist_append(http->headers, header);

    if (list != NULL) http->headers = list;
    return list != NULL;
}

/* An empty "Expect:" keeps libcurl from asking first whether it may send a large body. */
static bool set_headers(struct lsqi_http *http, const char *const *headers) {
    if (!add_header(http, "Expect:")) return false;
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i++)
        if (!add_header(http, headers[i])) return false;
    return lsqi_curl()->easy_setopt(http->easy, LSQI_CURLOPT_HTTPHEADER, http->headers) == 0;
}

static bool set_body(struct lsqi_http *http, const void *body) {
    const struct lsqi_curl *curl = lsqi_curl();

    if (body == NULL) return true;
    return curl->easy_setopt(http->easy, LSQI_CURLOPT_POST, 1L) == 0 &&
           curl->easy_setopt(http->easy, LSQI_CURLOPT_POSTFIELDSIZE_LARGE,
                             (int64_t)http->body_len) == 0 &&
           curl->easy_setopt(http->easy, LSQI_CURLOPT_POSTFIELDS, body) == 0;
}

static void set_callbacks(void *easy) {
    const struct lsqi_curl *curl = lsqi_curl();

    (void)curl->easy_setopt(easy, LSQI_CURLOPT_WRITEFUNCTION, on_body);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_HEADERFUNCTION, on_header);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_PREREQFUNCTION, on_request);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_SOCKOPTFUNCTION, on_socket);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_XFERINFOFUNCTION, on_progress);
}

/* Whom they call. */
static void set_receiver(struct lsqi_http *http) {
    const struct lsqi_curl *curl = lsqi_curl();
    bool watches_progress = http->first_byte_ns != 0 && http->body_len != 0;
    void *easy = http->easy;

    (void)curl->easy_setopt(easy, LSQI_CURLOPT_PRIVATE, http);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_ERRORBUFFER, http->error);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_WRITEDATA, http);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_HEADERDATA, http);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_PREREQDATA, http);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_SOCKOPTDATA, http);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_RESOLVER_START_DATA, http);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_XFERINFODATA, http);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_NOPROGRESS, watches_progress ? 0L : 1L);
}

void lsqi_exchange_set_transport(void *easy) {
    const struct lsqi_curl *curl = lsqi_curl();

    (void)curl->easy_setopt(easy, LSQI_CURLOPT_NOSIGNAL, 1L);
    /* Else the loop waits at an exchange's end for a name server that is silent. From 7.87. */
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_QUICK_EXIT, 1L);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_PROTOCOLS,
                            (long)(LSQI_CURLPROTO_HTTP | LSQI_CURLPROTO_HTTPS));
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_CONNECTTIMEOUT_MS, (long)FAR_MS);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_TCP_NODELAY, 1L);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_TCP_KEEPIDLE, (long)PROBE_IDLE_S);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_TCP_KEEPINTVL, (long)PROBE_INTERVAL_S);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_MAXAGE_CONN, (long)LSQI_HTTP_IDLE_S);
    (void)curl->easy_setopt(easy, LSQI_CURLOPT_CA_CACHE_TIMEOUT, (long)AUTHORITIES_S);
}

static void *make_handle(const struct lsqi_http_peer *peer) {
    void *easy = lsqi_curl()->easy_init();

    if (easy == NULL) return NULL;
    set_callbacks(easy);
    lsqi_exchange_set_transport(easy);
    if (lsqi_http_peer_apply(peer, easy)) return easy;
    lsqi_curl()->easy_cleanup(easy);
    return NULL;
}

static bool set_up(struct lsqi_http *http, const struct lsqi_http_request *request) {
    const struct lsqi_curl *curl = lsqi_curl();

    set_receiver(http);
    /* HTTP/2 where TLS agrees on it: then a connection serves many. But nobody waits for one that is not there yet
     * (CURLOPT_PIPEWAIT): a handshake that hangs would hold them all. Not for a stream: of one that is paused,
     * libcurl takes up to 32 MB in HTTP/2. */
    (void)curl->easy_setopt(http->easy, LSQI_CURLOPT_HTTP_VERSION,
                            (long)(request->max_response != 0 ? LSQI_CURL_HTTP_VERSION_2TLS
                                                              : LSQI_CURL_HTTP_VERSION_1_1));
    /* All that libcurl knows would have brotli in it, for which sqld takes some hundred times as long as for its
     * answer. */
    return curl->easy_setopt(http->easy, LSQI_CURLOPT_URL, request->url) == 0 &&
           curl->easy_setopt(http->easy, LSQI_CURLOPT_ACCEPT_ENCODING,
                             request->compressed ? "gzip, deflate" : "identity") == 0 &&
           set_headers(http, request->headers) && set_body(http, request->body);
}

static void set_limits(struct lsqi_http *http, const struct lsqi_http_request *request) {
    int connect_ms = request->connect_ms > 0 ? request->connect_ms : CONNECT_MS;

    http->started = lsqi_now_ns();
    http->is_post = request->body != NULL;
    http->body_len = request->body != NULL ? request->body_len : 0;
    http->max_response = request->max_response;
    http->connect_ns = ms_to_ns(connect_ms);
    http->first_byte_ns = request->first_byte_ms > 0 ? ms_to_ns(request->first_byte_ms) : 0;
    http->begin_at = http->started + (request->delay_ms > 0 ? ms_to_ns(request->delay_ms) : 0);
    http->total_due =
        request->total_ms > 0 ? http->started + ms_to_ns(request->total_ms) : INT64_MAX;
    http->connect_due = INT64_MAX;
    http->first_byte_due = INT64_MAX;
}

/* A line break in a token would begin a header, or a request, of somebody else's making. */
static bool is_one_line(const char *text) { return strpbrk(text, "\r\n") == NULL; }

static enum lsq_status check_request(const struct lsqi_http_request *request,
                                     struct lsq_error *err) {
    if (strncmp(request->url, "http://", 7) != 0 && strncmp(request->url, "https://", 8) != 0)
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                              "the server's URL begins with neither http:// nor https://");
    if (!is_one_line(request->url))
        return lsqi_error_set(err, LSQ_BAD_ARGUMENT, "the server's URL has a line break");
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++)
        if (!is_one_line(request->headers[i]))
            return lsqi_error_set(err, LSQ_BAD_ARGUMENT,
                                  "a header (a token, maybe) has a line break");
    return LSQ_OK;
}

enum lsq_status lsqi_exchange_new(struct lsqi_http **out, const struct lsqi_http_request *request,
                                  struct lsq_error *err) {
    enum lsq_status st = check_request(request, err);
    struct lsqi_http *http;

    if (st != LSQ_OK) return st;
    http = lsqi_calloc(1, sizeof(*http));
    if (http == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
    http->events = request->events;
    http->arg = request->arg;
    http->tls = request->url[4] == 's';
    http->fd = -1;
    set_limits(http, request);
    http->group = request->group;
    http->peer = request->peer;
    lsqi_http_peer_ref(http->peer);
    if (request->body != NULL) http->easy = lsqi_http_peer_take_handle(http->peer);
    if (http->easy == NULL) http->easy = make_handle(http->peer);
    if (http->easy == NULL || !set_up(http, request)) {
        lsqi_exchange_free(http);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a request");
    }
    *out = http;
    return LSQ_OK;
}

/* Nothing of this exchange is left in it. */
static void give_back(struct lsqi_http *http) {
    const struct lsqi_curl *curl = lsqi_curl();

    (void)curl->easy_setopt(http->easy, LSQI_CURLOPT_HTTPHEADER, (struct lsqi_curl_list *)NULL);
    (void)curl->easy_setopt(http->easy, LSQI_CURLOPT_POSTFIELDS, (char *)NULL);
    (void)curl->easy_setopt(http->easy, LSQI_CURLOPT_ERRORBUFFER, (char *)NULL);
    lsqi_http_peer_give_handle(http->peer, http->easy);
}

void lsqi_exchange_free(struct lsqi_http *http) {
    if (http->whole && http->is_post)
        give_back(http);
    else if (http->easy != NULL)
        lsqi_curl()->easy_cleanup(http->easy);
    lsqi_http_peer_unref(http->peer);
    lsqi_curl()->slist_free_all(http->headers);
    lsqi_free(http);
}

/* ---- Deadlines ---- */

int64_t lsqi_exchange_due(const struct lsqi_http *http) {
    if (!http->running && (http->waiting || http->counted)) return http->total_due;
    if (!http->running) return sooner(http->begin_at, http->total_due);
    if (http->paused) return INT64_MAX;
    return sooner(http->total_due, sooner(http->connect_due, http->first_byte_due));
}

/* Asked of the socket: libcurl's time of connecting is that of the whole, TLS too. Where the socket is gone, the
 * answer is wrong, and so is a word of the message. */
static bool has_connected(const struct lsqi_http *http) {
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    return http->fd >= 0 && getpeername(http->fd, (struct sockaddr *)&address, &len) == 0;
}

static const char *phase_of(const struct lsqi_http *http) {
    if (http->waiting) return "queue";
    if (http->answered || info_time(http, LSQI_CURLINFO_STARTTRANSFER_TIME_T) > 0) return "answer";
    if (http->requested) return "first byte";
    return http->tls && has_connected(http) ? "tls" : "connect";
}

const char *lsqi_exchange_overdue(struct lsqi_http *http, int64_t now) {
    if (http->paused) return NULL;
    if (http->total_due <= now) return phase_of(http);
    if (!http->running) return NULL;
    if (http->connect_due <= now) return phase_of(http);
    if (http->first_byte_due > now) return NULL;
    /* Less than a line of the answer is there: it has begun. */
    if (strcmp(phase_of(http), "answer") != 0) return "first byte";
    http->answered = true;
    http->first_byte_due = INT64_MAX;
    return NULL;
}

int lsqi_exchange_resume(struct lsqi_http *http, int total_ms) {
    if (!http->paused) return 0;
    http->paused = false;
    http->total_due = total_ms > 0 ? lsqi_now_ns() + ms_to_ns(total_ms) : INT64_MAX;
    lsqi_http_look_at(http->total_due);
    return lsqi_curl()->easy_pause(http->easy, LSQI_CURLPAUSE_CONT);
}

void lsqi_exchange_let_go(struct lsqi_http *http) {
    if (!http->paused) return;
    http->over = true;
    (void)lsqi_curl()->easy_pause(http->easy, LSQI_CURLPAUSE_CONT);
}

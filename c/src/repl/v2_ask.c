#include "repl/v2_ask.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "remote/failure.h"
#include "repl/protocol.h"

enum { MOST_URL = 2048 };

/* ---- Answers ---- */

static bool on_head(struct lsqi_decoder *decoder, const struct lsqi_http_head *head) {
    (void)decoder;
    return head->status == 200;
}

static enum lsq_status on_bytes(struct lsqi_decoder *decoder, const char *data, size_t len,
                                struct lsq_error *err) {
    struct lsqi_v2_text *text = (struct lsqi_v2_text *)(void *)decoder;

    if (len > text->most - text->text.len)
        return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED,
                              "the server's answer is longer than what was asked for");
    lsqi_buf_add(&text->text, data, len);
    return text->text.failed ? lsqi_error_set(err, LSQ_NOMEM, "out of memory for an answer")
                             : LSQ_OK;
}

struct lsqi_v2_text lsqi_v2_text(size_t most) {
    return (struct lsqi_v2_text){.decoder = {.head = on_head, .feed = on_bytes}, .most = most};
}

void lsqi_v2_text_release(struct lsqi_v2_text *text) { lsqi_buf_release(&text->text); }

/* ---- Requests ---- */

static bool is_redirect(const struct lsqi_transfer_end *end) {
    return end->whole && end->status >= 301 && end->status <= 308 && end->status != 304;
}

/* Where a redirect leads. The server has our token already, so that it may say who else is to have it; but not in the
 * clear. False: nowhere that we go. */
static bool lead_to(char *url, const char *base, const char *location) {
    size_t host = strcspn(strstr(base, "://") + 3, "/") + (size_t)(strstr(base, "://") + 3 - base);
    bool tls = strncmp(base, "https://", 8) == 0;
    int n;

    if (location[0] == '/' && location[1] != '/')
        n = snprintf(url, MOST_URL, "%.*s%s", (int)host, base, location);
    else if (strncasecmp(location, "https://", 8) == 0 ||
             (!tls && strncasecmp(location, "http://", 7) == 0))
        n = snprintf(url, MOST_URL, "%s", location);
    else
        return false;
    return n > 0 && n < MOST_URL &&
           strlen(location) + 1 < sizeof(((struct lsqi_transfer_end *)0)->location);
}

static enum lsq_status ask_at(struct lsqi_replica *r, const struct lsqi_v2_request *request,
                              const char *elsewhere, struct lsqi_decoder *decoder,
                              struct lsqi_transfer_end *end, struct lsq_error *err) {
    struct lsqi_server_address address = {.url = NULL};
    struct lsqi_transfer_call call = lsqi_protocol_call(r, &address, decoder);
    char range[64] = "";
    enum lsq_status st;

    *end = (struct lsqi_transfer_end){.whole = false};
    if (request->from > 0)
        (void)snprintf(range, sizeof(range), "bytes=%" PRIu64 "-", request->from);
    st = lsqi_server_path_address(&r->server, request->path, elsewhere, range, &address, err);
    if (st != LSQ_OK) return st;
    call.pause = lsqi_follow_pause;
    call.body = request->body;
    st = lsqi_transfer_run(&call, end, err);
    lsqi_protocol_note(r, end, st);
    lsqi_server_address_release(&address);
    return st;
}

enum lsq_status lsqi_v2_ask(struct lsqi_replica *r, const struct lsqi_v2_request *request,
                            struct lsqi_decoder *decoder, struct lsqi_transfer_end *end,
                            struct lsq_error *err) {
    char url[MOST_URL];
    enum lsq_status st = ask_at(r, request, NULL, decoder, end, err);

    if (st != LSQ_OK || !is_redirect(end) ||
        !lead_to(url, lsqi_place_base(r->server.targets[0].place), end->location))
        return st;
    lsqi_transfer_end_release(end);
    return ask_at(r, request, url, decoder, end, err);
}

enum lsq_status lsqi_v2_refused(const struct lsqi_transfer_end *end, struct lsq_error *err) {
    return lsqi_remote_refusal(err, end->status, end->refusal.data, end->refusal.len, false);
}

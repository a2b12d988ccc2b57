/* What the end of an exchange means to who asked for it. */
#include <string.h>

#include "base/clock.h"
#include "net/curl.h"
#include "net/exchange.h"

/* Nothing of it went out where sending failed with its first byte. */
static bool was_sent(const struct lsqi_http *http, int code) {
    long size = 0;

    if (!http->requested) return false;
    if (code != LSQI_CURLE_SEND_ERROR) return true;
    (void)lsqi_curl()->easy_getinfo(http->easy, LSQI_CURLINFO_REQUEST_SIZE, &size);
    return size > http->sent_before;
}

static void fill(const struct lsqi_http *http, int code, struct lsqi_http_end *end) {
    long status = 0;

    if (http->answered)
        (void)lsqi_curl()->easy_getinfo(http->easy, LSQI_CURLINFO_RESPONSE_CODE, &status);
    *end = (struct lsqi_http_end){.status = http->headed ? (int)status : 0,
                                  .sent = was_sent(http, code),
                                  .message = "",
                                  .took_ns = lsqi_now_ns() - http->started};
}

/* libcurl's own words, of those results whose words hold names of hosts at most. */
const char *lsqi_exchange_words(const char *error, int code) {
    switch (code) {
    case LSQI_CURLE_COULDNT_RESOLVE_PROXY:
    case LSQI_CURLE_COULDNT_RESOLVE_HOST:
    case LSQI_CURLE_COULDNT_CONNECT:
    case LSQI_CURLE_HTTP2:
    case LSQI_CURLE_PARTIAL_FILE:
    case LSQI_CURLE_SSL_CONNECT_ERROR:
    case LSQI_CURLE_GOT_NOTHING:
    case LSQI_CURLE_SEND_ERROR:
    case LSQI_CURLE_RECV_ERROR:
    case LSQI_CURLE_SSL_CERTPROBLEM:
    case LSQI_CURLE_PEER_FAILED_VERIFICATION:
    case LSQI_CURLE_SSL_CACERT_BADFILE:
    case LSQI_CURLE_HTTP2_STREAM:
        /* A proxy's URL may have a password. */
        if (strstr(error, "://") == NULL && strchr(error, '@') == NULL && error[0] != '\0')
            return error;
        break;
    default: break;
    }
    return lsqi_curl()->easy_strerror(code);
}

/* A connection that breaks within the handshake says nothing about who the server is. */
static bool broke_in_handshake(const char *error) {
    /* OpenSSL's words, then GnuTLS's. */
    static const char *const words_of_it[] = {"SSL_ERROR_SYSCALL", "reset by peer",
                                              "unexpected eof",    "non-properly terminated",
                                              "pull function",     "push function"};

    for (size_t i = 0; i < sizeof(words_of_it) / sizeof(words_of_it[0]); i++)
        if (strstr(error, words_of_it[i]) != NULL) return true;
    return false;
}

enum lsqi_http_end_kind lsqi_exchange_connect_kind(const char *error, int code) {
    switch (code) {
    case LSQI_CURLE_COULDNT_RESOLVE_PROXY:
    case LSQI_CURLE_COULDNT_RESOLVE_HOST:
    case LSQI_CURLE_COULDNT_CONNECT:
    case LSQI_CURLE_PROXY:
    case LSQI_CURLE_HTTP2:
    case LSQI_CURLE_GOT_NOTHING:
    case LSQI_CURLE_SEND_ERROR:
    case LSQI_CURLE_RECV_ERROR: return LSQI_HTTP_UNREACHABLE;
    case LSQI_CURLE_SSL_CONNECT_ERROR:
        return broke_in_handshake(error) ? LSQI_HTTP_UNREACHABLE : LSQI_HTTP_TLS;
    case LSQI_CURLE_SSL_ENGINE_NOTFOUND:
    case LSQI_CURLE_SSL_CERTPROBLEM:
    case LSQI_CURLE_SSL_CIPHER:
    case LSQI_CURLE_PEER_FAILED_VERIFICATION:
    case LSQI_CURLE_SSL_CACERT_BADFILE:
    case LSQI_CURLE_SSL_ISSUER_ERROR:
    case LSQI_CURLE_SSL_CLIENTCERT: return LSQI_HTTP_TLS;
    case LSQI_CURLE_OPERATION_TIMEDOUT: return LSQI_HTTP_TIMEOUT;
    default: return LSQI_HTTP_FAILED;
    }
}

/* With TLS 1.3 a server refuses a client's certificate only after the handshake: by an alert. */
static enum lsqi_http_end_kind kind_after_request(const struct lsqi_http *http, int code) {
    if (code == LSQI_CURLE_OUT_OF_MEMORY) return LSQI_HTTP_FAILED;
    if (http->tls && !http->answered && strstr(http->error, " alert ") != NULL)
        return LSQI_HTTP_TLS;
    return LSQI_HTTP_BROKEN;
}

void lsqi_exchange_result(struct lsqi_http *http, int code, struct lsqi_http_end *end) {
    fill(http, code, end);
    if (http->stopped) {
        lsqi_exchange_cancelled(http, end);
    } else if (http->too_big) {
        end->kind = LSQI_HTTP_TOO_BIG;
        end->message = "the server's answer is longer than allowed";
    } else if (http->refused_twice) {
        end->kind = LSQI_HTTP_BROKEN;
        end->message = "the server closed the connection before it answered";
    } else if (code == 0 && http->headed) {
        end->kind = LSQI_HTTP_DONE;
        http->whole = true;
    } else if (code == 0) {
        /* libcurl is content with an end in the middle of the head. */
        end->kind = LSQI_HTTP_BROKEN;
        end->message = "the connection ended within the head of the answer";
    } else if (code == LSQI_CURLE_UNSUPPORTED_PROTOCOL && http->requested) {
        end->kind = LSQI_HTTP_BROKEN;
        end->message = "what the server answered is no HTTP";
    } else {
        end->kind = http->requested ? kind_after_request(http, code)
                                    : lsqi_exchange_connect_kind(http->error, code);
        end->message = lsqi_exchange_words(http->error, code);
        if (end->kind == LSQI_HTTP_TIMEOUT) end->phase = "connect";
    }
}

void lsqi_exchange_timed_out(struct lsqi_http *http, const char *phase, struct lsqi_http_end *end) {
    fill(http, 0, end);
    end->kind = LSQI_HTTP_TIMEOUT;
    end->phase = phase;
    if (strcmp(phase, "queue") == 0)
        end->message = "too many requests to the server were under way for too long";
    else if (strcmp(phase, "connect") == 0)
        end->message = "no connection to the server could be made in time";
    else if (strcmp(phase, "tls") == 0)
        end->message = "the server did not finish the TLS handshake in time";
    else if (strcmp(phase, "first byte") == 0)
        end->message = "the server did not begin to answer in time";
    else
        end->message = "the server's answer was not whole in time";
}

void lsqi_exchange_cancelled(struct lsqi_http *http, struct lsqi_http_end *end) {
    fill(http, 0, end);
    end->kind = LSQI_HTTP_CANCELLED;
    end->message = "the request was cancelled";
}

#include "net/peer.h"

#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "net/curl.h"

static bool copy_text(const char **to, const char *text) {
    if (text == NULL) return true;
    *to = lsqi_strndup(text, strlen(text));
    return *to != NULL;
}

void *lsqi_http_peer_take_handle(struct lsqi_http_peer *peer) {
    return atomic_exchange(&peer->spare, NULL);
}

void lsqi_http_peer_give_handle(struct lsqi_http_peer *peer, void *easy) {
    void *old = atomic_exchange(&peer->spare, easy);

    if (old != NULL) lsqi_curl()->easy_cleanup(old);
}

static void free_peer(struct lsqi_http_peer *peer) {
    lsqi_free((void *)peer->cfg.ca_file);
    lsqi_free((void *)peer->cfg.client_cert);
    lsqi_free((void *)peer->cfg.client_key);
    lsqi_free((void *)peer->cfg.proxy);
    lsqi_http_peer_give_handle(peer, NULL);
    lsqi_free(peer);
}

enum lsq_status lsqi_http_peer_new(struct lsqi_http_peer **out,
                                   const struct lsqi_http_peer_config *cfg, struct lsq_error *err) {
    struct lsqi_http_peer *peer = lsqi_calloc(1, sizeof(*peer));

    if (peer == NULL) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a server");
    atomic_init(&peer->refs, 1);
    peer->cfg.no_verify = cfg->no_verify;
    if (!copy_text(&peer->cfg.ca_file, cfg->ca_file) ||
        !copy_text(&peer->cfg.client_cert, cfg->client_cert) ||
        !copy_text(&peer->cfg.client_key, cfg->client_key) ||
        !copy_text(&peer->cfg.proxy, cfg->proxy)) {
        free_peer(peer);
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a server");
    }
    *out = peer;
    return LSQ_OK;
}

void lsqi_http_peer_ref(struct lsqi_http_peer *peer) { atomic_fetch_add(&peer->refs, 1); }

void lsqi_http_peer_unref(struct lsqi_http_peer *peer) {
    if (peer != NULL && atomic_fetch_sub(&peer->refs, 1) == 1) free_peer(peer);
}

static bool same(const char *a, const char *b) {
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool lsqi_http_peer_equal(const struct lsqi_http_peer *a, const struct lsqi_http_peer *b) {
    return a->cfg.no_verify == b->cfg.no_verify && same(a->cfg.ca_file, b->cfg.ca_file) &&
           same(a->cfg.client_cert, b->cfg.client_cert) &&
           same(a->cfg.client_key, b->cfg.client_key) && same(a->cfg.proxy, b->cfg.proxy);
}

static bool set_text(void *easy, int option, const char *text) {
    return text == NULL || lsqi_curl()->easy_setopt(easy, option, text) == 0;
}

bool lsqi_http_peer_apply(const struct lsqi_http_peer *peer, void *easy) {
    const struct lsqi_curl *curl = lsqi_curl();
    const struct lsqi_http_peer_config *cfg = &peer->cfg;

    if (cfg->no_verify) {
        (void)curl->easy_setopt(easy, LSQI_CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl->easy_setopt(easy, LSQI_CURLOPT_SSL_VERIFYHOST, 0L);
    }
    /* With authorities of one's own, the system's are not trusted. */
    if (cfg->ca_file != NULL) (void)curl->easy_setopt(easy, LSQI_CURLOPT_CAPATH, (char *)NULL);
    return set_text(easy, LSQI_CURLOPT_CAINFO, cfg->ca_file) &&
           set_text(easy, LSQI_CURLOPT_SSLCERT, cfg->client_cert) &&
           set_text(easy, LSQI_CURLOPT_SSLKEY,
                    cfg->client_key != NULL ? cfg->client_key : cfg->client_cert) &&
           set_text(easy, LSQI_CURLOPT_PROXY, cfg->proxy);
}

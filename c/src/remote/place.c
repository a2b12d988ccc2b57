#include "remote/place.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "remote/events.h"

enum { FAILURES = 5, PROBE_MS = 500, PROBE_TIMEOUT_MS = 2000 };

struct lsqi_place {
    struct lsqi_place *next;
    char *base;
    char *way;
    char *health; /* the URL that is probed */
    struct lsqi_http_peer *peer;
    struct lsqi_http_group group; /* the I/O thread's */
    /* guarded by places.lock */
    unsigned refs; /* the probe that is under way has one */
    unsigned failures;
    int64_t down_since; /* ns; 0: it is used */
    bool probed;        /* a probe is under way */
};

/* Process-wide: whether a server answers is so for all connections. */
static struct {
    pthread_mutex_t lock;
    struct lsqi_place *first;
} places = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- Records ---- */

static void place_free(struct lsqi_place *place) {
    lsqi_http_peer_unref(place->peer);
    lsqi_free(place->base);
    lsqi_free(place->way);
    lsqi_free(place->health);
    lsqi_free(place);
}

static struct lsqi_place *place_new(const char *base, const char *way,
                                    struct lsqi_http_peer *peer) {
    struct lsqi_place *place = lsqi_calloc(1, sizeof(*place));
    size_t len = strlen(base);

    if (place == NULL) return NULL;
    place->base = lsqi_strndup(base, len);
    place->way = lsqi_strndup(way, strlen(way));
    place->health = lsqi_malloc(len + sizeof("/health"));
    lsqi_http_peer_ref(peer);
    place->peer = peer;
    place->refs = 1;
    if (place->base == NULL || place->way == NULL || place->health == NULL) {
        place_free(place);
        return NULL;
    }
    memcpy(place->health, base, len);
    memcpy(place->health + len, "/health", sizeof("/health"));
    return place;
}

struct lsqi_place *lsqi_place_get(const char *base, const char *way, struct lsqi_http_peer *peer) {
    struct lsqi_place *place;

    pthread_mutex_lock(&places.lock);
    place = places.first;
    while (place != NULL && (strcmp(place->base, base) != 0 || strcmp(place->way, way) != 0))
        place = place->next;
    if (place != NULL) {
        place->refs++;
    } else {
        place = place_new(base, way, peer);
        if (place != NULL) {
            place->next = places.first;
            places.first = place;
        }
    }
    pthread_mutex_unlock(&places.lock);
    return place;
}

static void unlink_locked(struct lsqi_place *place) {
    struct lsqi_place **at = &places.first;

    while (*at != place) at = &(*at)->next;
    *at = place->next;
}

void lsqi_place_unref(struct lsqi_place *place) {
    bool last;

    if (place == NULL) return;
    pthread_mutex_lock(&places.lock);
    last = --place->refs == 0;
    if (last) unlink_locked(place);
    pthread_mutex_unlock(&places.lock);
    if (last) place_free(place);
}

struct lsqi_http_group *lsqi_place_group(struct lsqi_place *place) {
    return &place->group;
}

const char *lsqi_place_base(const struct lsqi_place *place) { return place->base; }

/* ---- The breaker ---- */

bool lsqi_place_usable(struct lsqi_place *place) { return lsqi_place_down_ms(place) == 0; }

int64_t lsqi_place_down_ms(struct lsqi_place *place) {
    int64_t since;

    pthread_mutex_lock(&places.lock);
    since = place->down_since;
    pthread_mutex_unlock(&places.lock);
    return since == 0 ? 0 : (lsqi_now_ns() - since) / 1000000 + 1;
}

/* Closes the breaker, if it is open; failures: how many it is then known to have had. */
static void close_breaker(struct lsqi_place *place, unsigned failures, bool answered) {
    int64_t since;

    pthread_mutex_lock(&places.lock);
    since = place->down_since;
    place->down_since = 0;
    place->failures = failures;
    pthread_mutex_unlock(&places.lock);
    if (since != 0 && answered)
        lsqi_server_event(LSQ_SERVER_UP, place->base, (lsqi_now_ns() - since) / 1000000, LSQ_OK);
}

/* What was under way when it opened tells as well as a probe, which may have to wait for a connection. */
void lsqi_place_answered(struct lsqi_place *place) { close_breaker(place, 0, true); }

static void probe(struct lsqi_place *place);

void lsqi_place_failed(struct lsqi_place *place) {
    bool opens;

    pthread_mutex_lock(&places.lock);
    opens = ++place->failures >= FAILURES && place->down_since == 0;
    if (opens) place->down_since = lsqi_now_ns();
    opens = opens && !place->probed;
    if (opens) {
        place->probed = true;
        place->refs++;
    }
    pthread_mutex_unlock(&places.lock);
    if (!opens) return;
    lsqi_server_event(LSQ_SERVER_DOWN, place->base, 0, LSQ_UNREACHABLE);
    probe(place);
}

/* ---- The probe: looks for as long as a connection wants to know ---- */

static size_t on_body(void *arg, const char *data, size_t len) {
    (void)arg, (void)data;
    return len;
}

static void probed(struct lsqi_place *place) {
    pthread_mutex_lock(&places.lock);
    place->probed = false;
    pthread_mutex_unlock(&places.lock);
    lsqi_place_unref(place);
}

/* Somebody has the place, and it is not used. */
static bool is_wanted(struct lsqi_place *place) {
    bool wanted;

    pthread_mutex_lock(&places.lock);
    wanted = place->refs > 1 && place->down_since != 0;
    pthread_mutex_unlock(&places.lock);
    return wanted;
}

static void on_done(void *arg, const struct lsqi_http_end *end) {
    struct lsqi_place *place = arg;
    bool answered = end->kind == LSQI_HTTP_DONE && end->status < 500;

    if (end->kind != LSQI_HTTP_CANCELLED && is_wanted(place) && !answered) {
        probe(place);
        return;
    }
    close_breaker(place, FAILURES - 1, answered); /* half-open; who asks next finds out */
    probed(place);
}

/* Takes the probe's reference on. */
static void probe(struct lsqi_place *place) {
    static const struct lsqi_http_events events = {.body = on_body, .done = on_done};
    const struct lsqi_http_request request = {
        .peer = place->peer,
        .url = place->health,
        .delay_ms = PROBE_MS,
        .total_ms = PROBE_MS + PROBE_TIMEOUT_MS,
        .connect_ms = PROBE_TIMEOUT_MS,
        .max_response = 64 * 1024,
        .events = &events,
        .arg = place,
    };
    struct lsqi_http *http;

    if (lsqi_http_start(&http, &request, NULL) == LSQ_OK) return;
    close_breaker(place, FAILURES - 1, false);
    probed(place);
}

/* Replicas over a link that is slow, narrow, or gone. LSQ_TEST_LOOPS: how many writes are read back over the slow one
 * (1,000; fewer where the program is checked while it runs); LSQ_TEST_LINK_MB: how much is fetched over the narrow one
 * (8), and LSQ_TEST_LINK_SECONDS: for how long the file is read meanwhile (4). What is printed is for docs and reports;
 * nothing of it is asserted closely. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/link.h"
#include "../support/primary.h"

enum { DELAY_MS = 100, NARROW = 10000 };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WRITERS = 5, LOOPS = 100 };
#else
enum { WRITERS = 20, LOOPS = 1000 };
#endif

#define MS INT64_C(1000000)

static struct sqld sqld;
static struct link *path_to_it;

static int forget(void **state) {
    link_stop(path_to_it);
    path_to_it = NULL;
    sqld_kill(&sqld);
    lsq_shutdown();
    return db_forget(state);
}

static int number_of(const char *name, int usual) {
    const char *text = getenv(name);

    return text == NULL ? usual : atoi(text);
}

/* The server, and a connection to it that does not take the link. */
static struct lsq_conn *begin(int delay_ms) {
    struct lsq_conn *server;

    sqld_start(&sqld, NULL);
    path_to_it = link_start(sqld.port, delay_ms);
    server = primary_conn(&sqld);
    run(server, "CREATE TABLE t (id INTEGER PRIMARY KEY, a)");
    return server;
}

static struct lsq_conn *open_over_link(const char *path, const struct lsq_replica *replica) {
    static const struct lsq_remote remote = {.proxy = "", .retry_time = 1000, .timeout = 60000};
    struct lsq_config cfg = db_config(path);

    cfg.primary = link_url(path_to_it);
    cfg.remote = &remote;
    cfg.replica = replica;
    return db_open_as(&cfg);
}

static struct lsq_replica_info info_of(struct lsq_conn *conn) {
    struct lsq_replica_info info;

    assert_int_equal(lsq_replica_info(conn, &info, &last_error), LSQ_OK);
    return info;
}

/* ---- 200 ms there and back ---- */

struct writer {
    pthread_t thread;
    struct lsq_conn *conn;
    int number;
    int loops;
    int unseen;
    int64_t writing; /* ns, in all */
    int64_t reading;
};

/* A thread has no test to end. */
static void must(enum lsq_status st) {
    if (st == LSQ_OK) return;
    fprintf(stderr, "%s: %s\n", lsq_status_name(st), last_error.message);
    abort();
}

static void *write_and_read(void *arg) {
    struct writer *writer = arg;
    char sql[96];

    for (int i = 0; i < writer->loops; i++) {
        int id = writer->number * 100000 + i + 1;
        int64_t began = now_ns();
        int64_t written;

        snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, 'x')", id);
        must(exec(writer->conn, sql, NULL, NULL, NULL));
        written = now_ns();
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM t WHERE id = %d", id);
        writer->unseen += ask(writer->conn, sql) != 1;
        writer->writing += written - began;
        writer->reading += now_ns() - written;
    }
    return NULL;
}

static void write_by(struct writer *writers, int count, int loops, const char *path) {
    int64_t writing = 0;
    int64_t reading = 0;
    int64_t frames = info_of(writers[0].conn).frames;
    int64_t came = link_came(path_to_it);
    int64_t sent = link_sent(path_to_it);
    int64_t bytes = info_of(writers[0].conn).bytes;

    (void)path;
    for (int i = 0; i < count; i++) {
        writers[i].loops = loops / count;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_and_read, &writers[i]), 0);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(writers[i].thread, NULL);
        assert_int_equal(writers[i].unseen, 0);
        writing += writers[i].writing;
        reading += writers[i].reading;
    }
    loops = loops / count * count;
    frames = info_of(writers[0].conn).frames - frames;
    bytes = info_of(writers[0].conn).bytes - bytes;
    print_message(
        "%d writes read back by %d connections: %.0f ms a write, %.0f ms until it is read; "
        "%lld frames; of their bytes: answers of the log %.3f times, all that came %.3f, "
        "sent %.3f\n",
        loops, count, (double)writing / 1e6 / loops, (double)reading / 1e6 / loops,
        (long long)frames, (double)bytes / (double)frames / 4096,
        (double)(link_came(path_to_it) - came) / (double)frames / 4096,
        (double)(link_sent(path_to_it) - sent) / (double)frames / 4096);
    assert_true(frames >= loops / count);
    assert_true((double)bytes < (double)frames * 4096 * 1.2);
}

static void own_writes_are_seen_over_a_slow_link(void **state) {
    int loops = number_of("LSQ_TEST_LOOPS", LOOPS);
    struct lsq_conn *server = begin(DELAY_MS);
    const char *path = replica_path();
    struct writer writers[WRITERS] = {0};

    (void)state;
    for (int i = 0; i < WRITERS; i++)
        writers[i] = (struct writer){.conn = open_over_link(path, NULL), .number = i};
    write_by(writers, 1, loops < 20 ? loops : loops / 20, path);
    run(server, "DELETE FROM t");
    write_by(writers, WRITERS, loops, path);
    assert_int_equal(info_of(writers[0].conn).failures, 0);
    assert_int_equal(info_of(writers[0].conn).lag, 0);
    for (int i = 0; i < WRITERS; i++) db_close(writers[i].conn);
    db_close(server);
}

/* ---- 10 kB/s ---- */

/* One's own writes are what the others are to see: a read of them waits, and all else goes on. */
static void fill(struct lsq_conn *server, int megabytes) {
    char sql[200];

    snprintf(sql, sizeof(sql),
             "INSERT INTO t (a) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
             "WHERE i < %d) SELECT randomblob(3800) FROM n",
             250);
    for (int i = 0; i < megabytes; i++) run(server, sql);
}

static int compare(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

enum { MOST_READS = 4000000 };

struct reads {
    int64_t p50;
    int64_t p99;
    int64_t most;
    int count;
};

/* Reads without a pause for so long. */
static struct reads read_for(struct lsq_conn *conn, int64_t *times, int64_t ns) {
    int64_t until = now_ns() + ns;
    int n = 0;

    while (now_ns() < until && n < MOST_READS) {
        int64_t began = now_ns();

        (void)ask(conn, n % 2 == 0 ? "SELECT count(*) FROM u WHERE id = 7"
                                   : "SELECT a FROM u WHERE id = 9");
        times[n++] = now_ns() - began;
    }
    qsort(times, (size_t)n, sizeof(*times), compare);
    return (struct reads){
        .p50 = times[n / 2], .p99 = times[n * 99LL / 100], .most = times[n - 1], .count = n};
}

struct syncing {
    pthread_t thread;
    struct lsq_conn *conn;
    struct lsq_call call;
    enum lsq_status status;
    atomic_bool done;
    int64_t ended;
};

static void *sync_once(void *arg) {
    struct syncing *syncing = arg;

    syncing->status = lsq_sync(syncing->conn, &syncing->call, NULL, NULL);
    syncing->ended = now_ns();
    atomic_store(&syncing->done, true);
    return NULL;
}

static void sync_begin(struct syncing *syncing, struct lsq_conn *conn, int timeout) {
    *syncing = (struct syncing){.conn = conn, .call = {.timeout = timeout}};
    assert_int_equal(pthread_create(&syncing->thread, NULL, sync_once, syncing), 0);
}

/* ms since then until it ended. */
static double sync_end(struct syncing *syncing, enum lsq_status status, int64_t since) {
    pthread_join(syncing->thread, NULL);
    assert_int_equal(syncing->status, status);
    return (double)(syncing->ended - since) / 1e6;
}

static void cancels_it(const char *path) {
    struct lsq_conn *conn = open_over_link(path, NULL);
    struct syncing syncing;
    double interrupted;
    double late;
    double closed;
    int64_t began;

    sync_begin(&syncing, conn, 0);
    sleep_ms(300);
    began = now_ns();
    lsq_conn_interrupt(conn);
    interrupted = sync_end(&syncing, LSQ_INTERRUPTED, began);
    began = now_ns();
    sync_begin(&syncing, conn, 300);
    late = sync_end(&syncing, LSQ_TIMEOUT, began) - 300;
    sync_begin(&syncing, conn, 0);
    sleep_ms(300);
    began = now_ns();
    lsq_conn_close(conn, NULL, NULL);
    closed = sync_end(&syncing, LSQ_INTERRUPTED, began);
    lsq_conn_free(conn);
    print_message("a sync ends %.1f ms after an interrupt, %.1f ms after its time, %.1f ms after "
                  "its connection was closed\n",
                  interrupted, late, closed);
    assert_true(interrupted < 3000 && late < 3000 && closed < 3000);
}

static void a_narrow_link_keeps_nobody(void **state) {
    static const struct lsq_replica lazy = {.no_sync_on_open = true};
    int megabytes = number_of("LSQ_TEST_LINK_MB", 8);
    int64_t length = number_of("LSQ_TEST_LINK_SECONDS", 4) * 1000 * MS;
    int64_t *times = malloc(MOST_READS * sizeof(*times));
    struct lsq_conn *server = begin(0);
    const char *path = replica_path();
    struct lsq_conn *reader;
    struct lsq_conn *syncer;
    struct syncing syncing;
    struct reads idle;
    struct reads beside;
    uint64_t before;
    int64_t began;

    (void)state;
    assert_non_null(times);
    run(server, "CREATE TABLE u (id INTEGER PRIMARY KEY, a)");
    run(server, "INSERT INTO u (a) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
                "WHERE i < 1000) SELECT i FROM n");
    reader = open_over_link(path, NULL);
    syncer = open_over_link(path, &lazy);
    fill(server, megabytes);
    before = (uint64_t)info_of(reader).bytes;
    link_set_rate(path_to_it, NARROW);
    idle = read_for(reader, times, length);
    sync_begin(&syncing, syncer, 0);
    sleep_ms(200);
    beside = read_for(reader, times, length);
    assert_false(atomic_load(&syncing.done));
    assert_true(info_of(reader).running);
    print_message(
        "reads while nothing is fetched: %d, median %.1f us, 99 %% %.1f us, longest %.1f ms; "
        "beside a sync of %d MB at %d B/s: %d, %.1f us, %.1f us, %.1f ms\n",
        idle.count, (double)idle.p50 / 1e3, (double)idle.p99 / 1e3, (double)idle.most / 1e6,
        megabytes, NARROW, beside.count, (double)beside.p50 / 1e3, (double)beside.p99 / 1e3,
        (double)beside.most / 1e6);
    assert_true(beside.most < 3000 * MS);
    lsq_conn_interrupt(syncer);
    sync_end(&syncing, LSQ_INTERRUPTED, 0);
    cancels_it(path);
    /* What has come is kept, and with the link as it was all of it comes. */
    link_set_rate(path_to_it, 0);
    began = now_ns();
    assert_int_equal(lsq_sync(syncer, NULL, NULL, &last_error), LSQ_OK);
    assert_true(now_ns() - began < 120000 * MS);
    assert_true((uint64_t)info_of(reader).bytes > before);
    assert_int_equal(ask(reader, "SELECT count(*) FROM t"), 250 * megabytes);
    assert_true(content_of(reader) == content_of(server));
    free(times);
    db_close(syncer);
    db_close(reader);
    db_close(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(own_writes_are_seen_over_a_slow_link, forget),
        cmocka_unit_test_teardown(a_narrow_link_keeps_nobody, forget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

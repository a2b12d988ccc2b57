/* decode.c - how fast answers of servers are decoded: MB of JSON in a second, and how many times as long that takes as
 * copying the same bytes.
 *
 *     decode [FILE]
 *
 * An answer of 10 MB (or the file) is given in pieces of 16 KB, as they come from a socket: to a sink that only
 * counts, and to one that keeps the rows. The best of several runs counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "hrana/decode.h"
#include "hrana/json_write.h"
#include "lsq/lsq.h"

enum { ANSWER = 10 * 1000 * 1000, PIECE = 16 * 1024, RUNS = 9 };

static double now(void) {
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---- Answers ---- */

static void add(struct lsqi_buf *buf, const char *text) { lsqi_buf_add_text(buf, text); }

/* A row as an application has them: a key, a name, a number, a longer text with a quote and a non-ASCII letter now
 * and then, something NULL. */
static void add_mixed_row(struct lsqi_buf *buf, int i) {
    char text[200];

    add(buf, "[{\"type\":\"integer\",\"value\":\"");
    lsqi_json_integer(buf, i);
    snprintf(text, sizeof(text), "\"},{\"type\":\"text\",\"value\":\"name of item %d\"},", i);
    add(buf, text);
    add(buf, "{\"type\":\"float\",\"value\":");
    lsqi_json_real(buf, i / 8.0);
    add(buf, "},{\"type\":\"text\",\"value\":");
    snprintf(text, sizeof(text),
             "A note on item %d that has %s and goes on for a while, as notes do", i,
             i % 16 == 0 ? "a \"quote\"" : (i % 16 == 8 ? "an \xc3\xa9" : "no news"));
    lsqi_json_string(buf, text, strlen(text));
    add(buf, "},{\"type\":\"null\"}]");
}

static void add_integer_row(struct lsqi_buf *buf, int i) {
    for (int j = 0; j < 5; j++) {
        add(buf,
            j == 0 ? "[{\"type\":\"integer\",\"value\":\"" : ",{\"type\":\"integer\",\"value\":\"");
        lsqi_json_integer(buf, (int64_t)i * 1000003 % 100000);
        add(buf, "\"}");
    }
    add(buf, "]");
}

/* Numbers of 17 digits, as measurements have them. */
static void add_real_row(struct lsqi_buf *buf, int i) {
    for (int j = 0; j < 5; j++) {
        add(buf, j == 0 ? "[{\"type\":\"float\",\"value\":" : ",{\"type\":\"float\",\"value\":");
        lsqi_json_real(buf, (i + 1) / 7.0 + j / 3.0);
        add(buf, "}");
    }
    add(buf, "]");
}

/* Text in another script, and JSON in a text. */
static void add_wide_row(struct lsqi_buf *buf, int i) {
    char text[300];

    snprintf(text, sizeof(text),
             "[{\"type\":\"integer\",\"value\":\"%d\"},{\"type\":\"text\",\"value\":\""
             "\xe6\x95\xb0\xe6\x8d\xae\xe5\xba\x93\xe4\xb8\xad\xe7\x9a\x84\xe6\x96\x87\xe6\x9c\xac "
             "\xd1\x82\xd0"
             "\xb5\xd0\xba\xd1\x81\xd1\x82\"},{\"type\":\"null\"},{\"type\":\"null\"},{\"type\":"
             "\"null\"}]",
             i);
    add(buf, text);
}

static void add_escaped_row(struct lsqi_buf *buf, int i) {
    char text[300];

    snprintf(text, sizeof(text),
             "[{\"type\":\"integer\",\"value\":\"%d\"},{\"type\":\"text\",\"value\":\""
             "{\\\"id\\\":%d,\\\"tags\\\":[\\\"new\\\",\\\"sale\\\"],\\n\\\"note\\\":\\\"as it "
             "is\\\"}\"},"
             "{\"type\":\"null\"},{\"type\":\"null\"},{\"type\":\"null\"}]",
             i, i);
    add(buf, text);
}

/* What other servers than sqld may write: the same, with spaces and the keys turned round. */
static void add_spaced_row(struct lsqi_buf *buf, int i) {
    char text[200];

    snprintf(text, sizeof(text),
             "[ { \"value\" : \"%d\" , \"type\" : \"integer\" } , "
             "{ \"type\" : \"text\" , \"value\" : \"name of item %d\" } , ",
             i, i);
    add(buf, text);
    snprintf(text, sizeof(text),
             "{ \"type\" : \"float\" , \"value\" : %d.5 } , { \"type\" : \"null\" } , "
             "{ \"type\" : \"blob\" , \"base64\" : \"AAECAwQFBgcICQ==\" } ]",
             i);
    add(buf, text);
}

static void make_answer(struct lsqi_buf *buf, void (*add_row)(struct lsqi_buf *, int)) {
    add(buf,
        "{\"baton\":null,\"base_url\":null,\"results\":[{\"type\":\"ok\",\"response\":{\"type\":"
        "\"execute\",\"result\":{\"cols\":[");
    for (int i = 0; i < 5; i++) add(buf, i == 0 ? "{\"name\":\"a\"}" : ",{\"name\":\"b\"}");
    add(buf, "],\"rows\":[");
    for (int i = 0; buf->len < ANSWER; i++) {
        if (i > 0) add(buf, ",");
        add_row(buf, i);
    }
    add(buf,
        "],\"affected_row_count\":0,\"last_insert_rowid\":null,\"replication_index\":\"2\"}}}]}");
}

/* ---- Sinks ---- */

struct count {
    size_t values;
    size_t bytes;
    int64_t sum;
};

static bool count_columns(void *ctx, size_t n, const char *const *names) {
    (void)ctx, (void)n, (void)names;
    return true;
}
static bool count_null(void *ctx) {
    ((struct count *)ctx)->values++;
    return true;
}
static bool count_integer(void *ctx, int64_t value) {
    ((struct count *)ctx)->sum += value;
    return count_null(ctx);
}
static bool count_real(void *ctx, double value) { return count_integer(ctx, (int64_t)value); }
static bool count_bytes(void *ctx, const void *data, size_t len) {
    (void)data;
    ((struct count *)ctx)->bytes += len;
    return count_null(ctx);
}
static bool count_text(void *ctx, const char *text, size_t len) {
    return count_bytes(ctx, text, len);
}
static bool count_row_end(void *ctx) {
    (void)ctx;
    return true;
}

static const struct lsq_sink counting = {
    .columns = count_columns,
    .null = count_null,
    .integer = count_integer,
    .real = count_real,
    .text = count_text,
    .blob = count_bytes,
    .row_end = count_row_end,
};

struct target {
    const struct lsq_sink *sink;
    void *ctx;
};

static const struct lsq_sink *give_sink(void *arg, size_t request, size_t step, void **ctx) {
    struct target *target = arg;

    (void)request, (void)step;
    *ctx = target->ctx;
    return target->sink;
}

static bool on_result(void *arg, const struct lsqi_hrana_result *result) {
    (void)arg, (void)result;
    return true;
}

/* ---- Runs ---- */

static double decode(const struct lsqi_buf *answer, struct target *target) {
    struct lsqi_hrana_handler handler = {.sink = give_sink, .result = on_result, .arg = target};
    struct lsqi_hrana_decoder *decoder;
    struct lsq_error err;
    enum lsq_status st;
    double start = now();

    st = lsqi_hrana_decoder_new(&decoder, LSQI_HRANA_PIPELINE, &handler, &err);
    for (size_t at = 0; st == LSQ_OK && at < answer->len;) {
        size_t size = answer->len - at < PIECE ? answer->len - at : PIECE;
        size_t used = 0;

        st = lsqi_hrana_decode(decoder, answer->data + at, size, &used, &err);
        at += used;
    }
    if (st == LSQ_OK) st = lsqi_hrana_decode_end(decoder, &err);
    if (st != LSQ_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    lsqi_hrana_decoder_free(decoder);
    return now() - start;
}

static double decode_counting(const struct lsqi_buf *answer) {
    struct count count = {0};

    return decode(answer, &(struct target){&counting, &count});
}

static double decode_keeping(const struct lsqi_buf *answer) {
    struct lsq_result *res;
    double time;

    if (lsq_result_new(&res, NULL) != LSQ_OK) exit(1);
    time = decode(answer, &(struct target){lsq_result_sink(), res});
    lsq_result_free(res);
    return time;
}

static double copy(const struct lsqi_buf *answer) {
    char *to = malloc(answer->len);
    double start;

    if (to == NULL) exit(1);
    memset(to, 1, answer->len);
    start = now();
    memcpy(to, answer->data, answer->len);
    __asm__ volatile("" : : "r"(to) : "memory"); /* else nobody would need it */
    start = now() - start;
    free(to);
    return start;
}

static double best(double (*run)(const struct lsqi_buf *), const struct lsqi_buf *answer) {
    double least = run(answer);

    for (int i = 1; i < RUNS; i++) {
        double time = run(answer);

        if (time < least) least = time;
    }
    return least;
}

static void report(const char *name, const struct lsqi_buf *answer) {
    double copying = best(copy, answer);
    double counting_time = best(decode_counting, answer);
    double keeping = best(decode_keeping, answer);
    double mb = (double)answer->len / 1e6;

    printf("  %-10s %5.1f MB: counted %6.0f MB/s (%4.1f copies), kept %6.0f MB/s (%4.1f copies)\n",
           name, mb, mb / counting_time, counting_time / copying, mb / keeping, keeping / copying);
}

static void read_file(struct lsqi_buf *buf, const char *path) {
    FILE *file = fopen(path, "rb");
    char block[65536];
    size_t n;

    if (file == NULL) {
        perror(path);
        exit(1);
    }
    while ((n = fread(block, 1, sizeof(block), file)) > 0) lsqi_buf_add(buf, block, n);
    fclose(file);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*add_row)(struct lsqi_buf *, int);
    } answers[] = {{"mixed", add_mixed_row},     {"integers", add_integer_row},
                   {"reals", add_real_row},      {"wide", add_wide_row},
                   {"escaped", add_escaped_row}, {"spaced", add_spaced_row}};
    struct lsqi_buf answer = {0};

    if (argc > 1) {
        read_file(&answer, argv[1]);
        report(argv[1], &answer);
    }
    for (size_t i = 0; argc == 1 && i < sizeof(answers) / sizeof(answers[0]); i++) {
        lsqi_buf_reset(&answer);
        make_answer(&answer, answers[i].add_row);
        report(answers[i].name, &answer);
    }
    lsqi_buf_release(&answer);
    return 0;
}

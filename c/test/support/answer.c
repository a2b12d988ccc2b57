#include "answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"

/* ---- What is told, as text ---- */

static void add(struct transcript *transcript, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct transcript *transcript, const char *format, ...) {
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    lsqi_buf_add_text(&transcript->text, text);
}

/* Letters, digits and the like stand for themselves, other bytes as <hh>. */
static void add_bytes(struct transcript *transcript, const char *kind, const void *data,
                      size_t len) {
    const unsigned char *bytes = data;

    add(transcript, " %s\"", kind);
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] >= 0x20 && bytes[i] < 0x7f && bytes[i] != '<')
            lsqi_buf_add(&transcript->text, bytes + i, 1);
        else
            add(transcript, "<%02x>", (unsigned)bytes[i]);
    }
    add(transcript, "\"");
}

static void add_place(struct transcript *transcript, size_t request, size_t step) {
    add(transcript, "%zu", request);
    if (step != SIZE_MAX) add(transcript, ".%zu", step);
}

static void add_texts(struct transcript *transcript, const char *what, size_t count,
                      const char *const *texts) {
    add(transcript, " %s:", what);
    for (size_t i = 0; i < count; i++) {
        if (texts[i] == NULL)
            add(transcript, " -");
        else
            add_bytes(transcript, "", texts[i], strlen(texts[i]));
    }
}

static bool on_columns(void *ctx, size_t count, const char *const *names) {
    add_texts(ctx, "columns", count, names);
    return true;
}
static bool on_types(void *ctx, size_t count, const char *const *types) {
    add_texts(ctx, "types", count, types);
    return true;
}
static bool on_row_begin(void *ctx) {
    struct transcript *transcript = ctx;

    transcript->rows++;
    add(ctx, "\n   ");
    return true;
}
static bool on_null(void *ctx) {
    add(ctx, " null");
    return true;
}
static bool on_integer(void *ctx, int64_t value) {
    add(ctx, " %" PRId64, value);
    return true;
}
static bool on_real(void *ctx, double value) {
    add(ctx, " %.17g'", value);
    return true;
}
static bool on_text(void *ctx, const char *text, size_t len) {
    add_bytes(ctx, "", text, len);
    return true;
}
static bool on_blob(void *ctx, const void *data, size_t len) {
    add_bytes(ctx, "x", data, len);
    return true;
}
static bool on_row_end(void *ctx) {
    add(ctx, ";");
    return true;
}

static const struct lsq_sink sink = {
    .columns = on_columns,
    .row_begin = on_row_begin,
    .null = on_null,
    .integer = on_integer,
    .real = on_real,
    .text = on_text,
    .blob = on_blob,
    .row_end = on_row_end,
    .types = on_types,
};

static const struct lsq_sink *give_sink(void *arg, size_t request, size_t step, void **ctx) {
    add(arg, "sink ");
    add_place(arg, request, step);
    *ctx = arg;
    return &sink;
}

static void add_description(struct transcript *transcript,
                            const struct lsqi_hrana_description *description) {
    add_texts(transcript, "params", description->param_count, description->params);
    add_texts(transcript, "columns", description->column_count, description->columns);
    add_texts(transcript, "types", description->column_count, description->types);
    if (description->is_explain) add(transcript, " explain");
    if (description->is_readonly) add(transcript, " readonly");
}

static bool on_result(void *arg, const struct lsqi_hrana_result *result) {
    static const char *const kinds[] = {"execute", "batch", "describe", "autocommit",
                                        "other",   "error", "skipped"};
    struct transcript *transcript = arg;

    transcript->results++;
    if (transcript->text.len > 0 && transcript->text.data[transcript->text.len - 1] != '\n')
        add(arg, "\n");
    add(arg, "%s ", kinds[result->kind]);
    add_place(arg, result->request, result->step);
    if (result->kind == LSQI_HRANA_EXECUTE)
        add(arg, " columns %zu rows %zu affected %" PRId64 " rowid %" PRId64, result->columns,
            result->rows, result->affected_rows, result->last_rowid);
    if (result->kind == LSQI_HRANA_AUTOCOMMIT) add(arg, result->autocommit ? " yes" : " no");
    if (result->kind == LSQI_HRANA_DESCRIBE) add_description(arg, result->description);
    if (result->kind == LSQI_HRANA_ERROR) {
        add_bytes(arg, "", result->code, strlen(result->code));
        add_bytes(arg, "", result->message, strlen(result->message));
    }
    add(arg, "\n");
    return true;
}

void transcript_init(struct transcript *transcript) {
    *transcript = (struct transcript){
        .handler = {.sink = give_sink, .result = on_result, .types = true, .arg = transcript}};
}

/* ---- Pieces ---- */

/* Gives one piece in a block of exactly its size; *used as the decoder says. */
static enum lsq_status give(struct lsqi_hrana_decoder *decoder, const char *data, size_t len,
                            size_t *used, struct lsq_error *err) {
    char *block = malloc(len);
    enum lsq_status st;

    memcpy(block, data, len);
    st = lsqi_hrana_decode(decoder, block, len, used, err);
    free(block);
    return st;
}

static void add_end(struct transcript *transcript, const struct lsqi_hrana_decoder *decoder,
                    enum lsq_status st) {
    const char *baton = lsqi_hrana_decoder_baton(decoder);
    const char *url = lsqi_hrana_decoder_base_url(decoder);

    add(transcript, "%s baton %s url %s index %" PRId64 "\n", lsq_status_name(st),
        baton == NULL ? "-" : baton, url == NULL ? "-" : url,
        lsqi_hrana_decoder_replication_index(decoder));
    lsqi_buf_add(&transcript->text, "", 1);
}

/* seed: random sizes, up to piece, and random rows. */
static enum lsq_status decode_pieces(struct transcript *transcript, enum lsqi_hrana_form form,
                                     const char *data, size_t len, size_t piece, size_t room,
                                     uint64_t *seed, struct lsq_error *err) {
    struct lsqi_hrana_decoder *decoder;
    enum lsq_status st = lsqi_hrana_decoder_new(&decoder, form, &transcript->handler, err);
    size_t at = 0;

    assert_int_equal(st, LSQ_OK);
    lsqi_hrana_decoder_allow(decoder, seed != NULL ? random_next(seed) % 4 : room);
    while (st == LSQ_OK && at < len) {
        size_t size = seed != NULL ? random_next(seed) % piece + 1 : piece;
        size_t used;

        if (size > len - at) size = len - at;
        st = give(decoder, data + at, size, &used, err);
        assert_true(used <= size);
        at += st == LSQ_OK ? used : 0;
        if (st != LSQ_OK || used == size) continue;
        /* It stopped, and only because the rows that were let through have come. */
        assert_int_equal(lsqi_hrana_decoder_allowed(decoder), 0);
        lsqi_hrana_decoder_allow(decoder, seed != NULL ? random_next(seed) % 4 + 1 : room);
    }
    if (st == LSQ_OK) st = lsqi_hrana_decode_end(decoder, err);
    add_end(transcript, decoder, st);
    lsqi_hrana_decoder_free(decoder);
    return st;
}

enum lsq_status transcribe(struct transcript *transcript, enum lsqi_hrana_form form,
                           const char *data, size_t len, size_t piece, size_t room,
                           struct lsq_error *err) {
    return decode_pieces(transcript, form, data, len, piece, room, NULL, err);
}

enum lsq_status transcribe_at_random(struct transcript *transcript, enum lsqi_hrana_form form,
                                     const char *data, size_t len, size_t most, uint64_t *seed,
                                     struct lsq_error *err) {
    return decode_pieces(transcript, form, data, len, most, 0, seed, err);
}

/* ---- Files ---- */

char *read_whole(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    char *data;
    long size;

    if (file == NULL) fail_msg("cannot read %s", path);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    data = malloc((size_t)size + 1);
    assert_int_equal(fread(data, 1, (size_t)size, file), size);
    data[size] = '\0';
    fclose(file);
    *len = (size_t)size;
    return data;
}

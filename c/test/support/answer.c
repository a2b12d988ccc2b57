#include "answer.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "chance.h"

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

    assert_non_null(data);
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

enum { PAGE = 4096, GUARDED = 64 * PAGE };

/* Memory between two pages that nobody may touch. */
static char *guarded(void) {
    static char *memory;

    if (memory == NULL) {
        memory = mmap(NULL, GUARDED + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_true(memory != MAP_FAILED);
        assert_int_equal(mprotect(memory + PAGE, GUARDED, PROT_READ | PROT_WRITE), 0);
    }
    return memory + PAGE;
}

/* Gives one piece in memory of exactly its size: a block, where a checked build looks after it, or just before or
 * just behind a page that cannot be read. *used as the decoder says. */
static enum lsq_status give(struct lsqi_hrana_decoder *decoder, const char *data, size_t len,
                            enum piece_memory where, size_t *used, struct lsq_error *err) {
    char *block = where == PIECE_BLOCK || len > GUARDED ? malloc(len) : guarded();
    char *at = where == PIECE_BEFORE_GUARD && len <= GUARDED ? block + GUARDED - len : block;
    enum lsq_status st;

    memcpy(at, data, len);
    st = lsqi_hrana_decode(decoder, at, len, used, err);
    memset(at, '#', len); /* whoever kept a pointer to it is found out */
    if (where == PIECE_BLOCK || len > GUARDED) free(block);
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

enum lsq_status transcribe(struct transcript *transcript, const struct answer *answer,
                           struct pieces pieces, struct lsq_error *err) {
    struct lsqi_hrana_decoder *decoder;
    enum lsq_status st = lsqi_hrana_decoder_new(&decoder, answer->form, &transcript->handler, err);
    size_t at = 0;

    assert_int_equal(st, LSQ_OK);
    lsqi_hrana_decoder_allow(decoder, pieces.rows);
    while (st == LSQ_OK && at < answer->len) {
        size_t left = answer->len - at;
        size_t size =
            pieces.seed == NULL ? pieces.size : random_next(pieces.seed) % pieces.size + 1;
        size_t used;

        if (size > left) size = left;
        st = give(decoder, answer->data + at, size, pieces.memory, &used, err);
        assert_true(used <= size);
        at += used;
        if (st != LSQ_OK || used == size) continue;
        /* It stopped, which it may only do because the rows that were let through have come. */
        assert_int_equal(lsqi_hrana_decoder_allowed(decoder), 0);
        lsqi_hrana_decoder_allow(decoder, pieces.seed == NULL ? pieces.rows
                                                              : random_next(pieces.seed) % 4 + 1);
    }
    if (st == LSQ_OK) st = lsqi_hrana_decode_end(decoder, err);
    add_end(transcript, decoder, st);
    lsqi_hrana_decoder_free(decoder);
    return st;
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

static bool form_of(enum lsqi_hrana_form *form, const char *name) {
    static const char *const endings[] = {[LSQI_HRANA_PIPELINE] = ".pipeline",
                                          [LSQI_HRANA_CURSOR] = ".cursor",
                                          [LSQI_HRANA_FAILURE] = ".failure"};
    const char *ending = strrchr(name, '.');

    for (size_t i = 0; ending != NULL && i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (strcmp(ending, endings[i]) != 0) continue;
        *form = (enum lsqi_hrana_form)i;
        return true;
    }
    return false;
}

void each_answer(void (*fn)(const struct answer *answer)) {
    DIR *folder = opendir(ANSWERS);
    struct dirent *entry;
    size_t count = 0;

    if (folder == NULL) fail_msg("cannot read the folder %s", ANSWERS);
    while ((entry = readdir(folder)) != NULL) {
        struct answer answer = {.name = entry->d_name};
        char path[512];
        char *data;

        if (!form_of(&answer.form, entry->d_name)) continue;
        snprintf(path, sizeof(path), "%s/%s", ANSWERS, entry->d_name);
        data = read_whole(path, &answer.len);
        answer.data = data;
        fn(&answer);
        free(data);
        count++;
    }
    closedir(folder);
    assert_true(count >= 10);
}

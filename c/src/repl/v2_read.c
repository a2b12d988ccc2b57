#include "repl/v2_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "hrana/json_read.h"

enum { MOST_NUMBER = INT32_MAX }; /* of generations and frames: both are 32 bits wide elsewhere */

static uint32_t big(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- Numbers ---- */

/* "3", "3.0": digits, and nothing but zeros behind the point. */
static bool read_number(const char *text, size_t len, uint64_t *number) {
    uint64_t value = 0;
    size_t i = 0;

    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (value > MOST_NUMBER) return false;
    }
    if (i == 0) return false;
    if (i < len && text[i] == '.' && i + 1 < len)
        for (i++; i < len && text[i] == '0'; i++) continue;
    *number = value;
    return i == len;
}

/* A field of an object, as text. */
struct field {
    const char *name;
    char *text; /* with a NUL behind it */
    size_t size;
    bool found; /* a number or a text that fits: the last under that name */
};

static void take_field(struct field *field, const struct lsqi_json *json) {
    size_t len = json->len;

    field->found = len < field->size && (len == 0 || memchr(json->text, '\0', len) == NULL);
    if (!field->found) return;
    if (len > 0) memcpy(field->text, json->text, len);
    field->text[len] = '\0';
}

static struct field *named(const struct lsqi_json *json, struct field *fields, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (json->len == strlen(fields[i].name) &&
            memcmp(json->text, fields[i].name, json->len) == 0)
            return &fields[i];
    return NULL;
}

/* False: it is no JSON. */
static bool find(struct lsqi_json *json, struct field *fields, size_t count) {
    struct field *field = NULL;
    enum lsqi_json_event event;

    while ((event = lsqi_json_next(json)) > LSQI_JSON_NOMEM) {
        if (field != NULL && (event == LSQI_JSON_NUMBER || event == LSQI_JSON_STRING))
            take_field(field, json);
        field = event == LSQI_JSON_KEY && json->depth == 1 ? named(json, fields, count) : NULL;
    }
    return event == LSQI_JSON_MORE && lsqi_json_whole(json);
}

static bool read_fields(const char *text, size_t len, struct field *fields, size_t count) {
    struct lsqi_json json;
    bool whole;

    if (len == 0) return false;
    lsqi_json_init(&json, false);
    lsqi_json_feed(&json, text, len);
    whole = find(&json, fields, count);
    lsqi_json_release(&json);
    return whole;
}

bool lsqi_v2_number(const char *text, size_t len, const char *name, uint64_t *number) {
    char digits[64] = "";
    struct field field = {.name = name, .text = digits, .size = sizeof(digits)};

    return read_fields(text, len, &field, 1) && field.found &&
           read_number(digits, strlen(digits), number) && *number > 0;
}

bool lsqi_v2_pushed(const char *text, size_t len, struct lsqi_v2_pushed *pushed) {
    char generation[64] = "";
    char frame[64] = "";
    struct field fields[] = {
        {.name = "status", .text = pushed->status, .size = sizeof(pushed->status)},
        {.name = "generation", .text = generation, .size = sizeof(generation)},
        {.name = "max_frame_no", .text = frame, .size = sizeof(frame)},
        {.name = "baton", .text = pushed->baton, .size = sizeof(pushed->baton)},
    };
    bool whole = read_fields(text, len, fields, sizeof(fields) / sizeof(fields[0]));

    if (!fields[3].found) pushed->baton[0] = '\0';
    return whole && fields[0].found && fields[1].found && fields[2].found &&
           read_number(generation, strlen(generation), &pushed->generation) &&
           read_number(frame, strlen(frame), &pushed->frame);
}

/* ---- Frames ---- */

/* FNV-1a, of what counts of a frame: the rest of its header is of the WAL that it was in. */
static uint64_t sum(const unsigned char *data, size_t len, uint64_t sum) {
    for (size_t i = 0; i < len; i++) sum = (sum ^ data[i]) * 0x100000001b3u;
    return sum;
}

/* The header by https://sqlite.org/fileformat2.html, 4.1: a WAL's. */
bool lsqi_v2_frame(const char *text, size_t len, size_t i, struct lsqi_frame *frame,
                   const void **page) {
    enum { COUNTS = 8 };
    const unsigned char *at;

    if (i >= len / LSQI_V2_FRAME) return false;
    at = (const unsigned char *)text + i * LSQI_V2_FRAME;
    frame->page = big(at);
    frame->size_after = big(at + 4);
    *page = at + LSQI_FRAME_HEADER;
    frame->checksum = sum(*page, LSQI_V2_PAGE, sum(at, COUNTS, 0xcbf29ce484222325u));
    return frame->page > 0;
}

/* ---- Parts of a file ---- */

uint64_t lsqi_v2_version(const struct lsqi_http_head *head) {
    bool parts = head->status == 206 || strcasecmp(head->accept_ranges, "bytes") == 0;
    /* A weak one begins with W/: what has it may differ byte by byte. */
    size_t len = strlen(head->etag);
    bool strong = len > 2 && head->etag[0] == '"' && head->etag[len - 1] == '"';
    uint64_t version;

    if (!parts || !strong || head->content_encoding[0] != '\0') return 0;
    version = sum((const unsigned char *)head->etag, len, 0xcbf29ce484222325u);
    return version == 0 ? 1 : version;
}

bool lsqi_v2_begins_at(const struct lsqi_http_head *head, uint64_t byte) {
    char begin[40];

    (void)snprintf(begin, sizeof(begin), "bytes %" PRIu64 "-", byte);
    return strncasecmp(head->content_range, begin, strlen(begin)) == 0;
}

/* ---- A file ---- */

static enum lsq_status refuse(struct lsq_error *err, const char *why) {
    return lsqi_error_set(err, LSQ_PROTOCOL_UNSUPPORTED, "the server's export is of no use: %s",
                          why);
}

/* Page 1 by https://sqlite.org/fileformat2.html, 1.3. */
static enum lsq_status read_header(struct lsqi_v2_file *file, const unsigned char *page,
                                   struct lsq_error *err) {
    enum { PAGE_SIZE = 16, CHANGES = 24, PAGES = 28, VALID_FOR = 92 };

    if (memcmp(page, "SQLite format 3", 16) != 0) return refuse(err, "it is no database");
    if ((page[PAGE_SIZE] << 8 | page[PAGE_SIZE + 1]) != LSQI_V2_PAGE)
        return refuse(err, "its pages have not 4096 bytes");
    if (memcmp(page + CHANGES, page + VALID_FOR, 4) == 0) file->claims = big(page + PAGES);
    return LSQ_OK;
}

static enum lsq_status tell(struct lsqi_v2_file *file, struct lsq_error *err) {
    struct lsqi_frame frame = {.number = file->number - file->pages, .page = file->pages + 1};
    enum lsq_status st = LSQ_OK;

    if (file->pages == 0) st = read_header(file, (const unsigned char *)file->page.data, err);
    if (st != LSQ_OK) return st;
    if (file->pages >= MOST_NUMBER) return refuse(err, "it is too long");
    if (!file->frame(file->arg, &frame, file->page.data, LSQI_V2_PAGE))
        return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a page");
    file->pages++;
    lsqi_buf_reset(&file->page);
    return LSQ_OK;
}

enum lsq_status lsqi_v2_file_go_on(struct lsqi_v2_file *file, uint32_t pages, const void *first,
                                   struct lsq_error *err) {
    file->pages = pages;
    return read_header(file, first, err);
}

enum lsq_status lsqi_v2_file_feed(struct lsqi_v2_file *file, const char *data, size_t len,
                                  struct lsq_error *err) {
    while (len > 0) {
        enum lsq_status st = LSQ_OK;
        size_t n = len;

        if (file->page.len == LSQI_V2_PAGE) st = tell(file, err);
        if (st != LSQ_OK) return st;
        if (n > LSQI_V2_PAGE - file->page.len) n = LSQI_V2_PAGE - file->page.len;
        lsqi_buf_add(&file->page, data, n);
        if (file->page.failed) return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a page");
        data += n, len -= n;
    }
    return LSQ_OK;
}

/* A database without a table (https://sqlite.org/fileformat2.html, 1.3 and 1.6). */
static void make_empty(unsigned char *page) {
    static const unsigned char fields[][2] = {{16, 0x10}, {18, 2},   {19, 2},    {21, 64}, {22, 32},
                                              {23, 32},   {27, 1},   {31, 1},    {47, 4},  {59, 1},
                                              {95, 1},    {100, 13}, {105, 0x10}};

    memset(page, 0, LSQI_V2_PAGE);
    memcpy(page, "SQLite format 3", 16);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        page[fields[i][0]] = fields[i][1];
}

enum lsq_status lsqi_v2_file_last(struct lsqi_v2_file *file, struct lsqi_frame *frame,
                                  const void **page, struct lsq_error *err) {
    enum lsq_status st = LSQ_OK;

    if (file->pages == 0 && file->page.len == 0) {
        if (!lsqi_buf_reserve(&file->page, LSQI_V2_PAGE))
            return lsqi_error_set(err, LSQ_NOMEM, "out of memory for a page");
        make_empty((unsigned char *)file->page.data);
        file->page.len = LSQI_V2_PAGE;
    }
    if (file->page.len != LSQI_V2_PAGE)
        return lsqi_error_set(err, LSQ_CORRUPT, "the server's export ends amid a page");
    if (file->pages == 0) st = read_header(file, (const unsigned char *)file->page.data, err);
    if (st != LSQ_OK) return st;
    if (file->claims > file->pages + 1)
        return lsqi_error_set(err, LSQ_CORRUPT,
                              "the server's export has %u pages, and says that it has %u",
                              (unsigned)file->pages + 1, (unsigned)file->claims);
    *frame = (struct lsqi_frame){.number = file->number - file->pages,
                                 .page = file->pages + 1,
                                 .size_after = file->claims > 0 ? file->claims : file->pages + 1};
    *page = file->page.data;
    return LSQ_OK;
}

void lsqi_v2_file_release(struct lsqi_v2_file *file) { lsqi_buf_release(&file->page); }

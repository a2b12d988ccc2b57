/* decoder.h - what the files of the decoder share.
 *
 * decode.c     the public functions: pieces in, statuses out; what is passed over, and what is kept for later
 * shape.c      the protocol's objects and arrays: which keys each has, and what is in them
 * row.c        rows and values, to the sink
 * answer.c     results, told to the handler
 *
 * The reader's events go to the place where the text now is; a stack of frames says which that is. */
#ifndef LSQI_HRANA_DECODER_H
#define LSQI_HRANA_DECODER_H

#include <locale.h>

#include "hrana/decode.h"
#include "hrana/json_read.h"
#include "hrana/names.h"

/* Objects and arrays of the protocol. */
enum lsqi_hrana_place {
    AT_START,       /* between the values of the text itself */
    AT_TOP,         /* {} of a pipeline */
    AT_RESULTS,     /* [] */
    AT_ENTRY,       /* {} of one request */
    AT_RESPONSE,    /* {} */
    AT_RESULT,      /* {} of one response: a statement's, a batch's, a description */
    AT_STEPS,       /* [] of step_results */
    AT_STEP,        /* {} */
    AT_STEP_ERRORS, /* [] */
    AT_COLS,        /* [] */
    AT_COL,         /* {} */
    AT_PARAMS,      /* [] */
    AT_PARAM,       /* {} */
    AT_ROWS,        /* [] */
    AT_ROW,         /* [] */
    AT_VALUE,       /* {} */
    AT_ERROR,       /* {} */
    AT_HEAD,        /* {} on a cursor's first line */
    AT_LINE,        /* {} on a further one */
    AT_FAILURE      /* {} of an answer that is an error as a whole */
};

enum lsqi_hrana_key {
    KEY_NONE,
    KEY_BATON,
    KEY_BASE_URL,
    KEY_RESULTS,
    KEY_TYPE,
    KEY_RESPONSE,
    KEY_ERROR,
    KEY_RESULT,
    KEY_IS_AUTOCOMMIT,
    KEY_COLS,
    KEY_ROWS,
    KEY_ROW,
    KEY_AFFECTED,
    KEY_ROWID,
    KEY_REPLICATION_INDEX,
    KEY_STEP_RESULTS,
    KEY_STEP_ERRORS,
    KEY_PARAMS,
    KEY_IS_EXPLAIN,
    KEY_IS_READONLY,
    KEY_NAME,
    KEY_DECLTYPE,
    KEY_MESSAGE,
    KEY_CODE,
    KEY_STEP,
    KEY_VALUE,
    KEY_BASE64
};

#define BIT(n) ((uint32_t)1 << (n))

struct lsqi_hrana_rule;

struct lsqi_hrana_frame {
    enum lsqi_hrana_place place;
    enum lsqi_hrana_key key;            /* of an object: whose value comes */
    const struct lsqi_hrana_rule *rule; /* that key's, but in values */
    uint32_t seen;                      /* keys that had a value; of which null is none */
};

/* What a "type" says, in a response or in a cursor's line. */
enum lsqi_hrana_type {
    TYPE_NONE, /* none has come */
    TYPE_EXECUTE,
    TYPE_BATCH,
    TYPE_DESCRIBE,
    TYPE_AUTOCOMMIT,
    TYPE_STEP_BEGIN,
    TYPE_ROW,
    TYPE_STEP_END,
    TYPE_STEP_ERROR,
    TYPE_ERROR,
    TYPE_OTHER
};

/* What came of a batch's step, in so far as it is known. */
struct lsqi_hrana_step {
    bool told;   /* it succeeded, and that was told */
    bool failed; /* with the next message and code of step_errors */
};

/* More than places lead into one another: from the text to a value in a step of a batch there are eleven. */
enum { LSQI_HRANA_FRAMES = 16 };

struct lsqi_hrana_decoder {
    enum lsqi_hrana_form form;
    const struct lsqi_hrana_handler *handler;
    struct lsq_error *err; /* of the call under way */
    locale_t c_locale;

    /* The text. */
    struct lsqi_json json;
    struct lsqi_json *in;  /* where events come from: json, or held_json */
    const char *piece;     /* of the call under way */
    uint64_t offset;       /* of the piece in the answer */
    bool skip;             /* what comes is passed over... */
    unsigned skip_depth;   /* ...until the reader is that deep again */
    bool holding;          /* what is passed over is rows, kept in held */
    const char *hold_from; /* from here on, in this piece */
    struct lsqi_buf held;
    struct lsqi_json held_json;
    bool broken; /* an error was answered */

    struct lsqi_hrana_frame frames[LSQI_HRANA_FRAMES];
    size_t depth;   /* frames[depth] is where the text is */
    bool head_read; /* the text's first value has begun */

    /* What was decoded. */
    char *baton;
    char *base_url;
    int64_t replication_index;
    bool told;
    size_t rows_allowed;

    /* A request, a response, a cursor's line. */
    size_t request;
    enum lsqi_hrana_type type;
    uint32_t result_seen; /* keys of its result */
    bool is_autocommit;
    bool is_explain;
    bool is_readonly;
    struct lsqi_buf message; /* with a NUL */
    struct lsqi_buf code;    /* with a NUL */

    /* A batch. */
    size_t step;              /* which one comes; SIZE_MAX outside batches */
    bool step_open;           /* a cursor's */
    size_t line_step;         /* SIZE_MAX: the line names none */
    struct lsqi_buf steps;    /* of struct lsqi_hrana_step */
    struct lsqi_names errors; /* message and code of each failed step, in their order */

    /* A statement. */
    struct lsqi_names columns;
    struct lsqi_names types;
    struct lsqi_names params;
    struct lsqi_buf name; /* of the column or parameter that comes */
    struct lsqi_buf declared;
    bool has_name;
    bool has_declared;
    bool columns_told;
    size_t width; /* columns that were told */
    const struct lsq_sink *sink;
    void *sink_ctx;
    size_t rows;
    int64_t affected_rows;
    int64_t last_rowid;

    /* A row, a value. */
    size_t column;
    enum lsq_type value_type;
    bool type_known;
    bool pushed;
    enum lsqi_json_event kept_event; /* of a value that came before its type; MORE: none did */
    struct lsqi_buf kept;            /* its text */
    struct lsqi_buf bytes;           /* a blob */
};

static inline struct lsqi_hrana_frame *lsqi_hrana_here(struct lsqi_hrana_decoder *d) {
    return &d->frames[d->depth];
}

/* Fails with LSQ_PROTOCOL_UNSUPPORTED; format says what is wrong, without the server's words. */
enum lsq_status lsqi_hrana_bad(struct lsqi_hrana_decoder *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum lsq_status lsqi_hrana_nomem(struct lsqi_hrana_decoder *d);

/* decode.c: passes over the value that comes. */
void lsqi_hrana_skip(struct lsqi_hrana_decoder *d);
/* The array that has just begun is rows whose columns are not known: keeps them. */
enum lsq_status lsqi_hrana_hold(struct lsqi_hrana_decoder *d);
/* The columns are known: rows that were kept come next. */
enum lsq_status lsqi_hrana_replay(struct lsqi_hrana_decoder *d);

/* shape.c: one event, outside rows. */
enum lsq_status lsqi_hrana_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event);
enum lsq_status lsqi_hrana_push(struct lsqi_hrana_decoder *d, enum lsqi_hrana_place place);
/* Back to where it was before. */
void lsqi_hrana_pop(struct lsqi_hrana_decoder *d);
/* Copies the event's text with a NUL behind it. */
enum lsq_status lsqi_hrana_keep_text(struct lsqi_hrana_decoder *d, struct lsqi_buf *buf);

/* row.c: one event at AT_ROWS, AT_ROW or AT_VALUE. */
enum lsq_status lsqi_hrana_row_begin(struct lsqi_hrana_decoder *d);
enum lsq_status lsqi_hrana_row_event(struct lsqi_hrana_decoder *d, enum lsqi_json_event event);
/* Values of the row that lie whole in the piece, as servers write them; leaves the others. */
enum lsq_status lsqi_hrana_row_fast(struct lsqi_hrana_decoder *d);

/* answer.c */
void lsqi_hrana_statement_begin(struct lsqi_hrana_decoder *d);
/* Tells the sink of the columns, once for a statement. */
enum lsq_status lsqi_hrana_tell_columns(struct lsqi_hrana_decoder *d);
enum lsq_status lsqi_hrana_tell_statement(struct lsqi_hrana_decoder *d);
enum lsq_status lsqi_hrana_tell_error(struct lsqi_hrana_decoder *d, size_t step);
enum lsq_status lsqi_hrana_tell_response(struct lsqi_hrana_decoder *d, uint32_t seen);
enum lsq_status lsqi_hrana_tell_line(struct lsqi_hrana_decoder *d, uint32_t seen);
/* The step that comes succeeded, or failed. */
enum lsq_status lsqi_hrana_note_step(struct lsqi_hrana_decoder *d, bool told, bool failed);

#endif

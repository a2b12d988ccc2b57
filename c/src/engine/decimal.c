#include "engine/decimal.h"

#include <string.h>

#include "base/decimal.h"

/* ---- Values ---- */

enum read { READ, READ_NULL, READ_NO_NUMBER, READ_FAR, READ_NOMEM };

/* A value as it is written, with room for those that are not written yet. */
struct value {
    struct lsqi_decimal_text text;
    char room[LSQI_DECIMAL_ROOM];
};

static enum read read_text(struct value *value, sqlite3_value *from) {
    const char *text = (const char *)sqlite3_value_text(from);

    if (text == NULL) return READ_NOMEM;
    switch (lsqi_decimal_read(&value->text, text, (size_t)sqlite3_value_bytes(from))) {
    case LSQI_DECIMAL_READ: return READ;
    case LSQI_DECIMAL_FAR: return READ_FAR;
    default: return READ_NO_NUMBER;
    }
}

static enum read read_value(struct value *value, sqlite3_value *from) {
    switch (sqlite3_value_type(from)) {
    case SQLITE_NULL: return READ_NULL;
    case SQLITE_INTEGER:
        lsqi_decimal_read_integer(&value->text, sqlite3_value_int64(from), value->room);
        return READ;
    case SQLITE_FLOAT:
        return lsqi_decimal_read_real(&value->text, sqlite3_value_double(from), value->room)
                   ? READ
                   : READ_NO_NUMBER;
    case SQLITE_TEXT: return read_text(value, from);
    default: return READ_NO_NUMBER;
    }
}

static enum read read_number(struct lsqi_decimal *n, sqlite3_value *from) {
    struct value value;
    enum read read = read_value(&value, from);

    if (read == READ && !lsqi_decimal_from_text(n, &value.text)) return READ_FAR;
    return read;
}

/* ---- Answers ---- */

static void fail(sqlite3_context *context, int code, const char *what) {
    const char *name = sqlite3_user_data(context);
    char *message = sqlite3_mprintf("%s: %s", name, what);

    if (message == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    sqlite3_result_error(context, message, -1);
    sqlite3_result_error_code(context, code);
    sqlite3_free(message);
}

static void fail_digits(sqlite3_context *context) {
    char what[80];

    sqlite3_snprintf(sizeof(what), what, "a number has more than %d digits on a side of its point",
                     (int)LSQI_DECIMAL_DIGITS);
    fail(context, SQLITE_TOOBIG, what);
}

/* What a function answers where an argument could not be read: NULL, where nothing else is said. */
static void answer_unread(sqlite3_context *context, enum read read) {
    if (read == READ_FAR) fail_digits(context);
    if (read == READ_NOMEM) sqlite3_result_error_nomem(context);
}

static void answer(sqlite3_context *context, const struct lsqi_decimal *n) {
    char text[LSQI_DECIMAL_TEXT];

    sqlite3_result_text(context, text, (int)lsqi_decimal_to_text(n, text), SQLITE_TRANSIENT);
}

/* ---- Functions ---- */

static void decimal(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct lsqi_decimal n;
    enum read read = read_number(&n, argv[0]);

    (void)argc;
    if (read == READ)
        answer(context, &n);
    else
        answer_unread(context, read);
}

static void decimal_cmp(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct value a;
    struct value b;
    enum read read = read_value(&a, argv[0]);

    (void)argc;
    if (read == READ) read = read_value(&b, argv[1]);
    if (read == READ)
        sqlite3_result_int(context, lsqi_decimal_compare(&a.text, &b.text));
    else
        answer_unread(context, read);
}

static bool read_two(sqlite3_context *context, sqlite3_value **argv, struct lsqi_decimal *a,
                     struct lsqi_decimal *b) {
    enum read first = read_number(a, argv[0]);
    enum read second = read_number(b, argv[1]);

    if (first == READ && second == READ) return true;
    /* NULL with whatever else is NULL. */
    if (first == READ_NULL || second == READ_NULL) return false;
    answer_unread(context, first == READ ? second : first);
    return false;
}

static void decimal_add(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct lsqi_decimal a;
    struct lsqi_decimal b;

    (void)argc;
    if (!read_two(context, argv, &a, &b)) return;
    if (lsqi_decimal_add(&a, &b))
        answer(context, &a);
    else
        fail_digits(context);
}

static void decimal_sub(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct lsqi_decimal a;
    struct lsqi_decimal b;

    (void)argc;
    if (!read_two(context, argv, &a, &b)) return;
    if (lsqi_decimal_sub(&a, &b))
        answer(context, &a);
    else
        fail_digits(context);
}

static void decimal_mul(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct lsqi_decimal a;
    struct lsqi_decimal b;
    struct lsqi_decimal product;

    (void)argc;
    if (!read_two(context, argv, &a, &b)) return;
    if (lsqi_decimal_mul(&product, &a, &b))
        answer(context, &product);
    else
        fail_digits(context);
}

static void decimal_div(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct lsqi_decimal a;
    struct lsqi_decimal b;
    struct lsqi_decimal quotient;

    (void)argc;
    if (!read_two(context, argv, &a, &b)) return;
    if (lsqi_decimal_is_zero(&b)) return;
    if (lsqi_decimal_div(&quotient, &a, &b))
        answer(context, &quotient);
    else
        fail_digits(context);
}

/* ---- Aggregates ---- */

struct sum {
    int64_t count;
    struct lsqi_decimal total;
    /* How many numbers of each scale there are: so that a window that slides on has the scale of what is
     * in it, however it came there. */
    int64_t scales[LSQI_DECIMAL_DIGITS + 1];
};

/* False: it is NULL, or *context has the error. */
static bool read_step(sqlite3_context *context, sqlite3_value *from, struct lsqi_decimal *n) {
    enum read read = read_number(n, from);

    if (read == READ_NO_NUMBER) fail(context, SQLITE_MISMATCH, "a value is no decimal number");
    answer_unread(context, read);
    return read == READ;
}

static void sum_step(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct sum *sum = sqlite3_aggregate_context(context, sizeof(*sum));
    struct lsqi_decimal n;

    (void)argc;
    if (sum == NULL) {
        sqlite3_result_error_nomem(context);
        return;
    }
    if (!read_step(context, argv[0], &n)) return;
    if (sum->count == 0) lsqi_decimal_zero(&sum->total);
    sum->count++;
    sum->scales[n.scale]++;
    if (!lsqi_decimal_add(&sum->total, &n)) fail_digits(context);
}

static void sum_inverse(sqlite3_context *context, int argc, sqlite3_value **argv) {
    struct sum *sum = sqlite3_aggregate_context(context, sizeof(*sum));
    struct lsqi_decimal n;
    int scale;

    (void)argc;
    /* What is taken out was put in before. */
    if (sum == NULL || sum->count == 0 || !read_step(context, argv[0], &n)) return;
    sum->count--;
    sum->scales[n.scale]--;
    if (!lsqi_decimal_sub(&sum->total, &n)) fail_digits(context);
    scale = sum->total.scale;
    while (scale > 0 && sum->scales[scale] == 0) scale--;
    lsqi_decimal_narrow(&sum->total, scale);
}

static void sum_value(sqlite3_context *context) {
    const struct sum *sum = sqlite3_aggregate_context(context, 0);

    if (sum != NULL && sum->count > 0) answer(context, &sum->total);
}

static void avg_value(sqlite3_context *context) {
    const struct sum *sum = sqlite3_aggregate_context(context, 0);
    struct lsqi_decimal quotient;
    struct lsqi_decimal count;
    struct value value;

    if (sum == NULL || sum->count == 0) return;
    lsqi_decimal_read_integer(&value.text, sum->count, value.room);
    if (lsqi_decimal_from_text(&count, &value.text) &&
        lsqi_decimal_div(&quotient, &sum->total, &count))
        answer(context, &quotient);
    else
        fail_digits(context);
}

/* ---- Their names ---- */

static int collate(void *arg, int a_len, const void *a, int b_len, const void *b) {
    (void)arg;
    return lsqi_decimal_collate(a, (size_t)a_len, b, (size_t)b_len);
}

struct function {
    const char *name;
    int arguments;
    void (*run)(sqlite3_context *context, int argc, sqlite3_value **argv);
};

static const struct function functions[] = {
    {"decimal", 1, decimal},         {"decimal_cmp", 2, decimal_cmp},
    {"decimal_add", 2, decimal_add}, {"decimal_sub", 2, decimal_sub},
    {"decimal_mul", 2, decimal_mul}, {"decimal_div", 2, decimal_div},
};

int lsqi_decimal_register(sqlite3 *db) {
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    int rc = sqlite3_create_collation_v2(db, "decimal", SQLITE_UTF8, NULL, collate, NULL);

    for (size_t i = 0; rc == SQLITE_OK && i < sizeof(functions) / sizeof(functions[0]); i++) {
        const struct function *f = &functions[i];

        rc = sqlite3_create_function_v2(db, f->name, f->arguments, flags, (void *)f->name, f->run,
                                        NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK)
        rc = sqlite3_create_window_function(db, "decimal_sum", 1, flags, "decimal_sum", sum_step,
                                            sum_value, sum_value, sum_inverse, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_create_window_function(db, "decimal_avg", 1, flags, "decimal_avg", sum_step,
                                            avg_value, avg_value, sum_inverse, NULL);
    return rc;
}

/* sql.h - what can be said of SQL text without compiling it. Knows the engine's rules for white space, comments,
 * quotes and parameters, and no grammar. Threads: any. */
#ifndef LSQI_BASE_SQL_H
#define LSQI_BASE_SQL_H

#include "base/buf.h"
#include "lsq/lsq.h"

/* Refuses text that no statement can be made of: NULL, a NUL, invalid UTF-8, too long. */
enum lsq_status lsqi_sql_check(const char *sql, size_t len, struct lsq_error *err);

/* The part of sql[0..len) that is white space, comments and semicolons, from its start. */
size_t lsqi_sql_skip(const char *sql, size_t len, bool semicolons);

/* By the first word. WITH counts as SELECT, and EXPLAIN too. */
enum lsq_command lsqi_sql_first_word(const char *sql, size_t len);

enum lsqi_sql_kind {
    LSQI_SQL_END,
    LSQI_SQL_WORD,   /* a keyword, a name without quotes, a number */
    LSQI_SQL_QUOTED, /* '...', "...", `...`, [...] */
    LSQI_SQL_PARAM,  /* ?, ?1, :a, @a, $a */
    LSQI_SQL_OTHER   /* one character */
};

struct lsqi_sql_token {
    enum lsqi_sql_kind kind;
    size_t at;
    size_t len;
};

/* The next token of sql[*at..len), white space and comments passed over; *at goes behind it. */
struct lsqi_sql_token lsqi_sql_next(const char *sql, size_t len, size_t *at);

/* A parameter with a name: its place in the text, its prefix with it. */
struct lsqi_sql_name {
    size_t at;
    size_t len;
    size_t number; /* from 1 */
};

/* What a text says of itself; by one look over its tokens. */
struct lsqi_sql_facts {
    enum lsq_command
        command; /* WITH and EXPLAIN told: by the first word that is no part of a CTE */
    bool explain;
    bool reads;        /* it can but read: to run it twice is to run it once */
    bool sets_session; /* PRAGMA, ATTACH, temporary tables: it changes the connection it runs on */
    bool control;      /* BEGIN, COMMIT, END, ROLLBACK, SAVEPOINT, RELEASE */
    bool begins;       /* BEGIN, SAVEPOINT */
    bool partly;       /* ROLLBACK TO: the transaction stays */
    size_t params;     /* the greatest number of a parameter, as the engine counts them */
    struct lsqi_sql_name *names; /* of those that have one; NULL: none has */
    size_t name_count;
};
/* Of the text's first statement; to be released where it is LSQ_OK. Errors: LSQ_NOMEM. */
enum lsq_status lsqi_sql_look(const char *sql, size_t len, struct lsqi_sql_facts *facts,
                              struct lsq_error *err);
void lsqi_sql_facts_release(struct lsqi_sql_facts *facts);

/* Adds the text to *out with numbers (?2) for its parameters' names: for who knows values by position only. */
void lsqi_sql_number(const char *sql, size_t len, const struct lsqi_sql_facts *facts,
                     struct lsqi_buf *out);

/* The length of the first statement of sql[0..len), its semicolon with it; a trigger's body is part of it. */
size_t lsqi_sql_statement(const char *sql, size_t len);

#endif

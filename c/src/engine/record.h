/* record.h - what a statement does, noted by the authorizer while the engine compiles it.
 *
 * sqlite3_stmt_readonly() alone decides nothing: it is true for BEGIN, COMMIT, ATTACH, most PRAGMAs
 * and a DROP of something absent. This record holds what the compiled program was allowed to do,
 * triggers included.
 * Threads: that of the connection. */
#ifndef LSQI_ENGINE_RECORD_H
#define LSQI_ENGINE_RECORD_H

#include <sqlite3.h>

#include "lsq/lsq.h"

enum lsqi_action {
    LSQI_WRITES_TEMP = 1 << 0, /* rows or schema of the temp database */
    LSQI_DDL = 1 << 1,         /* CREATE, DROP, ALTER, REINDEX, ANALYZE */
    LSQI_PRAGMA = 1 << 2,      /* also through a pragma_ table */
    LSQI_ATTACH = 1 << 3,      /* ATTACH, DETACH; VACUUM attaches too */
    LSQI_TXN = 1 << 4,         /* BEGIN, COMMIT, ROLLBACK */
    LSQI_SAVEPOINT = 1 << 5,
    LSQI_LONG_FUNCTION = 1 << 6,  /* cost depends on its arguments, or it is not known */
    LSQI_ACTING_FUNCTION = 1 << 7 /* does something: load_extension, fts5 commands, ... */
};

struct lsqi_record {
    unsigned actions;     /* of enum lsqi_action */
    unsigned writes;      /* databases other than temp that it may write: bit i for database i */
    enum lsq_command dml; /* INSERT, UPDATE, DELETE: the statement's own, not a trigger's */
    bool pragma_value;    /* PRAGMA name = value, or name(value) */
    unsigned pragma_database; /* the one that it names; bit i for database i */
    char pragma[32];
    char value[24];
};

/* Notes one call of the authorizer. */
void lsqi_record_note(struct lsqi_record *record, sqlite3 *db, int action, const char *arg1,
                      const char *arg2, const char *database, const char *trigger);

/* Takes out what the statement itself does not do. Virtual tables compile statements of their own, when
 * they are first used (R*Tree) or while another runs (FTS5 at a COMMIT), and the authorizer is told of
 * them as it is of the user's. */
void lsqi_record_settle(struct lsqi_record *record, sqlite3_stmt *stmt);

/* Nothing outside the statement changes when it runs. */
static inline bool lsqi_record_reads_only(const struct lsqi_record *record) {
    return record->writes == 0 && (record->actions & ~(unsigned)LSQI_LONG_FUNCTION) == 0;
}

#endif

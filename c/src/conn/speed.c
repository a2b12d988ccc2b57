/* Where a statement may run: told by how quick it has been, and by what it is made of. */
#include "conn/conn.h"
#include "engine/program.h"

enum {
    SHORT_RUN_US = 100, /* what earns the fast path ... */
    GOOD_RUNS = 3,      /* ... so many times in a row */
    LONG_RUN_MS = 20,   /* what loses a statement the shared threads ... */
    PATIENCE = 3        /* ... until it was under a quarter of that so many times */
};

bool lsqi_speed_vacuum(const struct lsqi_prepared *prepared) {
    size_t at = lsqi_sql_skip(prepared->sql, prepared->len, true);

    return sqlite3_strnicmp(prepared->sql + at, "vacuum", 6) == 0;
}

bool lsqi_speed_too_long(const struct lsqi_prepared *prepared) {
    const unsigned unstoppable = LSQI_DDL | LSQI_ATTACH | LSQI_LONG_FUNCTION;
    static const char *const long_pragmas[] = {
        "foreign_key_check", "incremental_vacuum", "integrity_check", "journal_mode",
        "optimize",          "quick_check",        "rekey",           "wal_checkpoint",
    };

    if (prepared->speed.slow) return true;
    if ((prepared->record.actions & LSQI_PRAGMA) != 0) {
        for (size_t i = 0; i < sizeof(long_pragmas) / sizeof(long_pragmas[0]); i++) {
            if (sqlite3_stricmp(prepared->record.pragma, long_pragmas[i]) == 0) return true;
        }
    }
    if ((prepared->record.actions & unstoppable) != 0) return prepared->speed.patience < PATIENCE;
    return prepared->command == LSQ_COMMAND_OTHER && lsqi_speed_vacuum(prepared);
}

void lsqi_speed_learn(struct lsqi_prepared *prepared, int64_t took) {
    struct lsqi_speed *speed = &prepared->speed;

    if (took < SHORT_RUN_US * 1000) {
        if (speed->good < GOOD_RUNS) speed->good++;
    } else {
        speed->good = 0;
    }
    if (took > (int64_t)LONG_RUN_MS * 1000000) {
        speed->slow = true;
        speed->patience = 0;
    } else if (took < (int64_t)LONG_RUN_MS * 250000 && speed->patience < PATIENCE) {
        if (++speed->patience == PATIENCE) speed->slow = false;
    }
}

bool lsqi_speed_short(const struct lsqi_prepared *prepared) {
    return prepared->speed.good >= GOOD_RUNS;
}

static bool fast_place(const struct lsq_conn *conn) { return !conn->no_fast_path && conn->calm; }

/* Whether a statement has been quick often enough for its program to be worth a look. */
bool lsqi_speed_to_be_judged(const struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    return prepared->speed.judged == 0 && lsqi_speed_short(prepared) && fast_place(conn);
}

static bool only_selects(const struct lsqi_prepared *prepared) {
    return lsqi_record_reads_only(&prepared->record) && prepared->record.actions == 0 &&
           prepared->command == LSQ_COMMAND_SELECT && sqlite3_column_count(prepared->stmt) > 0;
}

/* Judges it; the program is had by compiling the text once more. */
void lsqi_speed_judge(struct lsq_conn *conn, struct lsqi_prepared *prepared) {
    if (!lsqi_speed_to_be_judged(conn, prepared)) return;
    if (!only_selects(prepared))
        prepared->speed.judged = 2;
    else if (conn->compiles)
        prepared->speed.judged =
            lsqi_program_bounded(conn->db, prepared->sql, prepared->len) ? 1 : 2;
}

bool lsqi_speed_fast(const struct lsq_conn *conn, const struct lsqi_prepared *prepared) {
    return prepared->speed.judged == 1 && lsqi_speed_short(prepared) && fast_place(conn);
}

#include "engine/program.h"

#include <stdlib.h>
#include <string.h>

/* Instructions of bounded cost, sorted. Not here, and so never on a scheduler thread: sorters
 * (SorterSort is one instruction for a whole sort), Count, virtual tables (one step of a full-text
 * search is one instruction), transaction control, PRAGMA, everything that writes a real table, and
 * whatever an engine adds later. */
static const char *const bounded[] = {
    "Add",          "AddImm",
    "Affinity",     "AggFinal",
    "AggInverse",   "AggStep",
    "AggStep1",     "AggValue",
    "And",          "BeginSubrtn",
    "BitAnd",       "BitNot",
    "BitOr",        "Blob",
    "Cast",         "Close",
    "ClrSubtype",   "CollSeq",
    "Column",       "Compare",
    "Concat",       "Copy",
    "CursorHint",   "CursorLock",
    "CursorUnlock", "DecrJumpZero",
    "DeferredSeek", "Divide",
    "ElseEq",       "EndCoroutine",
    "Eq",           "Explain",
    "Filter",       "FilterAdd",
    "FinishSeek",   "Found",
    "Function",     "Ge",
    "GetSubtype",   "Gosub",
    "Goto",         "Gt",
    "Halt",         "HaltIfNull",
    "IdxGE",        "IdxGT",
    "IdxInsert",    "IdxLE",
    "IdxLT",        "IdxRowid",
    "If",           "IfNoHope",
    "IfNot",        "IfNotOpen",
    "IfNotZero",    "IfNullRow",
    "IfPos",        "IfSizeBetween",
    "Init",         "InitCoroutine",
    "Int64",        "IntCopy",
    "Integer",      "IsNull",
    "IsTrue",       "IsType",
    "Jump",         "Last",
    "Le",           "Lt",
    "MakeRecord",   "MemMax",
    "Move",         "Multiply",
    "MustBeInt",    "Ne",
    "NewRowid",     "Next",
    "NoConflict",   "Noop",
    "Not",          "NotExists",
    "NotFound",     "NotNull",
    "Null",         "NullRow",
    "Offset",       "OffsetLimit",
    "Once",         "OpenAutoindex",
    "OpenDup",      "OpenEphemeral",
    "OpenRead",     "Or",
    "Permutation",  "Prev",
    "PureFunc",     "Real",
    "RealAffinity", "ReleaseReg",
    "Remainder",    "ReopenIdx",
    "ResultRow",    "Return",
    "Rewind",       "RowCell",
    "RowData",      "RowSetAdd",
    "RowSetTest",   "Rowid",
    "SCopy",        "SeekEnd",
    "SeekGE",       "SeekGT",
    "SeekHit",      "SeekLE",
    "SeekLT",       "SeekRowid",
    "SeekScan",     "Sequence",
    "SequenceTest", "SetSubtype",
    "ShiftLeft",    "ShiftRight",
    "SoftNull",     "String",
    "String8",      "Subtract",
    "Trace",        "Transaction",
    "TypeCheck",    "Variable",
    "Yield",        "ZeroOrNull",
};

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool opcode_bounded(const char *name) {
    return bsearch(&name, bounded, sizeof(bounded) / sizeof(bounded[0]), sizeof(bounded[0]),
                   compare_names) != NULL;
}

bool lsqi_program_bounded(sqlite3 *db, const char *sql, size_t len) {
    sqlite3_stmt *stmt = NULL;
    char *text = sqlite3_mprintf("EXPLAIN %.*s", (int)len, sql);
    bool ok = text != NULL && sqlite3_prepare_v2(db, text, -1, &stmt, NULL) == SQLITE_OK;
    int rc = SQLITE_DONE;

    while (ok && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
        const char *opcode = (const char *)sqlite3_column_text(stmt, 1);

        /* Transaction with P2 = 1 begins a write. */
        ok = opcode != NULL && opcode_bounded(opcode) &&
             !(strcmp(opcode, "Transaction") == 0 && sqlite3_column_int(stmt, 3) != 0);
    }
    sqlite3_finalize(stmt);
    sqlite3_free(text);
    return ok && rc == SQLITE_DONE;
}

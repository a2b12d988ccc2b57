#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static const struct {
    const char *name;
    const char *text;
} statuses[] = {
#define LSQ_STATUS(name, atom, text) [LSQ_##name] = {#atom, text},
#include "lsq/status.def"
#undef LSQ_STATUS
};

const char *lsq_status_name(enum lsq_status status) {
    return (unsigned)status < LSQ_STATUS_COUNT ? statuses[status].name : "unknown";
}

const char *lsq_status_text(enum lsq_status status) {
    return (unsigned)status < LSQ_STATUS_COUNT ? statuses[status].text
                                               : "a status that this library does not know";
}

void lsqi_error_copy(char *field, size_t size, const char *text, size_t len) {
    size_t n = len < size ? len : lsqi_utf8_cut(text, len, size - 1);

    memcpy(field, text, n);
    field[n] = '\0';
}

enum lsq_status lsqi_error_set(struct lsq_error *err, enum lsq_status status, const char *format,
                               ...) {
    va_list args;
    int len;

    if (err == NULL) return status;
    memset(err, 0, sizeof(*err));
    err->status = status;
    err->sql_offset = -1;
    va_start(args, format);
    len = vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    if (len >= (int)sizeof(err->message)) {
        size_t kept = sizeof(err->message) - 1;

        err->message[lsqi_utf8_cut(err->message, kept, kept)] = '\0';
    }
    return status;
}

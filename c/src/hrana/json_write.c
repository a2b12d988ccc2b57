#include "hrana/json_write.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "base/utf8.h"

/* ---- Strings ---- */

static void add_unicode_escape(struct lsqi_buf *buf, unsigned char byte) {
    static const char digits[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};

    lsqi_buf_add(buf, text, sizeof(text));
}

static void add_escape(struct lsqi_buf *buf, unsigned char byte) {
    switch (byte) {
    case '"': lsqi_buf_add_text(buf, "\\\""); break;
    case '\\': lsqi_buf_add_text(buf, "\\\\"); break;
    case '\n': lsqi_buf_add_text(buf, "\\n"); break;
    case '\r': lsqi_buf_add_text(buf, "\\r"); break;
    case '\t': lsqi_buf_add_text(buf, "\\t"); break;
    default: add_unicode_escape(buf, byte);
    }
}

/* What is UTF-8, to be written between quotes. */
static void add_characters(struct lsqi_buf *buf, const char *text, size_t len) {
    size_t plain = 0; /* where the bytes begin that stand for themselves */

    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
        lsqi_buf_add(buf, text + plain, i - plain);
        add_escape(buf, byte);
        plain = i + 1;
    }
    lsqi_buf_add(buf, text + plain, len - plain);
}

void lsqi_json_string(struct lsqi_buf *buf, const char *text, size_t len) {
    lsqi_buf_add_text(buf, "\"");
    while (len > 0) {
        size_t n = lsqi_utf8_prefix(text, len);

        add_characters(buf, text, n);
        text += n;
        len -= n;
        if (len == 0) break;
        lsqi_buf_add_text(buf, "\xef\xbf\xbd");
        text++;
        len--;
    }
    lsqi_buf_add_text(buf, "\"");
}

/* ---- Numbers ---- */

void lsqi_json_integer(struct lsqi_buf *buf, int64_t value) {
    char text[24];
    char *at = text + sizeof(text);
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

    do *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0) *--at = '-';
    lsqi_buf_add(buf, at, (size_t)(text + sizeof(text) - at));
}

/* Zeros for the places that are not among the digits. */
static void add_zeros(struct lsqi_buf *buf, int64_t count) {
    for (; count > 0; count--) lsqi_buf_add(buf, "0", 1);
}

/* d.ddd, with an exponent */
static void add_scientific(struct lsqi_buf *buf, const struct lsqi_decimal_text *number) {
    lsqi_buf_add(buf, number->digits, 1);
    if (number->len > 1) {
        lsqi_buf_add_text(buf, ".");
        lsqi_buf_add(buf, number->digits + 1, number->len - 1);
    }
    lsqi_buf_add_text(buf, "e");
    lsqi_json_integer(buf, number->magnitude);
}

/* ddd.ddd */
static void add_plain(struct lsqi_buf *buf, const struct lsqi_decimal_text *number) {
    int64_t whole = number->magnitude + 1; /* digits before the point */
    int64_t len = (int64_t)number->len;
    int64_t before = whole < 0 ? 0 : (whole < len ? whole : len);

    lsqi_buf_add(buf, number->digits, (size_t)before);
    add_zeros(buf, whole <= 0 ? 1 : whole - before);
    lsqi_buf_add_text(buf, ".");
    add_zeros(buf, before == len ? 1 : -whole);
    lsqi_buf_add(buf, number->digits + before, (size_t)(len - before));
}

/* Servers tell a REAL from an INTEGER by the type beside the value; the point is for readers that go by the
 * number's form. */
void lsqi_json_real(struct lsqi_buf *buf, double value) {
    struct lsqi_decimal_text number;
    char room[LSQI_DECIMAL_ROOM];

    if (!lsqi_decimal_read_real(&number, value, room)) {
        lsqi_buf_add_text(buf, "null");
        return;
    }
    if (signbit(value)) lsqi_buf_add_text(buf, "-");
    if (number.len == 0) {
        lsqi_buf_add_text(buf, "0.0");
        return;
    }
    if (number.magnitude < -6 || number.magnitude > 16)
        add_scientific(buf, &number);
    else
        add_plain(buf, &number);
}

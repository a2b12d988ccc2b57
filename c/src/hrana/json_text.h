/* json_text.h - what stands in a JSON string, and numbers. Threads: any. */
#ifndef LSQI_HRANA_JSON_TEXT_H
#define LSQI_HRANA_JSON_TEXT_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes text with characters for its escapes to `to`, which has len bytes, and may be the text itself. A surrogate
 * without its other half becomes U+FFFD. Returns the new length; SIZE_MAX: there is an escape that JSON does not
 * have. */
size_t lsqi_json_unescape(char *to, const char *text, size_t len);

/* Whether it is a number as JSON has it. */
bool lsqi_json_is_number(const char *text, size_t len);

/* An integer in decimal digits, with or without '-'. False: it is none, or it does not fit. */
bool lsqi_json_to_integer(int64_t *value, const char *text, size_t len);

/* The double that is nearest to a number of less than LSQI_JSON_WORD bytes; infinite where it is too large.
 * c_locale: newlocale()'s of the name "C". False: it is no number as JSON has it. */
bool lsqi_json_to_real(double *value, const char *text, size_t len, locale_t c_locale);

#endif

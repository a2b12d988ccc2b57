/* decimal.h - exact decimals in SQL: the functions decimal, decimal_cmp, decimal_add, decimal_sub,
 * decimal_mul and decimal_div, the aggregates (and window functions) decimal_sum and decimal_avg, and the
 * collation decimal. Names and values are those of SQLite's own decimal extension, where it has them.
 *
 * A number is an INTEGER, a REAL (by the fewest digits that read back as it), or a TEXT that
 * base/decimal.h reads. What is no number (a BLOB, infinity, other texts) makes the functions NULL, and
 * fails the aggregates, for a sum without it would be a wrong one. Division by zero is NULL, as in
 * SQLite. A number or result of more than LSQI_DECIMAL_DIGITS digits on a side of the point is an
 * error; the collation and decimal_cmp take any.
 *
 * Results are TEXT without an exponent, with the larger scale of what was added, with the sum of the
 * scales of what was multiplied; decimal_div and decimal_avg have at most 28 significant digits.
 * Threads: that of the connection. */
#ifndef LSQI_ENGINE_DECIMAL_H
#define LSQI_ENGINE_DECIMAL_H

#include <sqlite3.h>

/* Makes them known to the connection. Answers a result code of the engine. */
int lsqi_decimal_register(sqlite3 *db);

#endif

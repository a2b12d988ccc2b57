/* Numbers stand on both sides of a fixed point, in limbs of nine digits: so two of them are aligned as
 * they are, and a typical one has a limb on each side. */
#include "base/decimal.h"

#include <string.h>

#define BASE 1000000000u

enum { LIMBS = LSQI_DECIMAL_LIMBS, DIGITS = LSQI_DECIMAL_DIGITS, POINT = LIMBS, END = 2 * LIMBS };

static const uint32_t power[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* Where the limbs of so many digits behind the point begin. */
static int low_of(int scale) { return POINT - (scale + 8) / 9; }

static uint32_t limb_at(const struct lsqi_decimal *n, int i) {
    return i < n->low || i >= n->high ? 0 : n->limb[i];
}

static void set_zeros(struct lsqi_decimal *n, int low, int high) {
    if (high > low) memset(n->limb + low, 0, (size_t)(high - low) * sizeof(n->limb[0]));
}

static void trim(struct lsqi_decimal *n) {
    while (n->high > POINT && n->limb[n->high - 1] == 0) n->high--;
    if (n->negative && lsqi_decimal_is_zero(n)) n->negative = false;
}

void lsqi_decimal_zero(struct lsqi_decimal *n) {
    n->negative = false;
    n->scale = 0;
    n->low = POINT;
    n->high = POINT;
}

bool lsqi_decimal_is_zero(const struct lsqi_decimal *n) {
    for (int i = n->low; i < n->high; i++)
        if (n->limb[i] != 0) return false;
    return true;
}

/* ---- Text ---- */

bool lsqi_decimal_from_text(struct lsqi_decimal *n, const struct lsqi_decimal_text *text) {
    int64_t scale = text->scale < 0 ? 0 : text->scale;
    int at = 0; /* the digit's number, counted from the lowest possible one */

    if (scale > DIGITS || (text->len > 0 && text->magnitude >= DIGITS)) return false;
    n->negative = text->negative;
    n->scale = (int)scale;
    n->low = low_of(n->scale);
    n->high = POINT;
    if (text->len > 0) at = (int)text->magnitude + DIGITS;
    if (at >= DIGITS) n->high += (at - DIGITS) / 9 + 1;
    set_zeros(n, n->low, n->high);
    for (size_t i = 0; i < text->len; i++) {
        if (text->digits[i] == '.') continue;
        n->limb[at / 9] += (uint32_t)(text->digits[i] - '0') * power[at % 9];
        at--;
    }
    return true;
}

/* The first `digits` digits of a limb. */
static size_t put_limb(char *text, uint32_t limb, int digits) {
    for (int i = 0; i < digits; i++) text[i] = (char)('0' + limb / power[8 - i] % 10);
    return (size_t)digits;
}

size_t lsqi_decimal_to_text(const struct lsqi_decimal *n, char text[LSQI_DECIMAL_TEXT]) {
    size_t len = 0;
    size_t zeros = 0;
    char top[9];

    if (n->negative) text[len++] = '-';
    if (n->high == POINT) {
        text[len++] = '0';
    } else {
        put_limb(top, n->limb[n->high - 1], 9);
        while (top[zeros] == '0') zeros++;
        memcpy(text + len, top + zeros, 9 - zeros);
        len += 9 - zeros;
    }
    for (int i = n->high - 2; i >= POINT; i--) len += put_limb(text + len, n->limb[i], 9);
    if (n->scale == 0) return len;
    text[len++] = '.';
    for (int left = n->scale, i = POINT - 1; left > 0; left -= 9, i--)
        len += put_limb(text + len, n->limb[i], left < 9 ? left : 9);
    return len;
}

/* ---- Sums ---- */

static void widen(struct lsqi_decimal *n, int scale) {
    int low = low_of(scale);

    if (scale <= n->scale) return;
    set_zeros(n, low, n->low);
    n->scale = scale;
    n->low = low;
}

void lsqi_decimal_narrow(struct lsqi_decimal *n, int scale) {
    if (scale >= n->scale) return;
    n->scale = scale;
    n->low = low_of(scale);
}

/* Without their signs. */
static int compare(const struct lsqi_decimal *a, const struct lsqi_decimal *b) {
    int low = a->low < b->low ? a->low : b->low;

    if (a->high != b->high) return a->high < b->high ? -1 : 1;
    for (int i = a->high - 1; i >= low; i--) {
        uint32_t x = limb_at(a, i);
        uint32_t y = limb_at(b, i);

        if (x != y) return x < y ? -1 : 1;
    }
    return 0;
}

/* sum has at least the scale of n. */
static bool add_limbs(struct lsqi_decimal *sum, const struct lsqi_decimal *n) {
    uint32_t carry = 0;

    if (n->high > sum->high) {
        set_zeros(sum, sum->high, n->high);
        sum->high = n->high;
    }
    for (int i = n->low; i < n->high || carry != 0; i++) {
        uint32_t limb;

        if (i == END) return false;
        if (i == sum->high) sum->limb[sum->high++] = 0;
        limb = sum->limb[i] + limb_at(n, i) + carry;
        carry = limb >= BASE;
        sum->limb[i] = carry ? limb - BASE : limb;
    }
    return true;
}

/* a - b to out, which has the scale of the larger one and may be either; a is not less than b. */
static void sub_limbs(struct lsqi_decimal *out, const struct lsqi_decimal *a,
                      const struct lsqi_decimal *b) {
    int high = a->high;
    uint32_t borrow = 0;

    for (int i = out->low; i < high; i++) {
        uint32_t x = limb_at(a, i);
        uint32_t y = limb_at(b, i) + borrow;

        borrow = x < y;
        out->limb[i] = borrow ? x + BASE - y : x - y;
    }
    out->high = high;
}

static bool add_signed(struct lsqi_decimal *sum, const struct lsqi_decimal *n, bool negative) {
    bool fits = true;

    widen(sum, n->scale);
    if (sum->negative == negative) {
        fits = add_limbs(sum, n);
    } else if (compare(sum, n) >= 0) {
        sub_limbs(sum, sum, n);
    } else {
        sub_limbs(sum, n, sum);
        sum->negative = negative;
    }
    trim(sum);
    return fits;
}

bool lsqi_decimal_add(struct lsqi_decimal *sum, const struct lsqi_decimal *n) {
    return add_signed(sum, n, n->negative);
}

bool lsqi_decimal_sub(struct lsqi_decimal *sum, const struct lsqi_decimal *n) {
    return add_signed(sum, n, !n->negative);
}

/* ---- Products ---- */

/* The product's limbs, those of least weight first. */
static void multiply(uint32_t *product, const uint32_t *a, int a_count, const uint32_t *b,
                     int b_count) {
    memset(product, 0, (size_t)(a_count + b_count) * sizeof(product[0]));
    for (int i = 0; i < a_count; i++) {
        uint64_t carry = 0;

        for (int j = 0; j < b_count; j++) {
            carry += (uint64_t)a[i] * b[j] + product[i + j];
            product[i + j] = (uint32_t)(carry % BASE);
            carry /= BASE;
        }
        product[i + b_count] = (uint32_t)carry;
    }
}

bool lsqi_decimal_mul(struct lsqi_decimal *out, const struct lsqi_decimal *a,
                      const struct lsqi_decimal *b) {
    uint32_t product[2 * END];
    int count = a->high - a->low + b->high - b->low;
    int first = a->low + b->low - POINT; /* where product[0] belongs */

    if (a->scale + b->scale > DIGITS) return false;
    multiply(product, a->limb + a->low, a->high - a->low, b->limb + b->low, b->high - b->low);
    out->negative = a->negative != b->negative;
    out->scale = a->scale + b->scale;
    out->low = low_of(out->scale);
    out->high = POINT;
    for (int i = 0; i < count; i++) {
        int at = first + i;

        /* Below low there are only zeros: the scales add up to no more digits than out has. */
        if (at < out->low) continue;
        if (at >= END) {
            if (product[i] != 0) return false;
            continue;
        }
        out->limb[at] = product[i];
        if (at >= out->high) out->high = at + 1;
    }
    trim(out);
    return true;
}

/* ---- Quotients ---- */

/* 29 digits decide; the first limb may be 0, the second have one digit only. */
enum { QUOTIENT_LIMBS = 6, DECIDING = LSQI_DECIMAL_PRECISION + 1 };

/* The limbs that count, those of most weight first. */
struct span {
    uint32_t limb[END + 1];
    int count;
    int top; /* where the first one stands in struct lsqi_decimal */
};

static void span_of(struct span *span, const struct lsqi_decimal *n) {
    int top = n->high - 1;
    int bottom = n->low;

    while (n->limb[top] == 0) top--;
    while (n->limb[bottom] == 0) bottom++;
    span->top = top;
    span->count = top - bottom + 1;
    for (int i = 0; i < span->count; i++) span->limb[i] = n->limb[top - i];
}

/* Multiplies in place and answers what is carried out of the first limb. */
static uint32_t scale_by(struct span *span, uint32_t factor) {
    uint64_t carry = 0;

    for (int i = span->count - 1; i >= 0; i--) {
        carry += (uint64_t)span->limb[i] * factor;
        span->limb[i] = (uint32_t)(carry % BASE);
        carry /= BASE;
    }
    return (uint32_t)carry;
}

/* One limb of the quotient (Knuth, volume 2, 4.3.1, algorithm D): rest has a limb more than divisor,
 * whose first limb is at least BASE / 2. The rest stays. */
static uint32_t divide_step(uint32_t *rest, const struct span *divisor) {
    const uint32_t *d = divisor->limb;
    int count = divisor->count;
    uint64_t two = (uint64_t)rest[0] * BASE + rest[1];
    uint64_t guess = two / d[0];
    uint64_t left = two % d[0];
    uint64_t carried = 0;

    while (guess >= BASE || (count > 1 && guess * d[1] > left * BASE + rest[2])) {
        guess--;
        left += d[0];
        if (left >= BASE) break;
    }
    for (int i = count - 1; i >= 0; i--) {
        uint32_t limb;

        carried += guess * d[i];
        limb = (uint32_t)(carried % BASE);
        carried /= BASE;
        carried += rest[i + 1] < limb;
        rest[i + 1] = rest[i + 1] < limb ? rest[i + 1] + BASE - limb : rest[i + 1] - limb;
    }
    if (rest[0] < carried) { /* one too many */
        uint32_t carry = 0;

        guess--;
        for (int i = count - 1; i >= 0; i--) {
            uint32_t limb = rest[i + 1] + d[i] + carry;

            carry = limb >= BASE;
            rest[i + 1] = carry ? limb - BASE : limb;
        }
    }
    return (uint32_t)guess;
}

/* The quotient's first limbs; true if nothing is left behind them. */
static bool divide(uint32_t quotient[QUOTIENT_LIMBS], struct span *a, struct span *b) {
    uint32_t factor = BASE / (b->limb[0] + 1);
    uint32_t above = scale_by(a, factor);
    uint32_t rest[END + 2];
    int next = b->count - 1; /* of a's limbs */

    (void)scale_by(b, factor);
    rest[1] = above;
    for (int i = 0; i < next; i++) rest[i + 2] = i < a->count ? a->limb[i] : 0;
    for (int k = 0; k < QUOTIENT_LIMBS; k++, next++) {
        memmove(rest, rest + 1, (size_t)b->count * sizeof(rest[0]));
        rest[b->count] = next < a->count ? a->limb[next] : 0;
        quotient[k] = divide_step(rest, b);
    }
    for (int i = 1; i <= b->count; i++)
        if (rest[i] != 0) return false;
    for (; next < a->count; next++)
        if (a->limb[next] != 0) return false;
    return true;
}

/* Rounds digits[0..DECIDING) to one fewer, a half away from zero, and answers how many there are: all
 * of them where a 1 came in front. */
static int round_digits(char *digits, int64_t *magnitude) {
    int i = LSQI_DECIMAL_PRECISION - 1;

    if (digits[LSQI_DECIMAL_PRECISION] < '5') return LSQI_DECIMAL_PRECISION;
    while (i >= 0 && digits[i] == '9') digits[i--] = '0';
    if (i >= 0) {
        digits[i]++;
        return LSQI_DECIMAL_PRECISION;
    }
    digits[0] = '1';
    memset(digits + 1, '0', LSQI_DECIMAL_PRECISION);
    ++*magnitude;
    return DECIDING;
}

bool lsqi_decimal_div(struct lsqi_decimal *out, const struct lsqi_decimal *a,
                      const struct lsqi_decimal *b) {
    struct lsqi_decimal_text text = {.negative = a->negative != b->negative};
    uint32_t quotient[QUOTIENT_LIMBS];
    char room[9 * QUOTIENT_LIMBS];
    char *digits = room;
    struct span dividend;
    struct span divisor;
    int64_t wanted = a->scale - b->scale;
    int64_t count = sizeof(room);
    bool exact;

    if (lsqi_decimal_is_zero(a)) {
        lsqi_decimal_zero(out);
        if (wanted > 0) widen(out, (int)wanted);
        return true;
    }
    span_of(&dividend, a);
    span_of(&divisor, b);
    exact = divide(quotient, &dividend, &divisor);
    for (int i = 0; i < QUOTIENT_LIMBS; i++) put_limb(room + 9 * i, quotient[i], 9);
    text.magnitude = 9 * (int64_t)(dividend.top - divisor.top + 1) - 1;
    for (; *digits == '0'; digits++, count--) text.magnitude--;
    while (exact && digits[count - 1] == '0') count--;
    if (count < text.magnitude + 1 + wanted) count = text.magnitude + 1 + wanted;
    if (count >= DECIDING) count = round_digits(digits, &text.magnitude);
    text.scale = count - 1 - text.magnitude;
    while (count > 0 && digits[count - 1] == '0') count--;
    text.digits = digits;
    text.len = (size_t)count;
    return lsqi_decimal_from_text(out, &text);
}

/* wire/format_number.c - numeric and floats as the server prints them.
 *
 * A float has the shortest digits that lie strictly between the halves to its two neighbours, of those the closest:
 * what the server writes with extra_float_digits 1. They are found by exact arithmetic on large integers, after Steele
 * and White and R. G. Burger, R. K. Dybvig, "Printing Floating-Point Numbers Quickly and Accurately" (PLDI 1996), which
 * needs no tables, no libm and no locale. */
#include "wire/print.h"
#include "wire/load.h"

/* ---- large integers: 32 bits a limb, the lowest first ---- */

/* The largest is a subnormal double by 10^324, times 4 and times 10: less than 1,150 bits; 40 limbs are 1,280. */
enum { LIMBS = 40 };
struct large {
    uint32_t limb[LIMBS];
};

static void multiply(struct large *n, uint32_t by)
{
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)n->limb[i] * by;
        n->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
}
static void multiply_power(struct large *n, uint32_t base, int exponent)
{
    for (; exponent > 0; exponent--) multiply(n, base);
}
static void shift_left(struct large *n, int bits)
{
    int limbs = bits / 32;
    memmove(n->limb + limbs, n->limb, sizeof n->limb - (size_t)limbs * sizeof n->limb[0]);
    memset(n->limb, 0, (size_t)limbs * sizeof n->limb[0]);
    multiply(n, 1u << bits % 32);
}
static struct large large_of(uint64_t number, int shift)
{
    struct large n = { { (uint32_t)number, (uint32_t)(number >> 32) } };
    shift_left(&n, shift);
    return n;
}
static int compare(const struct large *a, const struct large *b)
{
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}
/* a + b compared with c. */
static int compare_sum(const struct large *a, const struct large *b, const struct large *c)
{
    struct large sum;
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)a->limb[i] + b->limb[i];
        sum.limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    return compare(&sum, c);
}
static void subtract(struct large *a, const struct large *b)
{
    int64_t borrow = 0;
    for (int i = 0; i < LIMBS; i++) {
        borrow += (int64_t)a->limb[i] - b->limb[i];
        a->limb[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
}

/* ---- the shortest digits ---- */

/* A float as mantissa * 2^exponent; at a power of two the neighbour below is half as far as the one above. */
struct binary {
    uint64_t mantissa;
    int exponent;
    bool edge;
};
struct decimal {
    char digits[20];
    int count, exponent;
}; /* d.ddd * 10^exponent */

/* The number is rest / whole, and half the way to a neighbour is above / whole or below / whole. */
struct ratio {
    struct large rest, whole, above, below;
};

static struct ratio ratio_of(struct binary f)
{
    int up = f.exponent > 0 ? f.exponent : 0, down = f.exponent < 0 ? -f.exponent : 0;
    return (struct ratio){ .rest = large_of(f.mantissa, up + 2),
                           .whole = large_of(1, down + 2),
                           .above = large_of(1, up + 1),
                           .below = large_of(1, up + (f.edge ? 0 : 1)) };
}

/* Scales so that the digits begin right behind the point; returns the power of ten. Begins at most one too low. */
static int scale(struct ratio *r, struct binary f)
{
    int bits = 63 - __builtin_clzll(f.mantissa) + f.exponent; /* 2^bits is not above the number */
    int power = bits >= 0 ? bits * 30103 / 100000 : -((-bits * 30103 + 99999) / 100000);
    multiply_power(&r->whole, 10, power);
    multiply_power(&r->rest, 10, -power);
    multiply_power(&r->above, 10, -power);
    multiply_power(&r->below, 10, -power);
    for (; compare_sum(&r->rest, &r->above, &r->whole) > 0; power++) multiply(&r->whole, 10);
    return power;
}

static struct decimal shortest(struct binary f)
{
    struct ratio r = ratio_of(f);
    struct decimal d = { .exponent = scale(&r, f) - 1 };
    for (;;) {
        int digit = 0;
        multiply(&r.rest, 10);
        multiply(&r.above, 10);
        multiply(&r.below, 10);
        for (; compare(&r.rest, &r.whole) >= 0; digit++) subtract(&r.rest, &r.whole);
        bool low = compare(&r.rest, &r.below)<0, high = compare_sum(&r.rest, &r.above, &r.whole)> 0;
        if (low && high) {
            int half = compare_sum(&r.rest, &r.rest, &r.whole);
            digit += half > 0 || (half == 0 && digit % 2);
        } else if (high) {
            digit++;
        }
        d.digits[d.count++] = (char)('0' + digit);
        if (low || high) return d;
    }
}

/* ---- how they are written ---- */

static void put_zeros(struct rp_sink *sink, int count)
{
    for (; count > 0; count--) rp_put_char(sink, '0');
}

static void put_plain(struct rp_sink *sink, const struct decimal *d)
{
    int whole = d->exponent < 0 ? 0 : d->exponent + 1;
    if (whole == 0) {
        rp_put(sink, "0.", 2);
        put_zeros(sink, -d->exponent - 1);
        rp_put(sink, d->digits, (size_t)d->count);
    } else if (d->count <= whole) {
        rp_put(sink, d->digits, (size_t)d->count);
        put_zeros(sink, whole - d->count);
    } else {
        rp_put(sink, d->digits, (size_t)whole);
        rp_put_char(sink, '.');
        rp_put(sink, d->digits + whole, (size_t)(d->count - whole));
    }
}

static void put_scientific(struct rp_sink *sink, const struct decimal *d)
{
    rp_put_char(sink, d->digits[0]);
    if (d->count > 1) rp_put_char(sink, '.');
    rp_put(sink, d->digits + 1, (size_t)d->count - 1);
    rp_put(sink, d->exponent < 0 ? "e-" : "e+", 2);
    rp_put_number(sink, (uint64_t)(d->exponent < 0 ? -d->exponent : d->exponent), 2);
}

/* Sign, exponent and fraction of an IEEE 754 number, which the server calls infinite or not a number in words. Plain
 * notation is for exponents from -4 up to FLT_DIG or DBL_DIG. */
const char *rp_print_float(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    if (value.size != type->size) return type->wrong_size;
    bool single = type->size == 4;
    uint64_t bits = single ? (uint64_t)rp_load_u32(value.data) << 32 : rp_load_u64(value.data);
    bool minus = bits >> 63;
    int width = single ? 23 : 52, most = single ? 255 : 2047, bias = single ? 127 : 1023;
    int exponent = (int)(bits >> (single ? 55 : 52)) & most;
    uint64_t fraction = (single ? bits >> 32 : bits) & ((UINT64_C(1) << width) - 1);
    if (exponent == most && fraction) {
        rp_put_text(sink, "NaN");
        return NULL;
    }
    if (minus) rp_put_char(sink, '-');
    if (exponent == most) {
        rp_put_text(sink, "Infinity");
    } else if (exponent == 0 && fraction == 0) {
        rp_put_char(sink, '0');
    } else {
        struct binary f = { fraction | (exponent ? UINT64_C(1) << width : 0), (exponent ? exponent : 1) - bias - width,
                            fraction == 0 && exponent > 1 };
        struct decimal d = shortest(f);
        if (d.exponent >= -4 && d.exponent < (single ? 6 : 15))
            put_plain(sink, &d);
        else
            put_scientific(sink, &d);
    }
    return NULL;
}

/* ---- numeric ---- */

static uint16_t digit_of(const struct rp_digits *n, int32_t weight)
{
    int32_t at = n->weight - weight;
    return at < 0 || at >= (int32_t)n->count ? 0 : rp_digit(n, (uint32_t)at);
}

/* All groups before the point, then `scale` decimals, of which the last group may be cut. */
static void put_numeric(struct rp_sink *sink, const struct rp_digits *n)
{
    if (n->sign == PG_SIGN_MINUS) rp_put_char(sink, '-');
    if (n->weight < 0) rp_put_char(sink, '0');
    for (int32_t weight = n->weight; weight >= 0 && !sink->found; weight--)
        rp_put_number(sink, digit_of(n, weight), weight == n->weight ? 1 : 4);
    if (n->scale) rp_put_char(sink, '.');
    for (int32_t weight = -1, left = n->scale; left > 0 && !sink->found; weight--, left -= 4) {
        uint16_t group = digit_of(n, weight);
        const char text[4] = { (char)('0' + group / 1000), (char)('0' + group / 100 % 10),
                               (char)('0' + group / 10 % 10), (char)('0' + group % 10) };
        rp_put(sink, text, left < 4 ? (size_t)left : 4);
    }
}

const char *rp_print_numeric(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    struct rp_digits n;
    const char *why = rp_read_numeric(value, type, &n);
    if (why) return why;
    switch (n.sign) {
    case PG_SIGN_NAN:
        rp_put_text(sink, "NaN");
        break;
    case PG_SIGN_INFINITY:
        rp_put_text(sink, "Infinity");
        break;
    case PG_SIGN_MINUS_INFINITY:
        rp_put_text(sink, "-Infinity");
        break;
    default:
        put_numeric(sink, &n);
        break;
    }
    return NULL;
}

/* wire/value_number.c - numeric out of a row: a view of its digits in groups of four, from both formats, and the
 * getters over that view. A number of any size is read where it stands.
 *
 * Source: numeric_send, numeric_out: big-endian Int16 count, weight, sign, scale, then the digits; text is plain
 * decimal, without an exponent. */
#include "wire/getter.h"
#include "wire/check.h"
#include "wire/load.h"
#include "wire/scan.h"

enum { HEAD_BYTES = 8, SCALE_MAX = 16383, GROUP = 4 };
static const uint16_t tens[GROUP + 1] = { 1, 10, 100, 1000, 10000 };
static const uint32_t TEXT_MAX = 131072 + SCALE_MAX + 2; /* the server's own limits, sign and point */

static const struct {
    const char *word;
    uint16_t sign;
} words[] = { { "NaN", PG_SIGN_NAN }, { "Infinity", PG_SIGN_INFINITY }, { "-Infinity", PG_SIGN_MINUS_INFINITY } };

/* As the server keeps it: no group of zeros at either end, and zero without a sign. */
static void strip_zeros(struct rp_digits *out)
{
    while (out->count && rp_digit(out, 0) == 0) {
        if (out->end)
            out->first++;
        else
            out->at += 2;
        out->weight--;
        out->count--;
    }
    while (out->count && rp_digit(out, out->count - 1) == 0) out->count--;
    if (out->count) return;
    out->weight = 0;
    out->sign = PG_SIGN_PLUS;
}

/* Its digits end within the decimals that it shows. */
static bool fits_scale(const struct rp_digits *n)
{
    if (n->count == 0) return true;
    /* Decimals of the last group, which is not zero, that are not shown. */
    int32_t excess = GROUP * ((int32_t)n->count - 1 - n->weight) - n->scale;
    return excess <= 0 || (excess < GROUP && rp_digit(n, n->count - 1) % tens[excess] == 0);
}

static const char *read_binary(struct pg_value value, const struct rp_type *type, struct rp_digits *out)
{
    if (value.size < HEAD_BYTES) return type->wrong_size;
    *out = (struct rp_digits){ .count = rp_load_u16(value.data),
                               .weight = (int16_t)rp_load_u16(value.data + 2),
                               .sign = rp_load_u16(value.data + 4),
                               .scale = rp_load_u16(value.data + 6),
                               .at = value.data + HEAD_BYTES };
    if (value.size != HEAD_BYTES + 2 * out->count) return type->wrong_size;
    if (rp_is_special(out->sign)) {
        if (out->count) return type->broken;
        *out = (struct rp_digits){ .sign = out->sign }; /* the server says nothing by the rest */
        return NULL;
    }
    if ((out->sign != PG_SIGN_PLUS && out->sign != PG_SIGN_MINUS) || out->scale > SCALE_MAX) return type->broken;
    for (uint32_t i = 0; i < out->count; i++)
        if (rp_digit(out, i) > 9999) return type->broken;
    strip_zeros(out);
    return fits_scale(out) ? NULL : type->broken;
}

/* The decimal digit at place `at` of the text's digits, the point left out; beyond them are zeros. */
static unsigned decimal_at(const struct rp_digits *digits, int64_t at)
{
    int64_t place = at + (at >= digits->whole);
    return at < 0 || place >= digits->end - digits->at ? 0 : (unsigned)(digits->at[place] - '0');
}

/* Group 0 of the text ends where a multiple of four digits is left before the point. */
static uint16_t group_at(const struct rp_digits *digits, uint32_t group)
{
    int64_t at = (int64_t)GROUP * group - (GROUP - digits->whole % GROUP) % GROUP;
    unsigned sum = 0;
    for (int i = 0; i < GROUP; i++) sum = 10 * sum + decimal_at(digits, at + i);
    return (uint16_t)sum;
}

uint16_t rp_digit(const struct rp_digits *digits, uint32_t i)
{
    return digits->end ? group_at(digits, digits->first + i) : rp_load_u16(digits->at + 2 * (size_t)i);
}

static const uint8_t *skip_digits(const struct rp_scan *s)
{
    const uint8_t *at = s->at;
    while (at < s->end && rp_is_digit(*at)) at++;
    return at;
}

static const char *read_text(struct pg_value value, const struct rp_type *type, struct rp_digits *out)
{
    *out = (struct rp_digits){ .sign = PG_SIGN_PLUS };
    for (size_t i = 0; i < RP_COUNT(words); i++) {
        if (!rp_is_word(value, words[i].word)) continue;
        out->sign = words[i].sign;
        return NULL;
    }
    if (value.size > TEXT_MAX) return type->malformed;
    struct rp_scan s = rp_scan_of(value);
    if (rp_scan_char(&s, '-')) out->sign = PG_SIGN_MINUS;
    out->at = s.at;
    s.at = skip_digits(&s);
    out->whole = (uint32_t)(s.at - out->at);
    if (!out->whole) return type->malformed;
    uint32_t decimals = 0;
    if (rp_scan_char(&s, '.')) {
        const uint8_t *behind = skip_digits(&s);
        decimals = (uint32_t)(behind - s.at);
        if (!decimals) return type->malformed;
        s.at = behind;
    }
    if (!rp_scan_end(&s) || decimals > SCALE_MAX) return type->malformed;
    out->scale = (uint16_t)decimals;
    out->end = s.end;
    out->weight = (int32_t)((out->whole + GROUP - 1) / GROUP) - 1;
    out->count = (uint32_t)(out->weight + 1) + (decimals + GROUP - 1) / GROUP;
    strip_zeros(out);
    return NULL;
}

static inline const char *read_numeric(struct pg_value value, const struct rp_type *type, struct rp_digits *out)
{
    return value.text ? read_text(value, type, out) : read_binary(value, type, out);
}
const char *rp_read_numeric(struct pg_value value, const struct rp_type *type, struct rp_digits *out)
{
    return read_numeric(value, type, out);
}

struct pg_numeric pg_value_numeric(struct pg_value value, uint16_t *digits, size_t capacity)
{
    RP_ASSERT(digits || capacity == 0);
    static const struct pg_numeric zero = { 0, 0, 0, 0, NULL };
    const struct rp_type *type = rp_type_of(value.type);
    if (!rp_is_kind(value, type->kind, RP_KIND_NUMERIC)) return zero;
    struct rp_digits n;
    const char *why = rp_read_numeric(value, type, &n);
    if (why) {
        rp_complain(value, why);
        return zero;
    }
    for (uint32_t i = 0; i < n.count && i < capacity; i++) digits[i] = rp_digit(&n, i);
    return (struct pg_numeric){ n.sign, (int16_t)n.weight, n.scale, (uint16_t)n.count,
                                n.count <= capacity ? digits : NULL };
}

static const char inexact[] = "has more decimals than were asked for";
static const char too_large[] = "is out of range for 63 bits at that scale";

/* Summed up below zero, which has room for one more than above. The last digit of group i is worth
 * 10^(4 * (weight - i) + scale). */
static const char *sum_up(const struct rp_digits *n, int32_t scale, int64_t *out)
{
    int64_t sum = 0, exponent = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        unsigned digit = rp_digit(n, i);
        exponent = (int64_t)GROUP * (n->weight - (int64_t)i) + scale;
        int64_t unit = tens[GROUP];
        if (exponent < 0) {
            int cut = exponent > -GROUP ? (int)-exponent : GROUP;
            if (digit % tens[cut]) return inexact;
            digit /= tens[cut];
            unit = tens[GROUP - cut];
        }
        if (__builtin_mul_overflow(sum, unit, &sum) || __builtin_sub_overflow(sum, (int64_t)digit, &sum))
            return too_large;
    }
    for (; sum && exponent > 0; exponent--)
        if (__builtin_mul_overflow(sum, 10, &sum)) return too_large;
    if (n->sign == PG_SIGN_PLUS && __builtin_sub_overflow(0, sum, &sum)) return too_large;
    *out = sum;
    return NULL;
}

static inline int64_t get_decimal(struct pg_value value, int32_t scale)
{
    RP_CALLER(scale >= 0 && scale <= SCALE_MAX, "pg_value_decimal: the scale is from 0 to 16383");
    const struct rp_type *type = rp_type_of(value.type);
    if (!rp_is_kind(value, type->kind, RP_KIND_NUMERIC)) return 0;
    struct rp_digits n;
    int64_t number = 0;
    const char *why = read_numeric(value, type, &n);
    if (!why && rp_is_special(n.sign)) why = "is NaN or infinite";
    if (!why) why = sum_up(&n, scale, &number);
    if (why) rp_complain(value, why);
    return number;
}
int64_t pg_value_decimal(struct pg_value value, int32_t scale) { return get_decimal(value, scale); }
int64_t pg_row_decimal(struct pg_row *row, uint32_t column, int32_t scale)
{
    return get_decimal(rp_row_value(row, column), scale);
}

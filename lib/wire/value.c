/* wire/value.c - values out of a row: the getters of ringpg/value.h for bool, integers and floats, in both formats.
 *
 * As its neighbours value_*.c it owns the reading of one value's bytes and knows nothing of messages. No allocation, no
 * errno, and no influence of the program's locale. Every byte comes from a server and may be wrong: what cannot be read
 * is a complaint (the row is marked, the getter gives 0), never an assertion and never a guess.
 * Sources: the output and send functions that the chapter "Data Types" describes; text of integers and floats is what
 * the server writes, not all that it would read. */
#include <langinfo.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include "wire/getter.h"
#include "wire/check.h"
#include "wire/load.h"
#include "wire/scan.h"

/* The server writes at most 24 characters; the rest is room for one that writes more digits. */
enum { FLOAT_TEXT_MAX = 128 };
static const int64_t FLOAT8_EXACT = INT64_C(1) << 53;

/* Digits with an optional minus sign, as the server writes them: no plus sign, no spaces, nothing behind. */
static const char *parse_integer(struct pg_value value, const struct rp_type *type, int64_t *out)
{
    const uint8_t *at = value.data, *end = at + value.size;
    bool negative = at < end && *at == '-';
    at += negative;
    if (at == end) return type->malformed;
    bool overflow = false;
    int64_t number = 0;
    for (; at < end; at++) {
        if (!rp_is_digit(*at)) return type->malformed;
        int digit = *at - '0';
        overflow |= __builtin_mul_overflow(number, 10, &number);
        overflow |= __builtin_add_overflow(number, negative ? -digit : digit, &number);
    }
    if (overflow || number < type->min || number > type->max) return type->out_of_range;
    *out = number;
    return NULL;
}

static int64_t load_integer(const uint8_t *at, const struct rp_type *type)
{
    switch (type->size) {
    case 2: return (int16_t)rp_load_u16(at);
    case 4: return type->min ? (int32_t)rp_load_u32(at) : (int64_t)rp_load_u32(at); /* oids have no sign */
    default: return (int64_t)rp_load_u64(at);
    }
}

static inline const char *read_integer(struct pg_value value, const struct rp_type *type, int64_t *out)
{
    if (value.text) return parse_integer(value, type, out);
    if (value.size != type->size) return type->wrong_size;
    *out = load_integer(value.data, type);
    return NULL;
}
const char *rp_read_integer(struct pg_value value, const struct rp_type *type, int64_t *out)
{
    return read_integer(value, type, out);
}

static const uint8_t *copy_digits(const uint8_t *at, const uint8_t *end, char **to, bool *some, bool *nonzero)
{
    for (; at < end && rp_is_digit(*at); at++) {
        *some = true;
        *nonzero |= *at != '0';
        *(*to)++ = (char)*at;
    }
    return at;
}

/* Copies the value to `copy` as strtod wants it, if it is [-]digits[.digits][e[+-]digits]. strtod reads the decimal
 * point of the locale that the thread has set, so that one is put in place of the server's. */
static bool copy_decimal(struct pg_value value, char *copy, bool *nonzero)
{
    const uint8_t *at = value.data, *end = at + value.size;
    bool mantissa = false, exponent = false, ignored = false;
    *nonzero = false;
    if (at < end && *at == '-') *copy++ = (char)*at++;
    at = copy_digits(at, end, &copy, &mantissa, nonzero);
    if (at < end && *at == '.') {
        const char *point = nl_langinfo(RADIXCHAR);
        size_t size = strnlen(point, MB_LEN_MAX);
        memcpy(copy, point, size);
        copy += size;
        at = copy_digits(at + 1, end, &copy, &mantissa, nonzero);
    }
    if (!mantissa) return false;
    if (at < end && *at == 'e') {
        *copy++ = (char)*at++;
        if (at < end && (*at == '+' || *at == '-')) *copy++ = (char)*at++;
        at = copy_digits(at, end, &copy, &exponent, &ignored);
        if (!exponent) return false;
    }
    *copy = '\0';
    return at == end;
}

static const struct {
    const char *word;
    double number;
} words[] = {{"NaN", (double)NAN}, {"Infinity", (double)INFINITY}, {"-Infinity", -(double)INFINITY}};

/* A float4 is rounded to float4 at once: rounding to float8 in between could give its neighbour. */
static const char *parse_float(struct pg_value value, const struct rp_type *type, double *out)
{
    char copy[FLOAT_TEXT_MAX + MB_LEN_MAX + 1], *end;
    bool nonzero;
    for (size_t i = 0; i < RP_COUNT(words); i++) {
        if (!rp_is_word(value, words[i].word)) continue;
        *out = words[i].number;
        return NULL;
    }
    if (value.size > FLOAT_TEXT_MAX || !copy_decimal(value, copy, &nonzero)) return type->malformed;
    double number = type->size == sizeof(float) ? (double)strtof(copy, &end) : strtod(copy, &end);
    if (*end) return type->malformed;
    if (isinf(number) || (number == 0 && nonzero)) return type->out_of_range;
    *out = number;
    return NULL;
}

static double load_float(const uint8_t *at, const struct rp_type *type)
{
    if (type->size == sizeof(float)) {
        uint32_t bits = rp_load_u32(at);
        float number;
        memcpy(&number, &bits, sizeof number);
        return (double)number;
    }
    uint64_t bits = rp_load_u64(at);
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

const char *rp_read_float(struct pg_value value, const struct rp_type *type, double *out)
{
    if (value.text) return parse_float(value, type, out);
    if (value.size != type->size) return type->wrong_size;
    *out = load_float(value.data, type);
    return NULL;
}

const char *rp_read_bool(struct pg_value value, const struct rp_type *type, bool *out)
{
    if (value.size != 1) return value.text ? type->malformed : type->wrong_size;
    uint8_t yes = value.text ? 't' : 1, no = value.text ? 'f' : 0;
    *out = *value.data == yes;
    if (*value.data == yes || *value.data == no) return NULL;
    return value.text ? type->malformed : type->out_of_range;
}

static inline bool get_bool(struct pg_value value)
{
    const struct rp_type *type = rp_type_of(value.type);
    if (!rp_is_kind(value, type->kind, RP_KIND_BOOL)) return false;
    bool truth = false;
    const char *why = rp_read_bool(value, type, &truth);
    return why ? rp_complain(value, why) : truth;
}
bool pg_value_bool(struct pg_value value) { return get_bool(value); }
bool pg_row_bool(struct pg_row *row, uint32_t column) { return get_bool(rp_row_value(row, column)); }

static inline int64_t get_int8(struct pg_value value)
{
    const struct rp_type *type = rp_type_of(value.type);
    int64_t number = 0;
    if (!rp_is_kind(value, type->kind, RP_KIND_INTEGER)) return 0;
    const char *why = read_integer(value, type, &number);
    if (why) rp_complain(value, why);
    return number;
}
int64_t pg_value_int8(struct pg_value value) { return get_int8(value); }
int64_t pg_row_int8(struct pg_row *row, uint32_t column) { return get_int8(rp_row_value(row, column)); }

static inline int32_t get_int4(struct pg_value value)
{
    int64_t number = get_int8(value);
    if (number == (int32_t)number) return (int32_t)number;
    rp_complain(value, "is out of range for int4");
    return 0;
}
int32_t pg_value_int4(struct pg_value value) { return get_int4(value); }
int32_t pg_row_int4(struct pg_row *row, uint32_t column) { return get_int4(rp_row_value(row, column)); }

static inline double get_float8(struct pg_value value)
{
    const struct rp_type *type = rp_type_of(value.type);
    if (type->kind == RP_KIND_INTEGER) {
        int64_t number = pg_value_int8(value);
        if (number >= -FLOAT8_EXACT && number <= FLOAT8_EXACT) return (double)number;
        rp_complain(value, "is beyond 2^53 and not exact in float8");
        return 0;
    }
    if (!rp_is_kind(value, type->kind, RP_KIND_FLOAT)) return 0;
    double number = 0;
    const char *why = rp_read_float(value, type, &number);
    if (why) rp_complain(value, why);
    return number;
}
double pg_value_float8(struct pg_value value) { return get_float8(value); }
double pg_row_float8(struct pg_row *row, uint32_t column) { return get_float8(rp_row_value(row, column)); }

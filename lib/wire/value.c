/* wire/value.c - values out of a row: the getters of ringpg/value.h, for both formats.
 *
 * Owns the reading of one value's bytes; knows nothing of messages. No allocation, no errno, and no influence of the
 * program's locale. Every byte comes from a server and may be wrong: what cannot be read is a complaint (the row is
 * marked, the getter gives 0), never an assertion and never a guess.
 * Sources: the output and send functions that the chapter "Data Types" describes; text of integers and floats is what
 * the server writes, not all that it would read. */
#include <langinfo.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include "wire/check.h"
#include "wire/load.h"
#include "wire/row.h"
#include "wire/types.h"

/* The server writes at most 24 characters; the rest is room for one that writes more digits. */
enum { FLOAT_TEXT_MAX = 128 };
static const int64_t FLOAT8_EXACT = INT64_C(1) << 53;

static bool complain(struct pg_value value, const char *why)
{
    rp_row_mark(value.row, value.column, why);
    return false;
}

/* What every getter asks first: is there a value, and is it of the wanted kind? */
static bool is_kind(struct pg_value value, enum rp_kind kind, enum rp_kind wanted)
{
    if (!value.data) return complain(value, "is NULL");
    return kind == wanted || complain(value, rp_kind_complaint[kind][wanted]);
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

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
        if (!is_digit(*at)) return type->malformed;
        int digit = *at - '0';
        overflow |= __builtin_mul_overflow(number, 10, &number);
        overflow |= __builtin_add_overflow(number, negative ? -digit : digit, &number);
    }
    if (overflow || number < type->min || number > type->max) return type->out_of_range;
    *out = number;
    return NULL;
}

static int64_t load_integer(const uint8_t *at, uint32_t type)
{
    switch (type) {
    case PG_TYPE_INT2:
        return (int16_t)rp_load_u16(at);
    case PG_TYPE_INT4:
        return (int32_t)rp_load_u32(at);
    case PG_TYPE_OID:
        return (int64_t)rp_load_u32(at);
    default:
        return (int64_t)rp_load_u64(at);
    }
}

static const char *read_integer(struct pg_value value, const struct rp_type *type, int64_t *out)
{
    if (value.text) return parse_integer(value, type, out);
    if (value.size != type->size) return type->wrong_size;
    *out = load_integer(value.data, value.type);
    return NULL;
}

static const uint8_t *copy_digits(const uint8_t *at, const uint8_t *end, char **to, bool *some, bool *nonzero)
{
    for (; at < end && is_digit(*at); at++) {
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

static bool is_word(struct pg_value value, const char *word)
{
    return value.size == strlen(word) && memcmp(value.data, word, value.size) == 0;
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
        if (!is_word(value, words[i].word)) continue;
        *out = words[i].number;
        return NULL;
    }
    if (value.size > FLOAT_TEXT_MAX || !copy_decimal(value, copy, &nonzero)) return type->malformed;
    double number = value.type == PG_TYPE_FLOAT4 ? (double)strtof(copy, &end) : strtod(copy, &end);
    if (*end) return type->malformed;
    if (isinf(number) || (number == 0 && nonzero)) return type->out_of_range;
    *out = number;
    return NULL;
}

static double load_float(const uint8_t *at, uint32_t type)
{
    if (type == PG_TYPE_FLOAT4) {
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

static const char *read_float(struct pg_value value, const struct rp_type *type, double *out)
{
    if (value.text) return parse_float(value, type, out);
    if (value.size != type->size) return type->wrong_size;
    *out = load_float(value.data, value.type);
    return NULL;
}

bool pg_value_bool(struct pg_value value)
{
    const struct rp_type *type = rp_type_of(value.type);
    if (!is_kind(value, type->kind, RP_KIND_BOOL)) return false;
    if (value.size != 1) return complain(value, value.text ? type->malformed : type->wrong_size);
    uint8_t yes = value.text ? 't' : 1, no = value.text ? 'f' : 0;
    if (*value.data == yes) return true;
    return *value.data == no ? false : complain(value, value.text ? type->malformed : type->out_of_range);
}

int64_t pg_value_int8(struct pg_value value)
{
    const struct rp_type *type = rp_type_of(value.type);
    int64_t number = 0;
    if (!is_kind(value, type->kind, RP_KIND_INTEGER)) return 0;
    const char *why = read_integer(value, type, &number);
    if (why) complain(value, why);
    return number;
}

int32_t pg_value_int4(struct pg_value value)
{
    int64_t number = pg_value_int8(value);
    if (number == (int32_t)number) return (int32_t)number;
    complain(value, "is out of range for int4");
    return 0;
}

double pg_value_float8(struct pg_value value)
{
    const struct rp_type *type = rp_type_of(value.type);
    if (type->kind == RP_KIND_INTEGER) {
        int64_t number = pg_value_int8(value);
        if (number >= -FLOAT8_EXACT && number <= FLOAT8_EXACT) return (double)number;
        complain(value, "is beyond 2^53 and not exact in float8");
        return 0;
    }
    if (!is_kind(value, type->kind, RP_KIND_FLOAT)) return 0;
    double number = 0;
    const char *why = read_float(value, type, &number);
    if (why) complain(value, why);
    return number;
}

/* The binary form of the text family is its text. */
struct pg_text pg_value_text(struct pg_value value)
{
    enum rp_kind kind = value.text ? RP_KIND_TEXT : rp_type_of(value.type)->kind;
    if (!is_kind(value, kind, RP_KIND_TEXT)) return (struct pg_text){"", 0};
    return (struct pg_text){(const char *)value.data, value.size};
}

struct pg_text pg_value_bytes(struct pg_value value)
{
    if (!value.data) {
        complain(value, "is NULL");
        return (struct pg_text){"", 0};
    }
    return (struct pg_text){(const char *)value.data, value.size};
}

static int hex_digit(uint8_t c)
{
    if (is_digit(c)) return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "\x" and two digits a byte. */
static bool decode_hex(struct pg_value value, uint8_t *out, size_t capacity, size_t *size)
{
    const uint8_t *from = value.data + 2;
    size_t bytes = (value.size - 2) / 2;
    if (value.size % 2) return false;
    for (size_t i = 0; i < bytes; i++) {
        int high = hex_digit(from[2 * i]), low = hex_digit(from[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        if (i < capacity) out[i] = (uint8_t)(high << 4 | low);
    }
    *size = bytes;
    return true;
}

/* A backslash stands before another one or before three octal digits; every other byte stands for itself. */
static bool decode_escape(struct pg_value value, uint8_t *out, size_t capacity, size_t *size)
{
    const uint8_t *at = value.data, *end = at + value.size;
    size_t bytes = 0;
    while (at < end) {
        uint8_t byte = *at++;
        if (byte == '\\' && at < end && *at == '\\') {
            at++;
        } else if (byte == '\\') {
            if (end - at < 3 || at[0] < '0' || at[0] > '3' || at[1] < '0' || at[1] > '7' || at[2] < '0' || at[2] > '7')
                return false;
            byte = (uint8_t)((at[0] - '0') << 6 | (at[1] - '0') << 3 | (at[2] - '0'));
            at += 3;
        }
        if (bytes < capacity) out[bytes] = byte;
        bytes++;
    }
    *size = bytes;
    return true;
}

size_t pg_value_bytea(struct pg_value value, void *out, size_t capacity)
{
    RP_ASSERT(out || capacity == 0);
    const struct rp_type *type = rp_type_of(value.type);
    if (!is_kind(value, type->kind, RP_KIND_BYTEA)) return 0;
    if (!value.text) {
        size_t copied = value.size < capacity ? value.size : capacity;
        if (copied) memcpy(out, value.data, copied);
        return value.size;
    }
    bool hex = value.size >= 2 && value.data[0] == '\\' && value.data[1] == 'x';
    bool (*decode)(struct pg_value, uint8_t *, size_t, size_t *) = hex ? decode_hex : decode_escape;
    size_t size;
    /* Measured first: of a malformed value nothing is written. */
    if (decode(value, NULL, 0, &size)) return decode(value, out, capacity, &size) ? size : 0;
    complain(value, type->malformed);
    return 0;
}

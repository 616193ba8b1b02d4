/* Rows with libpq, blocking: in single-row mode, which is its way to read more than fits in memory, or as one result.
 * What libpq leaves to its caller, the way from a value's text or bytes to C, is written here with some care for speed
 * and with the checks that one would not want to do without. */
#include <arpa/inet.h>
#include <stdlib.h>
#include "libpq_common.h"
#include "rows.h"

enum { COLUMNS = 5, CLOCK_FIELDS = 3, FRACTION_DIGITS = 6 };
static const int64_t EPOCH_DAYS = 730425; /* from 0000-03-01 to 2000-01-01 */

static void must_be(bool good, const char *what)
{
    if (!good) bench_die("libpq: a value that is no %s", what);
}

static const char *value_of(const PGresult *result, int row, int column)
{
    must_be(!PQgetisnull(result, row, column), "value, but NULL");
    return PQgetvalue(result, row, column);
}

/* ---- text ---- */

static int64_t digits(const char **at, int most, int *count)
{
    int64_t number = 0;
    for (*count = 0; *count < most && **at >= '0' && **at <= '9'; ++*count) number = number * 10 + (*(*at)++ - '0');
    return number;
}

static int64_t field(const char **at, int most, char before)
{
    int count;
    if (before) must_be(*(*at)++ == before, "timestamptz");
    int64_t number = digits(at, most, &count);
    must_be(count > 0, "timestamptz");
    return number;
}

/* Years begin in March, so that the leap day is the last. */
static int64_t days_since_2000(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + of_year - EPOCH_DAYS;
}

/* "01:02:03", of which an offset may have less. */
static int64_t seconds_of(const char **at, int least)
{
    int64_t seconds = field(at, 2, 0) * 3600;
    if (least > 1 || **at == ':') seconds += field(at, 2, ':') * 60;
    if (least > 2 || **at == ':') seconds += field(at, 2, ':');
    return seconds;
}

/* "2024-02-29 12:34:56.789+01", the server's DateStyle ISO; us since 2000. */
static int64_t timestamptz_of_text(const char *at)
{
    int64_t year = field(&at, 6, 0), month = field(&at, 2, '-'), day = field(&at, 2, '-'), fraction = 0;
    must_be(*at++ == ' ', "timestamptz");
    int64_t seconds = days_since_2000(year, month, day) * 86400 + seconds_of(&at, CLOCK_FIELDS);
    if (*at == '.') {
        int count;
        at++;
        fraction = digits(&at, FRACTION_DIGITS, &count);
        for (; count < FRACTION_DIGITS; count++) fraction *= 10;
    }
    char sign = *at++;
    must_be(sign == '+' || sign == '-', "timestamptz");
    int64_t offset = seconds_of(&at, 1);
    must_be(!*at, "timestamptz");
    return (seconds - (sign == '-' ? -offset : offset)) * 1000000 + fraction;
}

static int64_t cents_of_text(const char *text)
{
    char *at;
    int64_t whole = strtoll(text, &at, 10);
    must_be(at != text && at[0] == '.' && at[1] && at[2] && !at[3], "numeric with two decimals");
    int64_t decimals = (at[1] - '0') * 10 + (at[2] - '0');
    return whole * 100 + (*text == '-' ? -decimals : decimals);
}

static void decode_text(const PGresult *result, int row, struct rows_values *out)
{
    char *end, *big_end;
    const char *id = value_of(result, row, 0), *big = value_of(result, row, 1);
    out->id = (int32_t)strtol(id, &end, 10);
    out->big = strtoll(big, &big_end, 10);
    must_be(end != id && !*end && big_end != big && !*big_end, "integer");
    out->name = value_of(result, row, 2);
    out->name_size = (size_t)PQgetlength(result, row, 2);
    out->at = timestamptz_of_text(value_of(result, row, 3));
    out->cents = cents_of_text(value_of(result, row, 4));
}

/* ---- binary ---- */

static uint16_t load16(const char *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return ntohs(v);
}
static uint32_t load32(const char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return ntohl(v);
}
static int64_t load64(const char *at) { return (int64_t)((uint64_t)load32(at) << 32 | load32(at + 4)); }

/* Digits to the base of 10,000 behind their number, the first one's weight, the sign and the decimals shown. */
static int64_t cents_of_binary(const char *at, int size)
{
    enum { HEAD = 8, MINUS = 0x4000, BASE = 10000, WEIGHT_MAX = 3 };
    must_be(size >= HEAD && size == HEAD + 2 * load16(at), "numeric");
    int count = load16(at), weight = (int16_t)load16(at + 2), sign = load16(at + 4), i = 0;
    must_be((sign == 0 || sign == MINUS) && weight <= WEIGHT_MAX, "numeric of that size");
    int64_t whole = 0;
    for (; i <= weight; i++) whole = whole * BASE + (i < count ? load16(at + HEAD + 2 * i) : 0);
    int decimals = weight >= -1 && i < count ? load16(at + HEAD + 2 * i) : 0;
    must_be(decimals % 100 == 0 && i + 1 >= count, "numeric with two decimals");
    int64_t cents = whole * 100 + decimals / 100;
    return sign == MINUS ? -cents : cents;
}

static void decode_binary(const PGresult *result, int row, struct rows_values *out)
{
    const char *id = value_of(result, row, 0), *big = value_of(result, row, 1), *at = value_of(result, row, 3);
    must_be(PQgetlength(result, row, 0) == 4, "int4");
    must_be(PQgetlength(result, row, 1) == 8, "int8");
    must_be(PQgetlength(result, row, 3) == 8, "timestamptz");
    out->id = (int32_t)load32(id);
    out->big = load64(big);
    out->name = value_of(result, row, 2);
    out->name_size = (size_t)PQgetlength(result, row, 2);
    out->at = load64(at);
    out->cents = cents_of_binary(value_of(result, row, 4), PQgetlength(result, row, 4));
}

/* ---- either ---- */

static void add_rows(const PGresult *result, bool text, struct rows_sum *sum)
{
    struct rows_values values;
    int rows = PQntuples(result);
    must_be(PQnfields(result) == COLUMNS, "row of five columns");
    for (int row = 0; row < rows; row++) {
        if (text) decode_text(result, row, &values);
        else decode_binary(result, row, &values);
        rows_add(sum, &values);
    }
}

void rows_libpq_run(const struct rows_shape *shape, struct bench_meter *meter, struct rows_sum *sum)
{
    PGconn *connection = libpq_open(shape->target);
    bench_meter_start(meter);
    libpq_must(PQsendQueryParams(connection, shape->sql, 0, NULL, NULL, NULL, NULL, !shape->text) == 1, connection);
    if (!shape->whole) libpq_must(PQsetSingleRowMode(connection) == 1, connection);
    for (PGresult *result; (result = PQgetResult(connection));) {
        ExecStatusType status = PQresultStatus(result);
        libpq_must(status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE, connection);
        add_rows(result, shape->text, sum);
        PQclear(result);
    }
    meter->answered = sum->rows;
    bench_tick(meter);
    PQfinish(connection);
}

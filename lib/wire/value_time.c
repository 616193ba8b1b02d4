/* wire/value_time.c - dates, times and intervals out of a row, in both formats, and the way from and to the system's
 * clock. Never asks for the time, and knows no time zones but the offset that stands in a text.
 *
 * Sources: the send functions of date, time, timestamp and interval; the chapter "Date/Time Types" for their text with
 * DateStyle ISO and IntervalStyle postgres, the server's defaults: another style is a complaint. */
#include "wire/getter.h"
#include "wire/calendar.h"
#include "wire/load.h"
#include "wire/scan.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)
enum { OFFSET_MOST_S = 16 * 3600 - 1 }; /* the server's: 15:59:59 */

/* ---- text ---- */

/* "04:05:06.789": hours of up to `hour_digits`, and at the most six decimals. */
static bool scan_clock(struct rp_scan *s, int hour_digits, int64_t *us)
{
    int64_t hour, minute, second, fraction = 0;
    if (!rp_scan_digits(s, 2, hour_digits, &hour) || !rp_scan_char(s, ':') || !rp_scan_digits(s, 2, 2, &minute) ||
        !rp_scan_char(s, ':') || !rp_scan_digits(s, 2, 2, &second) || minute > 59 || second > 59)
        return false;
    if (rp_scan_char(s, '.')) {
        const uint8_t *from = s->at;
        if (!rp_scan_digits(s, 1, 6, &fraction)) return false;
        for (int64_t digits = s->at - from; digits < 6; digits++) fraction *= 10;
    }
    /* In two steps, and below zero: 2562047788:00:54.775808 is the lowest interval. */
    return !__builtin_mul_overflow(hour, -3600 * SECOND_US, us) &&
           !__builtin_sub_overflow(*us, (minute * 60 + second) * SECOND_US + fraction, us);
}
static bool scan_time_of_day(struct rp_scan *s, int64_t *us)
{
    if (!scan_clock(s, 2, us)) return false;
    *us = -*us;
    return *us <= DAY_US;
}

static int days_of_month(int64_t year, int64_t month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* "2024-02-29"; the " BC" that may follow stands at the end of the whole text. */
static bool scan_date(struct rp_scan *s, int64_t *days)
{
    int64_t year, month, day;
    if (!rp_scan_digits(s, 4, 7, &year) || !rp_scan_char(s, '-') || !rp_scan_digits(s, 2, 2, &month) ||
        !rp_scan_char(s, '-') || !rp_scan_digits(s, 2, 2, &day))
        return false;
    if (s->end - s->at >= 3 && memcmp(s->end - 3, " BC", 3) == 0) {
        s->end -= 3;
        year = 1 - year;
    }
    if (month < 1 || month > 12 || day < 1 || day > days_of_month(year, month)) return false;
    *days = rp_days_of((struct rp_civil){ year, (int)month, (int)day });
    return true;
}

/* "+05:30": seconds east of UTC. */
static bool scan_offset(struct rp_scan *s, int64_t *seconds)
{
    int64_t hour, minute = 0, second = 0;
    bool west = rp_scan_char(s, '-');
    if (!west && !rp_scan_char(s, '+')) return false;
    if (!rp_scan_digits(s, 2, 2, &hour)) return false;
    if (rp_scan_char(s, ':') && !rp_scan_digits(s, 2, 2, &minute)) return false;
    if (rp_scan_char(s, ':') && !rp_scan_digits(s, 2, 2, &second)) return false;
    *seconds = (hour * 60 + minute) * 60 + second;
    if (minute > 59 || second > 59 || *seconds > OFFSET_MOST_S) return false;
    if (west) *seconds = -*seconds;
    return true;
}

static bool scan_timestamp(struct rp_scan *s, bool zone, int64_t *us)
{
    int64_t days, of_day, offset = 0;
    if (!scan_date(s, &days) || !rp_scan_char(s, ' ') || !scan_time_of_day(s, &of_day)) return false;
    if (zone && !scan_offset(s, &offset)) return false;
    *us = 0; /* seven digits of years are within 64 bits of seconds, not of us */
    return !__builtin_mul_overflow(days, DAY_US, us) && !__builtin_add_overflow(*us, of_day - offset * SECOND_US, us);
}

static bool has_infinity(uint8_t kind) { return kind != RP_KIND_TIME; }
static int64_t infinity_of(uint8_t kind, bool minus)
{
    if (kind == RP_KIND_DATE) return minus ? PG_DATE_MINUS_INFINITY : PG_DATE_INFINITY;
    return minus ? PG_TIME_MINUS_INFINITY : PG_TIME_INFINITY;
}

static const char *parse_time(struct pg_value value, const struct rp_type *type, int64_t *out)
{
    struct rp_scan s = rp_scan_of(value);
    bool read, minus = rp_is_word(value, "-infinity");
    if (has_infinity(type->kind) && (minus || rp_is_word(value, "infinity"))) {
        *out = infinity_of(type->kind, minus);
        return NULL;
    }
    switch (type->kind) {
    case RP_KIND_DATE:
        read = scan_date(&s, out);
        break;
    case RP_KIND_TIME:
        read = scan_time_of_day(&s, out);
        break;
    default:
        read = scan_timestamp(&s, type->kind == RP_KIND_TIMESTAMPTZ, out);
        break;
    }
    if (!read || !rp_scan_end(&s)) return type->malformed;
    return *out < type->min || *out > type->max ? type->out_of_range : NULL;
}

/* "-3 days", "1 year": a number and its unit. False: what comes is no such thing, and the place stays. */
static bool scan_unit(struct rp_scan *s, const char *unit, int64_t *out)
{
    struct rp_scan ahead = *s;
    int64_t number;
    bool minus = rp_scan_char(&ahead, '-');
    if (!minus) rp_scan_char(&ahead, '+');
    if (!rp_scan_digits(&ahead, 1, 10, &number) || !rp_scan_char(&ahead, ' ') || !rp_scan_word(&ahead, unit))
        return false;
    rp_scan_char(&ahead, 's');
    if (!rp_scan_char(&ahead, ' ') && !rp_scan_end(&ahead)) return false;
    *out = minus ? -number : number;
    *s = ahead;
    return true;
}

static const char *parse_interval(struct pg_value value, const struct rp_type *type, struct pg_interval *out)
{
    struct rp_scan s = rp_scan_of(value);
    int64_t years = 0, months = 0, days = 0, us = 0;
    bool some = false;
    if (rp_is_word(value, "infinity"))
        *out = (struct pg_interval){ INT32_MAX, INT32_MAX, INT64_MAX };
    else if (rp_is_word(value, "-infinity"))
        *out = (struct pg_interval){ INT32_MIN, INT32_MIN, INT64_MIN };
    else
        some = true;
    if (!some) return NULL;
    some = scan_unit(&s, "year", &years);
    some |= scan_unit(&s, "mon", &months);
    some |= scan_unit(&s, "day", &days);
    if (!rp_scan_end(&s)) {
        bool minus = rp_scan_char(&s, '-');
        if (!minus) rp_scan_char(&s, '+');
        if (!scan_clock(&s, 10, &us) || !rp_scan_end(&s)) return type->malformed;
        if (!minus && __builtin_sub_overflow(0, us, &us)) return type->out_of_range;
    } else if (!some || s.end[-1] == ' ') {
        return type->malformed;
    }
    months += 12 * years;
    if (months != (int32_t)months || days != (int32_t)days) return type->out_of_range;
    *out = (struct pg_interval){ (int32_t)months, (int32_t)days, us };
    return NULL;
}

static const char *parse_timetz(struct pg_value value, const struct rp_type *type, struct pg_timetz *out)
{
    struct rp_scan s = rp_scan_of(value);
    int64_t offset;
    if (!scan_time_of_day(&s, &out->us) || !scan_offset(&s, &offset) || !rp_scan_end(&s)) return type->malformed;
    out->offset_s = (int32_t)offset;
    return NULL;
}

/* ---- either format ---- */

static inline const char *read_time(struct pg_value value, const struct rp_type *type, int64_t *out)
{
    if (value.text) return parse_time(value, type, out);
    if (value.size != type->size) return type->wrong_size;
    *out = type->size == 4 ? (int32_t)rp_load_u32(value.data) : (int64_t)rp_load_u64(value.data);
    if (*out >= type->min && *out <= type->max) return NULL;
    bool infinite = *out == infinity_of(type->kind, true) || *out == infinity_of(type->kind, false);
    return infinite && has_infinity(type->kind) ? NULL : type->out_of_range;
}
const char *rp_read_time(struct pg_value value, const struct rp_type *type, int64_t *out)
{
    return read_time(value, type, out);
}

/* On the wire a zone is seconds west of UTC. */
const char *rp_read_timetz(struct pg_value value, const struct rp_type *type, struct pg_timetz *out)
{
    if (value.text) return parse_timetz(value, type, out);
    if (value.size != type->size) return type->wrong_size;
    int32_t west = (int32_t)rp_load_u32(value.data + 8);
    out->us = (int64_t)rp_load_u64(value.data);
    if (out->us < type->min || out->us > type->max || west < -OFFSET_MOST_S || west > OFFSET_MOST_S)
        return type->out_of_range;
    out->offset_s = -west;
    return NULL;
}

const char *rp_read_interval(struct pg_value value, const struct rp_type *type, struct pg_interval *out)
{
    if (value.text) return parse_interval(value, type, out);
    if (value.size != type->size) return type->wrong_size;
    *out = (struct pg_interval){ .us = (int64_t)rp_load_u64(value.data),
                                 .days = (int32_t)rp_load_u32(value.data + 8),
                                 .months = (int32_t)rp_load_u32(value.data + 12) };
    return NULL;
}

static inline int64_t get_time(struct pg_value value, enum rp_kind kind)
{
    const struct rp_type *type = rp_type_of(value.type);
    int64_t time = 0;
    if (!rp_is_kind(value, type->kind, kind)) return 0;
    const char *why = read_time(value, type, &time);
    if (!why) return time;
    rp_complain(value, why);
    return 0;
}
int32_t pg_value_date(struct pg_value value) { return (int32_t)get_time(value, RP_KIND_DATE); }
int64_t pg_value_time(struct pg_value value) { return get_time(value, RP_KIND_TIME); }
int64_t pg_value_timestamp(struct pg_value value) { return get_time(value, RP_KIND_TIMESTAMP); }
int64_t pg_value_timestamptz(struct pg_value value) { return get_time(value, RP_KIND_TIMESTAMPTZ); }
int64_t pg_row_timestamptz(struct pg_row *row, uint32_t column)
{
    return get_time(rp_row_value(row, column), RP_KIND_TIMESTAMPTZ);
}

struct pg_timetz pg_value_timetz(struct pg_value value)
{
    static const struct pg_timetz zero = { 0, 0 };
    const struct rp_type *type = rp_type_of(value.type);
    struct pg_timetz time = zero;
    if (!rp_is_kind(value, type->kind, RP_KIND_TIMETZ)) return zero;
    const char *why = rp_read_timetz(value, type, &time);
    if (!why) return time;
    rp_complain(value, why);
    return zero;
}

struct pg_interval pg_value_interval(struct pg_value value)
{
    static const struct pg_interval zero = { 0, 0, 0 };
    const struct rp_type *type = rp_type_of(value.type);
    struct pg_interval interval = zero;
    if (!rp_is_kind(value, type->kind, RP_KIND_INTERVAL)) return zero;
    const char *why = rp_read_interval(value, type, &interval);
    if (!why) return interval;
    rp_complain(value, why);
    return zero;
}

/* ---- the system's clock ---- */

static const int64_t EPOCH_S = 946684800; /* 2000-01-01 in seconds since 1970 */
/* The greatest and the least that time_t can hold, whatever its width. */
static const int64_t CLOCK_MAX = sizeof(time_t) < 8 ? INT32_MAX : INT64_MAX;
static const int64_t CLOCK_MIN = sizeof(time_t) < 8 ? INT32_MIN : INT64_MIN;

struct timespec pg_time_to_timespec(int64_t us_since_2000)
{
    struct timespec time = { 0, 0 };
    int64_t of_second = us_since_2000 % SECOND_US, seconds = us_since_2000 / SECOND_US;
    if (of_second < 0) {
        of_second += SECOND_US;
        seconds--;
    }
    seconds += EPOCH_S;
    bool below = us_since_2000 == PG_TIME_MINUS_INFINITY || seconds < CLOCK_MIN;
    bool above = us_since_2000 == PG_TIME_INFINITY || seconds > CLOCK_MAX;
    time.tv_sec = (time_t)(below ? CLOCK_MIN : above ? CLOCK_MAX : seconds);
    time.tv_nsec = (long)(below ? 0 : above ? 999999999 : of_second * 1000);
    return time;
}

int64_t pg_time_from_timespec(struct timespec time)
{
    const struct rp_type *type = rp_type_of(PG_TYPE_TIMESTAMPTZ);
    int64_t seconds, us;
    if (__builtin_sub_overflow((int64_t)time.tv_sec, EPOCH_S, &seconds) ||
        __builtin_mul_overflow(seconds, SECOND_US, &us) || __builtin_add_overflow(us, time.tv_nsec / 1000, &us))
        return time.tv_sec < 0 ? PG_TIME_MINUS_INFINITY : PG_TIME_INFINITY;
    return us < type->min ? PG_TIME_MINUS_INFINITY : us > type->max ? PG_TIME_INFINITY : us;
}

/* wire/format_time.c - dates, times and intervals as the server prints them with DateStyle ISO and IntervalStyle
 * postgres. A timestamptz is printed in UTC: whoever wants another zone asks the server for the text.
 * Source: EncodeDateOnly, EncodeDateTime, EncodeInterval of the server, and the chapter "Date/Time Types". */
#include "wire/print.h"
#include "wire/calendar.h"

#define SECOND_US INT64_C(1000000)
#define DAY_US (86400 * SECOND_US)

/* "2024-02-29"; true: before our era, and " BC" has to stand at the end. */
static bool put_date(struct rp_sink *sink, int64_t days)
{
    struct rp_civil c = rp_civil_of(days);
    bool bc = c.year <= 0;
    rp_put_number(sink, (uint64_t)(bc ? 1 - c.year : c.year), 4);
    rp_put_char(sink, '-');
    rp_put_number(sink, (uint64_t)c.month, 2);
    rp_put_char(sink, '-');
    rp_put_number(sink, (uint64_t)c.day, 2);
    return bc;
}

/* "04:05:06.789": as many decimals as are not zero. */
static void put_clock(struct rp_sink *sink, uint64_t us)
{
    uint64_t seconds = us / SECOND_US, fraction = us % SECOND_US;
    rp_put_number(sink, seconds / 3600, 2);
    rp_put_char(sink, ':');
    rp_put_number(sink, seconds / 60 % 60, 2);
    rp_put_char(sink, ':');
    rp_put_number(sink, seconds % 60, 2);
    if (!fraction) return;
    int digits = 6;
    for (; fraction % 10 == 0; digits--) fraction /= 10;
    rp_put_char(sink, '.');
    rp_put_number(sink, fraction, digits);
}

static void put_timestamp(struct rp_sink *sink, int64_t us, bool zone)
{
    int64_t days = us / DAY_US, of_day = us % DAY_US;
    if (of_day < 0) {
        of_day += DAY_US;
        days--;
    }
    bool bc = put_date(sink, days);
    rp_put_char(sink, ' ');
    put_clock(sink, (uint64_t)of_day);
    if (zone) rp_put_text(sink, "+00");
    if (bc) rp_put_text(sink, " BC");
}

const char *rp_print_time(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    int64_t time;
    const char *why = rp_read_time(value, type, &time);
    if (why) return why;
    if (time > type->max)
        rp_put_text(sink, "infinity");
    else if (time < type->min)
        rp_put_text(sink, "-infinity");
    else if (type->kind == RP_KIND_TIME)
        put_clock(sink, (uint64_t)time);
    else if (type->kind != RP_KIND_DATE)
        put_timestamp(sink, time, type->kind == RP_KIND_TIMESTAMPTZ);
    else if (put_date(sink, time))
        rp_put_text(sink, " BC");
    return NULL;
}

const char *rp_print_timetz(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    struct pg_timetz time;
    const char *why = rp_read_timetz(value, type, &time);
    if (why) return why;
    unsigned offset = (unsigned)(time.offset_s < 0 ? -time.offset_s : time.offset_s);
    put_clock(sink, (uint64_t)time.us);
    rp_put_char(sink, time.offset_s < 0 ? '-' : '+');
    rp_put_number(sink, offset / 3600, 2);
    if (offset % 3600) rp_put_char(sink, ':');
    if (offset % 3600) rp_put_number(sink, offset / 60 % 60, 2);
    if (offset % 60) rp_put_char(sink, ':');
    if (offset % 60) rp_put_number(sink, offset % 60, 2);
    return NULL;
}

/* "-3 days": nothing for 0. What is positive behind something negative has its plus sign. */
struct parts {
    bool some, negative;
};
static void put_part(struct rp_sink *sink, struct parts *p, int64_t number, const char *unit)
{
    if (!number) return;
    if (p->some) rp_put_char(sink, ' ');
    if (p->negative && number > 0) rp_put_char(sink, '+');
    rp_put_integer(sink, number);
    rp_put_char(sink, ' ');
    rp_put_text(sink, unit);
    if (number != 1) rp_put_char(sink, 's');
    *p = (struct parts){ true, number < 0 };
}

/* The extremes of all three parts are PostgreSQL 17's infinities; older servers have numbers there. */
const char *rp_print_interval(struct rp_sink *sink, struct pg_value value, const struct rp_type *type)
{
    struct pg_interval v;
    const char *why = rp_read_interval(value, type, &v);
    if (why) return why;
    bool infinite = v.months == INT32_MAX && v.days == INT32_MAX && v.us == INT64_MAX;
    bool minus_infinite = v.months == INT32_MIN && v.days == INT32_MIN && v.us == INT64_MIN;
    if (infinite || minus_infinite) {
        rp_put_text(sink, infinite ? "infinity" : "-infinity");
        return NULL;
    }
    struct parts p = { false, false };
    put_part(sink, &p, v.months / 12, "year");
    put_part(sink, &p, v.months % 12, "mon");
    put_part(sink, &p, v.days, "day");
    if (p.some && v.us == 0) return NULL;
    if (p.some) rp_put_char(sink, ' ');
    if (v.us < 0)
        rp_put_char(sink, '-');
    else if (p.negative)
        rp_put_char(sink, '+');
    put_clock(sink, v.us < 0 ? 0 - (uint64_t)v.us : (uint64_t)v.us);
    return NULL;
}

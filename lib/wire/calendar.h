/* wire/calendar.h - days since 2000-01-01 as years, months and days of the proleptic Gregorian calendar, as the server
 * counts them (date2j, j2date): year 0 is 1 BC. */
#ifndef RP_WIRE_CALENDAR_H
#define RP_WIRE_CALENDAR_H
#include <stdint.h>

struct rp_civil {
    int64_t year;
    int month, day;
};
/* Years begin in March here, so that the leap day is the last; an era is 400 years of 146,097 days. */
enum { RP_DAYS_OF_ERA = 146097, RP_DAYS_TO_2000 = 730425 }; /* from 0000-03-01 to 2000-01-01 */

static inline int64_t rp_days_of(struct rp_civil c)
{
    int64_t year = c.year - (c.month <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
    return era * RP_DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - RP_DAYS_TO_2000;
}

static inline struct rp_civil rp_civil_of(int64_t days)
{
    days += RP_DAYS_TO_2000;
    int64_t era = (days >= 0 ? days : days - (RP_DAYS_OF_ERA - 1)) / RP_DAYS_OF_ERA,
            of_era = days - era * RP_DAYS_OF_ERA;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    struct rp_civil c = { .day = (int)(of_year - (153 * month + 2) / 5 + 1),
                          .month = (int)(month < 10 ? month + 3 : month - 9) };
    c.year = year + era * 400 + (c.month <= 2);
    return c;
}

#endif

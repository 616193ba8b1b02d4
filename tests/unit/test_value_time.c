/* The getters and the printing of dates, times and intervals, and the way to the system's clock. */
#include <stdio.h>
#include "unit/getters.h"

static const int64_t SECOND = 1000000, DAY = INT64_C(86400000000);

/* A value in binary and its text: what is printed, and what both formats give. */
static void expect_time(uint32_t type, size_t size, int64_t number, const char *text, int64_t (*get)(struct pg_value))
{
    struct pg_value value = in_binary(type, (uint64_t)number, size);
    assert_true(get(value) == number);
    expect_printed(value, text);
    expect_no_complaint();
    int64_t got = get(in_text(type, text));
    if (got != number || row.mark) fail_msg("\"%s\": %lld %s", text, (long long)got, row.mark ? row.why : "");
}
static int64_t date(struct pg_value value) { return pg_value_date(value); }

static void dates(void **state)
{
    (void)state;
    static const struct {
        int32_t days;
        const char *text;
    } list[] = { { 0, "2000-01-01" },          { -1, "1999-12-31" },          { 8825, "2024-02-29" },
                 { -36466, "1900-02-28" },     { -36465, "1900-03-01" },      { -730119, "0001-01-01" },
                 { -730120, "0001-12-31 BC" }, { -2451545, "4714-11-24 BC" }, { 2145031948, "5874897-12-31" },
                 { INT32_MAX, "infinity" },    { INT32_MIN, "-infinity" },    { 2921940, "10000-01-01" } };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        expect_time(PG_TYPE_DATE, 4, list[i].days, list[i].text, date);
    uint64_t seed = 31;
    for (int i = 0; i < 20000; i++) { /* every day follows the one before, through leap years and centuries */
        char text[40];
        int32_t days = (int32_t)(random_u64(&seed) % 2147483493) - 2451545;
        pg_value_format(in_binary(PG_TYPE_DATE, (uint32_t)days, 4), text, sizeof text);
        assert_int_equal(pg_value_date(in_text(PG_TYPE_DATE, text)), days);
        expect_no_complaint();
    }
}

static void times(void **state)
{
    (void)state;
    expect_time(PG_TYPE_TIME, 8, 0, "00:00:00", pg_value_time);
    expect_time(PG_TYPE_TIME, 8, DAY, "24:00:00", pg_value_time);
    expect_time(PG_TYPE_TIME, 8, DAY - 1, "23:59:59.999999", pg_value_time);
    expect_time(PG_TYPE_TIME, 8, 45296 * SECOND + 700000, "12:34:56.7", pg_value_time);
    expect_time(PG_TYPE_TIME, 8, 1, "00:00:00.000001", pg_value_time);
}

static void timestamps(void **state)
{
    (void)state;
    expect_time(PG_TYPE_TIMESTAMP, 8, 0, "2000-01-01 00:00:00", pg_value_timestamp);
    expect_time(PG_TYPE_TIMESTAMP, 8, -1, "1999-12-31 23:59:59.999999", pg_value_timestamp);
    expect_time(PG_TYPE_TIMESTAMP, 8, INT64_MAX, "infinity", pg_value_timestamp);
    expect_time(PG_TYPE_TIMESTAMP, 8, INT64_MIN, "-infinity", pg_value_timestamp);
    expect_time(PG_TYPE_TIMESTAMP, 8, INT64_C(-211813488000000000), "4714-11-24 00:00:00 BC", pg_value_timestamp);
    expect_time(PG_TYPE_TIMESTAMP, 8, INT64_C(9223371331199999999), "294276-12-31 23:59:59.999999", pg_value_timestamp);
    expect_time(PG_TYPE_TIMESTAMPTZ, 8, 0, "2000-01-01 00:00:00+00", pg_value_timestamptz);
    expect_time(PG_TYPE_TIMESTAMPTZ, 8, INT64_C(-211813488000000000), "4714-11-24 00:00:00+00 BC",
                pg_value_timestamptz);
    expect_time(PG_TYPE_TIMESTAMPTZ, 8, INT64_MAX, "infinity", pg_value_timestamptz);
    static const struct {
        const char *text;
        int64_t us;
    } zones[] = { { "2000-01-01 05:30:00+05:30", 0 },
                  { "1999-12-31 16:00:00-08", 0 },
                  { "2000-01-01 00:00:01.5+00:00:01", 500000 },
                  { "0001-12-31 23:00:00-01 BC", -730119 * INT64_C(86400000000) } };
    for (size_t i = 0; i < sizeof zones / sizeof *zones; i++) {
        assert_true(pg_value_timestamptz(in_text(PG_TYPE_TIMESTAMPTZ, zones[i].text)) == zones[i].us);
        expect_no_complaint();
    }
    assert_true(pg_value_timestamptz(in_binary(PG_TYPE_TIMESTAMP, 5, 8)) == 0);
    expect_complaint("is a timestamp, not a timestamptz");
}

static void expect_timetz(int64_t us, int32_t east, const char *text)
{
    uint8_t bytes[12];
    put_big_endian(bytes, (uint64_t)us, 8);
    put_big_endian(bytes + 8, (uint32_t)-east, 4);
    expect_printed(value_of(PG_TYPE_TIMETZ, false, bytes, 12), text);
    for (int format = 0; format < 2; format++) {
        struct pg_value value =
            value_of(PG_TYPE_TIMETZ, format, format ? (const void *)text : bytes, format ? strlen(text) : 12);
        struct pg_timetz got = pg_value_timetz(value);
        expect_no_complaint();
        assert_true(got.us == us && got.offset_s == east);
    }
}

static void timetzs(void **state)
{
    (void)state;
    expect_timetz(0, 0, "00:00:00+00");
    expect_timetz(DAY, 57599, "24:00:00+15:59:59");
    expect_timetz(DAY - 1, -57599, "23:59:59.999999-15:59:59");
    expect_timetz(3600 * SECOND, 19800, "01:00:00+05:30");
    expect_timetz(0, 1, "00:00:00+00:00:01");
}

static size_t put_interval(uint8_t bytes[16], struct pg_interval v)
{
    put_big_endian(bytes, (uint64_t)v.us, 8);
    put_big_endian(bytes + 8, (uint32_t)v.days, 4);
    return 12 + put_big_endian(bytes + 12, (uint32_t)v.months, 4);
}

static void intervals(void **state)
{
    (void)state;
    static const struct {
        struct pg_interval v;
        const char *text;
    } list[] = {
        { { 0, 0, 0 }, "00:00:00" },
        { { 14, 3, 14706789000 }, "1 year 2 mons 3 days 04:05:06.789" },
        { { -14, -3, -14706789000 }, "-1 years -2 mons -3 days -04:05:06.789" },
        { { 0, 1, -1 }, "1 day -00:00:00.000001" },
        { { 0, -1, 1 }, "-1 days +00:00:00.000001" },
        { { -1, 1, 0 }, "-1 mons +1 day" },
        { { 12, 0, 0 }, "1 year" },
        { { 24, 0, 60000000 }, "2 years 00:01:00" },
        { { INT32_MAX, INT32_MIN, INT64_MAX }, "178956970 years 7 mons -2147483648 days +2562047788:00:54.775807" },
        { { INT32_MIN, INT32_MAX, INT64_MIN }, "-178956970 years -8 mons +2147483647 days -2562047788:00:54.775808" },
        { { INT32_MAX, INT32_MAX, INT64_MAX }, "infinity" },
        { { INT32_MIN, INT32_MIN, INT64_MIN }, "-infinity" }
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        uint8_t bytes[16];
        put_interval(bytes, list[i].v);
        expect_printed(value_of(PG_TYPE_INTERVAL, false, bytes, 16), list[i].text);
        for (int format = 0; format < 2; format++) {
            struct pg_interval got = pg_value_interval(format ? in_text(PG_TYPE_INTERVAL, list[i].text)
                                                              : value_of(PG_TYPE_INTERVAL, false, bytes, 16));
            expect_no_complaint();
            assert_true(got.months == list[i].v.months && got.days == list[i].v.days && got.us == list[i].v.us);
        }
    }
}

static void get_date(struct pg_value value) { assert_true(pg_value_date(value) == 0 || !row.mark); }
static void get_time(struct pg_value value) { assert_true(pg_value_time(value) == 0 || !row.mark); }
static void get_timestamp(struct pg_value value) { assert_true(pg_value_timestamp(value) == 0 || !row.mark); }
static void get_timestamptz(struct pg_value value) { assert_true(pg_value_timestamptz(value) == 0 || !row.mark); }
static void get_timetz(struct pg_value value)
{
    struct pg_timetz got = pg_value_timetz(value);
    assert_true(!row.mark || (got.us == 0 && got.offset_s == 0));
}
static void get_interval(struct pg_value value)
{
    struct pg_interval got = pg_value_interval(value);
    assert_true(!row.mark || (got.us == 0 && got.days == 0 && got.months == 0));
}

static void malformed_binary(void **state)
{
    (void)state;
    static const uint8_t zeros[16] = { 0 };
    expect_no_other_size(PG_TYPE_DATE, zeros, 4, get_date);
    expect_no_other_size(PG_TYPE_TIME, zeros, 8, get_time);
    expect_no_other_size(PG_TYPE_TIMESTAMP, zeros, 8, get_timestamp);
    expect_no_other_size(PG_TYPE_TIMESTAMPTZ, zeros, 8, get_timestamptz);
    expect_no_other_size(PG_TYPE_TIMETZ, zeros, 12, get_timetz);
    expect_no_other_size(PG_TYPE_INTERVAL, zeros, 16, get_interval);
    get_date(in_binary(PG_TYPE_DATE, (uint32_t)-2451546, 4));
    expect_complaint("is out of range for date");
    get_date(in_binary(PG_TYPE_DATE, 2145031949, 4));
    expect_complaint("is out of range for date");
    get_time(in_binary(PG_TYPE_TIME, (uint64_t)DAY + 1, 8));
    expect_complaint("is out of range for time");
    get_time(in_binary(PG_TYPE_TIME, INT64_MAX, 8)); /* a time has no infinity */
    expect_complaint("is out of range for time");
    get_timestamp(in_binary(PG_TYPE_TIMESTAMP, (uint64_t)INT64_C(9223371331200000000), 8));
    expect_complaint("is out of range for timestamp");
    get_timestamp(in_binary(PG_TYPE_TIMESTAMP, (uint64_t)INT64_C(-211813488000000001), 8));
    expect_complaint("is out of range for timestamp");
    get_timetz(value_of(PG_TYPE_TIMETZ, false, "\0\0\0\0\0\0\0\0\0\0\xe1\0", 12)); /* 57600 s */
    expect_complaint("is out of range for timetz");
}

static void malformed_text(void **state)
{
    (void)state;
    static const char *const dates_[] = {
        "",           "2024",          "2024-13-01",     "2023-02-29", "2024-00-01", "2024-01-00",     "24-01-01",
        "01/02/2024", "2024-01-01 AD", "2024-01-01 BC ", "Infinity",   "01.02.2024", "99999999-01-01", "5874898-01-01",
        "2024-01-1",  "2024-01-01x"
    };
    static const char *const times_[] = { "",          "1:2:3",      "24:00:01", "12:60:00",         "12:00:60",
                                          "12:00",     "12:00:00.",  "infinity", "12:00:00.1234567", "-01:00:00",
                                          "12:00:00 ", "12:00:00+00" };
    static const char *const stamps[] = { "",
                                          "2024-01-01",
                                          "2024-01-01T00:00:00",
                                          "2024-01-01 00:00:00+00",
                                          "2024-01-01 00:00",
                                          "294277-01-01 00:00:00",
                                          "4714-11-23 23:59:59 BC",
                                          "Mon Jan 01 00:00:00 2024" };
    static const char *const zoned[] = { "2024-01-01 00:00:00",     "2024-01-01 00:00:00+16",
                                         "2024-01-01 00:00:00+1",   "2024-01-01 00:00:00+01:60",
                                         "2024-01-01 00:00:00 UTC", "2024-01-01 00:00:00+" };
    static const char *const spans[] = {
        "",        "1",     "1 day ",           "1 days 2",        "1 day 1 year",    "@ 1 day", "P1D",
        "1 yearx", "04:05", "1 day --01:00:00", "2147483648 days", "178956971 years", "1  day",  "2562047789:00:00",
        "- 1 day"
    };
    for (size_t i = 0; i < sizeof dates_ / sizeof *dates_; i++) expect_malformed(PG_TYPE_DATE, dates_[i], get_date);
    for (size_t i = 0; i < sizeof times_ / sizeof *times_; i++) expect_malformed(PG_TYPE_TIME, times_[i], get_time);
    for (size_t i = 0; i < sizeof stamps / sizeof *stamps; i++)
        expect_malformed(PG_TYPE_TIMESTAMP, stamps[i], get_timestamp);
    for (size_t i = 0; i < sizeof zoned / sizeof *zoned; i++)
        expect_malformed(PG_TYPE_TIMESTAMPTZ, zoned[i], get_timestamptz);
    for (size_t i = 0; i < sizeof spans / sizeof *spans; i++)
        expect_malformed(PG_TYPE_INTERVAL, spans[i], get_interval);
    expect_malformed(PG_TYPE_TIMETZ, "12:00:00", get_timetz);
    expect_malformed(PG_TYPE_TIMETZ, "12:00:00+16:00", get_timetz);
}

static void the_systems_clock(void **state)
{
    (void)state;
    static const struct {
        int64_t us, seconds;
        long ns;
    } list[] = { { 0, 946684800, 0 },
                 { -1, 946684799, 999999000 },
                 { 1, 946684800, 1000 },
                 { -946684800 * INT64_C(1000000), 0, 0 },
                 { -946684800 * INT64_C(1000000) - 1, -1, 999999000 } };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct timespec time = pg_time_to_timespec(list[i].us);
        assert_true(time.tv_sec == list[i].seconds && time.tv_nsec == list[i].ns);
        assert_true(pg_time_from_timespec(time) == list[i].us);
    }
    struct timespec late = pg_time_to_timespec(PG_TIME_INFINITY), early = pg_time_to_timespec(PG_TIME_MINUS_INFINITY);
    assert_true(late.tv_sec == INT64_MAX && early.tv_sec == INT64_MIN);
    assert_true(pg_time_from_timespec(late) == PG_TIME_INFINITY);
    assert_true(pg_time_from_timespec(early) == PG_TIME_MINUS_INFINITY);
    struct timespec beyond = { .tv_sec = 9224318016000 }; /* 294277-01-01: the server has no such timestamp */
    assert_true(pg_time_from_timespec(beyond) == PG_TIME_INFINITY);
    beyond.tv_sec--;
    assert_true(pg_time_from_timespec(beyond) == INT64_C(9223371331199000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates),          cmocka_unit_test(times),
        cmocka_unit_test(timestamps),     cmocka_unit_test(timetzs),
        cmocka_unit_test(intervals),      cmocka_unit_test(malformed_binary),
        cmocka_unit_test(malformed_text), cmocka_unit_test(the_systems_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

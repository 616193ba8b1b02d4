/* unit/test_conninfo_number.c - numbers, durations and sizes of connection strings. What is refused leaves the output
 * alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "config/piece.h"
#include "wire/check.h"

#define S (UINT64_C(1000000000))
#define MS (UINT64_C(1000000))

static void durations(void **state)
{
    (void)state;
    static const struct { const char *text; enum rp_number rc; uint64_t ns; } table[] = {
        { "0", RP_NUMBER, 0 }, { "0s", RP_NUMBER, 0 }, { "-0", RP_NUMBER, 0 }, { "10", RP_NUMBER, 10 * S },
        { "+10s", RP_NUMBER, 10 * S }, { "500ms", RP_NUMBER, 500 * MS }, { "1m30s", RP_NUMBER, 90 * S },
        { "2h", RP_NUMBER, 7200 * S }, { "1h2m3s4ms5us6ns", RP_NUMBER, 3723004005006 },
        { "1.5s", RP_NUMBER, 1500 * MS }, { ".5s", RP_NUMBER, 500 * MS }, { "1.s", RP_NUMBER, S },
        { "1.5", RP_NUMBER, 1500 * MS }, { "1.5h", RP_NUMBER, 5400 * S }, { "7\xc2\xb5s", RP_NUMBER, 7000 },
        { "7\xce\xbcs", RP_NUMBER, 7000 }, { "0.1ns", RP_NUMBER, 0 }, { "0.1234567899s", RP_NUMBER, 123456789 },
        { "30s1m", RP_NUMBER, 90 * S }, { "18446744073s", RP_NUMBER, 18446744073 * S },
        { "18446744073709551615ns", RP_NUMBER, UINT64_MAX }, { "18446744073709551616ns", RP_NUMBER_RANGE, 0 },
        { "18446744073709551615ns1ns", RP_NUMBER_RANGE, 0 }, { "18446744074s", RP_NUMBER_RANGE, 0 },
        { "99999999999999999999999999h", RP_NUMBER_RANGE, 0 },
        { "18446744073709551615h18446744073709551615h18446744073709551615h", RP_NUMBER_RANGE, 0 },
        { "-1s", RP_NUMBER_RANGE, 0 }, { "-10", RP_NUMBER_RANGE, 0 }, { "99999999999h1x", RP_NUMBER_GARBAGE, 0 },
        { "", RP_NUMBER_GARBAGE, 0 }, { "s", RP_NUMBER_GARBAGE, 0 }, { "-", RP_NUMBER_GARBAGE, 0 },
        { "+", RP_NUMBER_GARBAGE, 0 }, { ".", RP_NUMBER_GARBAGE, 0 }, { ".s", RP_NUMBER_GARBAGE, 0 },
        { "1x", RP_NUMBER_GARBAGE, 0 }, { "1S", RP_NUMBER_GARBAGE, 0 }, { "1m30", RP_NUMBER_GARBAGE, 0 },
        { "1 s", RP_NUMBER_GARBAGE, 0 }, { " 1s", RP_NUMBER_GARBAGE, 0 }, { "1s ", RP_NUMBER_GARBAGE, 0 },
        { "1..5s", RP_NUMBER_GARBAGE, 0 }, { "1.5.5s", RP_NUMBER_GARBAGE, 0 }, { "1s-1s", RP_NUMBER_GARBAGE, 0 },
        { "--1s", RP_NUMBER_GARBAGE, 0 }, { "1d", RP_NUMBER_GARBAGE, 0 }, { "1e3s", RP_NUMBER_GARBAGE, 0 },
        { "inf", RP_NUMBER_GARBAGE, 0 }, { "0x10", RP_NUMBER_GARBAGE, 0 },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        uint64_t ns = 42;
        enum rp_number rc = rp_number_duration(table[i].text, &ns);
        if (rc != table[i].rc || ns != (rc == RP_NUMBER ? table[i].ns : 42))
            fail_msg("%s: %d %llu", table[i].text, rc, (unsigned long long)ns);
    }
}

static void sizes_and_integers(void **state)
{
    (void)state;
    static const struct { const char *text; enum rp_number rc; uint64_t bytes; } sizes[] = {
        { "0", RP_NUMBER, 0 }, { "4096", RP_NUMBER, 4096 }, { "4096B", RP_NUMBER, 4096 },
        { "64kB", RP_NUMBER, 65536 }, { "16MB", RP_NUMBER, 16 << 20 }, { "1GB", RP_NUMBER, 1 << 30 },
        { "+1", RP_NUMBER, 1 }, { "18446744073709551615", RP_NUMBER, UINT64_MAX },
        { "18446744073709551615kB", RP_NUMBER_RANGE, 0 }, { "18446744073709551616", RP_NUMBER_RANGE, 0 },
        { "-1", RP_NUMBER_RANGE, 0 }, { "1KB", RP_NUMBER_GARBAGE, 0 }, { "1mb", RP_NUMBER_GARBAGE, 0 },
        { "1 MB", RP_NUMBER_GARBAGE, 0 }, { "", RP_NUMBER_GARBAGE, 0 }, { "MB", RP_NUMBER_GARBAGE, 0 },
        { "1.5MB", RP_NUMBER_GARBAGE, 0 }, { "1MBx", RP_NUMBER_GARBAGE, 0 }, { "-", RP_NUMBER_GARBAGE, 0 },
    };
    for (size_t i = 0; i < RP_COUNT(sizes); i++) {
        uint64_t bytes = 42;
        enum rp_number rc = rp_number_bytes(sizes[i].text, &bytes);
        if (rc != sizes[i].rc || bytes != (rc == RP_NUMBER ? sizes[i].bytes : 42))
            fail_msg("%s: %d", sizes[i].text, rc);
    }
    static const struct { const char *text; enum rp_number rc; int64_t n; } integers[] = {
        { "0", RP_NUMBER, 0 }, { " 7 ", RP_NUMBER, 7 }, { "\t-7\n", RP_NUMBER, -7 }, { "+7", RP_NUMBER, 7 },
        { "007", RP_NUMBER, 7 }, { "9223372036854775807", RP_NUMBER, INT64_MAX },
        { "9223372036854775808", RP_NUMBER_RANGE, 0 }, { "99999999999999999999999999", RP_NUMBER_RANGE, 0 },
        { "", RP_NUMBER_GARBAGE, 0 }, { " ", RP_NUMBER_GARBAGE, 0 }, { "-", RP_NUMBER_GARBAGE, 0 },
        { "+-1", RP_NUMBER_GARBAGE, 0 }, { "1 2", RP_NUMBER_GARBAGE, 0 }, { "1x", RP_NUMBER_GARBAGE, 0 },
        { "0x1", RP_NUMBER_GARBAGE, 0 }, { "1.0", RP_NUMBER_GARBAGE, 0 },
    };
    for (size_t i = 0; i < RP_COUNT(integers); i++) {
        int64_t n = 42;
        enum rp_number rc = rp_number_integer(integers[i].text, &n);
        if (rc != integers[i].rc || n != (rc == RP_NUMBER ? integers[i].n : 42))
            fail_msg("%s: %d", integers[i].text, rc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(durations), cmocka_unit_test(sizes_and_integers) };
    return cmocka_run_group_tests_name("conninfo_number", tests, NULL, NULL);
}

/* test_session_rows.c - rows in pieces, as transcripts: each cut at every offset, so that every value is cut there,
 * too; what is above the limits of a whole row; whose rows they are; and a server that breaks the rules half-way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

#define FIRST "1 2 T(x:25) "
#define TWO "1 2 T(x:25,y:25) "
#define LONG "a value that is much longer than the forty bytes that come whole"
#define DUPLICATE "E(ERROR,23505,dup) "
#define SENT "P:s1 B:s1 D E S"

static void check_all(const struct transcript_case *c, size_t n)
{
    for (size_t i = 0; i < n; i++) transcript_check(&c[i], 0);
}
#define CHECK_ALL(cases) check_all((cases), RP_COUNT(cases))

static const struct transcript_case cases[] = {
    { "short ones", { { "w", TWO "D(1,22) D(,~) C(SELECT 2) Z(I)" } },
      "T(0#1) r(0:1,22) r(0:,~) done(0:SELECT 2)", SENT },
    { "long ones", { { "w", TWO "D(" LONG ",1) D(~," LONG ") D(" LONG "," LONG ") C(SELECT 3) Z(I)" } },
      "T(0#1) r(0:" LONG ",1) r(0:~," LONG ") r(0:" LONG "," LONG ") done(0:SELECT 3)", SENT },
    { "no columns", { { "w", "1 2 n D() D() C(SELECT 2) Z(I)" } }, "T(0#1) r(0:-) r(0:-) done(0:SELECT 2)", SENT },
    { "no rows", { { "w", FIRST "C(SELECT 0) Z(I)" } }, "T(0#1) done(0:SELECT 0)", SENT },
    { "each request as it wants it",
      { { "a", FIRST "D(1) C(SELECT 1) Z(I)" },
        { "w W x", "2 D(2) C(SELECT 1) Z(I) 1 2 T(x:25t) D(3) C(SELECT 1) Z(I) 2 D(4) C(SELECT 1) Z(I)" } },
      "T(0#1) D(0:1) done(0:SELECT 1) r(1:2) done(1:SELECT 1) T(2) r(2:3) done(2:SELECT 1) d(3:4) done(3:SELECT 1)",
      SENT " B:s1 E S P: B: D E S B:s1t E S" },
    { "an error behind a row", { { "w", FIRST "D(1) " DUPLICATE "Z(I)" } },
      "T(0#1) r(0:1) done(0:E_SERVER 23505 dup)", SENT },
    { "its caller goes away between two", { { "w", FIRST "D(1)" }, { "-0", "D(" LONG ") C(SELECT 2) Z(I)" } },
      "T(0#1) r(0:1) kept(0) done(-)", SENT },
    { "its caller wants no more", { { "w", FIRST "D(1)" }, { "=0", "D(" LONG ") D(2) C(SELECT 3) Z(I)" } },
      "T(0#1) r(0:1) done(0:E_CANCELLED)", SENT },
    { "messages that come at any time",
      { { "w", FIRST "D(1) N(WARNING,01000,careful) S(TimeZone,UTC) D(" LONG ") C(SELECT 2) Z(I)" } },
      "T(0#1) r(0:1) notice(01000 careful) r(0:" LONG ") done(0:SELECT 2)", SENT },
    { "more columns than were described", { { "w", FIRST "D(1,2)" } }, "T(0#1) broken(E_PROTOCOL)", SENT },
    { "fewer", { { "w", TWO "D(1)" } }, "T(0#1) broken(E_PROTOCOL)", SENT },
    { "a row where none is due", { { "w", "1 D(1)" } }, "broken(E_PROTOCOL)", SENT },
    { "and behind the last", { { "w", FIRST "C(SELECT 0) D(1)" } }, "T(0#1) broken(E_PROTOCOL)", SENT },
};

static void test_pieces(void **state)
{
    (void)state;
    CHECK_ALL(cases);
}

/* ---- larger than a whole row may be ---- */

enum { HUGE_VALUE = 3 * TRANSCRIPT_ROW_LIMIT };

static void put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(v >> (24 - 8 * i));
}
/* A row of one value, whose length words say what they are told to. */
static size_t row(uint8_t *to, uint32_t length, uint32_t value, size_t bytes)
{
    to[0] = 'D';
    put_u32(to + 1, length);
    to[5] = 0, to[6] = 1;
    put_u32(to + 7, value);
    memset(to + 11, 'x', bytes);
    return 11 + bytes;
}
static struct transcript *asked(const char *query)
{
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_queue(t, query);
    transcript_pull(t);
    transcript_server(t, FIRST);
    transcript_expect(t, "T(0#1)");
    return t;
}

static void test_a_row_above_the_limit(void **state)
{
    (void)state;
    static uint8_t bytes[HUGE_VALUE + 11];
    size_t size = row(bytes, HUGE_VALUE + 10, HUGE_VALUE, HUGE_VALUE);
    struct transcript *t = asked("w");
    transcript_feed(t, bytes, size / 2);
    assert_int_equal(t->unread.size, 0); /* nothing of it is kept */
    transcript_feed(t, bytes + size / 2, size - size / 2);
    assert_int_equal(t->log.size, strlen(" r(0:)") + HUGE_VALUE);
    t->log.size = 0;
    transcript_server(t, "C(SELECT 1) Z(I)");
    transcript_expect(t, "done(0:SELECT 1)");
    transcript_free(t);
    t = asked("a");
    transcript_feed(t, bytes, size);
    transcript_server(t, "C(SELECT 1) Z(I)");
    transcript_expect(t, "done(0:E_FULL)");
    transcript_free(t);
}

static void test_given_up_in_the_middle_of_a_row(void **state)
{
    (void)state;
    static const struct { const char *how, *said; } ways[] = { { "-0", "kept(0) done(-)" },
                                                               { "=0", "done(0:E_CANCELLED)" } };
    uint8_t bytes[11 + 100];
    size_t size = row(bytes, 110, 100, 100);
    for (size_t way = 0; way < RP_COUNT(ways); way++) {
        for (size_t cut = 0; cut <= size; cut++) {
            struct transcript *t = asked("w");
            transcript_feed(t, bytes, cut);
            t->log.size = 0;
            transcript_queue(t, ways[way].how);
            transcript_feed(t, bytes + cut, size - cut);
            transcript_server(t, "D(short) C(SELECT 2) Z(I)");
            transcript_expect(t, ways[way].said);
            transcript_free(t);
        }
    }
}

/* ---- lengths that cannot be ---- */

static void test_malformed_rows(void **state)
{
    (void)state;
    /* Of the message, of its value, bytes of it that are there. */
    static const struct { uint32_t length, value; size_t bytes; } wrong[] = {
        { 4, 0, 0 }, { 5, 0, 0 }, { 6, 0, 0 }, { 9, 0, 0 },      /* it ends inside of a number */
        { 10, 1, 0 }, { 10, 0xfffffffe, 0 }, { 20, 11, 10 },     /* the value is longer */
        { 20, 9, 10 }, { 11, 0, 1 }, { 14, UINT32_MAX, 4 },      /* or shorter, or NULL */
        { 3, 0, 0 }, { 0x80000000, 0, 0 },                       /* no message at all */
    };
    uint8_t bytes[64];
    for (size_t i = 0; i < RP_COUNT(wrong); i++) {
        struct transcript *t = asked("w");
        size_t size = row(bytes, wrong[i].length, wrong[i].value, wrong[i].bytes);
        for (size_t at = 0; at < size; at++) transcript_feed(t, bytes + at, 1);
        if (t->log.size == 0) fail_msg("row %zu is taken for one", i);
        transcript_expect(t, "broken(E_PROTOCOL)");
        transcript_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_a_row_above_the_limit),
        cmocka_unit_test(test_given_up_in_the_middle_of_a_row),
        cmocka_unit_test(test_malformed_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

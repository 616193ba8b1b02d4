/* test_session_copy.c - COPY in the conversation, as transcripts: the barrier, both directions, who ends it, and a
 * server that breaks the rules. Each cut at every offset and taken through windows of every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

#define FIRST "1 2 T(x:25) "
#define LONG "a message that is much longer than the forty bytes that come whole"
#define DUPLICATE "E(ERROR,23505,dup) "
#define FAILED "E(ERROR,57014,COPY failed) "

static void check_all(const struct transcript_case *c, size_t n)
{
    for (size_t i = 0; i < n; i++) transcript_check(&c[i], 0);
}
#define CHECK_ALL(cases) check_all((cases), RP_COUNT(cases))

static const struct transcript_case out[] = {
    { "two rows", { { "y", "H(t2) d(1) d(22) c C(COPY 2) Z(I)" } },
      "copy(0:out t2) data(0:1) data(0:22) done(0:COPY 2)", "Q" },
    { "none, and one that is empty", { { "y", "H(b0) d() c C(COPY 0) Z(I)" } }, "copy(0:out b0) done(0:COPY 0)", "Q" },
    { "in pieces", { { "y", "H(t1) d(" LONG ") d(x) c C(COPY 2) Z(I)" } },
      "copy(0:out t1) data(0:" LONG ") data(0:x) done(0:COPY 2)", "Q" },
    { "an error half-way", { { "y", "H(t1) d(1) " DUPLICATE "Z(T)" } },
      "copy(0:out t1) data(0:1) done(0:E_SERVER 23505 dup)", "Q" },
    { "an error behind CopyDone, and one behind CommandComplete",
      { { "y", "H(t1) c " DUPLICATE "Z(I)" }, { "y", "H(t1) c C(COPY 0) " DUPLICATE "Z(I)" } },
      "copy(0:out t1) done(0:E_SERVER 23505 dup) copy(1:out t1) done(1:E_SERVER 23505 dup)", "Q Q" },
    { "its caller goes away half-way",
      { { "y", "H(t1) d(1) d(" LONG ")" }, { "-0", "d(2) d(" LONG ") c C(COPY 4) Z(I)" } },
      "copy(0:out t1) data(0:1) data(0:" LONG ") kept(0) done(-)", "Q" },
    { "its caller wants no more", { { "y", "H(t1) d(1)" }, { "=0", "d(2) d(" LONG ") c C(COPY 3) Z(I)" } },
      "copy(0:out t1) data(0:1) done(0:E_CANCELLED)", "Q" },
    { "no COPY at all", { { "y y", "C(UPDATE 3) Z(I)" }, { "", "T(x:25t) D(1) C(SELECT 1) Z(I)" } },
      "done(0:UPDATE 3) T(1) d(1:1) done(1:SELECT 1)", "Q Q" },
    { "messages that come at any time",
      { { "y", "H(t1) d(1) N(WARNING,01000,careful) S(TimeZone,UTC) A(channel,payload) d(2) c C(COPY 2) Z(I)" } },
      "copy(0:out t1) data(0:1) notice(01000 careful) data(0:2) done(0:COPY 2)", "Q" },
};

static void test_out(void **state)
{
    (void)state;
    CHECK_ALL(out);
}

static const struct transcript_case in[] = {
    { "data and CopyDone", { { "y", "G(t2)" }, { "<one> <two>", "S(TimeZone,UTC)" }, { ".", "C(COPY 2) Z(I)" } },
      "copy(0:in t2) done(0:COPY 2)", "Q d(one) d(two) c" },
    { "nothing but CopyDone", { { "y", "G(b2)" }, { ". .", "C(COPY 0) Z(T)" } },
      "copy(0:in b2) done(0:COPY 0)", "Q c" },
    { "CopyFail is the caller's own wish", { { "y", "G(t2)" }, { "<one> % .", FAILED "Z(I)" } },
      "copy(0:in t2) done(0:E_CANCELLED 57014 COPY failed)", "Q d(one) f(by the caller)" },
    { "and does not hide what failed before it", { { "y", "G(t2)" }, { "<one> %", DUPLICATE "Z(I)" } },
      "copy(0:in t2) done(0:E_SERVER 23505 dup)", "Q d(one) f(by the caller)" },
    { "refused half-way: what is written afterwards goes nowhere",
      { { "y", "G(t2)" }, { "<one>", DUPLICATE "Z(E)" }, { "<two> . %", "" }, { "u", FIRST "C(SELECT 0) Z(E)" } },
      "copy(0:in t2) done(0:E_SERVER 23505 dup) T(1) done(1:SELECT 0)", "Q d(one) P: B: D E S" },
    { "refused after CopyDone, and at the end of the transaction",
      { { "y", "G(t2)" }, { ".", DUPLICATE "Z(I)" }, { "y", "G(t2)" }, { ".", "C(COPY 1) " DUPLICATE "Z(I)" } },
      "copy(0:in t2) done(0:E_SERVER 23505 dup) copy(1:in t2) done(1:E_SERVER 23505 dup)", "Q c Q c" },
    { "its caller goes away", { { "y", "G(t2)" }, { "<one> -0", FAILED "Z(I)" } },
      "copy(0:in t2) kept(0) done(-)", "Q d(one) f(the caller has gone away)" },
    { "and was gone before", { { "y", "" }, { "-0", "G(t2)" }, { "<one>", FAILED "Z(I)" } },
      "kept(0) done(-)", "Q f(the caller has gone away)" },
    { "one COPY for each request",
      { { "y", "G(t2)" }, { "<one> .", "C(COPY 1) G(t2)" }, { "<two> .", FAILED "Z(I)" } },
      "copy(0:in t2) done(0:E_PARAMETER 57014 COPY failed)", "Q d(one) c f(the request copies more than once)" },
    { "nor one out behind one in", { { "y", "G(t2)" }, { ".", "C(COPY 1) H(t1) d(lost) c C(COPY 1) Z(I)" } },
      "copy(0:in t2) done(0:E_PARAMETER)", "Q c" },
};

static void test_in(void **state)
{
    (void)state;
    CHECK_ALL(in);
}

/* Nothing is written behind it, and it not before all that stands before it is answered. */
static const struct transcript_case barrier[] = {
    { "in the midst of others",
      { { "a y b", FIRST "C(SELECT 0) Z(I)" },
        { "", "H(t1) d(1) c C(COPY 1) Z(I)" },
        { "", "1 2 n C(UPDATE 1) Z(I)" } },
      "T(0#1) done(0:SELECT 0) copy(1:out t1) data(1:1) done(1:COPY 1) T(2#2) done(2:UPDATE 1)",
      "P:s1 B:s1 D E S Q P:s2 B:s2 D E S" },
    { "one behind the other", { { "y y", "H(t1) c C(COPY 0) Z(I)" }, { "", "G(t1)" }, { ".", "C(COPY 0) Z(I)" } },
      "copy(0:out t1) done(0:COPY 0) copy(1:in t1) done(1:COPY 0)", "Q Q c" },
    { "behind one that fails", { { "a y", "E(ERROR,42601,syntax) Z(I)" }, { "", "H(t1) c C(COPY 0) Z(I)" } },
      "done(0:E_SERVER 42601 syntax) copy(1:out t1) done(1:COPY 0)", "P:s1 B:s1 D E S Q" },
    { "given up before it is written", { { "a y b -1", FIRST "C(SELECT 0) Z(I)" }, { "", "1 2 n C(UPDATE 1) Z(I)" } },
      "gone(1) T(0#1) done(0:SELECT 0) T(2#2) done(2:UPDATE 1)", "P:s1 B:s1 D E S P:s2 B:s2 D E S" },
    { "what waits behind it is given up", { { "y b", "G(t1)" }, { "-1 .", "C(COPY 0) Z(I)" } },
      "copy(0:in t1) gone(1) done(0:COPY 0)", "Q c" },
};

static void test_barrier(void **state)
{
    (void)state;
    CHECK_ALL(barrier);
}

/* The same bytes and not a byte more, seen at the moment at which they would be too early. */
static void test_nothing_too_early(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_queue(t, "a y b");
    transcript_expect_sent(t, "P:s1 B:s1 D E S");
    transcript_server(t, FIRST "C(SELECT 0)");
    transcript_expect_sent(t, "");
    transcript_server(t, "Z(I)");
    transcript_expect_sent(t, "Q");
    transcript_server(t, "G(t1)");
    transcript_queue(t, "<one> .");
    transcript_expect_sent(t, "d(one) c");
    transcript_server(t, "C(COPY 1)");
    transcript_expect_sent(t, "");
    assert_false(rp_session_has_output(&t->s));
    transcript_server(t, "Z(I)");
    transcript_expect_sent(t, "P:s2 B:s2 D E S");
    transcript_free(t);
}

/* The end was said and nothing of it is written yet: a failure is faster, and a refusal takes it back. */
static void test_the_end_is_not_written_yet(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_queue(t, "y");
    transcript_server(t, "G(t1)");
    transcript_queue(t, "^ .");
    transcript_queue(t, "^ -0");
    transcript_pull(t);
    transcript_expect_sent(t, "Q f(the caller has gone away)");
    transcript_server(t, FAILED "Z(I)");
    transcript_expect(t, "copy(0:in t1) kept(0) done(-)");
    transcript_queue(t, "y");
    transcript_server(t, "G(t1)");
    transcript_queue(t, "^ .");
    transcript_server(t, DUPLICATE "Z(I)");
    transcript_queue(t, "u");
    transcript_expect_sent(t, "Q P: B: D E S");
    transcript_free(t);
}

/* A CopyFail of which the first bytes are gone is written to its end, whatever was heard meanwhile. */
static void test_half_an_end(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_queue(t, "y");
    transcript_server(t, "G(t1)");
    transcript_queue(t, "^ % |3");
    transcript_server(t, DUPLICATE "Z(I)");
    transcript_queue(t, "u");
    transcript_expect_sent(t, "Q f(by the caller) P: B: D E S");
    transcript_free(t);
}

/* failures 23: what is illegal breaks the connection. */
static const struct transcript_case illegal[] = {
    { "in, for a query that asked for nothing", { { "s", "G(t1)" } }, "broken(E_PROTOCOL)", NULL },
    { "out, for one", { { "u", "1 2 n H(t1)" } }, "T(0) broken(E_PROTOCOL)", NULL },
    { "both, for a COPY", { { "y", "W(t1)" } }, "broken(E_PROTOCOL)", NULL },
    { "both, for a query", { { "u", "1 2 n W(t1)" } }, "T(0) broken(E_PROTOCOL)", NULL },
    { "data before", { { "y", "d(1)" } }, "broken(E_PROTOCOL)", NULL },
    { "data while copying in", { { "y", "G(t1) d(1)" } }, "copy(0:in t1) broken(E_PROTOCOL)", NULL },
    { "data behind CopyDone", { { "y", "H(t1) c d(1)" } }, "copy(0:out t1) broken(E_PROTOCOL)", NULL },
    { "CopyDone while copying in", { { "y", "G(t1) c" } }, "copy(0:in t1) broken(E_PROTOCOL)", NULL },
    { "CopyDone with contents", { { "y", "H(t1) c(x)" } }, "copy(0:out t1) broken(E_PROTOCOL)", NULL },
    { "complete before CopyDone", { { "y", "H(t1) C(COPY 1)" } }, "copy(0:out t1) broken(E_PROTOCOL)", NULL },
    { "complete before our CopyDone", { { "y", "G(t1) C(COPY 1)" } }, "copy(0:in t1) broken(E_PROTOCOL)", NULL },
    { "ready in the middle", { { "y", "H(t1) Z(I)" } }, "copy(0:out t1) broken(E_PROTOCOL)", NULL },
    { "ready behind CopyDone", { { "y", "H(t1) c Z(I)" } }, "copy(0:out t1) broken(E_PROTOCOL)", NULL },
    { "a row", { { "y", "H(t1) D(1)" } }, "copy(0:out t1) broken(E_PROTOCOL)", NULL },
    { "another COPY inside", { { "y", "H(t1) H(t1)" } }, "copy(0:out t1) broken(E_PROTOCOL)", NULL },
    { "a response that is cut", { { "y", "H(cut)" } }, "broken(E_PROTOCOL)", NULL },
    { "a response that is empty", { { "y", "G()" } }, "broken(E_PROTOCOL)", NULL },
};

static void test_illegal(void **state)
{
    (void)state;
    CHECK_ALL(illegal);
}

/* A CopyData of nearly the protocol's limit costs no memory: every piece is handed on and done with. */
static void test_bounded(void **state)
{
    (void)state;
    enum { SIZE = 1 << 15, PIECE = 100 };
    struct transcript *t = transcript_new();
    struct blob b = { 0 };
    static char body[SIZE];
    transcript_begin(t, true);
    transcript_queue(t, "y");
    transcript_server(t, "H(t1)");
    memset(body, 'x', sizeof body);
    blob_message(&b, 'd', body, sizeof body);
    for (size_t at = 0; at < b.size; at += PIECE) {
        transcript_feed(t, b.at + at, b.size - at < PIECE ? b.size - at : PIECE);
        assert_in_range(t->unread.size, 0, 4);
    }
    transcript_server(t, "c C(COPY 1) Z(I)");
    assert_int_equal(t->outcomes[0], 1);
    blob_free(&b);
    transcript_free(t);
}

/* What comes whole is bounded by that alone, and not by what a row may have. */
static void test_row_limit_is_another(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    t->config.row_limit = 10;
    transcript_queue(t, "y");
    transcript_server(t, "H(t1) d(twenty-four bytes of it) c C(COPY 1) Z(I)");
    transcript_expect(t, "copy(0:out t1) data(0:twenty-four bytes of it) done(0:COPY 1)");
    transcript_free(t);
}

/* ---- the messages by themselves ---- */

static void test_put(void **state)
{
    (void)state;
    uint8_t bytes[16];
    struct rp_copy_buffer b = { .at = bytes, .capacity = sizeof bytes };
    assert_int_equal(rp_copy_put(&b, "", 0), 0);
    assert_int_equal(b.size, 0);
    assert_int_equal(rp_copy_put(&b, "abc", 3), 3);
    assert_memory_equal(bytes, "d\0\0\0\7abc", b.size);
    assert_int_equal(rp_copy_put(&b, "defghijklmn", 11), 8);
    assert_int_equal(b.size, 16);
    assert_memory_equal(bytes, "d\0\0\0\17abcdefghijk", 16);
    assert_int_equal(rp_copy_put(&b, "l", 1), 0);
    for (size_t capacity = 0; capacity <= 5; capacity++) {
        b = (struct rp_copy_buffer){ .at = bytes, .capacity = capacity };
        assert_int_equal(rp_copy_put(&b, "l", 1), 0);
        assert_int_equal(b.size, 0);
    }
}

static void test_failure_is_cut(void **state)
{
    (void)state;
    char text[200], kept[RP_COPY_FAILURE + 1];
    rp_copy_keep_failure(kept, "short");
    assert_string_equal(kept, "short");
    memset(text, 'x', sizeof text);
    text[RP_COPY_FAILURE] = 0;
    rp_copy_keep_failure(kept, text);
    assert_int_equal(strlen(kept), RP_COPY_FAILURE);
    memcpy(text + RP_COPY_FAILURE - 1, "\xc3\xa4", 3); /* a character that would be cut */
    rp_copy_keep_failure(kept, text);
    assert_int_equal(strlen(kept), RP_COPY_FAILURE - 1);
    memset(text, 0x80, sizeof text - 1);
    text[sizeof text - 1] = 0;
    rp_copy_keep_failure(kept, text);
    assert_string_equal(kept, "");
}

static void test_shape(void **state)
{
    (void)state;
    static const struct { const char *body; size_t size; bool good; } cases[] = {
        { "\0\0\0", 3, true },         { "\0\0\1\0\0", 5, true },     { "\1\0\2\0\1\0\0", 7, true },
        { "\1\0\1\0\1", 5, true },     { "", 0, false },              { "\0\0", 2, false },
        { "\0\0\1\0", 4, false },      { "\0\0\1\0\0\0", 6, false },  { "\0\0\1\0\1", 5, false },
        { "\2\0\0", 3, false },        { "\1\0\1\0\2", 5, false },    { "\1\0\1\1\0", 5, false },
        { "\1\xff\xff\0\1", 5, false },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct rp_copy_shape shape;
        const char *why = NULL;
        bool good = rp_copy_shape_parse(&shape, (const uint8_t *)cases[i].body, cases[i].size, &why);
        assert_int_equal(good, cases[i].good);
        assert_true(good || why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out),
        cmocka_unit_test(test_in),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_nothing_too_early),
        cmocka_unit_test(test_the_end_is_not_written_yet),
        cmocka_unit_test(test_half_an_end),
        cmocka_unit_test(test_illegal),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_row_limit_is_another),
        cmocka_unit_test(test_put),
        cmocka_unit_test(test_failure_is_cut),
        cmocka_unit_test(test_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

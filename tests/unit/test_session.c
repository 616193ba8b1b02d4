/* test_session.c - the conversation after the start, as transcripts: each one at once, cut at every offset, byte by
 * byte, and with the output taken through windows of every size; always the same events and the same bytes
 * (failures 21). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

#define FIRST "1 2 T(x:25) "
#define ONE "D(one) C(SELECT 1) "
#define DUPLICATE "E(ERROR,23505,dup,nkey_pkey) "
#define GONE "E(ERROR,26000,no such statement) "
#define CHANGED "E(ERROR,0A000,cached plan,RRevalidateCachedQuery) "

static void check_all(const struct transcript_case *c, size_t n)
{
    for (size_t i = 0; i < n; i++) transcript_check(&c[i], 0);
}
#define CHECK_ALL(cases) check_all((cases), RP_COUNT(cases))

/* ---- answers as they should be ---- */
static const struct transcript_case plain[] = {
    { "several statements in a simple query",
      { { "s", "T(x:25t) D(1) D(~) C(SELECT 2) C(UPDATE 3) T(y:25t,z:25t) D(a,b) C(SELECT 1) Z(I)" } },
      "T(0) d(0:1) d(0:~) T(0) d(0:2:a,b) done(0:SELECT 1)",
      "Q" },
    { "an empty simple query", { { "s", "I Z(I)" } }, "done(0: 0)", "Q" },
    { "first and second use of a statement",
      { { "a", FIRST ONE "Z(I)" }, { "a", "2 D(two) D(three) C(SELECT 2) Z(I)" } },
      "T(0#1) D(0:one) done(0:SELECT 1) D(1:two) D(1:three) done(1:SELECT 2)",
      "P:s1 B:s1 D E S B:s1 E S" },
    { "a second use in flight with the first asks for the columns itself",
      { { "a a", FIRST ONE "Z(I) 2 T(x:25) D(two) C(SELECT 1) Z(I)" } },
      "T(0#1) D(0:one) done(0:SELECT 1) T(1#1) D(1:two) done(1:SELECT 1)",
      "P:s1 B:s1 D E S B:s1 D E S" },
    { "prepared and not executed, then described on its first use",
      { { "A P", "1 Z(I) 1 Z(I)" }, { "a p", "2 T(x:25) C(SELECT 0) Z(I) 2 n C(INSERT 0 1) Z(I)" },
        { "a", "2 C(SELECT 0) Z(I)" } },
      "done(0: 0) done(1: 0) T(2#1) done(2:SELECT 0) T(3#5) done(3:INSERT 1) done(4:SELECT 0)",
      "P:s1 S P:s5/2 S B:s1 D E S B:s5/2 D E S B:s1 E S" },
    { "prepared twice: the second has nothing to say",
      { { "A A", "1 Z(I) Z(I)" } }, "done(0: 0) done(1: 0)", "P:s1 S S" },
    { "what could not be prepared is parsed on its first use",
      { { "A", "E(ERROR,42601,syntax) Z(I)" }, { "a", FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 42601 syntax) T(1#1) D(1:one) done(1:SELECT 1)",
      "P:s1 S P:s1 B:s1 D E S" },
    { "unnamed each time",
      { { "u", FIRST ONE "Z(I)" }, { "u n", FIRST "C(SELECT 0) Z(I) " FIRST ONE "Z(I)" } },
      "T(0) D(0:one) done(0:SELECT 1) T(1) done(1:SELECT 0) T(2) D(2:one) done(2:SELECT 1)",
      "P: B: D E S P: B: D E S P: B: D E S" },
    { "parameters, declared and not",
      { { "p v", "1 2 T(x:23,y:25) C(SELECT 0) Z(I) 1 2 n C(INSERT 0 7) Z(I)" } },
      "T(0#5) done(0:SELECT 0) T(1) done(1:INSERT 7)",
      "P:s5/2 B:s5/2 D E S P:/2 B:/2 D E S" },
    { "one description serves both formats",
      { { "a x a", FIRST ONE "Z(I) 2 T(x:25t) " ONE "Z(I) 2 T(x:25) " ONE "Z(I)" },
        { "x a", "2 " ONE "Z(I) 2 " ONE "Z(I)" } },
      "T(0#1) D(0:one) done(0:SELECT 1) T(1#1) d(1:one) done(1:SELECT 1) T(2#1) D(2:one) done(2:SELECT 1) "
      "d(3:one) done(3:SELECT 1) D(4:one) done(4:SELECT 1)",
      "P:s1 B:s1 D E S B:s1t D E S B:s1 D E S B:s1t E S B:s1 E S" },
    { "text results", { { "t", "1 2 T(x:25t) " ONE "Z(I)" } }, "T(0#4) d(0:one) done(0:SELECT 1)", "P:s4 B:s4t D E S" },
    { "no data, and no columns",
      { { "a b", "1 2 n C(CREATE TABLE) Z(I) 1 2 T() D() C(SELECT 1) Z(I)" } },
      "T(0#1) done(0:CREATE TABLE 0) T(1#2) D(1:) done(1:SELECT 1)",
      "P:s1 B:s1 D E S P:s2 B:s2 D E S" },
    { "an empty query", { { "u", "1 2 n I Z(I)" } }, "T(0) done(0: 0)", "P: B: D E S" },
    { "a batch under one Sync: together at its end",
      { { "a+ p+ a b", FIRST ONE "1 2 n C(INSERT 0 1) 2 T(x:25) " ONE "Z(I) 1 2 n C(DELETE 2) Z(I)" } },
      "T(0#1) D(0:one) T(1#5) T(2#1) D(2:one) done(0:SELECT 1) done(1:INSERT 1) done(2:SELECT 1) "
      "T(3#2) done(3:DELETE 2)",
      "P:s1 B:s1 D E P:s5/2 B:s5/2 D E B:s1 D E S P:s2 B:s2 D E S" },
    { "a transaction",
      { { "a b C", "1 2 n C(BEGIN) Z(T) 1 2 n C(UPDATE 1) Z(T) 1 2 n C(COMMIT) Z(I)" } },
      "T(0#1) done(0:BEGIN 0) T(1#2) done(1:UPDATE 1) T(2#6) done(2:COMMIT 0)",
      NULL },
    { "COMMIT answered by ROLLBACK", { { "C", "1 2 n C(ROLLBACK) Z(I)" } }, "T(0#6) done(0:E_ROLLED_BACK)", NULL },
    { "ROLLBACK where it was asked for", { { "u", "1 2 n C(ROLLBACK) Z(I)" } }, "T(0) done(0:ROLLBACK 0)", NULL },
    { "columns of the second result of a simple query",
      { { "s", "T(a:23t) C(SELECT 0) T(a:23t,b:23t) D(1,2) C(SELECT 1) Z(I)" } },
      "T(0) T(0) d(0:1:1,2) done(0:SELECT 1)",
      "Q" },
};

static void test_plain(void **state)
{
    (void)state;
    CHECK_ALL(plain);
}

/* failures 22: Notice, ParameterStatus and Notification are legal between any two messages. */
static void test_asynchronous_everywhere(void **state)
{
    (void)state;
    static const char *const messages[] = { "1", "2", "T(x:25)", "D(one)", "C(SELECT 1)", "Z(I)" };
    struct transcript_case c = { .name = "asynchronous messages", .sent = "P:s1 B:s1 D E S" };
    for (size_t place = 0; place <= RP_COUNT(messages); place++) {
        struct blob words = { 0 }, events = { 0 };
        static const char *const event[] = { NULL, NULL, "T(0#1)", "D(0:one)", NULL, "done(0:SELECT 1)" };
        for (size_t i = 0; i <= RP_COUNT(messages); i++) {
            if (i == place) {
                blob_print(&words, " S(TimeZone,UTC) N(WARNING,01000,careful) A(channel,payload) S(unknown,value)");
                blob_print(&events, " notice(01000 careful)");
            }
            if (i < RP_COUNT(messages)) blob_print(&words, " %s", messages[i]);
            if (i < RP_COUNT(messages) && event[i]) blob_print(&events, " %s", event[i]);
        }
        c.turn[0].queue = "a";
        c.turn[0].server = blob_text(&words);
        c.events = blob_text(&events) + 1;
        transcript_check(&c, 0);
        blob_free(&words);
        blob_free(&events);
    }
}

/* What the outcome says of the columns: those of the last result that had any; those of an unnamed one only while they
 * are there. */
static void test_columns_at_the_outcome(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_queue(t, "s u+ v+ a b");
    transcript_server(t, "T(x:25t,y:25t) C(SELECT 0) C(UPDATE 1) Z(I) 1 2 T(x:25) D(1) C(SELECT 1) 1 2 "
                         "T(x:25,y:25,z:25) C(SELECT 0) " FIRST ONE "Z(I) "
                         "E(ERROR,42601,syntax) Z(I)");
    const int expected[] = { 2, -1, 3, 1, -1 };
    for (size_t i = 0; i < RP_COUNT(expected); i++) {
        assert_int_equal(t->outcomes[i], 1);
        assert_int_equal(t->columns[i], expected[i]);
    }
    transcript_free(t);
}

/* Where somebody listens they are events, in between everything. */
static void test_notifications(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_server(t, "A(before,it)");
    t->s.listens = true;
    transcript_queue(t, "a");
    transcript_server(t, "A(channel,payload) 1 2 T(x:25) A(other,) D(one) C(SELECT 1) Z(I) A(channel,again)");
    transcript_expect(t, "heard(7 channel payload) T(0#1) heard(7 other ) D(0:one) done(0:SELECT 1) "
                         "heard(7 channel again)");
    transcript_free(t);
}

static void test_parameters_are_kept(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    assert_string_equal(rp_session_parameter(&t->s, "server_version"), "15.4");
    assert_null(rp_session_parameter(&t->s, "TimeZone"));
    assert_null(rp_session_parameter(&t->s, "unknown"));
    transcript_server(t, "S(TimeZone,UTC) S(unknown,value) S(server_version,16)");
    assert_string_equal(rp_session_parameter(&t->s, "TimeZone"), "UTC");
    assert_string_equal(rp_session_parameter(&t->s, "server_version"), "16");
    assert_null(rp_session_parameter(&t->s, "unknown"));
    transcript_server(t, "S(TimeZone,0123456789012345678901234567890123456789012345678901234567890123456789)");
    assert_int_equal(strlen(rp_session_parameter(&t->s, "TimeZone")), RP_PARAMETER_SIZE - 1);
    transcript_expect(t, "");
    transcript_free(t);
}

/* ---- errors ---- */
static const struct transcript_case errors[] = {
    { "at Parse; the statement is not taken for prepared (failures 29)",
      { { "a", "E(ERROR,42601,syntax) Z(I)" }, { "a", FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 42601 syntax) T(1#1) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S P:s1 B:s1 D E S" },
    { "at Bind: the statement is there, its columns are not known",
      { { "p", "1 E(ERROR,22P02,text) Z(I)" }, { "p", "2 n C(DELETE 0) Z(I)" } },
      "done(0:E_SERVER 22P02 text) T(1#5) done(1:DELETE 0)",
      "P:s5/2 B:s5/2 D E S B:s5/2 D E S" },
    { "at Execute, after rows",
      { { "a", FIRST "D(one) D(two) E(ERROR,22012,zero) Z(T)" }, { "a", "2 " ONE "Z(T)" } },
      "T(0#1) D(0:one) D(0:two) done(0:E_SERVER 22012 zero) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S B:s1 E S" },
    { "after CommandComplete: a deferred constraint is the outcome (failures 23)",
      { { "a", "1 2 n C(INSERT 0 1) " DUPLICATE "Z(I)" } },
      "T(0#1) done(0:E_SERVER 23505 dup)",
      NULL },
    { "after CommandComplete, twice",
      { { "a", "1 2 n C(INSERT 0 1) " DUPLICATE "E(ERROR,XX000,later) Z(I)" } },
      "T(0#1) done(0:E_SERVER 23505 dup)",
      NULL },
    { "in a simple query",
      { { "s s", "C(UPDATE 1) " DUPLICATE "Z(I) C(UPDATE 2) Z(I)" } },
      "done(0:E_SERVER 23505 dup) done(1:UPDATE 2)",
      "Q Q" },
    { "in a batch: all fail, with the culprit's SQLSTATE",
      { { "a+ b+ c", FIRST ONE "1 2 n " DUPLICATE "Z(I)" },
        { "a b c", "2 " ONE "Z(I) 2 C(DELETE 1) Z(I) 1 2 n C(DELETE 2) Z(I)" } },
      "T(0#1) D(0:one) T(1#2) done(0:E_BATCH 23505 dup) done(1:E_SERVER 23505 dup) done(2:E_BATCH 23505 dup) "
      "D(3:one) done(3:SELECT 1) done(4:DELETE 1) T(5#3) done(5:DELETE 2)",
      "P:s1 B:s1 D E P:s2 B:s2 D E P:s3 B:s3 D E S B:s1 E S B:s2 E S P:s3 B:s3 D E S" },
    { "in a batch, and once more behind it: the culprit stays",
      { { "a+ b", DUPLICATE "E(ERROR,XX000,later) Z(I)" } },
      "done(0:E_SERVER 23505 dup) done(1:E_BATCH 23505 dup)",
      NULL },
    { "at the commit of a batch: the last member is the culprit",
      { { "a+ b", "1 2 n C(INSERT 0 1) 1 2 n C(INSERT 0 1) " DUPLICATE "Z(I)" } },
      "T(0#1) T(1#2) done(0:E_BATCH 23505 dup) done(1:E_SERVER 23505 dup)",
      NULL },
    { "in the middle of a pipeline: one outcome each (failures 26)",
      { { "a b c a b", FIRST ONE "Z(I) E(ERROR,42P01,no table) Z(I) 1 2 n C(DELETE 1) Z(I) 2 T(x:25) " ONE
                                 "Z(I) E(ERROR,26000,gone,Rexec) Z(T)" } },
      "T(0#1) D(0:one) done(0:SELECT 1) done(1:E_SERVER 42P01 no table) T(2#3) done(2:DELETE 1) T(3#1) D(3:one) "
      "done(3:SELECT 1) done(4:E_SERVER 26000 gone)",
      NULL },
    { "FATAL in the middle (failures 26, 28)",
      { { "a b", FIRST "D(one) E(FATAL,57P01,shutdown) E(FATAL,57P01,again)" } },
      "T(0#1) D(0:one) broken(E_SERVER 57P01 shutdown)",
      NULL },
    { "FATAL while idle",
      { { "", "E(FATAL,57P01,shutdown) E(FATAL,57P01,again)" } },
      "broken(E_SERVER 57P01 shutdown)",
      NULL },
    { "FATAL behind an error",
      { { "a", DUPLICATE "E(FATAL,57P01,shutdown)" } },
      "broken(E_SERVER 57P01 shutdown)",
      NULL },
    { "PANIC between CommandComplete and ReadyForQuery",
      { { "a", "1 2 n C(DELETE 1) E(PANIC,XX000,disk)" } },
      "T(0#1) broken(E_SERVER XX000 disk)",
      NULL },
};

static void test_errors(void **state)
{
    (void)state;
    CHECK_ALL(errors);
}

/* An error while the rest of its group is not written yet: nothing of it is sent but the Sync, and nothing of it was
 * executed. */
static void test_error_before_all_was_sent(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_queue(t, "a+ p+ b ^ |60"); /* all of a, the beginning of p's Parse */
    transcript_server(t, "E(ERROR,42601,syntax)");
    transcript_expect(t, "");
    transcript_queue(t, "");
    transcript_expect_sent(t, "P:s1 B:s1 D E P:s5/2 B:s5/2 D E S");
    transcript_server(t, "Z(I)");
    transcript_expect(t,
                      "done(0:E_SERVER 42601 syntax) done(1:E_BATCH 42601 syntax) done(2:E_BATCH 42601 syntax unsent)");
    transcript_queue(t, "b");
    transcript_expect_sent(t, "P:s2 B:s2 D E S");
    transcript_free(t);
}

static void test_error_with_the_sync_alone_left(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    transcript_queue(t, "a+ b a ^ |55");
    transcript_server(t, "E(ERROR,42601,syntax)");
    transcript_queue(t, "-1 ^");
    transcript_expect(t, "kept(1)"); /* its Sync still has to be written, and answered */
    transcript_queue(t, "");
    transcript_expect_sent(t, "P:s1 B:s1 D E S P:s1 B:s1 D E S");
    transcript_server(t, "Z(I) " FIRST ONE "Z(I)");
    transcript_expect(t, "done(0:E_SERVER 42601 syntax) done(-) T(2#1) D(2:one) done(2:SELECT 1)");
    transcript_free(t);
}

/* ---- what is prepared, and healing (failures 29) ---- */
#define PREPARE { "a", FIRST ONE "Z(I)" }
#define PREPARED "T(0#1) D(0:one) done(0:SELECT 1) "
#define SENT_FIRST "P:s1 B:s1 D E S "
#define AGAIN "3 " FIRST ONE "Z(I)"

static const struct transcript_case healing[] = {
    { "26000: closed, parsed and executed again",
      { PREPARE, { "a", GONE "Z(I)" }, { "", AGAIN } },
      PREPARED "heal(1) T(1#1) D(1:one) done(1:SELECT 1)",
      SENT_FIRST "B:s1 E S C:s1 P:s1 B:s1 D E S" },
    { "0A000 of RevalidateCachedQuery, and other columns than before",
      { PREPARE,
        { "a", CHANGED "Z(I)" },
        { "", "3 1 2 T(x:25,y:25) D(1,2) C(SELECT 1) Z(I)" },
        { "a", "2 D(3,4) C(SELECT 1) Z(I)" } },
      PREPARED "heal(1) T(1#1) D(1:1,2) done(1:SELECT 1) D(2:3,4) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S C:s1 P:s1 B:s1 D E S B:s1 E S" },
    { "0A000 of anything else is the outcome",
      { PREPARE, { "a", "E(ERROR,0A000,no,Rother) Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      PREPARED "done(1:E_SERVER 0A000 no) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S B:s1 E S" },
    { "only once",
      { PREPARE, { "a", GONE "Z(I)" }, { "", "3 1 " GONE "Z(I)" }, { "a", "2 T(x:25) " ONE "Z(I)" } },
      PREPARED "heal(1) done(1:E_SERVER 26000 no such statement) T(2#1) D(2:one) done(2:SELECT 1)",
      NULL },
    { "not within a transaction, but forgotten",
      { PREPARE, { "a", GONE "Z(E)" }, { "a", AGAIN } },
      PREPARED "done(1:E_SERVER 26000 no such statement) T(2#1) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S C:s1 P:s1 B:s1 D E S" },
    { "0A000 within a transaction: forgotten too, else it would fail for ever",
      { PREPARE, { "a", CHANGED "Z(E)" }, { "a", AGAIN } },
      PREPARED "done(1:E_SERVER 0A000 cached plan) T(2#1) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S C:s1 P:s1 B:s1 D E S" },
    { "not at T either", { PREPARE, { "a", GONE "Z(T)" } }, PREPARED "done(1:E_SERVER 26000 no such statement)", NULL },
    { "not after BindComplete, and not forgotten",
      { PREPARE, { "a", "2 " GONE "Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      PREPARED "done(1:E_SERVER 26000 no such statement) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S B:s1 E S" },
    { "0A000 after BindComplete is some function's",
      { PREPARE, { "a", "2 " CHANGED "Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      PREPARED "done(1:E_SERVER 0A000 cached plan) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S B:s1 E S" },
    { "not in a batch, but forgotten",
      { PREPARE, { "a+ b", GONE "Z(I)" }, { "a", AGAIN } },
      PREPARED "done(1:E_SERVER 26000 no such statement) done(2:E_BATCH 26000 no such statement) T(3#1) D(3:one) "
               "done(3:SELECT 1)",
      SENT_FIRST "B:s1 E P:s2 B:s2 D E S C:s1 P:s1 B:s1 D E S" },
    { "exclusive with nothing behind it",
      { PREPARE, { "! a", GONE "Z(I)" }, { "", AGAIN } },
      PREPARED "heal(1) T(1#1) D(1:one) done(1:SELECT 1)",
      NULL },
    { "not exclusive with something behind it",
      { PREPARE, { "! a b", GONE "Z(I) 1 2 n C(DELETE 1) Z(I)" }, { "a", AGAIN } },
      PREPARED "done(1:E_SERVER 26000 no such statement) T(2#2) done(2:DELETE 1) T(3#1) D(3:one) done(3:SELECT 1)",
      NULL },
    { "shared: what is behind goes on",
      { PREPARE, { "a b", GONE "Z(I) 1 2 n C(DELETE 1) Z(I)" }, { "", AGAIN } },
      PREPARED "heal(1) T(2#2) done(2:DELETE 1) T(1#1) D(1:one) done(1:SELECT 1)",
      SENT_FIRST "B:s1 E S P:s2 B:s2 D E S C:s1 P:s1 B:s1 D E S" },
    { "shared: two lost at once, the second does not rely on the first's Parse",
      { PREPARE, { "a a", GONE "Z(I)" }, { "", GONE "Z(I) " AGAIN }, { "", "3 1 2 T(x:25) D(two) C(SELECT 1) Z(I)" } },
      PREPARED "heal(1) heal(2) T(1#1) D(1:one) done(1:SELECT 1) T(2#1) D(2:two) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S B:s1 E S C:s1 P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
    { "the second attempt relies on another's Parse, and its statement is gone again: no third",
      { PREPARE, { "a a", GONE "Z(I)" }, { "^", GONE "Z(I) " AGAIN }, { "", GONE "Z(I)" } },
      PREPARED "heal(1) heal(2) T(1#1) D(1:one) done(1:SELECT 1) done(2:E_SERVER 26000 no such statement)",
      SENT_FIRST "B:s1 E S B:s1 E S C:s1 P:s1 B:s1 D E S B:s1 E S" },
    { "a second attempt does not rely on a Parse that may still fail",
      { PREPARE, { "a a", GONE "Z(I)" }, { "", GONE "Z(I) 3 E(ERROR,42P01,no table) Z(I) " AGAIN } },
      PREPARED "heal(1) heal(2) done(1:E_SERVER 42P01 no table) T(2#1) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "B:s1 E S B:s1 E S C:s1 P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
    { "nor does a lease's request",
      { { "! a a", "E(ERROR,42P01,no table) Z(I) " AGAIN } },
      "done(0:E_SERVER 42P01 no table) T(1#1) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
    { "nor a batch, but for its own",
      { { "a a+ a b", "E(ERROR,42P01,no table) Z(I) 3 " FIRST ONE "2 T(x:25) " ONE "Z(I)" } },
      "done(0:E_SERVER 42P01 no table) T(1#1) D(1:one) T(2#1) D(2:one) done(1:SELECT 1) done(2:SELECT 1)",
      "P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E B:s1 D E S P:s2 B:s2 D E S" },
    { "nobody waits for it any more",
      { PREPARE, { "a |200 -1", GONE "Z(I)" } },
      PREPARED "kept(1) done(-)",
      SENT_FIRST "B:s1 E S" },
    { "a Parse in the same flight: an error of its own",
      { { "a", "1 " GONE "Z(I)" } },
      "done(0:E_SERVER 26000 no such statement)",
      NULL },
    { "an unnamed one", { { "u", "1 " GONE "Z(I)" } }, "done(0:E_SERVER 26000 no such statement)", NULL },
    { "behind a Parse that failed",
      { { "a a", "E(ERROR,42P01,no table) Z(I) " GONE "Z(I)" }, { "", FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 42P01 no table) heal(1) T(1#1) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S B:s1 D E S P:s1 B:s1 D E S" },
    { "a batch does not rely on another's Parse",
      { { "b+ a b+ a", "1 E(ERROR,23505,dup) Z(I) 3 1 2 n C(DELETE 1) 3 " FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 23505 dup) done(1:E_BATCH 23505 dup) T(2#2) T(3#1) D(3:one) done(2:DELETE 1) done(3:SELECT 1)",
      "P:s2 B:s2 D E P:s1 B:s1 D E S C:s2 P:s2 B:s2 D E C:s1 P:s1 B:s1 D E S" },
    { "a batch relies on its own",
      { { "a+ a", FIRST ONE "2 T(x:25) " ONE "Z(I)" } },
      "T(0#1) D(0:one) T(1#1) D(1:one) done(0:SELECT 1) done(1:SELECT 1)",
      "P:s1 B:s1 D E B:s1 D E S" },
    { "a lease does not rely on a Parse before",
      { { "! b+ a a", "1 E(ERROR,23505,dup) Z(I) 3 " FIRST ONE "Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      "done(0:E_SERVER 23505 dup) done(1:E_BATCH 23505 dup) T(2#1) D(2:one) done(2:SELECT 1) D(3:one) done(3:SELECT 1)",
      "P:s2 B:s2 D E P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S B:s1 E S" },
    { "a Parse failed, and another one is on its way",
      { { "b+ a b+ a", "E(ERROR,42601,no) Z(I)" },
        { "b", "3 1 2 n C(DELETE 1) 3 " FIRST ONE "Z(I)" },
        { "", "3 1 2 n C(DELETE 1) Z(I)" } },
      "done(0:E_SERVER 42601 no) done(1:E_BATCH 42601 no) T(2#2) T(3#1) D(3:one) done(2:DELETE 1) done(3:SELECT 1) "
      "T(4#2) done(4:DELETE 1)",
      "P:s2 B:s2 D E P:s1 B:s1 D E S C:s2 P:s2 B:s2 D E C:s1 P:s1 B:s1 D E S C:s2 P:s2 B:s2 D E S" },
};

static void test_healing(void **state)
{
    (void)state;
    CHECK_ALL(healing);
}

static const struct transcript_case forgetting[] = {
    { "DISCARD ALL",
      { PREPARE, { "u", "1 2 n C(DISCARD ALL) Z(I)" }, { "a", FIRST ONE "Z(I)" } },
      PREPARED "T(1) done(1:DISCARD ALL 0) T(2#1) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "P: B: D E S P:s1 B:s1 D E S" },
    { "DEALLOCATE ALL in a simple query",
      { PREPARE, { "s", "C(DEALLOCATE ALL) C(SELECT 1) Z(I)" }, { "a", FIRST ONE "Z(I)" } },
      PREPARED "done(1:SELECT 1) T(2#1) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "Q P:s1 B:s1 D E S" },
    { "DEALLOCATE of one that nobody knows: closed first",
      { PREPARE, { "s", "C(DEALLOCATE) Z(I)" }, { "a b", AGAIN " 1 2 n C(DELETE 1) Z(I)" } },
      PREPARED "done(1:DEALLOCATE 0) T(2#1) D(2:one) done(2:SELECT 1) T(3#2) done(3:DELETE 1)",
      SENT_FIRST "Q C:s1 P:s1 B:s1 D E S P:s2 B:s2 D E S" },
    { "other commands with D",
      { PREPARE, { "s", "C(DISCARD PLANS) C(DECLARE CURSOR) C(DELETE 1) Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      PREPARED "done(1:DELETE 1) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "Q B:s1 E S" },
    { "DISCARD ALL in front of a Parse in flight: that one stays",
      { { "u a", "1 2 n C(DISCARD ALL) Z(I) " FIRST ONE "Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      "T(0) done(0:DISCARD ALL 0) T(1#1) D(1:one) done(1:SELECT 1) D(2:one) done(2:SELECT 1)",
      "P: B: D E S P:s1 B:s1 D E S B:s1 E S" },
    { "DISCARD ALL in front of a use in flight: healed by a Parse alone",
      { PREPARE, { "u a", "1 2 n C(DISCARD ALL) Z(I) " GONE "Z(I)" }, { "", FIRST ONE "Z(I)" } },
      PREPARED "T(1) done(1:DISCARD ALL 0) heal(2) T(2#1) D(2:one) done(2:SELECT 1)",
      SENT_FIRST "P: B: D E S B:s1 E S P:s1 B:s1 D E S" },
    { "DISCARD ALL behind a Parse whose Bind failed",
      { { "p", "1 E(ERROR,22P02,text) Z(I)" },
        { "u", "1 2 n C(DISCARD ALL) Z(I)" },
        { "p", "1 2 n C(DELETE 1) Z(I)" } },
      "done(0:E_SERVER 22P02 text) T(1) done(1:DISCARD ALL 0) T(2#5) done(2:DELETE 1)",
      "P:s5/2 B:s5/2 D E S P: B: D E S P:s5/2 B:s5/2 D E S" },
    { "a Close that its group never reached",
      { PREPARE, { "s", "C(DEALLOCATE) Z(I)" }, { "b+ a", DUPLICATE "Z(I)" }, { "a", AGAIN } },
      PREPARED
      "done(1:DEALLOCATE 0) done(2:E_SERVER 23505 dup) done(3:E_BATCH 23505 dup) T(4#1) D(4:one) done(4:SELECT 1)",
      SENT_FIRST "Q P:s2 B:s2 D E C:s1 P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
    { "a Close that was done, and a Parse that failed",
      { PREPARE, { "s", "C(DEALLOCATE) Z(I)" }, { "a", "3 E(ERROR,42P01,no table) Z(I)" }, { "a", FIRST ONE "Z(I)" } },
      PREPARED "done(1:DEALLOCATE 0) done(2:E_SERVER 42P01 no table) T(3#1) D(3:one) done(3:SELECT 1)",
      SENT_FIRST "Q C:s1 P:s1 B:s1 D E S P:s1 B:s1 D E S" },
};

static void test_forgetting(void **state)
{
    (void)state;
    CHECK_ALL(forgetting);
}

/* A Parse failed while another one of the same statement is behind it, sent as a whole or in part: who comes third can
 * only close first. A Parse of another statement is of no interest. */
static void test_parses_behind_a_failed_one(void **state)
{
    (void)state;
    static const struct { const char *queue, *sent; } cases[] = {
        { "! a a", "P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
        { "! a a ^ |70", "P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
        { "! a b", "P:s1 B:s1 D E S P:s2 B:s2 D E S P:s1 B:s1 D E S" },
        { "! a a ^ |60 -1 ^", "P:s1 B:s1 D E S P:s1 B:s1 D E S" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = transcript_new();
        transcript_begin(t, true);
        transcript_queue(t, cases[i].queue);
        transcript_server(t, "E(ERROR,42P01,no table) Z(I)");
        transcript_queue(t, "a");
        transcript_expect_sent(t, cases[i].sent);
        transcript_free(t);
    }
}

/* Between two outcomes of a group: those are decided, whatever is behind them is not. */
static void test_decided(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    struct blob b = { 0 };
    size_t consumed;
    transcript_begin(t, true);
    transcript_queue(t, "s s");
    blob_server(&b, "C(UPDATE 1) Z(I) C(UPDATE 2) Z(I)");
    assert_false(rp_session_decided(&t->s, t->sequence[0]));
    assert_int_equal(rp_session_next(&t->s, b.at, b.size, &consumed).kind, RP_EVENT_OUTCOME);
    assert_true(rp_session_decided(&t->s, t->sequence[0]));
    assert_false(rp_session_decided(&t->s, t->sequence[1]));
    assert_int_equal(rp_session_next(&t->s, b.at + consumed, b.size - consumed - 6, &consumed).kind, RP_EVENT_MORE);
    assert_false(rp_session_decided(&t->s, t->sequence[1]));
    transcript_server(t, "C(UPDATE 2) Z(I)");
    transcript_queue(t, "a+ b");
    transcript_server(t, "1 2 n C(DELETE 1) 1"); /* answered is not decided */
    assert_false(rp_session_decided(&t->s, t->sequence[2]));
    blob_free(&b);
    transcript_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_asynchronous_everywhere),
        cmocka_unit_test(test_columns_at_the_outcome),
        cmocka_unit_test(test_notifications), cmocka_unit_test(test_parameters_are_kept),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_error_before_all_was_sent),
        cmocka_unit_test(test_error_with_the_sync_alone_left),
        cmocka_unit_test(test_healing),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_parses_behind_a_failed_one),
        cmocka_unit_test(test_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

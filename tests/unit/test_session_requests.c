/* test_session_requests.c - the outgoing half: checks and limits, windows, callers that go away in every state, and
 * what is left when the connection is lost. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

#define FIRST "1 2 T(x:25) "
#define ONE "D(one) C(SELECT 1) "

static struct transcript *warm(void)
{
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    return t;
}

/* ---- checks ---- */

static void refuse(struct transcript *t, struct pg_query *q, int status, const char *message)
{
    struct pg_error error = { 0 };
    size_t bind_size = 77;
    assert_int_equal(rp_session_check(&t->config, q, &bind_size, &error), status);
    assert_string_equal(pg_error_field(&error, 'M'), message);
    assert_int_equal(error.code, status);
    assert_int_equal(error.sent, PG_SENT_NO);
    assert_int_equal(rp_session_check(&t->config, q, &bind_size, NULL), status);
    assert_false(rp_session_has_output(&t->s));
}

static void test_refusals(void **state)
{
    (void)state;
    static struct pg_statement late = PG_STATEMENT("SELECT 1"), one = PG_STATEMENT("SELECT $1", PG_TYPE_INT2);
    struct transcript *t = warm();
    struct pg_param params[3] = { pg_int4(1), pg_int4(70000), pg_int4(3) };
    refuse(t, &(struct pg_query){ .nparams = 0 }, PG_E_PARAMETER, "the query has neither a statement nor SQL");
    refuse(t, &(struct pg_query){ .sql = "SELECT 1", .flags = PG_QUERY_SIMPLE, .params = params, .nparams = 1 },
           PG_E_PARAMETER, "a simple query takes no parameters");
    refuse(t, &(struct pg_query){ .statement = &transcript_statement[STATEMENT_P], .params = params, .nparams = 1 },
           PG_E_PARAMETER, "the statement has 2 parameters and 1 were given");
    refuse(t, &(struct pg_query){ .statement = &transcript_statement[STATEMENT_P], .params = params, .nparams = 3 },
           PG_E_PARAMETER, "the statement has 2 parameters and 3 were given");
    refuse(t, &(struct pg_query){ .statement = &transcript_statement[STATEMENT_A], .params = params, .nparams = 1 },
           PG_E_PARAMETER, "the statement has 0 parameters and 1 were given");
    refuse(t, &(struct pg_query){ .statement = &one, .params = &params[1], .nparams = 1 }, PG_E_PARAMETER,
           "parameter $1 is out of range for int2");
    while (rp_statement_id(&late) <= TRANSCRIPT_STATEMENTS) late.id_private = 0;
    refuse(t, &(struct pg_query){ .statement = &late }, PG_E_FULL, "more than 8 statements are declared");
    size_t bind_size;
    assert_int_equal(rp_session_check(&t->config, &(struct pg_query){ .statement = &late, .flags = PG_QUERY_UNNAMED },
                                      &bind_size, NULL),
                     0);
    transcript_free(t);
}

/* failures 18: the largest message that is allowed passes, one byte more is refused and nothing of it is written. */
static void test_limits(void **state)
{
    (void)state;
    struct transcript *t = warm();
    static char text[1000];
    struct pg_error error;
    size_t bind_size;
    memset(text, 'x', sizeof text);
    t->config.message_limit = 500;

    /* B, length, "", "", one format, two values, one result format: 5 + 1 + 1 + 4 + 2 + (4 + 4) + 4 + n + 4 */
    struct pg_param params[2] = { pg_int4(1), pg_strn(text, 0) };
    struct pg_query q = { .sql = "SELECT $1, $2", .params = params, .nparams = 2 };
    size_t head = 1 + 4 + 1 + 1 + (2 + 2 * 2) + 2 + (4 + 4) + 4 + 4;
    params[1].size = 500 - head;
    assert_int_equal(rp_session_check(&t->config, &q, &bind_size, &error), 0);
    assert_int_equal(bind_size, 500);
    params[1].size++;
    refuse(t, &q, PG_E_PARAMETER, "parameter $2 makes the message larger than the protocol allows");
    params[1].size = INT32_MAX;
    refuse(t,
           &(struct pg_query){ .sql = "SELECT $1",
                               .params = &(struct pg_param){ .type = PG_TYPE_BYTEA, .u.p = text, .size = INT32_MAX },
                               .nparams = 1 },
           PG_E_PARAMETER, "parameter $1 makes the message larger than the protocol allows");

    text[500 - 6] = 0; /* Q, length, text, NUL */
    assert_int_equal(
        rp_session_check(&t->config, &(struct pg_query){ .sql = text, .flags = PG_QUERY_SIMPLE }, &bind_size, NULL), 0);
    assert_int_equal(bind_size, 0);
    refuse(t, &(struct pg_query){ .sql = text }, PG_E_PARAMETER, "the SQL text is larger than the protocol allows");
    text[500 - 6] = 'x', text[500 - 5] = 0;
    refuse(t, &(struct pg_query){ .sql = text, .flags = PG_QUERY_SIMPLE }, PG_E_PARAMETER,
           "the SQL text is larger than the protocol allows");
    text[500 - 9] = 0; /* P, length, name, text, NUL, count */
    assert_int_equal(rp_session_check(&t->config, &(struct pg_query){ .sql = text }, &bind_size, NULL), 0);
    refuse(t, &(struct pg_query){ .sql = text, .params = params, .nparams = 1 }, PG_E_PARAMETER,
           "the SQL text is larger than the protocol allows");
    transcript_free(t);
}

/* Sums of sizes do not wrap: five parameters of almost 2 GiB each. */
static void test_sums_do_not_wrap(void **state)
{
    (void)state;
    struct transcript *t = warm();
    struct pg_param params[5];
    t->config.message_limit = SIZE_MAX;
    for (size_t i = 0; i < 5; i++) params[i] = (struct pg_param){ .type = PG_TYPE_BYTEA, .u.p = "", .size = INT32_MAX };
    struct pg_query q = { .sql = "SELECT $1", .params = params, .nparams = 5 };
    size_t bind_size;
    assert_int_equal(rp_session_check(&t->config, &q, &bind_size, NULL), 0);
    assert_true(bind_size > 5 * (size_t)INT32_MAX);
    t->config.message_limit = 0x3fffffff;
    refuse(t, &q, PG_E_PARAMETER, "parameter $1 makes the message larger than the protocol allows");
    transcript_free(t);
}

static void queue_own(struct transcript *t, const struct pg_query *q)
{
    size_t bind_size;
    uint32_t i = t->queries++;
    t->query[i] = *q;
    t->query[i].error = &t->error[i];
    assert_int_equal(rp_session_check(&t->config, &t->query[i], &bind_size, NULL), 0);
    t->sequence[i] = rp_session_enqueue(&t->s, &t->query[i], bind_size, RP_ENTRY_SYNC);
}

/* failures 19: as many as the protocol has room for; more cannot even be said. */
static void test_most_parameters(void **state)
{
    (void)state;
    struct transcript *t = warm();
    struct pg_param *params = calloc(UINT16_MAX, sizeof *params);
    for (size_t i = 0; i < UINT16_MAX; i++) params[i] = i % 2 ? pg_null() : pg_int4((int32_t)i);
    t->config.message_limit = 0x3fffffff;
    queue_own(t, &(struct pg_query){ .sql = "SELECT", .params = params, .nparams = UINT16_MAX });
    transcript_pull(t);
    transcript_expect_sent(t, "P:/65535 B:/65535 D E S");
    transcript_server(t, "1 2 n C(OK) Z(I)");
    transcript_expect(t, "T(0) done(0:OK 0)");
    free(params);
    transcript_free(t);
}

/* ---- windows ---- */

static void send_through(size_t window, struct blob *sent)
{
    static uint8_t large[5000];
    struct transcript *t = warm();
    struct pg_param params[4] = { pg_bytes(large, sizeof large), pg_int8(-2), pg_null(),
                                  pg_strn((char *)large + 1, 3000) };
    for (size_t i = 0; i < sizeof large; i++) large[i] = (uint8_t)(i % 251 + 1);
    t->window = window;
    queue_own(t, &(struct pg_query){ .sql = "SELECT $1, $2, $3, $4", .params = params, .nparams = 4 });
    queue_own(t, &(struct pg_query){ .statement = &transcript_statement[STATEMENT_A] });
    queue_own(t, &(struct pg_query){ .sql = "SELECT 1", .flags = PG_QUERY_SIMPLE });
    if (window == 4096) assert_true(rp_session_pending_bytes(&t->s) > 8000);
    transcript_pull(t);
    assert_int_equal(rp_session_pending_bytes(&t->s), 0);
    blob_put(sent, t->sent.at, t->sent.size);
    transcript_expect_sent(t, "P:/4 B:/4 D E S P:s1 B:s1 D E S Q");
    transcript_free(t);
}

static void test_large_parameters_through_windows(void **state)
{
    (void)state;
    struct blob whole = { 0 };
    send_through(4096, &whole);
    assert_non_null(memmem(whole.at, whole.size, "SELECT $1, $2, $3, $4", 22));
    for (size_t window = 1; window < 4000; window += 1 + window / 7) {
        struct blob pieces = { 0 };
        send_through(window, &pieces);
        assert_int_equal(pieces.size, whole.size);
        assert_memory_equal(pieces.at, whole.at, whole.size);
        blob_free(&pieces);
    }
    blob_free(&whole);
}

/* A value is looked at when it is checked and when it is written, and not for the windows in front of it: a large text
 * would be searched over and over. */
static void test_values_are_looked_at_once(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *text = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(text != MAP_FAILED);
    memset(text, 'x', page);
    struct pg_param params[2] = { pg_strn("before", 6), pg_strn(text, page) };
    struct transcript *t = warm();
    queue_own(t, &(struct pg_query){ .sql = "SELECT", .params = params, .nparams = 2 });
    assert_int_equal(mprotect(text, page, PROT_NONE), 0);
    t->window = 1;
    transcript_queue(t, "|48 ^"); /* up to the first parameter's value */
    assert_non_null(memmem(t->sent.at, t->sent.size, "before", 6));
    assert_int_equal(mprotect(text, page, PROT_READ), 0);
    t->window = 4096;
    transcript_pull(t);
    transcript_expect_sent(t, "P:/2 B:/2 D E S");
    munmap(text, page);
    transcript_free(t);
}

static void test_terminate(void **state)
{
    (void)state;
    struct transcript *t = warm();
    uint8_t window[64];
    assert_int_equal(rp_session_output(&t->s, window, sizeof window), 0);
    rp_session_terminate(&t->s);
    rp_session_terminate(&t->s);
    assert_true(rp_session_has_output(&t->s));
    assert_int_equal(rp_session_output(&t->s, window, RP_TERMINATE_SIZE - 1), 0); /* only as a whole */
    transcript_pull(t);
    rp_session_terminate(&t->s);
    assert_false(rp_session_has_output(&t->s));
    transcript_expect_sent(t, "X");
    transcript_free(t);
}

/* ---- callers that go away ---- */

static void test_detach_unwritten(void **state)
{
    (void)state;
    struct transcript *t = warm();
    transcript_queue(t, "a b c ^");
    assert_int_equal(rp_session_in_flight(&t->s), 3);
    transcript_queue(t, "-1 ^");
    transcript_expect(t, "gone(1)");
    assert_int_equal(rp_session_in_flight(&t->s), 2);
    assert_false(rp_session_written(&t->s, t->sequence[0]));
    transcript_queue(t, "");
    assert_true(rp_session_written(&t->s, t->sequence[2]));
    transcript_expect_sent(t, "P:s1 B:s1 D E S P:s3 B:s3 D E S"); /* b is not prepared, and nothing thinks so */
    transcript_server(t, FIRST ONE "Z(I) 1 2 n C(DELETE 1) Z(I)");
    transcript_expect(t, "T(0#1) D(0:one) done(0:SELECT 1) T(2#3) done(2:DELETE 1)");
    assert_int_equal(rp_session_in_flight(&t->s), 0);
    assert_true(rp_session_room(&t->s, TRANSCRIPT_ENTRIES) && !rp_session_room(&t->s, TRANSCRIPT_ENTRIES + 1));
    transcript_queue(t, "b");
    transcript_expect_sent(t, "P:s2 B:s2 D E S");
    transcript_free(t);
}

static void test_detach_all_unwritten(void **state)
{
    (void)state;
    struct transcript *t = warm();
    for (int round = 0; round < 3; round++) {
        transcript_queue(t, "a b+ c a ^");
        uint32_t last = t->queries - 1;
        char words[64];
        snprintf(words, sizeof words, "-%u -%u -%u ^", last, last - 3, last - 1);
        transcript_queue(t, words); /* the batch goes as a whole */
        assert_int_equal(rp_session_in_flight(&t->s), 0);
        assert_false(rp_session_has_output(&t->s));
        assert_true(rp_session_room(&t->s, TRANSCRIPT_ENTRIES));
    }
    transcript_queue(t, "a");
    transcript_expect_sent(t, "P:s1 B:s1 D E S");
    transcript_free(t);
}

/* Behind a request in flight, and nothing is written after its answer: what was given up makes room all the same. */
static void test_detached_make_room(void **state)
{
    (void)state;
    struct transcript *t = warm();
    transcript_queue(t, "a");
    transcript_queue(t, "b c ^");
    transcript_queue(t, "-1 -2 ^");
    transcript_server(t, FIRST ONE "Z(I)");
    assert_int_equal(rp_session_in_flight(&t->s), 0);
    assert_true(rp_session_room(&t->s, TRANSCRIPT_ENTRIES));
    transcript_free(t);
}

static void test_detach_written(void **state)
{
    (void)state;
    struct transcript *t = warm();
    transcript_queue(t, "a b");
    transcript_queue(t, "-0 -1");
    transcript_expect(t, "kept(0) kept(1)");
    transcript_server(t, FIRST ONE "D(two)");
    transcript_expect(t, "T(-1#1) broken(E_PROTOCOL)"); /* a row behind CommandComplete, also when nobody waits */
    transcript_free(t);

    t = warm();
    transcript_queue(t, "a b");
    transcript_queue(t, "-0");
    transcript_server(t, FIRST "D(one)");
    transcript_queue(t, "-1");
    transcript_server(t, "D(two) C(SELECT 2) Z(I) 1 2 n E(ERROR,23505,dup) Z(I)");
    transcript_expect(t, "kept(0) T(-1#1) kept(1) done(-) T(-1#2) done(-)");
    assert_int_equal(rp_session_in_flight(&t->s), 0);
    transcript_free(t);
}

/* Between two of its rows; and between two outcomes of a batch. */
static void test_detach_in_the_middle(void **state)
{
    (void)state;
    struct transcript *t = warm();
    transcript_queue(t, "a");
    transcript_server(t, FIRST "D(one)");
    transcript_queue(t, "-0");
    transcript_server(t, "D(two) C(SELECT 2) Z(I)");
    transcript_expect(t, "T(0#1) D(0:one) kept(0) done(-)");

    struct blob b = { 0 };
    size_t consumed, at = 0;
    struct rp_event ev;
    transcript_queue(t, "b+ c");
    blob_server(&b, "1 2 n C(DELETE 1) 1 2 n C(DELETE 2) Z(I)");
    static const uint8_t none[2];
    for (int i = 0; i < 3; i++) {
        ev = rp_session_next(&t->s, b.at + at, b.size - at, &consumed);
        at += consumed;
        if (ev.kind != RP_EVENT_COLUMNS) break;
        t->unnamed = t->unnamed ? t->unnamed : calloc(1, rp_columns_measure(none, 2, &(const char *){ NULL }));
        rp_session_described(&t->s, t->unnamed, RP_PREPARED_BLIND);
    }
    assert_int_equal(ev.kind, RP_EVENT_OUTCOME);
    assert_ptr_equal(ev.query, &t->query[1]);
    assert_int_equal(rp_session_detach(&t->s, t->sequence[2]), RP_DETACH_KEPT);
    ev = rp_session_next(&t->s, b.at + at, b.size - at, &consumed);
    assert_int_equal(ev.kind, RP_EVENT_OUTCOME);
    assert_null(ev.query);
    assert_int_equal(rp_session_next(&t->s, b.at + at, b.size - at, &consumed).kind, RP_EVENT_MORE);
    blob_free(&b);
    transcript_free(t);
}

static void test_detach_half_written(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= 60; bytes++) { /* a is 60 bytes with its Sync, 55 without */
        struct transcript *t = warm();
        char words[64];
        snprintf(words, sizeof words, "a b ^ |%zu -0 ^", bytes);
        transcript_queue(t, words);
        transcript_expect(t, bytes == 0 ? "gone(0)" : bytes < 60 ? "broken(0)" : "kept(0)");
        transcript_free(t);
        t = warm();
        snprintf(words, sizeof words, "a+ b ^ |%zu -1 ^", bytes);
        transcript_queue(t, words);
        transcript_expect(t, bytes == 0 ? "gone(1)" : "broken(1)"); /* the batch has begun, and its Sync is due */
        assert_int_equal(rp_session_in_flight(&t->s), bytes == 0 ? 0 : 2);
        transcript_free(t);
    }
}

/* ---- STOP and the like ---- */

static void test_complaints(void **state)
{
    (void)state;
    struct transcript *t = warm();
    transcript_queue(t, "a b");
    transcript_server(t, FIRST "D(one)");
    transcript_queue(t, "=0");
    const uint8_t *row = t->s.row.at;
    transcript_server(t, "D(two) D(three) C(SELECT 3) Z(I)");
    assert_ptr_equal(t->s.row.at, row); /* who still holds the row is shown no other */
    transcript_expect(t, "T(0#1) D(0:one) done(0:E_CANCELLED)");
    assert_int_equal(t->query[0].rows, 3);
    rp_session_complain(&t->s, t->sequence[1], PG_E_VALUE);
    rp_session_complain(&t->s, t->sequence[1], PG_E_CANCELLED); /* the first counts */
    transcript_server(t, FIRST ONE "Z(I)");
    transcript_expect(t, "T(1#2) done(1:E_VALUE)");
    transcript_queue(t, "a =2");
    transcript_server(t, "2 E(ERROR,22012,zero) Z(I)"); /* the server's word decides */
    transcript_expect(t, "done(2:E_SERVER 22012 zero)");
    transcript_free(t);
}

static void test_no_memory_for_columns(void **state)
{
    (void)state;
    static const struct transcript_case cases[] = {
        { "a declared statement",
          { { "a b", FIRST ONE "Z(I) 1 2 n C(DELETE 1) Z(I)" }, { "a", "2 T(x:25) " ONE "Z(I)" } },
          "T(0#1) done(0:E_FULL) T(1#2) done(1:E_FULL) T(2#1) done(2:E_FULL)",
          "P:s1 B:s1 D E S P:s2 B:s2 D E S B:s1 D E S" },
        { "a simple query",
          { { "s", "T(x:25t) D(one) C(SELECT 1) T(x:25t) D(two) C(SELECT 1) Z(I)" } },
          "T(0) T(0) done(0:E_FULL)",
          "Q" },
        { "an error is the outcome all the same",
          { { "u", FIRST "D(one) E(ERROR,22012,zero) Z(I)" } },
          "T(0) done(0:E_SERVER 22012 zero)",
          NULL },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) transcript_check(&cases[i], CASE_NO_MEMORY);
}

/* ---- the connection is lost ---- */

static void expect_orphans(struct transcript *t, const char *words)
{
    struct blob got = { 0 };
    struct pg_query *q;
    bool written;
    while (rp_session_orphan(&t->s, &q, &written))
        blob_print(&got, "%s%d%s", got.size ? " " : "", q ? (int)(q - t->query) : -1, written ? "w" : "");
    assert_string_equal(blob_text(&got), words);
    assert_int_equal(rp_session_in_flight(&t->s), 0);
    assert_false(rp_session_orphan(&t->s, &q, &written));
    blob_free(&got);
}

static void test_orphans(void **state)
{
    (void)state;
    static const struct { const char *queue, *server, *orphans; } cases[] = {
        { "", "", "" },
        { "a b ^", "", "0 1" },
        { "a b ^ |1", "", "0w 1" },
        { "a b ^ |60", "", "0w 1" },
        { "a b ^ |61", "", "0w 1w" },
        { "a b c -1 ^", "", "0 2" },
        { "a b |200 -0", "", "-1w 1w" },
        { "a b", FIRST ONE "Z(I)", "1w" },
        { "a+ b", FIRST ONE, "0w 1w" },
        { "a+ b c", FIRST "E(ERROR,22012,zero)", "0w 1w 2w" },
        { "a b", "E(FATAL,57P01,shutdown)", "0w 1w" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = warm();
        transcript_queue(t, cases[i].queue);
        transcript_server(t, cases[i].server);
        bool half = t->s.written > 0;
        expect_orphans(t, cases[i].orphans);
        if (!half && t->s.phase == RP_PHASE_READY) { /* nothing is left to say but the end */
            t->sent.size = 0;
            rp_session_terminate(&t->s);
            transcript_pull(t);
            transcript_expect_sent(t, "X");
        }
        transcript_free(t);
    }
}

/* ---- sequence numbers ---- */

static void test_sequence_numbers_wrap(void **state)
{
    (void)state;
    struct transcript *t = warm();
    t->s.head = t->s.due = t->s.unsent = t->s.tail = UINT32_MAX - 2;
    transcript_queue(t, "a+ b+ c a^");
    transcript_queue(t, "-3 a+ b ^ |200"); /* 0 to 2, and a half-written batch behind a dropped entry */
    transcript_expect(t, "gone(3)");
    assert_true(rp_session_written(&t->s, t->sequence[4]));
    transcript_server(t, FIRST ONE "1 2 n E(ERROR,23505,dup)");
    transcript_queue(t, "");
    transcript_server(t, "Z(I) 3 1 2 T(x:25) " ONE "2 C(DELETE 1) Z(I)");
    transcript_expect(
        t, "T(0#1) D(0:one) T(1#2) done(0:E_BATCH 23505 dup) done(1:E_SERVER 23505 dup) done(2:E_BATCH 23505 dup) "
           "T(4#1) D(4:one) done(4:SELECT 1) done(5:DELETE 1)");
    transcript_free(t);
}

/* The ring is full, used up and filled again, many times over. */
static void test_full_ring(void **state)
{
    (void)state;
    struct transcript *t = warm();
    for (int round = 0; round < 40; round++) {
        t->queries = 0;
        memset(t->outcomes, 0, sizeof t->outcomes);
        for (int i = 0; i < TRANSCRIPT_ENTRIES; i++) transcript_queue(t, "s");
        assert_false(rp_session_room(&t->s, 1));
        for (int i = 0; i < TRANSCRIPT_ENTRIES; i++) {
            transcript_server(t, "C(UPDATE 1) Z(I)");
            assert_true(rp_session_room(&t->s, (uint32_t)i + 1));
            assert_false(rp_session_room(&t->s, (uint32_t)i + 2));
            assert_int_equal(t->outcomes[i], 1);
        }
    }
    transcript_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_sums_do_not_wrap),
        cmocka_unit_test(test_most_parameters),
        cmocka_unit_test(test_large_parameters_through_windows),
        cmocka_unit_test(test_values_are_looked_at_once),
        cmocka_unit_test(test_terminate),
        cmocka_unit_test(test_detach_unwritten),
        cmocka_unit_test(test_detach_all_unwritten),
        cmocka_unit_test(test_detached_make_room),
        cmocka_unit_test(test_detach_written),
        cmocka_unit_test(test_detach_in_the_middle),
        cmocka_unit_test(test_detach_half_written),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_no_memory_for_columns),
        cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_sequence_numbers_wrap),
        cmocka_unit_test(test_full_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_session_hostile.c - servers that break the protocol: whatever is illegal breaks the connection, for good and by
 * an error of its own; nothing is ever ignored, nothing asserts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- every message in every state (failures 22, 23, 24) ---- */

/* What the protocol allows, from its message flow, said again without the library's table: the state, how to get there,
 * and the letters that are legal. N, S and A are legal everywhere. With `error_is_the_end`, an ErrorResponse is. */
static const struct state {
    const char *name, *queue, *server, *legal;
    bool cold, error_is_the_end;
} states[] = {
    { "authentication", "", "", "RE", true, true },
    { "between authentication and ready", "", "R(0)", "KZE", true, true },
    { "idle", "", "", "E", false, true },
    { "idle after a query", "a", FIRST ONE "Z(I)", "E", false, true },
    { "CloseComplete due", "s a", "C(DEALLOCATE) Z(I)", "3E", false, false },
    { "ParseComplete due", "a", "", "1E", false, false },
    { "ParseComplete due behind a Close", "s a", "C(DEALLOCATE) Z(I) 3", "1E", false, false },
    { "BindComplete due", "a", "1", "2E", false, false },
    { "the description due", "a", "1 2", "TnE", false, false },
    { "rows due", "a", FIRST, "DCIEGHW", false, false },
    { "rows due, one came", "a", FIRST "D(one)", "DCIEGHW", false, false },
    { "ReadyForQuery due", "a", FIRST ONE, "ZE", false, false },
    { "ReadyForQuery due after an error", "a", "E(ERROR,42601,syntax)", "ZE", false, false },
    { "ReadyForQuery due after an error behind the end", "a", FIRST ONE "E(ERROR,42601,syntax)", "ZE", false, false },
    { "the second of a batch", "a+ b", FIRST ONE, "1E", false, false },
    { "the second of a pipeline", "a b", FIRST ONE "Z(I)", "1E", false, false },
    { "a simple query, nothing yet", "s", "", "TCIEGHW", false, false },
    { "a simple query, described", "s", "T(x:25)", "DCE", false, false },
    { "a simple query, a row came", "s", "T(x:25) D(one)", "DCE", false, false },
    { "a simple query, a result came", "s", "T(x:25) D(one) C(SELECT 1)", "TCIZEGHW", false, false },
    { "a simple query failed", "s", "T(x:25) E(ERROR,42601,syntax)", "ZE", false, false },
};

static struct transcript *in_state(const struct state *s)
{
    struct transcript *t = transcript_new();
    transcript_begin(t, !s->cold);
    if (s->cold) transcript_pull(t);
    if (!strncmp(s->queue, "s a", 3)) { /* makes the statement unsure before it is used */
        transcript_queue(t, "a");
        transcript_server(t, FIRST ONE "Z(I)");
        transcript_queue(t, "s");
        transcript_server(t, "C(DEALLOCATE) Z(I)");
        transcript_queue(t, "a");
        transcript_server(t, strchr(s->server, '3') ? "3" : "");
    } else {
        transcript_queue(t, s->queue);
        transcript_server(t, s->server);
    }
    assert_int_not_equal(t->s.phase, RP_PHASE_BROKEN);
    return t;
}

/* One that would be right where it is legal. */
static void put_wellformed(struct blob *b, uint8_t type)
{
    static const char *const words[128] = {
        ['R'] = "R(3)",
        ['K'] = "K(7,42)",
        ['Z'] = "Z(I)",
        ['E'] = "E(ERROR,23505,dup)",
        ['N'] = "N(NOTICE,00000,note)",
        ['S'] = "S(TimeZone,UTC)",
        ['A'] = "A(channel,payload)",
        ['T'] = "T(x:25)",
        ['D'] = "D(one)",
        ['C'] = "C(SELECT 1)",
    };
    if (type < 128 && words[type]) blob_server(b, words[type]);
    else blob_message(b, (char)type, "", 0);
}

static void check_message(const struct state *s, uint8_t type)
{
    struct blob b = { 0 };
    struct transcript *t = in_state(s);
    t->log.size = 0;
    put_wellformed(&b, type);
    transcript_feed(t, b.at, b.size);
    bool asynchronous = strchr("NSA", type) && type;
    bool legal = type && (asynchronous || strchr(s->legal, type));
    bool is_end = (type == 'E' && s->error_is_the_end) || (strchr("GHW", type) && type); /* COPY is not there yet */
    if ((t->s.phase == RP_PHASE_BROKEN) != (!legal || is_end)) fail_msg("%s: message '%c' (%u)", s->name, type, type);
    if (!legal) assert_int_equal(t->s.error.code, PG_E_PROTOCOL);
    if (!legal) assert_int_equal(t->s.error.sqlstate[0], 0);
    if (is_end && legal) assert_int_equal(t->s.error.code, type == 'E' ? PG_E_SERVER : PG_E_PROTOCOL);
    blob_free(&b);
    transcript_free(t);
}

static void test_every_message_in_every_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < RP_COUNT(states); i++)
        for (unsigned type = 0; type < 256; type++) check_message(&states[i], (uint8_t)type);
}

/* The complaint names the message and what was due. */
static void test_complaint(void **state)
{
    (void)state;
    struct transcript *t = warm();
    transcript_queue(t, "a");
    transcript_server(t, "1 2 2");
    assert_string_equal(pg_error_field(&t->s.error, 'M'),
                        "the server sent message '2' where a row description was due");
    transcript_free(t);
    t = warm();
    transcript_feed(t, "\1\0\0\0\4", 5);
    assert_string_equal(pg_error_field(&t->s.error, 'M'), "the server sent message 0x01 where nothing was due");
    transcript_free(t);
}

/* An error of the group in progress is not why the connection broke. */
static void test_broken_behind_an_error(void **state)
{
    (void)state;
    struct transcript *t = warm();
    transcript_queue(t, "a b");
    transcript_server(t, "E(ERROR,23505,dup) 1");
    transcript_expect(t, "broken(E_PROTOCOL)");
    assert_string_equal(pg_error_field(&t->s.error, 'M'), "the server sent message '1' where ReadyForQuery was due");
    transcript_free(t);
}

/* ---- answers to what was not asked yet ---- */

static void test_answers_before_the_question(void **state)
{
    (void)state;
    static const struct { const char *queue, *server, *events; } cases[] = {
        { "a ^", "1", "broken(E_PROTOCOL)" },
        { "a ^ |10", "E(ERROR,42601,syntax) Z(I)", "broken(E_PROTOCOL)" },
        { "a ^ |59", FIRST ONE "Z(I)", "T(0#1) D(0:one) broken(E_PROTOCOL)" },
        { "a ^ |60", FIRST ONE "Z(I)", "T(0#1) D(0:one) done(0:SELECT 1)" },
        { "s ^ |10", "C(SELECT 1) Z(I)", "broken(E_PROTOCOL)" },
        { "a+ b ^ |55", "E(ERROR,42601,syntax) Z(I)", "broken(E_PROTOCOL)" },
        { "a+ b ^ |55", FIRST ONE "1", "T(0#1) D(0:one) broken(E_PROTOCOL)" },
        { "a+ b ^ |58", "E(ERROR,42601,syntax) Z(I)", "broken(E_PROTOCOL)" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = warm();
        transcript_queue(t, cases[i].queue);
        transcript_server(t, cases[i].server);
        transcript_expect(t, cases[i].events);
        transcript_free(t);
    }
    static const char *const early[] = { "R(0)", "N(NOTICE,00000,n)", "S(TimeZone,UTC)" };
    for (size_t i = 0; i < RP_COUNT(early); i++) { /* the server speaks before the startup message is sent */
        struct transcript *t = transcript_new();
        transcript_begin(t, false);
        transcript_queue(t, "|5 ^");
        transcript_server(t, early[i]);
        transcript_expect(t, "broken(E_PROTOCOL)");
        transcript_free(t);
    }
}

/* ---- lengths (failures 17) ---- */

static void test_lengths(void **state)
{
    (void)state;
    static const struct { uint32_t length; bool broken; } cases[] = {
        { 0, true }, { 3, true }, { 4, false }, { 5, false }, { 0x80000000, true }, { UINT32_MAX, true },
        { TRANSCRIPT_MESSAGE_LIMIT, false }, { TRANSCRIPT_MESSAGE_LIMIT + 1, true },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = warm();
        uint32_t n = cases[i].length;
        transcript_queue(t, "a");
        transcript_server(t, FIRST);
        t->config.row_limit = TRANSCRIPT_MESSAGE_LIMIT;
        transcript_feed(t, (uint8_t[]){ 'D', (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n },
                        5);
        if (n == 4) assert_int_equal(t->s.phase, RP_PHASE_BROKEN); /* a row of no bytes, that is why */
        else assert_int_equal(t->s.phase == RP_PHASE_BROKEN, cases[i].broken);
        if (cases[i].broken)
            assert_string_equal(pg_error_field(&t->s.error, 'M'), "a message with an impossible length");
        transcript_free(t);
    }
}

/* ---- rows above the limit ---- */

static void put_row(struct blob *b, size_t value_size)
{
    uint8_t *body = calloc(1, 6 + value_size);
    assert_non_null(body);
    body[1] = 1;
    for (int i = 0; i < 4; i++) body[2 + i] = (uint8_t)(value_size >> (24 - 8 * i));
    memset(body + 6, 'x', value_size);
    blob_message(b, 'D', body, 6 + value_size);
    free(body);
}

static void feed_in_pieces(struct transcript *t, const struct blob *b, size_t piece)
{
    for (size_t at = 0; at < b->size; at += piece)
        transcript_feed(t, b->at + at, b->size - at < piece ? b->size - at : piece);
}

static void test_oversized_rows(void **state)
{
    (void)state;
    static const size_t pieces[] = { 1, 3, 5, 64, 4101, 4102, 4103, 100000 };
    for (size_t i = 0; i < RP_COUNT(pieces); i++) {
        struct transcript *t = warm();
        struct blob b = { 0 };
        t->config.row_limit = 200;
        transcript_queue(t, "a b");
        blob_server(&b, FIRST "D(small)");
        put_row(&b, 200 - 6);
        put_row(&b, 201 - 6);
        put_row(&b, 5000);
        blob_server(&b, "D(after) C(SELECT 5) Z(T)" FIRST ONE "Z(I)");
        feed_in_pieces(t, &b, pieces[i]);
        const char *log = blob_text(&t->log);
        assert_non_null(strstr(log, "D(0:small) D(0:xxx"));
        assert_non_null(strstr(log, "xx) done(0:E_FULL) T(1#2) D(1:one) done(1:SELECT 1)"));
        assert_non_null(strstr(pg_error_field(&t->error[0], 'M'), "a row of 206 bytes"));
        assert_int_equal(t->query[0].rows, 5);
        assert_true(t->unread.size == 0);
        blob_free(&b);
        transcript_free(t);
    }
}

/* Nobody needs to hold it: however large it says it is, the bytes pass. */
static void test_oversized_row_needs_no_memory(void **state)
{
    (void)state;
    struct transcript *t = warm();
    uint8_t passing[4096] = { 0 };
    uint32_t size = 0x3fffff00;
    t->config.message_limit = 0x3fffffff;
    transcript_queue(t, "a");
    transcript_server(t, FIRST);
    transcript_feed(t, (uint8_t[]){ 'D', 0x3f, 0xff, 0xff, 0x00 }, 5);
    for (int i = 0; i < 100; i++) {
        transcript_feed(t, passing, sizeof passing);
        assert_int_equal(t->unread.size, 0);
    }
    assert_int_equal(t->s.rest_left, (size_t)size + 1 - 5 - 100 * sizeof passing);
    transcript_free(t);
}

/* A row where none is due is no row; and what is no row has to fit, however it arrives. */
static void test_oversized_others(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 1000; piece += 333) {
        struct transcript *t = warm();
        struct blob b = { 0 };
        t->config.row_limit = 200;
        put_row(&b, 300);
        feed_in_pieces(t, &b, piece);
        transcript_expect(t, "broken(E_PROTOCOL)");
        transcript_free(t);

        t = warm();
        t->config.row_limit = 200;
        transcript_queue(t, "a");
        transcript_server(t, "1");
        feed_in_pieces(t, &b, piece);
        transcript_expect(t, "broken(E_PROTOCOL)");
        transcript_free(t);

        t = warm();
        t->config.row_limit = 200;
        char body[300] = "Mlarge";
        b.size = 0;
        blob_message(&b, 'N', body, 200);
        blob_message(&b, 'N', body, 201);
        feed_in_pieces(t, &b, piece);
        transcript_expect(t, "notice( large) broken(E_PROTOCOL)");
        assert_string_equal(pg_error_field(&t->s.error, 'M'),
                            "a message that is no row is larger than pool_max_row_bytes");
        blob_free(&b);
        transcript_free(t);
    }
}

/* ---- lies (failures 20) ---- */

static void expect_broken(const char *queue, const char *before, char type, const void *body, size_t size)
{
    struct transcript *t = warm();
    struct blob b = { 0 };
    transcript_queue(t, queue);
    transcript_server(t, before);
    t->log.size = 0;
    blob_message(&b, type, body, size);
    transcript_feed(t, b.at, b.size);
    transcript_expect(t, "broken(E_PROTOCOL)");
    blob_free(&b);
    transcript_free(t);
}

static void test_malformed_messages(void **state)
{
    (void)state;
    /* RowDescription: 65,535 columns in 6 bytes; none at all; cut off; something behind it */
    expect_broken("a", "1 2", 'T', "\xff\xff\0\0\0\0", 6);
    expect_broken("a", "1 2", 'T', "", 0);
    expect_broken("a", "1 2", 'T', "\0", 1);
    expect_broken("a", "1 2", 'T', "\0\1x\0\0\0\0\0\0\0\0\0\0\x19\0\0\0\0\0\0\0", 21);
    expect_broken("a", "1 2", 'T', "\0\0x", 3);
    expect_broken("s", "", 'T', "\xff\xff\0\0\0\0", 6);
    /* DataRow: other columns than described; a length below -1, past the end; nothing; something behind it */
    expect_broken("a", FIRST, 'D', "\0\0", 2);
    expect_broken("a", FIRST, 'D', "\0\2\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    expect_broken("a", FIRST, 'D', "\0\1\xff\xff\xff\xfe", 6);
    expect_broken("a", FIRST, 'D', "\0\1\0\0\0\5abcd", 10);
    expect_broken("a", FIRST, 'D', "\0\1\0\0\0\1ab", 8);
    expect_broken("a", FIRST, 'D', "\0\1\0\0", 4);
    expect_broken("a", FIRST, 'D', "", 0);
    expect_broken("a", "1 2 n", 'D', "\0\1\0\0\0\1a", 7);
    /* CommandComplete without its end, or with two */
    expect_broken("a", FIRST, 'C', "SELECT 1", 8);
    expect_broken("a", FIRST, 'C', "", 0);
    expect_broken("a", FIRST, 'C', "SELECT 1\0x", 10);
    expect_broken("s", "", 'C', "SELECT 1", 8);
    expect_broken("a", FIRST, 'I', "x", 1);
    /* messages that have no contents */
    expect_broken("a", "", '1', "x", 1);
    expect_broken("a", "1", '2', "x", 1);
    expect_broken("a", "1 2", 'n', "x", 1);
    /* ReadyForQuery: garbage for a status, none, two */
    expect_broken("a", FIRST ONE, 'Z', "X", 1);
    expect_broken("a", FIRST ONE, 'Z', "\0", 1);
    expect_broken("a", FIRST ONE, 'Z', "", 0);
    expect_broken("a", FIRST ONE, 'Z', "II", 2);
    /* ParameterStatus and NotificationResponse, in any state */
    expect_broken("", "", 'S', "TimeZone", 8);
    expect_broken("", "", 'S', "TimeZone\0UTC", 12);
    expect_broken("a", FIRST, 'S', "TimeZone\0UTC\0x", 14);
    expect_broken("a", FIRST, 'A', "\0\0", 2);
    expect_broken("a", FIRST, 'A', "\0\0\0\7channel\0payload", 19);
    expect_broken("", "", 'A', "\0\0\0\7channel\0payload\0x", 21);
}

/* failures 22: an ErrorResponse or a notice may lack anything. */
static void test_poor_errors(void **state)
{
    (void)state;
    static const struct { const char *body; size_t size; const char *sqlstate; } cases[] = {
        { "", 0, "" },
        { "\0", 1, "" },
        { "M", 1, "" },
        { "Mtext", 5, "" },
        { "C23505", 6, "23505" },
        { "C2350\0\0", 7, "" },
        { "CABCDEF\0\0", 9, "" },
        { "SERROR\0C23505\0C42601\0Mone\0Mtwo\0\0", 32, "23505" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = warm();
        struct blob b = { 0 };
        transcript_queue(t, "a");
        blob_message(&b, 'N', cases[i].body, cases[i].size);
        blob_message(&b, 'E', cases[i].body, cases[i].size);
        blob_server(&b, "Z(I)");
        /* The words of the log need a message; so this one is fed by hand. */
        size_t consumed, at = 0;
        struct rp_event ev = rp_session_next(&t->s, b.at, b.size, &consumed);
        assert_int_equal(ev.kind, RP_EVENT_NOTICE);
        assert_string_equal(t->s.notice.sqlstate, cases[i].sqlstate);
        at += consumed;
        ev = rp_session_next(&t->s, b.at + at, b.size - at, &consumed);
        assert_int_equal(ev.kind, RP_EVENT_OUTCOME);
        assert_int_equal(t->query[0].status, PG_E_SERVER);
        assert_string_equal(t->query[0].sqlstate, cases[i].sqlstate);
        assert_string_equal(t->error[0].sqlstate, cases[i].sqlstate);
        blob_free(&b);
        transcript_free(t);
    }
}

/* failures 25: nothing grows; that they never end is the deadline's business. */
static void test_endless_notices(void **state)
{
    (void)state;
    struct transcript *t = warm();
    struct blob b = { 0 };
    transcript_queue(t, "a");
    blob_server(&b, "N(NOTICE,00000,again) S(TimeZone,UTC) A(channel,payload)");
    for (int i = 0; i < 1000; i++) {
        transcript_feed(t, b.at, b.size);
        transcript_expect(t, "notice(00000 again)");
        assert_int_equal(t->unread.size, 0);
    }
    transcript_server(t, FIRST ONE "Z(I)");
    transcript_expect(t, "T(0#1) D(0:one) done(0:SELECT 1)");
    blob_free(&b);
    transcript_free(t);
}

/* failures 24: also in the same bytes as the answer. */
static const struct transcript_case extra[] = {
    { "a second ReadyForQuery",
      { { "a", FIRST ONE "Z(I) Z(I)" } },
      "T(0#1) D(0:one) done(0:SELECT 1) broken(E_PROTOCOL)",
      NULL },
    { "a row while idle", { { "", "D(one)" } }, "broken(E_PROTOCOL)", NULL },
    { "a second CommandComplete", { { "a", FIRST ONE "C(SELECT 1)" } }, "T(0#1) D(0:one) broken(E_PROTOCOL)", NULL },
    { "COPY as the answer to a statement", { { "a b", "1 2 n G(x)" } }, "T(0#1) broken(E_PROTOCOL)", NULL },
    { "authentication again", { { "", "R(0)" } }, "broken(E_PROTOCOL)", NULL },
    { "an outcome before anything else", { { "a", "Z(I)" } }, "broken(E_PROTOCOL)", NULL },
    { "asynchronous messages while idle are none of that",
      { { "", "N(NOTICE,00000,n) S(TimeZone,UTC) A(c,p)" } },
      "notice(00000 n)",
      NULL },
};

static void test_extra_messages(void **state)
{
    (void)state;
    for (size_t i = 0; i < RP_COUNT(extra); i++) transcript_check(&extra[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_in_every_state),
        cmocka_unit_test(test_complaint),
        cmocka_unit_test(test_broken_behind_an_error),
        cmocka_unit_test(test_answers_before_the_question),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_oversized_rows),
        cmocka_unit_test(test_oversized_row_needs_no_memory),
        cmocka_unit_test(test_oversized_others),
        cmocka_unit_test(test_malformed_messages),
        cmocka_unit_test(test_poor_errors),
        cmocka_unit_test(test_endless_notices),
        cmocka_unit_test(test_extra_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_session_version.c - protocols 3.0 and 3.2: what is asked for, what a server may negotiate and when, and the keys
 * of either length (failures 14). Transcripts, cut everywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

/* Of the session that is begun next. */
struct asked { enum rp_protocol least, most; };
static const struct asked only_3_0 = { RP_PROTOCOL_3_0, RP_PROTOCOL_3_0 }, any = { RP_PROTOCOL_3_0, RP_PROTOCOL_3_2 },
                          only_3_2 = { RP_PROTOCOL_3_2, RP_PROTOCOL_3_2 };

static struct transcript *begin(struct asked asked)
{
    struct transcript *t = transcript_new();
    t->config.protocol_min = asked.least;
    t->config.protocol_max = asked.most;
    transcript_begin(t, false);
    transcript_pull(t);
    return t;
}

/* ---- what is right ---- */

struct good {
    struct asked asked;
    const char *turn[3], *events, *sent;
    enum rp_protocol spoken;
    size_t key_size;
};

static void run_good(const struct good *g, size_t first, size_t piece)
{
    struct transcript *t = begin(g->asked);
    size_t total = 0;
    for (size_t i = 0; i < RP_COUNT(g->turn) && g->turn[i]; i++) {
        struct blob bytes = { 0 };
        blob_server(&bytes, g->turn[i]);
        for (size_t at = 0, n; at < bytes.size; at += n) {
            n = total + at < first ? first - total - at : piece;
            if (n > bytes.size - at) n = bytes.size - at;
            transcript_feed(t, bytes.at + at, n);
        }
        total += bytes.size;
        blob_free(&bytes);
    }
    transcript_expect(t, g->events);
    transcript_expect_sent(t, g->sent);
    assert_int_equal(t->s.protocol, g->spoken);
    assert_int_equal(t->s.backend_pid, 7);
    assert_int_equal(t->s.backend_key_size, g->key_size);
    for (size_t i = 0; i < g->key_size; i++) assert_int_equal(t->s.backend_key[i], i & 0xff);
    transcript_free(t);
}

static void test_versions(void **state)
{
    (void)state;
    const struct good cases[] = {
        { only_3_0, { "R(0) K(7,*4) Z(I)" }, "ready", "startup", RP_PROTOCOL_3_0, 4 },
        /* a server that knows it says nothing of it */
        { any, { "R(0) K(7,*32) Z(I)" }, "ready", "startup/3.2", RP_PROTOCOL_3_2, 32 },
        { only_3_2, { "R(0) K(7,*256) Z(I)" }, "ready", "startup/3.2", RP_PROTOCOL_3_2, 256 },
        { any, { "R(0) K(7,*4) Z(I)" }, "ready", "startup/3.2", RP_PROTOCOL_3_2, 4 },
        { any, { "R(0) K(7,*255) Z(I)" }, "ready", "startup/3.2", RP_PROTOCOL_3_2, 255 },
        /* one that does not */
        { any, { "v(3.0) R(0) K(7,*4) Z(I)" }, "ready", "startup/3.2", RP_PROTOCOL_3_0, 4 },
        /* behind notices, and in the middle of the authentication, before the password and behind it */
        { any, { "N(NOTICE,00000,old) v(3.0) R(3)", "R(0) K(7,*4) Z(I)" }, "notice(00000 old) ready",
          "startup/3.2 p(secret\\0)", RP_PROTOCOL_3_0, 4 },
        { any, { "R(3)", "v(3.0) R(0) K(7,*4) Z(I)" }, "ready", "startup/3.2 p(secret\\0)", RP_PROTOCOL_3_0, 4 },
        { any, { "R(3)", "v(3.0)", "R(0) K(7,*4) Z(I)" }, "ready", "startup/3.2 p(secret\\0)", RP_PROTOCOL_3_0, 4 },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        size_t total = 0;
        for (size_t k = 0; k < RP_COUNT(cases[i].turn) && cases[i].turn[k]; k++) {
            struct blob bytes = { 0 };
            blob_server(&bytes, cases[i].turn[k]);
            total += bytes.size;
            blob_free(&bytes);
        }
        for (size_t cut = 0; cut <= total; cut++) run_good(&cases[i], cut, SIZE_MAX);
        for (size_t piece = 1; piece < 8; piece++) run_good(&cases[i], 0, piece);
    }
}

/* Between the first and the last message of SCRAM it is as welcome. */
static void test_between_sasl(void **state)
{
    (void)state;
    struct transcript *t = begin(any);
    transcript_server(t, "R(10,SCRAM-SHA-256)");
    transcript_server(t, "v(3.0)");
    transcript_server(t, "R(11,r=AAAAAAAAAAAAAAAAAAAAAAAAserver\054s=c2FsdA==)");
    assert_int_equal(t->s.protocol, RP_PROTOCOL_3_0);
    assert_true(t->s.negotiated);
    transcript_free(t);
}

/* The key of another connection is not kept: a new start begins with none. */
static void test_no_key(void **state)
{
    (void)state;
    struct transcript *t = begin(only_3_0);
    transcript_server(t, "R(0) K(7,*4) Z(I)");
    assert_int_equal(t->s.backend_key_size, 4);
    transcript_begin(t, false);
    transcript_pull(t);
    transcript_server(t, "R(0) Z(I)");
    transcript_expect(t, "ready ready");
    assert_int_equal(t->s.backend_key_size, 0);
    transcript_free(t);
}

/* ---- what is wrong ---- */

struct wrong { struct asked asked; const char *turn[3]; int code; const char *message; };

#define NOBODY(wanted, asked) PG_E_PROTOCOL, \
    "the server wants protocol " wanted ", which nobody offered (" asked " was asked for)"
#define MALFORMED PG_E_PROTOCOL, "a malformed NegotiateProtocolVersion"
#define UNSENT PG_E_PROTOCOL, "the server does not know a protocol option that was not sent"
#define NO_OPTION PG_E_PROTOCOL, "the server does not know a protocol option, and names what is none"
#define NOTHING PG_E_PROTOCOL, "the server negotiates a protocol version and changes none"
#define KEY(bytes, version, may) PG_E_PROTOCOL, \
    "a BackendKeyData whose key has " bytes " bytes, where protocol " version " has " may
#define ILLEGAL PG_E_PROTOCOL, "a message that is illegal during the start"

static void check_wrong(const struct wrong *w)
{
    struct transcript *t = begin(w->asked);
    for (size_t i = 0; i < RP_COUNT(w->turn) && w->turn[i]; i++) {
        assert_int_not_equal(t->s.phase, RP_PHASE_BROKEN);
        transcript_server(t, w->turn[i]);
    }
    if (t->s.phase != RP_PHASE_BROKEN) fail_msg("%s: not noticed", w->message);
    assert_string_equal(pg_error_field(&t->s.error, 'M'), w->message);
    assert_int_equal(t->s.error.code, w->code);
    assert_false(rp_session_has_output(&t->s));
    transcript_free(t);
}

static void test_wrong_versions(void **state)
{
    (void)state;
    const struct wrong cases[] = {
        { only_3_0, { "v(3.2)" }, NOBODY("3.2", "3.0") },
        { only_3_0, { "v(3.1)" }, NOBODY("3.1", "3.0") },
        { any, { "v(3.1)" }, NOBODY("3.1", "3.2") },
        { any, { "v(3.3)" }, NOBODY("3.3", "3.2") },
        { any, { "v(4.0)" }, NOBODY("4.0", "3.2") },
        { any, { "v(2.0)" }, NOBODY("2.0", "3.2") },
        { any, { "v(0.2)" }, NOBODY("0.2", "3.2") },
        { any, { "v(65535.65535)" }, NOBODY("65535.65535", "3.2") },
        { only_3_2, { "v(3.0)" }, PG_E_CONFIG, "min_protocol_version=3.2: the server speaks no protocol above 3.0" },
        { only_3_2, { "R(3)", "v(3.0)" }, PG_E_CONFIG,
          "min_protocol_version=3.2: the server speaks no protocol above 3.0" },
        { only_3_0, { "v(3.0)" }, NOTHING },
        { any, { "v(3.2)" }, NOTHING },
        { any, { "v(3.0) v(3.0)" }, PG_E_PROTOCOL, "the server negotiates the protocol version twice" },
        { any, { "v(3.0) R(3)", "v(3.0)" }, PG_E_PROTOCOL, "the server negotiates the protocol version twice" },
        /* options: we send none */
        { any, { "v(3.0,_pq_.command_progress)" }, UNSENT },
        { any, { "v(3.2,_pq_.command_progress)" }, UNSENT },
        { only_3_0, { "v(3.0,_pq_.a,_pq_.b)" }, UNSENT },
        { any, { "v(3.0,user)" }, NO_OPTION },
        { any, { "v(3.0,_pq_.a,user)" }, NO_OPTION },
        { any, { "v(3.0,)" }, NO_OPTION },
        /* behind the authentication it is too late, and so it is behind the start */
        { any, { "R(0) v(3.0)" }, ILLEGAL },
        { any, { "R(0) K(7,*4) v(3.0)" }, ILLEGAL },
        { any, { "R(0) K(7,*4) Z(I)", "v(3.0)" }, PG_E_PROTOCOL,
          "the server sent message 'v' where nothing was due" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) check_wrong(&cases[i]);
}

static void test_wrong_keys(void **state)
{
    (void)state;
    const struct wrong cases[] = {
        { only_3_0, { "R(0) K(7,*0)" }, KEY("0", "3.0", "4") },
        { only_3_0, { "R(0) K(7,*3)" }, KEY("3", "3.0", "4") },
        { only_3_0, { "R(0) K(7,*5)" }, KEY("5", "3.0", "4") },
        { only_3_0, { "R(0) K(7,*32)" }, KEY("32", "3.0", "4") },
        { any, { "v(3.0) R(0) K(7,*32)" }, KEY("32", "3.0", "4") }, /* 3.0 was agreed on */
        { any, { "R(0) K(7,*0)" }, KEY("0", "3.2", "4 to 256") },
        { any, { "R(0) K(7,*3)" }, KEY("3", "3.2", "4 to 256") },
        { any, { "R(0) K(7,*257)" }, KEY("257", "3.2", "4 to 256") },
        { any, { "R(0) K" }, PG_E_PROTOCOL, "a malformed BackendKeyData" },
        { any, { "R(0) K(7,*4) Z(I)", "K(7,*4)" }, PG_E_PROTOCOL,
          "the server sent message 'K' where nothing was due" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) check_wrong(&cases[i]);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct { const char *body; size_t size; } cases[] = {
        { "", 0 }, { "\0\3\0\0", 4 }, { "\0\3\0\0\0\0\0", 7 }, { "\0\3\0\0\0\0\0\0\0", 9 },
        { "\0\3\0\0\0\0\0\1", 8 }, { "\0\3\0\0\0\0\0\1_pq_.a", 14 }, { "\0\3\0\0\0\0\0\2_pq_.a\0", 15 },
        { "\0\3\0\0\0\0\0\1_pq_.a\0_pq_.b\0", 22 }, { "\0\3\0\0\377\377\377\377_pq_.a\0", 15 },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = begin(any);
        struct blob b = { 0 };
        blob_message(&b, 'v', cases[i].body, cases[i].size);
        transcript_feed(t, b.at, b.size);
        assert_string_equal(pg_error_field(&t->s.error, 'M'), "a malformed NegotiateProtocolVersion");
        transcript_expect(t, "broken(E_PROTOCOL)");
        blob_free(&b);
        transcript_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_versions),     cmocka_unit_test(test_between_sasl), cmocka_unit_test(test_no_key),
        cmocka_unit_test(test_wrong_versions), cmocka_unit_test(test_wrong_keys), cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_session_tls.c - the request for TLS and the one byte that answers it; SCRAM that vouches for the TLS connection
 * it happens in, and what channel_binding makes of everything else. */
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

#define NONCE "AAAAAAAAAAAAAAAAAAAAAAAA" /* of entropy that is all zero */
#define SERVER_FIRST "R(11,r=" NONCE "server,s=c2FsdA==,i=4096)"

static struct transcript *asked(bool required)
{
    static const uint8_t request[8] = { 0, 0, 0, 8, 4, 210, 22, 47 }; /* 80877103 */
    struct transcript *t = transcript_new();
    transcript_begin(t, false);
    rp_session_ask_tls(&t->s, required);
    transcript_pull(t);
    assert_int_equal(t->sent.size, sizeof request);
    assert_memory_equal(t->sent.at, request, sizeof request);
    t->sent.size = 0;
    assert_false(rp_session_has_output(&t->s)); /* nothing goes out before the answer */
    return t;
}

static void yes_and_no(void **state)
{
    (void)state;
    for (int required = 0; required < 2; required++) {
        struct transcript *t = asked(required);
        transcript_feed(t, "S", 1);
        transcript_expect(t, "tls");
        transcript_pull(t);
        transcript_expect_sent(t, "startup");
        transcript_server(t, "R(0) K(7,42) Z(I)");
        transcript_expect(t, "ready");
        transcript_free(t);
    }
    struct transcript *t = asked(false);
    transcript_feed(t, "N", 1);
    transcript_expect(t, "");
    transcript_pull(t);
    transcript_expect_sent(t, "startup");
    transcript_server(t, "R(0) K(7,42) Z(I)");
    transcript_expect(t, "ready");
    assert_false(t->s.tls);
    transcript_free(t);
}

/* Bytes behind the answer (failures 1), an error in its place (failures 2), and no TLS where it is demanded. */
static void any_other_answer(void **state)
{
    (void)state;
    static const struct { const char *at; size_t size; bool required; const char *event, *why; } table[] = {
        { "N", 1, true, "broken(E_CONFIG)", "the server has no TLS, and sslmode asks for it" },
        { "SR", 2, false, "broken(E_PROTOCOL)", "bytes came behind the answer to the request for TLS" },
        { "SR\0\0\0\x08\0\0\0\0", 10, true, "broken(E_PROTOCOL)",
          "bytes came behind the answer to the request for TLS" },
        { "NR", 2, false, "broken(E_PROTOCOL)", "bytes came behind the answer to the request for TLS" },
        { "E\0\0\0\x20SFATAL\0C28000\0Mcall 555-1234\0\0", 33, false, "broken(E_PROTOCOL)",
          "the server answered the request for TLS with an error" },
        { "Ecall 555-1234\n", 15, true, "broken(E_PROTOCOL)",
          "the server answered the request for TLS with an error" },
        { "HTTP/1.1 400", 12, false, "broken(E_PROTOCOL)", "the answer is not PostgreSQL's protocol" },
        { "\x16\x03\x01", 3, true, "broken(E_PROTOCOL)", "the answer is not PostgreSQL's protocol" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct transcript *t = asked(table[i].required);
        transcript_feed(t, table[i].at, table[i].size);
        transcript_expect(t, table[i].event);
        assert_string_equal(pg_error_field(&t->s.error, 'M'), table[i].why);
        transcript_pull(t);
        assert_int_equal(t->sent.size, 0);
        transcript_free(t);
    }
}

static void an_answer_to_nothing(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, false);
    rp_session_ask_tls(&t->s, false);
    transcript_feed(t, "S", 1);
    transcript_expect(t, "broken(E_PROTOCOL)");
    transcript_free(t);
}

/* ---- channel binding ---- */

static const uint8_t hash[32] = "the server's certificate's hash";

static struct transcript *in_tls(enum rp_channel_binding mode, bool tls, size_t binding)
{
    struct transcript *t = transcript_new();
    t->config.channel_binding = mode;
    transcript_begin(t, false);
    if (tls) rp_session_in_tls(&t->s, hash, binding);
    transcript_pull(t);
    transcript_expect_sent(t, "startup");
    return t;
}

/* failures 6: nothing else will do where it is required, and nobody is told that it could be had where it cannot. */
static void what_is_said_of_it(void **state)
{
    (void)state;
#define DISABLE RP_CHANNEL_BINDING_DISABLE
#define PREFER RP_CHANNEL_BINDING_PREFER
#define REQUIRE RP_CHANNEL_BINDING_REQUIRE
#define BOTH "R(10,SCRAM-SHA-256-PLUS,SCRAM-SHA-256)"
#define PLAIN "R(10,SCRAM-SHA-256)"
#define PLUS "R(10,SCRAM-SHA-256-PLUS)"
    static const struct {
        enum rp_channel_binding mode;
        bool tls;
        size_t binding;
        const char *offer, *said, *why;
    } table[] = {
        { PREFER, true, 32, BOTH, "p=tls-server-end-point,,", NULL },
        { REQUIRE, true, 32, BOTH, "p=tls-server-end-point,,", NULL },
        { REQUIRE, true, 32, PLUS, "p=tls-server-end-point,,", NULL },
        { PREFER, true, 32, PLAIN, "y,,", NULL },
        { DISABLE, true, 32, BOTH, "n,,", NULL },
        { DISABLE, true, 32, PLAIN, "n,,", NULL },
        { PREFER, true, 0, BOTH, "n,,", NULL },
        { PREFER, true, 0, PLAIN, "y,,", NULL },
        { PREFER, false, 0, BOTH, "n,,", NULL },
        { PREFER, false, 0, PLAIN, "n,,", NULL },
        { REQUIRE, true, 32, PLAIN, NULL, "channel_binding=require: the server does not offer it" },
        { REQUIRE, true, 0, BOTH, NULL, "channel_binding=require: there is none for the server's certificate" },
        { REQUIRE, false, 0, BOTH, NULL, "channel_binding=require: the connection is not encrypted" },
        { DISABLE, true, 32, PLUS, NULL, "the server offers no SASL mechanism that is supported (SCRAM-SHA-256)" },
        { REQUIRE, true, 32, "R(0)", NULL,
          "the server lets everybody in without authentication, which channel_binding=require excludes" },
        { REQUIRE, true, 32, "R(3)", NULL,
          "the server asks for the password in cleartext, which channel_binding=require excludes" },
        { REQUIRE, true, 32, "R(5,salt)", NULL,
          "the server asks for an MD5 hash of the password, which channel_binding=require excludes" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct transcript *t = in_tls(table[i].mode, table[i].tls, table[i].binding);
        char said[160];
        transcript_server(t, table[i].offer);
        transcript_pull(t);
        if (table[i].why) {
            transcript_expect(t, "broken(E_CONFIG)");
            assert_string_equal(pg_error_field(&t->s.error, 'M'), table[i].why);
            assert_int_equal(t->sent.size, 0);
        } else {
            transcript_expect(t, "");
            size_t n = strlen(table[i].said) + 5 + strlen(NONCE);
            snprintf(said, sizeof said, "p(SCRAM-SHA-256%s\\0\\0\\0\\0%c%sn=,r=" NONCE ")",
                     table[i].said[0] == 'p' ? "-PLUS" : "", (int)n, table[i].said);
            transcript_expect_sent(t, said);
        }
        transcript_free(t);
    }
}

/* The last message repeats what the first one said, and here the hash behind it. */
static void the_hash_is_bound(void **state)
{
    (void)state;
    static const char *const headers[] = { "p=tls-server-end-point,,", "y,,", "n,," };
    for (int i = 0; i < 3; i++) {
        struct transcript *t = in_tls(i == 2 ? RP_CHANNEL_BINDING_DISABLE : RP_CHANNEL_BINDING_PREFER, true, 32);
        char input[64], base64[96], c[160];
        size_t n = strlen(headers[i]);
        memcpy(input, headers[i], n);
        memcpy(input + n, hash, i ? 0 : 32);
        EVP_EncodeBlock((uint8_t *)base64, (uint8_t *)input, (int)(n + (i ? 0 : 32)));
        snprintf(c, sizeof c, "c=%s,r=" NONCE "server,p=", base64);
        transcript_server(t, i == 1 ? PLAIN : BOTH);
        transcript_pull(t);
        t->sent.size = 0;
        transcript_server(t, SERVER_FIRST);
        transcript_pull(t);
        assert_true(t->sent.size > 5 + strlen(c));
        assert_memory_equal(t->sent.at + 5, c, strlen(c));
        t->log.size = t->sent.size = 0;
        transcript_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yes_and_no),         cmocka_unit_test(any_other_answer),
        cmocka_unit_test(an_answer_to_nothing), cmocka_unit_test(what_is_said_of_it),
        cmocka_unit_test(the_hash_is_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_session_startup.c - from the startup message to the first ReadyForQuery: each authentication method as a
 * transcript, cut everywhere, and the ways in which a server can get it wrong. The server's half of SCRAM and MD5 is
 * computed here with OpenSSL. */
#define _GNU_SOURCE
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

#define NONCE "AAAAAAAAAAAAAAAAAAAAAAAA" /* of entropy that is all zero */
#define SERVER_NONCE NONCE "server"
#define CLIENT_FIRST_BARE "n=,r=" NONCE
#define SERVER_FIRST "r=" SERVER_NONCE ",s=c2FsdA==,i=4096"
#define CLIENT_FINAL_BARE "c=biws,r=" SERVER_NONCE
#define AUTH_MESSAGE CLIENT_FIRST_BARE "," SERVER_FIRST "," CLIENT_FINAL_BARE
#define WELCOME "S(server_version,15.4) S(TimeZone,UTC) K(7,42) Z(I)"
#define SENT_FIRST "p(SCRAM-SHA-256\\0\\0\\0\\0 n,," CLIENT_FIRST_BARE ")"

/* ---- the server's half ---- */

static void hmac(const uint8_t *key, const char *text, uint8_t out[32])
{
    unsigned size = 32;
    assert_non_null(HMAC(EVP_sha256(), key, 32, (const uint8_t *)text, strlen(text), out, &size));
}

static struct { char proof[45], signature[45], final[64], r12[80], client_final[128]; } scram;
static void compute_scram(void)
{
    uint8_t salted[32], client_key[32], stored_key[32], server_key[32], signature[32], proof[32];
    for (int i = 0; i < 32; i++) salted[i] = (uint8_t)(i + 1); /* as in support/transcript.c */
    hmac(salted, "Client Key", client_key);
    EVP_Digest(client_key, 32, stored_key, NULL, EVP_sha256(), NULL);
    hmac(stored_key, AUTH_MESSAGE, signature);
    for (int i = 0; i < 32; i++) proof[i] = client_key[i] ^ signature[i];
    EVP_EncodeBlock((uint8_t *)scram.proof, proof, 32);
    hmac(salted, "Server Key", server_key);
    hmac(server_key, AUTH_MESSAGE, signature);
    EVP_EncodeBlock((uint8_t *)scram.signature, signature, 32);
    snprintf(scram.final, sizeof scram.final, "v=%s", scram.signature);
    snprintf(scram.r12, sizeof scram.r12, "R(12,%s)", scram.final);
    snprintf(scram.client_final, sizeof scram.client_final, "p(" CLIENT_FINAL_BARE ",p=%s)", scram.proof);
}

static void hex_md5(const char *at, size_t size, char out[33])
{
    uint8_t digest[16];
    EVP_Digest(at, size, digest, NULL, EVP_md5(), NULL);
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* ---- what is right ---- */

static void test_trust(void **state)
{
    (void)state;
    static const struct transcript_case cases[] = {
        { "trust", { { "", "R(0) " WELCOME } }, "ready", "startup" },
        { "notices and parameters in between",
          { { "",
              "N(WARNING,01000,old) R(0) S(TimeZone,UTC) N(NOTICE,00000,hello) K(7,42) N(NOTICE,00000,end) Z(I)" } },
          "notice(01000 old) notice(00000 hello) notice(00000 end) ready",
          "startup" },
        { "no BackendKeyData", { { "", "R(0) Z(I)" } }, "ready", "startup" },
        { "a query behind it",
          { { "", "R(0) " WELCOME }, { "a", "1 2 n C(DELETE 1) Z(I)" } },
          "ready T(0#1) done(0:DELETE 1)",
          "startup P:s1 B:s1 D E S" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) transcript_check(&cases[i], CASE_COLD);
}

static void test_what_is_kept(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, false);
    assert_int_equal(t->s.phase, RP_PHASE_START);
    assert_true(rp_session_has_output(&t->s));
    transcript_pull(t);
    assert_int_equal(t->s.phase, RP_PHASE_AUTH);
    static const char startup[] =
        "\0\0\0\x2a\0\3\0\0user\0app\0client_encoding\0UTF8\0"; /* the pair without a value is left out */
    assert_int_equal(t->sent.size, sizeof startup);
    assert_memory_equal(t->sent.at + 4, startup + 4, sizeof startup - 4);
    assert_int_equal(t->sent.at[3], sizeof startup);
    assert_int_equal(t->s.transaction, 0);
    transcript_server(t, "R(0) S(in_hot_standby,off) K(7,4294967295) Z(I)");
    assert_int_equal(t->s.backend_pid, 7);
    assert_int_equal(t->s.backend_key_size, 4);
    assert_memory_equal(t->s.backend_key, "\377\377\377\377", 4);
    assert_int_equal(t->s.transaction, 'I');
    assert_string_equal(rp_session_parameter(&t->s, "in_hot_standby"), "off");
    transcript_free(t);
}

static void test_password(void **state)
{
    (void)state;
    const struct transcript_case c = {
        "cleartext", { { "", "R(3)" }, { "", "R(0) " WELCOME } }, "ready", "startup p(secret\\0)"
    };
    transcript_check(&c, CASE_COLD);
}

static void test_md5(void **state)
{
    (void)state;
    char inner[33 + 4], outer[33], sent[64];
    hex_md5("secretapp", 9, inner);
    memcpy(inner + 32, "salt", 4);
    hex_md5(inner, 36, outer);
    snprintf(sent, sizeof sent, "startup p(md5%s\\0)", outer);
    const struct transcript_case c = { "MD5", { { "", "R(5,salt)" }, { "", "R(0) " WELCOME } }, "ready", sent };
    transcript_check(&c, CASE_COLD);
}

static void test_scram(void **state)
{
    (void)state;
    char sent[512], last[256];
    snprintf(sent, sizeof sent, "startup " SENT_FIRST " %s", scram.client_final);
    snprintf(last, sizeof last, "%s R(0) " WELCOME, scram.r12);
    const struct transcript_case c = {
        "SCRAM",
        { { "", "R(10,SCRAM-SHA-256-PLUS,SCRAM-SHA-256)" }, { "", "R(11," SERVER_FIRST ")" }, { "", last } },
        "key(4096) ready",
        sent,
    };
    transcript_check(&c, CASE_COLD);
}

/* The key takes its time: nothing is looked at, and nothing said, before it is there. */
static void test_waiting_for_the_key(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    t->keep_key = true;
    transcript_begin(t, false);
    transcript_pull(t);
    transcript_server(t, "R(10,SCRAM-SHA-256)");
    transcript_server(t, "R(11," SERVER_FIRST ") N(NOTICE,00000,later)");
    transcript_expect(t, "key(4096)");
    assert_int_equal(t->s.scram.salt_size, 4);
    assert_memory_equal(t->s.scram.salt, "salt", 4);
    assert_false(rp_session_has_output(&t->s));
    transcript_server(t, "N(NOTICE,00000,last)");
    transcript_expect(t, "");
    rp_session_key(&t->s, t->salted);
    assert_true(rp_session_has_output(&t->s));
    transcript_pull(t);
    transcript_server(t, scram.r12);
    transcript_server(t, "R(0) " WELCOME);
    transcript_expect(t, "notice(00000 later) notice(00000 last) ready");
    transcript_free(t);
}

/* ---- secrets (failures 15) ---- */

static bool holds(const struct transcript *t, const char *secret)
{
    return memmem(&t->s, sizeof t->s, secret, strlen(secret)) != NULL;
}

static void test_secrets_are_wiped(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, false);
    transcript_pull(t);
    t->hold = true;
    transcript_server(t, "R(3)");
    assert_true(rp_session_has_output(&t->s));
    assert_false(holds(t, "secret")); /* it is said from where it stands, and not copied */
    transcript_free(t);

    t = transcript_new();
    transcript_begin(t, false);
    transcript_pull(t);
    t->hold = true;
    transcript_server(t, "R(3) E(FATAL,28P01,no)");
    transcript_expect(t, "broken(E_SERVER 28P01 no)");
    assert_false(holds(t, "secret"));
    transcript_free(t);

    t = transcript_new();
    transcript_begin(t, false);
    transcript_pull(t);
    t->hold = true;
    transcript_server(t, "R(3)");
    transcript_feed(t, "R\377\377\377\377", 5);
    assert_false(holds(t, "secret"));
    transcript_free(t);

    t = transcript_new();
    transcript_begin(t, false);
    transcript_pull(t);
    transcript_server(t, "R(10,SCRAM-SHA-256)");
    transcript_server(t, "R(11," SERVER_FIRST ")");
    assert_true(holds(t, scram.proof) && holds(t, SERVER_NONCE));
    transcript_server(t, scram.r12);
    transcript_server(t, "R(0)");
    assert_false(holds(t, scram.proof) || holds(t, SERVER_NONCE) || holds(t, NONCE));
    transcript_free(t);
}

/* ---- what is wrong ---- */

struct wrong { const char *turn[4]; int code; const char *message; };

static void check_wrong(const struct wrong *w, const char *password)
{
    struct transcript *t = transcript_new();
    t->config.password = password;
    transcript_begin(t, false);
    transcript_pull(t);
    for (size_t i = 0; i < RP_COUNT(w->turn) && w->turn[i]; i++) {
        assert_int_not_equal(t->s.phase, RP_PHASE_BROKEN);
        transcript_server(t, w->turn[i]);
    }
    if (t->s.phase != RP_PHASE_BROKEN) fail_msg("%s: not noticed", w->message);
    assert_string_equal(pg_error_field(&t->s.error, 'M'), w->message);
    assert_int_equal(t->s.error.code, w->code);
    assert_false(password && holds(t, password));
    assert_false(rp_session_has_output(&t->s));
    transcript_free(t);
}

#define NOT_DUE PG_E_PROTOCOL, "an authentication message that was not due, or is malformed"
#define UNPROVEN PG_E_PROTOCOL, "the server ended the authentication without proving that it knows the password"
#define ILLEGAL PG_E_PROTOCOL, "a message that is illegal during the start"
#define NOT_OURS PG_E_PROTOCOL, "the answer is not PostgreSQL's protocol"
#define SASL "R(10,SCRAM-SHA-256)"

static void test_wrong(void **state)
{
    (void)state;
    const struct wrong cases[] = {
        /* passwords: asked for twice, confirmed before they are said, malformed */
        { { "R(3)", "R(3)" }, NOT_DUE },
        { { "R(3) R(0)" }, NOT_DUE },
        { { "R(3)", "R(5,salt)" }, NOT_DUE },
        { { "R(3)", SASL }, NOT_DUE },
        { { "R(5,salt)", "R(3)" }, NOT_DUE },
        { { "R(3,x)" }, NOT_DUE },
        { { "R(5,sal)" }, NOT_DUE },
        { { "R(5,salty)" }, NOT_DUE },
        { { "R(0,x)" }, NOT_DUE },
        /* SASL out of its order (failures 10) */
        { { "R(11," SERVER_FIRST ")" }, NOT_DUE },
        { { scram.r12 }, NOT_DUE },
        { { SASL, SASL }, NOT_DUE },
        { { SASL, "R(3)" }, NOT_DUE },
        { { SASL, scram.r12 }, NOT_DUE },
        { { SASL, "R(0)" }, UNPROVEN },
        { { SASL " R(11," SERVER_FIRST ")" }, NOT_DUE }, /* before client-first is said */
        { { SASL, "R(11," SERVER_FIRST ")", "R(0)" }, UNPROVEN },
        { { SASL, "R(11," SERVER_FIRST ")", "R(11," SERVER_FIRST ")" }, NOT_DUE },
        { { SASL, "R(11," SERVER_FIRST ")", scram.r12, scram.r12 }, NOT_DUE },
        { { SASL, "R(11," SERVER_FIRST ")", "R(12,v=AAAA)" },
          PG_E_PROTOCOL,
          "SCRAM: the server's signature is malformed" },
        { { SASL, "R(11," SERVER_FIRST ")", "R(12,v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=)" },
          PG_E_PROTOCOL,
          "SCRAM: the server's signature is wrong" },
        /* server-first (failures 7, 9) */
        { { SASL, "R(11,r=BBBBBBBBBBBBBBBBBBBBBBBBserver,s=c2FsdA==,i=4096)" },
          PG_E_PROTOCOL,
          "SCRAM: the server's nonce does not extend the client's" },
        { { SASL, "R(11,r=" SERVER_NONCE ",s=c2FsdA==,i=100001)" },
          PG_E_PROTOCOL,
          "SCRAM: the iteration count is above the permitted maximum" },
        { { SASL, "R(11)" }, PG_E_PROTOCOL, "SCRAM: the server's nonce is missing" },
        /* mechanisms */
        { { "R(10,SCRAM-SHA-256-PLUS)" },
          PG_E_CONFIG,
          "the server offers no SASL mechanism that is supported (SCRAM-SHA-256)" },
        { { "R(10,SCRAM-SHA-25,CRAM-MD5)" },
          PG_E_CONFIG,
          "the server offers no SASL mechanism that is supported (SCRAM-SHA-256)" },
        { { "R(10)" }, PG_E_PROTOCOL, "a malformed list of SASL mechanisms" },
        /* methods that nobody knows: Kerberos, crypt, GSS, SSPI, and what may come */
        { { "R(2)" }, PG_E_CONFIG, "the server asks for authentication method 2, which is not supported" },
        { { "R(4)" }, PG_E_CONFIG, "the server asks for authentication method 4, which is not supported" },
        { { "R(7)" }, PG_E_CONFIG, "the server asks for authentication method 7, which is not supported" },
        { { "R(9)" }, PG_E_CONFIG, "the server asks for authentication method 9, which is not supported" },
        { { "R(4294967295)" },
          PG_E_CONFIG,
          "the server asks for authentication method 4294967295, which is not supported" },
        /* messages out of their phase */
        { { "Z(I)" }, NOT_OURS },
        { { "K(7,42)" }, NOT_OURS },
        { { "R(0) R(0)" }, ILLEGAL },
        { { "R(0) D(one)" }, ILLEGAL },
        { { "R(0) K(7,42) K" }, PG_E_PROTOCOL, "a malformed BackendKeyData" },
        { { "R(0) Z(T)" }, PG_E_PROTOCOL, "the first ReadyForQuery is not idle" },
        { { "R(0) Z(II)" }, PG_E_PROTOCOL, "the first ReadyForQuery is not idle" },
        /* errors: fatal or not, that is the end */
        { { "E(FATAL,53300,too many)" }, PG_E_SERVER, "too many" },
        { { "E(ERROR,28000,nobody)" }, PG_E_SERVER, "nobody" },
        { { "R(3)", "E(FATAL,28P01,wrong password)" }, PG_E_SERVER, "wrong password" },
        { { "R(0) E(FATAL,3D000,no database)" }, PG_E_SERVER, "no database" },
        { { "R(0) S(TimeZone,UTC) E(FATAL,57P03,starting)" }, PG_E_SERVER, "starting" },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) check_wrong(&cases[i], "secret-and-long");
}

static void test_without_a_password(void **state)
{
    (void)state;
    static const char none[] = "the server asks for a password and the connection string has none";
    check_wrong(&(struct wrong){ { "R(3)" }, PG_E_CONFIG, none }, NULL);
    check_wrong(&(struct wrong){ { "R(5,salt)" }, PG_E_CONFIG, none }, NULL);
    check_wrong(&(struct wrong){ { SASL }, PG_E_CONFIG, none }, NULL);
}

/* What a password file has against it is told where a password is missed. */
static void test_password_file_fault(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    t->config.password = NULL;
    t->config.no_password = "is not a plain file";
    transcript_begin(t, false);
    transcript_pull(t);
    transcript_server(t, "R(3)");
    assert_string_equal(pg_error_field(&t->s.error, 'M'),
                        "the server asks for a password and the connection string has "
                        "none; the password file is not a plain file");
    transcript_free(t);
}

/* As long as tokens are, and longer than any buffer of ours. */
static void test_long_passwords(void **state)
{
    (void)state;
    static char password[10001];
    static const char *const asked[] = { "R(3)", "R(5,salt)", "R(10,SCRAM-SHA-256)" };
    memset(password, 'x', sizeof password - 1);
    for (size_t i = 0; i < RP_COUNT(asked); i++) {
        struct transcript *t = transcript_new();
        t->config.password = password;
        transcript_begin(t, false);
        transcript_pull(t);
        size_t before = t->sent.size;
        transcript_server(t, asked[i]);
        assert_int_not_equal(t->s.phase, RP_PHASE_BROKEN);
        if (i == 0) assert_int_equal(t->sent.size - before, 1 + 4 + sizeof password);
        if (i < 2) {
            transcript_server(t, "R(0) Z(I)");
            transcript_expect(t, "ready");
        }
        transcript_free(t);
    }
}

/* ---- require_auth (failures 5) ---- */

/* Each way of asking against each set that permits one method alone: only where they meet does it go on. */
static void test_required_methods(void **state)
{
    (void)state;
    static const struct { const char *asked; enum rp_method method; bool supported; const char *message; } asks[] = {
        { "R(0)", RP_METHOD_NONE, true,
          "the server lets everybody in without authentication, which require_auth excludes" },
        { "R(3)", RP_METHOD_PASSWORD, true,
          "the server asks for the password in cleartext, which require_auth excludes" },
        { "R(5,salt)", RP_METHOD_MD5, true,
          "the server asks for an MD5 hash of the password, which require_auth excludes" },
        { "R(7)", RP_METHOD_GSS, false, "the server asks for GSSAPI authentication, which require_auth excludes" },
        { "R(9)", RP_METHOD_SSPI, false, "the server asks for SSPI authentication, which require_auth excludes" },
        { "R(10,SCRAM-SHA-256)", RP_METHOD_SCRAM, true,
          "the server asks for SCRAM-SHA-256 authentication, which require_auth excludes" },
        { "R(10,OAUTHBEARER)", RP_METHOD_OAUTH, false,
          "the server asks for OAuth authentication, which require_auth excludes" },
    };
    for (size_t i = 0; i < RP_COUNT(asks); i++)
        for (uint32_t only = 0; only < RP_METHODS; only++) {
            struct transcript *t = transcript_new();
            t->config.auth_refused = ((1u << RP_METHODS) - 1) & ~(1u << only);
            transcript_begin(t, false);
            transcript_pull(t);
            size_t before = t->sent.size;
            transcript_server(t, asks[i].asked);
            bool permitted = asks[i].method == only;
            assert_int_equal(t->s.phase == RP_PHASE_BROKEN, !permitted || !asks[i].supported);
            if (!permitted) {
                assert_string_equal(pg_error_field(&t->s.error, 'M'), asks[i].message);
                assert_int_equal(t->s.error.code, PG_E_CONFIG);
                assert_int_equal(t->sent.size, before); /* and nothing of the password is said */
            }
            transcript_free(t);
        }
}

/* The Ok behind a method that is permitted is no entry without authentication. */
static void test_required_and_done(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    t->config.auth_refused = ((1u << RP_METHODS) - 1) & ~(1u << RP_METHOD_SCRAM);
    transcript_begin(t, false);
    transcript_pull(t);
    transcript_server(t, "R(10,SCRAM-SHA-256)");
    transcript_server(t, "R(11," SERVER_FIRST ")");
    transcript_server(t, scram.r12);
    transcript_server(t, "R(0) " WELCOME);
    transcript_expect(t, "key(4096) ready");
    transcript_free(t);
}

/* Bytes of something else altogether (failures 4): no byte more is waited for than the head of a message. */
static void test_not_postgresql(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t size; } cases[] = {
        { "HTTP/1.1 400 Bad Request\r\n", 26 },
        { "EFATAL:  unsupported frontend protocol 3.0\n", 44 }, /* as servers of protocol 2 say it */
        { "SSH-2.0-OpenSSH_9.2\r\n", 21 },
        { "R\0\0\0\3", 5 }, { "R\xff\xff\xff\xff", 5 }, { "R\0\1\0\1", 5 }, { "\x15\3\1\0\2\2\x28", 7 },
        { "R\0\0\0\4", 5 }, { "R\0\0\0\7\0\0\0", 8 },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++)
        for (size_t piece = 1; piece <= cases[i].size; piece++) {
            struct transcript *t = transcript_new();
            t->config.message_limit = t->config.row_limit = 0x3fffffff;
            transcript_begin(t, false);
            transcript_pull(t);
            for (size_t at = 0; at < cases[i].size; at += piece)
                transcript_feed(t, cases[i].bytes + at, cases[i].size - at < piece ? cases[i].size - at : piece);
            transcript_expect(t, "broken(E_PROTOCOL)");
            transcript_free(t);
        }
}

static void test_malformed_sasl_list(void **state)
{
    (void)state;
    static const struct { const char *body; size_t size; } cases[] = {
        { "\0\0\0\12SCRAM-SHA-256", 17 },      { "\0\0\0\12SCRAM-SHA-256\0", 18 },
        { "\0\0\0\12SCRAM-SHA-256\0x", 19 },   { "\0\0\0\12", 4 },
        { "\0\0\0\12SCRAM-SHA-256\0x\0", 20 },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = transcript_new();
        struct blob b = { 0 };
        transcript_begin(t, false);
        transcript_pull(t);
        blob_message(&b, 'R', cases[i].body, cases[i].size);
        transcript_feed(t, b.at, b.size);
        transcript_expect(t, "broken(E_PROTOCOL)");
        blob_free(&b);
        transcript_free(t);
    }
}

static int setup(void **state)
{
    (void)state;
    compute_scram();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trust),
        cmocka_unit_test(test_what_is_kept),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_scram),
        cmocka_unit_test(test_waiting_for_the_key),
        cmocka_unit_test(test_secrets_are_wiped),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_without_a_password),
        cmocka_unit_test(test_password_file_fault),
        cmocka_unit_test(test_long_passwords),
        cmocka_unit_test(test_required_methods),
        cmocka_unit_test(test_required_and_done),
        cmocka_unit_test(test_not_postgresql),
        cmocka_unit_test(test_malformed_sasl_list),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}

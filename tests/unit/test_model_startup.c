/* test_model_startup.c - the model server up to its first ReadyForQuery, the four ways of authentication with a
 * client's half computed here, and its refusals. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include "support/model_world.h"
#include "support/model_private.h"

static const struct sim_config plain = { .seed = 1 };

/* ---- startup ---- */
static void test_startup(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected((struct model_config){ .user = "app" });
    struct model_conn *conn = model_conn_at(f->server, 0);
    assert_string_equal(model_conn_parameter(conn, "user"), "app");
    assert_string_equal(model_conn_parameter(conn, "application_name"), "unit");
    assert_null(model_conn_parameter(conn, "database"));
    assert_int_equal(model_conn_pid(conn), f->c.pid);
    assert_int_equal(model_conn_status(conn), 'I');
    assert_int_equal(model_stats(f->server)->connections_now, 1);
    client_message(&f->c, 'X', NULL, 0);
    assert_string_equal(client_answer(&f->c), "EOF");
    assert_int_equal(model_stats(f->server)->connections_now, 0);
    assert_int_equal(model_stats(f->server)->connections_max, 1);
    assert_int_equal(model_stats(f->server)->terminates, 1);
    assert_int_equal(model_stats(f->server)->eofs, 0);
    assert_false(model_conn_alive(conn));
    model_world_end(f);
}

static void test_startup_of_other_kinds(void **state)
{
    (void)state;
    struct model_world *f = model_world_open((struct model_config){ .auth = MODEL_TRUST }, plain);
    client_open(&f->c, f->sim);
    client_startup_code(&f->c, 80877103, NULL, 0);
    client_answer(&f->c);
    assert_int_equal(f->c.s.in_bytes, 1);
    assert_int_equal(f->c.s.in[0], 'N');
    f->c.shown = 1;
    client_startup_code(&f->c, 3 << 16 | 2, "user\0app\0", 10);
    assert_string_equal(client_answer(&f->c), "v R0 K Z:I");
    assert_int_equal(f->c.key_size, 4);
    model_world_end(f);
}

/* Whoever asks for 3.2 gets it, and a long key that a cancel request must have whole; 3.0 is as before. */
static void test_protocol_3_2(void **state)
{
    (void)state;
    for (unsigned minor = 0; minor <= 3; minor++) {
        struct model_world *f = model_world_open((struct model_config){ .speaks_3_2 = true, .key_size = 200 }, plain);
        client_open(&f->c, f->sim);
        client_startup_code(&f->c, 3 << 16 | minor, "user\0app\0", 10);
        /* There is no 3.1, and 3.3 is of another time. */
        assert_string_equal(client_answer(&f->c), minor & 1 ? "v R0 K Z:I" : "R0 K Z:I");
        assert_int_equal(f->c.key_size, minor < 2 ? 4 : 200);
        client_query(&f->c, "SLEEP 60000");
        client_send(&f->c);
        sim_step_until(f->sim, sim_now(f->sim));
        for (int whole = 0; whole < 2; whole++) {
            f->c.key[f->c.key_size - 1] ^= 1;
            client_open(&f->d, f->sim);
            client_cancel(&f->d, &f->c);
            client_send(&f->d);
            while (!f->d.s.ended) assert_true(sim_step(f->sim));
            assert_int_equal(model_stats(f->server)->cancels_that_hit, whole);
            client_close(&f->d);
        }
        assert_string_equal(client_answer(&f->c), "E:57014 Z:I");
        model_world_end(f);
    }
}

static void test_nobody_and_the_wrong_user(void **state)
{
    (void)state;
    struct model_world *f = model_world_open((struct model_config){ .user = "app" }, plain);
    client_open(&f->c, f->sim);
    client_startup(&f->c, "", NULL);
    assert_string_equal(client_answer(&f->c), "E:28000 EOF");
    client_close(&f->c);
    client_open(&f->c, f->sim);
    client_startup(&f->c, "other", NULL);
    assert_string_equal(client_answer(&f->c), "E:28000 EOF");
    model_world_end(f);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct { const char *sqlstate, *answer; } cases[] = {
        { "53300", "E:53300 EOF" }, { "57P03", "E:57P03 EOF" }, { "3D000", "R0 E:3D000 EOF" },
    };
    struct model_world *f = model_world_open((struct model_config){ .auth = MODEL_TRUST }, plain);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model_server_refuse(f->server, cases[i].sqlstate);
        client_open(&f->c, f->sim);
        client_startup(&f->c, "app", NULL);
        assert_string_equal(client_answer(&f->c), cases[i].answer);
        client_close(&f->c);
    }
    model_server_refuse(f->server, NULL);
    model_world_greet(f, &f->c);
    assert_int_equal(model_stats(f->server)->connections_now, 1);
    model_world_end(f);
}

static void test_max_connections(void **state)
{
    (void)state;
    struct model_world *f = model_world_connected(
        (struct model_config){ .max_connections = 1, .exit_delay_ns = 5 * MS });
    client_open(&f->d, f->sim);
    client_startup(&f->d, "app", NULL);
    assert_string_equal(client_answer(&f->d), "E:53300 EOF");
    client_close(&f->d);
    client_message(&f->c, 'X', NULL, 0);
    client_send(&f->c);
    sim_step_until(f->sim, sim_now(f->sim));
    while (sim_step_until(f->sim, sim_now(f->sim) + MS / 1000) ) {}
    assert_int_equal(model_stats(f->server)->connections_now, 1); /* it counts until it has exited */
    assert_string_equal(client_answer(&f->c), "EOF");
    assert_int_equal(model_stats(f->server)->connections_now, 0);
    client_close(&f->c);
    model_world_greet(f, &f->c);
    assert_int_equal(model_stats(f->server)->connections_max, 1);
    model_world_end(f);
}

static void test_startup_in_pieces(void **state)
{
    (void)state;
    struct model_world *f = model_world_open((struct model_config){ .startup_delay_ns = 3 * MS },
                                  (struct sim_config){ .short_send = 900, .latency_max_ns = MS, .seed = 7 });
    uint64_t start = sim_now(f->sim);
    model_world_greet(f, &f->c);
    assert_true(sim_now(f->sim) - start >= 3 * MS);
    assert_true(sim_counters(f->sim)->short_sends > 1);
    assert_string_equal(model_world_ask(&f->c, "ECHO piece"), "T[echo:25:0] D[5:piece] C:SELECT 1 Z:I");
    model_world_end(f);
}

/* ---- authentication ---- */
static const char *cleartext(struct model_world *f, const char *user, const char *password)
{
    client_open(&f->c, f->sim);
    client_startup(&f->c, user, NULL);
    assert_string_equal(client_answer(&f->c), "R3");
    client_password(&f->c, password);
    return client_answer(&f->c);
}

static void test_cleartext(void **state)
{
    (void)state;
    struct model_world *f = model_world_open(
        (struct model_config){ .auth = MODEL_CLEARTEXT, .user = "app", .password = "secret" }, plain);
    assert_string_equal(cleartext(f, "app", "wrong"), "E:28P01 EOF");
    client_close(&f->c);
    assert_string_equal(cleartext(f, "other", "secret"), "E:28P01 EOF");
    client_close(&f->c);
    assert_string_equal(cleartext(f, "app", "secret"), "R0 K Z:I");
    assert_int_equal(model_stats(f->server)->auth_failures, 2);
    model_world_end(f);
}

static void md5_hex(const void *at, size_t n, char out[33])
{
    uint8_t digest[16];
    assert_int_equal(EVP_Digest(at, n, digest, NULL, EVP_md5(), NULL), 1);
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static const char *md5(struct model_world *f, const char *password)
{
    char inner[64], outer[33], answer[40];
    client_open(&f->c, f->sim);
    client_startup(&f->c, "app", NULL);
    assert_string_equal(client_answer(&f->c), "R5");
    snprintf(inner, sizeof inner, "%sapp", password);
    md5_hex(inner, strlen(inner), inner);
    memcpy(inner + 32, f->c.s.in + f->c.s.in_bytes - 4, 4); /* the salt */
    md5_hex(inner, 36, outer);
    snprintf(answer, sizeof answer, "md5%s", outer);
    client_password(&f->c, answer);
    return client_answer(&f->c);
}

static void test_md5(void **state)
{
    (void)state;
    struct model_world *f = model_world_open(
        (struct model_config){ .auth = MODEL_MD5, .user = "app", .password = "secret" }, plain);
    assert_string_equal(md5(f, "wrong"), "E:28P01 EOF");
    client_close(&f->c);
    assert_string_equal(md5(f, "secret"), "R0 K Z:I");
    model_world_end(f);
}

/* ---- SCRAM, the client's half as RFC 5802 has it ---- */
struct scram {
    char server_first[512], client_final[768], auth_message[2048], expected[64], got[64];
    uint8_t salted[32];
};

static void hmac(const uint8_t *key, const char *text, uint8_t out[32])
{
    unsigned size;
    assert_non_null(HMAC(EVP_sha256(), key, 32, (const uint8_t *)text, strlen(text), out, &size));
}

static void scram_first(struct model_world *f, struct scram *s)
{
    static const char first[] = "n,,n=,r=clientnonce";
    client_open(&f->c, f->sim);
    client_startup(&f->c, "app", NULL);
    assert_string_equal(client_answer(&f->c), "R10");
    size_t begun = model_put_begin(&f->c.out, 'p');
    model_put_string(&f->c.out, "SCRAM-SHA-256");
    model_put_u32(&f->c.out, sizeof first - 1);
    sim_bytes_put(&f->c.out, first, sizeof first - 1);
    model_put_end(&f->c.out, begun);
    size_t before = f->c.s.in_bytes;
    assert_string_equal(client_answer(&f->c), "R11");
    snprintf(s->server_first, sizeof s->server_first, "%.*s", (int)(f->c.s.in_bytes - before - 9),
             (const char *)f->c.s.in + before + 9);
}

static void scram_compute(struct scram *s, const char *password)
{
    char nonce[128], salt64[64], proof64[64];
    unsigned iterations;
    uint8_t salt[64], client[32], stored[32], signature[32];
    assert_int_equal(sscanf(s->server_first, "r=%127[^,],s=%63[^,],i=%u", nonce, salt64, &iterations), 3);
    assert_int_equal(strncmp(nonce, "clientnonce", 11), 0);
    int n = EVP_DecodeBlock(salt, (unsigned char *)salt64, (int)strlen(salt64));
    n -= salt64[strlen(salt64) - 1] == '=' ? 1 + (salt64[strlen(salt64) - 2] == '=') : 0;
    assert_int_equal(PKCS5_PBKDF2_HMAC(password, -1, salt, n, (int)iterations, EVP_sha256(), 32, s->salted), 1);
    n = snprintf(s->client_final, sizeof s->client_final, "c=biws,r=%s", nonce);
    snprintf(s->auth_message, sizeof s->auth_message, "n=,r=clientnonce,%s,%s", s->server_first, s->client_final);
    hmac(s->salted, "Client Key", client);
    assert_int_equal(EVP_Digest(client, 32, stored, NULL, EVP_sha256(), NULL), 1);
    hmac(stored, s->auth_message, signature);
    for (int i = 0; i < 32; i++) client[i] ^= signature[i];
    EVP_EncodeBlock((unsigned char *)proof64, client, 32);
    snprintf(s->client_final + n, sizeof s->client_final - (size_t)n, ",p=%s", proof64);
    hmac(s->salted, "Server Key", client);
    hmac(client, s->auth_message, signature);
    EVP_EncodeBlock((unsigned char *)s->expected, signature, 32);
}

static const char *scram(struct model_world *f, struct scram *s, const char *password)
{
    memset(s, 0, sizeof *s);
    scram_first(f, s);
    scram_compute(s, password);
    client_message(&f->c, 'p', s->client_final, strlen(s->client_final));
    size_t before = f->c.s.in_bytes;
    const char *answer = client_answer(&f->c);
    if (!strncmp(answer, "R12", 3)) snprintf(s->got, 45, "%s", (const char *)f->c.s.in + before + 11);
    return answer;
}

static void test_scram(void **state)
{
    (void)state;
    struct scram s;
    struct model_world *f = model_world_open(
        (struct model_config){ .auth = MODEL_SCRAM, .password = "secret", .scram_iterations = 17 }, plain);
    assert_string_equal(scram(f, &s, "secret"), "R12 R0 K Z:I");
    assert_non_null(strstr(s.server_first, ",i=17"));
    assert_string_equal(s.got, s.expected);
    client_close(&f->c);
    assert_string_equal(scram(f, &s, "wrong"), "E:28P01 EOF");
    client_close(&f->c);
    model_settings(f->server)->fault = MODEL_SCRAM_BAD_SIGNATURE;
    assert_string_equal(scram(f, &s, "secret"), "R12 R0 K Z:I");
    assert_string_not_equal(s.got, s.expected);
    client_close(&f->c);
    model_settings(f->server)->fault = MODEL_SCRAM_NO_FINAL;
    assert_string_equal(scram(f, &s, "secret"), "R0 K Z:I");
    client_close(&f->c);
    model_settings(f->server)->fault = MODEL_SCRAM_FOREIGN_NONCE;
    scram_first(f, &s);
    assert_null(strstr(s.server_first, "clientnonce"));
    client_close(&f->c);
    model_settings(f->server)->fault = MODEL_SCRAM_HUGE_COUNT;
    scram_first(f, &s);
    assert_non_null(strstr(s.server_first, ",i=999999999"));
    model_world_end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_startup),
        cmocka_unit_test(test_startup_of_other_kinds), cmocka_unit_test(test_protocol_3_2),
        cmocka_unit_test(test_nobody_and_the_wrong_user),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_startup_in_pieces),
        cmocka_unit_test(test_cleartext),
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_scram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

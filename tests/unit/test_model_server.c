/* test_model_server.c - the model server, spoken to with bytes put together by hand: what PostgreSQL 15 answers to these is what
 * stands here. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "support/fake_clock_host.h"
#include "support/model_client.h"
#include "support/model_private.h"

#define MS UINT64_C(1000000)
enum { INT8 = 20, TEXT = 25 };

struct fixture {
    struct sim *sim;
    struct model_server *server;
    struct model_client c, d;
};

static struct fixture *open_with(struct model_config config, struct sim_config sim)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    if (!sim.seed) sim.seed = 1;
    config.sim = f->sim = sim_open(&sim);
    f->server = model_server_open(&config);
    return f;
}

static void close_world(struct fixture *f)
{
    sim_settle(f->sim);
    model_server_close(f->server);
    sim_close(f->sim);
    free(f);
}

static void close_all(struct fixture *f)
{
    client_close(&f->c);
    close_world(f);
}

static void greet(struct fixture *f, struct model_client *c)
{
    client_open(c, f->sim);
    client_startup(c, "app", "unit");
    assert_string_equal(client_answer(c), "R0 K Z:I");
}

static struct fixture *connected(struct model_config config)
{
    struct fixture *f = open_with(config, (struct sim_config){ .seed = 1 });
    greet(f, &f->c);
    return f;
}

static const char *asked(struct model_client *c, const char *sql)
{
    client_query(c, sql);
    return client_answer(c);
}

/* ---- startup ---- */
static void test_startup(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .user = "app" });
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
    close_all(f);
}

static void test_startup_of_other_kinds(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct model_config){ .auth = MODEL_TRUST }, (struct sim_config){ .seed = 1 });
    client_open(&f->c, f->sim);
    client_startup_code(&f->c, 80877103, NULL, 0);
    client_answer(&f->c);
    assert_int_equal(f->c.s.in_bytes, 1);
    assert_int_equal(f->c.s.in[0], 'N');
    f->c.shown = 1;
    client_startup_code(&f->c, 3 << 16 | 2, "user\0app\0", 10);
    assert_string_equal(client_answer(&f->c), "v R0 K Z:I");
    close_all(f);
}

static void test_nobody_and_the_wrong_user(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct model_config){ .user = "app" }, (struct sim_config){ .seed = 1 });
    client_open(&f->c, f->sim);
    client_startup(&f->c, "", NULL);
    assert_string_equal(client_answer(&f->c), "E:28000 EOF");
    client_close(&f->c);
    client_open(&f->c, f->sim);
    client_startup(&f->c, "other", NULL);
    assert_string_equal(client_answer(&f->c), "E:28000 EOF");
    close_all(f);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct { const char *sqlstate, *answer; } cases[] = {
        { "53300", "E:53300 EOF" }, { "57P03", "E:57P03 EOF" }, { "3D000", "R0 E:3D000 EOF" },
    };
    struct fixture *f = open_with((struct model_config){ .auth = MODEL_TRUST }, (struct sim_config){ .seed = 1 });
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model_server_refuse(f->server, cases[i].sqlstate);
        client_open(&f->c, f->sim);
        client_startup(&f->c, "app", NULL);
        assert_string_equal(client_answer(&f->c), cases[i].answer);
        client_close(&f->c);
    }
    model_server_refuse(f->server, NULL);
    greet(f, &f->c);
    assert_int_equal(model_stats(f->server)->connections_now, 1);
    close_all(f);
}

static void test_max_connections(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .max_connections = 1, .exit_delay_ns = 5 * MS });
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
    greet(f, &f->c);
    assert_int_equal(model_stats(f->server)->connections_max, 1);
    close_all(f);
}

static void test_startup_in_pieces(void **state)
{
    (void)state;
    struct fixture *f = open_with((struct model_config){ .startup_delay_ns = 3 * MS },
                                  (struct sim_config){ .short_send = 900, .latency_max_ns = MS, .seed = 7 });
    uint64_t start = sim_now(f->sim);
    greet(f, &f->c);
    assert_true(sim_now(f->sim) - start >= 3 * MS);
    assert_true(sim_counters(f->sim)->short_sends > 1);
    assert_string_equal(asked(&f->c, "ECHO piece"), "T[echo:25:0] D[5:piece] C:SELECT 1 Z:I");
    close_all(f);
}

/* ---- authentication ---- */
static const char *cleartext(struct fixture *f, const char *user, const char *password)
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
    struct fixture *f = open_with((struct model_config){ .auth = MODEL_CLEARTEXT, .user = "app", .password = "secret" },
                                  (struct sim_config){ .seed = 1 });
    assert_string_equal(cleartext(f, "app", "wrong"), "E:28P01 EOF");
    client_close(&f->c);
    assert_string_equal(cleartext(f, "other", "secret"), "E:28P01 EOF");
    client_close(&f->c);
    assert_string_equal(cleartext(f, "app", "secret"), "R0 K Z:I");
    assert_int_equal(model_stats(f->server)->auth_failures, 2);
    close_all(f);
}

static void md5_hex(const void *at, size_t n, char out[33])
{
    uint8_t digest[16];
    assert_int_equal(EVP_Digest(at, n, digest, NULL, EVP_md5(), NULL), 1);
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static const char *md5(struct fixture *f, const char *password)
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
    struct fixture *f = open_with((struct model_config){ .auth = MODEL_MD5, .user = "app", .password = "secret" },
                                  (struct sim_config){ .seed = 1 });
    assert_string_equal(md5(f, "wrong"), "E:28P01 EOF");
    client_close(&f->c);
    assert_string_equal(md5(f, "secret"), "R0 K Z:I");
    close_all(f);
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

static void scram_first(struct fixture *f, struct scram *s)
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

static const char *scram(struct fixture *f, struct scram *s, const char *password)
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
    struct fixture *f = open_with((struct model_config){ .auth = MODEL_SCRAM, .password = "secret", .scram_iterations = 17 },
                                  (struct sim_config){ .seed = 1 });
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
    close_all(f);
}

/* ---- simple queries ---- */
static void test_simple_query(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    assert_string_equal(asked(&f->c, "ECHO hello"), "T[echo:25:0] D[5:hello] C:SELECT 1 Z:I");
    assert_string_equal(asked(&f->c, " ; "), "I Z:I");
    assert_string_equal(asked(&f->c, "select 1; INSERT x"), "C:SELECT 0 C:INSERT 0 1 Z:I");
    assert_string_equal(asked(&f->c, "FAIL 22012"), "E:22012 Z:I");
    assert_string_equal(asked(&f->c, "SYNTAX error"), "E:42601 Z:I");
    assert_string_equal(asked(&f->c, "SET x = ';'"), "C:SET Z:I");
    struct model_conn *conn = model_conn_at(f->server, 0);
    assert_int_equal(model_conn_sql_count(conn), 5); /* the syntax error was never executed */
    assert_string_equal(model_conn_sql(conn, 2), "INSERT x");
    assert_string_equal(model_conn_sql(conn, 4), "SET x = ';'");
    close_all(f);
}

static void accounted(struct fixture *f, uint64_t committed, uint64_t rolled_back)
{
    assert_int_equal(model_stats(f->server)->inserts_committed, committed);
    assert_int_equal(model_stats(f->server)->inserts_rolled_back, rolled_back);
}

static void test_transactions(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    assert_string_equal(asked(c, "INSERT"), "C:INSERT 0 1 Z:I");
    accounted(f, 1, 0);
    assert_string_equal(asked(c, "begin"), "C:BEGIN Z:T");
    assert_string_equal(asked(c, "BEGIN"), "N:25001 C:BEGIN Z:T");
    assert_string_equal(asked(c, "INSERT"), "C:INSERT 0 1 Z:T");
    accounted(f, 1, 0);
    assert_string_equal(asked(c, "COMMIT"), "C:COMMIT Z:I");
    accounted(f, 2, 0);
    assert_string_equal(asked(c, "COMMIT"), "N:25P01 C:COMMIT Z:I");
    assert_string_equal(asked(c, "START TRANSACTION; INSERT; FAIL 23505; INSERT"), "C:START TRANSACTION C:INSERT 0 1 E:23505 Z:E");
    accounted(f, 2, 1);
    assert_string_equal(asked(c, "INSERT"), "E:25P02 Z:E");
    assert_string_equal(asked(c, "COMMIT"), "C:ROLLBACK Z:I");
    assert_string_equal(asked(c, "BEGIN; INSERT; INSERT; /* all */ ROLLBACK"),
                        "C:BEGIN C:INSERT 0 1 C:INSERT 0 1 C:ROLLBACK Z:I");
    accounted(f, 2, 3);
    assert_string_equal(asked(c, "INSERT; FAIL 23505"), "C:INSERT 0 1 E:23505 Z:I"); /* one implicit transaction */
    accounted(f, 2, 4);
    assert_string_equal(asked(c, "DEFERRED"), "E:23503 Z:I");
    assert_string_equal(asked(c, "BEGIN; DEFERRED"), "C:BEGIN C:INSERT 0 1 Z:T");
    assert_string_equal(asked(c, "COMMIT"), "E:23503 Z:I");
    accounted(f, 2, 6);
    assert_string_equal(asked(c, "BEGIN; INSERT"), "C:BEGIN C:INSERT 0 1 Z:T");
    client_close(c); /* dies in its transaction */
    sim_settle(f->sim);
    accounted(f, 2, 7);
    assert_int_equal(model_stats(f->server)->eofs, 1);
    close_world(f);
}

/* ---- extended queries ---- */
static const uint32_t int8_type[] = { INT8 };

static void test_extended_query(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    client_parse(c, "s", "ECHO $1", 1, int8_type);
    client_describe(c, 'S', "s");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 t[20] T[echo:20:0] Z:I");
    client_bind_int8(c, "s", -42);
    client_describe(c, 'P', "");
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "2 T[echo:20:1] D[xffffffffffffffd6] C:SELECT 1 Z:I");
    client_bind(c, "", "s", 1, (const char *[]){ "-42" });
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "2 D[3:-42] C:SELECT 1 Z:I");
    client_parse(c, "", "ECHO $1", 0, NULL);
    client_bind(c, "p", "", 1, (const char *[]){ NULL });
    client_execute(c, "p");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 D[-] C:SELECT 1 Z:I");
    client_parse(c, "", "", 0, NULL);
    client_bind(c, "", "", 0, NULL);
    client_describe(c, 'P', "");
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 n I Z:I");
    const struct model_stats *stats = model_stats(f->server);
    assert_int_equal(stats->parses, 3);
    assert_int_equal(stats->binds, 4);
    assert_int_equal(stats->executes, 4);
    assert_int_equal(stats->syncs, 5);
    assert_int_equal(stats->statements, 3);
    close_all(f);
}

static void test_statements_and_portals(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    const char *const one[] = { "x" };
    client_parse(c, "s", "ECHO $1", 0, NULL);
    client_sync(c);
    client_parse(c, "s", "ECHO $1", 0, NULL);
    client_sync(c);
    client_bind(c, "", "t", 0, NULL);
    client_sync(c);
    client_bind(c, "", "s", 0, NULL); /* too few */
    client_sync(c);
    client_execute(c, "none");
    client_sync(c);
    client_bind(c, "", "s", 1, one);
    client_execute(c, "");
    client_execute(c, "");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 Z:I E:42P05 Z:I E:26000 Z:I E:08P01 Z:I E:34000 Z:I 2 D[1:x] C:SELECT 1 E:55000 Z:I");
    client_bind(c, "", "s", 1, one);
    client_sync(c);
    client_execute(c, ""); /* portals end with their transaction */
    client_sync(c);
    assert_string_equal(client_answer(c), "2 Z:I E:34000 Z:I");
    assert_int_equal(model_conn_statements(model_conn_at(f->server, 0)), 1);
    client_close_named(c, 'S', "s");
    client_close_named(c, 'S', "never");
    client_sync(c);
    assert_string_equal(client_answer(c), "3 3 Z:I");
    assert_int_equal(model_conn_statements(model_conn_at(f->server, 0)), 0);
    client_parse(c, "s", "ECHO $1", 0, NULL);
    client_sync(c);
    client_query(c, "DISCARD ALL");
    client_describe(c, 'S', "s");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 Z:I C:DISCARD ALL Z:I E:26000 Z:I");
    close_all(f);
}

static void test_wrong_values(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    client_parse(c, "s", "ECHO $1", 1, int8_type);
    client_bind(c, "", "s", 1, (const char *[]){ "12x" });
    client_sync(c);
    assert_string_equal(client_answer(c), "1 E:22P02 Z:I");
    size_t begun = model_put_begin(&c->out, 'B'); /* four binary bytes for an int8 */
    sim_bytes_put(&c->out, "\0s\0\0\1\0\1\0\1\0\0\0\4abcd\0\0", 19);
    model_put_end(&c->out, begun);
    client_sync(c);
    assert_string_equal(client_answer(c), "E:22P03 Z:I");
    close_all(f);
}

static void execute(struct model_client *c, const char *sql)
{
    client_parse(c, "", sql, 0, NULL);
    client_bind(c, "", "", 0, NULL);
    client_execute(c, "");
}

static void test_errors_skip_to_sync(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    execute(c, "INSERT");
    execute(c, "FAIL 23505");
    execute(c, "INSERT");
    client_query(c, "INSERT");
    client_sync(c);
    execute(c, "INSERT");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 1 2 E:23505 Z:I 1 2 C:INSERT 0 1 Z:I");
    accounted(f, 1, 1);
    execute(c, "INSERT");
    execute(c, "DEFERRED");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 1 2 C:INSERT 0 1 E:23503 Z:I");
    accounted(f, 1, 3);
    execute(c, "INSERT"); /* joins the block that follows */
    execute(c, "BEGIN");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 1 2 C:BEGIN Z:T");
    accounted(f, 1, 3);
    execute(c, "FAIL 40001");
    client_sync(c);
    execute(c, "INSERT");
    client_sync(c);
    execute(c, "COMMIT");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 E:40001 Z:E E:25P02 Z:E 1 2 C:ROLLBACK Z:I");
    accounted(f, 1, 4);
    execute(c, "BEGIN");
    execute(c, "DEFERRED");
    execute(c, "COMMIT");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:BEGIN 1 2 C:INSERT 0 1 1 2 E:23503 Z:I");
    close_all(f);
}

static void test_output_waits_for_flush_or_sync(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    execute(&f->c, "INSERT");
    assert_string_equal(client_answer(&f->c), "");
    client_flush(&f->c);
    assert_string_equal(client_answer(&f->c), "1 2 C:INSERT 0 1");
    accounted(f, 0, 0);
    client_sync(&f->c);
    assert_string_equal(client_answer(&f->c), "Z:I");
    accounted(f, 1, 0);
    close_all(f);
}

static void test_committed_keys(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    for (int64_t key = 1; key <= 3; key++) {
        client_parse(&f->c, "", "INSERT INTO t VALUES ($1)", 1, int8_type);
        client_bind_int8(&f->c, "", key);
        client_execute(&f->c, "");
        if (key == 2) execute(&f->c, "FAIL 22012");
        client_sync(&f->c);
    }
    client_answer(&f->c);
    size_t n;
    const int64_t *keys = model_committed(f->server, &n);
    assert_int_equal(n, 2);
    assert_int_equal(keys[0], 1);
    assert_int_equal(keys[1], 3);
    close_all(f);
}

/* ---- time, cancel, COPY ---- */
static void test_sleep_delays_what_is_behind(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    uint64_t start = sim_now(f->sim);
    client_query(&f->c, "SLEEP 250");
    client_query(&f->c, "ECHO after");
    assert_string_equal(client_answer(&f->c), "C:SELECT 0 Z:I T[echo:25:0] D[5:after] C:SELECT 1 Z:I");
    assert_int_equal(sim_now(f->sim) - start, 250 * MS);
    close_all(f);
}

static void test_cancel(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    uint64_t start = sim_now(f->sim);
    client_query(&f->c, "BEGIN; SLEEP 60000; ECHO never");
    client_send(&f->c);
    sim_step_until(f->sim, sim_now(f->sim));
    client_open(&f->d, f->sim);
    client_cancel(&f->d, f->c.pid, f->c.key + 1); /* not the key: no effect */
    client_send(&f->d);
    while (!f->d.s.ended) assert_true(sim_step(f->sim));
    assert_int_equal(model_stats(f->server)->cancels_that_hit, 0);
    client_close(&f->d);
    client_open(&f->d, f->sim);
    client_cancel(&f->d, f->c.pid, f->c.key);
    assert_string_equal(client_answer(&f->d), "EOF");
    assert_string_equal(client_transcript(&f->c), "C:BEGIN E:57014 Z:E");
    assert_int_equal(model_stats(f->server)->cancels, 2);
    assert_int_equal(model_stats(f->server)->cancels_that_hit, 1);
    assert_int_equal(model_stats(f->server)->connections_max, 1);
    assert_int_equal(model_stats(f->server)->sockets_max, 2);
    assert_true(sim_now(f->sim) - start <= 60000 * MS);
    client_close(&f->d);
    assert_string_equal(asked(&f->c, "ROLLBACK"), "C:ROLLBACK Z:I");
    close_all(f);
}

static void test_copy_in(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_client *c = &f->c;
    assert_string_equal(asked(c, "COPYIN t"), "G");
    client_message(c, 'd', "1\n2\n", 4);
    client_message(c, 'd', "3\n", 2);
    client_message(c, 'c', NULL, 0);
    assert_string_equal(client_answer(c), "C:COPY 3 Z:I");
    execute(c, "COPYIN t");
    client_sync(c); /* swallowed */
    assert_string_equal(client_answer(c), "1 2 G");
    client_message(c, 'f', "no more", 8);
    client_sync(c);
    assert_string_equal(client_answer(c), "E:57014 Z:I");
    assert_string_equal(asked(c, "COPYIN t"), "G");
    assert_string_equal(asked(c, "ECHO"), "E:08P01 Z:I");
    close_all(f);
}

/* ---- answers of the test's own ---- */
static void answer(void *arg, struct model_query *q)
{
    static const struct model_column columns[] = { { "a", INT8 }, { "b", TEXT } };
    ++*(unsigned *)arg;
    if (!strcmp(model_sql(q), "two")) {
        model_columns(q, 2, columns);
        model_notice(q, "01000", "first");
        model_row(q, 2, (struct model_cell[]){ { "1", 1 }, { NULL, -1 } });
        model_parameter_status(q, "TimeZone", "GMT");
        model_row(q, 2, (struct model_cell[]){ { "2", 1 }, { "", 0 } });
        model_complete(q, "SELECT 2");
    } else if (!strcmp(model_sql(q), "late")) {
        model_delay(q, 5 * MS); /* and the default answer */
    } else if (!strcmp(model_sql(q), "commit fails")) {
        model_error_at_commit(q, "40001", "late");
    } else if (!strcmp(model_sql(q), "drop")) {
        model_row_text(q, "last");
        model_drop(q);
    } else if (!strcmp(model_sql(q), "hangup")) {
        model_hangup(q);
    } else if (!strcmp(model_sql(q), "raw")) {
        model_raw(q, "!\0\0\0\4", 5);
        model_complete(q, "RAW");
    }
}

static void test_own_answers(void **state)
{
    (void)state;
    unsigned calls = 0;
    struct fixture *f = connected((struct model_config){ .answer = answer, .arg = &calls });
    struct model_client *c = &f->c;
    assert_string_equal(asked(c, "two"), "T[a:20:0,b:25:0] N:01000 D[1:1|-] S[TimeZone=GMT] D[1:2|0:] C:SELECT 2 Z:I");
    client_parse(c, "", "two", 0, NULL);
    client_describe(c, 'S', "");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 t[] T[a:20:0,b:25:0] Z:I");
    assert_int_equal(calls, 2);
    assert_int_equal(model_stats(f->server)->statements, 1); /* describing is not executing */
    uint64_t start = sim_now(f->sim);
    assert_string_equal(asked(c, "late"), "C:SELECT 0 Z:I");
    assert_int_equal(sim_now(f->sim) - start, 5 * MS);
    execute(c, "commit fails");
    client_sync(c);
    assert_string_equal(client_answer(c), "1 2 C:INSERT 0 1 E:40001 Z:I");
    assert_string_equal(asked(c, "raw"), "! C:RAW Z:I");
    assert_string_equal(asked(c, "ECHO default"), "T[echo:25:0] D[7:default] C:SELECT 1 Z:I");
    assert_string_equal(asked(c, "drop"), "D[4:last] RST");
    assert_int_equal(model_stats(f->server)->connections_now, 0);
    client_close(c);
    greet(f, c);
    assert_string_equal(asked(c, "hangup"), "EOF");
    close_all(f);
}

/* ---- from outside ---- */
static void test_unasked_messages(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    struct model_conn *conn = model_conn_at(f->server, 0);
    model_conn_notify(conn, "news", "here");
    model_conn_notice(conn, "01000", "hello");
    model_conn_parameter_status(conn, "in_hot_standby", "on");
    assert_string_equal(client_answer(&f->c), "A[news:here] N:01000 S[in_hot_standby=on]");
    model_conn_end(conn, MODEL_END_FATAL, "57P01");
    assert_string_equal(client_answer(&f->c), "E:57P01 EOF");
    close_all(f);
}

static void test_restart(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    greet(f, &f->d);
    assert_string_equal(asked(&f->d, "BEGIN; INSERT"), "C:BEGIN C:INSERT 0 1 Z:T");
    model_server_restart(f->server, MODEL_END_RESET, 10 * MS);
    while (sim_step_until(f->sim, sim_now(f->sim))) {}
    assert_string_equal(client_transcript(&f->c), "RST");
    assert_string_equal(client_transcript(&f->d), "RST");
    accounted(f, 0, 1);
    assert_int_equal(model_stats(f->server)->connections_now, 0);
    client_close(&f->c);
    client_close(&f->d);
    struct sim_socket refused;
    assert_int_equal(sim_socket_open(&refused, f->sim, AF_INET), 0);
    assert_int_equal(sim_socket_receive(&refused), 0);
    while (!refused.recvs.count) assert_true(sim_step(f->sim));
    assert_int_equal(refused.recvs.result[0], -ECONNREFUSED);
    sim_socket_close(&refused);
    uint64_t start = sim_now(f->sim);
    while (sim_step_until(f->sim, start + 11 * MS)) {}
    client_open(&f->c, f->sim);
    client_startup(&f->c, "app", NULL);
    client_send(&f->c);
    while (sim_step_until(f->sim, start + 12 * MS)) {}
    assert_string_equal(client_transcript(&f->c), "E:57P03 EOF");
    client_close(&f->c);
    while (sim_step_until(f->sim, start + 30 * MS)) {}
    greet(f, &f->c);
    close_all(f);
}

/* A client that does not read is not read from either. */
static void test_unread_limit(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .unread_limit = 1000 });
    enum { QUERIES = 200 };
    f->c.s.once = true; /* the receive in flight will be the last */
    for (int i = 0; i < QUERIES; i++) client_query(&f->c, "ECHO 0123456789012345678901234567890123456789");
    client_send(&f->c);
    while (sim_step_until(f->sim, sim_now(f->sim))) {}
    uint64_t executed = model_stats(f->server)->simple_queries;
    assert_true(executed > 0 && executed < QUERIES);
    f->c.s.once = false;
    if (!f->c.s.receiving) assert_int_equal(sim_socket_receive(&f->c.s), 0);
    sim_settle(f->sim);
    assert_int_equal(model_stats(f->server)->simple_queries, QUERIES);
    close_all(f);
}

/* ---- malformed messages ---- */
static void complain(void *arg, const char *what)
{
    snprintf(arg, 128, "%s", what);
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct { char type; const char *bytes; size_t n; const char *complaint; } cases[] = {
        { 'Q', "no end", 6, "Query: a string without its end" },
        { 'Q', "x\0y", 3, "Query: bytes behind its end" },
        { 'S', "x", 1, "Sync: bytes behind its end" },
        { 'P', "s\0SELECT\0\0\2\0\0\0\0", 14, "Parse: too short" },
        { 'B', "\0\0\0\1\0\2", 6, "Bind: a format code that is neither 0 nor 1" },
        { 'B', "\0\0\0\0\0\1\xff\xff\xff\xfe\0\0", 12, "Bind: a value's length below -1" },
        { 'B', "\0\0\0\0\0\1\0\0\0\x9", 10, "Bind: too short" },
        { 'B', "\0\0\0\2\0\0\0\0\0\1\0\0\0\0\0\0", 16, "Bind: format codes and parameters differ in number" },
        { 'D', "Xs\0", 3, "Describe: neither a statement nor a portal" },
        { 'C', "S", 1, "Close: a string without its end" },
        { 'E', "\0\0\0\0", 4, "Execute: too short" },
        { '?', "", 0, "message type: unknown" },
    };
    char complaint[128];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture *f = connected((struct model_config){ .malformed = complain, .malformed_arg = complaint });
        complaint[0] = 0;
        client_message(&f->c, cases[i].type, cases[i].bytes, cases[i].n);
        client_sync(&f->c);
        assert_string_equal(client_answer(&f->c), "RST");
        assert_string_equal(complaint, cases[i].complaint);
        close_all(f);
    }
}

static void send_malformed(void *arg)
{
    struct fixture *f = arg;
    client_message(&f->c, 'S', "x", 1);
    client_answer(&f->c);
}

static void test_malformed_ends_the_program(void **state)
{
    (void)state;
    struct fixture *f = connected((struct model_config){ .auth = MODEL_TRUST });
    assert_int_equal(signal_of(send_malformed, f), SIGABRT);
    close_all(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_startup),
        cmocka_unit_test(test_startup_of_other_kinds),
        cmocka_unit_test(test_nobody_and_the_wrong_user),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_startup_in_pieces),
        cmocka_unit_test(test_cleartext),
        cmocka_unit_test(test_md5),
        cmocka_unit_test(test_scram),
        cmocka_unit_test(test_simple_query),
        cmocka_unit_test(test_transactions),
        cmocka_unit_test(test_extended_query),
        cmocka_unit_test(test_statements_and_portals),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_errors_skip_to_sync),
        cmocka_unit_test(test_output_waits_for_flush_or_sync),
        cmocka_unit_test(test_committed_keys),
        cmocka_unit_test(test_sleep_delays_what_is_behind),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_copy_in),
        cmocka_unit_test(test_own_answers),
        cmocka_unit_test(test_unasked_messages),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_unread_limit),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_malformed_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

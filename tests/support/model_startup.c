/* support/model_startup.c - the model server up to the first ReadyForQuery: startup packets of every kind, the four
 * ways of authentication. The server's half of SCRAM-SHA-256 (RFC 5802, RFC 7677) is computed with OpenSSL and shares
 * nothing with the code under test. */
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/model_private.h"

enum { CODE_SSL = 80877103, CODE_GSS = 80877104, CODE_CANCEL = 80877102, KEY = 32 };
enum { AUTH_OK = 0, AUTH_CLEARTEXT = 3, AUTH_MD5 = 5, AUTH_SASL = 10, AUTH_SASL_CONTINUE = 11, AUTH_SASL_FINAL = 12 };

static const uint8_t scram_salt[16] = "ringpg-model-slt";

struct model_scram {
    char first_bare[512], server_first[768], nonce[256];
    const char *binding; /* base64 of the client's GS2 header */
};

void model_scram_free(struct model_conn *conn)
{
    free(conn->scram);
    conn->scram = NULL;
}

static void put_auth(struct model_conn *conn, uint32_t code, const void *at, size_t n)
{
    size_t begun = model_put_begin(&conn->output, 'R');
    model_put_u32(&conn->output, code);
    sim_bytes_put(&conn->output, at, n);
    model_put_end(&conn->output, begun);
}

/* ---- after authentication ---- */
static void put_key(struct model_conn *conn)
{
    const struct model_config *config = &conn->server->config;
    struct model_key *key = &conn->key;
    if (conn->speaks_3_2) key->size = config->key_size ? config->key_size : 32;
    for (size_t i = sizeof(uint32_t); i < key->size; i++) key->at[i] = (uint8_t)sim_random(config->sim, 256);
    size_t begun = model_put_begin(&conn->output, 'K');
    model_put_u32(&conn->output, conn->pid);
    sim_bytes_put(&conn->output, key->at, key->size);
    model_put_end(&conn->output, begun);
}

static void welcome(struct model_conn *conn)
{
    const char *name = model_conn_parameter(conn, "application_name");
    const char *user = model_conn_parameter(conn, "user");
    const struct model_config *config = &conn->server->config;
    const struct { const char *name, *value; } set[] = {
        { "application_name", name ? name : "" }, { "client_encoding", "UTF8" }, { "DateStyle", "ISO, MDY" },
        { "integer_datetimes", "on" },
        { "IntervalStyle", "postgres" }, { "is_superuser", "off" }, { "server_encoding", "UTF8" },
        { "server_version", config->version_13 ? "13.0" : "15.0" }, { "session_authorization", user ? user : "" },
        { "standard_conforming_strings", "on" }, { "TimeZone", "UTC" },
        { "in_hot_standby", config->role == MODEL_STANDBY ? "on" : "off" },
        { "default_transaction_read_only", config->role == MODEL_READ_ONLY ? "on" : "off" },
    };
    size_t n = sizeof set / sizeof *set - (config->version_13 ? 2 : 0);
    put_auth(conn, AUTH_OK, NULL, 0);
    if (conn->server->refuse[0]) {
        model_fatal(conn, conn->server->refuse, "refused by the model");
        return;
    }
    for (size_t i = 0; i < n; i++) model_put_status(&conn->output, set[i].name, set[i].value);
    if (!config->no_key) put_key(conn);
    conn->phase = PHASE_READY;
    model_ready(conn);
}

static void wrong_password(struct model_conn *conn)
{
    char text[160];
    conn->server->whole->stats.auth_failures++;
    snprintf(text, sizeof text, "password authentication failed for user \"%.64s\"",
             model_conn_parameter(conn, "user"));
    model_fatal(conn, "28P01", text);
}

static void ask_password(struct model_conn *conn)
{
    struct model_server *server = conn->server;
    if (server->config.fault == MODEL_NO_AUTH_ANSWER) {
        conn->phase = PHASE_PASSWORD;
        return;
    }
    switch (server->config.auth) {
    case MODEL_TRUST:
        welcome(conn);
        return;
    case MODEL_CLEARTEXT:
        put_auth(conn, AUTH_CLEARTEXT, NULL, 0);
        conn->phase = PHASE_PASSWORD;
        break;
    case MODEL_MD5:
        for (int i = 0; i < 4; i++) conn->md5_salt[i] = (uint8_t)sim_random(server->config.sim, 256);
        put_auth(conn, AUTH_MD5, conn->md5_salt, 4);
        conn->phase = PHASE_PASSWORD;
        break;
    case MODEL_SCRAM:
        put_auth(conn, AUTH_SASL, "SCRAM-SHA-256\0", 15);
        conn->phase = PHASE_SASL_FIRST;
        break;
    }
    model_flush(conn);
}

/* ---- the startup packet ---- */
static bool refused_early(struct model_conn *conn)
{
    struct model_server *server = conn->server;
    uint32_t limit = server->config.max_connections ? server->config.max_connections : 100;
    const char *refuse = server->refuse;
    if (refuse[0] && (!strncmp(refuse, "53", 2) || !strncmp(refuse, "57", 2))) {
        server->whole->stats.refused++;
        model_fatal(conn, refuse, "the database system is starting up");
        return true;
    }
    if (server->whole->stats.connections_now >= limit) {
        server->whole->stats.refused++;
        model_fatal(conn, "53300", "sorry, too many clients already");
        return true;
    }
    return false;
}

static void negotiate(struct model_conn *conn, size_t options)
{
    size_t begun = model_put_begin(&conn->output, 'v');
    model_put_u32(&conn->output, 3 << 16 | (conn->speaks_3_2 ? 2 : 0)); /* the newest that both speak */
    model_put_u32(&conn->output, (uint32_t)options);
    const char *at = (const char *)conn->startup.at, *end = at + conn->startup.size;
    while (at < end) {
        if (!strncmp(at, "_pq_.", 5)) model_put_string(&conn->output, at);
        at += strlen(at) + 1;
        at += strlen(at) + 1;
    }
    model_put_end(&conn->output, begun);
}

static void start(struct model_conn *conn)
{
    struct model_server *server = conn->server;
    const char *user = model_conn_parameter(conn, "user");
    server->whole->stats.connections_total++;
    if (refused_early(conn)) return;
    conn->backend = true;
    if (++server->whole->stats.connections_now > server->whole->stats.connections_max)
        server->whole->stats.connections_max = server->whole->stats.connections_now;
    if (server->config.auth == MODEL_TRUST && server->config.user && strcmp(user, server->config.user)) {
        model_fatal(conn, "28000", "role does not exist");
        return;
    }
    ask_password(conn);
}

static void session_startup(struct model_conn *conn, struct model_reader *r, unsigned minor)
{
    size_t options = 0;
    while (r->left > 1) {
        const char *name = model_read_string(r), *value = model_read_string(r);
        if (!name[0]) model_malformed(conn, "StartupMessage", "a parameter without a name");
        if (conn->phase == PHASE_GONE) return;
        if (model_conn_parameter(conn, name)) model_malformed(conn, "StartupMessage", "a parameter twice");
        options += !strncmp(name, "_pq_.", 5);
        model_put_string(&conn->startup, name);
        model_put_string(&conn->startup, value);
    }
    if (model_read_u8(r) != 0) model_malformed(conn, "StartupMessage", "no NUL at its end");
    if (conn->phase == PHASE_GONE) return;
    const char *user = model_conn_parameter(conn, "user");
    if (!user || !user[0]) {
        model_fatal(conn, "28000", "no PostgreSQL user name specified in startup packet");
        return;
    }
    conn->speaks_3_2 = minor >= 2 && conn->server->config.speaks_3_2;
    if (minor != (conn->speaks_3_2 ? 2 : 0) || options) negotiate(conn, options);
    conn->phase = PHASE_PASSWORD; /* until the delay is over nothing is read */
    if (conn->server->config.startup_delay_ns) model_pause_for(conn, conn->server->config.startup_delay_ns, start);
    else start(conn);
}

/* First the signal, then the end of the socket: so whoever sees the end knows that the signal came before. */
static void cancel(struct model_conn *conn)
{
    const struct model_config *config = &conn->server->config;
    if (!sim_chance(config->sim, config->cancel_lost)) model_cancel(conn->server, conn->target_pid, &conn->target_key);
    if (!sim_chance(config->sim, config->cancel_mute)) model_close(conn, false);
}

void model_startup_message(struct model_conn *conn, const uint8_t *at, size_t n)
{
    struct model_reader r = { .conn = conn, .at = at, .left = n, .message = "startup packet" };
    uint32_t code = model_read_u32(&r);
    if (code == CODE_SSL || code == CODE_GSS) {
        model_read_end(&r);
        bool agrees = code == CODE_SSL && !conn->toy && conn->server->config.toy == MODEL_TOY_ASKED;
        model_conn_send(conn, agrees ? "S" : "N", 1);
        if (agrees) model_toy_open(conn);
    } else if (code == CODE_CANCEL) {
        conn->target_pid = model_read_u32(&r);
        struct model_key *key = &conn->target_key;
        key->size = r.left;
        if (key->size < 4 || key->size > sizeof key->at) model_malformed(conn, "CancelRequest", "a key of that length");
        if (conn->phase == PHASE_GONE) return;
        memcpy(key->at, model_read_bytes(&r, key->size), key->size);
        conn->server->whole->stats.cancels++;
        if (conn->server->config.cancel_delay_ns) model_pause_for(conn, conn->server->config.cancel_delay_ns, cancel);
        else cancel(conn);
    } else if (code >> 16 == 3) {
        session_startup(conn, &r, code & 0xffff);
    } else {
        model_malformed(conn, "startup packet", "an unknown protocol version");
    }
}

/* ---- MD5 ---- */
static void md5_hex(const void *at, size_t n, const void *more, size_t more_n, char out[33])
{
    uint8_t digest[16];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || !EVP_DigestInit_ex(ctx, EVP_md5(), NULL) || !EVP_DigestUpdate(ctx, at, n) ||
        !EVP_DigestUpdate(ctx, more, more_n) || !EVP_DigestFinal_ex(ctx, digest, NULL))
        sim_fail("MD5 is not to be had");
    EVP_MD_CTX_free(ctx);
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static bool password_is_right(struct model_conn *conn, const char *given)
{
    const struct model_config *config = &conn->server->config;
    const char *password = config->password ? config->password : "", *user = model_conn_parameter(conn, "user");
    char inner[33], outer[33], expected[36];
    if (config->user && strcmp(user, config->user)) return false;
    if (config->auth != MODEL_MD5) return !strcmp(given, password);
    md5_hex(password, strlen(password), user, strlen(user), inner);
    md5_hex(inner, 32, conn->md5_salt, 4, outer);
    snprintf(expected, sizeof expected, "md5%s", outer);
    return !strcmp(given, expected);
}

/* ---- SCRAM-SHA-256 ---- */
static void hmac(const uint8_t key[KEY], const void *at, size_t n, uint8_t out[KEY])
{
    unsigned size = KEY;
    if (!HMAC(EVP_sha256(), key, KEY, at, n, out, &size)) sim_fail("HMAC is not to be had");
}

/* What RFC 5802 derives from a password. The salt is the same everywhere, so that few are ever derived: 3,000
 * iterations cost as much as a hundred events. */
struct keys {
    char password[128];
    uint32_t iterations;
    uint8_t client[KEY], server[KEY], stored[KEY];
};

static const struct keys *keys_of(const char *password, uint32_t iterations)
{
    enum { KEPT = 4 };
    static _Thread_local struct keys kept[KEPT];
    static _Thread_local unsigned next;
    uint8_t salted[KEY];
    for (unsigned i = 0; i < KEPT; i++)
        if (kept[i].iterations == iterations && !strcmp(kept[i].password, password)) return &kept[i];
    struct keys *k = &kept[next++ % KEPT];
    snprintf(k->password, sizeof k->password, "%s", password);
    k->iterations = iterations;
    if (!PKCS5_PBKDF2_HMAC(password, (int)strlen(password), scram_salt, sizeof scram_salt, (int)iterations,
                           EVP_sha256(), KEY, salted))
        sim_fail("PBKDF2 is not to be had");
    hmac(salted, "Client Key", 10, k->client);
    hmac(salted, "Server Key", 10, k->server);
    if (!EVP_Digest(k->client, KEY, k->stored, NULL, EVP_sha256(), NULL)) sim_fail("SHA-256 is not to be had");
    return k;
}

static uint32_t iterations_of(const struct model_server *server)
{
    return server->config.scram_iterations ? server->config.scram_iterations : 4096;
}

static void server_first(struct model_conn *conn, const char *client_nonce)
{
    struct model_scram *scram = conn->scram;
    enum model_fault fault = conn->server->config.fault;
    char salt[32];
    EVP_EncodeBlock((unsigned char *)salt, scram_salt, sizeof scram_salt);
    if (fault == MODEL_SCRAM_FOREIGN_NONCE) client_nonce = "foreign";
    snprintf(scram->nonce, sizeof scram->nonce, "%.160s%016llx", client_nonce,
             (unsigned long long)sim_random(conn->server->config.sim, UINT64_MAX));
    snprintf(scram->server_first, sizeof scram->server_first, "r=%s,s=%s,i=%u", scram->nonce, salt,
             fault == MODEL_SCRAM_HUGE_COUNT ? 999999999 : iterations_of(conn->server));
    put_auth(conn, AUTH_SASL_CONTINUE, scram->server_first, strlen(scram->server_first));
    conn->phase = PHASE_SASL_FINAL;
    model_flush(conn);
}

static void sasl_first(struct model_conn *conn, struct model_reader *r)
{
    const char *mechanism = model_read_string(r);
    uint32_t size = model_read_u32(r);
    char text[512];
    if (conn->phase == PHASE_GONE) return;
    if (strcmp(mechanism, "SCRAM-SHA-256")) {
        model_fatal(conn, "08P01", "client selected an invalid SASL authentication mechanism");
        return;
    }
    const uint8_t *at = model_read_bytes(r, size);
    model_read_end(r);
    if (conn->phase == PHASE_GONE) return;
    snprintf(text, sizeof text, "%.*s", (int)size, (const char *)at);
    char *nonce = strstr(text, ",r=");
    if ((strncmp(text, "n,,n=", 5) && strncmp(text, "y,,n=", 5)) || !nonce || strlen(text) != size || !nonce[3]) {
        model_malformed(conn, "client-first", "not of SCRAM's form");
        return;
    }
    if (!(conn->scram = calloc(1, sizeof *conn->scram))) sim_fail("out of memory");
    snprintf(conn->scram->first_bare, sizeof conn->scram->first_bare, "%s", text + 3);
    conn->scram->binding = text[0] == 'n' ? "biws" : "eSws";
    server_first(conn, nonce + 3);
}

static bool proof_is_right(struct model_conn *conn, const char *without_proof, const char *proof, char signature[64])
{
    struct model_scram *scram = conn->scram;
    const char *password = conn->server->config.password ? conn->server->config.password : "";
    const struct keys *k = keys_of(password, iterations_of(conn->server));
    uint8_t client_signature[KEY], server_signature[KEY], given[64];
    char message[2048];
    int n = snprintf(message, sizeof message, "%s,%s,%s", scram->first_bare, scram->server_first, without_proof);
    hmac(k->stored, message, (size_t)n, client_signature);
    hmac(k->server, message, (size_t)n, server_signature);
    EVP_EncodeBlock((unsigned char *)signature, server_signature, KEY);
    if (strlen(proof) != 44 || EVP_DecodeBlock(given, (const unsigned char *)proof, 44) != 33) return false;
    for (int i = 0; i < KEY; i++) given[i] ^= client_signature[i];
    return !memcmp(given, k->client, KEY);
}

static void sasl_final(struct model_conn *conn, struct model_reader *r)
{
    char text[1024], expected[320], signature[64], final[80];
    size_t n = r->left;
    const uint8_t *at = model_read_bytes(r, n);
    snprintf(text, sizeof text, "%.*s", (int)n, (const char *)at);
    char *proof = strstr(text, ",p=");
    if (!proof || strlen(text) != n) {
        model_malformed(conn, "client-final", "not of SCRAM's form");
        return;
    }
    *proof = 0;
    snprintf(expected, sizeof expected, "c=%s,r=%s", conn->scram->binding, conn->scram->nonce);
    const char *user = conn->server->config.user;
    bool right = proof_is_right(conn, text, proof + 3, signature) && !strcmp(text, expected) &&
                 (!user || !strcmp(user, model_conn_parameter(conn, "user")));
    if (!right) {
        wrong_password(conn);
        return;
    }
    if (conn->server->config.fault == MODEL_SCRAM_BAD_SIGNATURE) signature[5] = signature[5] == 'A' ? 'B' : 'A';
    snprintf(final, sizeof final, "v=%s", signature);
    if (conn->server->config.fault != MODEL_SCRAM_NO_FINAL) put_auth(conn, AUTH_SASL_FINAL, final, strlen(final));
    welcome(conn);
}

void model_password_message(struct model_conn *conn, const uint8_t *at, size_t n)
{
    struct model_reader r = { .conn = conn, .at = at, .left = n, .message = "password message" };
    if (conn->phase == PHASE_SASL_FIRST) {
        sasl_first(conn, &r);
    } else if (conn->phase == PHASE_SASL_FINAL) {
        sasl_final(conn, &r);
    } else {
        const char *given = model_read_string(&r);
        model_read_end(&r);
        if (conn->phase == PHASE_GONE) return;
        if (conn->server->config.auth == MODEL_TRUST) model_malformed(conn, "password message", "nobody asked for it");
        else if (password_is_right(conn, given)) welcome(conn);
        else wrong_password(conn);
    }
}

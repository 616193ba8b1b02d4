/* session/startup.c - from the startup message to the first ReadyForQuery: which authentication message may come when.
 * Source: chapter "Frontend/Backend Protocol", "Start-up" and "SASL Authentication"; RFC 5802.
 *
 *      NONE -> (trust) Ok
 *      NONE -> cleartext or MD5 asked, password said -> DONE -> Ok
 *      NONE -> SASL asked, first said -> SASL_FIRST -> continue, key, final said -> SASL_FINAL -> server proved ->
 * SASL_DONE -> Ok */
#include <openssl/crypto.h>
#include "session/internal.h"
#include "wire/check.h"
#include "wire/cursor.h"
#include "wire/error.h"

enum { AUTH_OK = 0, AUTH_CLEARTEXT = 3, AUTH_MD5 = 5, AUTH_SASL = 10, AUTH_SASL_CONTINUE = 11, AUTH_SASL_FINAL = 12 };

/* ---- ParameterStatus ---- */

static const char *const kept[RP_PARAMETERS] = {
    "server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone", "standard_conforming_strings",
    "integer_datetimes", "in_hot_standby", "default_transaction_read_only", "is_superuser",
};

void rp_session_keep_parameter(struct rp_session *s, const char *name, const char *value)
{
    for (size_t i = 0; i < RP_PARAMETERS; i++) {
        if (strcmp(kept[i], name) != 0) continue;
        size_t n = strnlen(value, RP_PARAMETER_SIZE - 1);
        s->parameter_changes++;
        memcpy(s->parameter[i], value, n);
        s->parameter[i][n] = 0;
    }
}

const char *rp_session_parameter(const struct rp_session *s, const char *name)
{
    for (size_t i = 0; i < RP_PARAMETERS; i++)
        if (!strcmp(kept[i], name)) return s->parameter[i][0] ? s->parameter[i] : NULL;
    return NULL;
}

/* ---- what we say ---- */

static void say(struct rp_session *s, int what)
{
    RP_ASSERT(!s->say);
    s->say = what;
    s->said = 0;
    s->say_size = what == RP_SAY_PASSWORD     ? rp_write_password(NULL, s->say_text)
                  : what == RP_SAY_SASL_FIRST ? rp_write_sasl(NULL, "SCRAM-SHA-256", s->say_text, strlen(s->say_text))
                                              : rp_write_sasl(NULL, NULL, s->say_text, strlen(s->say_text));
}

void rp_session_wipe(struct rp_session *s)
{
    OPENSSL_cleanse(s->say_text, sizeof s->say_text);
    rp_scram_wipe(&s->scram);
}

static bool refuse(struct rp_session *s, int code, const char *text, struct rp_event *ev)
{
    *ev = rp_session_break(s, code, text);
    return true;
}

static bool need_password(struct rp_session *s, struct rp_event *ev)
{
    const char *password = s->config->password;
    if (!password)
        return !refuse(s, PG_E_CONFIG, "the server asks for a password and the connection string has none", ev);
    if (strlen(password) > RP_SCRAM_MESSAGE)
        return !refuse(s, PG_E_CONFIG, "the password is longer than 512 bytes", ev);
    return true;
}

/* ---- what the server asks ---- */

static bool plain_password(struct rp_session *s, const uint8_t *salt, struct rp_event *ev)
{
    if (!need_password(s, ev)) return true;
    if (salt) rp_md5_password(s->config->user, s->config->password, salt, s->say_text);
    else memcpy(s->say_text, s->config->password, strlen(s->config->password) + 1);
    s->auth = RP_AUTH_DONE;
    say(s, RP_SAY_PASSWORD);
    return false;
}

static bool sasl(struct rp_session *s, struct rp_cursor *c, struct rp_event *ev)
{
    bool offered = false;
    while (c->left > 1) offered |= !strcmp(rp_read_cstr(c), "SCRAM-SHA-256");
    if (c->left != 1 || *c->at) return refuse(s, PG_E_PROTOCOL, "a malformed list of SASL mechanisms", ev);
    if (!offered)
        return refuse(s, PG_E_CONFIG, "the server offers no SASL mechanism that is supported (SCRAM-SHA-256)", ev);
    if (!need_password(s, ev)) return true;
    s->auth = RP_AUTH_SASL_FIRST; /* client-first stands in say_text since the start */
    say(s, RP_SAY_SASL_FIRST);
    return false;
}

static bool sasl_continue(struct rp_session *s, const struct rp_cursor *c, struct rp_event *ev)
{
    const char *why = NULL;
    if (rp_scram_server_first(&s->scram, (const char *)c->at, c->left, s->config->scram_iterations_max, &why))
        return refuse(s, PG_E_PROTOCOL, why, ev);
    s->wait_key = true;
    *ev = (struct rp_event){ .kind = RP_EVENT_KEY };
    return true;
}

void rp_session_key(struct rp_session *s, const uint8_t salted[RP_SCRAM_KEY])
{
    RP_ASSERT(s->wait_key);
    s->wait_key = false;
    s->say_text[rp_scram_final(&s->scram, salted, s->say_text)] = 0;
    s->auth = RP_AUTH_SASL_FINAL;
    say(s, RP_SAY_SASL_FINAL);
}

static bool authentication(struct rp_session *s, struct rp_cursor *c, struct rp_event *ev)
{
    const char *why = NULL;
    uint32_t method = rp_read_u32(c);
    bool fresh = s->auth == RP_AUTH_NONE;
    if (c->bad) return refuse(s, PG_E_PROTOCOL, "a malformed authentication request", ev);
    switch (method) {
    case AUTH_OK:
        if (s->auth == RP_AUTH_SASL_FIRST || s->auth == RP_AUTH_SASL_FINAL)
            return refuse(s, PG_E_PROTOCOL,
                          "the server ended the authentication without proving that it knows the password", ev);
        if (s->say || c->left) break;
        s->phase = RP_PHASE_SETUP;
        rp_session_wipe(s);
        return false;
    case AUTH_CLEARTEXT:
        if (fresh && !c->left) return plain_password(s, NULL, ev);
        break;
    case AUTH_MD5:
        if (fresh && c->left == 4) return plain_password(s, c->at, ev);
        break;
    case AUTH_SASL:
        if (fresh) return sasl(s, c, ev);
        break;
    case AUTH_SASL_CONTINUE:
        if (s->auth == RP_AUTH_SASL_FIRST && !s->say) return sasl_continue(s, c, ev);
        break;
    case AUTH_SASL_FINAL:
        if (s->auth != RP_AUTH_SASL_FINAL || s->say) break;
        if (rp_scram_server_final(&s->scram, (const char *)c->at, c->left, &why))
            return refuse(s, PG_E_PROTOCOL, why, ev);
        s->auth = RP_AUTH_SASL_DONE;
        return false;
    default:
        rp_error_set(&s->error, PG_E_CONFIG, "the server asks for authentication method %u, which is not supported",
                     method);
        return refuse(s, PG_E_CONFIG, NULL, ev);
    }
    return refuse(s, PG_E_PROTOCOL, "an authentication message that was not due, or is malformed", ev);
}

bool rp_session_startup(struct rp_session *s, const struct rp_frame *f, struct rp_event *ev)
{
    struct rp_cursor c = { f->body, f->size, false };
    if (f->type == 'E') {
        rp_error_parse(&s->error, f->body, f->size);
        s->error.code = PG_E_SERVER;
        return refuse(s, PG_E_SERVER, NULL, ev);
    }
    if (s->phase == RP_PHASE_AUTH && f->type == 'R') return authentication(s, &c, ev);
    if (s->phase == RP_PHASE_SETUP && f->type == 'K' && f->size == 8) {
        s->backend_pid = rp_read_u32(&c);
        s->backend_key = rp_read_u32(&c);
        return false;
    }
    if (s->phase == RP_PHASE_SETUP && f->type == 'Z') {
        if (f->size != 1 || f->body[0] != 'I')
            return refuse(s, PG_E_PROTOCOL, "the first ReadyForQuery is not idle", ev);
        s->phase = RP_PHASE_READY;
        s->transaction = 'I';
        *ev = (struct rp_event){ .kind = RP_EVENT_READY };
        return true;
    }
    if (f->type == 'v')
        return refuse(s, PG_E_PROTOCOL, "the server negotiates a protocol version that was not asked for", ev);
    return refuse(s, PG_E_PROTOCOL,
                  s->phase == RP_PHASE_SETUP ? "a message that is illegal during the start"
                                             : "the answer is not PostgreSQL's protocol",
                  ev);
}

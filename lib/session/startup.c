/* session/startup.c - from the startup message to the first ReadyForQuery: which authentication message may come when.
 * Source: chapter "Frontend/Backend Protocol", "Start-up" and "SASL Authentication"; RFC 5802.
 *
 *      TLS asked for -> S: TLS, or N: without it -> the startup message, and then
 *
 *      NONE -> (trust) Ok
 *      NONE -> cleartext or MD5 asked, password said -> DONE -> Ok
 *      NONE -> SASL asked, first said -> SASL_FIRST -> continue, key, final said -> SASL_FINAL -> server proved ->
 * SASL_DONE -> Ok
 *
 * NegotiateProtocolVersion may stand anywhere before Ok, once. */
#include <openssl/crypto.h>
#include "session/internal.h"
#include "wire/check.h"
#include "wire/cursor.h"
#include "wire/error.h"

enum { AUTH_OK = 0, AUTH_CLEARTEXT = 3, AUTH_MD5 = 5, AUTH_GSS = 7, AUTH_SSPI = 9, AUTH_SASL = 10,
       AUTH_SASL_CONTINUE = 11, AUTH_SASL_FINAL = 12 };

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
    s->say_size = what == RP_SAY_CLEARTEXT    ? rp_write_password(NULL, s->config->password)
                  : what == RP_SAY_PASSWORD   ? rp_write_password(NULL, s->say_text)
                  : what == RP_SAY_SASL_FIRST ? rp_write_sasl(NULL, rp_scram_mechanism(&s->scram), s->say_text,
                                                              strlen(s->say_text))
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
    const char *file = s->config->no_password;
    if (s->config->password) return true;
    rp_error_set(&s->error, PG_E_CONFIG, "the server asks for a password and the connection string has none%s%s",
                 file && *file ? "; the password file " : "", file ? file : "");
    return !refuse(s, PG_E_CONFIG, NULL, ev);
}

/* ---- what the server asks ---- */

/* require_auth, in the words of what the server does: whoever asks for something else than what was agreed on may be
 * somebody else, and hears nothing of the password. */
static bool permitted(struct rp_session *s, enum rp_method method, struct rp_event *ev)
{
    static const char *const asks[RP_METHODS] = {
        [RP_METHOD_NONE] = "lets everybody in without authentication",
        [RP_METHOD_PASSWORD] = "asks for the password in cleartext",
        [RP_METHOD_MD5] = "asks for an MD5 hash of the password",
        [RP_METHOD_GSS] = "asks for GSSAPI authentication",
        [RP_METHOD_SSPI] = "asks for SSPI authentication",
        [RP_METHOD_SCRAM] = "asks for SCRAM-SHA-256 authentication",
        [RP_METHOD_OAUTH] = "asks for OAuth authentication",
    };
    const char *by = NULL;
    if (s->config->auth_refused & 1u << method) by = "require_auth";
    else if (s->config->channel_binding == RP_CHANNEL_BINDING_REQUIRE && method != RP_METHOD_SCRAM)
        by = "channel_binding=require";
    if (!by) return true;
    rp_error_set(&s->error, PG_E_CONFIG, "the server %s, which %s excludes", asks[method], by);
    return !refuse(s, PG_E_CONFIG, NULL, ev);
}

static bool plain_password(struct rp_session *s, const uint8_t *salt, struct rp_event *ev)
{
    if (!need_password(s, ev)) return true;
    if (salt) rp_md5_password(s->config->user, s->config->password, salt, s->say_text);
    s->auth = RP_AUTH_DONE;
    say(s, salt ? RP_SAY_PASSWORD : RP_SAY_CLEARTEXT);
    return false;
}

struct offers { bool plain, plus, oauth; };

/* The mechanism, and what is said of channel binding (RFC 5802, section 6). Outside of TLS nothing can be bound; a
 * certificate without a hash of its own (CVE-2025-49146) binds as little, and then "n" is said: with "y" a server that
 * does offer it must believe that somebody has taken the offer out. False: there is none. */
static bool choose(struct rp_session *s, const struct offers *offers, struct rp_event *ev)
{
    bool can = s->tls && s->config->channel_binding != RP_CHANNEL_BINDING_DISABLE;
    bool bound = can && offers->plus && s->scram.binding_size;
    const char *why = !s->tls          ? "the connection is not encrypted"
                      : !offers->plus  ? "the server does not offer it"
                                       : "there is none for the server's certificate";
    if (!bound && s->config->channel_binding == RP_CHANNEL_BINDING_REQUIRE) {
        rp_error_set(&s->error, PG_E_CONFIG, "channel_binding=require: %s", why);
        return !refuse(s, PG_E_CONFIG, NULL, ev);
    }
    if (!bound && !offers->plain)
        return !refuse(s, PG_E_CONFIG, "the server offers no SASL mechanism that is supported (SCRAM-SHA-256)", ev);
    enum rp_gs2 gs2 = bound ? RP_GS2_BOUND : can && !offers->plus ? RP_GS2_NOT_OFFERED : RP_GS2_NONE;
    s->say_text[rp_scram_choose(&s->scram, gs2, s->say_text)] = 0;
    return true;
}

static bool sasl(struct rp_session *s, struct rp_cursor *c, struct rp_event *ev)
{
    struct offers offers = { 0 };
    while (c->left > 1) {
        const char *mechanism = rp_read_cstr(c);
        offers.plain |= !strcmp(mechanism, "SCRAM-SHA-256");
        offers.plus |= !strcmp(mechanism, "SCRAM-SHA-256-PLUS");
        offers.oauth |= !strcmp(mechanism, "OAUTHBEARER");
    }
    if (c->left != 1 || *c->at) return refuse(s, PG_E_PROTOCOL, "a malformed list of SASL mechanisms", ev);
    bool scram = offers.plain || offers.plus;
    if (!permitted(s, offers.oauth && !scram ? RP_METHOD_OAUTH : RP_METHOD_SCRAM, ev)) return true;
    if (!choose(s, &offers, ev)) return true;
    if (!need_password(s, ev)) return true;
    s->auth = RP_AUTH_SASL_FIRST;
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
        if (fresh && !permitted(s, RP_METHOD_NONE, ev)) return true;
        s->phase = RP_PHASE_SETUP;
        rp_session_wipe(s);
        return false;
    case AUTH_CLEARTEXT:
        if (!fresh || c->left) break;
        return permitted(s, RP_METHOD_PASSWORD, ev) ? plain_password(s, NULL, ev) : true;
    case AUTH_MD5:
        if (!fresh || c->left != 4) break;
        return permitted(s, RP_METHOD_MD5, ev) ? plain_password(s, c->at, ev) : true;
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
    case AUTH_GSS:
    case AUTH_SSPI:
        if (!permitted(s, method == AUTH_GSS ? RP_METHOD_GSS : RP_METHOD_SSPI, ev)) return true;
        /* fall through */
    default:
        rp_error_set(&s->error, PG_E_CONFIG, "the server asks for authentication method %u, which is not supported",
                     method);
        return refuse(s, PG_E_CONFIG, NULL, ev);
    }
    return refuse(s, PG_E_PROTOCOL, "an authentication message that was not due, or is malformed", ev);
}

/* Whoever sits in the middle may have put something behind the S, to be taken for what came inside of TLS
 * (CVE-2021-23222), and may write any text into an error (CVE-2024-10977). */
bool rp_session_tls_answer(struct rp_session *s, const uint8_t *at, size_t size, size_t *consumed, struct rp_event *ev)
{
    if (size == 0) {
        *ev = (struct rp_event){ .kind = RP_EVENT_MORE, .need = 1 };
        return true;
    }
    if (s->say) return refuse(s, PG_E_PROTOCOL, "the server spoke before it was asked", ev);
    if (at[0] == 'N' && s->tls_required)
        return refuse(s, PG_E_CONFIG, "the server has no TLS, and sslmode asks for it", ev);
    if (at[0] == 'E') return refuse(s, PG_E_PROTOCOL, "the server answered the request for TLS with an error", ev);
    if (at[0] != 'S' && at[0] != 'N') return refuse(s, PG_E_PROTOCOL, "the answer is not PostgreSQL's protocol", ev);
    if (size > 1) return refuse(s, PG_E_PROTOCOL, "bytes came behind the answer to the request for TLS", ev);
    *consumed = 1;
    s->phase = RP_PHASE_START;
    s->say = RP_SAY_STARTUP;
    s->say_size = rp_write_startup(NULL, s->protocol, s->config->startup);
    *ev = (struct rp_event){ .kind = at[0] == 'S' ? RP_EVENT_TLS : RP_EVENT_MORE };
    return at[0] == 'S';
}

/* ---- what the server speaks ---- */

/* Of the options that it does not know. We send none of these: it cannot tell us of one. */
static bool check_options(struct rp_session *s, struct rp_cursor *c, uint32_t count, struct rp_event *ev)
{
    bool foreign = false;
    uint32_t left = count;
    for (; left && !c->bad; left--) foreign |= strncmp(rp_read_cstr(c), "_pq_.", 5) != 0;
    if (c->bad || c->left) return !refuse(s, PG_E_PROTOCOL, "a malformed NegotiateProtocolVersion", ev);
    if (!count) return true;
    return !refuse(s, PG_E_PROTOCOL,
                   foreign ? "the server does not know a protocol option, and names what is none"
                           : "the server does not know a protocol option that was not sent", ev);
}

/* NegotiateProtocolVersion: the server's newest version, if that is below ours, and the options that it ignores. At any
 * time between the startup message and AuthenticationOk, once. */
static bool negotiate(struct rp_session *s, struct rp_cursor *c, struct rp_event *ev)
{
    static const uint32_t asked[] = { [RP_PROTOCOL_3_0] = RP_VERSION_3_0, [RP_PROTOCOL_3_2] = RP_VERSION_3_2 };
    uint32_t version = rp_read_u32(c), options = rp_read_u32(c), ours = asked[s->protocol];
    if (c->bad) return refuse(s, PG_E_PROTOCOL, "a malformed NegotiateProtocolVersion", ev);
    if (s->negotiated) return refuse(s, PG_E_PROTOCOL, "the server negotiates the protocol version twice", ev);
    s->negotiated = true;
    if (version > ours || version < RP_VERSION_3_0 || version == RP_VERSION_3_1) {
        rp_error_set(&s->error, PG_E_PROTOCOL,
                     "the server wants protocol %u.%u, which nobody offered (%u.%u was asked for)", version >> 16,
                     version & 0xffff, ours >> 16, ours & 0xffff);
        return refuse(s, PG_E_PROTOCOL, NULL, ev);
    }
    if (!check_options(s, c, options, ev)) return true;
    if (version == ours)
        return refuse(s, PG_E_PROTOCOL, "the server negotiates a protocol version and changes none", ev);
    s->protocol = RP_PROTOCOL_3_0;
    if (s->config->protocol_min <= s->protocol) return false;
    return refuse(s, PG_E_CONFIG, "min_protocol_version=3.2: the server speaks no protocol above 3.0", ev);
}

static bool backend_key(struct rp_session *s, struct rp_cursor *c, struct rp_event *ev)
{
    s->backend_pid = rp_read_u32(c);
    size_t most = s->protocol == RP_PROTOCOL_3_0 ? RP_CANCEL_KEY_MIN : RP_CANCEL_KEY_MAX, n = c->left;
    if (c->bad) return refuse(s, PG_E_PROTOCOL, "a malformed BackendKeyData", ev);
    if (n < RP_CANCEL_KEY_MIN || n > most) {
        rp_error_set(&s->error, PG_E_PROTOCOL, "a BackendKeyData whose key has %zu bytes, where protocol %s has %s", n,
                     s->protocol == RP_PROTOCOL_3_0 ? "3.0" : "3.2", s->protocol == RP_PROTOCOL_3_0 ? "4" : "4 to 256");
        return refuse(s, PG_E_PROTOCOL, NULL, ev);
    }
    s->backend_key_size = n;
    memcpy(s->backend_key, rp_read_bytes(c, n), n);
    return false;
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
    if (s->phase == RP_PHASE_AUTH && f->type == 'v') return negotiate(s, &c, ev);
    if (s->phase == RP_PHASE_SETUP && f->type == 'K') return backend_key(s, &c, ev);
    if (s->phase == RP_PHASE_SETUP && f->type == 'Z') {
        if (f->size != 1 || f->body[0] != 'I')
            return refuse(s, PG_E_PROTOCOL, "the first ReadyForQuery is not idle", ev);
        s->phase = RP_PHASE_READY;
        s->transaction = 'I';
        *ev = (struct rp_event){ .kind = RP_EVENT_READY };
        return true;
    }
    return refuse(s, PG_E_PROTOCOL,
                  s->phase == RP_PHASE_SETUP ? "a message that is illegal during the start"
                                             : "the answer is not PostgreSQL's protocol",
                  ev);
}

/* conn/tls.c - one connection's TLS: handshake, records, and what is to be said of a failure. The context behind it,
 * with its files, is tls_context.c. See the header. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include "conn/tls_context.h"

struct tls {
    struct rp_transform transform; /* first */
    struct pg_reactor *reactor;
    struct rp_tls_peer *peer;
    SSL *ssl;
    BIO *in, *out;      /* the SSL's: coded bytes that came, and that are to go */
    bool up;            /* the handshake is over, and what it must show was seen */
    bool cert_asked_for;
    char why[256];
};

static struct tls *tls_of(struct rp_transform *t) { return (struct tls *)(void *)t; }

/* ---- failures ---- */

static int failed(struct tls *t, const char *format, const char *what)
{
    snprintf(t->why, sizeof t->why, format, what);
    t->transform.why = t->why;
    t->transform.certain = !t->up; /* what the two could not agree on: versions, certificates, names */
    ERR_clear_error();
    return RP_TRANSFORM_FAILED;
}

/* The certificate is the reason more often than not, and OpenSSL's own queue only says that it failed. */
static int failed_by_openssl(struct tls *t)
{
    long verified = SSL_get_verify_result(t->ssl);
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    if (verified == X509_V_ERR_HOSTNAME_MISMATCH || verified == X509_V_ERR_IP_ADDRESS_MISMATCH)
        return failed(t, "TLS: the server's certificate is not for host \"%s\"", t->peer->name);
    if (verified != X509_V_OK && rp_tls_verifies(t->peer->tls))
        return failed(t, "TLS: the server's certificate is not trusted: %s", X509_verify_cert_error_string(verified));
    return failed(t, "TLS: %s", reason ? reason : "the handshake failed");
}

/* What an operation of OpenSSL has come to: 0, nothing before more comes. */
static int judge(struct tls *t, int rc)
{
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return 0;
    case SSL_ERROR_ZERO_RETURN: return RP_TRANSFORM_END;
    default: return failed_by_openssl(t);
    }
}

/* ---- the handshake ---- */

/* Behind the direct negotiation there is no other protocol that an attacker could lead us to, if both sides name this
 * one (ALPACA). */
static int check_protocol(struct tls *t)
{
    const unsigned char *chosen;
    unsigned size;
    if (!rp_tls_is_direct(t->peer->tls)) return 0;
    SSL_get0_alpn_selected(t->ssl, &chosen, &size);
    if (size == sizeof RP_TLS_PROTOCOL - 1 && !memcmp(chosen, RP_TLS_PROTOCOL, size)) return 0;
    return failed(t, "TLS: sslnegotiation=direct, and the server does not speak %s (ALPN)", RP_TLS_PROTOCOL);
}

static int shake_hands(struct tls *t)
{
    if (t->up) return 1;
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc != 1) rc = judge(t, rc);
    if (rc == RP_TRANSFORM_END) return failed(t, "TLS: %s", "the server ended the handshake");
    if (rc != 1) return rc;
    if ((rc = check_protocol(t))) return rc;
    if (rp_tls_must_be_asked(t->peer->tls) && !t->cert_asked_for)
        return failed(t, "TLS: sslcertmode=%s, and the server did not ask for a certificate", "require");
    t->up = true;
    return 1;
}

/* ---- bytes ---- */

static int tls_feed(struct rp_transform *transform, const uint8_t *at, size_t n)
{
    struct tls *t = tls_of(transform);
    size_t put = 0;
    if (transform->why) return RP_TRANSFORM_FAILED;
    if (BIO_write_ex(t->in, at, n, &put) && put == n) return 0;
    return failed(t, "TLS: %s", "no memory for what was received");
}

static ptrdiff_t tls_read(struct rp_transform *transform, uint8_t *to, size_t capacity)
{
    struct tls *t = tls_of(transform);
    size_t n = 0;
    if (transform->why) return RP_TRANSFORM_FAILED;
    int rc = shake_hands(t);
    if (rc <= 0) return rc;
    ERR_clear_error();
    rc = SSL_read_ex(t->ssl, to, capacity, &n);
    return rc == 1 ? (ptrdiff_t)n : judge(t, rc);
}

static ptrdiff_t tls_write(struct rp_transform *transform, const uint8_t *at, size_t n)
{
    struct tls *t = tls_of(transform);
    size_t written = 0;
    if (transform->why) return RP_TRANSFORM_FAILED;
    int rc = shake_hands(t);
    if (rc <= 0) return rc;
    ERR_clear_error();
    rc = SSL_write_ex(t->ssl, at, n, &written);
    return rc == 1 ? (ptrdiff_t)written : judge(t, rc);
}

static size_t tls_give(struct rp_transform *transform, uint8_t *to, size_t capacity)
{
    size_t n = 0;
    return BIO_read_ex(tls_of(transform)->out, to, capacity, &n) ? n : 0;
}

static void tls_end(struct rp_transform *transform)
{
    struct tls *t = tls_of(transform);
    if (t->up && !transform->why) (void)SSL_shutdown(t->ssl);
    ERR_clear_error();
}

static size_t tls_binding(struct rp_transform *transform, uint8_t *to)
{
    return rp_tls_certificate_hash(SSL_get0_peer_certificate(tls_of(transform)->ssl), to);
}

/* ---- from make to free ---- */

static void tls_free(struct rp_transform *transform)
{
    struct tls *t = tls_of(transform);
    struct pg_reactor *r = t->reactor;
    SSL_free(t->ssl); /* and both BIOs */
    rp_free(r, t, sizeof *t);
}

static const struct rp_transform_ops ops = { tls_feed, tls_read, tls_write, tls_give, tls_end, tls_free, tls_binding };

static int on_cert_asked_for(SSL *ssl, void *arg)
{
    (void)ssl;
    ((struct tls *)arg)->cert_asked_for = true;
    return 1;
}

/* The newest one: a server may hand out several, and TLS 1.3 ones are for one use. */
void rp_tls_keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls *t = SSL_get_app_data(ssl);
    rp_tls_peer_forget(t->peer);
    t->peer->session = session;
}

void rp_tls_peer_forget(struct rp_tls_peer *peer)
{
    SSL_SESSION_free(peer->session);
    peer->session = NULL;
}

struct rp_transform *rp_tls_make(void *arg, struct pg_reactor *r)
{
    struct rp_tls_peer *peer = arg;
    struct tls *t = rp_alloc(r, sizeof *t);
    if (!t) return NULL;
    t->transform.ops = &ops;
    t->reactor = r;
    t->peer = peer;
    t->ssl = rp_tls_new_ssl(peer->tls, peer->name);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        tls_free(&t->transform);
        return NULL;
    }
    BIO_set_mem_eof_return(t->in, -1);
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    SSL_set_cert_cb(t->ssl, on_cert_asked_for, t);
    if (peer->session) (void)SSL_set_session(t->ssl, peer->session);
    SSL_set_connect_state(t->ssl);
    return &t->transform;
}

/* conn/tls.h - TLS as a transform, by OpenSSL over memory: what certificates are trusted and shown is read from files
 * once, when a pool opens; each connection has a state of its own.
 *
 *      rp_tls (a pool's) -> rp_tls_peer (a host's: its name, its last session) -> transform (a socket's)
 *
 * A handshake costs the reactor's thread its public-key operations: less than 1 ms; a certificate of the client's own
 * adds a signature, 0.3 ms with an RSA-2048 key and 4.5 ms with RSA-4096 (openssl speed, one core of 2026).
 * pool_connecting_limit bounds how many there are at a time. OpenSSL allocates for itself, and gives the buffers of a
 * connection back while nothing is under way.
 *
 * Source: PostgreSQL, "SSL Support"; RFC 5929 (tls-server-end-point); OpenSSL's manual, ssl(7), bio(7). */
#ifndef RP_CONN_TLS_H
#define RP_CONN_TLS_H
#include "conn/transform.h"

enum rp_tls_verify { RP_TLS_VERIFY_NOTHING, RP_TLS_VERIFY_CA, RP_TLS_VERIFY_FULL };
enum rp_tls_cert { RP_TLS_CERT_NEVER, RP_TLS_CERT_IF_ASKED, RP_TLS_CERT_MUST_BE_ASKED };

/* Paths; NULL: none, or of rootcert, cert, key and crl the file that libpq looks for in `folder` (its ~/.postgresql),
 * if there is one. */
struct rp_tls_options {
    enum rp_tls_verify verify;
    enum rp_tls_cert cert_mode;
    const char *rootcert;        /* "system": what the system trusts */
    const char *cert, *key, *crl;
    const char *crldir, *key_password;
    int min_version, max_version; /* OpenSSL's TLS1_2_VERSION ...; 0: any */
    const char *folder;           /* NULL: nothing is looked for */
    bool sni, direct;
};

struct rp_tls;
/* 0; PG_E_CONFIG, and `error` names option, file and fault; -ENOMEM. Blocks for files. */
int rp_tls_open(struct rp_tls **out, const struct rp_tls_options *options, struct pg_error *error);
void rp_tls_close(struct rp_tls *tls); /* once no transform of it is left. NULL: no-op */

struct rp_tls_peer {
    struct rp_tls *tls;
    const char *name;   /* whom the certificate must name (verify-full), and who is asked for (SNI) */
    void *session;      /* OpenSSL's, of the last handshake */
};
void rp_tls_peer_forget(struct rp_tls_peer *peer);
/* For struct rp_transform_maker, `arg` is the rp_tls_peer, which outlives it. */
struct rp_transform *rp_tls_make(void *peer, struct pg_reactor *r);

#endif

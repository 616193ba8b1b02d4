/* conn/tls_context.h - what tls.c asks of tls_context.c and nobody else needs. */
#ifndef RP_CONN_TLS_CONTEXT_H
#define RP_CONN_TLS_CONTEXT_H
#include <openssl/ssl.h>
#include "conn/tls.h"

#define RP_TLS_PROTOCOL "postgresql" /* ALPN, as registered with IANA */

bool rp_tls_verifies(const struct rp_tls *tls);
bool rp_tls_is_direct(const struct rp_tls *tls);
bool rp_tls_must_be_asked(const struct rp_tls *tls);
SSL *rp_tls_new_ssl(const struct rp_tls *tls, const char *name); /* NULL: no memory */
size_t rp_tls_certificate_hash(const X509 *certificate, uint8_t *to); /* RFC 5929; 0: there is none for it */
/* tls.c: the server has given one, which is the callee's from here on. */
void rp_tls_keep_session(SSL *ssl, SSL_SESSION *session);

#endif

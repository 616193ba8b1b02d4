/* conn/tls_context.c - what a pool's connections have in common: the trusted certificates, its own one, the permitted
 * versions, read from files by libpq's rules. Owns the SSL_CTX; must never know a socket. See tls.h. */
#include "conn/tls_context.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

struct rp_tls {
    SSL_CTX *context;
    enum rp_tls_verify verify;
    bool sni, direct, must_be_asked;
};

bool rp_tls_verifies(const struct rp_tls *tls) { return tls->verify != RP_TLS_VERIFY_NOTHING; }
bool rp_tls_is_direct(const struct rp_tls *tls) { return tls->direct; }
bool rp_tls_must_be_asked(const struct rp_tls *tls) { return tls->must_be_asked; }

/* ---- files ---- */

enum { PATH = 1024 };

static int refuse(struct pg_error *error, const char *option, const char *path, const char *why)
{
    const char *reason = why ? why : ERR_reason_error_string(ERR_peek_last_error());
    int rc = rp_error_set(error, PG_E_CONFIG, "%s: \"%s\": %s", option, path, reason ? reason : "cannot be used");
    ERR_clear_error();
    return rc;
}

/* Which file: the one that was named, libpq's own if it is there, or none (""). */
static void find(char path[PATH], const char *named, const struct rp_tls_options *o, const char *own)
{
    path[0] = 0;
    if (named) snprintf(path, PATH, "%s", named);
    else if (o->folder && snprintf(path, PATH, "%s/%s", o->folder, own) >= PATH) path[0] = 0;
    if (!named && access(path, F_OK)) path[0] = 0;
}

/* Whose key others can read, or change, is nobody's: the rule of libpq. */
static const char *fault_of_key(const char *path)
{
    struct stat st;
    if (stat(path, &st)) return strerror(errno);
    if (!S_ISREG(st.st_mode)) return "is not a plain file";
    mode_t others = st.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
    return st.st_mode & others ? "has group or world access; it must be u=rw (0600), or less, or 0640 of root's" : NULL;
}

static int key_password(char *to, int capacity, int writing, void *password)
{
    size_t n = password ? strlen(password) : 0;
    (void)writing;
    if (n > (size_t)capacity) return 0;
    memcpy(to, password ? password : "", n);
    return (int)n;
}

static int load_cert(SSL_CTX *context, const struct rp_tls_options *o, struct pg_error *error)
{
    char cert[PATH], key[PATH];
    if (o->cert_mode == RP_TLS_CERT_NEVER) return 0;
    find(cert, o->cert, o, "postgresql.crt");
    if (!cert[0]) return 0;
    find(key, o->key, o, "postgresql.key");
    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1) return refuse(error, "sslcert", cert, NULL);
    if (!key[0]) return refuse(error, "sslkey", "", "a certificate needs its key");
    const char *fault = fault_of_key(key);
    if (fault) return refuse(error, "sslkey", key, fault);
    SSL_CTX_set_default_passwd_cb(context, key_password);
    SSL_CTX_set_default_passwd_cb_userdata(context, (void *)(uintptr_t)o->key_password);
    bool loaded = SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb_userdata(context, NULL);
    if (!loaded) return refuse(error, "sslkey", key, NULL);
    return SSL_CTX_check_private_key(context) == 1 ? 0 : refuse(error, "sslkey", key, "is not the certificate's");
}

static int load_crl(SSL_CTX *context, const struct rp_tls_options *o, struct pg_error *error)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    char crl[PATH];
    find(crl, o->crldir && !o->crl ? "" : o->crl, o, "root.crl");
    if (crl[0] && X509_STORE_load_file(store, crl) != 1) return refuse(error, "sslcrl", crl, NULL);
    if (o->crldir && X509_STORE_load_path(store, o->crldir) != 1) return refuse(error, "sslcrldir", o->crldir, NULL);
    if (crl[0] || o->crldir) X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    return 0;
}

/* A root certificate that is there is used also where none is asked for: require then is as strict as verify-ca. */
static int load_roots(struct rp_tls *tls, const struct rp_tls_options *o, struct pg_error *error)
{
    char roots[PATH];
    if (o->rootcert && !strcmp(o->rootcert, "system")) {
        if (SSL_CTX_set_default_verify_paths(tls->context) != 1) return refuse(error, "sslrootcert", "system", NULL);
        return 0;
    }
    find(roots, o->rootcert, o, "root.crt");
    if (!roots[0]) {
        if (tls->verify == RP_TLS_VERIFY_NOTHING) return 0;
        return rp_error_set(error, PG_E_CONFIG, "sslrootcert: there is no root certificate to verify the server by; "
                                                "name one, or \"system\", or use a weaker sslmode");
    }
    if (SSL_CTX_load_verify_file(tls->context, roots) != 1) return refuse(error, "sslrootcert", roots, NULL);
    if (tls->verify == RP_TLS_VERIFY_NOTHING) tls->verify = RP_TLS_VERIFY_CA;
    return load_crl(tls->context, o, error);
}

/* ---- the context ---- */

static int set_versions(SSL_CTX *context, const struct rp_tls_options *o, struct pg_error *error)
{
    if (SSL_CTX_set_min_proto_version(context, o->min_version) != 1 ||
        SSL_CTX_set_max_proto_version(context, o->max_version) != 1)
        return rp_error_set(error, PG_E_CONFIG, "ssl_min_protocol_version: OpenSSL has no such version");
    return 0;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    rp_tls_keep_session(ssl, session);
    return 1;
}

static int set_up(struct rp_tls *tls, const struct rp_tls_options *o, struct pg_error *error)
{
    static const unsigned char protocols[] = "\x0a" RP_TLS_PROTOCOL;
    SSL_CTX *context = tls->context;
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    if (SSL_CTX_set_alpn_protos(context, protocols, sizeof protocols - 1)) return -ENOMEM;
    int rc = set_versions(context, o, error);
    if (!rc) rc = load_roots(tls, o, error);
    if (!rc) rc = load_cert(context, o, error);
    SSL_CTX_set_verify(context, tls->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    return rc;
}

int rp_tls_open(struct rp_tls **out, const struct rp_tls_options *o, struct pg_error *error)
{
    *out = NULL;
    struct rp_tls *tls = calloc(1, sizeof *tls);
    if (!tls) return -ENOMEM;
    *tls = (struct rp_tls){ .context = SSL_CTX_new(TLS_client_method()), .verify = o->verify, .sni = o->sni,
                            .direct = o->direct, .must_be_asked = o->cert_mode == RP_TLS_CERT_MUST_BE_ASKED };
    int rc = tls->context ? set_up(tls, o, error) : -ENOMEM;
    if (rc) rp_tls_close(tls);
    else *out = tls;
    return rc;
}

void rp_tls_close(struct rp_tls *tls)
{
    if (!tls) return;
    SSL_CTX_free(tls->context);
    free(tls);
}

/* ---- one connection's ---- */

static bool is_address(const char *name)
{
    unsigned char at[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, at) == 1 || inet_pton(AF_INET6, name, at) == 1;
}

/* libpq's rules: an address is compared with addresses and never asked for by SNI (RFC 6066). */
SSL *rp_tls_new_ssl(const struct rp_tls *tls, const char *name)
{
    SSL *ssl = SSL_new(tls->context);
    bool address = is_address(name), good = ssl != NULL;
    if (good && tls->sni && !address) good = SSL_set_tlsext_host_name(ssl, name) == 1;
    if (good && tls->verify == RP_TLS_VERIFY_FULL) {
        X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        good = address ? X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 : SSL_set1_host(ssl, name) == 1;
    }
    if (good) return ssl;
    SSL_free(ssl);
    return NULL;
}

/* The hash of the certificate's signature, except that MD5 and SHA-1 are replaced (RFC 5929, section 4.1). A signature
 * that has none, as Ed25519's, leaves nothing to bind to. */
size_t rp_tls_certificate_hash(const X509 *certificate, uint8_t *to)
{
    int digest = NID_undef;
    unsigned size = 0;
    if (!certificate || !X509_get_signature_info((X509 *)(uintptr_t)certificate, &digest, NULL, NULL, NULL)) return 0;
    if (digest == NID_md5 || digest == NID_sha1) digest = NID_sha256;
    const EVP_MD *md = digest == NID_undef ? NULL : EVP_get_digestbynid(digest);
    return md && X509_digest(certificate, md, to, &size) == 1 ? size : 0;
}

/* session/scram.h - SCRAM-SHA-256 (RFC 5802, RFC 7677) and MD5 authentication as pure computation: no I/O, no
 * allocation, no randomness (the nonce is an input), no clock.
 *
 *      client-first -> [server-first] -> parameters: salt, iterations -> salted password (computed in slices, or from
 *      the cache above) -> client-final -> [server-final] -> verified
 *
 * Every buffer that held something secret is wiped (OPENSSL_cleanse); comparisons take constant time. Passwords are
 * used as the bytes they are: who calls has prepared them (SASLprep, conn/saslprep.h). */
#ifndef RP_SESSION_SCRAM_H
#define RP_SESSION_SCRAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RP_SCRAM_KEY = 32,            /* SHA-256                                                         */
    RP_SCRAM_NONCE = 24,          /* printable bytes of our nonce                                    */
    RP_SCRAM_SALT_MAX = 64,       /* decoded; PostgreSQL uses 16                                     */
    RP_SCRAM_SERVER_NONCE = 128,  /* the longest combined nonce that is accepted                     */
    RP_SCRAM_MESSAGE = 512,       /* the longest message of either side                              */
    RP_SCRAM_BINDING = 64,        /* the longest hash of a certificate (SHA-512)                     */
};

/* PBKDF2-HMAC-SHA-256 in slices: `rp_pbkdf2_run` does at most `iterations` more and says whether it is done. The first
 * of `iterations` (at least 1) is done by the start. One that is given up half-way is the caller's to wipe. */
struct rp_pbkdf2 { uint64_t state[28]; uint8_t u[RP_SCRAM_KEY], sum[RP_SCRAM_KEY]; uint32_t left; };
void rp_pbkdf2_start(struct rp_pbkdf2 *p, const char *password, size_t size, const uint8_t *salt, size_t salt_size,
                     uint32_t iterations);
/* True: key is set, state wiped. */
bool rp_pbkdf2_run(struct rp_pbkdf2 *p, uint32_t iterations, uint8_t key[RP_SCRAM_KEY]);

/* What the client says of channel binding: it does not do it, it would and believes that the server does not, it does
 * (tls-server-end-point). */
enum rp_gs2 { RP_GS2_NONE, RP_GS2_NOT_OFFERED, RP_GS2_BOUND };

struct rp_scram {
    enum rp_gs2 gs2;
    uint8_t binding[RP_SCRAM_BINDING]; /* the hash of the server's certificate */
    size_t binding_size;               /* 0: there is none                     */
    char nonce[RP_SCRAM_NONCE + 1];
    char server_nonce[RP_SCRAM_SERVER_NONCE + 1]; /* ours + the server's */
    char server_first[RP_SCRAM_MESSAGE + 1];
    uint8_t salt[RP_SCRAM_SALT_MAX];
    size_t salt_size;
    uint32_t iterations;
    uint8_t server_signature[RP_SCRAM_KEY];
    bool have_key;
};

/* Turns entropy into the nonce and writes client-first ("n,,n=,r=..."; PostgreSQL takes the user from the startup
 * message). Returns its size; `out` has RP_SCRAM_MESSAGE bytes. */
size_t rp_scram_first(struct rp_scram *s, const uint8_t entropy[18], char *out);
void rp_scram_bind(struct rp_scram *s, const uint8_t *binding, size_t size); /* known from now on, used if chosen */
/* In the place of that client-first; the nonce stays. */
size_t rp_scram_choose(struct rp_scram *s, enum rp_gs2 gs2, char *out);
const char *rp_scram_mechanism(const struct rp_scram *s);
/* Parses server-first. 0: salt and iterations are set. PG_E_PROTOCOL and a static `*why`: a nonce that does not extend
 * ours or is huge, an iteration count of 0, with a sign, garbage or overflow, or above `iterations_max` (checked before
 * anything is derived), a missing or mandatory-extension attribute (m=), bad base64. */
int rp_scram_server_first(struct rp_scram *s, const char *at, size_t size, uint32_t iterations_max, const char **why);
/* Writes client-final with the proof from the salted password; returns its size. Remembers the server signature that
 * must come. */
size_t rp_scram_final(struct rp_scram *s, const uint8_t salted[RP_SCRAM_KEY], char *out);
/* The computation in the middle of it: AuthMessage to proof and server signature (RFC 5802, section 3). */
void rp_scram_proof(const uint8_t salted[RP_SCRAM_KEY], const char *auth_message, size_t size,
                    uint8_t proof[RP_SCRAM_KEY], uint8_t server_signature[RP_SCRAM_KEY]);
/* Verifies server-final. 0, or PG_E_PROTOCOL (v= wrong or missing, e=...). */
int rp_scram_server_final(struct rp_scram *s, const char *at, size_t size, const char **why);
void rp_scram_wipe(struct rp_scram *s);

/* "md5" and md5(md5(password + user) + salt) in hex, and a NUL. Protocol chapter, AuthenticationMD5Password. */
void rp_md5_password(const char *user, const char *password, const uint8_t salt[4], char out[36]);

#endif

/* session/hmac.h - HMAC-SHA-256 (RFC 2104) over OpenSSL's low-level SHA-256, which is a plain struct: it can be copied,
 * lives in the caller's memory and allocates nothing. Inside session/ only: this is the one header there that names
 * OpenSSL. */
#ifndef RP_SESSION_HMAC_H
#define RP_SESSION_HMAC_H
#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED /* EVP allocates for every context; these do not */
#endif
#include <stddef.h>
#include <stdint.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

/* Both halves after their first block, the padded key. A copy of it continues from there: PBKDF2 pays for the key only
 * once. */
struct rp_hmac { SHA256_CTX inner, outer; };

void rp_hmac_start(struct rp_hmac *h, const void *key, size_t size); /* a key above 64 bytes is hashed first */
void rp_hmac_update(struct rp_hmac *h, const void *at, size_t size);
void rp_hmac_final(struct rp_hmac *h, uint8_t out[SHA256_DIGEST_LENGTH]); /* and wipes h */

#endif

/* session/hmac.c - HMAC-SHA-256 without allocation. Owns nothing; copies of key material are wiped at the end. */
#include "session/hmac.h"
#include <string.h>

enum { BLOCK = SHA256_CBLOCK };

void rp_hmac_start(struct rp_hmac *h, const void *key, size_t size)
{
    uint8_t pad[BLOCK] = { 0 };
    if (size > BLOCK) {
        SHA256_Init(&h->inner);
        SHA256_Update(&h->inner, key, size);
        SHA256_Final(pad, &h->inner);
    } else if (size > 0) {
        memcpy(pad, key, size);
    }
    for (size_t i = 0; i < BLOCK; i++) pad[i] ^= 0x36;
    SHA256_Init(&h->inner);
    SHA256_Update(&h->inner, pad, BLOCK);
    for (size_t i = 0; i < BLOCK; i++) pad[i] ^= 0x36 ^ 0x5c;
    SHA256_Init(&h->outer);
    SHA256_Update(&h->outer, pad, BLOCK);
    OPENSSL_cleanse(pad, sizeof pad);
}

void rp_hmac_update(struct rp_hmac *h, const void *at, size_t size)
{
    SHA256_Update(&h->inner, at, size);
}

void rp_hmac_final(struct rp_hmac *h, uint8_t out[SHA256_DIGEST_LENGTH])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256_Final(digest, &h->inner);
    SHA256_Update(&h->outer, digest, sizeof digest);
    SHA256_Final(out, &h->outer);
    OPENSSL_cleanse(digest, sizeof digest);
    OPENSSL_cleanse(h, sizeof *h);
}

/* session/pbkdf2.c - PBKDF2-HMAC-SHA-256 (RFC 8018, section 5.2) for one block of output, in slices: a reactor cannot
 * stand still for a million iterations. Owns nothing: the state is the caller's memory, and as good as the password
 * until it is wiped.
 *
 * Invariant: `u` is the last U_i, `sum` the exclusive or of all so far, `left` the iterations still to do; so any
 * slicing gives the same key. */
#include "session/hmac.h"
#include "session/scram.h"
#include "wire/check.h"
#include <string.h>

_Static_assert(sizeof(struct rp_hmac) <= sizeof ((struct rp_pbkdf2 *)0)->state, "the opaque room is too small");
_Static_assert(_Alignof(struct rp_hmac) <= _Alignof(uint64_t), "the opaque room is not aligned");

void rp_pbkdf2_start(struct rp_pbkdf2 *p, const char *password, size_t size, const uint8_t *salt, size_t salt_size,
                     uint32_t iterations)
{
    RP_ASSERT(iterations > 0);
    struct rp_hmac *keyed = (struct rp_hmac *)(void *)p->state;
    memset(p, 0, sizeof *p);
    rp_hmac_start(keyed, password, size);

    static const uint8_t first_block[4] = { 0, 0, 0, 1 };
    struct rp_hmac h = *keyed;
    rp_hmac_update(&h, salt, salt_size);
    rp_hmac_update(&h, first_block, sizeof first_block);
    rp_hmac_final(&h, p->u);
    memcpy(p->sum, p->u, sizeof p->sum);
    p->left = iterations - 1;
}

bool rp_pbkdf2_run(struct rp_pbkdf2 *p, uint32_t iterations, uint8_t key[RP_SCRAM_KEY])
{
    const struct rp_hmac *keyed = (const struct rp_hmac *)(const void *)p->state;
    uint32_t slice = iterations < p->left ? iterations : p->left;
    SHA256_CTX c;
    for (uint32_t i = 0; i < slice; i++) { /* not rp_hmac_final: one wipe at the end of the slice is enough */
        c = keyed->inner;
        SHA256_Update(&c, p->u, sizeof p->u);
        SHA256_Final(p->u, &c);
        c = keyed->outer;
        SHA256_Update(&c, p->u, sizeof p->u);
        SHA256_Final(p->u, &c);
        for (size_t k = 0; k < sizeof p->sum; k++) p->sum[k] ^= p->u[k];
    }
    OPENSSL_cleanse(&c, sizeof c);
    p->left -= slice;
    if (p->left > 0) return false;
    memcpy(key, p->sum, sizeof p->sum);
    OPENSSL_cleanse(p, sizeof *p);
    return true;
}

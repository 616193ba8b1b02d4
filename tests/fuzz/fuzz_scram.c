/* fuzz/fuzz_scram.c - any bytes as the server's two SCRAM messages: no crash, nothing read beyond them, the bounds
 * kept, and no forged server accepted. The first byte says how the rest is split; the messages begin where a server's
 * would, so that the fuzzer need not guess the nonce. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ringpg/error.h"
#include "session/scram.h"
#include "wire/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ITERATIONS_MAX = 1000 };

static int server_first(struct rp_scram *s, const uint8_t *at, size_t size, bool with_nonce)
{
    size_t head = with_nonce ? 2 + RP_SCRAM_NONCE : 0;
    char *message = malloc(head + size + 1);
    if (with_nonce) {
        memcpy(message, "r=", 2);
        memcpy(message + 2, s->nonce, RP_SCRAM_NONCE);
    }
    if (size) memcpy(message + head, at, size);
    message = realloc(message, head + size ? head + size : 1); /* the end is where the sanitizer thinks it is */
    const char *why = NULL;
    int rc = rp_scram_server_first(s, message, head + size, ITERATIONS_MAX, &why);
    RP_ASSERT(rc == 0 || (rc == PG_E_PROTOCOL && why != NULL));
    free(message);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t entropy[18] = { 7 }, salted[RP_SCRAM_KEY] = { 9 };
    struct rp_scram s;
    char out[RP_SCRAM_MESSAGE];
    if (size == 0) return 0;
    size_t first = (size_t)(data[0] & 127) * 4;
    if (first > size - 1) first = size - 1;

    rp_scram_first(&s, entropy, out);
    if (server_first(&s, data + 1, first, data[0] & 128) == 0) {
        RP_ASSERT(s.iterations > 0 && s.iterations <= ITERATIONS_MAX && s.salt_size > 0 &&
                  s.salt_size <= RP_SCRAM_SALT_MAX);
        RP_ASSERT(memcmp(s.server_nonce, s.nonce, RP_SCRAM_NONCE) == 0 && strlen(s.server_nonce) > RP_SCRAM_NONCE);
        RP_ASSERT(rp_scram_final(&s, salted, out) <= RP_SCRAM_MESSAGE);
    }
    const char *why = NULL;
    int rc = rp_scram_server_final(&s, (const char *)data + 1 + first, size - 1 - first, &why);
    RP_ASSERT(rc == PG_E_PROTOCOL && why != NULL);
    rp_scram_wipe(&s);
    return 0;
}

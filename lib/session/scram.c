/* session/scram.c - the client's half of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, RFC 5929).
 *
 * Owns the exchange's own strings, in the caller's struct. Must never know descriptors, time, randomness or memory
 * functions. What the server says is untrusted: bounded before it is copied, checked before it is used, and never
 * repeated in an error text.
 *
 * Invariants: `server_nonce` begins with `nonce` and is longer; `server_first` is exactly what the server sent, since
 * both signatures are over it; `have_key` means that `server_signature` is what the server must prove. */
#include "session/scram.h"
#include "ringpg/error.h"
#include "session/base64.h"
#include "session/hmac.h"
#include "wire/check.h"
#include <string.h>

static const char *const headers[] = {
    [RP_GS2_NONE] = "n,,", [RP_GS2_NOT_OFFERED] = "y,,", [RP_GS2_BOUND] = "p=tls-server-end-point,,"
};
enum { HEADER = 24, BOUND = HEADER + RP_SCRAM_BINDING };

_Static_assert(RP_BASE64_SIZE(18) == RP_SCRAM_NONCE, "18 bytes of entropy are the nonce");
_Static_assert(HEADER + sizeof "n=,r=" + RP_SCRAM_NONCE <= RP_SCRAM_MESSAGE, "client-first fits");
_Static_assert(sizeof "c=,r=,p=" + RP_BASE64_SIZE(BOUND) + RP_SCRAM_SERVER_NONCE + RP_BASE64_SIZE(RP_SCRAM_KEY) <=
                   RP_SCRAM_MESSAGE,
               "client-final fits");

static int refuse(const char **why, const char *text)
{
    *why = text;
    return PG_E_PROTOCOL;
}

static char *append(char *out, const char *at, size_t size)
{
    memcpy(out, at, size);
    return out + size;
}
#define APPEND(out, literal) append((out), (literal), sizeof(literal) - 1)

static char *append_text(char *out, const char *text) { return append(out, text, strlen(text)); }

size_t rp_scram_choose(struct rp_scram *s, enum rp_gs2 gs2, char *out)
{
    s->gs2 = gs2;
    char *end = append_text(out, headers[gs2]);
    end = APPEND(end, "n=,r=");
    end = append(end, s->nonce, RP_SCRAM_NONCE);
    return (size_t)(end - out);
}

size_t rp_scram_first(struct rp_scram *s, const uint8_t entropy[18], char *out)
{
    memset(s, 0, sizeof *s);
    rp_base64_encode(entropy, 18, s->nonce);
    return rp_scram_choose(s, RP_GS2_NONE, out);
}

void rp_scram_bind(struct rp_scram *s, const uint8_t *binding, size_t size)
{
    RP_ASSERT(size <= sizeof s->binding);
    memcpy(s->binding, binding, size);
    s->binding_size = size;
}

const char *rp_scram_mechanism(const struct rp_scram *s)
{
    return s->gs2 == RP_GS2_BOUND ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256";
}

/* cbind-input: the header again, and what it promises. */
static char *append_binding(const struct rp_scram *s, char *out)
{
    uint8_t input[BOUND];
    char *end = append_text((char *)input, headers[s->gs2]);
    if (s->gs2 == RP_GS2_BOUND) end = append(end, (const char *)s->binding, s->binding_size);
    return out + rp_base64_encode(input, (size_t)(end - (char *)input), out);
}

/* ---- attributes: letter "=" value, separated by commas ---- */

struct attribute { char name; const char *at; size_t size; };

/* Takes one attribute and the comma behind it; false: what is there is not one. Values are not empty, without NUL. */
static bool take(const char **at, const char *end, struct attribute *a)
{
    const char *p = *at;
    if (end - p < 3 || p[1] != '=') return false;
    if (!((p[0] >= 'a' && p[0] <= 'z') || (p[0] >= 'A' && p[0] <= 'Z'))) return false;
    const char *comma = memchr(p, ',', (size_t)(end - p));
    const char *stop = comma ? comma : end;
    *a = (struct attribute){ .name = p[0], .at = p + 2, .size = (size_t)(stop - (p + 2)) };
    if (a->size == 0 || memchr(a->at, '\0', a->size)) return false;
    if (comma && comma + 1 == end) return false; /* a comma promises another one */
    *at = comma ? comma + 1 : end;
    return true;
}

/* Optional extensions are ignored (RFC 5802, section 5.1: `extensions`), a mandatory one (m=) cannot be. */
static bool take_extensions(const char *at, const char *end)
{
    struct attribute a;
    while (at < end)
        if (!take(&at, end, &a) || a.name == 'm') return false;
    return true;
}

static bool is_nonce(const char *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (at[i] < 0x21 || at[i] > 0x7e || at[i] == ',') return false;
    return true;
}

/* posit-number: no sign, no leading zero. 0: it is not one, or it is beyond 32 bits. */
static uint32_t positive(const char *at, size_t size)
{
    uint64_t n = 0;
    if (size == 0 || at[0] == '0') return 0;
    for (size_t i = 0; i < size; i++) {
        if (at[i] < '0' || at[i] > '9') return 0;
        n = n * 10 + (uint64_t)(at[i] - '0');
        if (n > UINT32_MAX) return 0;
    }
    return (uint32_t)n;
}

int rp_scram_server_first(struct rp_scram *s, const char *at, size_t size, uint32_t iterations_max, const char **why)
{
    const char *p = at, *end = at + size;
    struct attribute nonce, salt, count;
    s->server_first[0] = '\0'; /* set last: it marks that the rest is valid */
    s->have_key = false;
    if (size > RP_SCRAM_MESSAGE) return refuse(why, "SCRAM: the server's first message is too long");
    if (size >= 2 && at[0] == 'm' && at[1] == '=')
        return refuse(why, "SCRAM: the server demands an extension that nobody knows");

    if (!take(&p, end, &nonce) || nonce.name != 'r') return refuse(why, "SCRAM: the server's nonce is missing");
    if (nonce.size > RP_SCRAM_SERVER_NONCE) return refuse(why, "SCRAM: the server's nonce is too long");
    if (!is_nonce(nonce.at, nonce.size)) return refuse(why, "SCRAM: the server's nonce is malformed");
    if (nonce.size <= RP_SCRAM_NONCE || CRYPTO_memcmp(nonce.at, s->nonce, RP_SCRAM_NONCE) != 0)
        return refuse(why, "SCRAM: the server's nonce does not extend the client's");

    if (!take(&p, end, &salt) || salt.name != 's') return refuse(why, "SCRAM: the salt is missing");
    if (!rp_base64_decode(salt.at, salt.size, s->salt, sizeof s->salt, &s->salt_size))
        return refuse(why, "SCRAM: the salt is malformed or too long");

    if (!take(&p, end, &count) || count.name != 'i') return refuse(why, "SCRAM: the iteration count is missing");
    uint32_t iterations = positive(count.at, count.size);
    if (iterations == 0) return refuse(why, "SCRAM: the iteration count is malformed");
    if (iterations > iterations_max) return refuse(why, "SCRAM: the iteration count is above the permitted maximum");
    if (!take_extensions(p, end)) return refuse(why, "SCRAM: the server's first message ends in garbage");

    s->iterations = iterations;
    *append(s->server_nonce, nonce.at, nonce.size) = '\0';
    *append(s->server_first, at, size) = '\0';
    return 0;
}

/* ---- proofs ---- */

static void hmac(const uint8_t key[RP_SCRAM_KEY], const char *at, size_t size, uint8_t out[RP_SCRAM_KEY])
{
    struct rp_hmac h;
    rp_hmac_start(&h, key, RP_SCRAM_KEY);
    rp_hmac_update(&h, at, size);
    rp_hmac_final(&h, out);
}

void rp_scram_proof(const uint8_t salted[RP_SCRAM_KEY], const char *auth_message, size_t size,
                    uint8_t proof[RP_SCRAM_KEY], uint8_t server_signature[RP_SCRAM_KEY])
{
    uint8_t client_key[RP_SCRAM_KEY], key[RP_SCRAM_KEY];
    SHA256_CTX c;

    hmac(salted, "Client Key", 10, client_key);
    SHA256_Init(&c);
    SHA256_Update(&c, client_key, sizeof client_key);
    SHA256_Final(key, &c); /* StoredKey */
    hmac(key, auth_message, size, proof);
    for (size_t i = 0; i < RP_SCRAM_KEY; i++) proof[i] ^= client_key[i];

    hmac(salted, "Server Key", 10, key);
    hmac(key, auth_message, size, server_signature);

    OPENSSL_cleanse(client_key, sizeof client_key);
    OPENSSL_cleanse(key, sizeof key);
    OPENSSL_cleanse(&c, sizeof c);
}

size_t rp_scram_final(struct rp_scram *s, const uint8_t salted[RP_SCRAM_KEY], char *out)
{
    RP_ASSERT(s->server_first[0] != '\0');
    char *end = append_binding(s, APPEND(out, "c="));
    end = APPEND(end, ",r=");
    end = append(end, s->server_nonce, strlen(s->server_nonce));
    size_t without_proof = (size_t)(end - out);

    /* AuthMessage: the three messages without the proof and without the GS2 header. Nothing in it is secret. */
    char message[sizeof "n=,r=,," + RP_SCRAM_NONCE + 2 * RP_SCRAM_MESSAGE];
    char *m = APPEND(message, "n=,r=");
    m = append(m, s->nonce, RP_SCRAM_NONCE);
    m = APPEND(m, ",");
    m = append(m, s->server_first, strlen(s->server_first));
    m = APPEND(m, ",");
    m = append(m, out, without_proof);

    uint8_t proof[RP_SCRAM_KEY];
    rp_scram_proof(salted, message, (size_t)(m - message), proof, s->server_signature);
    end = APPEND(end, ",p=");
    end += rp_base64_encode(proof, sizeof proof, end);
    s->have_key = true;
    OPENSSL_cleanse(proof, sizeof proof);
    return (size_t)(end - out);
}

int rp_scram_server_final(struct rp_scram *s, const char *at, size_t size, const char **why)
{
    const char *p = at, *end = at + size;
    struct attribute a;
    uint8_t signature[RP_SCRAM_KEY];
    size_t signature_size;
    if (!s->have_key) return refuse(why, "SCRAM: the server's last message came before the client's proof");
    if (size > RP_SCRAM_MESSAGE) return refuse(why, "SCRAM: the server's last message is too long");
    if (!take(&p, end, &a)) return refuse(why, "SCRAM: the server's last message is malformed");
    if (a.name == 'e') return refuse(why, "SCRAM: the server reported an error");
    if (a.name != 'v') return refuse(why, "SCRAM: the server's signature is missing");
    if (!rp_base64_decode(a.at, a.size, signature, sizeof signature, &signature_size) ||
        signature_size != sizeof signature)
        return refuse(why, "SCRAM: the server's signature is malformed");
    if (!take_extensions(p, end)) return refuse(why, "SCRAM: the server's last message ends in garbage");
    if (CRYPTO_memcmp(signature, s->server_signature, sizeof signature) != 0)
        return refuse(why, "SCRAM: the server's signature is wrong");
    return 0;
}

void rp_scram_wipe(struct rp_scram *s)
{
    OPENSSL_cleanse(s, sizeof *s);
}

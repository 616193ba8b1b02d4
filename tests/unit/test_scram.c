/* unit/test_scram.c - SCRAM-SHA-256, PBKDF2, MD5 and base64 against published vectors, against OpenSSL's one-call
 * functions, and against servers that lie. The server of these tests is written here, from RFC 5802, over HMAC() and
 * PKCS5_PBKDF2_HMAC(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include "ringpg/error.h"
#include "session/base64.h"
#include "session/scram.h"
#include "wire/check.h"

static const uint8_t entropy[18] = "0123456789abcdefgh"; /* exactly 18: no NUL */
#define NONCE "MDEyMzQ1Njc4OWFiY2RlZmdo"

/* OpenSSL's comparison in constant time, which the library's calls find here. What it was asked to compare is counted:
 * a comparison of another kind goes uncounted. */
static size_t compared;

int CRYPTO_memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *left = a, *right = b;
    uint8_t differs = 0;
    for (size_t i = 0; i < n; i++) differs |= left[i] ^ right[i];
    compared += n;
    return differs;
}

static void bytes_of_hex(const char *hex, uint8_t *out)
{
    for (; *hex; hex += 2) {
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        *out++ = (uint8_t)byte;
    }
}

static void derive(const char *password, size_t size, const void *salt, size_t salt_size, uint32_t iterations,
                   uint32_t slice, uint8_t key[RP_SCRAM_KEY])
{
    struct rp_pbkdf2 p;
    rp_pbkdf2_start(&p, password, size, salt, salt_size, iterations);
    while (!rp_pbkdf2_run(&p, slice, key)) assert_true(p.left > 0);
    for (size_t i = 0; i < sizeof p; i++) assert_int_equal(((uint8_t *)&p)[i], 0);
}

/* ---- PBKDF2 ---- */

/* The inputs of RFC 6070 with SHA-256 in SHA-1's place, first 32 bytes of output; the two with 1 and 80000 from RFC
 * 7914, 11. */
static void pbkdf2_vectors(void **state)
{
    (void)state;
    static const struct {
        const char *password, *salt;
        size_t password_size, salt_size;
        uint32_t iterations;
        const char *key;
    } table[] = {
        { "password", "salt", 8, 4, 1, "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b" },
        { "password", "salt", 8, 4, 2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43" },
        { "password", "salt", 8, 4, 4096, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a" },
        { "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 24, 36, 4096,
          "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1" },
        { "passwd", "salt", 6, 4, 1, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc" },
        { "Password", "NaCl", 8, 4, 80000, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        uint8_t key[RP_SCRAM_KEY], expected[RP_SCRAM_KEY];
        bytes_of_hex(table[i].key, expected);
        derive(table[i].password, table[i].password_size, table[i].salt, table[i].salt_size, table[i].iterations, 1000,
               key);
        assert_memory_equal(key, expected, sizeof key);
    }
}

static void pbkdf2_like_openssl(void **state)
{
    (void)state;
    char password[300];
    uint8_t salt[RP_SCRAM_SALT_MAX];
    for (size_t i = 0; i < sizeof password; i++)
        password[i] = (char)(i * 37 + 200); /* bytes above 127 and NUL among them */
    for (size_t i = 0; i < sizeof salt; i++) salt[i] = (uint8_t)(i * 101);
    static const size_t sizes[] = {
        0, 1, 31, 32, 55, 56, 63, 64, 65, 127, 128, 129, 300
    }; /* 64: the last that is not hashed */
    for (size_t i = 0; i < RP_COUNT(sizes); i++) {
        for (size_t salt_size = 0; salt_size <= sizeof salt; salt_size += 8) {
            uint8_t key[RP_SCRAM_KEY], expected[RP_SCRAM_KEY];
            derive(password, sizes[i], salt, salt_size, 7, 2, key);
            assert_int_equal(
                PKCS5_PBKDF2_HMAC(password, (int)sizes[i], salt, (int)salt_size, 7, EVP_sha256(), 32, expected), 1);
            assert_memory_equal(key, expected, sizeof key);
        }
    }
}

static void pbkdf2_any_slicing(void **state)
{
    (void)state;
    for (uint32_t iterations = 1; iterations <= 40; iterations++) {
        uint8_t key[RP_SCRAM_KEY], expected[RP_SCRAM_KEY];
        assert_int_equal(
            PKCS5_PBKDF2_HMAC("pencil", 6, (const uint8_t *)"salt", 4, (int)iterations, EVP_sha256(), 32, expected), 1);
        for (uint32_t slice = 1; slice <= iterations + 1; slice++) {
            derive("pencil", 6, "salt", 4, iterations, slice, key);
            assert_memory_equal(key, expected, sizeof key);
        }
    }
    struct rp_pbkdf2 p; /* a slice of nothing does nothing, and says so */
    uint8_t key[RP_SCRAM_KEY];
    rp_pbkdf2_start(&p, "pencil", 6, (const uint8_t *)"salt", 4, 3);
    assert_false(rp_pbkdf2_run(&p, 0, key));
    assert_int_equal(p.left, 2);
    assert_false(rp_pbkdf2_run(&p, 1, key));
    assert_true(rp_pbkdf2_run(&p, UINT32_MAX, key));
}

/* ---- base64 ---- */

static void base64_rfc4648(void **state)
{
    (void)state;
    static const char *const table[][2] = { { "", "" },
                                            { "f", "Zg==" },
                                            { "fo", "Zm8=" },
                                            { "foo", "Zm9v" },
                                            { "foob", "Zm9vYg==" },
                                            { "fooba", "Zm9vYmE=" },
                                            { "foobar", "Zm9vYmFy" },
                                            { "\xff\xef\xbe", "/+++" } };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        char text[16];
        uint8_t bytes[16];
        size_t size;
        size_t made = rp_base64_encode((const uint8_t *)table[i][0], strlen(table[i][0]), text);
        assert_int_equal(made, strlen(table[i][1]));
        assert_memory_equal(text, table[i][1], made);
        assert_true(rp_base64_decode(text, made, bytes, strlen(table[i][0]), &size));
        assert_int_equal(size, strlen(table[i][0]));
        assert_memory_equal(bytes, table[i][0], size);
        if (size > 0) assert_false(rp_base64_decode(text, made, bytes, size - 1, &size));
    }
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = { "=",      "==",    "====",   "A",          "AA",       "AAA",
                                       "A===",   "AA=A",  "=AAA",   "A=AA",       "AA==AAAA", "AAA=AAAA",
                                       "AAAA\n", "AA\n=", " AAA",   "AAA ",       "AA-A",     "AA_A",
                                       "AB==",   "AAB=",  "AA==\n", "\xc3\xa4ZZ", "AAAAA===" };
    for (size_t i = 0; i < RP_COUNT(bad); i++) {
        uint8_t bytes[16];
        size_t size;
        assert_false(rp_base64_decode(bad[i], strlen(bad[i]), bytes, sizeof bytes, &size));
    }
    uint8_t bytes[16];
    size_t size;
    assert_false(rp_base64_decode("AA\0A", 4, bytes, sizeof bytes, &size));
}

/* Whatever four characters decode, encoding gives them back: one spelling for each value. */
static void base64_round_trip(void **state)
{
    (void)state;
    static const char some[] = "ABgwx/+9=-\n";
    size_t accepted = 0, n = sizeof some - 1;
    for (size_t i = 0; i < n * n * n * n; i++) {
        char text[4] = { some[i % n], some[i / n % n], some[i / n / n % n], some[i / n / n / n] }, again[4];
        uint8_t bytes[3];
        size_t size;
        if (!rp_base64_decode(text, 4, bytes, 3, &size)) continue;
        accepted++;
        assert_int_equal(rp_base64_encode(bytes, size, again), 4);
        assert_memory_equal(text, again, 4);
    }
    assert_true(accepted >= 8 * 8 * 8 * 8); /* at least all that have no padding */
}

/* ---- SCRAM ---- */

/* RFC 7677, section 3: user "user", password "pencil". */
static void rfc7677(void **state)
{
    (void)state;
    static const char message[] = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                  "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
                                  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    uint8_t salt[16], salted[RP_SCRAM_KEY], proof[RP_SCRAM_KEY], signature[RP_SCRAM_KEY];
    size_t size;
    char text[45] = "";
    assert_true(rp_base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==", 24, salt, sizeof salt, &size));
    derive("pencil", 6, salt, size, 4096, 500, salted);
    rp_scram_proof(salted, message, sizeof message - 1, proof, signature);
    rp_base64_encode(proof, sizeof proof, text);
    assert_string_equal(text, "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    rp_base64_encode(signature, sizeof signature, text);
    assert_string_equal(text, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

/* What a server knows, made without a line of the library's. */
struct server { uint8_t stored[32], key[32]; };

static void server_make(struct server *v, const char *password, const void *salt, size_t salt_size, uint32_t iterations)
{
    uint8_t salted[32], client[32];
    assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, (int)salt_size, (int)iterations,
                                       EVP_sha256(), 32, salted),
                     1);
    assert_non_null(HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Client Key", 10, client, NULL));
    assert_non_null(HMAC(EVP_sha256(), salted, 32, (const uint8_t *)"Server Key", 10, v->key, NULL));
    assert_non_null(SHA256(client, 32, v->stored));
}

/* Checks client-final as RFC 5802 has it and writes server-final. */
static size_t server_verify(const struct server *v, const char *client_first, const char *server_first,
                            const char *client_final, char *out)
{
    char message[2048];
    const char *proof = strstr(client_final, ",p=");
    assert_non_null(proof);
    int size = snprintf(message, sizeof message, "%s,%s,%.*s", client_first + 3, server_first,
                        (int)(proof - client_final), client_final);
    uint8_t signature[32], client[34], stored[32];
    assert_non_null(HMAC(EVP_sha256(), v->stored, 32, (const uint8_t *)message, (size_t)size, signature, NULL));
    assert_int_equal(strlen(proof + 3), 44);
    assert_int_equal(EVP_DecodeBlock(client, (const uint8_t *)proof + 3, 44), 33);
    for (size_t i = 0; i < 32; i++) client[i] ^= signature[i];
    assert_non_null(SHA256(client, 32, stored));
    assert_memory_equal(stored, v->stored, 32);
    assert_non_null(HMAC(EVP_sha256(), v->key, 32, (const uint8_t *)message, (size_t)size, signature, NULL));
    memcpy(out, "v=", 2);
    return 2 + (size_t)EVP_EncodeBlock((uint8_t *)out + 2, signature, 32);
}

/* Runs the exchange up to the server's last message, which the caller then delivers. */
static size_t exchange(struct rp_scram *s, const char *password, const char *server_nonce, const char *extensions,
                       char *server_final)
{
    static const char salt[] = "sixteen bytes ok";
    char first[RP_SCRAM_MESSAGE + 1], answer[RP_SCRAM_MESSAGE + 1], final[RP_SCRAM_MESSAGE + 1];
    const char *why = NULL;
    uint8_t salted[RP_SCRAM_KEY];
    struct server server;

    first[rp_scram_first(s, entropy, first)] = '\0';
    assert_string_equal(first, "n,,n=,r=" NONCE);
    int size =
        snprintf(answer, sizeof answer, "r=%s%s,s=c2l4dGVlbiBieXRlcyBvaw==,i=17%s", NONCE, server_nonce, extensions);
    assert_int_equal(rp_scram_server_first(s, answer, (size_t)size, 17, &why), 0);
    assert_null(why);
    assert_int_equal(s->iterations, 17);
    assert_int_equal(s->salt_size, 16);
    assert_memory_equal(s->salt, salt, 16);

    derive(password, strlen(password), s->salt, s->salt_size, s->iterations, 5, salted);
    final[rp_scram_final(s, salted, final)] = '\0';
    char head[RP_SCRAM_MESSAGE];
    size = snprintf(head, sizeof head, "c=biws,r=%s%s,p=", NONCE, server_nonce);
    assert_memory_equal(final, head, (size_t)size);
    server_make(&server, password, salt, 16, 17);
    return server_verify(&server, first, answer, final, server_final);
}

static void whole_exchange(void **state)
{
    (void)state;
    static const char *const passwords[] = {
        "pencil",
        "",
        "p\xc3\xa4ss w\xc3\xb6rd",
        "\xff\xfe not UTF-8",
        "exactly sixty-four bytes of password: 0123456789012345678901234567",
        "a password of more than sixty-four bytes, whose hash is the key instead of itself"
    };
    char longest[RP_SCRAM_SERVER_NONCE - RP_SCRAM_NONCE + 1];
    memset(longest, '~', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const char *const nonces[] = { "x", "!\"#$%&'()*+-./=", longest };
    static const char *const extensions[] = { "", ",x=y", ",x=y=z,Q=\xc3\xa4" };
    for (size_t i = 0; i < RP_COUNT(passwords); i++)
        for (size_t n = 0; n < RP_COUNT(nonces); n++)
            for (size_t e = 0; e < RP_COUNT(extensions); e++) {
                struct rp_scram s;
                char final[RP_SCRAM_MESSAGE + 1];
                const char *why = NULL;
                size_t size = exchange(&s, passwords[i], nonces[n], extensions[e], final);
                assert_int_equal(rp_scram_server_final(&s, final, size, &why), 0);
                assert_null(why);
                rp_scram_wipe(&s);
                for (size_t k = 0; k < sizeof s; k++) assert_int_equal(((uint8_t *)&s)[k], 0);
            }
}

static void nonce_is_the_entropy(void **state)
{
    (void)state;
    struct rp_scram s;
    char one[RP_SCRAM_MESSAGE], other[RP_SCRAM_MESSAGE];
    for (size_t bit = 0; bit < 18 * 8; bit++) {
        uint8_t e[18];
        memcpy(e, entropy, sizeof e);
        size_t size = rp_scram_first(&s, e, one);
        e[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(rp_scram_first(&s, e, other), size);
        assert_memory_not_equal(one, other, size);
    }
}

#define MAX 1000000u
#define BYTES(literal) literal, sizeof(literal) - 1

static void hostile_server_first(void **state)
{
    (void)state;
    static const struct { const char *text, *why; } table[] = {
        { "", "nonce is missing" },
        { "r=", "nonce is missing" },
        { "s=AAAA,r=" NONCE "x,i=1", "nonce is missing" },
        { "e=other-error", "nonce is missing" },
        { "R=" NONCE "x,s=AAAA,i=1", "nonce is missing" },
        { "m=x,r=" NONCE "x,s=AAAA,i=1", "extension that nobody knows" },
        { "m=", "extension that nobody knows" },
        { "r=" NONCE ",s=AAAA,i=1", "does not extend" },
        { "r=xx" NONCE "x,s=AAAA,i=1", "does not extend" },
        { "r=MDEyMzQ1Njc4OWFiY2RlZmdp123,s=AAAA,i=1", "does not extend" },
        { "r=x,s=AAAA,i=1", "does not extend" },
        { "r=" NONCE " x,s=AAAA,i=1", "nonce is malformed" },
        { "r=" NONCE "\x7f,s=AAAA,i=1", "nonce is malformed" },
        { "r=" NONCE "\xc3\xa4,s=AAAA,i=1", "nonce is malformed" },
        { "r=" NONCE "\n,s=AAAA,i=1", "nonce is malformed" },
        { "r=" NONCE "x", "salt is missing" },
        { "r=" NONCE "x,", "nonce is missing" },
        { "r=" NONCE "x,i=1", "salt is missing" },
        { "r=" NONCE "x,s=,i=1", "salt is missing" },
        { "r=" NONCE "x,m=a,s=AAAA,i=1", "salt is missing" },
        { "r=" NONCE "x,s=A,i=1", "salt is malformed" },
        { "r=" NONCE "x,s=AAA,i=1", "salt is malformed" },
        { "r=" NONCE "x,s=AAB=,i=1", "salt is malformed" },
        { "r=" NONCE "x,s=AA A,i=1", "salt is malformed" },
        { "r=" NONCE "x,s=AA-A,i=1", "salt is malformed" },
        { "r=" NONCE "x,s====,i=1", "salt is malformed" },
        { "r=" NONCE "x,s=AAAA", "count is missing" },
        { "r=" NONCE "x,s=AAAA,i=", "count is missing" },
        { "r=" NONCE "x,s=AAAA,x=1", "count is missing" },
        { "r=" NONCE "x,s=AAAA,i=0", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=-1", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=+1", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i= 1", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=1 ", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=01", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=1e3", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=0x10", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=4294967296", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=18446744073709551617", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=99999999999999999999999999999999999999", "count is malformed" },
        { "r=" NONCE "x,s=AAAA,i=1000001", "above the permitted" },
        { "r=" NONCE "x,s=AAAA,i=4294967295", "above the permitted" },
        { "r=" NONCE "x,s=AAAA,i=1,", "count is missing" },
        { "r=" NONCE "x,s=AAAA,i=1,m=a", "garbage" },
        { "r=" NONCE "x,s=AAAA,i=1,x=a,m=a", "garbage" },
        { "r=" NONCE "x,s=AAAA,i=1,x=", "garbage" },
        { "r=" NONCE "x,s=AAAA,i=1,xy", "garbage" },
        { "r=" NONCE "x,s=AAAA,i=1,1=a", "garbage" },
        { "r=" NONCE "x,s=AAAA,i=1,,", "garbage" },
        { "r=" NONCE "x,s=AAAA,i=1,x=a,", "garbage" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_scram s;
        char out[RP_SCRAM_MESSAGE];
        const char *why = "";
        rp_scram_first(&s, entropy, out);
        if (rp_scram_server_first(&s, table[i].text, strlen(table[i].text), MAX, &why) != PG_E_PROTOCOL)
            fail_msg("%s", table[i].text);
        if (!strstr(why, table[i].why)) fail_msg("%s: %s", table[i].text, why);
        assert_int_equal(s.iterations, 0);
        assert_int_equal(rp_scram_server_final(&s, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 46, &why),
                         PG_E_PROTOCOL);
    }
}

static void server_first_bounds(void **state)
{
    (void)state;
    static const struct { size_t nonce, salt, extension; int rc; } table[] = {
        { 104, 4, 0, 0 }, { 105, 4, 0, PG_E_PROTOCOL },  /* the nonce: 24 of ours and 104 more */
        { 400, 4, 0, PG_E_PROTOCOL }, { 60000, 4, 0, PG_E_PROTOCOL },
        { 1, 84, 0, 0 }, { 1, 88, 0, PG_E_PROTOCOL },    /* the salt: 63 bytes and 66 bytes */
        { 1, 4, 468, 0 }, { 1, 4, 469, PG_E_PROTOCOL },  /* the message: 512 and 513 bytes */
    };
    char *text = malloc(70000);
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_scram s;
        char out[RP_SCRAM_MESSAGE];
        const char *why = NULL;
        char *p = text + sprintf(text, "r=%s", NONCE);
        memset(p, 'n', table[i].nonce);
        p += table[i].nonce + (size_t)sprintf(p + table[i].nonce, ",s=");
        memset(p, 'A', table[i].salt);
        p += table[i].salt + (size_t)sprintf(p + table[i].salt, ",i=1000");
        if (table[i].extension) {
            p += sprintf(p, "%s", ",x=");
            memset(p, 'v', table[i].extension);
            p += table[i].extension;
        }
        rp_scram_first(&s, entropy, out);
        assert_int_equal(rp_scram_server_first(&s, text, (size_t)(p - text), MAX, &why), table[i].rc);
        if (!table[i].rc) { /* and the largest still make a client-final that fits */
            uint8_t salted[RP_SCRAM_KEY] = { 1 };
            assert_true(rp_scram_final(&s, salted, out) <= RP_SCRAM_MESSAGE);
        }
    }
    free(text);
    struct rp_scram s;
    char out[RP_SCRAM_MESSAGE];
    const char *why = NULL,
               at_most[] = "r=" NONCE "x,s=AAAA,i=1000000"; /* the cap itself is fine, also the type's own */
    rp_scram_first(&s, entropy, out);
    assert_int_equal(rp_scram_server_first(&s, at_most, sizeof at_most - 1, MAX, &why), 0);
    assert_int_equal(s.iterations, MAX);
    assert_int_equal(rp_scram_server_first(&s, at_most, sizeof at_most - 1, MAX - 1, &why), PG_E_PROTOCOL);
    assert_int_equal(rp_scram_server_first(&s, BYTES("r=" NONCE "x,s=AAAA,i=4294967295"), UINT32_MAX, &why), 0);
    assert_int_equal(rp_scram_server_first(&s, BYTES("r=" NONCE "x,s=AAAA,i=1\0"), MAX, &why), PG_E_PROTOCOL);
    assert_int_equal(rp_scram_server_first(&s, BYTES("r=" NONCE "x,s=AAAA,i=1,x=\0a"), MAX, &why), PG_E_PROTOCOL);
}

static void hostile_server_final(void **state)
{
    (void)state;
    static const struct { const char *text, *why; } table[] = {
        { "", "malformed" },
        { "v", "malformed" },
        { "v=", "malformed" },
        { "V=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "missing" },
        { "e=invalid-proof", "reported an error" },
        { "x=y", "missing" },
        { "m=y", "missing" },
        { "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "signature is wrong" },
        { "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4", "signature is malformed" },
        { "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==", "signature is malformed" },
        { "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "signature is malformed" },
        { "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4AAAA", "signature is malformed" },
        { "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=,m=a", "garbage" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_scram s;
        char final[RP_SCRAM_MESSAGE + 1];
        const char *why = "";
        exchange(&s, "pencil", "server", "", final);
        assert_int_equal(rp_scram_server_final(&s, table[i].text, strlen(table[i].text), &why), PG_E_PROTOCOL);
        if (!strstr(why, table[i].why)) fail_msg("%s: %s", table[i].text, why);
    }
    struct rp_scram s;
    char final[RP_SCRAM_MESSAGE + 1], huge[RP_SCRAM_MESSAGE + 1];
    const char *why = "";
    size_t size = exchange(&s, "pencil", "server", "", final);
    memset(huge, 'A', sizeof huge);
    memcpy(huge, "v=", 2);
    assert_int_equal(rp_scram_server_final(&s, huge, sizeof huge, &why), PG_E_PROTOCOL);
    memcpy(final + size, ",x=y", 4); /* an extension that need not be known */
    assert_int_equal(rp_scram_server_final(&s, final, size + 4, &why), 0);
}

/* failures.md 10: every bit of the signature counts, and is compared in constant time; every message cut anywhere is
 * refused, and nothing is read beyond the cut: each piece is in a block of its own, so that the address sanitizer
 * watches its end. */
static void flips_and_cuts(void **state)
{
    (void)state;
    struct rp_scram s, before;
    char final[RP_SCRAM_MESSAGE + 1];
    const char *why;
    size_t size = exchange(&s, "pencil", "server", "", final);
    for (size_t cut = 0; cut < size; cut++) {
        char *piece = malloc(cut ? cut : 1);
        memcpy(piece, final, cut);
        assert_int_equal(rp_scram_server_final(&s, piece, cut, &why), PG_E_PROTOCOL);
        free(piece);
    }
    uint8_t signature[RP_SCRAM_KEY];
    memcpy(signature, s.server_signature, sizeof signature);
    for (size_t bit = 0; bit < RP_SCRAM_KEY * 8; bit++) {
        memcpy(s.server_signature, signature, sizeof signature);
        s.server_signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        compared = 0;
        assert_int_equal(rp_scram_server_final(&s, final, size, &why), PG_E_PROTOCOL);
        assert_int_equal(compared, RP_SCRAM_KEY);
    }
    memcpy(s.server_signature, signature, sizeof signature);
    assert_int_equal(rp_scram_server_final(&s, final, size, &why), 0);

    static const char first[] = "r=" NONCE "server,s=c2l4dGVlbiBieXRlcyBvaw==,i=4096";
    size = sizeof first - 1;
    rp_scram_first(&before, entropy, final);
    for (size_t cut = 0; cut <= size; cut++) {
        char *piece = malloc(cut ? cut : 1);
        memcpy(piece, first, cut);
        s = before;
        int rc = rp_scram_server_first(&s, piece, cut, MAX, &why);
        bool whole = cut >= size - 3; /* i=4, i=40, i=409 and i=4096 are whole messages */
        assert_int_equal(rc, whole ? 0 : PG_E_PROTOCOL);
        free(piece);
    }
}

/* A second server-first after a proof takes the proof's signature out of force. */
static void order(void **state)
{
    (void)state;
    struct rp_scram s;
    char final[RP_SCRAM_MESSAGE + 1], out[RP_SCRAM_MESSAGE];
    const char *why;
    size_t size = exchange(&s, "pencil", "server", "", final);
    assert_int_equal(rp_scram_server_first(&s, "r=x", 3, MAX, &why), PG_E_PROTOCOL);
    assert_int_equal(rp_scram_server_final(&s, final, size, &why), PG_E_PROTOCOL);
    rp_scram_first(&s, entropy, out);
    assert_int_equal(rp_scram_server_final(&s, final, size, &why), PG_E_PROTOCOL);
    rp_scram_wipe(&s); /* all zero: a signature of zeros is not a proof */
    assert_int_equal(rp_scram_server_final(&s, "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 46, &why),
                     PG_E_PROTOCOL);
}

/* ---- MD5 ---- */

static void md5_hex(const void *at, size_t size, char out[33])
{
    uint8_t digest[16];
    assert_int_equal(EVP_Digest(at, size, digest, NULL, EVP_md5(), NULL), 1);
    for (size_t i = 0; i < 16; i++) sprintf(out + 2 * i, "%02x", digest[i]);
}

static void md5_password(void **state)
{
    (void)state;
    static const struct { const char *user, *password; uint8_t salt[4]; } table[] = {
        { "joe", "secret", { 1, 2, 3, 4 } }, { "postgres", "", { 0, 0, 0, 0 } }, { "", "x", { 0xff, 0x80, 0, 9 } },
        { "j\xc3\xb6", "a password that is longer than one block of sixty-four bytes, to be sure", { 9, 8, 7, 6 } },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        char both[200], salted[36], expected[36] = "md5", out[36];
        int size = snprintf(both, sizeof both, "%s%s", table[i].password, table[i].user);
        md5_hex(both, (size_t)size, salted);
        memcpy(salted + 32, table[i].salt, 4);
        md5_hex(salted, 36, expected + 3);
        rp_md5_password(table[i].user, table[i].password, table[i].salt, out);
        assert_string_equal(out, expected);
    }
    char out[36]; /* by md5sum: printf secretjoe | md5sum, then that text and 1234 */
    rp_md5_password("joe", "secret", (const uint8_t *)"1234", out);
    assert_string_equal(out, "md570d8d67692160a72e1edc0e897af3725");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pbkdf2_vectors),
        cmocka_unit_test(pbkdf2_like_openssl),
        cmocka_unit_test(pbkdf2_any_slicing),
        cmocka_unit_test(base64_rfc4648),
        cmocka_unit_test(base64_is_strict),
        cmocka_unit_test(base64_round_trip),
        cmocka_unit_test(rfc7677),
        cmocka_unit_test(whole_exchange),
        cmocka_unit_test(nonce_is_the_entropy),
        cmocka_unit_test(hostile_server_first),
        cmocka_unit_test(server_first_bounds),
        cmocka_unit_test(hostile_server_final),
        cmocka_unit_test(flips_and_cuts),
        cmocka_unit_test(order),
        cmocka_unit_test(md5_password),
    };
    return cmocka_run_group_tests_name("scram", tests, NULL, NULL);
}

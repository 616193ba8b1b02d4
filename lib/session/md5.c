/* session/md5.c - the answer to AuthenticationMD5Password. Owns nothing and keeps nothing. */
#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED /* EVP allocates for every context; these do not */
#endif
#include "session/scram.h"
#include <openssl/crypto.h>
#include <openssl/md5.h>
#include <string.h>

enum { HEX = 2 * MD5_DIGEST_LENGTH };

static void hex(const uint8_t *digest, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < MD5_DIGEST_LENGTH; i++) {
        *out++ = digits[digest[i] >> 4];
        *out++ = digits[digest[i] & 15];
    }
}

void rp_md5_password(const char *user, const char *password, const uint8_t salt[4], char out[36])
{
    MD5_CTX c;
    uint8_t digest[MD5_DIGEST_LENGTH];
    char stored[HEX]; /* what the server keeps; as good as the password */

    MD5_Init(&c);
    MD5_Update(&c, password, strlen(password));
    MD5_Update(&c, user, strlen(user));
    MD5_Final(digest, &c);
    hex(digest, stored);

    MD5_Init(&c);
    MD5_Update(&c, stored, sizeof stored);
    MD5_Update(&c, salt, 4);
    MD5_Final(digest, &c);
    memcpy(out, "md5", 3);
    hex(digest, out + 3);
    out[3 + HEX] = '\0';

    OPENSSL_cleanse(&c, sizeof c);
    OPENSSL_cleanse(digest, sizeof digest);
    OPENSSL_cleanse(stored, sizeof stored);
}

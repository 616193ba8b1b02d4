/* config/environment.c - what the environment says, where neither the string nor a service file has said it. Source:
 * PostgreSQL, "Environment Variables". Owns nothing: the values stand where the environment has them, and are copied
 * before the pool's opening returns. */
#define _GNU_SOURCE /* secure_getenv */
#include "config/piece.h"
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

/* A program with more rights than whoever started it does not take its word for where passwords go. */
const char *rp_environment(const char *variable) { return secure_getenv(variable); }

bool rp_environment_home(char *path, size_t size, const char *file)
{
    const char *home = rp_environment("HOME");
    char buffer[4096];
    struct passwd entry, *found = NULL;
    if (!home || !*home) {
        if (getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) || !found) return false;
        home = entry.pw_dir;
    }
    int n = snprintf(path, size, "%s/%s", home, file);
    return n > 0 && (size_t)n < size;
}

/* PGTZ=default and the like say that the server is not to be told anything. */
static bool says_nothing(const struct rp_option *option, const char *value)
{
    return option->unsaid && strcasecmp(value, "default") == 0;
}

void rp_environment_apply(struct rp_pieces *pieces)
{
    for (int i = 0; i < rp_noptions; i++) {
        const struct rp_option *o = &rp_options[i];
        const char *value = o->variable && rp_piece_absent(pieces, i) ? rp_environment(o->variable) : NULL;
        if (value && !says_nothing(o, value)) pieces->of[i] = rp_piece_of(value, RP_FROM_ENVIRONMENT);
    }
    const char *tls = rp_environment("PGREQUIRESSL"); /* older than PGSSLMODE */
    if (tls && tls[0] == '1' && rp_piece_absent(pieces, RP_KEY_SSLMODE))
        pieces->of[RP_KEY_SSLMODE] = rp_piece_of("require", RP_FROM_ENVIRONMENT);
}

/* config/value.c - what a value may be: one check for each kind of the table in keyword.c, and where it goes.
 *
 * Values come unescaped. Owns nothing and keeps nothing: what it unescaped is wiped. Invariant: an error text shows a
 * value only if the table has it. */
#include "config/piece.h"
#include "wire/check.h"
#include <stdio.h>
#include <strings.h>

#define S (UINT64_C(1000000000))
#define NOT_A_DURATION ": not a duration such as 10s, 500ms or 1m30s"
#define NOT_A_SIZE ": not a size such as 4096, 64kB or 16MB"
enum { SMALL = 128 }; /* nothing that is right is that long, but text */

/* One value that is checked. */
struct value {
    const struct rp_pieces *pieces;
    int keyword;
    const struct rp_option *option;
    const char *text;
    void *field;
    struct pg_error *error;
};
#define REFUSE(v, ...) rp_keyword_refuse((v)->pieces, (v)->keyword, (v)->error, __VA_ARGS__)

/* "a, b, c" */
static void join(const char *const words[RP_CHOICES], char out[96])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < RP_CHOICES && words[i] && used < 96; i++)
        used += (size_t)snprintf(out + used, 96 - used, "%s%s", i ? ", " : "", words[i]);
}

static int check_choice(const struct value *v)
{
    const struct rp_option *o = v->option;
    char list[96];
    for (uint32_t i = 0; i < RP_CHOICES && o->accepted[i]; i++) {
        int differs = o->kind == RP_ANY_CASE ? strcasecmp(v->text, o->accepted[i]) : strcmp(v->text, o->accepted[i]);
        if (differs) continue;
        if (o->kind != RP_CHOICE) *(uint32_t *)v->field = i;
        return 0;
    }
    for (size_t i = 0; i < RP_CHOICES && o->refused[i]; i++)
        if (strcmp(v->text, o->refused[i]) == 0) return REFUSE(v, "=%s: %s", o->refused[i], o->why);
    if (o->why && !o->refused[0]) return REFUSE(v, ": %s", o->why);
    join(o->accepted, list);
    return REFUSE(v, ": must be one of %s", list);
}

static int check_integer(const struct value *v)
{
    const struct rp_option *o = v->option;
    int64_t n = 0;
    enum rp_number rc = rp_number_integer(v->text, &n);
    if (rc == RP_NUMBER_GARBAGE) return REFUSE(v, ": not a number");
    if (n < 0 && (o->kind == RP_NATURAL || o->kind == RP_SECONDS)) n = 0;
    if (n < 0 && o->kind == RP_SWITCH) n = 1;
    if (rc == RP_NUMBER_RANGE || n < 0 || (uint64_t)n < o->min || (uint64_t)n > o->max)
        return REFUSE(v, ": must be %s", o->range);
    switch (o->kind) {
    case RP_SWITCH: *(bool *)v->field = n != 0; break;
    case RP_SECONDS: *(uint64_t *)v->field = (n == 1 ? 2 : (uint64_t)n) * S; break;
    default: *(uint32_t *)v->field = (uint32_t)n; break;
    }
    return 0;
}

static int check_amount(const struct value *v)
{
    const struct rp_option *o = v->option;
    uint64_t n = 0;
    bool duration = o->kind == RP_DURATION;
    enum rp_number rc = duration ? rp_number_duration(v->text, &n) : rp_number_bytes(v->text, &n);
    if (rc == RP_NUMBER_GARBAGE) return REFUSE(v, "%s", duration ? NOT_A_DURATION : NOT_A_SIZE);
    if (rc == RP_NUMBER_RANGE || n < o->min || n > o->max) return REFUSE(v, ": must be %s", o->range);
    *(uint64_t *)v->field = n;
    return 0;
}

/* require_auth: a list of what the server may ask for, or with a "!" before each of what it may not. libpq refuses one
 * that stands there twice, since where a slip of the pen costs so much it is one. */
static int check_methods(const struct value *v)
{
    static const char *const names[RP_METHODS] = {
        [RP_METHOD_NONE] = "none", [RP_METHOD_PASSWORD] = "password", [RP_METHOD_MD5] = "md5",
        [RP_METHOD_GSS] = "gss",   [RP_METHOD_SSPI] = "sspi",         [RP_METHOD_SCRAM] = "scram-sha-256",
        [RP_METHOD_OAUTH] = "oauth",
    };
    bool negative = v->text[0] == '!';
    uint32_t named = 0;
    for (const char *at = v->text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        if ((*at == '!') != negative) return REFUSE(v, ": either all of the methods have a \"!\", or none has");
        const char *name = at + negative;
        size_t size = strcspn(name, ","), i = 0;
        while (i < RP_METHODS && (strlen(names[i]) != size || memcmp(names[i], name, size) != 0)) i++;
        if (i == RP_METHODS)
            return REFUSE(v, ": the methods are none, password, md5, gss, sspi, scram-sha-256, oauth");
        if (named & 1u << i) return REFUSE(v, ": %s stands there twice", names[i]);
        named |= 1u << i;
    }
    *(uint32_t *)v->field = negative ? named : ~named & ((1u << RP_METHODS) - 1);
    return 0;
}

/* Nothing that a server, its logs or whoever reads them would take for more than one value. */
static int check_startup(const struct value *v, struct rp_piece piece)
{
    char c;
    while (rp_piece_next(&piece, &c))
        if (c == '\n' || c == '\r' || c == '\0') return REFUSE(v, ": a line break in it");
    return 0;
}

static int check(struct value *v, struct rp_piece piece)
{
    char small[SMALL];
    const struct rp_option *o = v->option;
    if (o->startup) return check_startup(v, piece);
    if (o->kind <= RP_IGNORED) return 0;
    if (!rp_piece_copy(piece, small, sizeof small)) strcpy(small, "?");
    v->text = small;
    int rc;
    switch (o->kind) {
    case RP_CHOICE:
    case RP_ONE_OF:
    case RP_ANY_CASE: rc = check_choice(v); break;
    case RP_METHODS_OF: rc = check_methods(v); break;
    case RP_DURATION:
    case RP_BYTES: rc = check_amount(v); break;
    default: rc = check_integer(v); break;
    }
    explicit_bzero(small, sizeof small); /* what a slip of the pen made of a password */
    return rc;
}

int rp_keyword_apply(const struct rp_pieces *pieces, struct rp_conninfo *out, struct pg_error *error)
{
    for (int i = 0; i < rp_noptions; i++) {
        struct value v = { .pieces = pieces, .keyword = i, .option = &rp_options[i], .error = error,
                           .field = (char *)out + rp_options[i].field };
        if (pieces->of[i].size == 0) continue;
        int rc = check(&v, pieces->of[i]);
        if (rc) return rc;
    }
    return 0;
}

void rp_keyword_texts(const struct rp_pieces *pieces, struct rp_conninfo *out,
                      void (*text)(void *arg, struct rp_piece piece, const char **field), void *arg)
{
    for (int i = 0; i < rp_noptions; i++)
        if (rp_options[i].kind <= RP_LIST && pieces->of[i].size > 0)
            text(arg, pieces->of[i], (const char **)(void *)((char *)out + rp_options[i].field));
}

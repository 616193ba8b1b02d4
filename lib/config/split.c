/* config/split.c - a connection string into pieces: "keyword = value ..." and the URI, by libpq's rules (PostgreSQL,
 * "Connection Strings"). Owns nothing, copies nothing, knows no value's meaning.
 *
 * Invariants: the later of two values wins; every percent escape in a piece is valid. An error text quotes a keyword
 * that the table has, never what stands around it: that may be a password with a space, a quote or an "@" too many. */
#include "config/piece.h"
#include "wire/check.h"
#include "wire/error.h"
#include <string.h>

/* ---- pieces ---- */

static int hex(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Goes to the next character that belongs to the half that is asked for; false: the end. A comma belongs to both. */
static bool seek(struct rp_piece *rest)
{
    for (; rest->half && rest->size > 0; rest->at++, rest->size--) {
        char c = rest->at[0];
        if (rest->place == RP_IN_BRACKETS && c == ']') {
            rest->place = RP_IN_NAME;
        } else if (rest->place == RP_AT_ELEMENT && c == '[') {
            rest->place = RP_IN_BRACKETS;
        } else if (rest->place < RP_IN_BRACKETS && c == ':') {
            rest->place = RP_IN_PORT;
        } else if (c == ',') {
            rest->place = RP_AT_ELEMENT;
            return true;
        } else {
            if (rest->place == RP_AT_ELEMENT) rest->place = RP_IN_NAME;
            if ((rest->place == RP_IN_PORT) == (rest->half == RP_HALF_PORTS)) return true;
        }
    }
    return rest->size > 0;
}

bool rp_piece_next(struct rp_piece *rest, char *c)
{
    if (!seek(rest)) return false;
    size_t taken = 1;
    *c = rest->at[0];
    if (rest->escape == RP_ESCAPE_BACKSLASH && *c == '\\') {
        if (rest->size == 1) { /* a last lone backslash is nothing */
            rest->size = 0;
            return false;
        }
        *c = rest->at[1];
        taken = 2;
    } else if (rest->escape == RP_ESCAPE_PERCENT && *c == '%') {
        RP_ASSERT(rest->size >= 3);
        *c = (char)(hex(rest->at[1]) << 4 | hex(rest->at[2]));
        taken = 3;
    }
    rest->at += taken;
    rest->size -= taken;
    return true;
}

size_t rp_piece_size(struct rp_piece piece)
{
    size_t size = 0;
    char c;
    while (rp_piece_next(&piece, &c)) size++;
    return size;
}

bool rp_piece_copy(struct rp_piece piece, char *out, size_t capacity)
{
    char c;
    while (rp_piece_next(&piece, &c)) {
        if (capacity <= 1) return false;
        *out++ = c;
        capacity--;
    }
    *out = '\0';
    return true;
}

/* NULL, or what is wrong with a percent escape in it. */
static const char *piece_fault(struct rp_piece piece)
{
    if (piece.escape != RP_ESCAPE_PERCENT) return NULL;
    while (seek(&piece)) {
        size_t taken = 1;
        if (piece.at[0] == '%') {
            if (piece.size < 3 || hex(piece.at[1]) < 0 || hex(piece.at[2]) < 0) return "bad percent-encoding";
            if (piece.at[1] == '0' && piece.at[2] == '0') return "%00 is not allowed";
            taken = 3;
        }
        piece.at += taken;
        piece.size -= taken;
    }
    return NULL;
}

/* ---- what both spellings share ---- */

/* `quotable`: no part of a password can stand where this name was read. */
static int unknown(const char *name, size_t size, bool quotable, struct pg_error *error)
{
    bool word = size > 0 && size <= 40;
    for (size_t i = 0; i < size && word; i++) {
        char c = name[i];
        word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    }
    if (word && quotable) return rp_error_set(error, PG_E_CONFIG, "unknown option \"%.*s\"", (int)size, name);
    return rp_error_set(error, PG_E_CONFIG, "unknown option (its name is not shown: it may be a part of the password)");
}

static int missing_equals(int keyword, struct pg_error *error)
{
    if (keyword < 0) return rp_error_set(error, PG_E_CONFIG, "missing \"=\" after an option's name");
    return rp_error_set(error, PG_E_CONFIG, "missing \"=\" after \"%s\"", rp_keyword_name(keyword));
}

static int set(struct rp_pieces *out, int keyword, struct rp_piece piece, struct pg_error *error)
{
    const char *fault = piece_fault(piece);
    if (fault) return rp_error_set(error, PG_E_CONFIG, "%s: %s", rp_keyword_name(keyword), fault);
    if (rp_piece_size(piece) == 0) piece.size = 0;
    piece.origin = RP_FROM_STRING;
    out->of[keyword] = piece;
    return 0;
}

/* ---- keyword = value ---- */

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* A value in quotes or up to white space; `*at` goes behind it. False: the quote is not closed. */
static bool take_value(const char **at, struct rp_piece *piece)
{
    const char *p = *at;
    bool quoted = *p == '\'';
    if (quoted) p++;
    const char *start = p;
    for (; *p && (quoted ? *p != '\'' : !is_space(*p)); p++)
        if (*p == '\\' && p[1]) p++;
    *piece = (struct rp_piece){ .at = start, .size = (size_t)(p - start), .escape = RP_ESCAPE_BACKSLASH };
    if (quoted && !*p) return false;
    *at = quoted ? p + 1 : p;
    return true;
}

int rp_split_keywords(struct rp_pieces *out, const char *text, struct pg_error *error)
{
    bool secret_seen = false; /* from here on an unknown name may be the rest of a password with a space in it */
    for (const char *p = text;;) {
        while (is_space(*p)) p++;
        if (!*p) return 0;
        const char *name = p;
        while (*p && *p != '=' && !is_space(*p)) p++;
        size_t size = (size_t)(p - name);
        int keyword = rp_keyword_find(name, size);
        while (is_space(*p)) p++;
        if (*p != '=') return missing_equals(keyword, error);
        if (keyword < 0) return unknown(name, size, !secret_seen, error);
        for (p++; is_space(*p);) p++;
        secret_seen |= rp_keyword_is_secret(keyword);

        struct rp_piece piece;
        if (!take_value(&p, &piece))
            return rp_error_set(error, PG_E_CONFIG, "%s: the quoted value has no end", rp_keyword_name(keyword));
        int rc = set(out, keyword, piece, error);
        if (rc) return rc;
    }
}

/* ---- URI ---- */

static const char *after_scheme(const char *text)
{
    static const char *const schemes[] = { "postgresql://", "postgres://" };
    for (size_t i = 0; i < RP_COUNT(schemes); i++)
        if (strncmp(text, schemes[i], strlen(schemes[i])) == 0) return text + strlen(schemes[i]);
    return NULL;
}

bool rp_split_is_uri(const char *text)
{
    return after_scheme(text) != NULL;
}

/* [at, end) is a part of the URI; an empty one says nothing. */
static int part(struct rp_pieces *out, int keyword, const char *at, const char *end, struct pg_error *error)
{
    if (at == end) return 0;
    return set(out, keyword, (struct rp_piece){ .at = at, .size = (size_t)(end - at), .escape = RP_ESCAPE_PERCENT },
               error);
}

static int credentials(struct rp_pieces *out, const char *at, const char *end, struct pg_error *error)
{
    const char *colon = memchr(at, ':', (size_t)(end - at));
    int rc = part(out, RP_KEY_USER, at, colon ? colon : end, error);
    if (!rc && colon) rc = part(out, RP_KEY_PASSWORD, colon + 1, end, error);
    return rc;
}

/* One host or [host], and :port. `*at` goes behind it. */
static int host_and_port(const char **at, struct pg_error *error)
{
    const char *p = *at;
    if (*p == '[') {
        const char *host = ++p;
        p += strcspn(p, "]");
        if (!*p) return rp_error_set(error, PG_E_CONFIG, "host: no \"]\" after the IPv6 address");
        if (p == host) return rp_error_set(error, PG_E_CONFIG, "host: the IPv6 address is empty");
        if (memchr(host, ',', (size_t)(p - host)))
            return rp_error_set(error, PG_E_CONFIG, "host: not a numeric address between \"[\" and \"]\"");
        if (!strchr(":/?,", *++p)) return rp_error_set(error, PG_E_CONFIG, "host: something stands behind the \"]\"");
    } else {
        p += strcspn(p, ":/?,");
    }
    if (*p == ':') p += strcspn(p, "/?,");
    *at = p;
    return 0;
}

/* As part(): "//:5432/d" says nothing of the host. */
static int half(struct rp_pieces *out, int keyword, enum rp_half which, struct rp_piece piece, struct pg_error *error)
{
    piece.half = which;
    int rc = set(out, keyword, piece, error);
    if (!rc && out->of[keyword].size == 0) out->of[keyword].origin = RP_FROM_NOWHERE;
    return rc;
}

/* host:port,[host]:port ... `*at` goes to what follows: the end, "/" or "?". */
static int hosts_and_ports(struct rp_pieces *out, const char **at, struct pg_error *error)
{
    const char *p = *at;
    int rc = host_and_port(&p, error);
    while (!rc && *p == ',') {
        p++;
        rc = host_and_port(&p, error);
    }
    struct rp_piece piece = { .at = *at, .size = (size_t)(p - *at), .escape = RP_ESCAPE_PERCENT };
    *at = p;
    if (!rc) rc = half(out, RP_KEY_HOST, RP_HALF_HOSTS, piece, error);
    if (!rc) rc = half(out, RP_KEY_PORT, RP_HALF_PORTS, piece, error);
    return rc;
}

/* name=value, both percent-encoded; `quotable` as above, and false behind a password. */
static int parameter(struct rp_pieces *out, const char *at, const char *end, bool *quotable, struct pg_error *error)
{
    char name[64] = "";
    const char *equals = memchr(at, '=', (size_t)(end - at));
    struct rp_piece raw = { .at = at, .size = (size_t)((equals ? equals : end) - at), .escape = RP_ESCAPE_PERCENT };
    if (piece_fault(raw)) return rp_error_set(error, PG_E_CONFIG, "bad percent-encoding in an option's name");
    bool fits = rp_piece_copy(raw, name, sizeof name);
    int keyword = fits ? rp_keyword_find(name, strlen(name)) : -1;
    if (!equals) return missing_equals(keyword, error);
    struct rp_piece value = { .at = equals + 1, .size = (size_t)(end - equals - 1), .escape = RP_ESCAPE_PERCENT };
    if (fits && strcmp(name, "ssl") == 0 && value.size == 4 && memcmp(value.at, "true", 4) == 0) { /* JDBC's spelling */
        out->of[RP_KEY_SSLMODE] = rp_piece_of("require", RP_FROM_STRING);
        return 0;
    }
    if (keyword < 0) return unknown(name, fits ? strlen(name) : 0, *quotable, error);
    *quotable &= !rp_keyword_is_secret(keyword);
    if (memchr(value.at, '=', value.size))
        return rp_error_set(error, PG_E_CONFIG, "%s: a second \"=\"; percent-encode it", rp_keyword_name(keyword));
    return set(out, keyword, value, error);
}

static int parameters(struct rp_pieces *out, const char *p, struct pg_error *error)
{
    bool quotable = strchr(p, '@') == NULL; /* else a password with a "?" or "/" may be what is read here */
    while (*p) {
        const char *end = p + strcspn(p, "&");
        int rc = parameter(out, p, end, &quotable, error);
        if (rc) return rc;
        p = *end ? end + 1 : end;
    }
    return 0;
}

int rp_split_uri(struct rp_pieces *out, const char *text, struct pg_error *error)
{
    const char *p = after_scheme(text);
    RP_ASSERT(p != NULL);
    const char *at = p + strcspn(p, "@/");
    if (*at == '@') {
        int rc = credentials(out, p, at, error);
        if (rc) return rc;
        p = at + 1;
    }
    int rc = hosts_and_ports(out, &p, error);
    if (!rc && *p == '/') {
        const char *dbname = p + 1;
        p = dbname + strcspn(dbname, "?");
        rc = part(out, RP_KEY_DBNAME, dbname, p, error);
    }
    return !rc && *p == '?' ? parameters(out, p + 1, error) : rc;
}

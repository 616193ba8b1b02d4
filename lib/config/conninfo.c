/* config/conninfo.c - a connection string as values: split, checked, then copied. Owns the strings' one block.
 *
 * Invariants: nothing is allocated before every check has passed; the block is sized before it is filled and filled
 * exactly; every string of the struct but a default is in it. Must never know descriptors, threads or the reactor's
 * state. */
#include "config/conninfo.h"
#include "config/piece.h"
#include "wire/check.h"
#include "wire/error.h"
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#define S (UINT64_C(1000000000))

static const struct rp_conninfo defaults = {
    .keepalives = true,
    .pool_max_conns = 4,
    .pool_max_waiters = 10000,
    .pool_connecting_limit = 4,
    .pool_max_pipeline = 64,
    .pool_max_conn_lifetime_ns = 3600 * S,
    .pool_max_conn_idle_time_ns = 1800 * S,
    .pool_health_check_period_ns = 60 * S,
    .pool_acquire_timeout_ns = 10 * S,
    .pool_codel_interval_ns = S / 10,
    .pool_close_linger_ns = 5 * S,
    .pool_slow_statement_ns = S / 50,
    .pool_max_row_bytes = 16 << 20,
    .pool_max_scram_iterations = 1000000,
};

static bool absent(const struct rp_pieces *pieces, enum rp_keyword keyword)
{
    return pieces->of[keyword].size == 0;
}

/* What is not there is said by a piece of other text, which must live until the strings are copied. */
static void fill(struct rp_pieces *pieces, enum rp_keyword keyword, const char *text)
{
    pieces->of[keyword] = (struct rp_piece){ .at = text, .size = strlen(text), .escape = RP_ESCAPE_NONE };
}

/* The operating system's name of whoever runs this, by its effective id, as libpq does. */
static int system_user(char *buffer, size_t size, const char **name, struct pg_error *error)
{
    struct passwd entry, *found = NULL;
    int rc = getpwuid_r(geteuid(), &entry, buffer, size, &found);
    if (rc || !found || !*entry.pw_name)
        return rp_error_set(error, PG_E_CONFIG, "user: absent, and the operating system has no name for its own");
    *name = entry.pw_name;
    return 0;
}

int rp_conninfo_check(const struct rp_conninfo *c, struct pg_error *error)
{
    if (c->pool_min_conns > c->pool_max_conns)
        return rp_error_set(error, PG_E_CONFIG, "pool_min_conns: %u is above pool_max_conns, %u", c->pool_min_conns,
                            c->pool_max_conns);
    if (c->pool_min_idle_conns > c->pool_max_conns)
        return rp_error_set(error, PG_E_CONFIG, "pool_min_idle_conns: %u is above pool_max_conns, %u",
                            c->pool_min_idle_conns, c->pool_max_conns);
    if (c->pool_reserved_conns >= c->pool_max_conns)
        return rp_error_set(error, PG_E_CONFIG, "pool_reserved_conns: %u is not below pool_max_conns, %u",
                            c->pool_reserved_conns, c->pool_max_conns);
    return 0;
}

static void count_text(void *arg, struct rp_piece piece, const char **field)
{
    (void)field;
    *(size_t *)arg += rp_piece_size(piece) + 1;
}

static void copy_text(void *arg, struct rp_piece piece, const char **field)
{
    char **at = arg;
    size_t size = rp_piece_size(piece) + 1;
    bool fits = rp_piece_copy(piece, *at, size);
    RP_ASSERT(fits);
    *field = *at;
    *at += size;
}

/* Names that go by other names, and defaults that are text. */
static int fill_absent(struct rp_pieces *pieces, char *buffer, size_t size, struct pg_error *error)
{
    if (absent(pieces, RP_KEY_APPLICATION_NAME))
        pieces->of[RP_KEY_APPLICATION_NAME] = pieces->of[RP_KEY_FALLBACK_APPLICATION_NAME];
    pieces->of[RP_KEY_FALLBACK_APPLICATION_NAME].size = 0;
    if (absent(pieces, RP_KEY_USER)) {
        const char *name = NULL;
        int rc = system_user(buffer, size, &name, error);
        if (rc) return rc;
        fill(pieces, RP_KEY_USER, name);
    }
    if (absent(pieces, RP_KEY_DBNAME)) pieces->of[RP_KEY_DBNAME] = pieces->of[RP_KEY_USER];
    return 0;
}

int rp_conninfo_parse(struct rp_conninfo *out, const char *text, void *(*allocate)(void *arg, size_t bytes), void *arg,
                      struct pg_error *error)
{
    RP_ASSERT(out != NULL && allocate != NULL);
    struct rp_pieces pieces = { 0 };
    struct rp_conninfo c = defaults;
    char buffer[4096];
    memset(out, 0, sizeof *out);
    if (!text) text = "";
    int rc = rp_split_is_uri(text) ? rp_split_uri(&pieces, text, error) : rp_split_keywords(&pieces, text, error);
    if (!rc) rc = rp_hosts_apply(&pieces, &c, error);
    if (!rc) rc = rp_keyword_apply(&pieces, &c, error);
    if (!rc) rc = fill_absent(&pieces, buffer, sizeof buffer, error);
    if (rc) return rc;

    rp_keyword_texts(&pieces, &c, count_text, &c.storage_size);
    c.storage = allocate(arg, c.storage_size);
    if (!c.storage) return rp_error_set(error, -ENOMEM, "no memory for the connection string");
    char *end = c.storage;
    rp_keyword_texts(&pieces, &c, copy_text, &end);
    RP_ASSERT(end == c.storage + c.storage_size);
    rp_hosts_cut(&c);
    *out = c;
    return 0;
}

void rp_conninfo_wipe(struct rp_conninfo *c, void (*deallocate)(void *arg, void *at, size_t bytes), void *arg)
{
    if (c->storage) {
        explicit_bzero(c->storage, c->storage_size);
        deallocate(arg, c->storage, c->storage_size);
    }
    memset(c, 0, sizeof *c);
}

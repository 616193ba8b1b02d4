/* config/conninfo.c - a connection string as values: split, completed from files and environment, checked, then copied.
 * Owns the strings' one block.
 *
 * Invariants: no string is copied before every check has passed; the block is sized before it is filled and filled
 * exactly; every string of the struct but a default is in it, or is a password of passfile.c. Must never know
 * descriptors, threads or the reactor's state. */
#include "config/conninfo.h"
#include "config/piece.h"
#include "wire/check.h"
#include "wire/error.h"
#include <errno.h>
#include <langinfo.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define S (UINT64_C(1000000000))

static const struct rp_conninfo defaults = {
    .keepalives = true,
    .sslmode = RP_SSLMODE_PREFER,
    .sslcertmode = RP_SSLCERTMODE_ALLOW,
    .channel_binding = RP_CHANNEL_BINDING_PREFER,
    .ssl_min_protocol_version = RP_TLS_1_2,
    .ssl_max_protocol_version = RP_TLS_NEWEST,
    .sslsni = true,
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
    .statement_cache_capacity = 256,
    .statement_cache_bytes = 256 << 10,
};

/* What is not there is said by a piece of other text, which must live until the strings are copied. */
static void fill(struct rp_pieces *pieces, enum rp_keyword keyword, const char *text)
{
    pieces->of[keyword] = rp_piece_of(text, RP_FROM_NOWHERE);
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

/* "auto": what the program's locale has, in a name that the server knows. */
static void fill_encoding(struct rp_pieces *pieces, char *name, size_t size)
{
    char said[8];
    if (!rp_piece_copy(pieces->of[RP_KEY_CLIENT_ENCODING], said, sizeof said) || strcmp(said, "auto") != 0) return;
    const char *codeset = nl_langinfo(CODESET);
    if (!*codeset || strncmp(codeset, "ANSI_X3", 7) == 0) snprintf(name, size, "SQL_ASCII");
    else if (strncmp(codeset, "CP", 2) == 0) snprintf(name, size, "WIN%s", codeset + 2);
    else snprintf(name, size, "%s", codeset);
    fill(pieces, RP_KEY_CLIENT_ENCODING, name);
}

/* Names that go by other names, and defaults that are text. An application_name that is there and empty is none. */
static int fill_absent(struct rp_pieces *pieces, char *buffer, size_t size, struct pg_error *error)
{
    if (rp_piece_absent(pieces, RP_KEY_APPLICATION_NAME))
        pieces->of[RP_KEY_APPLICATION_NAME] = pieces->of[RP_KEY_FALLBACK_APPLICATION_NAME];
    pieces->of[RP_KEY_FALLBACK_APPLICATION_NAME].size = 0;
    if (pieces->of[RP_KEY_USER].size == 0) {
        const char *name = NULL;
        int rc = system_user(buffer, size, &name, error);
        if (rc) return rc;
        fill(pieces, RP_KEY_USER, name);
    }
    if (pieces->of[RP_KEY_DBNAME].size == 0) pieces->of[RP_KEY_DBNAME] = pieces->of[RP_KEY_USER];
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

/* ---- the whole ---- */

/* The string, and what it leaves open. */
static int collect(struct rp_pieces *pieces, const char *text, enum rp_sources sources, struct rp_file *file,
                   const struct rp_memory *memory, struct pg_error *error)
{
    static const char off[] = ": files are switched off (PG_POOL_STRING_ONLY)";
    int rc = rp_split_is_uri(text) ? rp_split_uri(pieces, text, error) : rp_split_keywords(pieces, text, error);
    if (rc) return rc;
    if (sources == RP_SOURCES_STRING) {
        if (pieces->of[RP_KEY_SERVICE].size) return rp_keyword_refuse(pieces, RP_KEY_SERVICE, error, "%s", off);
        if (pieces->of[RP_KEY_PASSFILE].size) return rp_keyword_refuse(pieces, RP_KEY_PASSFILE, error, "%s", off);
        return 0;
    }
    rc = rp_service_apply(pieces, file, memory, error);
    if (!rc) rp_environment_apply(pieces);
    return rc;
}

static int copy_texts(struct rp_conninfo *c, const struct rp_pieces *pieces, const struct rp_memory *memory,
                      struct pg_error *error)
{
    rp_keyword_texts(pieces, c, count_text, &c->storage_size);
    c->storage = memory->allocate(memory->arg, c->storage_size);
    if (!c->storage) return rp_error_set(error, -ENOMEM, "no memory for the connection string");
    char *end = c->storage;
    rp_keyword_texts(pieces, c, copy_text, &end);
    RP_ASSERT(end == c->storage + c->storage_size);
    rp_hosts_cut(c);
    return 0;
}

/* requirepeer, if there is anybody whom it is about. */
static int find_peer(struct rp_conninfo *c, const struct rp_pieces *pieces, struct pg_error *error)
{
    struct rp_piece piece = pieces->of[RP_KEY_REQUIREPEER];
    char buffer[4096], name[64];
    struct passwd entry, *found = NULL;
    if (piece.size == 0 || !c->sockets) return 0;
    if (!rp_piece_copy(piece, name, sizeof name) || getpwnam_r(name, &entry, buffer, sizeof buffer, &found) || !found)
        return rp_keyword_refuse(pieces, RP_KEY_REQUIREPEER, error, ": the operating system has no user of that name");
    c->peer = entry.pw_uid;
    return 0;
}

static int check_and_copy(struct rp_conninfo *c, struct rp_pieces *pieces, const struct rp_memory *memory,
                          struct pg_error *error)
{
    char buffer[4096], encoding[64];
    int rc = rp_hosts_apply(pieces, c, error);
    if (!rc) rc = rp_keyword_apply(pieces, c, error);
    if (!rc) rc = find_peer(c, pieces, error);
    if (!rc) rc = fill_absent(pieces, buffer, sizeof buffer, error);
    fill_encoding(pieces, encoding, sizeof encoding);
    if (!rc) rc = copy_texts(c, pieces, memory, error);
    if (rc) return rc;
    /* What follows from several values. */
    if (c->sslrootcert && strcmp(c->sslrootcert, "system") == 0 && rp_piece_absent(pieces, RP_KEY_SSLMODE))
        c->sslmode = RP_SSLMODE_VERIFY_FULL;
    if (c->min_protocol_version > RP_PROTOCOL_3_2) c->min_protocol_version = RP_PROTOCOL_3_2; /* "latest" */
    if (c->max_protocol_version > RP_PROTOCOL_3_2) c->max_protocol_version = RP_PROTOCOL_3_2;
    return 0;
}

int rp_conninfo_parse(struct rp_conninfo *out, const char *text, enum rp_sources sources,
                      const struct rp_memory *memory, struct pg_error *error)
{
    RP_ASSERT(out != NULL && memory->allocate != NULL && memory->deallocate != NULL);
    struct rp_pieces pieces = { 0 };
    struct rp_conninfo c = defaults;
    struct rp_file service = { 0 };
    memset(out, 0, sizeof *out);
    int rc = collect(&pieces, text ? text : "", sources, &service, memory, error);
    if (!rc) rc = check_and_copy(&c, &pieces, memory, error);
    rp_file_close(&service, memory);
    c.outside = sources == RP_SOURCES_ALL;
    if (!rc && c.outside && rp_passfile_apply(&c, memory))
        rc = rp_error_set(error, -ENOMEM, "no memory for the password file");
    if (rc) rp_conninfo_wipe(&c, memory);
    else *out = c;
    return rc;
}

static void wipe_block(char *at, size_t size, const struct rp_memory *memory)
{
    if (!at) return;
    explicit_bzero(at, size);
    memory->deallocate(memory->arg, at, size);
}

void rp_conninfo_wipe(struct rp_conninfo *c, const struct rp_memory *memory)
{
    wipe_block(c->storage, c->storage_size, memory);
    wipe_block(c->secrets, c->secrets_size, memory);
    memset(c, 0, sizeof *c);
}

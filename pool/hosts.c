/* pool/hosts.c - the hosts of a pool: where each is, whether it may be tried, and which one the next connect goes to.
 * Owns the addresses and one circuit per host and pool. It must never know who waits, nor what is said on a connection.
 *
 * A connect goes to one host, over its addresses in their order. Which host: the first in the string's order (or at
 * random: load_balance_hosts) of the best of these kinds,
 *
 *      1. its circuit is closed, or was opened so long ago that it is worth a look while there is room for others, too;
 *         and it is what target_session_attrs asks for, as far as is known
 *      2. its circuit is open, or it was not what is asked for, and the time has come: the one trial
 *      3. of prefer-standby: whatever it is, if it can be reached
 *
 * and else none; then the pool waits for the earliest time. So a host that is down costs the others nothing, and one
 * that comes back is found within its backoff when it is needed, and within RETURN_NS when it is not. */
#include "pool/hosts.h"
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>
#include "pool/state.h"

static const uint64_t RETURN_NS = 30ull * 1000000000;

/* ---- where a host is ---- */

bool rp_host_is_socket(const struct rp_host *host)
{
    return !host->info->hostaddr && (host->info->name[0] == '/' || host->info->name[0] == '@');
}

static int resolve_unix(struct rp_host *host, struct pg_error *error)
{
    const char *directory = host->info->name;
    struct sockaddr_un *un = (struct sockaddr_un *)&host->address[0].at;
    size_t n = strlen(host->where);
    if (n >= sizeof un->sun_path)
        return rp_error_set(error, PG_E_CONFIG, "host: the socket's path is longer than %zu bytes",
                            sizeof un->sun_path - 1);
    memset(un, 0, sizeof *un);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, host->where, n);
    if (directory[0] == '@') un->sun_path[0] = 0; /* abstract */
    host->address[0].size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (directory[0] != '@'));
    host->naddresses = 1;
    return 0;
}

/* getaddrinfo can block; that is documented. What was known before stays if the name cannot be resolved now. */
static int resolve(struct rp_host *host, struct pg_error *error)
{
    const char *name = host->info->hostaddr ? host->info->hostaddr : host->info->name;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *list = NULL;
    char port[8];
    if (rp_host_is_socket(host)) return resolve_unix(host, error);
    snprintf(port, sizeof port, "%u", host->info->port);
    int rc = getaddrinfo(name, port, &hints, &list);
    if (rc == EAI_NONAME && !host->info->hostaddr) {
        hints.ai_flags = AI_NUMERICSERV;
        rc = getaddrinfo(name, port, &hints, &list);
    }
    if (rc) return rp_error_set(error, PG_E_UNAVAILABLE, "cannot resolve host \"%s\": %s", name, gai_strerror(rc));
    uint32_t n = 0;
    for (struct addrinfo *a = list; a && n < RP_ADDRESSES_MAX; a = a->ai_next, n++) {
        memcpy(&host->address[n].at, a->ai_addr, a->ai_addrlen);
        host->address[n].size = a->ai_addrlen;
    }
    freeaddrinfo(list);
    host->naddresses = n;
    return 0;
}

static void name_place(struct rp_host *host)
{
    const struct rp_conninfo_host *i = host->info;
    const char *name = i->hostaddr ? i->hostaddr : i->name;
    snprintf(host->where, sizeof host->where, rp_host_is_socket(host) ? "%s/.s.PGSQL.%u" : "%s:%u", name, i->port);
}

int rp_hosts_open(struct pg_pool *pool, struct pg_error *error)
{
    struct pg_error why = { 0 };
    bool any = false;
    pool->hosts.count = pool->info.nhosts;
    pool->hosts.at = rp_alloc(pool->reactor, pool->hosts.count * sizeof *pool->hosts.at);
    if (!pool->hosts.at) return -ENOMEM;
    for (uint32_t i = 0; i < pool->hosts.count; i++) {
        struct rp_host *host = &pool->hosts.at[i];
        host->info = &pool->info.host[i];
        name_place(host);
        if (resolve(host, &why) == 0) any = true;
        else if (why.code != PG_E_UNAVAILABLE) return rp_error_set(error, why.code, "%s", pg_error_field(&why, 'M'));
    }
    return any ? 0 : rp_error_set(error, why.code, "%s", pg_error_field(&why, 'M'));
}

/* Nobody but the host itself is shown what the password file has for it (CVE-2018-10915), nor what is derived of it. */
void rp_hosts_log_in(struct pg_pool *pool)
{
    for (uint32_t i = 0; i < pool->hosts.count; i++) {
        struct rp_host *host = &pool->hosts.at[i];
        host->session = pool->config.session;
        if (host->info->password) host->session.password = host->info->password;
    }
}

void rp_hosts_wipe(struct pg_pool *pool)
{
    for (uint32_t i = 0; pool->hosts.at && i < pool->hosts.count; i++)
        explicit_bzero(&pool->hosts.at[i].keys, sizeof pool->hosts.at[i].keys);
}

void rp_hosts_free(struct pg_pool *pool)
{
    rp_hosts_wipe(pool);
    if (pool->hosts.at) rp_free(pool->reactor, pool->hosts.at, pool->hosts.count * sizeof *pool->hosts.at);
    pool->hosts.at = NULL;
}

/* ---- which one is next ---- */

/* Nobody needs it: then it is looked at when it may have come back, if that takes nobody's place. */
static bool worth_a_look(const struct pg_pool *pool, const struct rp_host *host, uint64_t now)
{
    return rp_circuit_permits(&host->circuit, host->connecting, now) && now >= host->circuit.until_ns + RETURN_NS &&
           rp_pool_total(pool) + 1 < pool->info.pool_max_conns;
}

static bool is_of_kind(const struct pg_pool *pool, const struct rp_host *host, int kind, uint64_t now)
{
    bool reachable = rp_circuit_permits(&host->circuit, host->connecting, now);
    switch (kind) {
    case 1:
        return host->role.state == RP_CIRCUIT_CLOSED &&
               (host->circuit.state == RP_CIRCUIT_CLOSED || worth_a_look(pool, host, now));
    case 2: return reachable && rp_circuit_permits(&host->role, host->connecting, now);
    default: return reachable && pool->info.target == RP_TARGET_PREFER_STANDBY;
    }
}

static bool serves(const struct rp_host *host)
{
    return host->circuit.state == RP_CIRCUIT_CLOSED && host->role.state == RP_CIRCUIT_CLOSED;
}

/* The order of this once: the string's, or a shuffled one. */
static void put_in_order(struct pg_pool *pool, uint8_t order[RP_HOSTS_MAX])
{
    for (uint32_t i = 0; i < pool->hosts.count; i++) order[i] = (uint8_t)i;
    if (!pool->info.load_balance_hosts) return;
    for (uint32_t i = pool->hosts.count - 1; i > 0; i--) {
        uint32_t k = rp_random(pool->reactor) % (i + 1);
        uint8_t kept = order[i];
        order[i] = order[k];
        order[k] = kept;
    }
}

struct rp_host *rp_hosts_next(struct pg_pool *pool, bool *any)
{
    uint8_t order[RP_HOSTS_MAX];
    uint64_t now = rp_now(pool->reactor);
    put_in_order(pool, order);
    for (int kind = 1; kind <= 3; kind++) {
        *any = kind == 3;
        for (uint32_t i = 0; i < pool->hosts.count; i++)
            if (is_of_kind(pool, &pool->hosts.at[order[i]], kind, now)) return &pool->hosts.at[order[i]];
    }
    return NULL;
}

uint64_t rp_hosts_time(const struct pg_pool *pool)
{
    uint64_t earliest = PG_NEVER;
    bool whatever = pool->info.target == RP_TARGET_PREFER_STANDBY; /* kind 3 */
    for (uint32_t i = 0; i < pool->hosts.count; i++) {
        const struct rp_host *host = &pool->hosts.at[i];
        uint64_t at_ns = host->circuit.state == RP_CIRCUIT_OPEN ? host->circuit.until_ns : 0;
        if (!whatever && host->role.state == RP_CIRCUIT_OPEN && host->role.until_ns > at_ns)
            at_ns = host->role.until_ns;
        if (!serves(host) && !host->connecting && at_ns < earliest) earliest = at_ns;
    }
    return earliest;
}

static bool another_of_kind(const struct rp_slot *slot, int kind)
{
    const struct rp_hosts *hosts = &slot->pool->hosts;
    uint64_t now = rp_now(slot->pool->reactor);
    for (uint32_t i = 0; i < hosts->count; i++)
        if (&hosts->at[i] != slot->host && is_of_kind(slot->pool, &hosts->at[i], kind, now)) return true;
    return false;
}

bool rp_hosts_other(const struct rp_slot *slot) { return another_of_kind(slot, 2); } /* those of kind 1 are, too */
bool rp_hosts_elsewhere(const struct rp_slot *slot) { return rp_hosts_other(slot) || another_of_kind(slot, 3); }

const struct rp_host *rp_hosts_asked(const struct pg_pool *pool)
{
    for (uint32_t i = 0; i < pool->hosts.count; i++)
        if (pool->hosts.at[i].connecting) return &pool->hosts.at[i];
    return &pool->hosts.at[0];
}

uint32_t rp_hosts_coming(const struct pg_pool *pool)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < pool->hosts.count; i++) {
        const struct rp_host *host = &pool->hosts.at[i];
        bool fits = host->role.state == RP_CIRCUIT_CLOSED || pool->info.target == RP_TARGET_PREFER_STANDBY;
        if (fits && host->circuit.state == RP_CIRCUIT_CLOSED) n += host->connecting - rp_listen_tries(pool, host);
    }
    return n;
}

/* ---- a try, from its beginning to its end ---- */

void rp_try_begin(struct rp_slot *slot, struct rp_host *host, bool any)
{
    uint64_t now = rp_now(slot->pool->reactor);
    slot->host = host;
    slot->trying = true;
    slot->any = any;
    rp_circuit_move(&host->circuit, RP_TRY_BEGUN, now, 0);
    if (!any) rp_circuit_move(&host->role, RP_TRY_BEGUN, now, 0);
    host->connecting++;
}

static void end_try(struct rp_slot *slot, enum rp_circuit_event how)
{
    RP_ASSERT(slot->trying && slot->host->connecting > 0);
    slot->trying = false;
    slot->host->connecting--;
    rp_circuit_move(&slot->host->circuit, how, rp_now(slot->pool->reactor), rp_random(slot->pool->reactor));
    rp_circuit_move(&slot->host->role, RP_TRY_GIVEN_UP, 0, 0); /* if it was judged, that stands */
}

void rp_try_up(struct rp_slot *slot)
{
    end_try(slot, RP_TRY_SUCCEEDED);
    for (uint32_t i = 0; i < slot->pool->hosts.count; i++) slot->pool->hosts.at[i].error.code = 0;
    slot->pool->connect_error.code = 0;
}

void rp_host_blame(struct rp_slot *slot)
{
    rp_circuit_move(&slot->host->circuit, RP_TRY_FAILED, rp_now(slot->pool->reactor), rp_random(slot->pool->reactor));
}

void rp_try_given_up(struct rp_slot *slot)
{
    if (slot->trying) end_try(slot, RP_TRY_GIVEN_UP);
}

/* What the server will say again, however often it is asked: a wrong password, an unknown database. */
static bool permanent(const struct pg_error *why)
{
    static const char *const passing[] = { "53", "57", "08", "55" };
    if (why->code == PG_E_CONFIG || why->code == PG_E_PROTOCOL) return true;
    if (why->code != PG_E_SERVER || !why->sqlstate[0]) return false;
    for (size_t i = 0; i < RP_COUNT(passing); i++)
        if (!strncmp(why->sqlstate, passing[i], 2)) return false;
    return true;
}

/* The last word of each host since a connection stood last; of a single one with all of its fields. */
static void explain(struct pg_pool *pool, const struct rp_host *last)
{
    struct pg_error *error = &pool->connect_error;
    char text[sizeof error->text] = "";
    *error = last->error;
    if (pool->hosts.count == 1 && error->code == PG_E_SERVER) return;
    for (uint32_t i = 0; i < pool->hosts.count; i++) {
        const struct rp_host *host = &pool->hosts.at[i];
        size_t size = strlen(text);
        if (host->error.code)
            snprintf(text + size, sizeof text - size, "%sconnection to %s failed: %s", size ? "; " : "", host->where,
                     pg_error_field(&host->error, 'M'));
    }
    rp_error_set(error, last->error.code, "%s", text);
    memcpy(error->sqlstate, last->error.sqlstate, sizeof error->sqlstate);
}

void rp_try_unfit(struct rp_slot *slot, const struct pg_error *why)
{
    end_try(slot, RP_TRY_SUCCEEDED);
    slot->host->error = *why;
    slot->host->refuses = false;
    explain(slot->pool, slot->host);
}

void rp_try_full(struct rp_slot *slot, const struct pg_error *why)
{
    end_try(slot, RP_TRY_GIVEN_UP);
    slot->host->error = *why;
    slot->host->refuses = false;
    explain(slot->pool, slot->host);
}

bool rp_try_failed(struct rp_slot *slot, const struct pg_error *why)
{
    struct pg_pool *pool = slot->pool;
    struct rp_host *host = slot->host;
    end_try(slot, RP_TRY_FAILED);
    host->error = *why;
    host->refuses = permanent(why);
    /* Every known address has failed: the name may stand for others by now. */
    if (!host->connecting && !rp_host_is_socket(host) && !host->info->hostaddr) {
        struct pg_error unknown;
        if (resolve(host, &unknown) && !host->naddresses) host->error = unknown;
    }
    explain(pool, host);
    for (uint32_t i = 0; i < pool->hosts.count; i++)
        if (!pool->hosts.at[i].error.code || !pool->hosts.at[i].refuses) return false;
    return true;
}

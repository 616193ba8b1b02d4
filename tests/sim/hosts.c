/* sim/hosts.c - worlds whose database has two or three addresses, one of them the primary's: pools that look for it or
 * for a standby, roles that move while handlers are at work, said to the sessions or not, and hosts that are down. All
 * of them are one database: what is counted and committed is so in one place. */
#include <stdio.h>
#include <string.h>
#include "pool/state.h"
#include "sim/pg_sim.h"

/* ---- what the seed draws ---- */

void hosts_draw(struct run *r)
{
    struct settings *s = &r->set;
    s->hosts = pick(r, 4) ? 1 : 2 + (uint32_t)pick(r, HOSTS - 1);
    if (s->hosts == 1 || s->calm) return;
    if (pick(r, 2)) s->failovers = 1 + (uint32_t)pick(r, 4);
    if (pick(r, 4) == 0) s->silent_failovers = 1 + (uint32_t)pick(r, 3);
    if (pick(r, 2)) s->host_outages = 1 + (uint32_t)pick(r, 4);
    model_settings(r->server)->version_13 = pick(r, 4) == 0;
}

/* In a calm world everything must succeed, writing too. */
void hosts_draw_target(struct run *r)
{
    static const char *const targets[] = { "read-write", "primary", "any", "prefer-standby", "standby", "read-only" };
    r->set.target = r->set.hosts == 1 ? "any" : targets[pick(r, r->set.calm ? 2 : 6)];
}

size_t hosts_option(const struct run *r, char *out, size_t capacity)
{
    const char *host = sim_random(r->sim, 3) ? "127.0.0.1" : "/tmp";
    int n = snprintf(out, capacity, "host=%s", host);
    for (uint32_t i = 1; i < r->set.hosts; i++) n += snprintf(out + n, capacity - (size_t)n, ",%s", host);
    n += snprintf(out + n, capacity - (size_t)n, " port=5432");
    for (uint32_t i = 1; i < r->set.hosts; i++) n += snprintf(out + n, capacity - (size_t)n, ",%u", 5432 + i);
    n += snprintf(out + n, capacity - (size_t)n, " target_session_attrs=%s load_balance_hosts=%s ", r->set.target,
                  r->set.hosts > 1 && sim_random(r->sim, 3) == 0 ? "random" : "disable");
    return (size_t)n;
}

/* ---- the servers ---- */

void hosts_open(struct scene *w)
{
    struct run *first = &w->run[0];
    w->host[0] = w->server;
    if (first->set.hosts == 1) return;
    w->primary = (unsigned)pick(first, first->set.hosts);
    struct model_config *m = model_settings(w->server);
    m->port = 5432;
    m->role = w->primary == 0 ? MODEL_PRIMARY : MODEL_STANDBY;
    for (unsigned i = 1; i < first->set.hosts; i++) {
        struct model_config config = *m;
        config.of = w->server;
        config.port = (uint16_t)(5432 + i);
        config.role = w->primary == i ? MODEL_PRIMARY : MODEL_STANDBY;
        w->host[i] = model_server_open(&config);
    }
}

void hosts_close(struct scene *w)
{
    for (unsigned i = HOSTS; i-- > 0;)
        if (w->host[i]) model_server_close(w->host[i]);
}

/* ---- trouble ---- */

static void move_primary(struct run *r, bool silent)
{
    struct scene *w = r->scene;
    if (w->healed || w->over) return;
    w->primary = (unsigned)pick(r, r->set.hosts);
    trace("host %u is the primary%s", w->primary, silent ? ", and nobody says so" : "");
    for (unsigned i = 0; i < r->set.hosts; i++) {
        enum model_role role = i == w->primary ? MODEL_PRIMARY : pick(r, 8) ? MODEL_STANDBY : MODEL_READ_ONLY;
        if (silent) model_settings(w->host[i])->role = role;
        else model_server_become(w->host[i], role);
    }
}
static void failover(void *run) { move_primary(run, false); }
static void silent_failover(void *run) { move_primary(run, true); }

static void host_outage(void *arg)
{
    struct run *r = arg;
    struct scene *w = r->scene;
    if (w->healed || w->over) return;
    unsigned host = (unsigned)pick(r, r->set.hosts);
    trace("host %u is down", host);
    model_server_restart(w->host[host], (enum model_end)pick(r, MODEL_ENDS), pick(r, 1500) * MS + 1);
    if (pick(r, 2)) move_primary(r, pick(r, 2));
}

void hosts_trouble(struct run *r)
{
    const struct settings *s = &r->set;
    uint64_t span_ns = s->span_ns + SECOND;
    for (uint32_t i = 0; i < s->failovers; i++) sim_after(r->sim, pick(r, span_ns), failover, r);
    for (uint32_t i = 0; i < s->silent_failovers; i++) sim_after(r->sim, pick(r, span_ns), silent_failover, r);
    for (uint32_t i = 0; i < s->host_outages; i++) sim_after(r->sim, pick(r, span_ns), host_outage, r);
}

/* One primary, the others standbys, all of them up; and every session knows. */
void hosts_heal(struct scene *w)
{
    const struct model_config *healed = model_settings(w->server);
    for (unsigned i = 0; i < w->run[0].set.hosts && w->run[0].set.hosts > 1; i++) {
        struct model_config *m = model_settings(w->host[i]);
        m->fault = healed->fault;
        m->password = healed->password;
        m->max_connections = healed->max_connections;
        m->cancel_lost = m->cancel_mute = 0;
        m->cancel_delay_ns = 0;
        m->toy_damage = 0;
        model_server_connects(w->host[i], SIM_ACCEPT);
        model_server_refuse(w->host[i], NULL);
        model_server_become(w->host[i], i == w->primary ? MODEL_PRIMARY : MODEL_STANDBY);
    }
}

/* ---- what must hold ---- */

/* No pool that looks for the primary is left on a standby. Old servers tell nobody: there it is found out by use. */
void hosts_check_rest(const struct scene *w)
{
    const struct settings *s = &w->run[0].set;
    if (s->hosts == 1 || model_settings(w->server)->version_13) return;
    for (const struct run *r = w->run; r < w->run + w->runs; r++) {
        if (r->closed || (strcmp(r->set.target, "primary") && strcmp(r->set.target, "read-write"))) continue;
        for (uint32_t i = 0; i < r->pool->nslots; i++) {
            const struct rp_slot *slot = r->pool->slot[i];
            REQUIRE(slot->state != RP_SLOT_IDLE || slot->host == &r->pool->hosts.at[w->primary],
                    "at rest, and a connection of reactor %u stands to %s, a standby", r->index, slot->host->where);
        }
    }
}

/* Connects to a host that has failed are tried one at a time. */
void hosts_check_turn(const struct run *r)
{
    if (r->closed) return;
    for (uint32_t i = 0; i < r->pool->hosts.count; i++) {
        const struct rp_host *host = &r->pool->hosts.at[i];
        uint32_t connecting = 0;
        for (uint32_t k = 0; k < rp_pool_all(r->pool); k++)
            connecting += rp_pool_slot(r->pool, k)->trying && rp_pool_slot(r->pool, k)->host == host;
        REQUIRE(connecting == host->connecting, "%u connects to %s, and %u are counted", connecting, host->where,
                host->connecting);
        bool trial = host->circuit.state == RP_CIRCUIT_HALF_OPEN;
        if (strcmp(r->set.target, "prefer-standby")) trial |= host->role.state == RP_CIRCUIT_HALF_OPEN;
        REQUIRE(connecting <= 1 || !trial, "%u trials of %s at a time", connecting, host->where);
    }
}

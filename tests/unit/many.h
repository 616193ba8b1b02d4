/* many.h - several reactors with a pool each under one budget, one model server, one virtual clock; and clients who
 * lease, hold and lease again. The server's own count of connections is the judge. Included by test_pool_budget*.c. */
#ifndef UNIT_MANY_H
#define UNIT_MANY_H
#include "support/world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum { MANY_MOST = 4, CLIENTS_MOST = 128 };

/* The reactors' memory: what one that was cut off leaves behind is not lost. */
struct many_block { LIST_ENTRY(many_block) link; };
LIST_HEAD(many_blocks, many_block);

struct client;
struct many {
    struct sim *sim;
    struct model_server *server;
    struct pg_budget *budget;
    struct pg_reactor *reactor[MANY_MOST];
    struct pg_pool *pool[MANY_MOST];
    unsigned n, retired, failed;
    char retired_why[128];
    bool over;
    struct many_blocks blocks;
    struct client *client[CLIENTS_MOST];
    unsigned nclients;
    struct model_config config;
};

static inline void *many_allocate(void *arg, size_t bytes)
{
    struct many_block *block = malloc(sizeof *block + bytes);
    if (!block) return NULL;
    LIST_INSERT_HEAD((struct many_blocks *)arg, block, link);
    return block + 1;
}
static inline void many_deallocate(void *arg, void *at, size_t bytes)
{
    struct many_block *block = (struct many_block *)at - 1;
    (void)arg, (void)bytes;
    LIST_REMOVE(block, link);
    free(block);
}

static inline void many_event(void *arg, const struct pg_event *event)
{
    struct many *m = arg;
    m->failed += event->kind == PG_EVENT_CONNECT_FAILED;
    if (event->kind != PG_EVENT_RETIRED) return;
    m->retired++;
    snprintf(m->retired_why, sizeof m->retired_why, "%s", pg_error_field(event->error, 'M'));
}

static inline int many_try_pool(struct many *m, unsigned i, const char *options, struct pg_error *error)
{
    char conninfo[512];
    snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 port=5432 user=app dbname=app sslmode=disable %s", options);
    struct pg_pool_config pc = PG_POOL_CONFIG(conninfo);
    pc.on_event = many_event;
    pc.arg = m;
    pc.budget = m->budget;
    return pg_pool_open(&m->pool[i], m->reactor[i], &pc, error);
}

static inline void many_pool(struct many *m, unsigned i, const char *options)
{
    struct pg_error error = { 0 };
    if (many_try_pool(m, i, options, &error)) fail_msg("pg_pool_open: %s", pg_error_field(&error, 'M'));
}

static inline void many_open(struct many *m, unsigned n, uint32_t bound, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    memset(m, 0, sizeof *m);
    m->n = n;
    m->sim = sim_open(&sim);
    m->config = (struct model_config){ .sim = m->sim, .exit_delay_ns = 200000, .startup_delay_ns = WORLD_MS };
    m->server = model_server_open(&m->config);
    assert_int_equal(pg_budget_open(&m->budget, bound), 0);
    for (unsigned i = 0; i < n; i++) {
        struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host_at(m->sim, i));
        rc.allocate = many_allocate;
        rc.deallocate = many_deallocate;
        rc.arg = &m->blocks;
        assert_int_equal(pg_reactor_open(&m->reactor[i], &rc, NULL), 0);
        if (options) many_pool(m, i, options);
    }
}

static inline void many_run(struct many *m, uint64_t ns)
{
    (void)sim_run_all(m->sim, m->reactor, m->n, NULL, NULL, ns);
}

static inline struct pg_pool_stats many_stats(struct many *m, unsigned i)
{
    struct pg_pool_stats s = { .size = sizeof s };
    pg_pool_stats(m->pool[i], &s);
    return s;
}

static inline struct pg_budget_stats budget_stats(struct many *m)
{
    struct pg_budget_stats s = { .size = sizeof s };
    pg_budget_stats(m->budget, &s);
    return s;
}

/* ---- clients ---- */

struct client {
    struct pg_lease lease;
    struct many *m;
    unsigned pool;
    uint64_t hold_ns, think_ns;
    unsigned grants, failures;
    uint64_t asked_ns, longest_ns;
    bool held, stopped;
    struct pg_error error;
};

static inline void client_ask(void *arg)
{
    struct client *c = arg;
    if (c->stopped || c->m->over) return;
    c->asked_ns = sim_now(c->m->sim);
    pg_pool_acquire(c->m->pool[c->pool], &c->lease);
}
static inline void client_done(void *arg)
{
    struct client *c = arg;
    if (c->held) pg_lease_release(&c->lease);
    c->held = false;
    if (!c->m->over && !c->stopped) sim_after(c->m->sim, c->think_ns, client_ask, c);
}
static inline void client_granted(struct pg_lease *lease, int status)
{
    struct client *c = lease->data;
    uint64_t waited_ns = sim_now(c->m->sim) - c->asked_ns;
    if (waited_ns > c->longest_ns) c->longest_ns = waited_ns;
    c->held = status == 0;
    c->grants += c->held;
    c->failures += !c->held;
    sim_after(c->m->sim, c->hold_ns, client_done, c);
}
static inline void client_start(struct many *m, struct client *c, unsigned pool, uint64_t hold_ns, uint64_t think_ns)
{
    unsigned known = 0;
    while (known < m->nclients && m->client[known] != c) known++;
    assert_true(known < CLIENTS_MOST);
    m->client[known] = c;
    m->nclients += known == m->nclients;
    memset(c, 0, sizeof *c);
    c->m = m;
    c->pool = pool;
    c->hold_ns = hold_ns;
    c->think_ns = think_ns;
    c->lease = (struct pg_lease){ .on_grant = client_granted, .data = c, .tag = PG_HERE, .error = &c->error };
    client_ask(c);
}
static inline void clients_start(struct many *m, struct client *c, unsigned n, unsigned pool, uint64_t hold_ns,
                                 uint64_t think_ns)
{
    for (unsigned i = 0; i < n; i++) client_start(m, &c[i], pool, hold_ns, think_ns);
}
static inline void clients_stop(struct client *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++) c[i].stopped = true;
}
static inline unsigned grants_of(const struct client *c, unsigned n)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < n; i++) sum += c[i].grants;
    return sum;
}

/* Before their reactor is freed, leases must be returned. */
static inline void clients_gone(struct many *m)
{
    for (unsigned i = 0; i < m->nclients; i++) {
        pg_lease_abandon(&m->client[i]->lease);
        m->client[i]->held = false;
    }
}

/* ---- the end ---- */

/* Everything ends, everything was given back (pg_budget_close asserts it), and the server saw no more than `most`. */
static inline void many_close(struct many *m, uint32_t most)
{
    m->over = true;
    for (unsigned i = 0; i < m->n; i++) pg_reactor_close(m->reactor[i], 0);
    assert_int_equal(sim_run_all(m->sim, m->reactor, m->n, NULL, NULL, 100 * WORLD_SECOND), SIM_CLOSED);
    clients_gone(m);
    for (unsigned i = 0; i < m->n; i++) pg_reactor_free(m->reactor[i]);
    assert_true(LIST_EMPTY(&m->blocks));
    assert_int_equal(model_stats(m->server)->sockets_now, 0);
    assert_in_range(model_stats(m->server)->connections_max, 0, most);
    assert_int_equal(budget_stats(m).used, 0);
    pg_budget_close(m->budget);
    for (unsigned i = 0; i < 100000 && sim_step(m->sim); i++) continue;
    model_server_close(m->server);
    sim_close(m->sim);
}

#endif

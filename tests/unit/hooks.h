/* hooks.h - a world whose pool has all five hooks, each with a script for what it does when it is called, and a log of
 * what happened in which order. Included by test_pool_hook*.c. */
#ifndef UNIT_HOOKS_H
#define UNIT_HOOKS_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pool/state.h"
#include "support/world.h"

enum outcome { HOOK_OK, HOOK_ERROR, HOOK_LATER, HOOK_LATER_ERROR, HOOK_NEVER, HOOK_DIES, HOOK_OUTCOMES };
enum { HOOK_ALL = (1 << RP_HOOKS) - 1, HOOK_KEPT = 64 };

struct hooks;
struct hook_end { struct hooks *h; unsigned index; };
struct hooks {
    struct world w; /* first: the hooks' arg */
    struct pg_pool_config config;
    enum outcome script[RP_HOOKS];
    unsigned once;                   /* bits of hooks that have followed their script, and are fine from now on */
    bool queries;                    /* each runs one on its lease                */
    const char *set[RP_HOOKS][2];    /* before_connect: keyword and value         */
    void (*inside)(enum rp_hook_kind); /* done inside of each hook, before its script */
    unsigned calls[RP_HOOKS], ended; /* ended: queries on their leases            */
    int query_status;                /* of the last one                           */
    struct seen seen[HOOK_KEPT];
    struct pg_hook *handle[HOOK_KEPT]; /* of those that are not done yet          */
    struct pg_lease *lease[HOOK_KEPT];
    int status[HOOK_KEPT];
    struct hook_end end[HOOK_KEPT];
    unsigned kept;
    bool calling;                    /* inside a call of the library              */
    char log[2048];
};
static const uint64_t HOOK_DELAY_NS = 20 * WORLD_MS;

__attribute__((format(printf, 2, 3))) static inline void note(struct hooks *h, const char *format, ...)
{
    size_t at = strlen(h->log);
    va_list list;
    va_start(list, format);
    if (at) h->log[at++] = ' ';
    vsnprintf(h->log + at, sizeof h->log - at, format, list);
    va_end(list);
}

static inline void end_hook(void *arg)
{
    struct hook_end *e = arg;
    struct pg_hook *hook = e->h->handle[e->index];
    e->h->handle[e->index] = NULL;
    if (hook && !e->h->w.closed) pg_hook_done(hook, e->h->status[e->index]);
}

/* What the script says, once that on its lease is over. */
static inline void follow(struct hooks *h, unsigned index, enum rp_hook_kind kind)
{
    enum outcome outcome = h->once & 1u << kind ? HOOK_OK : h->script[kind];
    struct pg_hook *hook = h->handle[index];
    size_t n = model_conn_count(h->w.server);
    struct hook_end *e = &h->end[index];
    *e = (struct hook_end){ h, index };
    h->once |= 1u << kind;
    h->status[index] = outcome == HOOK_ERROR || outcome == HOOK_LATER_ERROR ? PG_E_VALUE : 0;
    switch (outcome) {
    case HOOK_OK:
    case HOOK_ERROR:
        h->handle[index] = NULL;
        pg_hook_done(hook, h->status[index]);
        break;
    case HOOK_DIES:
        if (n && model_conn_alive(model_conn_at(h->w.server, n - 1)))
            model_conn_end(model_conn_at(h->w.server, n - 1), MODEL_END_RESET, NULL);
        sim_after(h->w.sim, HOOK_DELAY_NS, end_hook, e);
        break;
    case HOOK_LATER:
    case HOOK_LATER_ERROR: sim_after(h->w.sim, HOOK_DELAY_NS, end_hook, e); break;
    default: break;
    }
}

static struct hooks *hooks_of_queries; /* one world at a time */
static inline void hook_query_done(struct pg_query *q)
{
    struct hooks *h = hooks_of_queries;
    unsigned index = (unsigned)((struct seen *)q->data - h->seen);
    h->ended++;
    h->query_status = q->status;
    if (h->handle[index]) follow(h, index, (enum rp_hook_kind)h->seen[index].order);
}

static inline void called(void *arg, struct pg_hook *hook, struct pg_lease *lease, enum rp_hook_kind kind)
{
    static const char *const names[RP_HOOKS] = { "before_connect", "after_connect", "prepare_conn", "after_release",
                                                 "before_close" };
    struct hooks *h = arg;
    unsigned index = h->kept++;
    assert_false(h->calling);
    assert_true(index < HOOK_KEPT);
    h->calls[kind]++;
    note(h, "%s", names[kind]);
    h->handle[index] = hook;
    h->lease[index] = lease;
    for (int i = 0; !lease && i < RP_HOOKS && h->set[i][0]; i++)
        assert_int_equal(pg_hook_set(hook, h->set[i][0], h->set[i][1]), 0);
    if (lease) assert_int_equal(pg_lease_transaction(lease), 'I');
    if (h->inside) h->inside(kind);
    if (!h->handle[index]) return;
    if (!lease || !h->queries) {
        follow(h, index, kind);
        return;
    }
    seen_init(&h->seen[index], &world_echo, kind);
    h->seen[index].order = kind;
    h->seen[index].query.on_done = hook_query_done;
    pg_lease_query(lease, &h->seen[index].query);
}
static inline void on_before_connect(void *arg, struct pg_hook *k) { called(arg, k, NULL, RP_HOOK_BEFORE_CONNECT); }
static inline void on_after_connect(void *arg, struct pg_hook *k, struct pg_lease *l)
{
    called(arg, k, l, RP_HOOK_AFTER_CONNECT);
}
static inline void on_prepare_conn(void *arg, struct pg_hook *k, struct pg_lease *l)
{
    called(arg, k, l, RP_HOOK_PREPARE_CONN);
}
static inline void on_after_release(void *arg, struct pg_hook *k, struct pg_lease *l)
{
    called(arg, k, l, RP_HOOK_AFTER_RELEASE);
}
static inline void on_before_close(void *arg, struct pg_hook *k, struct pg_lease *l)
{
    called(arg, k, l, RP_HOOK_BEFORE_CLOSE);
}

/* `which`: bits of the hooks that there are. The rest of `h` is as it was set before. */
static inline void hooks_open(struct hooks *h, unsigned which, struct model_config *server, const char *options)
{
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .completion_ns = 5000 };
    struct model_config plain = { .exit_delay_ns = 200000 };
    h->config.size = sizeof h->config;
    if (which & 1 << RP_HOOK_BEFORE_CONNECT) h->config.before_connect = on_before_connect;
    if (which & 1 << RP_HOOK_AFTER_CONNECT) h->config.after_connect = on_after_connect;
    if (which & 1 << RP_HOOK_PREPARE_CONN) h->config.prepare_conn = on_prepare_conn;
    if (which & 1 << RP_HOOK_AFTER_RELEASE) h->config.after_release = on_after_release;
    if (which & 1 << RP_HOOK_BEFORE_CLOSE) h->config.before_close = on_before_close;
    hooks_of_queries = h;
    world_open_pool(&h->w, &sim, server ? server : &plain, &h->config, options);
}

static inline void hooks_on_closed(void *arg)
{
    struct hooks *h = arg;
    h->w.closed = true;
    h->w.pool = NULL;
}
static inline void hooks_close(struct hooks *h) { world_close(&h->w); }

static inline void hooks_acquire(struct hooks *h, struct held *lease)
{
    held_init(lease);
    h->calling = true;
    pg_pool_acquire(h->w.pool, &lease->lease);
    h->calling = false;
}
static inline void hooks_release(struct hooks *h, struct held *lease)
{
    h->calling = true;
    pg_lease_release(&lease->lease);
    h->calling = false;
}

#endif

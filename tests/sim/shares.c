/* sim/shares.c - one budget over the pools of a world: its bound, which an operator moves, is kept at every instant,
 * and nobody waits for long while there is stock. */
#include "pool/state.h"
#include "sim/pg_sim.h"

enum { LONG_TURNS = 200 };

void shares_open(struct scene *w)
{
    struct run *first = &w->run[0];
    uint32_t least = 0, most = 0;
    if (pick(first, w->runs == 1 ? 6 : 3) == (w->runs == 1)) return;
    for (struct run *r = w->run; r < w->run + w->runs; r++) {
        least += r->set.min_conns ? r->set.min_conns : 1;
        most += r->set.max_conns;
    }
    uint32_t more = most > least ? most - least : 0;
    w->connections = w->bound = w->most_connections = least + (uint32_t)pick(first, more + 1);
    int rc = pg_budget_open(&w->budget, w->connections);
    REQUIRE(rc == 0, "pg_budget_open: %s", pg_error_name(rc));
    trace("a budget of %u connections", w->connections);
}

/* The operator of all pools. What is sure is not for sale. */
void shares_resize(struct run *r)
{
    struct scene *w = r->scene;
    struct pg_budget_stats s = { .size = sizeof s };
    uint32_t connections = 1 + (uint32_t)pick(r, w->runs * SIZE_MOST);
    int rc;
    if (!w->budget) return;
    pg_budget_stats(w->budget, &s);
    CALL(r, rc = pg_budget_resize(w->budget, connections));
    trace("a budget of %u connections: %s", connections, pg_error_name(rc));
    REQUIRE(rc == (connections < s.sure ? PG_E_CONFIG : 0), "a budget of %u with %u sure: %s", connections, s.sure,
            pg_error_name(rc));
    if (rc) return;
    if (connections < w->connections) w->shrunk = true;
    if (w->connections > w->bound) w->bound = w->connections;
    w->connections = connections;
    if (connections > w->most_connections) w->most_connections = connections;
}

/* After every event: the bound of now; after it was made smaller what the pools had, or had been granted already. */
void shares_check(struct scene *w)
{
    struct pg_budget_stats s = { .size = sizeof s };
    uint32_t used = 0, in_hand = 0, coming = 0;
    if (!w->budget) return;
    for (struct run *r = w->run; r < w->run + w->runs; r++) {
        if (r->closed) continue;
        const struct rp_slot *beside = r->pool->listening.slot;
        used += r->pool->nslots - r->pool->count[RP_SLOT_FREE] + (beside && beside->state != RP_SLOT_FREE);
        in_hand += r->pool->purse.slots;
        coming += r->pool->purse.waiting;
    }
    uint32_t bound = w->shrunk && w->bound > w->connections ? w->bound : w->connections;
    REQUIRE(used <= in_hand && in_hand <= bound, "%u connections, %u in hand, under a budget of %u", used, in_hand,
            bound);
    w->bound = in_hand + coming;
    w->shrunk = w->shrunk && w->bound > w->connections;
    pg_budget_stats(w->budget, &s);
    REQUIRE(s.used == used && s.connections == w->connections, "the budget says that %u of %u are used; %u are of %u",
            s.used, s.connections, used, w->connections);
}

/* At the end of a turn: is there stock, and does anybody wait for it? */
void shares_turn(struct scene *w)
{
    uint32_t in_hand = 0;
    bool waiting = false;
    if (!w->budget) return;
    for (struct run *r = w->run; r < w->run + w->runs; r++) {
        if (r->closed) continue;
        in_hand += r->pool->purse.slots;
        waiting = waiting || r->pool->purse.waiting;
    }
    if (!waiting || in_hand >= w->connections) {
        w->lacking_turns = 0;
        return;
    }
    uint64_t awake_ns = sim_now(w->sim) - sim_counters(w->sim)->jumped_ns; /* in which something could have been done */
    if (w->lacking_turns++ == 0) w->lacking_since_ns = awake_ns;
    REQUIRE(w->lacking_turns < LONG_TURNS || awake_ns < w->lacking_since_ns + SECOND,
            "a pool waits for a connection, and of the %u of the budget only %u are in anybody's hands", w->connections,
            in_hand);
}

void shares_close(struct scene *w)
{
    struct pg_budget_stats s = { .size = sizeof s };
    if (!w->budget) return;
    pg_budget_stats(w->budget, &s);
    REQUIRE(s.used == 0 && s.sure == 0 && s.pools == 0 && s.waiting == 0,
            "a budget at its end: %u used, %u sure, %u pools, %u of them waiting", s.used, s.sure, s.pools, s.waiting);
    pg_budget_close(w->budget);
    w->budget = NULL;
}

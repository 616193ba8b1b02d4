/* Twice as much work as can be done: what is still done in time. Four connections, each occupied for 10 ms by a
 * transaction: 400 a second. Callers come at random, each with a patience of 50 ms from its coming to its outcome; what
 * comes later is of no use to it, and is done nevertheless. In virtual time on the simulated host, so that nothing but
 * the queue's own rule is compared. */
#include <math.h>
#include <stdlib.h>
#include "pool.h"

enum { CONNECTIONS = 4, WORK_MS = 10, CAPACITY = CONNECTIONS * 1000 / WORK_MS };
static const uint64_t PATIENCE_NS = 50 * UINT64_C(1000000);
static struct pg_statement work = PG_STATEMENT("SLEEP 10");

struct rule {
    const char *name, *options;
    unsigned deadline_ms; /* what the callers give to the acquire */
};
static const struct rule rules[] = {
    {"first in, first out", "", 2000},
    {"CoDel, target 10 ms", "pool_codel_target=10ms pool_codel_interval=100ms", 2000},
    {"first in, first out, 50 ms", "", 50},
    {"CoDel and 50 ms", "pool_codel_target=10ms pool_codel_interval=100ms", 50},
    {"first in, first out, 40 ms", "", 40},
    {"admission and 40 ms", "pool_admission=on", 40},
};
enum { RULES = sizeof rules / sizeof *rules };

struct crowd {
    struct pool_world world;
    unsigned good, late, refused, out;
};
struct caller {
    struct crowd *crowd;
    struct pg_lease lease;
    struct pg_query query;
    uint64_t came_ns;
};

static void done(struct pg_query *query)
{
    struct caller *caller = query->data;
    struct crowd *crowd = caller->crowd;
    if (query->status) bench_die("overload: %s", pg_error_text(query->status));
    pg_lease_release(&caller->lease);
    if (sim_now(crowd->world.sim) - caller->came_ns <= PATIENCE_NS)
        crowd->good++;
    else
        crowd->late++;
    crowd->out--;
}

static void granted(struct pg_lease *lease, int status)
{
    struct caller *caller = lease->data;
    if (!status) {
        pg_lease_query(lease, &caller->query);
        return;
    }
    caller->crowd->refused++;
    caller->crowd->out--;
}

static void come(struct crowd *crowd, struct caller *caller, unsigned deadline_ms)
{
    *caller = (struct caller){.crowd = crowd, .came_ns = sim_now(crowd->world.sim)};
    caller->lease = (struct pg_lease){.on_grant = granted, .data = caller};
    caller->lease.deadline_ns = caller->came_ns + deadline_ms * UINT64_C(1000000);
    caller->query = (struct pg_query){.statement = &work, .on_done = done, .data = caller};
    crowd->out++;
    pg_pool_acquire(crowd->world.pool, &caller->lease);
}

/* In time, of what could be done. */
static double goodput(const struct rule *rule, double load, unsigned seconds)
{
    unsigned count = (unsigned)(load * CAPACITY * seconds);
    struct caller *callers = calloc(count, sizeof *callers);
    struct crowd crowd = {0};
    if (!callers) bench_die("no memory");
    pool_world_open(&crowd.world, CONNECTIONS, rule->options);
    uint64_t began_ns = sim_now(crowd.world.sim);
    for (unsigned i = 0; i < count; i++) {
        double chance = (1 + (double)sim_random(crowd.world.sim, 1000000)) / 1000000;
        sim_run(crowd.world.sim, crowd.world.reactor, (uint64_t)(-log(chance) * 1e9 / (load * CAPACITY)));
        come(&crowd, &callers[i], rule->deadline_ms);
    }
    double took_s = (double)(sim_now(crowd.world.sim) - began_ns) / 1e9;
    sim_run(crowd.world.sim, crowd.world.reactor, 10 * UINT64_C(1000000000));
    if (crowd.out || crowd.good + crowd.late + crowd.refused != count) bench_die("overload: a caller has no outcome");
    pool_world_close(&crowd.world);
    free(callers);
    return crowd.good / (took_s * CAPACITY);
}

void pool_overload_run(const struct pool_options *options, struct pool_figures *figures)
{
    unsigned seconds = options->smoke ? 2 : options->quick ? 20 : 120;
    double below[RULES], twice[RULES];
    for (unsigned i = 0; i < RULES; i++) {
        below[i] = goodput(&rules[i], 0.7, seconds);
        twice[i] = goodput(&rules[i], 2, seconds);
    }
    for (unsigned i = 0; i < RULES; i++) pool_figure(figures, rules[i].name, "load 0.7", "of capacity", below[i]);
    for (unsigned i = 0; i < RULES; i++) pool_figure(figures, rules[i].name, "load 2", "of capacity", twice[i]);
    pool_ratio(figures, "CoDel against first in, first out", twice[1], twice[0]);
    pool_note(figures,
              "Outcomes within 50 ms of the caller's coming, against 400 a second, which four connections can do.\n"
              "  50 ms, 40 ms: what the callers give to the acquire, else 2 s; the work takes 10 ms more, which a caller "
              "may\n  know or not.");
}

/* A waiter's way: parked behind all others, resumed when its turn comes. All connections are lent all the time; in each
 * cycle their holders give them back and park again at the end of the queue, and the oldest waiters get them, in one
 * turn of the reactor. Every waiter has the deadline of pool_acquire_timeout. The waiters' structs lie in memory in
 * another order than they wait, as those of a program do. */
#include <stdlib.h>
#include "pool.h"

struct crowd {
    struct pool_world world;
    struct pg_lease *lease;
    unsigned *order; /* that in which they wait, round and round */
    unsigned count, holders, granted, returned, wrong;
};

static void granted(struct pg_lease *lease, int status)
{
    struct crowd *crowd = lease->data;
    crowd->wrong += status != PG_OK || lease != &crowd->lease[crowd->order[crowd->granted++ % crowd->count]];
}

static void cycle(void *arg)
{
    struct crowd *crowd = arg;
    for (unsigned i = 0; i < crowd->holders; i++) {
        struct pg_lease *lease = &crowd->lease[crowd->order[crowd->returned++ % crowd->count]];
        pg_lease_release(lease);
        pg_pool_acquire(crowd->world.pool, lease);
    }
    pool_world_turn(&crowd->world);
}

static void line_up(struct crowd *crowd)
{
    crowd->lease = calloc(crowd->count, sizeof *crowd->lease);
    crowd->order = calloc(crowd->count, sizeof *crowd->order);
    if (!crowd->lease || !crowd->order) bench_die("no memory");
    for (unsigned i = 0; i < crowd->count; i++) {
        unsigned other = (unsigned)sim_random(crowd->world.sim, i + 1);
        crowd->order[i] = crowd->order[other];
        crowd->order[other] = i;
    }
    for (unsigned i = 0; i < crowd->count; i++) {
        struct pg_lease *lease = &crowd->lease[crowd->order[i]];
        *lease = (struct pg_lease){.on_grant = granted, .data = crowd};
        pg_pool_acquire(crowd->world.pool, lease);
    }
    pool_world_turn(&crowd->world);
}

static double run(unsigned holders, unsigned parked, unsigned cycles)
{
    struct crowd crowd = {.count = parked + holders, .holders = holders};
    pool_world_open(&crowd.world, holders, "");
    line_up(&crowd);

    double ns = pool_repeat(&crowd.world, cycle, &crowd, cycles);

    struct pg_pool_stats stats = {.size = sizeof stats};
    pg_pool_stats(crowd.world.pool, &stats);
    if (crowd.wrong || crowd.granted != crowd.returned + holders || stats.pending != parked)
        bench_die("park: %u grants, %u wrong, %u parked", crowd.granted, crowd.wrong, stats.pending);
    for (unsigned i = 0; i < crowd.count; i++) pg_lease_abandon(&crowd.lease[i]);
    pool_world_close(&crowd.world);
    free(crowd.order);
    free(crowd.lease);
    return ns;
}

enum { MANY = 64 };

static double run_one(unsigned parked, unsigned cycles)
{
    return run(1, parked, cycles);
}

static double run_many(unsigned parked, unsigned cycles)
{
    return run(MANY, parked, cycles);
}

const struct pool_cost pool_park_cost = {"park", run_one}, pool_park_many_cost = {"park-many", run_many};

static const struct depth {
    unsigned parked;
    const char *name;
} depths[] = {{1, "1 parked"}, {1000, "1,000 parked"}, {1000000, "1,000,000 parked"}},
  deepest_quick = {100000, "100,000 parked"};
enum { DEPTHS = sizeof depths / sizeof *depths, SMOKE_PARKED = 2000 };

static struct depth depth_of(const struct pool_options *options, unsigned i)
{
    struct depth depth = options->quick && i + 1 == DEPTHS ? deepest_quick : depths[i];
    if (options->smoke && depth.parked > SMOKE_PARKED) depth.parked = SMOKE_PARKED;
    return depth;
}

/* One cost at all depths; `each`: waiters of a cycle. */
static void compare(const struct pool_options *options, struct pool_figures *figures, const struct pool_cost *cost,
                    const char *name, unsigned each)
{
    unsigned cycles = (options->smoke ? 5000 : options->quick ? 200000 : 3000000) / each;
    unsigned counted = options->smoke ? 2000 : options->quick ? 10000 : 40000;
    double instructions[DEPTHS], ns[DEPTHS];
    struct depth depth[DEPTHS];
    for (unsigned i = 0; i < DEPTHS; i++) {
        depth[i] = depth_of(options, i);
        instructions[i] = pool_instructions(options, cost, depth[i].parked, counted / each) / each;
        ns[i] = cost->run(depth[i].parked, cycles) / each;
    }
    for (unsigned i = 0; i < DEPTHS; i++) pool_figure(figures, name, depth[i].name, "instructions", instructions[i]);
    pool_ratio(figures, "  the most parked against 1, instr.", instructions[DEPTHS - 1], instructions[0]);
    for (unsigned i = 0; i < DEPTHS; i++) pool_figure(figures, name, depth[i].name, "ns", ns[i]);
    pool_ratio(figures, "  the most parked against 1, ns", ns[DEPTHS - 1], ns[0]);
}

void pool_park_run(const struct pool_options *options, struct pool_figures *figures)
{
    compare(options, figures, &pool_park_cost, "park + resume, a turn for each", 1);
    compare(options, figures, &pool_park_many_cost, "park + resume, 64 in a turn", MANY);
    pool_note(figures, "The same work at every depth, release and acquire and deadline included. The ns grow by cache "
                       "misses alone:\n  each of many waiters, and its neighbours in queue and wheel, was last "
                       "touched as many waiters ago.");
}

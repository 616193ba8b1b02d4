/* A connection is idle and nobody waits: what it costs to borrow it and give it back. */
#include "pool.h"

struct borrower {
    struct pool_world world;
    struct pg_lease lease;
    unsigned grants, wrong;
};

static void granted(struct pg_lease *lease, int status)
{
    struct borrower *borrower = lease->data;
    borrower->grants++;
    borrower->wrong += status != PG_OK;
}

static void try_cycle(void *arg)
{
    struct borrower *borrower = arg;
    borrower->wrong += pg_pool_try_acquire(borrower->world.pool, &borrower->lease) != 0;
    borrower->grants++;
    pg_lease_release(&borrower->lease);
}

static void acquire_cycle(void *arg)
{
    struct borrower *borrower = arg;
    pg_pool_acquire(borrower->world.pool, &borrower->lease);
    pool_world_turn(&borrower->world); /* grants */
    pg_lease_release(&borrower->lease);
}

static double run(void (*cycle)(void *), unsigned cycles)
{
    struct borrower borrower = {.lease = {.on_grant = granted}};
    borrower.lease.data = &borrower;
    pool_world_open(&borrower.world, 4, "");
    double ns = pool_repeat(&borrower.world, cycle, &borrower, cycles);
    if (borrower.wrong || borrower.grants < cycles)
        bench_die("acquire: %u grants, %u wrong", borrower.grants, borrower.wrong);
    pool_world_close(&borrower.world);
    return ns;
}

static double run_try(unsigned at, unsigned cycles)
{
    (void)at;
    return run(try_cycle, cycles);
}

static double run_acquire(unsigned at, unsigned cycles)
{
    (void)at;
    return run(acquire_cycle, cycles);
}

const struct pool_cost pool_try_cost = {"try", run_try}, pool_acquire_cost = {"acquire", run_acquire};

void pool_acquire_run(const struct pool_options *options, struct pool_figures *figures)
{
    static const struct {
        const struct pool_cost *cost;
        const char *name;
    } rows[] = {{&pool_try_cost, "pg_pool_try_acquire and release"},
                {&pool_acquire_cost, "pg_pool_acquire, its turn, release"}};
    unsigned cycles = options->smoke ? 5000 : options->quick ? 200000 : 5000000;
    for (unsigned i = 0; i < 2; i++) {
        pool_figure(figures, rows[i].name, "4 idle", "instructions",
                    pool_instructions(options, rows[i].cost, 0, options->smoke ? 1000 : 20000));
        pool_figure(figures, rows[i].name, "4 idle", "ns", rows[i].cost->run(0, cycles));
    }
    pool_note(figures, "Leases of clean connections: nothing is sent to the server between two of them.");
}

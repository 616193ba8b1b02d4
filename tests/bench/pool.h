/* tests/bench, the pool's part: what waiting, lending and keeping connections cost. Sections, each in a file of its own
 * (pool_*.c), each in a process of its own, each a list of figures.
 *
 * A section knows nothing of reports. Most run on the simulated host against the model server, so that no kernel is
 * measured: a cost there is a cycle, repeated; in ns by the clock, in instructions by callgrind, which starts this
 * program once more and counts inside of pool_measured alone. */
#ifndef BENCH_POOL_H
#define BENCH_POOL_H
#include "bench.h"
#include "ringpg.h"
#include "support/model_server.h"
#include "support/sim.h"

struct pool_options {
    const char *json, *section, *cost;
    unsigned at, cycles; /* of the one cost under callgrind */
    bool quick, smoke, no_valgrind;
};

/* ---- figures ---- */
enum { POOL_FIGURES_MAX = 64 };
struct pool_figure {
    char name[40], at[24], unit[16];
    double value; /* negative: could not be had */
};
struct pool_figures {
    unsigned count;
    struct pool_figure figure[POOL_FIGURES_MAX];
    char note[512]; /* printed below the figures: what they mean, what they do not */
};
void pool_figure(struct pool_figures *figures, const char *name, const char *at, const char *unit, double value);
void pool_ratio(struct pool_figures *figures, const char *name, double value, double other);
void pool_note(struct pool_figures *figures, const char *note);

struct pool_section {
    const char *name, *title;
    unsigned seconds; /* longer than that: it hangs */
    void (*run)(const struct pool_options *options, struct pool_figures *figures);
};
void pool_park_run(const struct pool_options *options, struct pool_figures *figures);
void pool_acquire_run(const struct pool_options *options, struct pool_figures *figures);
void pool_memory_run(const struct pool_options *options, struct pool_figures *figures);
void pool_overload_run(const struct pool_options *options, struct pool_figures *figures);
void pool_crowd_run(const struct pool_options *options, struct pool_figures *figures);
void pool_budget_run(const struct pool_options *options, struct pool_figures *figures);
double pool_median(double *values, unsigned count); /* sorts them */

/* ---- a pool without a kernel ---- */
struct pool_world {
    struct sim *sim;
    struct model_server *server;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    size_t allocated; /* bytes that the library holds now */
};
/* All of its connections stand and are idle. */
void pool_world_open(struct pool_world *world, unsigned connections, const char *options);
void pool_world_turn(struct pool_world *world); /* one turn of its reactor, no I/O */
void pool_world_close(struct pool_world *world);

/* ---- costs ---- */
/* Prepares, runs `cycles` through pool_repeat, checks what it saw. Returns ns per cycle. */
struct pool_cost {
    const char *name;
    double (*run)(unsigned at, unsigned cycles);
};
extern const struct pool_cost pool_park_cost, pool_park_many_cost, pool_try_cost, pool_acquire_cost;
double pool_repeat(struct pool_world *world, void (*cycle)(void *), void *arg, unsigned cycles);
void pool_measured(void (*cycle)(void *), void *arg);
/* Under callgrind, per cycle; negative: no valgrind, or it failed. */
double pool_instructions(const struct pool_options *options, const struct pool_cost *cost, unsigned at,
                         unsigned cycles);
#endif

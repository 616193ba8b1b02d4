/* The benchmark's part growth: does what a query costs grow with what there is? Series of runs that differ in one
 * number: of handlers, of connections, of rows in an answer, of statements in use. ringpg, and beside it, where the
 * kernel's own growth would be taken for the library's, the floor.
 *
 * A series knows how a run of some size is made (growth_series.c); what is made of the figures (growth_report.c) knows
 * its name and what counts; the meter is whose clock and CPU both rest on. */
#ifndef BENCH_GROWTH_H
#define BENCH_GROWTH_H
#include "bench.h"

enum { GROWTH_SIZES_MAX = 8 };
/* Flat: no size costs more than this times the cheapest smaller one. */
#define GROWTH_MAX 1.2

struct growth_series {
    const char *name, *of; /* of: what its sizes count */
    unsigned sizes[GROWTH_SIZES_MAX]; /* rising, 0 ends them */
    unsigned quick_max;               /* none that are larger when it has to be quick; 0: all */
    bool real;                        /* on the real server, else on the null server */
    bool rows;       /* of an answer: what counts is one of them, beyond what a query takes, from a thousand on */
    bool not_judged; /* stands there for comparison */
    void (*run)(const struct bench_target *target, unsigned size, struct bench_meter *meter); /* counts rows */
};
extern const struct growth_series growth_series[];
extern const size_t growth_count;

/* The figures of one size: of each repetition, per query. */
struct growth_figures {
    unsigned count;
    double qps[BENCH_REPETITIONS_MAX], us[BENCH_REPETITIONS_MAX];
    double cpu_ns, user_ns; /* of all of them: the kernel tells user from system by a few hundred samples a second */
};
typedef struct growth_figures growth_table[][GROWTH_SIZES_MAX]; /* by series and size */
void growth_print(growth_table table);
void growth_write_json(growth_table table, const char *path);
#endif

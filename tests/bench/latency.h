/* The benchmark's part latency: how long a query takes, from the moment at which it was due.
 *
 * Loads are open: queries are due at random times (Poisson) at a rate that does not look at the answers, and one that
 * cannot be started yet counts from when it was due; so a contender that stalls is charged for everybody who would have
 * come meanwhile ("coordinated omission"). The rate is a share of what the contender has just done at its best, with 64
 * callers who each wait for their answer. The load called alone is the exception: one connection, one caller.
 *
 * A contender keeps asking the load what is due, starts it with the time at which that was, and reports its answer. A
 * peer (peer.c) does all of that itself, by the same rules. */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H
#include "bench.h"

enum { LATENCY_CALLERS = 64, LATENCY_CONNECTIONS = 8 };

struct latency_load {
    unsigned callers;      /* who wait for their answers; 0: an open load */
    double gap_ns;         /* of an open load: between two of them, on the average */
    uint64_t next_ns;      /* of an open load: the next one is due */
    unsigned waiting;      /* in flight */
    uint64_t from_ns, end_ns; /* those that are due then count; after the end none is */
    uint64_t answered;     /* that counted */
    uint32_t *took_ns;     /* of each, up to `room`; NULL: only counted */
    size_t room;
    uint64_t random;
};
/* A load that begins now. `callers` 0: open, at `per_s`. */
void latency_begin(struct latency_load *load, unsigned callers, double per_s, double seconds);
/* Is one due? `*due_ns`: since when. It is in flight from now on. */
bool latency_due(struct latency_load *load, uint64_t *due_ns);
void latency_answered(struct latency_load *load, uint64_t due_ns);
/* How long until the next one is due, ns; 0: it is; bounded by a second. */
int64_t latency_wait(const struct latency_load *load);
bool latency_over(const struct latency_load *load); /* all that were due are answered */

/* One contender's run of a load that was begun, on connections of its own; called again for the next load. */
struct latency_shape {
    const struct bench_target *target;
    unsigned connections;
};
struct latency_client {
    const char *name;
    void *(*open)(const struct latency_shape *shape); /* NULL: a peer, the program of that name */
    void (*run)(void *client, struct latency_load *load);
    void (*close)(void *client);
    bool alone_only;
};
extern const struct latency_client latency_shared, latency_lease, latency_spin, latency_libpq, latency_blocking,
    latency_pipeline;
#endif

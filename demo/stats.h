/* stats.h - what /stats prints: one cell per reactor, written by it once per loop, read by all without a lock.
 *
 * A sequence lock over atomic words: the writer makes the sequence odd, writes, makes it even; a reader that saw an
 * odd or a changed sequence reads again. No reader delays the writer. */
#ifndef DEMO_STATS_H
#define DEMO_STATS_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "ringpg/pool.h"
#include "http.h"

struct stats_sample {
    struct pg_pool_stats pool;
    struct http_counts http;
    uint64_t reconnects;
};
enum { STATS_WORDS = (sizeof(struct stats_sample) + 7) / 8 };
struct stats_cell {
    _Alignas(128) _Atomic uint64_t sequence;         /* a cache line pair of its own: reactors do not slow each other */
    _Atomic uint64_t words[STATS_WORDS];
};
struct stats {
    unsigned reactors;
    struct stats_cell *cells;
};

int stats_init(struct stats *stats, unsigned reactors); /* 0 or -ENOMEM */
void stats_free(struct stats *stats);
void stats_publish(struct stats_cell *cell, const struct stats_sample *sample);
void stats_read(const struct stats_cell *cell, struct stats_sample *out);

#endif

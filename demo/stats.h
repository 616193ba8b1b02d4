/* stats.h - what /stats and /metrics print: one cell per reactor. HTTP's figures are written by it once per loop and
 * read by all without a lock; the pool's are the library's to publish.
 *
 * A sequence lock over atomic words: the writer makes the sequence odd, writes, makes it even; a reader that saw an
 * odd or a changed sequence reads again. No reader delays the writer. Only a pool's end has a lock, so that nobody asks
 * a pool that is gone. */
#ifndef DEMO_STATS_H
#define DEMO_STATS_H
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include "ringpg/pool.h"
#include "http.h"

struct stats_sample {
    struct http_counts http;
    uint64_t reconnects;
};
enum { STATS_WORDS = (sizeof(struct stats_sample) + 7) / 8 };
struct stats_cell {
    _Alignas(128) _Atomic uint64_t sequence;         /* a cache line pair of its own: reactors do not slow each other */
    _Atomic uint64_t words[STATS_WORDS];
    pthread_mutex_t pool_lock;
    const struct pg_pool *pool;                      /* NULL: not there yet, or gone */
};
struct stats {
    unsigned reactors;
    struct stats_cell *cells;
};

int stats_init(struct stats *stats, unsigned reactors); /* 0 or -ENOMEM */
void stats_free(struct stats *stats);
void stats_publish(struct stats_cell *cell, const struct stats_sample *sample);
/* The pool that the cell's reactor has from now on; NULL before it is closed. */
void stats_show_pool(struct stats_cell *cell, const struct pg_pool *pool);
/* Zeros when there is none. */
void stats_read_pool(struct stats_cell *cell, struct pg_pool_stats *out);
void stats_read(const struct stats_cell *cell, struct stats_sample *out);

#endif

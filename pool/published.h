/* pool/published.h - a pool's figures as other threads see them: one writer, any number of readers, no lock
 * (ck_sequence: a reader whom the writer overtook reads again; no reader delays the writer). In a file of its own,
 * since ThreadSanitizer cannot model Concurrency Kit's inline assembly: published.c is compiled without it and
 * annotated. */
#ifndef RP_POOL_PUBLISHED_H
#define RP_POOL_PUBLISHED_H
#include <ck_sequence.h>
#include <stddef.h>
#include "ringpg/pool.h"

enum rp_histogram { RP_HIST_WAIT, RP_HIST_HOLD, RP_HIST_CONNECT, RP_HIST_QUERY, RP_HISTOGRAMS };
enum { RP_DIRTY_BUCKETS = 8 }; /* one bit of a histogram's mask stands for so many */

struct rp_published {
    struct ck_sequence sequence;
    struct pg_pool_stats at;
};

_Static_assert(offsetof(struct pg_pool_stats, wait) + RP_HISTOGRAMS * sizeof(struct pg_histogram) ==
                   sizeof(struct pg_pool_stats), "the histograms stand together, in the order of enum rp_histogram");
static inline struct pg_histogram *rp_histogram(struct pg_pool_stats *s, enum rp_histogram which)
{
    return (struct pg_histogram *)(void *)((char *)s + offsetof(struct pg_pool_stats, wait)) + which;
}

/* The writer. What stands before the histograms is copied whole; of each histogram whose mask is not 0 its sums and the
 * buckets that the mask names. Whoever reads this state sees what was written before it was published. */
void rp_published_write(struct rp_published *p, const struct pg_pool_stats *now, const uint16_t dirty[RP_HISTOGRAMS]);
/* Any thread: the first `bytes` bytes of one published state. */
void rp_published_read(const struct rp_published *p, struct pg_pool_stats *out, size_t bytes);

#endif

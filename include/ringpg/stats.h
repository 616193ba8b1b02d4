/* ringpg/stats.h - durations in a histogram of fixed size: what pg_pool_stats gives, and what to make of it. Plain
 * memory without a pointer: copied by assignment, added up over pools and reactors. Any thread; a histogram belongs to
 * whoever holds it.
 *
 * Buckets are logarithmic, four to each power of two: the first is everything up to 1,024 ns, bucket 1 goes to 1,280
 * ns, 2 to 1,536, 3 to 1,792, 4 to 2,048, 5 to 2,560 and so on to 55 minutes; the last has no end. */
#ifndef RINGPG_STATS_H
#define RINGPG_STATS_H
#include "error.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { PG_HISTOGRAM_BUCKETS = 128 };
struct pg_histogram {
    uint64_t count, sum_ns, max_ns;                  /* count: the sum of the buckets */
    uint64_t buckets[PG_HISTOGRAM_BUCKETS];          /* zero-initialised: empty       */
};

/* The longest duration that the bucket counts, in ns; UINT64_MAX for the last one and beyond. */
uint64_t pg_histogram_bound(size_t bucket);
/* `times` durations of `ns`. The sum wraps at 2^64 ns, 584 years. */
void pg_histogram_record(struct pg_histogram *histogram, uint64_t ns, uint64_t times);
/* Adds `from`: afterwards `into` is what one histogram of both would be. */
void pg_histogram_merge(struct pg_histogram *into, const struct pg_histogram *from);
/* The duration that `percent` of all did not exceed, in ns: 50 the median, 100 or more the longest, exactly. Never
 * below the true one, and above it by less than a quarter (or by at most 1,023 ns where it is below 1,024). 0: it is
 * empty. */
uint64_t pg_histogram_percentile(const struct pg_histogram *histogram, double percent);

#ifdef __cplusplus
}
#endif
#endif

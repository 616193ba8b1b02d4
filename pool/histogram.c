/* pool/histogram.c - durations in logarithmic buckets: four to each power of two, from 1 us to about an hour. Knows
 * nothing of pools. Invariant: count is the sum of the buckets, and no duration is above max_ns. */
#include "pool/histogram.h"

enum { SUBS = 1 << RP_HISTOGRAM_SUB_BITS, OCTAVE_SHIFT = RP_HISTOGRAM_FIRST_BITS - RP_HISTOGRAM_SUB_BITS };

uint64_t pg_histogram_bound(size_t bucket)
{
    if (bucket >= RP_HISTOGRAM_LAST) return UINT64_MAX;
    if (bucket == 0) return UINT64_C(1) << RP_HISTOGRAM_FIRST_BITS;
    size_t octave = (bucket - 1) / SUBS, sub = (bucket - 1) % SUBS;
    return (uint64_t)(SUBS + sub + 1) << (octave + OCTAVE_SHIFT);
}

void pg_histogram_record(struct pg_histogram *h, uint64_t ns, uint64_t times)
{
    if (times) (void)rp_histogram_record(h, ns, times);
}

void pg_histogram_merge(struct pg_histogram *into, const struct pg_histogram *from)
{
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    if (from->max_ns > into->max_ns) into->max_ns = from->max_ns;
    for (size_t i = 0; i < PG_HISTOGRAM_BUCKETS; i++) into->buckets[i] += from->buckets[i];
}

uint64_t pg_histogram_percentile(const struct pg_histogram *h, double percent)
{
    if (h->count == 0) return 0;
    if (!(percent < 100)) return h->max_ns;
    double exact = percent > 0 ? (double)h->count * percent / 100 : 0;
    uint64_t rank = (uint64_t)exact, seen = 0;
    if ((double)rank < exact || rank == 0) rank++;
    for (size_t i = 0; i < PG_HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen < rank) continue;
        uint64_t bound = pg_histogram_bound(i);
        return bound < h->max_ns ? bound : h->max_ns;
    }
    return h->max_ns;
}

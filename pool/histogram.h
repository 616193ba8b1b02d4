/* pool/histogram.h - counting a duration where it is counted often; the rest is public (ringpg/stats.h). */
#ifndef RP_POOL_HISTOGRAM_H
#define RP_POOL_HISTOGRAM_H
#include "ringpg/stats.h"

enum { RP_HISTOGRAM_FIRST_BITS = 10, RP_HISTOGRAM_SUB_BITS = 2, RP_HISTOGRAM_LAST = PG_HISTOGRAM_BUCKETS - 1 };

/* A bucket holds its upper bound, as Prometheus has it: so what counts are the bits of ns - 1. */
static inline size_t rp_histogram_bucket(uint64_t ns)
{
    uint64_t below = ns ? ns - 1 : 0;
    if (below >> RP_HISTOGRAM_FIRST_BITS == 0) return 0;
    size_t exponent = 63 - (size_t)__builtin_clzll(below);
    size_t octave = exponent - RP_HISTOGRAM_FIRST_BITS, sub = below >> (exponent - RP_HISTOGRAM_SUB_BITS) & 3;
    size_t bucket = 1 + (octave << RP_HISTOGRAM_SUB_BITS) + sub;
    return bucket < RP_HISTOGRAM_LAST ? bucket : RP_HISTOGRAM_LAST;
}

static inline size_t rp_histogram_record(struct pg_histogram *h, uint64_t ns, uint64_t times)
{
    size_t bucket = rp_histogram_bucket(ns);
    h->buckets[bucket] += times;
    h->count += times;
    h->sum_ns += ns * times;
    if (ns > h->max_ns) h->max_ns = ns;
    return bucket;
}

#endif

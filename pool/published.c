/* pool/published.c - the sequence lock around what other threads read. Every word is moved once by a volatile access,
 * two at a time, so that no compiler repeats it or makes a call of it; the fences are ck_sequence's.
 *
 * Compiled without ThreadSanitizer, which sees neither the inline assembly nor its fences; RP_TSAN says that the rest
 * of the program is under it and must be told what is ordered by what. */
#include "published.h"
#include "reactor/tsan.h"

/* Two words; wherever a word may stand. */
typedef uint64_t block __attribute__((vector_size(16), aligned(8), may_alias));
typedef uint64_t word __attribute__((may_alias));

enum {
    WORD = sizeof(uint64_t),
    HEAD_WORDS = offsetof(struct pg_pool_stats, wait) / WORD,
    SUM_WORDS = offsetof(struct pg_histogram, buckets) / WORD,
};
_Static_assert(sizeof(struct pg_pool_stats) % WORD == 0 && offsetof(struct pg_pool_stats, wait) % WORD == 0,
               "the figures are whole words");
_Static_assert(PG_HISTOGRAM_BUCKETS == 16 * RP_DIRTY_BUCKETS, "a mask of 16 bits covers a histogram");

/* Unrolled where n is a constant. */
static inline __attribute__((always_inline)) void copy(void *to, const void *from, size_t words)
{
    volatile block *b = to;
    const volatile block *a = from;
#pragma GCC unroll 16
    for (size_t i = 0; i < words / 2; i++) b[i] = a[i];
    if (words % 2) ((volatile word *)to)[words - 1] = ((const volatile word *)from)[words - 1];
}

static inline void copy_histogram(struct pg_histogram *to, const struct pg_histogram *from, unsigned dirty)
{
    copy(to, from, SUM_WORDS);
    for (; dirty; dirty &= dirty - 1) {
        size_t first = (size_t)__builtin_ctz(dirty) * RP_DIRTY_BUCKETS;
        copy(to->buckets + first, from->buckets + first, RP_DIRTY_BUCKETS);
    }
}

void rp_published_write(struct rp_published *p, const struct pg_pool_stats *now, const uint16_t dirty[RP_HISTOGRAMS])
{
    struct pg_pool_stats *from = (struct pg_pool_stats *)(uintptr_t)now;
    ck_sequence_write_begin(&p->sequence);
    copy(&p->at, now, HEAD_WORDS);
    for (int i = 0; i < RP_HISTOGRAMS; i++)
        if (dirty[i]) copy_histogram(rp_histogram(&p->at, i), rp_histogram(from, i), dirty[i]);
    RP_RELEASE(p);
    ck_sequence_write_end(&p->sequence);
}

void rp_published_read(const struct rp_published *p, struct pg_pool_stats *out, size_t bytes)
{
    unsigned version;
    do {
        version = ck_sequence_read_begin(&p->sequence);
        copy(out, &p->at, (bytes + WORD - 1) / WORD);
    } while (ck_sequence_read_retry(&p->sequence, version));
    RP_ACQUIRE(p);
}

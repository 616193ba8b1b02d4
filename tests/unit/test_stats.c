/* test_stats.c - histograms: bounds, percentiles, merging, extremes; and what is published: whole for every reader
 * while a writer writes, and ordered after what the writer did before. Run under ThreadSanitizer, too. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "pool/histogram.h"
#include "pool/published.h"
#include "wire/check.h"

#define US UINT64_C(1000)
#define HOUR (UINT64_C(3600) * 1000000000)

/* ---- histograms ---- */

static size_t bucket_of(uint64_t ns)
{
    struct pg_histogram h = { 0 };
    pg_histogram_record(&h, ns, 1);
    for (size_t i = 0; i < PG_HISTOGRAM_BUCKETS; i++)
        if (h.buckets[i]) return i;
    fail();
    return 0;
}

static void bounds_are_inclusive_and_rise_by_a_quarter_at_most(void **state)
{
    (void)state;
    assert_int_equal(pg_histogram_bound(0), 1024);
    assert_int_equal(pg_histogram_bound(1), 1280);
    assert_int_equal(pg_histogram_bound(4), 2048);
    assert_int_equal(pg_histogram_bound(5), 2560);
    assert_int_equal(pg_histogram_bound(PG_HISTOGRAM_BUCKETS - 1), UINT64_MAX);
    assert_int_equal(pg_histogram_bound(PG_HISTOGRAM_BUCKETS + 5), UINT64_MAX);
    assert_true(pg_histogram_bound(PG_HISTOGRAM_BUCKETS - 2) > HOUR * 9 / 10);
    for (size_t i = 0; i + 1 < PG_HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = pg_histogram_bound(i);
        assert_int_equal(bucket_of(bound), i);
        assert_int_equal(bucket_of(bound + 1), i + 1);
        if (i + 2 < PG_HISTOGRAM_BUCKETS) assert_true((pg_histogram_bound(i + 1) - bound) * 4 <= bound);
    }
}

static void extremes_have_a_bucket(void **state)
{
    (void)state;
    struct pg_histogram h = { 0 };
    assert_int_equal(bucket_of(0), 0);
    assert_int_equal(bucket_of(1), 0);
    assert_int_equal(bucket_of(UINT64_MAX), PG_HISTOGRAM_BUCKETS - 1);
    pg_histogram_record(&h, 5, 0);
    assert_int_equal(h.count + h.sum_ns + h.max_ns, 0);
    pg_histogram_record(&h, 5 * US, 3);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.sum_ns, 15 * US);
    assert_int_equal(h.max_ns, 5 * US);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

enum { SAMPLES = 5000 };
static uint64_t samples[SAMPLES];

/* Spread over all magnitudes from 1 ns to an hour. */
static void fill_samples(uint64_t seed)
{
    for (size_t i = 0; i < SAMPLES; i++)
        samples[i] = 1 + next_random(&seed) % (UINT64_C(1) << 1 << next_random(&seed) % 40);
}

static void percentiles_are_never_below_and_at_most_a_quarter_above(void **state)
{
    (void)state;
    static const double percents[] = { -1, 0, 0.01, 1, 10, 25, 50, 75, 90, 99, 99.9, 99.99, 100, 200 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct pg_histogram h = { 0 };
        fill_samples(seed);
        for (size_t i = 0; i < SAMPLES; i++) pg_histogram_record(&h, samples[i], 1);
        qsort(samples, SAMPLES, sizeof *samples, by_value);
        for (size_t i = 0; i < RP_COUNT(percents); i++) {
            double exact_rank = percents[i] / 100 * SAMPLES;
            size_t rank = exact_rank < 1 ? 1 : exact_rank > SAMPLES ? SAMPLES : (size_t)exact_rank;
            if ((double)rank < exact_rank && rank < SAMPLES) rank++;
            uint64_t exact = samples[rank - 1], got = pg_histogram_percentile(&h, percents[i]);
            assert_true(got >= exact);
            assert_true(exact <= 1024 ? got <= 1024 : (got - exact) * 4 < exact);
        }
        assert_int_equal(pg_histogram_percentile(&h, 100), samples[SAMPLES - 1]);
    }
}

static void percentiles_of_few_and_of_none(void **state)
{
    (void)state;
    struct pg_histogram h = { 0 };
    assert_int_equal(pg_histogram_percentile(&h, 50), 0);
    pg_histogram_record(&h, 3000, 1);
    assert_int_equal(pg_histogram_percentile(&h, 0), 3000); /* not the bucket's bound: nothing was longer */
    assert_int_equal(pg_histogram_percentile(&h, 50), 3000);
    pg_histogram_record(&h, HOUR * 24, 1);
    assert_int_equal(pg_histogram_percentile(&h, 50), 3072);
    assert_int_equal(pg_histogram_percentile(&h, 50.1), HOUR * 24);
}

static void a_merge_is_the_histogram_of_both(void **state)
{
    (void)state;
    struct pg_histogram parts[3] = { 0 }, sum = { 0 }, whole = { 0 };
    fill_samples(99);
    for (size_t i = 0; i < SAMPLES; i++) {
        pg_histogram_record(&parts[i % 3], samples[i], 1);
        pg_histogram_record(&whole, samples[i], 1);
    }
    for (size_t i = 0; i < 3; i++) pg_histogram_merge(&sum, &parts[i]);
    assert_memory_equal(&sum, &whole, sizeof sum);
    pg_histogram_merge(&sum, &(struct pg_histogram){ 0 });
    assert_memory_equal(&sum, &whole, sizeof sum);
}

/* ---- what is published ---- */

enum { READERS = 4, STATES = 60000 };

struct board {
    struct rp_published published;
    unsigned diary[STATES + 1]; /* plain memory: written before the state of that number is published */
    atomic_uint ready;
};

/* State n: every figure follows from n, so that any mixture of two states shows. */
static void advance(struct pg_pool_stats *s, uint64_t n, uint16_t dirty[RP_HISTOGRAMS])
{
    s->max_conns = s->total_conns = (uint32_t)n;
    s->idle_conns = (uint32_t)n / 2;
    s->acquired_conns = (uint32_t)n - s->idle_conns;
    s->acquire_count = s->leak_count = n;
    memset(dirty, 0, RP_HISTOGRAMS * sizeof *dirty);
    for (unsigned i = 0; i < RP_HISTOGRAMS; i++) {
        size_t bucket = rp_histogram_record(rp_histogram(s, i), n * (i + 1) << n % 20, 1);
        dirty[i] |= (uint16_t)(1u << bucket / RP_DIRTY_BUCKETS);
    }
}

static bool is_whole(struct pg_pool_stats *s)
{
    uint64_t n = s->acquire_count;
    bool whole = s->total_conns == n && s->max_conns == n && s->leak_count == n;
    whole = whole && s->idle_conns + s->acquired_conns == n;
    for (unsigned i = 0; i < RP_HISTOGRAMS; i++) {
        const struct pg_histogram *h = rp_histogram(s, i);
        uint64_t sum = 0;
        for (size_t k = 0; k < PG_HISTOGRAM_BUCKETS; k++) sum += h->buckets[k];
        whole = whole && h->count == n && sum == n && h->sum_ns == s->wait.sum_ns * (i + 1);
    }
    return whole;
}

/* The faults that it saw: cmocka's asserts are for the thread of the test. */
static void *read_states(void *arg)
{
    struct board *board = arg;
    struct pg_pool_stats s;
    uint64_t last = 0;
    uintptr_t faults = 0;
    atomic_fetch_add_explicit(&board->ready, 1, memory_order_relaxed);
    while (last < STATES) {
        rp_published_read(&board->published, &s, sizeof s);
        if (!is_whole(&s) || s.acquire_count < last) faults++;
        last = s.acquire_count;
        if (last && board->diary[last] != last) faults++;
    }
    return (void *)faults;
}

static void every_reader_sees_whole_states_while_they_change(void **state)
{
    (void)state;
    struct board *board = calloc(1, sizeof *board);
    struct pg_pool_stats now = { 0 };
    uint16_t dirty[RP_HISTOGRAMS];
    pthread_t threads[READERS];
    assert_non_null(board);
    for (int i = 0; i < READERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, read_states, board), 0);
    while (atomic_load_explicit(&board->ready, memory_order_relaxed) < READERS) continue;
    for (unsigned n = 1; n <= STATES; n++) {
        advance(&now, n, dirty);
        board->diary[n] = n; /* without the annotations ThreadSanitizer takes the reader's look for a race */
        rp_published_write(&board->published, &now, dirty);
    }
    for (int i = 0; i < READERS; i++) {
        void *faults;
        assert_int_equal(pthread_join(threads[i], &faults), 0);
        assert_null(faults);
    }
    free(board);
}

static void only_what_was_asked_for_is_written(void **state)
{
    (void)state;
    struct rp_published p = { 0 };
    struct pg_pool_stats now = { 0 }, out;
    uint16_t dirty[RP_HISTOGRAMS];
    advance(&now, 7, dirty);
    rp_published_write(&p, &now, dirty);
    memset(&out, 0xaa, sizeof out);
    rp_published_read(&p, &out, offsetof(struct pg_pool_stats, wait));
    assert_memory_equal(&out, &now, offsetof(struct pg_pool_stats, wait));
    assert_int_equal(out.wait.count, UINT64_C(0xaaaaaaaaaaaaaaaa));
    rp_published_read(&p, &out, sizeof out);
    assert_memory_equal(&out, &now, sizeof out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_inclusive_and_rise_by_a_quarter_at_most),
        cmocka_unit_test(extremes_have_a_bucket),
        cmocka_unit_test(percentiles_are_never_below_and_at_most_a_quarter_above),
        cmocka_unit_test(percentiles_of_few_and_of_none),
        cmocka_unit_test(a_merge_is_the_histogram_of_both),
        cmocka_unit_test(only_what_was_asked_for_is_written),
        cmocka_unit_test(every_reader_sees_whole_states_while_they_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

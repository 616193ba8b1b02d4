/* server/test_allocation.c - no allocation on the query path after warm-up: malloc and its kin of the whole process are
 * counted while queries of both lanes run on a real ring. Fails at one. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/live.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifdef SANITIZED
int main(void)
{
    puts("skipped: the sanitizer owns malloc; the plain build counts");
    return 77;
}
#else

/* glibc's own, behind the names that this program takes over. */
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static uint64_t allocations;
void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}
void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}
void *realloc(void *at, size_t n)
{
    allocations++;
    return __libc_realloc(at, n);
}
int posix_memalign(void **out, size_t alignment, size_t n)
{
    allocations++;
    *out = __libc_memalign(alignment, n);
    return *out ? 0 : 12;
}

enum { HANDLERS = 64, ROUNDS = 200, CONNS = 4, TEXTS = 6 };
static struct pg_statement echo = PG_STATEMENT("SELECT $1", PG_TYPE_INT8);
static unsigned left, wrong;

struct handler {
    struct pg_pool *pool;
    struct pg_lease lease;
    struct pg_query begin, query;
    struct pg_param param;
    unsigned rounds;
    char sql[60];
};
static struct handler handlers[HANDLERS];
static void again(struct handler *h);

static enum pg_flow check(struct pg_query *q, struct pg_row *row)
{
    wrong += pg_row_int8(row, 0) != q->params[0].u.i;
    return PG_CONTINUE;
}
static void committed(struct pg_query *q)
{
    struct handler *h = q->data;
    wrong += q->status != 0;
    pg_lease_release(&h->lease);
    again(h);
}
static void answered(struct pg_query *q)
{
    struct handler *h = q->data;
    wrong += q->status != 0;
    *q = (struct pg_query){ .statement = &pg_commit, .on_done = committed, .data = h };
    pg_lease_query(&h->lease, q);
}
static void granted(struct pg_lease *lease, int status)
{
    struct handler *h = lease->data;
    wrong += status != 0;
    h->query = (struct pg_query){
        .statement = &echo, .params = &h->param, .nparams = 1, .on_row = check, .on_done = answered, .data = h
    };
    h->begin = (struct pg_query){ .statement = &pg_begin, .next = &h->query };
    pg_lease_query(lease, &h->begin);
}
static void shared_done(struct pg_query *q)
{
    wrong += q->status != 0;
    again(q->data);
}
static const char *text(char *sql, size_t size, unsigned number)
{
    snprintf(sql, size, "SELECT $1::int8 + 0 * %u", number);
    return sql;
}
/* Statements and leased transactions in turn, with deadlines, from their callbacks. */
static void again(struct handler *h)
{
    if (h->rounds == 0) {
        left--;
        return;
    }
    h->param = pg_int8((int64_t)(h->rounds * 1000 + (unsigned)(h - handlers)));
    uint64_t deadline_ns = PG_NEVER;
    if (h->rounds-- % 4) {
        h->query = (struct pg_query){ .statement = &echo,
                                      .params = &h->param,
                                      .nparams = 1,
                                      .on_row = check,
                                      .on_done = shared_done,
                                      .data = h,
                                      .deadline_ns = deadline_ns };
        if (h->rounds % 4 == 1) { /* one of more texts than are kept: evictions all the time */
            h->query.statement = NULL;
            h->query.sql = text(h->sql, sizeof h->sql, (unsigned)(h - handlers) % TEXTS);
        }
        pg_pool_query(h->pool, &h->query);
    } else {
        h->lease = (struct pg_lease){ .on_grant = granted, .data = h, .tag = PG_HERE };
        pg_pool_acquire(h->pool, &h->lease);
    }
}
static bool all_done(void *arg)
{
    (void)arg;
    return left == 0;
}
static void run(struct live *live, struct pg_pool *pool, unsigned rounds)
{
    left = HANDLERS;
    for (int i = 0; i < HANDLERS; i++) {
        handlers[i].pool = pool;
        handlers[i].rounds = rounds;
        again(&handlers[i]);
    }
    assert_true(live_until(live, all_done, NULL));
}

/* All connections at once, and on each everything that runs later: what it costs to meet a statement is paid here, not
 * when the load happens to bring it to a connection. */
static void warm_up(struct live *live, struct pg_pool *pool)
{
    struct pg_lease leases[CONNS];
    struct pg_param one = pg_int8(1);
    char sql[60];
    for (int i = 0; i < CONNS; i++) {
        leases[i] = (struct pg_lease){ .tag = PG_HERE };
        assert_int_equal(live_acquire(live, pool, &leases[i]), 0);
    }
    for (int i = 0; i < CONNS; i++) {
        struct pg_query first[] = { { .statement = &pg_begin },
                                    { .statement = &echo, .params = &one, .nparams = 1 },
                                    { .statement = &pg_commit } };
        for (int k = 0; k < 3; k++) assert_int_equal(live_query(live, NULL, &leases[i], &first[k]), 0);
        for (unsigned k = 0; k < 2 * TEXTS; k++) {
            struct pg_query q = { .sql = text(sql, sizeof sql, k % TEXTS), .params = &one, .nparams = 1 };
            assert_int_equal(live_query(live, NULL, &leases[i], &q), 0);
        }
    }
    for (int i = 0; i < CONNS; i++) pg_lease_release(&leases[i]);
    run(live, pool, 64);
}

static void queries_allocate_nothing(enum live_host kind)
{
    struct live live;
    if (!live_open(&live, kind)) skip();
    struct pg_pool *pool = live_pool(&live, NULL, "pool_max_conns=4 pool_min_conns=4 statement_cache_capacity=4");
    warm_up(&live, pool);
    allocations = 0;
    run(&live, pool, ROUNDS);
    uint64_t counted = allocations;
    assert_int_equal(wrong, 0);
    assert_int_equal(counted, 0);
    live_close(&live);
}
static void on_uring(void **state)
{
    (void)state;
    queries_allocate_nothing(LIVE_URING);
}
static void on_epoll(void **state)
{
    (void)state;
    queries_allocate_nothing(LIVE_EPOLL);
}

/* ---- COPY ---- */

struct copied { struct pg_copy copy; uint64_t lines; unsigned done; };
static void write_lines(struct pg_copy *copy)
{
    struct copied *c = copy->query.data;
    for (; c->lines < 20000; c->lines++)
        if (pg_copy_write(copy, "1234567890\n", 11) < 11) return; /* a line that is cut goes on with the next one */
    pg_copy_finish(copy, NULL);
}
static enum pg_flow count_lines(struct pg_copy *copy, struct pg_text chunk)
{
    ((struct copied *)copy->query.data)->lines += chunk.size > 0;
    return PG_CONTINUE;
}
static void copied(struct pg_query *q) { ((struct copied *)q->data)->done++; }
static bool is_copied(void *arg) { return ((struct copied *)arg)->done > 0; }

static void copy(struct live *live, struct pg_lease *lease, const char *sql)
{
    struct copied c = { .copy.on_data = count_lines, .copy.on_writable = write_lines };
    c.copy.query = (struct pg_query){ .sql = sql, .on_done = copied, .data = &c };
    pg_lease_copy(lease, &c.copy);
    assert_true(live_until(live, is_copied, &c));
    assert_int_equal(c.copy.query.status, 0);
}
static void a_copy_allocates_nothing(void **state)
{
    (void)state;
    struct live live;
    struct pg_lease lease = { .tag = PG_HERE };
    if (!live_open(&live, LIVE_URING)) skip();
    struct pg_pool *pool = live_pool(&live, NULL, "pool_max_conns=1");
    assert_int_equal(live_acquire(&live, pool, &lease), 0);
    struct pg_query table = { .sql = "CREATE TEMP TABLE t (x text)" };
    assert_int_equal(live_query(&live, NULL, &lease, &table), 0);
    copy(&live, &lease, "COPY t FROM STDIN"); /* buffers are lent for the first time */
    copy(&live, &lease, "COPY t TO STDOUT");
    allocations = 0;
    for (int i = 0; i < 5; i++) {
        copy(&live, &lease, "COPY t FROM STDIN");
        copy(&live, &lease, "COPY t TO STDOUT");
    }
    assert_int_equal(allocations, 0);
    pg_lease_release(&lease);
    live_close(&live);
}

/* The counter counts: else the two above could not fail. */
static void the_counter_counts(void **state)
{
    (void)state;
    struct live live;
    live_open(&live, LIVE_EPOLL);
    allocations = 0;
    (void)live_pool(&live, NULL, "");
    assert_true(allocations > 4);
    live_close(&live);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(on_uring), cmocka_unit_test(on_epoll),
                                        cmocka_unit_test(a_copy_allocates_nothing),
                                        cmocka_unit_test(the_counter_counts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif

/* unit/test_pool_failing.c - the n-th allocation fails, and the n-th call of the host, for every n (failures 57): each
 * request still ends exactly once, nothing leaks, and the pool serves afterwards. */
#define _GNU_SOURCE
#include "support/world.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- an allocator that fails once, and counts what is out ---- */

struct heap { uint64_t calls, fail_call; size_t blocks, bytes; const char *secret; unsigned betrayed; };

static void *heap_allocate(void *arg, size_t bytes)
{
    struct heap *h = arg;
    if (++h->calls == h->fail_call) return NULL;
    void *at = malloc(bytes);
    assert_non_null(at);
    h->blocks++;
    h->bytes += bytes;
    return at;
}
static void heap_deallocate(void *arg, void *at, size_t bytes)
{
    struct heap *h = arg;
    if (h->secret && memmem(at, bytes, h->secret, strlen(h->secret))) h->betrayed++;
    h->blocks--;
    h->bytes -= bytes;
    free(at);
}

/* ---- one of everything ---- */

enum { LARGE = 40000, SMALL = 6 };
static struct pg_statement echo_bytes = PG_STATEMENT("ECHO $1", PG_TYPE_BYTEA);
static struct scene {
    struct seen small[SMALL], unnamed, large, batch[2], leased[2];
    struct held lease;
    uint8_t bytes[LARGE];
    unsigned grants;
    bool closed;
} s;

static void use_lease(struct pg_lease *lease, int status)
{
    s.grants++;
    if (status) return;
    pg_lease_query(lease, &s.leased[0].query);
    pg_lease_query(lease, &s.leased[1].query);
}
static enum pg_flow count_row(struct pg_query *q, struct pg_row *row)
{
    (void)row;
    ((struct seen *)q->data)->rows++;
    return PG_CONTINUE;
}

static void start_all(struct pg_pool *pool)
{
    memset(&s, 0, sizeof s);
    for (int i = 0; i < SMALL; i++)
        seen_init(&s.small[i], i % 2 ? &world_insert : &world_echo, i), pg_pool_query(pool, &s.small[i].query);
    seen_sql(&s.unnamed, "ECHO words");
    s.unnamed.query.on_row = count_row;
    pg_pool_query(pool, &s.unnamed.query);
    seen_init(&s.large, &echo_bytes, 0);
    s.large.param = pg_bytes(s.bytes, LARGE);
    s.large.query.on_row = count_row;
    pg_pool_query(pool, &s.large.query);
    for (int i = 0; i < 2; i++) seen_init(&s.batch[i], &world_insert, 20 + i), seen_init(&s.leased[i], &world_echo, i);
    s.batch[0].query.next = &s.batch[1].query;
    pg_pool_query(pool, &s.batch[0].query);
    held_init(&s.lease);
    s.lease.lease.on_grant = use_lease;
    pg_pool_acquire(pool, &s.lease.lease);
}

static void on_closed(void *arg) { *(bool *)arg = true; }

/* False: it failed before there was anything to use. `*calls`: up to the point from where all must go well. */
static bool run(struct heap *heap, uint64_t fail_allocation, uint64_t fail_call, uint64_t *allocations, uint64_t *calls)
{
    struct sim_config sc = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000, .fail_call = fail_call };
    struct sim *sim = sim_open(&sc);
    struct model_config mc = { .sim = sim, .exit_delay_ns = 100000 };
    struct model_server *server = model_server_open(&mc);
    struct pg_reactor *reactor = NULL;
    struct pg_pool *pool = NULL;
    *heap = (struct heap){ .fail_call = fail_allocation };
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(sim));
    rc.allocate = heap_allocate;
    rc.deallocate = heap_deallocate;
    rc.arg = heap;
    struct pg_error error = { 0 };
    struct pg_pool_config pc = PG_POOL_CONFIG("host=127.0.0.1 user=app dbname=app pool_max_conns=2");
    int rc_open = pg_reactor_open(&reactor, &rc, &error);
    if (!rc_open) rc_open = pg_pool_open(&pool, reactor, &pc, &error);
    if (rc_open) {
        assert_int_equal(rc_open, -ENOMEM);
        assert_int_equal(error.code, -ENOMEM);
        assert_true(*pg_error_field(&error, 'M') != 0);
    } else {
        start_all(pool);
        (void)!sim_run(sim, reactor, 30 * WORLD_SECOND);
        for (int i = 0; i < SMALL; i++) assert_int_equal(s.small[i].done, 1);
        assert_int_equal(s.unnamed.done, 1);
        assert_int_equal(s.large.done, 1);
        assert_int_equal(s.batch[0].done + s.batch[1].done, 2);
        assert_true((s.batch[0].status == PG_OK) == (s.batch[1].status == PG_OK));
        assert_int_equal(s.grants, 1);
        if (s.leased[0].done) assert_int_equal(s.leased[1].done, 1);
        *calls = sim_counters(sim)->calls;
        pg_lease_abandon(&s.lease.lease);
        struct seen after[2];
        for (int i = 0; i < 2; i++) seen_init(&after[i], &world_echo, 70 + i), pg_pool_query(pool, &after[i].query);
        (void)!sim_run(sim, reactor, 30 * WORLD_SECOND);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(after[i].done, 1);
            assert_int_equal(after[i].status, PG_OK);
            assert_int_equal(after[i].value, 70 + i);
        }
        pg_pool_close(pool, 0, on_closed, &s.closed);
        pg_reactor_close(reactor, 0);
        assert_int_equal(sim_run(sim, reactor, 100 * WORLD_SECOND), SIM_CLOSED);
        assert_true(s.closed);
    }
    pg_reactor_free(reactor);
    assert_int_equal(heap->blocks, 0);
    assert_int_equal(heap->bytes, 0);
    *allocations = heap->calls;
    assert_int_equal(model_stats(server)->sockets_now, 0);
    model_server_close(server);
    sim_close(sim);
    return rc_open == 0;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct heap heap;
    uint64_t all, some, calls;
    assert_true(run(&heap, 0, 0, &all, &calls));
    assert_int_equal(s.leased[1].status, PG_OK);
    assert_int_equal(s.large.rows, 1);
    unsigned opened = 0;
    for (uint64_t n = 1; n <= all; n++) opened += run(&heap, n, 0, &some, &calls);
    assert_true(opened > 2 && opened < all); /* some while it opens, and some while it runs */
}

static void every_call_of_the_host_may_fail(void **state)
{
    (void)state;
    struct heap heap;
    uint64_t allocations, all, some;
    assert_true(run(&heap, 0, 0, &allocations, &all));
    assert_true(all > 20);
    for (uint64_t n = 1; n <= all; n++) assert_true(run(&heap, 0, n, &allocations, &some));
}

/* ---- what goes back to the allocator holds no password (failures 15) ---- */

static void freed_memory_holds_no_password(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct sim_config sc = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
        struct sim *sim = sim_open(&sc);
        struct model_config mc = { .sim = sim, .auth = MODEL_CLEARTEXT, .user = "app", .password = "s3cret-and-long" };
        struct model_server *server = model_server_open(&mc);
        struct heap heap = { .secret = mc.password };
        struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(sim));
        rc.allocate = heap_allocate;
        rc.deallocate = heap_deallocate;
        rc.arg = &heap;
        struct pg_reactor *reactor;
        struct pg_pool *pool;
        struct pg_pool_config pc =
            PG_POOL_CONFIG("host=127.0.0.1 user=app dbname=app password=s3cret-and-long pool_min_conns=1");
        assert_int_equal(pg_reactor_open(&reactor, &rc, NULL), 0);
        assert_int_equal(pg_pool_open(&pool, reactor, &pc, NULL), 0);
        /* Closed while the password is on its way, and when the connection stands. */
        if (late) (void)!sim_run(sim, reactor, WORLD_SECOND);
        else while (sim_counters(sim)->sends < 2) (void)!sim_run(sim, reactor, 1000);
        pg_reactor_close(reactor, 0);
        assert_int_equal(sim_run(sim, reactor, 100 * WORLD_SECOND), SIM_CLOSED);
        pg_reactor_free(reactor);
        assert_int_equal(heap.blocks, 0);
        assert_int_equal(heap.betrayed, 0);
        assert_int_equal(model_stats(server)->auth_failures, 0);
        model_server_close(server);
        sim_close(sim);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_call_of_the_host_may_fail),
        cmocka_unit_test(freed_memory_holds_no_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

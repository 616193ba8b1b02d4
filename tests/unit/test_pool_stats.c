/* unit/test_pool_stats.c - what the pool counts and measures, on the simulated host: each figure in scenarios whose
 * course is known; the same for other threads at the end of every turn; leaks and holders are named. */
#define _GNU_SOURCE
#include "support/world.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* As world_run, and the time passes also when nothing happens in it. */
static void pass(struct world *w, uint64_t ns)
{
    uint64_t until_ns = sim_now(w->sim) + ns;
    world_run(w, ns);
    if (sim_now(w->sim) < until_ns) (void)sim_step_until(w->sim, until_ns);
    (void)!pg_reactor_turn(w->reactor);
}

static void *read_stats(void *arg)
{
    struct world *w = arg;
    struct pg_pool_stats *out = malloc(sizeof *out);
    if (!out) return NULL;
    out->size = sizeof *out;
    pg_pool_stats(w->pool, out);
    return out;
}

/* What another thread sees. */
static struct pg_pool_stats published(struct world *w)
{
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, read_stats, w), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_non_null(result);
    struct pg_pool_stats stats = *(struct pg_pool_stats *)result;
    free(result);
    return stats;
}

static void check_sums(const struct pg_pool_stats *s)
{
    const struct pg_histogram *const all[] = { &s->wait, &s->hold, &s->connect, &s->query };
    for (size_t i = 0; i < 4; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < PG_HISTOGRAM_BUCKETS; k++) sum += all[i]->buckets[k];
        assert_int_equal(sum, all[i]->count);
    }
    assert_true(s->total_conns >= s->idle_conns + s->acquired_conns + s->shared_conns + s->constructing_conns);
    assert_int_equal(s->query.count, s->query_count);
    assert_int_equal(s->connect.count, s->new_conns_count);
    assert_int_equal(s->wait.count, s->empty_acquire_count);
    assert_int_equal(s->wait.sum_ns, s->empty_acquire_wait_ns);
    assert_int_equal(s->wait.max_ns, s->maxwait_ns);
}

/* After a run, which ends with a turn: what is published is what the reactor itself knows. */
static struct pg_pool_stats settled(struct world *w)
{
    struct pg_pool_stats theirs = published(w), ours = world_stats(w);
    check_sums(&theirs);
    assert_memory_equal(&theirs, &ours, sizeof ours);
    return theirs;
}

static void one_connect_and_three_statements(void **state)
{
    (void)state;
    struct world w;
    struct seen s[3];
    world_open(&w, "pool_max_conns=1");
    struct pg_pool_stats before = settled(&w), after;
    assert_int_equal(before.max_conns, 1);
    assert_int_equal(before.total_conns + before.query_count + before.new_conns_count, 0);
    for (int i = 0; i < 3; i++) seen_sql(&s[i], i ? "SELECT 1" : "SLEEP 100");
    pg_pool_query(w.pool, &s[0].query); /* parks: there is no connection */
    world_run(&w, 50 * WORLD_MS);
    after = settled(&w);
    assert_int_equal(after.new_conns_count, 1);
    assert_int_equal(after.shared_conns, 1);
    assert_int_equal(after.query_count, 0);
    assert_int_equal(after.wait.count, 1);
    assert_int_equal(after.wait.sum_ns, after.connect.sum_ns); /* it waited for just that */
    assert_in_range(after.connect.sum_ns, 100000, 50 * WORLD_MS);
    for (int i = 1; i < 3; i++) pg_pool_query(w.pool, &s[i].query); /* behind it on the same connection */
    world_run(&w, WORLD_SECOND);
    after = settled(&w);
    assert_int_equal(after.query_count, 3);
    assert_int_equal(after.wait.count, 1);
    assert_in_range(after.query.max_ns, 100 * WORLD_MS, 110 * WORLD_MS);
    assert_in_range(after.query.sum_ns, 200 * WORLD_MS, 215 * WORLD_MS); /* 100 ms and twice the last 50 of them */
    assert_int_equal(after.idle_conns, 1);
    assert_int_equal(after.acquire_count + after.hold.count, 0);
    world_close(&w);
}

/* There was one when it came, and none when its turn had come. */
static void a_wait_for_what_was_idle_is_one_too(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=1 pool_min_conns=1");
    world_run(&w, WORLD_SECOND);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    pg_pool_reset(w.pool);
    world_run(&w, 50 * WORLD_MS);
    assert_int_equal(h.grants, 1);
    struct pg_pool_stats s = settled(&w);
    assert_int_equal(s.wait.count, 1);
    assert_int_equal(s.wait.sum_ns, s.acquire_duration_ns);
    assert_true(s.wait.sum_ns > 100000);
    pg_lease_release(&h.lease);
    world_close(&w);
}

static void a_lease_is_waited_for_and_held(void **state)
{
    (void)state;
    struct world w;
    struct held first, second;
    world_open(&w, "pool_max_conns=1 pool_min_conns=1");
    world_run(&w, WORLD_SECOND);
    held_init(&first);
    held_init(&second);
    assert_int_equal(pg_pool_try_acquire(w.pool, &first.lease), 0);
    assert_int_equal(pg_pool_try_acquire(w.pool, &second.lease), PG_E_REFUSED); /* is no acquire */
    pg_pool_acquire(w.pool, &second.lease);
    pass(&w, 30 * WORLD_MS);
    struct pg_pool_stats s = settled(&w);
    assert_int_equal(s.acquire_count, 1);
    assert_int_equal(s.acquired_conns, 1);
    assert_int_equal(s.pending, 1);
    assert_int_equal(s.max_pending, 1);
    assert_int_equal(s.hold.count, 0);
    pg_lease_release(&first.lease);
    pass(&w, 70 * WORLD_MS);
    pg_lease_abandon(&second.lease);
    world_run(&w, WORLD_SECOND);
    s = settled(&w);
    assert_int_equal(s.acquire_count, 2);
    assert_int_equal(s.acquire_duration_ns, 30 * WORLD_MS);
    assert_int_equal(s.empty_acquire_count, 1);
    assert_int_equal(s.maxwait_ns, 30 * WORLD_MS);
    assert_int_equal(s.hold.count, 2);
    assert_int_equal(s.hold.sum_ns, 100 * WORLD_MS);
    assert_int_equal(s.hold.max_ns, 70 * WORLD_MS);
    assert_int_equal(s.pending + s.acquired_conns, 0);
    assert_int_equal(s.idle_conns, 1);
    world_close(&w);
}

static void refused_cancelled_and_late_ones_are_counted(void **state)
{
    (void)state;
    struct world w;
    struct held holder, waits[3];
    world_open(&w, "pool_max_conns=1 pool_max_waiters=2 pool_acquire_timeout=40ms");
    held_init(&holder);
    pg_pool_acquire(w.pool, &holder.lease);
    world_run(&w, 20 * WORLD_MS);
    for (int i = 0; i < 3; i++) {
        held_init(&waits[i]);
        pg_pool_acquire(w.pool, &waits[i].lease);
    }
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(waits[2].status, PG_E_REFUSED);
    pg_lease_abandon(&waits[0].lease);
    world_run(&w, 100 * WORLD_MS);
    assert_int_equal(waits[1].status, PG_E_TIMEOUT);
    struct pg_pool_stats s = settled(&w);
    assert_int_equal(s.refused_count, 1);
    assert_int_equal(s.canceled_acquire_count, 1);
    assert_int_equal(s.timeout_count, 1);
    assert_int_equal(s.max_pending, 2);
    assert_int_equal(s.acquire_count, 1);
    assert_int_equal(s.wait.count, 1); /* the holder's, for the connect; those that failed waited in vain */
    pg_lease_release(&holder.lease);
    world_close(&w);
}

static void a_refused_query_is_an_outcome_and_shows_without_a_completion(void **state)
{
    (void)state;
    struct world w;
    struct seen s;
    world_open(&w, "pool_max_conns=1 pool_min_conns=1");
    world_run(&w, WORLD_SECOND);
    seen_sql(&s, "BEGIN");
    pg_pool_query(w.pool, &s.query);
    (void)!pg_reactor_turn(w.reactor);
    assert_int_equal(s.status, PG_E_NEEDS_LEASE);
    struct pg_pool_stats stats = settled(&w);
    assert_int_equal(stats.query_count, 1);
    assert_int_equal(stats.query.max_ns, 0);
    world_close(&w);
}

/* Other threads see the end of a turn and nothing of the middle of the next one; the reactor's own sees it all. */
static void others_see_turns_and_the_reactor_sees_now(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=1 pool_min_conns=1");
    world_run(&w, WORLD_SECOND);
    held_init(&h);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h.lease), 0);
    assert_int_equal(published(&w).acquired_conns, 0);
    (void)!pg_reactor_turn(w.reactor);
    assert_int_equal(published(&w).acquired_conns, 1);
    pg_lease_release(&h.lease);
    assert_int_equal(world_stats(&w).acquired_conns, 0);
    assert_int_equal(published(&w).acquired_conns, 0); /* the reactor had a look, which publishes */
    world_close(&w);
}

static void a_short_struct_gets_its_part(void **state)
{
    (void)state;
    struct world w;
    struct pg_pool_stats s;
    world_open(&w, "pool_max_conns=3");
    memset(&s, 0xaa, sizeof s);
    s.size = offsetof(struct pg_pool_stats, acquire_count);
    pg_pool_stats(w.pool, &s);
    assert_int_equal(s.size, offsetof(struct pg_pool_stats, acquire_count));
    assert_int_equal(s.max_conns, 3);
    assert_int_equal(s.max_pending, 0);
    assert_int_equal(s.acquire_count, UINT64_C(0xaaaaaaaaaaaaaaaa));
    world_close(&w);
}

/* Nothing is published while nothing changes: an idle turn costs no copy. */
static void an_idle_pool_wants_no_turn(void **state)
{
    (void)state;
    struct world w;
    world_open(&w, "pool_max_conns=1 pool_min_conns=1 pool_max_conn_lifetime=0 pool_max_conn_idle_time=0");
    world_run(&w, WORLD_SECOND);
    assert_int_equal(pg_reactor_turn(w.reactor), PG_WAIT_FOREVER);
    assert_int_equal(world_stats(&w).idle_conns, 1); /* a look from this thread queues nothing either */
    assert_int_equal(pg_reactor_turn(w.reactor), PG_WAIT_FOREVER);
    world_close(&w);
}

/* ---- leaks and holders ---- */

static void a_leak_is_told_once_with_its_tag(void **state)
{
    (void)state;
    struct world w;
    struct held slow, quick;
    world_open(&w, "pool_max_conns=2 pool_min_conns=2 pool_leak_detection_threshold=200ms");
    world_run(&w, WORLD_SECOND);
    held_init(&slow);
    held_init(&quick);
    slow.lease.tag = "orders.c:77";
    pg_pool_acquire(w.pool, &slow.lease);
    pg_pool_acquire(w.pool, &quick.lease);
    world_run(&w, 150 * WORLD_MS);
    pg_lease_release(&quick.lease);
    assert_int_equal(w.events[PG_EVENT_LEAK], 0);
    pass(&w, WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LEAK], 1);
    assert_int_equal(w.last_event.kind, PG_EVENT_LEAK);
    assert_string_equal(w.last_event.tag, "orders.c:77");
    assert_in_range(w.last_event.held_ns, 200 * WORLD_MS, 202 * WORLD_MS);
    assert_non_null(strstr(pg_error_field(&w.event_error, 'M'), "orders.c:77"));
    assert_int_equal(settled(&w).leak_count, 1);
    pg_lease_release(&slow.lease); /* and it can be used again, with a report of its own */
    pg_pool_acquire(w.pool, &slow.lease);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LEAK], 2);
    pg_lease_abandon(&slow.lease);
    pass(&w, WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LEAK], 2);
    world_close(&w);
}

static void without_a_threshold_nothing_is_told(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=1");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    pass(&w, 3600 * WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LEAK], 0);
    pg_lease_release(&h.lease);
    world_close(&w);
}

static struct held *returned_by_event;
static void return_it(void *arg, const struct pg_event *event)
{
    (void)arg;
    if (event->kind == PG_EVENT_LEAK) pg_lease_abandon(&returned_by_event->lease);
}

static void the_report_may_return_the_lease(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct pg_pool *pool;
    struct pg_pool_config config = PG_POOL_CONFIG("host=127.0.0.1 user=app pool_leak_detection_threshold=1s");
    world_open(&w, "");
    config.on_event = return_it;
    assert_int_equal(pg_pool_open(&pool, w.reactor, &config, NULL), 0);
    held_init(&h);
    returned_by_event = &h;
    pg_pool_acquire(pool, &h.lease);
    world_run(&w, 3 * WORLD_SECOND);
    struct pg_pool_stats s = { .size = sizeof s };
    pg_pool_stats(pool, &s);
    assert_int_equal(s.leak_count, 1);
    assert_int_equal(s.acquired_conns, 0);
    assert_int_equal(s.hold.count, 1);
    world_close(&w);
}

static void a_leak_of_a_closed_pool_has_nobody_to_be_told(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=1 pool_leak_detection_threshold=30s");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(h.status, 0);
    pg_pool_close(w.pool, 0, NULL, NULL);
    pass(&w, 60 * WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LEAK], 0);
    pg_lease_release(&h.lease);
    w.pool = NULL;
    world_close(&w);
}

static void who_waited_in_vain_is_told_who_holds(void **state)
{
    (void)state;
    struct world w;
    struct held h[4], late;
    struct seen s;
    static const char *const tags[] = { "a.c:1", NULL, "c.c:3", "d.c:4" };
    world_open(&w, "pool_max_conns=4 pool_min_conns=4 pool_acquire_timeout=50ms");
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 4; i++) {
        held_init(&h[i]);
        h[i].lease.tag = tags[i];
        pg_pool_acquire(w.pool, &h[i].lease);
        pass(&w, 100 * WORLD_MS);
    }
    held_init(&late);
    seen_init(&s, &world_echo, 1);
    pg_pool_acquire(w.pool, &late.lease);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 60 * WORLD_MS);
    const char *text = "no connection was free before the deadline; held by a.c:1 for 450 ms, no tag for 350 ms, "
                       "c.c:3 for 250 ms and others";
    assert_int_equal(late.status, PG_E_TIMEOUT);
    assert_string_equal(pg_error_field(&late.error, 'M'), text);
    assert_int_equal(s.status, PG_E_TIMEOUT);
    assert_string_equal(pg_error_field(&s.error, 'M'), text);
    pg_lease_release(&h[0].lease);
    pg_lease_release(&h[1].lease);
    pg_lease_release(&h[2].lease);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h[0].lease), 0);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h[1].lease), 0);
    assert_int_equal(pg_pool_try_acquire(w.pool, &h[2].lease), 0);
    h[0].lease.tag = "a tag that is far longer than any file's name and line would ever be in a program that is read";
    held_init(&late);
    pg_pool_acquire(w.pool, &late.lease);
    world_run(&w, 60 * WORLD_MS);
    text = pg_error_field(&late.error, 'M');
    assert_non_null(strstr(text, "; held by d.c:4 for ")); /* the oldest now */
    assert_non_null(strstr(text, "a tag that is far longer than"));
    for (int i = 0; i < 4; i++) pg_lease_release(&h[i].lease);
    world_close(&w);
}

struct nested { struct world *w; bool nests; int status; struct pg_error error; };

static void two_at_once(void *arg)
{
    struct nested *n = arg;
    struct pg_lease first = { .tag = "outer.c:1" }, second = { .error = &n->error, .tag = "inner.c:2" };
    if (n->nests) n->status = pg_await_acquire(n->w->pool, &first);
    if (!n->status) n->status = pg_await_sleep(pg_reactor_now(n->w->reactor) + WORLD_MS);
    if (!n->status) n->status = pg_await_acquire(n->w->pool, &second);
    pg_lease_abandon(&first);
    pg_lease_abandon(&second);
}

/* Two fibers on two connections, each of which wants a second one, and one that wants its first. */
static void a_fiber_that_waits_for_a_second_lease_is_found_out(void **state)
{
    (void)state;
    struct world w;
    struct nested n[3] = { { .w = &w, .nests = true }, { .w = &w, .nests = true }, { .w = &w } };
    world_open(&w, "pool_max_conns=2 pool_min_conns=2 pool_acquire_timeout=50ms");
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 3; i++) {
        struct pg_fiber fiber;
        assert_int_equal(pg_fiber_spawn(w.reactor, two_at_once, &n[i], &fiber), 0);
    }
    world_run(&w, WORLD_SECOND);
    for (int i = 0; i < 3; i++) assert_int_equal(n[i].status, PG_E_TIMEOUT);
    assert_int_equal(settled(&w).nested_acquire_count, 2);
    assert_non_null(strstr(pg_error_field(&n[0].error, 'M'), "; this fiber itself holds one: outer.c:1"));
    assert_non_null(strstr(pg_error_field(&n[2].error, 'M'), "; held by outer.c:1 for 51 ms, outer.c:1 for 51 ms"));
    assert_null(strstr(pg_error_field(&n[2].error, 'M'), "itself"));
    world_close(&w);
}

/* A connection was idle when he came, and nobody was served any more. */
static void the_most_is_never_below_those_who_wait(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    world_open(&w, "pool_max_conns=2 pool_min_conns=1");
    world_run(&w, WORLD_SECOND / 10);
    assert_int_equal(world_stats(&w).idle_conns, 1);
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    pg_pool_suspend(w.pool);
    world_run(&w, WORLD_SECOND / 10);
    assert_int_equal(world_stats(&w).pending, 1);
    assert_int_equal(world_stats(&w).max_pending, 1);
    pg_lease_abandon(&h.lease);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_is_never_below_those_who_wait),
        cmocka_unit_test(one_connect_and_three_statements),
        cmocka_unit_test(a_wait_for_what_was_idle_is_one_too),
        cmocka_unit_test(a_lease_is_waited_for_and_held),
        cmocka_unit_test(refused_cancelled_and_late_ones_are_counted),
        cmocka_unit_test(a_refused_query_is_an_outcome_and_shows_without_a_completion),
        cmocka_unit_test(others_see_turns_and_the_reactor_sees_now),
        cmocka_unit_test(a_short_struct_gets_its_part),
        cmocka_unit_test(an_idle_pool_wants_no_turn),
        cmocka_unit_test(a_leak_is_told_once_with_its_tag),
        cmocka_unit_test(without_a_threshold_nothing_is_told),
        cmocka_unit_test(the_report_may_return_the_lease),
        cmocka_unit_test(a_leak_of_a_closed_pool_has_nobody_to_be_told),
        cmocka_unit_test(who_waited_in_vain_is_told_who_holds),
        cmocka_unit_test(a_fiber_that_waits_for_a_second_lease_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

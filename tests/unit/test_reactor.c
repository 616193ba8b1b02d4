/* test_reactor.c - the turn: its order, its budget, what callbacks may do to each other, its return value; open, close
 * and free. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "reactor/reactor.h"
#include "support/fake_clock_host.h"

#define MS UINT64_C(1000000)

struct fixture {
    struct fake_clock_host fake;
    struct pg_reactor *r;
    char log[256];
    size_t logged;
};

static struct fixture *open_with(uint32_t resumes_per_turn)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fake_clock_host_init(&f->fake);
    f->fake.now_ns = 1000 * MS;
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&f->fake.host);
    config.resumes_per_turn = resumes_per_turn;
    struct pg_error error;
    assert_int_equal(pg_reactor_open(&f->r, &config, &error), 0);
    assert_ptr_equal(f->fake.host.reactor, f->r);
    return f;
}

static void close_down(struct fixture *f)
{
    pg_reactor_free(f->r);
    assert_null(f->fake.host.reactor);
    free(f);
}

static void note(struct fixture *f, char what)
{
    assert_true(f->logged + 1 < sizeof f->log);
    f->log[f->logged++] = what;
}

static void expect_log(struct fixture *f, const char *expected)
{
    f->log[f->logged] = '\0';
    assert_string_equal(f->log, expected);
    f->logged = 0;
}

/* One of everything that a turn runs; `then` is what it does besides leaving its letter. */
struct actor {
    struct rp_node node;
    struct rp_timer timer;
    struct pg_completion completion;
    struct pg_task task;
    struct rp_member member;
    struct fixture *f;
    char name;
    int32_t res;
    uint64_t drain_until_ns;
    void (*then)(struct actor *);
    struct actor *other;
};

static void act(struct actor *a)
{
    note(a->f, a->name);
    if (a->then) a->then(a);
}

static void node_runs(struct rp_node *node) { act(RP_CONTAINER(node, struct actor, node)); }
static void timer_fires(struct rp_timer *timer) { act(RP_CONTAINER(timer, struct actor, timer)); }
static void task_runs(struct pg_task *task) { act(RP_CONTAINER(task, struct actor, task)); }

static void completes(struct pg_completion *completion, int32_t res)
{
    struct actor *a = RP_CONTAINER(completion, struct actor, completion);
    a->res = res;
    act(a);
}

static void member_closes(struct rp_member *m, uint64_t drain_until_ns)
{
    struct actor *a = RP_CONTAINER(m, struct actor, member);
    a->drain_until_ns = drain_until_ns;
    act(a);
}

static void member_aborts(struct rp_member *m)
{
    note(RP_CONTAINER(m, struct actor, member)->f, '!');
    act(RP_CONTAINER(m, struct actor, member));
}

static struct actor actor(struct fixture *f, char name, void (*then)(struct actor *))
{
    return (struct actor){
        .node.run = node_runs,
        .timer.fire = timer_fires,
        .completion.complete = completes,
        .task.run = task_runs,
        .member = { .close = member_closes, .abort = member_aborts },
        .f = f,
        .name = name,
        .then = then,
    };
}

static void stages_run_in_their_order(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor flush = actor(f, 'f', NULL), ready = actor(f, 'r', NULL), late = actor(f, 'd', NULL),
                 done = actor(f, 'c', NULL), task = actor(f, 'i', NULL);
    rp_flush(f->r, &flush.node);
    rp_ready(f->r, &ready.node);
    rp_timer_start(f->r, &late.timer, 999 * MS);
    pg_host_finish(&f->fake.host, &done.completion, -ECONNRESET);
    pg_reactor_post(f->r, &task.task);
    assert_int_equal(f->logged, 0); /* nothing from inside a call of the caller's */
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, "icdrf");
    assert_int_equal(done.res, -ECONNRESET);
    close_down(f);
}

static void finish_other(struct actor *a) { pg_host_finish(&a->f->fake.host, &a->other->completion, 7); }

static void what_finishes_during_the_delivery_is_the_next_turns(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor second = actor(f, '2', NULL), first = actor(f, '1', finish_other), third = actor(f, '3', NULL);
    first.other = &second;
    pg_host_finish(&f->fake.host, &first.completion, INT32_MAX);
    pg_host_finish(&f->fake.host, &third.completion, INT32_MIN);
    assert_int_equal(pg_reactor_turn(f->r), 0);
    expect_log(f, "13");
    assert_int_equal(first.res, INT32_MAX);
    assert_int_equal(third.res, INT32_MIN);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, "2");
    assert_int_equal(second.res, 7);
    close_down(f);
}

static void finish_itself(struct actor *a)
{
    a->then = NULL;
    pg_host_finish(&a->f->fake.host, &a->completion, 8);
}

static void a_completion_may_be_used_again_from_its_own_callback(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', finish_itself), b = actor(f, 'b', NULL);
    pg_host_finish(&f->fake.host, &a.completion, 1);
    pg_host_finish(&f->fake.host, &b.completion, 2);
    assert_int_equal(pg_reactor_turn(f->r), 0);
    expect_log(f, "ab");
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, "a");
    assert_int_equal(a.res, 8);
    close_down(f);
}

static void flush_itself(struct actor *a)
{
    a->then = NULL;
    rp_flush(a->f->r, &a->node);
}

static void ready_other(struct actor *a) { rp_ready(a->f->r, &a->other->node); }
static void unqueue_other(struct actor *a) { rp_unqueue(a->f->r, &a->other->node); }

static void flushing_makes_work_for_the_next_turn(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', flush_itself), b = actor(f, 'b', ready_other), c = actor(f, 'c', NULL);
    b.other = &c;
    rp_flush(f->r, &a.node);
    rp_flush(f->r, &b.node);
    assert_int_equal(pg_reactor_turn(f->r), 0);
    expect_log(f, "ab");
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, "ca");
    close_down(f);
}

static void nodes_leave_whichever_queue_they_are_in(void **state)
{
    (void)state;
    for (unsigned victim = 0; victim < 6; victim++) {
        struct fixture *f = open_with(0);
        struct actor nodes[6];
        for (unsigned i = 0; i < 6; i++) {
            nodes[i] = actor(f, (char)('0' + i), NULL);
            if (i < 3) rp_ready(f->r, &nodes[i].node);
            else rp_flush(f->r, &nodes[i].node);
            rp_ready(f->r, &nodes[i].node); /* queued already */
        }
        rp_unqueue(f->r, &nodes[victim].node);
        rp_unqueue(f->r, &nodes[victim].node);
        char expected[8] = "", *to = expected;
        for (unsigned i = 0; i < 6; i++)
            if (i != victim) *to++ = (char)('0' + i);
        assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
        expect_log(f, expected);
        rp_ready(f->r, &nodes[victim].node); /* and the queues' tails are still right */
        rp_flush(f->r, &nodes[(victim + 1) % 6].node);
        assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
        expect_log(f, (char[]){ (char)('0' + victim), (char)('0' + (victim + 1) % 6), '\0' });
        close_down(f);
    }
}

static void a_node_may_take_the_next_one_out(void **state)
{
    (void)state;
    for (unsigned flushing = 0; flushing < 2; flushing++) {
        struct fixture *f = open_with(0);
        void (*queue)(struct pg_reactor *, struct rp_node *) = flushing ? rp_flush : rp_ready;
        struct actor a = actor(f, 'a', unqueue_other), b = actor(f, 'b', NULL), c = actor(f, 'c', unqueue_other),
                     d = actor(f, 'd', NULL);
        a.other = &b;
        c.other = &d; /* the last one of its queue */
        queue(f->r, &a.node);
        queue(f->r, &b.node);
        queue(f->r, &c.node);
        queue(f->r, &d.node);
        assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
        expect_log(f, "ac");
        queue(f->r, &d.node);
        assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
        expect_log(f, "d");
        close_down(f);
    }
}

static void the_budget_bounds_a_turn(void **state)
{
    (void)state;
    struct fixture *f = open_with(10);
    struct actor nodes[25];
    for (size_t i = 0; i < RP_COUNT(nodes); i++) {
        nodes[i] = actor(f, '.', NULL);
        rp_ready(f->r, &nodes[i].node);
    }
    assert_int_equal(pg_reactor_turn(f->r), 0);
    expect_log(f, "..........");
    for (unsigned i = 0; i < 4; i++) assert_true(rp_budget_take(f->r)); /* completions before the turn share it */
    assert_int_equal(pg_reactor_turn(f->r), 0);
    expect_log(f, "......");
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, ".........");
    for (unsigned i = 0; i < 10; i++) assert_true(rp_budget_take(f->r));
    assert_false(rp_budget_take(f->r));
    close_down(f);
}

/* A row's callback costs one more each; what the budget does not hold goes behind the others. */
static void take_three(struct actor *a)
{
    for (a->res++; a->res < 4; a->res++)
        if (!rp_budget_take(a->f->r)) {
            a->res--;
            rp_ready(a->f->r, &a->node);
            return;
        }
}

static void even_the_smallest_budget_gets_on(void **state)
{
    (void)state;
    for (uint32_t resumes = 1; resumes < 8; resumes++) {
        struct fixture *f = open_with(resumes);
        struct actor a = actor(f, 'a', take_three), b = actor(f, 'b', take_three);
        rp_ready(f->r, &a.node);
        rp_ready(f->r, &b.node);
        unsigned turns = 0;
        do {
            while (rp_budget_take(f->r)) continue; /* the completions eat up all there is */
            assert_true(turns++ < 20);
        } while (pg_reactor_turn(f->r) == 0);
        assert_true(a.res >= 4 && b.res >= 4);
        close_down(f);
    }
}

static void ready_itself(struct actor *a) { rp_ready(a->f->r, &a->node); }

static void endless_ready_work_neither_ends_the_loop_nor_keeps_the_flush_away(void **state)
{
    (void)state;
    struct fixture *f = open_with(5);
    struct actor a = actor(f, 'a', ready_itself), b = actor(f, 'f', NULL);
    rp_ready(f->r, &a.node);
    rp_flush(f->r, &b.node);
    assert_int_equal(pg_reactor_turn(f->r), 0);
    expect_log(f, "aaaaaf");
    close_down(f);
}

static void deadlines_set_the_wait(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', NULL), b = actor(f, 'b', NULL);
    rp_timer_start(f->r, &b.timer, 1020 * MS);
    rp_timer_start(f->r, &a.timer, 1010 * MS + 1); /* its tick is 1011 */
    f->fake.now_ns = 1000 * MS + 300;
    assert_int_equal(pg_reactor_turn(f->r), 11 * MS - 300);
    f->fake.now_ns = 1010 * MS + 999999;
    assert_int_equal(pg_reactor_turn(f->r), 1);
    expect_log(f, "");
    f->fake.now_ns += 1;
    assert_int_equal(pg_reactor_turn(f->r), 9 * MS);
    expect_log(f, "a");
    rp_timer_start(f->r, &b.timer, PG_NEVER);
    assert_false(rp_timer_armed(&b.timer));
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    rp_timer_start(f->r, &b.timer, PG_NEVER - 1);
    assert_true(pg_reactor_turn(f->r) == INT64_MAX);
    close_down(f);
}

static void stop_others_timer(struct actor *a) { rp_timer_stop(a->f->r, &a->other->timer); }
static void restart_now(struct actor *a) { rp_timer_start(a->f->r, &a->timer, rp_now(a->f->r)); }

static void of_two_due_in_one_tick_one_may_stop_the_other(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'x', stop_others_timer), b = actor(f, 'x', stop_others_timer);
    a.other = &b;
    b.other = &a;
    rp_timer_start(f->r, &a.timer, 1005 * MS);
    rp_timer_start(f->r, &b.timer, 1005 * MS);
    f->fake.now_ns = 1005 * MS;
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, "x");
    close_down(f);
}

static void a_timer_that_is_always_due_runs_once_per_turn(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', restart_now);
    rp_timer_start(f->r, &a.timer, 0);
    for (unsigned i = 0; i < 3; i++) assert_int_equal(pg_reactor_turn(f->r), 0);
    assert_in_range(f->logged, 3, 4); /* the first advance comes from the beginning of time */
    close_down(f);
}

static void read_clock(struct actor *a)
{
    a->f->fake.now_ns += 5 * MS; /* time passes, and nobody notices */
    assert_true(rp_now(a->f->r) == 1000 * MS);
}

static void the_clock_stands_still_until_the_turn_has_ended(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', read_clock), b = actor(f, 'b', read_clock);
    assert_int_equal(f->fake.clock_reads, 0);
    assert_true(pg_reactor_now(f->r) == 1000 * MS);
    f->fake.now_ns = 1003 * MS;
    assert_true(pg_reactor_now(f->r) == 1000 * MS);
    rp_ready(f->r, &a.node);
    rp_flush(f->r, &b.node);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, "ab");
    assert_int_equal(f->fake.clock_reads, 1);
    assert_true(pg_reactor_now(f->r) == 1013 * MS);
    assert_int_equal(f->fake.clock_reads, 2);
    close_down(f);
}

static void nothing(struct actor *a) { (void)a; }

static void a_turn_is_asked_for_once_per_gap(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', flush_itself), b = actor(f, 'b', nothing);
    rp_ready(f->r, &a.node);
    assert_int_equal(f->fake.wanted_turns, 1);
    rp_flush(f->r, &b.node);
    pg_host_finish(&f->fake.host, &b.completion, 0);
    pg_reactor_post(f->r, &b.task);
    assert_int_equal(f->fake.wanted_turns, 1);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    assert_int_equal(f->fake.wanted_turns, 1); /* what a turn queues, it says by its return value */
    rp_timer_start(f->r, &b.timer, 1100 * MS); /* the program may be about to wait for ever */
    assert_int_equal(f->fake.wanted_turns, 2);
    assert_int_equal(pg_reactor_turn(f->r), 100 * MS);
    rp_timer_start(f->r, &a.timer, 1200 * MS); /* after the wait that it is about to make */
    rp_timer_start(f->r, &b.timer, 1150 * MS);
    assert_int_equal(f->fake.wanted_turns, 2);
    rp_timer_start(f->r, &a.timer, 1050 * MS);
    rp_timer_start(f->r, &a.timer, 1040 * MS);
    assert_int_equal(f->fake.wanted_turns, 3);
    assert_int_equal(pg_reactor_turn(f->r), 40 * MS);
    pg_reactor_close(f->r, 0);
    assert_int_equal(f->fake.wanted_turns, 4);
    assert_int_equal(atomic_load(&f->fake.wakes), 0); /* its own thread is awake */
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_CLOSED);
    close_down(f);
}

static void post_itself(struct actor *a)
{
    a->then = NULL;
    pg_reactor_post(a->f->r, &a->task);
}

static void a_task_posted_from_a_task_is_deferred(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', post_itself), b = actor(f, 'b', NULL);
    pg_reactor_post(f->r, &a.task);
    pg_reactor_post(f->r, &b.task);
    assert_int_equal(pg_reactor_turn(f->r), 0);
    expect_log(f, "ab");
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_log(f, "a");
    close_down(f);
}

static void leave(struct actor *a) { rp_leave(a->f->r, &a->member); }
static void leave_both(struct actor *a)
{
    rp_leave(a->f->r, &a->member);
    rp_leave(a->f->r, &a->other->member);
}
static void close_at_once(struct actor *a)
{
    size_t before = a->f->logged;
    a->then = NULL;
    pg_reactor_close(a->f->r, 0);
    assert_int_equal(a->f->logged, before); /* not from inside: once this callback returned */
}

static void closing_ends_when_the_last_member_left(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', NULL), b = actor(f, 'b', NULL), last = actor(f, 'l', NULL);
    rp_join(f->r, &a.member);
    rp_join(f->r, &b.member);
    assert_false(rp_closing(f->r));
    pg_reactor_close(f->r, 1500 * MS);
    assert_true(rp_closing(f->r));
    expect_log(f, "ab");
    assert_true(a.drain_until_ns == 1500 * MS && b.drain_until_ns == 1500 * MS);
    pg_reactor_close(f->r, 1600 * MS); /* never longer */
    expect_log(f, "");
    pg_reactor_close(f->r, 1400 * MS);
    expect_log(f, "ab");
    assert_true(a.drain_until_ns == 1400 * MS);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    rp_leave(f->r, &a.member);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    unsigned wanted = f->fake.wanted_turns;
    rp_leave(f->r, &b.member);
    assert_int_equal(f->fake.wanted_turns, wanted + 1);
    last.then = flush_itself;
    rp_flush(f->r, &last.node);
    assert_int_equal(pg_reactor_turn(f->r), 0); /* something is queued still */
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_CLOSED);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_CLOSED);
    close_down(f);
}

static void members_may_leave_while_they_are_told(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', leave), b = actor(f, 'b', leave_both), c = actor(f, 'c', NULL),
                 d = actor(f, 'd', leave);
    b.other = &c;
    rp_join(f->r, &a.member);
    rp_join(f->r, &b.member);
    rp_join(f->r, &c.member);
    rp_join(f->r, &d.member);
    pg_reactor_close(f->r, 0);
    expect_log(f, "abd");
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_CLOSED);
    close_down(f);
}

static void a_shorter_close_from_inside_a_close_reaches_all(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', NULL), b = actor(f, 'b', close_at_once), c = actor(f, 'c', NULL);
    rp_join(f->r, &a.member);
    rp_join(f->r, &b.member);
    rp_join(f->r, &c.member);
    pg_reactor_close(f->r, 1500 * MS);
    expect_log(f, "ababc");
    assert_true(a.drain_until_ns == 0 && b.drain_until_ns == 0 && c.drain_until_ns == 0);
    rp_leave(f->r, &a.member);
    rp_leave(f->r, &b.member);
    rp_leave(f->r, &c.member);
    close_down(f);
}

static struct pg_reactor *fibers_of;
static void free_fibers(struct pg_reactor *r) { fibers_of = r; }

static void an_early_free_aborts_the_members(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', leave), b = actor(f, 'b', NULL);
    rp_join(f->r, &a.member);
    rp_join(f->r, &b.member);
    fibers_of = NULL;
    assert_null(*rp_fibers_slot(f->r));
    rp_fibers_on_free(f->r, free_fibers);
    struct pg_reactor *r = f->r;
    pg_reactor_free(f->r);
    assert_ptr_equal(fibers_of, r);
    assert_null(f->fake.host.reactor);
    expect_log(f, "!a!b");
    free(f);
    pg_reactor_free(NULL);
}

static void turn_inside(struct actor *a) { (void)!pg_reactor_turn(a->f->r); }
static void free_inside(struct actor *a) { pg_reactor_free(a->f->r); }

static void misuse_inside(void *then)
{
    struct fixture *f = open_with(0);
    struct actor a = actor(f, 'a', *(void (**)(struct actor *))then);
    rp_ready(f->r, &a.node);
    (void)!pg_reactor_turn(f->r);
}

static void *post_one(void *reactor)
{
    static struct pg_task task;
    pg_reactor_post(reactor, &task);
    return NULL;
}

static void post_from_outside_without_wake(void *arg)
{
    (void)arg;
    struct fake_clock_host fake;
    struct pg_reactor *r;
    pthread_t thread;
    fake_clock_host_init(&fake);
    fake.ops.wake = NULL;
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake.host);
    if (pg_reactor_open(&r, &config, NULL) || pthread_create(&thread, NULL, post_one, r)) return;
    pthread_join(thread, NULL);
}

static void misuse_is_caught(void **state)
{
    (void)state;
    void (*harmless)(struct actor *) = nothing, (*turn)(struct actor *) = turn_inside,
                                  (*end)(struct actor *) = free_inside;
    assert_int_equal(signal_of(misuse_inside, &harmless), 0);
    assert_int_equal(signal_of(misuse_inside, &turn), SIGABRT);
    assert_int_equal(signal_of(misuse_inside, &end), SIGABRT);
    assert_int_equal(signal_of(post_from_outside_without_wake, NULL), SIGABRT);
}

static void the_hint_follows_what_is_due(void **state)
{
    (void)state;
    static const struct { int due; uint32_t completions, min_wait_ns;
    } table[] = {
        { 0, 1, 0 },       { 8, 1, 0 },       { 15, 1, 0 },        { 16, 8, 50000 },
        { 33, 16, 50000 }, { 40, 20, 50000 }, { 1000, 20, 50000 },
    };
    struct fixture *f = open_with(0);
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        rp_due(f->r, table[i].due);
        struct pg_wait_hint hint = pg_reactor_wait_hint(f->r);
        assert_int_equal(hint.completions, table[i].completions);
        assert_int_equal(hint.min_wait_ns, table[i].min_wait_ns);
        rp_due(f->r, -table[i].due);
    }
    close_down(f);
}

static void streams_once(struct actor *a) { rp_stream(a->f->r); }
static void streams_twice(struct actor *a)
{
    rp_stream(a->f->r);
    rp_stream(a->f->r);
}
static void expect_hint(struct fixture *f, uint32_t completions, uint32_t min_wait_ns)
{
    struct pg_wait_hint hint = pg_reactor_wait_hint(f->r);
    assert_int_equal(hint.completions, completions);
    assert_int_equal(hint.min_wait_ns, min_wait_ns);
}

/* One more than the streams make: somebody else's ends the wait. And the next wait waits for nobody. */
static void a_stream_is_waited_for_once(void **state)
{
    (void)state;
    struct fixture *f = open_with(0);
    struct actor one = actor(f, 'a', streams_once), two = actor(f, 'b', streams_twice);
    rp_flush(f->r, &one.node);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_hint(f, 2, 100000);
    rp_due(f->r, 16); /* enough to wait for without it */
    expect_hint(f, 8, 50000);
    rp_due(f->r, -16);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_hint(f, 1, 0);
    rp_flush(f->r, &two.node);
    assert_int_equal(pg_reactor_turn(f->r), PG_WAIT_FOREVER);
    expect_hint(f, 3, 100000);
    close_down(f);
}

static void random_numbers_differ(void **state)
{
    (void)state;
    struct fixture *f = open_with(0); /* no entropy of the host's: the system's */
    uint32_t all = 0, none = 0;
    for (unsigned i = 0; i < 64; i++) {
        uint32_t x = rp_random(f->r);
        all |= x;
        none |= ~x;
    }
    assert_true(all == UINT32_MAX && none == UINT32_MAX); /* each bit was seen as both; off once in 2^58 */
    close_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_run_in_their_order),
        cmocka_unit_test(what_finishes_during_the_delivery_is_the_next_turns),
        cmocka_unit_test(a_completion_may_be_used_again_from_its_own_callback),
        cmocka_unit_test(flushing_makes_work_for_the_next_turn),
        cmocka_unit_test(nodes_leave_whichever_queue_they_are_in),
        cmocka_unit_test(a_node_may_take_the_next_one_out),
        cmocka_unit_test(the_budget_bounds_a_turn),
        cmocka_unit_test(even_the_smallest_budget_gets_on),
        cmocka_unit_test(endless_ready_work_neither_ends_the_loop_nor_keeps_the_flush_away),
        cmocka_unit_test(deadlines_set_the_wait),
        cmocka_unit_test(of_two_due_in_one_tick_one_may_stop_the_other),
        cmocka_unit_test(a_timer_that_is_always_due_runs_once_per_turn),
        cmocka_unit_test(the_clock_stands_still_until_the_turn_has_ended),
        cmocka_unit_test(a_turn_is_asked_for_once_per_gap),
        cmocka_unit_test(a_task_posted_from_a_task_is_deferred),
        cmocka_unit_test(closing_ends_when_the_last_member_left),
        cmocka_unit_test(members_may_leave_while_they_are_told),
        cmocka_unit_test(a_shorter_close_from_inside_a_close_reaches_all),
        cmocka_unit_test(an_early_free_aborts_the_members),
        cmocka_unit_test(misuse_is_caught),
        cmocka_unit_test(the_hint_follows_what_is_due),
        cmocka_unit_test(a_stream_is_waited_for_once),
        cmocka_unit_test(random_numbers_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

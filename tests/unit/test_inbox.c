/* test_inbox.c - tasks from other threads: nothing lost, each thread's in its order, a wake for every first one; and
 * what must not touch a reactor at all. Run under ThreadSanitizer, too. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>
#include "reactor/inbox.h"
#include "reactor/reactor.h"
#include "support/fake_clock_host.h"

enum { THREADS = 4, TASKS = 20000 };

struct stamp { struct pg_task task; unsigned thread, number; unsigned *seen; unsigned *total; };

static void check_order(struct pg_task *task)
{
    struct stamp *s = RP_CONTAINER(task, struct stamp, task);
    assert_int_equal(s->seen[s->thread], s->number);
    s->seen[s->thread]++;
    ++*s->total;
}

struct poster { struct pg_reactor *reactor; struct stamp *stamps; };

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (size_t i = 0; i < TASKS; i++) pg_reactor_post(p->reactor, &p->stamps[i].task);
    return NULL;
}

/* A host whose wake ends a real wait. */
struct waking { struct fake_clock_host fake; int fd; };

static void wake_eventfd(struct pg_host *host)
{
    uint64_t one = 1;
    ssize_t wrote = write(((struct waking *)(void *)host)->fd, &one, sizeof one);
    (void)wrote; /* a full counter is awake already */
}

static void wait_for_wake(struct waking *w)
{
    uint64_t count;
    struct pollfd pollfd = { .fd = w->fd, .events = POLLIN };
    assert_int_equal(poll(&pollfd, 1, 60000), 1); /* a lost wake, not a slow machine */
    assert_int_equal(read(w->fd, &count, sizeof count), sizeof count);
}

static void every_threads_tasks_run_in_its_order(void **state)
{
    (void)state;
    struct waking w = { .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
    assert_true(w.fd >= 0);
    fake_clock_host_init(&w.fake);
    w.fake.ops.wake = wake_eventfd;
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&w.fake.host);
    struct pg_reactor *r;
    assert_int_equal(pg_reactor_open(&r, &config, NULL), 0);

    unsigned seen[THREADS] = { 0 }, total = 0;
    struct stamp *stamps = calloc((size_t)THREADS * TASKS, sizeof *stamps);
    assert_non_null(stamps);
    pthread_t threads[THREADS];
    struct poster posters[THREADS];
    for (unsigned t = 0; t < THREADS; t++) {
        posters[t] = (struct poster){ .reactor = r, .stamps = stamps + (size_t)t * TASKS };
        for (unsigned i = 0; i < TASKS; i++)
            posters[t].stamps[i] =
                (struct stamp){ .task.run = check_order, .thread = t, .number = i, .seen = seen, .total = &total };
        assert_int_equal(pthread_create(&threads[t], NULL, post_all, &posters[t]), 0);
    }
    while (total < THREADS * TASKS) {
        int64_t wait = pg_reactor_turn(r);
        if (total < THREADS * TASKS && wait == PG_WAIT_FOREVER) wait_for_wake(&w);
    }
    for (unsigned t = 0; t < THREADS; t++) assert_int_equal(pthread_join(threads[t], NULL), 0);
    assert_int_equal(pg_reactor_turn(r), PG_WAIT_FOREVER);
    pg_reactor_free(r);
    close(w.fd);
    free(stamps);
}

/* What a poster wrote before the post is there when the task runs, and its memory is free to be posted again from then
 * on. */
struct relay {
    struct pg_task task;
    struct pg_reactor *reactor;
    unsigned plain, rounds;
    pthread_barrier_t barrier;
};

static void read_plain(struct pg_task *task)
{
    struct relay *x = RP_CONTAINER(task, struct relay, task);
    x->rounds++;
    assert_int_equal(x->plain, x->rounds);
    pthread_barrier_wait(&x->barrier);
}

static void *post_again_and_again(void *arg)
{
    struct relay *x = arg;
    for (unsigned i = 0; i < 100; i++) {
        x->plain = i + 1;
        pg_reactor_post(x->reactor, &x->task);
        pthread_barrier_wait(&x->barrier);
    }
    return NULL;
}

static void a_post_publishes_what_was_written_before_it(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    fake_clock_host_init(&fake);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake.host);
    struct relay x = { .task.run = read_plain };
    pthread_t thread;
    assert_int_equal(pg_reactor_open(&x.reactor, &config, NULL), 0);
    assert_int_equal(pthread_barrier_init(&x.barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, post_again_and_again, &x), 0);
    while (x.rounds < 100) (void)!pg_reactor_turn(x.reactor);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&fake.wakes), 100); /* each one was the first in an empty inbox */
    pthread_barrier_destroy(&x.barrier);
    pg_reactor_free(x.reactor);
}

static void push_tells_the_first_and_take_keeps_the_order(void **state)
{
    (void)state;
    struct rp_inbox inbox;
    struct pg_task tasks[3];
    rp_inbox_init(&inbox);
    assert_true(rp_inbox_empty(&inbox));
    assert_null(rp_inbox_take(&inbox));
    assert_true(rp_inbox_push(&inbox, &tasks[0]));
    assert_false(rp_inbox_push(&inbox, &tasks[1]));
    assert_false(rp_inbox_push(&inbox, &tasks[2]));
    assert_false(rp_inbox_empty(&inbox));
    struct pg_task *t = rp_inbox_take(&inbox);
    assert_ptr_equal(t, &tasks[0]);
    assert_ptr_equal(t->next_private, &tasks[1]);
    assert_ptr_equal(t->next_private->next_private, &tasks[2]);
    assert_null(t->next_private->next_private->next_private);
    assert_true(rp_inbox_empty(&inbox));
    assert_true(rp_inbox_push(&inbox, &tasks[0]));
}

static void *turn_in_thread(void *reactor)
{
    (void)!pg_reactor_turn(reactor);
    return NULL;
}

/* In a child of its own: the reactor is opened there, so that the fork is not what is caught. */
static void turn_from_another_thread(void *arg)
{
    struct fake_clock_host fake;
    struct pg_reactor *r;
    pthread_t thread;
    (void)arg;
    fake_clock_host_init(&fake);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake.host);
    if (pg_reactor_open(&r, &config, NULL)) _exit(1);
    if (pthread_create(&thread, NULL, turn_in_thread, r) || pthread_join(thread, NULL)) _exit(1);
}

static void a_turn_of_another_threads_reactor_is_caught(void **state)
{
    (void)state;
    assert_int_equal(signal_of(turn_from_another_thread, NULL), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(push_tells_the_first_and_take_keeps_the_order),
        cmocka_unit_test(every_threads_tasks_run_in_its_order),
        cmocka_unit_test(a_post_publishes_what_was_written_before_it),
        cmocka_unit_test(a_turn_of_another_threads_reactor_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

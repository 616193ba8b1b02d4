/* unit/test_budget.c - struct pg_budget by itself, from many threads: never more in hand than the bound, nobody who
 * waits is forgotten, and a reactor goes away under those who would post to it. Run under ThreadSanitizer, too. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>
#include "pool/budget.h"
#include "reactor/reactor.h"
#include "ringpg.h"
#include "support/fake_clock_host.h"

enum { THREADS = 4 };

/* A pool's thread without a pool: a reactor whose wake ends a real wait, and a share. */
struct member {
    struct fake_clock_host fake; /* first */
    int fd;
    struct pg_reactor *reactor;
    struct pg_budget *budget;
    struct rp_share *share;
    unsigned looks;
    bool has;                    /* `look` collected one */
};

static void wake_eventfd(struct pg_host *host)
{
    uint64_t one = 1;
    ssize_t wrote = write(((struct member *)(void *)host)->fd, &one, sizeof one);
    (void)wrote; /* a full counter is awake already */
}

static void on_look(struct pg_task *task)
{
    struct rp_share *share = RP_CONTAINER(task, struct rp_share, look);
    struct member *m = share->pool;
    rp_share_looked(share);
    m->looks++;
    if (!m->has) m->has = rp_share_collect(m->budget, share);
}

static int member_open(struct member *m, struct pg_budget *b, uint32_t sure, struct pg_error *error)
{
    fake_clock_host_init(&m->fake);
    m->fake.ops.wake = wake_eventfd;
    m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    m->budget = b;
    m->looks = 0;
    m->has = false;
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&m->fake.host);
    if (m->fd < 0 || pg_reactor_open(&m->reactor, &config, NULL)) abort();
    int rc = rp_share_open(b, &m->share, sure, m->reactor, on_look, m, error);
    if (rc) {
        pg_reactor_free(m->reactor);
        close(m->fd);
    }
    return rc;
}

static void member_close(struct member *m, uint32_t sure)
{
    for (unsigned turns = 0; !rp_share_close(m->budget, m->share, sure, false); turns++) {
        if (turns == 100000000) abort();
        (void)!pg_reactor_turn(m->reactor);
    }
    pg_reactor_free(m->reactor);
    close(m->fd);
}

/* Asks, and waits for nothing but the post. */
static void get_one(struct member *m, uint32_t need)
{
    m->has = false;
    rp_share_ask(m->budget, m->share, need);
    m->has = rp_share_collect(m->budget, m->share);
    while (!m->has) {
        struct pollfd pollfd = { .fd = m->fd, .events = POLLIN };
        uint64_t count;
        if (poll(&pollfd, 1, 60000) != 1) { /* forgotten, not a slow machine */
            fprintf(stderr, "a ticket was forgotten\n");
            abort();
        }
        (void)!read(m->fd, &count, sizeof count);
        (void)!pg_reactor_turn(m->reactor);
    }
}

static struct pg_budget_stats stats_of(const struct pg_budget *b)
{
    struct pg_budget_stats s = { .size = sizeof s };
    pg_budget_stats(b, &s);
    return s;
}

static struct pg_budget *budget_of(uint32_t n)
{
    struct pg_budget *b;
    assert_int_equal(pg_budget_open(&b, n), 0);
    return b;
}

/* ---- one thread ---- */

static void the_neediest_goes_first_and_of_equals_the_oldest(void **state)
{
    (void)state;
    static const struct { uint32_t need; int place; } row[] = {
        { RP_NEED_IDLE, 5 }, { RP_NEED_FIRST + 2, 4 }, { RP_NEED_FIRST, 1 },
        { RP_NEED_FIRST, 2 }, { RP_NEED_SURE, 0 },     { RP_NEED_FIRST + 1, 3 },
    };
    enum { N = RP_COUNT(row) };
    struct pg_budget *b = budget_of(2 * N);
    struct member m[N];
    for (unsigned i = 0; i < N; i++) assert_int_equal(member_open(&m[i], b, 1, NULL), 0);
    for (unsigned i = 0; i < 2 * N; i++) {
        get_one(&m[i % N], RP_NEED_FIRST); /* from the stock, without a wait */
        assert_int_equal(m[i % N].looks, 0);
    }
    for (unsigned i = 0; i < N; i++) rp_share_ask(b, m[i].share, row[i].need);
    assert_int_equal(stats_of(b).waiting, N);
    for (int n = 0; n < (int)N; n++) {
        rp_share_put(b, m[0].share, 1, 0);
        for (unsigned i = 0; i < N; i++) assert_int_equal(rp_share_collect(b, m[i].share), row[i].place == n);
    }
    rp_share_put(b, m[0].share, 2 * N, 0);
    for (unsigned i = 0; i < N; i++) member_close(&m[i], 1);
    pg_budget_close(b);
}

static void a_ticket_is_served_or_withdrawn(void **state)
{
    (void)state;
    struct pg_budget *b = budget_of(2);
    struct member x, y;
    assert_int_equal(member_open(&x, b, 1, NULL), 0);
    assert_int_equal(member_open(&y, b, 1, NULL), 0);
    get_one(&x, RP_NEED_SURE);
    get_one(&x, RP_NEED_FIRST);
    rp_share_ask(b, y.share, RP_NEED_SURE);
    assert_false(rp_share_withdraw(b, y.share));
    assert_int_equal(stats_of(b).waiting, 0);
    rp_share_put(b, x.share, 1, 0); /* nobody waits: into the stock */
    assert_false(rp_share_collect(b, y.share));
    rp_share_ask(b, y.share, RP_NEED_SURE);
    assert_true(rp_share_withdraw(b, y.share)); /* too late: it has one */
    assert_false(rp_share_withdraw(b, y.share));
    rp_share_ask(b, y.share, RP_NEED_IDLE);
    rp_share_ask(b, x.share, RP_NEED_FIRST);
    rp_share_ask(b, y.share, RP_NEED_FIRST); /* of equals the older one, whenever it became one */
    rp_share_put(b, x.share, 1, 0);
    assert_true(rp_share_collect(b, y.share));
    assert_false(rp_share_withdraw(b, x.share));
    rp_share_ask(b, x.share, RP_NEED_FIRST);
    rp_share_ask(b, y.share, RP_NEED_FIRST);
    rp_share_put(b, x.share, 2, 0); /* for both */
    assert_true(rp_share_collect(b, x.share));
    assert_true(rp_share_collect(b, y.share));
    rp_share_put(b, x.share, 2, 0);
    member_close(&x, 1);
    member_close(&y, 1);
    pg_budget_close(b);
}

static void no_more_is_promised_than_is_waited_for(void **state)
{
    (void)state;
    struct pg_budget *b = budget_of(4);
    struct member m[3];
    for (int i = 0; i < 3; i++) assert_int_equal(member_open(&m[i], b, 1, NULL), 0);
    for (int i = 0; i < 4; i++) get_one(&m[0], RP_NEED_FIRST);
    assert_int_equal(rp_share_demand(b, m[0].share).count, 0);
    assert_false(rp_share_promise(b, m[0].share));
    rp_share_ask(b, m[1].share, RP_NEED_FIRST + 3);
    assert_int_equal(rp_share_demand(b, m[0].share).need, RP_NEED_FIRST + 3);
    assert_int_equal(rp_share_demand(b, m[1].share).count, 0); /* its own does not count */
    rp_share_ask(b, m[2].share, RP_NEED_FIRST);
    assert_int_equal(rp_share_demand(b, m[0].share).need, RP_NEED_FIRST);
    assert_true(rp_share_promise(b, m[0].share));
    assert_true(rp_share_promise(b, m[0].share));
    assert_false(rp_share_promise(b, m[0].share));
    rp_share_spare(m[0].share, 3);
    rp_share_press(b, m[1].share);
    rp_share_press(b, m[2].share); /* once is enough until it has looked */
    rp_share_put(b, m[0].share, 1, 1);
    assert_true(rp_share_collect(b, m[2].share));
    (void)!pg_reactor_turn(m[0].reactor);
    assert_int_equal(m[0].looks, 1);
    assert_false(rp_share_promise(b, m[0].share)); /* one is on its way still, for the other one */
    rp_share_put(b, m[0].share, 0, 1);             /* and does not come */
    (void)!pg_reactor_turn(m[0].reactor);
    assert_int_equal(m[0].looks, 2);               /* so that it is asked again */
    assert_true(rp_share_promise(b, m[0].share));
    rp_share_put(b, m[0].share, 3, 1);
    assert_int_equal(stats_of(b).given_count, 3);
    assert_true(rp_share_collect(b, m[1].share));
    rp_share_put(b, m[1].share, 2, 0);
    for (int i = 0; i < 3; i++) member_close(&m[i], 1);
    pg_budget_close(b);
}

static void the_bound_and_what_is_sure(void **state)
{
    (void)state;
    struct pg_budget *b;
    struct pg_error error;
    struct member m, n, none;
    assert_int_equal(pg_budget_open(&b, 0), PG_E_CONFIG);
    assert_int_equal(pg_budget_open(&b, 1000001), PG_E_CONFIG);
    assert_null(b);
    assert_int_equal(pg_budget_open(&b, PG_BUDGET_PERCENT(0)), PG_E_CONFIG);
    assert_int_equal(pg_budget_open(&b, PG_BUDGET_PERCENT(101)), PG_E_CONFIG);
    b = budget_of(4);
    assert_int_equal(member_open(&m, b, 3, NULL), 0);
    assert_int_equal(member_open(&none, b, 2, &error), PG_E_CONFIG);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "5 connections would be sure"));
    assert_int_equal(member_open(&n, b, 1, NULL), 0);
    assert_int_equal(stats_of(b).sure, 4);
    assert_int_equal(stats_of(b).pools, 2);
    assert_int_equal(pg_budget_resize(b, 3), PG_E_CONFIG);
    assert_int_equal(pg_budget_resize(b, 0), PG_E_CONFIG);
    assert_int_equal(pg_budget_resize(b, 5), 0);
    for (int i = 0; i < 5; i++) get_one(&m, RP_NEED_FIRST);
    rp_share_spare(m.share, 1);
    assert_int_equal(pg_budget_resize(b, 4), 0);
    (void)!pg_reactor_turn(m.reactor);
    assert_int_equal(m.looks, 1); /* it is pressed */
    assert_int_equal(rp_share_demand(b, m.share).count, 1);
    assert_int_equal(rp_share_demand(b, m.share).need, RP_NEED_SURE);
    rp_share_ask(b, n.share, RP_NEED_SURE);
    rp_share_put(b, m.share, 1, 0);
    assert_false(rp_share_collect(b, n.share)); /* the bound's */
    rp_share_put(b, m.share, 1, 0);
    assert_true(rp_share_collect(b, n.share));
    rp_share_ask(b, n.share, RP_NEED_FIRST);
    assert_int_equal(pg_budget_resize(b, 6), 0); /* served at once */
    assert_true(rp_share_collect(b, n.share));
    assert_int_equal(signal_of((void (*)(void *))pg_budget_close, b), SIGABRT);
    rp_share_put(b, n.share, 5, 0);
    member_close(&m, 3);
    member_close(&n, 1);
    pg_budget_close(b);
    pg_budget_close(NULL);
}

static void a_part_of_what_the_server_has(void **state)
{
    (void)state;
    struct pg_budget *b = budget_of(PG_BUDGET_PERCENT(30));
    struct member m, n;
    assert_int_equal(stats_of(b).connections, 0);
    assert_int_equal(member_open(&m, b, 3, NULL), 0);
    assert_int_equal(member_open(&n, b, 2, NULL), 0);
    assert_int_equal(stats_of(b).connections, 5); /* what is sure */
    for (int i = 0; i < 5; i++) get_one(&m, RP_NEED_FIRST);
    rp_share_ask(b, n.share, RP_NEED_SURE);
    assert_false(rp_share_collect(b, n.share));
    assert_int_equal(pg_budget_resize(b, 4), PG_E_CONFIG);
    rp_share_told(b, 97);
    assert_int_equal(stats_of(b).connections, 29);
    assert_true(rp_share_collect(b, n.share));
    rp_share_told(b, 10); /* it was restarted; but what is sure stays so */
    assert_int_equal(stats_of(b).connections, 5);
    assert_int_equal(rp_share_demand(b, m.share).count, 1);
    assert_int_equal(pg_budget_resize(b, 8), 0);
    assert_false(rp_share_asks_server(b));
    rp_share_told(b, 1000);
    assert_int_equal(stats_of(b).connections, 8);
    rp_share_put(b, m.share, 5, 0);
    rp_share_put(b, n.share, 1, 0);
    member_close(&m, 3);
    member_close(&n, 2);
    pg_budget_close(b);
    b = budget_of(PG_BUDGET_PERCENT(100)); /* never told */
    assert_int_equal(member_open(&m, b, 3, NULL), 0);
    member_close(&m, 3);
    assert_int_equal(stats_of(b).connections, 0);
    pg_budget_close(b);
}

static void places_are_used_again_and_do_run_out(void **state)
{
    (void)state;
    struct pg_budget *b = budget_of(1000);
    struct pg_error error;
    struct member m;
    struct rp_share *share[RP_BUDGET_POOLS], *more;
    assert_int_equal(member_open(&m, b, 1, NULL), 0);
    share[0] = m.share;
    for (int i = 1; i < RP_BUDGET_POOLS; i++)
        assert_int_equal(rp_share_open(b, &share[i], 1, m.reactor, on_look, &m, NULL), 0);
    assert_int_equal(rp_share_open(b, &more, 1, m.reactor, on_look, &m, &error), PG_E_CONFIG);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "256 pools"));
    assert_true(rp_share_close(b, share[7], 1, false));
    assert_int_equal(rp_share_open(b, &more, 1, m.reactor, on_look, &m, NULL), 0);
    assert_ptr_equal(more, share[7]);
    for (int i = 1; i < RP_BUDGET_POOLS; i++) assert_true(rp_share_close(b, share[i], 1, false));
    assert_int_equal(stats_of(b).pools, 1);
    assert_int_equal(stats_of(b).sure, 1);
    member_close(&m, 1);
    pg_budget_close(b);
}

/* ---- many threads ---- */

enum { ROUNDS = 10000, COMMON = 2, BOUND = THREADS + COMMON };

struct arena {
    struct pg_budget *budget;
    atomic_int ready, in_hand, most, inside;
    unsigned plain;              /* of whoever has the only common one */
    atomic_bool over;
};

static void count_in(struct arena *a, int n)
{
    int now = atomic_fetch_add_explicit(&a->in_hand, n, memory_order_relaxed) + n;
    int most = atomic_load_explicit(&a->most, memory_order_relaxed);
    while (now > most && !atomic_compare_exchange_weak_explicit(&a->most, &most, now, memory_order_relaxed,
                                                                memory_order_relaxed)) continue;
}

/* All at once, and nothing but the budget orders what they do. */
static void meet(struct arena *a, int n)
{
    atomic_fetch_add_explicit(&a->ready, 1, memory_order_relaxed);
    while (atomic_load_explicit(&a->ready, memory_order_relaxed) < n) sched_yield();
}
static void enter(struct arena *a, struct member *m)
{
    if (member_open(m, a->budget, 1, NULL)) abort();
    get_one(m, RP_NEED_SURE);
    meet(a, THREADS);
}

static void *take_and_put(void *arg)
{
    struct arena *a = arg;
    struct member m;
    enter(a, &m);
    count_in(a, 1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        get_one(&m, RP_NEED_FIRST + i % 3);
        count_in(a, 1);
        count_in(a, -1);
        rp_share_put(a->budget, m.share, 1, 0);
    }
    count_in(a, -1);
    rp_share_put(a->budget, m.share, 1, 0);
    member_close(&m, 1);
    return NULL;
}

static void run_threads(unsigned n, void *(*body)(void *), void *arg)
{
    pthread_t threads[THREADS];
    for (unsigned t = 0; t < n; t++) assert_int_equal(pthread_create(&threads[t], NULL, body, arg), 0);
    for (unsigned t = 0; t < n; t++) assert_int_equal(pthread_join(threads[t], NULL), 0);
}

static void nobody_is_forgotten_and_the_bound_holds(void **state)
{
    (void)state;
    struct arena a = { .budget = budget_of(BOUND) };
    run_threads(THREADS, take_and_put, &a);
    assert_int_equal(a.in_hand, 0);
    assert_in_range(a.most, THREADS, BOUND);
    pg_budget_close(a.budget); /* which asserts that everything is back */
}

/* Whoever gets a connection sees what was done before it was put back: with one of them it is a mutex. */
static void *count_alone(void *arg)
{
    struct arena *a = arg;
    struct member m;
    enter(a, &m);
    for (unsigned i = 0; i < ROUNDS; i++) {
        get_one(&m, RP_NEED_FIRST);
        if (atomic_fetch_add_explicit(&a->inside, 1, memory_order_relaxed)) abort();
        a->plain++; /* without the annotations ThreadSanitizer takes this for a race */
        atomic_fetch_sub_explicit(&a->inside, 1, memory_order_relaxed);
        rp_share_put(a->budget, m.share, 1, 0);
    }
    meet(a, 2 * THREADS); /* what is sure for this one would be another common one for the rest */
    rp_share_put(a->budget, m.share, 1, 0);
    member_close(&m, 1);
    return NULL;
}

static void a_connection_brings_what_was_done_before(void **state)
{
    (void)state;
    struct arena a = { .budget = budget_of(THREADS + 1) };
    run_threads(THREADS, count_alone, &a);
    assert_int_equal(a.plain, THREADS * ROUNDS);
    pg_budget_close(a.budget);
}

/* Everything that a pool may do, in any order, while the bound changes. */
static void *do_anything(void *arg)
{
    struct arena *a = arg;
    struct member m;
    unsigned seed = (unsigned)(uintptr_t)&m, mine = 0, promised = 0;
    bool asked = false;
    enter(a, &m); /* which left it one */
    for (unsigned i = 0; i < 4 * ROUNDS; i++) {
        (void)!pg_reactor_turn(m.reactor);
        if (m.has || (asked && rp_share_collect(a->budget, m.share))) {
            count_in(a, 1);
            mine++;
            m.has = asked = false;
        }
        switch (rand_r(&seed) % 6) {
        case 0:
        case 1:
            rp_share_ask(a->budget, m.share, rand_r(&seed) % 4);
            asked = true;
            break;
        case 2:
            if (asked && rp_share_withdraw(a->budget, m.share)) count_in(a, 1), mine++;
            asked = false;
            break;
        case 3:
            if (promised < mine && rp_share_promise(a->budget, m.share)) promised++;
            break;
        case 4: rp_share_press(a->budget, m.share); break;
        default:
            if (!mine) break;
            count_in(a, -1);
            mine--;
            rp_share_put(a->budget, m.share, 1, promised > 0);
            promised -= promised > 0;
        }
        rp_share_spare(m.share, mine);
    }
    if (m.has || rp_share_withdraw(a->budget, m.share)) count_in(a, 1), mine++;
    count_in(a, -(int)mine);
    rp_share_spare(m.share, 0);
    rp_share_put(a->budget, m.share, mine, promised);
    member_close(&m, 1);
    return NULL;
}

static void anything_in_any_order(void **state)
{
    (void)state;
    struct arena a = { .budget = budget_of(BOUND) };
    pthread_t threads[THREADS];
    for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_create(&threads[t], NULL, do_anything, &a), 0);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(pg_budget_resize(a.budget, i % 3 ? THREADS : BOUND), 0);
        assert_in_range(stats_of(a.budget).connections, THREADS, BOUND);
        sched_yield();
    }
    for (int t = 0; t < THREADS; t++) assert_int_equal(pthread_join(threads[t], NULL), 0);
    assert_in_range(a.most, 1, BOUND);
    pg_budget_close(a.budget);
}

/* Reactors come and go under somebody who posts to whatever he sees. */
static void *come_and_go(void *arg)
{
    struct arena *a = arg;
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        struct member m;
        if (member_open(&m, a->budget, 1, NULL)) abort();
        rp_share_spare(m.share, 1);
        for (unsigned turns = i % 4; turns; turns--) (void)!pg_reactor_turn(m.reactor);
        rp_share_spare(m.share, 0);
        if (i % 5 == 4) {
            if (!rp_share_close(m.budget, m.share, 1, true)) abort(); /* what was posted is dropped with the inbox */
            pg_reactor_free(m.reactor);
            close(m.fd);
        } else {
            member_close(&m, 1);
        }
    }
    return NULL;
}

static void *press_on(void *arg)
{
    struct arena *a = arg;
    while (!atomic_load_explicit(&a->over, memory_order_relaxed)) rp_share_press(a->budget, NULL);
    return NULL;
}

static void reactors_come_and_go_under_those_who_post(void **state)
{
    (void)state;
    struct arena a = { .budget = budget_of(BOUND) };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, press_on, &a), 0);
    run_threads(THREADS - 1, come_and_go, &a);
    atomic_store(&a.over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(stats_of(a.budget).pools, 0);
    pg_budget_close(a.budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_neediest_goes_first_and_of_equals_the_oldest),
        cmocka_unit_test(a_ticket_is_served_or_withdrawn),
        cmocka_unit_test(no_more_is_promised_than_is_waited_for),
        cmocka_unit_test(the_bound_and_what_is_sure),
        cmocka_unit_test(a_part_of_what_the_server_has),
        cmocka_unit_test(places_are_used_again_and_do_run_out),
        cmocka_unit_test(nobody_is_forgotten_and_the_bound_holds),
        cmocka_unit_test(a_connection_brings_what_was_done_before),
        cmocka_unit_test(anything_in_any_order),
        cmocka_unit_test(reactors_come_and_go_under_those_who_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

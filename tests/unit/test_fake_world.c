/* test_fake_world.c - ringpg/testing.h, everything around the answers: time, connects, several reactors, faults by the
 * seed, leaks by name, and that misuse says what it was. */
#include "unit/fake.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pg_statement find = PG_STATEMENT("SELECT price FROM item WHERE id = $1", PG_TYPE_INT8);

static void echoes(struct fix *f, struct pg_fake_query *q)
{
    if (!pg_fake_params(q)) return;
    int64_t n = pg_value_int8(pg_fake_param(q, 0));
    pg_fake_delay(q, (uint64_t)f->number);
    pg_fake_row(q, (struct pg_param[]){ pg_int8(n) }, 1);
}

/* ---- connects ---- */

static void connects_are_refused_or_hang(void **state)
{
    struct fix f;
    struct told t;
    (void)state;
    fix_open(&f, "connect_timeout=2", echoes);
    pg_fake_connects(f.fake, PG_FAKE_REFUSE);
    tell(&t, &f, &find, 1);
    t.query.deadline_ns = pg_reactor_now(f.reactor) + SECOND;
    pg_pool_query(f.pool, &t.query);
    pg_fake_run(f.fake, 2 * SECOND);
    expect(&t, PG_E_UNAVAILABLE);
    assert_true(f.events[PG_EVENT_CONNECT_FAILED] >= 3); /* with backoff, until the deadline */
    assert_int_equal(pg_fake_connections(f.fake), 0);

    pg_fake_connects(f.fake, PG_FAKE_HANG);
    f.events[PG_EVENT_CONNECT_FAILED] = 0;
    ask(&t, &f, &find, 1);
    pg_fake_run(f.fake, 3 * SECOND);
    assert_int_equal(f.events[PG_EVENT_CONNECT_FAILED], 1); /* connect_timeout */
    assert_int_equal(t.done, 0);
    pg_fake_connects(f.fake, PG_FAKE_ACCEPT);
    pg_fake_run(f.fake, 5 * SECOND);
    expect(&t, PG_OK);
    assert_int_equal(pg_fake_connections(f.fake), 1);
    fix_close(&f);
}

static void the_server_refuses_in_words(void **state)
{
    struct fix f;
    struct told t[3];
    (void)state;
    fix_open(&f, "", echoes);
    pg_fake_refuse(f.fake, "28P01");
    ask(&t[0], &f, &find, 1);
    pg_fake_run(f.fake, SECOND);
    expect(&t[0], PG_E_UNAVAILABLE);
    assert_string_equal(t[0].query.sqlstate, "28P01");
    pg_fake_refuse(f.fake, "57P03");
    ask(&t[0], &f, &find, 1);
    pg_fake_run(f.fake, 2 * SECOND);
    assert_int_equal(t[0].done, 0);
    pg_fake_refuse(f.fake, NULL);
    pg_fake_run(f.fake, 5 * SECOND);
    expect(&t[0], PG_OK);

    pg_fake_disconnect(f.fake, "57P01");
    pg_fake_run(f.fake, 0);
    assert_int_equal(pg_fake_connections(f.fake), 0);
    pg_fake_disconnect(f.fake, NULL); /* there is none */
    ask(&t[0], &f, &find, 2);
    pg_fake_run(f.fake, SECOND);
    expect(&t[0], PG_OK);
    f.number = 50 * MS;
    ask(&t[0], &f, &find, 3);
    pg_fake_run(f.fake, 10 * MS);
    pg_fake_disconnect(f.fake, NULL);
    pg_fake_run(f.fake, SECOND);
    expect(&t[0], PG_E_LOST);
    fix_close(&f);

    fix_open(&f, "pool_max_conns=3", echoes);
    pg_fake_max_connections(f.fake, 2);
    f.number = 20 * MS;
    struct pg_lease lease[3] = { { .tag = "a" }, { .tag = "b" }, { .tag = "c" } };
    for (int i = 0; i < 3; i++) pg_pool_acquire(f.pool, &lease[i]);
    pg_fake_run(f.fake, SECOND);
    assert_int_equal(pg_fake_connections(f.fake), 2);
    assert_true(f.events[PG_EVENT_CONNECT_FAILED] >= 1);
    for (int i = 0; i < 3; i++) pg_lease_abandon(&lease[i]);
    fix_close(&f);
}

static void says_read_only(struct fix *f, struct pg_fake_query *q)
{
    if (pg_fake_params(q)) f->number = pg_fake_connection(q);
    if (pg_fake_params(q) && pg_value_int8(pg_fake_param(q, 0)) == 9) pg_fake_error(q, "25006", "read-only");
    else echoes(f, q);
}
static void it_is_a_primary_that_may_be_written(void **state)
{
    static const char *const kinds[] = { "target_session_attrs=read-write", "target_session_attrs=primary" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct fix f;
        struct told t;
        fix_open(&f, kinds[i], says_read_only);
        ask(&t, &f, &find, 9); /* a statement that says so by itself: the pool asks, and is told otherwise */
        pg_fake_run(f.fake, SECOND);
        expect(&t, PG_E_SERVER);
        f.number = 0;
        ask(&t, &f, &find, 1);
        pg_fake_run(f.fake, SECOND);
        expect(&t, PG_OK);
        assert_int_equal(f.number, 1); /* the same connection */
        fix_close(&f);
    }
}

static void maybe_nothing(struct fix *f, struct pg_fake_query *q)
{
    if (pg_fake_params(q)) echoes(f, q);
}
static void it_has_a_hundred_connections(void **state)
{
    struct fix f;
    struct told t;
    struct pg_budget *budget;
    struct pg_pool *pool;
    struct pg_error error;
    struct pg_budget_stats stats = { .size = sizeof stats };
    struct pg_pool_config pc = PG_POOL_CONFIG("host=127.0.0.1 user=app");
    (void)state;
    fix_open(&f, "", echoes);
    f.script = maybe_nothing;
    assert_int_equal(pg_budget_open(&budget, PG_BUDGET_PERCENT(30)), 0);
    pc.budget = budget;
    assert_int_equal(pg_pool_open(&pool, f.reactor, &pc, &error), 0);
    tell(&t, &f, &find, 1);
    pg_pool_query(pool, &t.query);
    pg_fake_run(f.fake, SECOND);
    expect(&t, PG_OK);
    pg_budget_stats(budget, &stats);
    assert_int_equal(stats.connections, 30);
    fix_close(&f);
    pg_budget_close(budget);
}

static void notifications_disturb_nobody(void **state)
{
    struct fix f;
    struct told t;
    (void)state;
    fix_open(&f, "", echoes);
    pg_fake_notify(f.fake, "nobody", "listens"); /* no connection yet */
    f.number = 10 * MS;
    ask(&t, &f, &find, 7);
    pg_fake_run(f.fake, 5 * MS);
    pg_fake_notify(f.fake, "channel", "payload");
    pg_fake_run(f.fake, 5 * MS);
    expect(&t, PG_OK);
    assert_int_equal(t.value, 7);
    pg_fake_notify(f.fake, "channel", "idle");
    pg_fake_run(f.fake, 0);
    assert_int_equal(pg_fake_connections(f.fake), 1);
    assert_int_equal(f.events[PG_EVENT_LOST], 0);
    fix_close(&f);
}

static void heard(struct pg_listener *l, struct pg_text payload, int32_t pid)
{
    (void)pid;
    *(bool *)l->data = payload.size == 7 && !memcmp(payload.data, "payload", 7);
}
static void listeners_hear(void **state)
{
    struct fix f;
    bool right = false;
    struct pg_listener listener = { .channel = "channel", .on_notify = heard, .data = &right };
    (void)state;
    fix_open(&f, "", echoes);
    assert_int_equal(pg_pool_listen(f.pool, &listener, NULL), 0);
    pg_fake_run(f.fake, 5 * MS);
    pg_fake_notify(f.fake, "channel", "payload");
    pg_fake_run(f.fake, 5 * MS);
    assert_true(right);
    pg_pool_unlisten(&listener);
    pg_fake_run(f.fake, 5 * MS);
    assert_int_equal(pg_fake_connections(f.fake), 0);
    fix_close(&f);
}

/* ---- several ---- */

static void two_reactors_share_one_world(void **state)
{
    struct fix f;
    struct told t[3];
    struct pg_reactor *second;
    struct pg_pool *pool, *beside;
    (void)state;
    fix_open(&f, "", echoes);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_fake_host_at(f.fake, 1));
    struct pg_pool_config pc = PG_POOL_CONFIG("host=127.0.0.1 user=other");
    assert_int_equal(pg_reactor_open(&second, &rc, NULL), 0);
    assert_int_equal(pg_pool_open(&pool, second, &pc, NULL), 0);
    assert_int_equal(pg_pool_open(&beside, f.reactor, &pc, NULL), 0);
    for (int i = 0; i < 3; i++) tell(&t[i], &f, &find, i);
    f.number = MS;
    pg_pool_query(f.pool, &t[0].query);
    pg_pool_query(pool, &t[1].query);
    pg_pool_query(beside, &t[2].query);
    assert_int_equal(pg_fake_leaks(f.fake), 3); /* of all of them */
    pg_fake_run(f.fake, MS);
    for (int i = 0; i < 3; i++) {
        expect(&t[i], PG_OK);
        assert_int_equal(t[i].value, i);
    }
    assert_int_equal(pg_fake_connections(f.fake), 3);
    assert_true(pg_reactor_now(second) == pg_reactor_now(f.reactor));
    pg_reactor_close(second, 0);
    pg_fake_run(f.fake, 0);
    pg_reactor_free(second); /* the first goes on */
    ask(&t[0], &f, &find, 5);
    pg_fake_run(f.fake, MS);
    expect(&t[0], PG_OK);
    fix_close(&f);
}

/* ---- faults ---- */

/* What a seed makes of it: statuses and times, as one number. */
static uint64_t outcome_of(uint64_t seed, const struct pg_fake_faults *faults, unsigned *good)
{
    struct fix f;
    struct told t[30];
    uint64_t hash = 1;
    fix_open_seeded(&f, seed, "pool_max_conns=2", echoes);
    pg_fake_faults(f.fake, faults);
    for (int i = 0; i < 30; i++) ask(&t[i], &f, &find, i);
    pg_fake_run(f.fake, 20 * SECOND);
    for (int i = 0; i < 30; i++) {
        assert_int_equal(t[i].done, 1);
        *good += t[i].query.status == PG_OK && t[i].value == i;
        hash = (hash ^ (uint64_t)t[i].query.status ^ t[i].at_ns) * UINT64_C(0x100000001b3);
    }
    pg_fake_faults(f.fake, &(struct pg_fake_faults){ 0 });
    fix_close(&f);
    return hash;
}

static void faults_come_by_the_seed(void **state)
{
    const struct pg_fake_faults harmless = { .partial = 600, .latency_min_ns = 1000, .latency_max_ns = 90000 };
    const struct pg_fake_faults harmful = { .partial = 300, .reset = 400, .refuse = 200, .latency_max_ns = 900000 };
    unsigned good = 0, lost = 0, none = 0;
    (void)state;
    uint64_t first = outcome_of(1, &harmless, &good), again = outcome_of(1, &harmless, &good);
    assert_true(first == again);
    assert_true(first != outcome_of(2, &harmless, &good));
    assert_int_equal(good, 90);
    assert_true(outcome_of(3, &harmful, &lost) == outcome_of(3, &harmful, &lost));
    assert_true(lost < 60);
    assert_true(outcome_of(4, &(struct pg_fake_faults){ 0 }, &none) ==
                outcome_of(5, &(struct pg_fake_faults){ 0 }, &none)); /* without faults seeds differ in nothing here */
    assert_int_equal(none, 60);
}

/* ---- leaks ---- */

static void sleeps(void *arg)
{
    (void)arg;
    (void)!pg_await_sleep(PG_NEVER);
}

static void leaks_are_named(void **state)
{
    struct fix f;
    struct told runs, waits;
    char report[1000], small[10];
    struct pg_lease held = { .tag = "here.c:1" }, parked = { .tag = "there.c:2" }, untagged = { .tag = NULL };
    struct pg_lease urgent = { .tag = "up.c:3", .priority = PG_PRIORITY_HIGH };
    struct pg_fiber fiber;
    (void)state;
    fix_open(&f, "", echoes);
    f.number = SECOND;
    pg_pool_acquire(f.pool, &held);
    pg_fake_run(f.fake, 0);
    tell(&runs, &f, &find, 1);
    pg_lease_query(&held, &runs.query);
    pg_pool_acquire(f.pool, &parked);
    pg_pool_acquire(f.pool, &untagged);
    pg_pool_acquire(f.pool, &urgent);
    ask(&waits, &f, &find, 1);
    assert_int_equal(pg_fiber_spawn(f.reactor, sleeps, NULL, &fiber), 0);
    pg_fake_run(f.fake, 12 * MS);
    assert_int_equal(pg_fake_leaks(f.fake), 7);
    size_t n = pg_fake_leak_report(f.fake, report, sizeof report);
    assert_int_equal(n, strlen(report));
    assert_string_equal(report, "a lease is held for 12 ms: here.c:1\n"
                                "a query runs for 12 ms: SELECT price FROM item WHERE id = $1\n"
                                "a lease waits for 12 ms: up.c:3\n"
                                "a lease waits for 12 ms: there.c:2\n"
                                "a lease waits for 12 ms: without a tag\n"
                                "a query waits for 12 ms: SELECT price FROM item WHERE id = $1\n"
                                "a fiber has not ended\n");
    assert_int_equal(pg_fake_leak_report(f.fake, small, sizeof small), n);
    assert_string_equal(small, "a lease i");
    assert_int_equal(pg_fake_leak_report(f.fake, NULL, 0), n);

    pg_fake_disconnect(f.fake, NULL); /* the lease stays held, on nothing */
    pg_fake_run(f.fake, 0);
    expect(&runs, PG_E_LOST);
    pg_lease_abandon(&parked);
    pg_lease_abandon(&untagged);
    pg_lease_abandon(&urgent);
    pg_query_abandon(&waits.query);
    pg_fiber_cancel(fiber);
    pg_fake_run(f.fake, 0);
    (void)pg_fake_leak_report(f.fake, report, sizeof report);
    assert_string_equal(report, "a lease is held, and its connection is lost\n");
    pg_lease_release(&held);
    fix_close(&f); /* asks for 0 */
}

/* Slow statements that wait for a place of their own are waiters like others. */
static void slow_waiters_are_named(void **state)
{
    static struct pg_statement slow = { .sql = "SELECT sum(price) FROM item WHERE id > $1", .types = { PG_TYPE_INT8 },
                                        .flags = PG_STATEMENT_SLOW };
    struct fix f;
    struct told t[2];
    (void)state;
    fix_open(&f, "pool_max_conns=2", echoes);
    f.number = SECOND;
    for (int i = 0; i < 2; i++) ask(&t[i], &f, &slow, 1);
    pg_fake_run(f.fake, 10 * MS);
    assert_int_equal(pg_fake_leaks(f.fake), 2);
    for (int i = 0; i < 2; i++) pg_query_abandon(&t[i].query);
    pg_fake_run(f.fake, 2 * SECOND);
    fix_close(&f);
}

/* ---- misuse: one line says what it was, then the process is aborted ---- */

static struct fix mis;
static void runs_inside(struct fix *f, struct pg_fake_query *q)
{
    (void)q;
    pg_fake_run(f->fake, 0);
}
static void asks_too_far(struct fix *f, struct pg_fake_query *q)
{
    (void)f;
    (void)pg_fake_param(q, 1);
}
static void says_two_widths(struct fix *f, struct pg_fake_query *q)
{
    (void)f;
    pg_fake_row(q, (struct pg_param[]){ pg_int8(1) }, 1);
    pg_fake_row(q, (struct pg_param[]){ pg_int8(1), pg_int8(2) }, 2);
}
static void says_two_types(struct fix *f, struct pg_fake_query *q)
{
    (void)f;
    pg_fake_row(q, (struct pg_param[]){ pg_int4(1) }, 1);
    pg_fake_row(q, (struct pg_param[]){ pg_int8(INT64_MAX) }, 1);
}
static void changes_in_a_transaction(struct fix *f, struct pg_fake_query *q)
{
    if (!pg_fake_params(q)) return;
    if (f->number++) pg_fake_row(q, (struct pg_param[]){ pg_int8(1) }, 1);
    else pg_fake_complete(q, "SELECT 0");
}
static void asked(void (*script)(struct fix *, struct pg_fake_query *))
{
    struct told t;
    fix_open(&mis, "", script);
    ask(&t, &mis, &find, 1);
    pg_fake_run(mis.fake, 0);
}
static void run_in_an_answer(void) { asked(runs_inside); }
static void parameter_out_of_range(void) { asked(asks_too_far); }
static void two_widths(void) { asked(says_two_widths); }
static void two_types(void) { asked(says_two_types); }
static void open_reactor(void) { asked(echoes), pg_fake_close(mis.fake); }
static void freed_too_early(void) { asked(echoes), pg_reactor_free(mis.reactor); }
static void no_such_host(void) { asked(echoes), (void)pg_fake_host_at(mis.fake, PG_FAKE_HOSTS); }
static void columns_change(void)
{
    struct told t[2];
    struct pg_lease lease = { .tag = PG_HERE };
    fix_open(&mis, "", changes_in_a_transaction);
    pg_pool_acquire(mis.pool, &lease);
    pg_fake_run(mis.fake, 0);
    tell(&t[0], &mis, &pg_begin, 0);
    pg_lease_query(&lease, &t[0].query);
    for (int i = 0; i < 2; i++) {
        tell(&t[1], &mis, &find, i);
        pg_lease_query(&lease, &t[1].query);
        pg_fake_run(mis.fake, 0);
    }
}
static void again(struct pg_query *q)
{
    struct told *t = q->data;
    pg_pool_query(t->fix->pool, q);
}
static void for_ever(void)
{
    struct told t;
    fix_open(&mis, "", echoes);
    tell(&t, &mis, &find, 0);
    t.query.on_done = again;
    pg_pool_query(mis.pool, &t.query);
    pg_fake_run(mis.fake, SECOND);
}

static void misuse_is_named(void **state)
{
    static const struct { void (*run)(void); const char *says; } cases[] = {
        { run_in_an_answer, "pg_fake_run: called from a callback" },
        { parameter_out_of_range, "\"SELECT price FROM item WHERE id = $1\": parameter 1 of 1" },
        { two_widths, "a row of 2 columns, where there are 1" },
        { two_types, "column 0 (unnamed) of a row is out of range for int4" },
        { open_reactor, "pg_fake_close: the reactor on host 0 is not freed" },
        { freed_too_early, "still bound (a reactor that is freed before its close has ended?)" },
        { no_such_host, "host 8 of 8" },
        { columns_change, "say the columns in every answer" },
        { for_ever, "turns at one instant: something tries again for ever" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[1000] = "";
        int ends[2], status;
        size_t n = 0;
        ssize_t got;
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            dup2(ends[1], 2);
            signal(SIGABRT, SIG_DFL);
            cases[i].run();
            _exit(0);
        }
        close(ends[1]);
        while ((got = read(ends[0], text + n, sizeof text - 1 - n)) > 0) n += (size_t)got;
        close(ends[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || !strstr(text, cases[i].says)) fail_msg("case %zu said: %s", i, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects_are_refused_or_hang), cmocka_unit_test(the_server_refuses_in_words),
        cmocka_unit_test(it_is_a_primary_that_may_be_written),
        cmocka_unit_test(it_has_a_hundred_connections),
        cmocka_unit_test(slow_waiters_are_named),
        cmocka_unit_test(notifications_disturb_nobody), cmocka_unit_test(listeners_hear), cmocka_unit_test(two_reactors_share_one_world),
        cmocka_unit_test(faults_come_by_the_seed),      cmocka_unit_test(leaks_are_named),
        cmocka_unit_test(misuse_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

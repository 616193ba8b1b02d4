/* unit/test_pool_hooks.c - the five hooks: when each is called, what it may do, and what its end does to the connection
 * and to those who wait. What can go wrong with each is in test_pool_hooks_all.c. Simulated host, virtual time. */
#include "hooks.h"
#include "ringpg/fiber.h"
#include <signal.h>
#include "support/fake_clock_host.h"

static void run(struct hooks *h, uint64_t ms) { world_run(&h->w, ms * WORLD_MS); }

static void expect_log(const struct hooks *h, const char *expected) { assert_string_equal(h->log, expected); }

static void use(struct hooks *h)
{
    struct held lease;
    hooks_acquire(h, &lease);
    run(h, 20);
    assert_int_equal(lease.grants, 1);
    assert_int_equal(lease.status, 0);
    note(h, "lease");
    hooks_release(h, &lease);
    run(h, 20);
}

/* ---- when ---- */

static void a_life(void **state)
{
    (void)state;
    for (int queries = 0; queries < 2; queries++) {
        static struct hooks h;
        h = (struct hooks){ .queries = queries };
        hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1");
        use(&h);
        use(&h);
        pg_pool_reset(h.w.pool);
        run(&h, 20);
        expect_log(&h, "before_connect after_connect prepare_conn lease after_release prepare_conn lease after_release "
                       "before_close");
        assert_int_equal(h.ended, queries ? 6 : 0);
        assert_int_equal(h.query_status, 0);
        assert_int_equal(model_stats(h.w.server)->connections_total, 1);
        assert_int_equal(model_stats(h.w.server)->terminates, 1);
        struct pg_pool_stats s = world_stats(&h.w);
        assert_int_equal(s.acquire_count, 2);
        assert_int_equal(s.lost_conns_count + s.connect_failed_count, 0);
        hooks_close(&h);
    }
}

static void they_come_in_between_the_pools_own(void **state)
{
    (void)state;
    static struct hooks h;
    static struct pg_statement warm = PG_STATEMENT("WARM");
    static struct pg_statement *const list[] = { &warm };
    struct held lease;
    struct seen s;
    h = (struct hooks){ .queries = true };
    h.config.connect_sql = "SET connect = 1";
    h.config.reset_sql = "SET reset = 1";
    h.config.warm = list;
    h.config.nwarm = 1;
    hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1");
    hooks_acquire(&h, &lease);
    run(&h, 20);
    seen_init(&s, &pg_begin, 0);
    pg_lease_query(&lease.lease, &s.query);
    run(&h, 20);
    hooks_release(&h, &lease);
    run(&h, 20);
    struct model_conn *conn = model_conn_at(h.w.server, 0);
    static const char *const sql[] = { "SET connect = 1", "ECHO $1", "ECHO $1", "BEGIN", "ROLLBACK", "ECHO $1",
                                       "SET reset = 1" };
    assert_int_equal(model_conn_sql_count(conn), RP_COUNT(sql));
    for (size_t i = 0; i < RP_COUNT(sql); i++) assert_string_equal(model_conn_sql(conn, i), sql[i]);
    hooks_close(&h);
}

/* Each of the reasons for which the pool closes a healthy connection; and it waits for the hook, before Terminate. */
static void before_close_for_every_reason(void **state)
{
    (void)state;
    static const char *const options[] = {
        "pool_max_conns=2 pool_max_conn_lifetime=100ms",
        "pool_max_conns=2 pool_max_conn_idle_time=100ms pool_health_check_period=10ms",
        "pool_max_conns=2", "pool_max_conns=2", "pool_max_conns=2", "pool_max_conns=2",
    };
    for (size_t i = 0; i < RP_COUNT(options); i++) {
        static struct hooks h;
        struct held a, b;
        h = (struct hooks){ .queries = true, .script = { [RP_HOOK_BEFORE_CLOSE] = HOOK_LATER } };
        hooks_open(&h, 1 << RP_HOOK_BEFORE_CLOSE, NULL, options[i]);
        hooks_acquire(&h, &a);
        hooks_acquire(&h, &b);
        run(&h, 20);
        hooks_release(&h, &a);
        hooks_release(&h, &b);
        run(&h, 1);
        if (i == 2) pg_pool_reset(h.w.pool);
        if (i == 3) assert_int_equal(pg_pool_resize(h.w.pool, 0, 1), 0);
        if (i == 4) pg_pool_close(h.w.pool, 0, hooks_on_closed, &h);
        if (i == 5) pg_pool_close(h.w.pool, sim_now(h.w.sim) + WORLD_SECOND, hooks_on_closed, &h);
        run(&h, i < 2 ? 130 : 10);
        assert_int_equal(h.calls[RP_HOOK_BEFORE_CLOSE], i == 3 ? 1 : 2);
        /* The first one comes late. */
        if (i >= 2) assert_int_equal(model_stats(h.w.server)->terminates, i == 3 ? 0 : 1);
        run(&h, 100);
        assert_int_equal(model_stats(h.w.server)->terminates, i == 3 ? 1 : 2);
        assert_int_equal(h.query_status, 0);
        if (i == 4 || i == 5) assert_true(h.w.closed);
        else assert_int_equal(h.w.events[PG_EVENT_RETIRED], i == 3 ? 1 : 2);
        hooks_close(&h);
    }
}

static void no_before_close_for_what_is_broken(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    h = (struct hooks){ .script = { [RP_HOOK_AFTER_RELEASE] = HOOK_ERROR, [RP_HOOK_PREPARE_CONN] = HOOK_ERROR } };
    hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1");
    hooks_acquire(&h, &lease);
    run(&h, 300); /* prepare_conn refuses the first */
    assert_int_equal(lease.grants, 1);
    hooks_release(&h, &lease);
    run(&h, 20); /* after_release refuses the second */
    use(&h);
    model_conn_end(model_conn_at(h.w.server, 2), MODEL_END_FATAL, "57P01");
    run(&h, 20);
    assert_int_equal(h.calls[RP_HOOK_BEFORE_CLOSE], 0);
    assert_int_equal(model_stats(h.w.server)->connections_total, 3);
    assert_int_equal(h.w.events[PG_EVENT_RETIRED], 2);
    assert_int_equal(h.w.events[PG_EVENT_LOST], 1);
    hooks_close(&h);
}

/* ---- before_connect ---- */

static void before_connect_says_who(void **state)
{
    (void)state;
    static const enum model_auth auths[] = { MODEL_TRUST, MODEL_CLEARTEXT, MODEL_MD5, MODEL_SCRAM };
    for (size_t i = 0; i < RP_COUNT(auths); i++) {
        static struct hooks h;
        struct model_config server = { .auth = auths[i], .user = "alice", .password = "token", .scram_iterations = 1 };
        h = (struct hooks){ .set = { { "user", "alice" }, { "password", "token" }, { "dbname", "other" },
                                     { "application_name", "hooked" } } };
        hooks_open(&h, 1 << RP_HOOK_BEFORE_CONNECT, &server, "pool_max_conns=2 password=wrong options=-cx=1");
        use(&h);
        struct model_conn *conn = model_conn_at(h.w.server, 0);
        assert_string_equal(model_conn_parameter(conn, "user"), "alice");
        assert_string_equal(model_conn_parameter(conn, "database"), "other");
        assert_string_equal(model_conn_parameter(conn, "application_name"), "hooked");
        assert_string_equal(model_conn_parameter(conn, "options"), "-cx=1");
        for (size_t s = 0; s < 2; s++) { /* wiped as soon as it is up */
            const struct rp_login *login = &h.w.pool->slot[s]->hook->login;
            for (size_t at = 0; at < sizeof login->value; at++) assert_int_equal(((const char *)login->value)[at], 0);
            for (size_t at = 0; at < sizeof login->password; at++) assert_int_equal(login->password[at], 0);
        }
        /* The next one has another password, and the same salt: no key of the first is used for it. */
        model_settings(h.w.server)->password = "second";
        h.set[1][1] = "second";
        pg_pool_reset(h.w.pool);
        use(&h);
        assert_int_equal(model_stats(h.w.server)->auth_failures, 0);
        assert_int_equal(model_stats(h.w.server)->connections_total, 2);
        hooks_close(&h);
    }
}

static void nothing_set_is_the_connection_string(void **state)
{
    (void)state;
    static struct hooks h;
    struct model_config server = { .auth = MODEL_SCRAM, .user = "app", .password = "mine", .scram_iterations = 1 };
    h = (struct hooks){ 0 };
    hooks_open(&h, 1 << RP_HOOK_BEFORE_CONNECT, &server, "pool_max_conns=1 password=mine");
    use(&h);
    assert_string_equal(model_conn_parameter(model_conn_at(h.w.server, 0), "user"), "app");
    hooks_close(&h);
}

/* A key that was derived from the connection string's password is of no use for another one, though the salt is the
 * same; and what was set is wiped when the connect fails, too. */
static void a_password_of_its_own_has_a_key_of_its_own(void **state)
{
    (void)state;
    static struct hooks h;
    struct model_config server = { .auth = MODEL_SCRAM, .user = "app", .password = "mine", .scram_iterations = 1 };
    struct held lease;
    h = (struct hooks){ 0 };
    hooks_open(&h, 1 << RP_HOOK_BEFORE_CONNECT, &server, "pool_max_conns=1 password=mine");
    use(&h);
    h.set[0][0] = "password";
    h.set[0][1] = "second";
    pg_pool_reset(h.w.pool);
    hooks_acquire(&h, &lease);
    run(&h, 20);
    assert_int_equal(lease.status, PG_E_UNAVAILABLE); /* the server knows the first one still */
    assert_int_equal(model_stats(h.w.server)->auth_failures, 1);
    const struct rp_login *login = &h.w.pool->slot[0]->hook->login;
    for (size_t at = 0; at < sizeof login->value; at++) assert_int_equal(((const char *)login->value)[at], 0);
    run(&h, 1000);
    model_settings(h.w.server)->password = "second";
    use(&h);
    hooks_close(&h);
}

static unsigned refusals;
static void set_what_is_refused(void *arg, struct pg_hook *hook)
{
    char value[5000];
    (void)arg;
    memset(value, 'v', sizeof value);
    value[4097] = 0;
    refusals += pg_hook_set(hook, "password", value) == PG_E_PARAMETER;
    value[4096] = 0;
    refusals += pg_hook_set(hook, "password", value) == 0;
    value[513] = 0;
    refusals += pg_hook_set(hook, "user", value) == PG_E_PARAMETER;
    refusals += pg_hook_set(hook, "dbname", "a\nb") == PG_E_PARAMETER; /* failures 12 */
    refusals += pg_hook_set(hook, "password", "a\nb") == 0;            /* is no startup parameter */
    refusals += pg_hook_set(hook, "password", NULL) == PG_E_PARAMETER;
    refusals += pg_hook_set(hook, "host", "elsewhere") == PG_E_PARAMETER;
    refusals += pg_hook_set(hook, "pool_max_conns", "7") == PG_E_PARAMETER;
    value[512] = 0;
    refusals += pg_hook_set(hook, "user", value) == 0;
    pg_hook_done(hook, PG_E_CONFIG); /* nobody would be served ever */
}
static void what_may_not_be_set(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    h = (struct hooks){ 0 };
    h.config.before_connect = set_what_is_refused;
    hooks_open(&h, 0, NULL, "pool_max_conns=1");
    hooks_acquire(&h, &lease);
    run(&h, 20);
    assert_int_equal(refusals, 9);
    assert_int_equal(lease.grants, 1);
    assert_int_equal(lease.status, PG_E_UNAVAILABLE);
    assert_non_null(strstr(pg_error_field(&lease.error, 'M'), "before_connect: refused with PG_E_CONFIG"));
    assert_int_equal(sim_counters(h.w.sim)->opens, 0);
    assert_int_equal(h.w.events[PG_EVENT_CONNECT_FAILED], 1);
    hooks_close(&h);
}

/* ---- prepare_conn ---- */

/* Who waits keeps its place, its deadline and its right to go; whoever is first when the check is over has it. */
static void the_waiter_may_go_while_it_is_checked(void **state)
{
    (void)state;
    static struct hooks h;
    struct held first, second, third;
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_LATER }, .queries = true };
    h.config.reset_sql = "SET reset = 1";
    hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1 pool_min_conns=1");
    run(&h, 20);
    held_init(&first);
    first.lease.deadline_ns = sim_now(h.w.sim) + 10 * WORLD_MS;
    pg_pool_acquire(h.w.pool, &first.lease);
    run(&h, 5);
    hooks_acquire(&h, &second);
    hooks_acquire(&h, &third);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 1);
    assert_int_equal(world_stats(&h.w).idle_conns, 0);
    assert_int_equal(world_stats(&h.w).pending, 3);
    run(&h, 10);
    assert_int_equal(first.grants, 1);
    assert_int_equal(first.status, PG_E_TIMEOUT);
    pg_lease_abandon(&second.lease);
    assert_int_equal(third.grants, 0);
    run(&h, 20);
    assert_int_equal(second.grants, 0);
    assert_int_equal(third.grants, 1);
    assert_int_equal(third.status, 0);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 1); /* one check was enough */
    hooks_release(&h, &third);
    run(&h, 20);

    h.once = 0; /* and now nobody is left: it goes back as if one had had it */
    hooks_acquire(&h, &first);
    run(&h, 5);
    pg_lease_abandon(&first.lease);
    run(&h, 50);
    expect_log(&h, "before_connect after_connect prepare_conn after_release prepare_conn after_release");
    assert_int_equal(world_stats(&h.w).idle_conns, 1);
    struct model_conn *conn = model_conn_at(h.w.server, 0);
    assert_string_equal(model_conn_sql(conn, model_conn_sql_count(conn) - 1), "SET reset = 1");
    hooks_close(&h);
}

static void a_refused_one_is_replaced_in_place(void **state)
{
    (void)state;
    static struct hooks h;
    struct held first, second;
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_ERROR } };
    hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1 pool_min_conns=1");
    run(&h, 20);
    hooks_acquire(&h, &first);
    hooks_acquire(&h, &second);
    run(&h, 120); /* it was new: the next one is made after a delay */
    assert_int_equal(first.grants, 1);
    assert_int_equal(first.status, 0);
    assert_int_equal(second.grants, 0);
    assert_int_equal(h.w.events[PG_EVENT_RETIRED], 1);
    assert_string_equal(pg_error_field(&h.w.event_error, 'M'),
                        "the connection was closed since prepare_conn refused it");
    assert_int_equal(h.w.events[PG_EVENT_LOST], 0);
    assert_int_equal(model_stats(h.w.server)->connections_total, 2);
    assert_int_equal(model_stats(h.w.server)->connections_max, 1);
    hooks_release(&h, &first);
    run(&h, 20);
    assert_int_equal(second.grants, 1);
    hooks_release(&h, &second);
    hooks_close(&h);
}

/* As many at once as leases stand at the head, and in their order. */
static void several_are_checked_at_once(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease[5];
    struct seen s;
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_LATER } };
    hooks_open(&h, 1 << RP_HOOK_PREPARE_CONN, NULL, "pool_max_conns=4 pool_min_conns=4");
    run(&h, 20);
    for (int i = 0; i < 2; i++) hooks_acquire(&h, &lease[i]);
    seen_init(&s, &world_echo, 9); /* behind the leases, and not checked itself */
    pg_pool_query(h.w.pool, &s.query);
    hooks_acquire(&h, &lease[2]);
    run(&h, 5);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 2);
    assert_int_equal(lease[0].grants + lease[1].grants, 1); /* only the first hook takes its time */
    assert_int_equal(lease[0].grants, 1);
    assert_int_equal(s.done, 0);
    run(&h, 30);
    assert_int_equal(lease[1].grants + lease[2].grants + s.done, 3);
    assert_true(lease[0].order < lease[1].order && lease[1].order < lease[2].order);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 3);
    assert_int_equal(world_stats(&h.w).total_conns, 4);
    for (int i = 0; i < 3; i++) hooks_release(&h, &lease[i]);
    hooks_close(&h);
}

static void try_acquire_cannot_wait_for_it(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    h = (struct hooks){ 0 };
    hooks_open(&h, 1 << RP_HOOK_PREPARE_CONN, NULL, "pool_max_conns=1 pool_min_conns=1");
    run(&h, 20);
    held_init(&lease);
    assert_int_equal(pg_pool_try_acquire(h.w.pool, &lease.lease), PG_E_REFUSED);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 0);
    hooks_close(&h);
}

static void a_suspended_pool_checks_nothing(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_LATER } };
    hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1 pool_min_conns=1");
    run(&h, 20);
    hooks_acquire(&h, &lease);
    run(&h, 5);
    pg_pool_suspend(h.w.pool); /* in the middle of the check */
    run(&h, 100);
    assert_int_equal(lease.grants, 0);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 1);
    assert_int_equal(world_stats(&h.w).idle_conns, 1);
    pg_pool_resume(h.w.pool);
    run(&h, 20);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 2);
    assert_int_equal(lease.grants, 1);
    hooks_release(&h, &lease);
    hooks_close(&h);
}

/* What prepare_conn did is undone, too, when nobody came to use it. */
static void an_unused_check_is_reset(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_LATER }, .queries = true };
    h.config.reset_sql = "SET reset = 1";
    hooks_open(&h, 1 << RP_HOOK_PREPARE_CONN, NULL, "pool_max_conns=1 pool_min_conns=1");
    run(&h, 20);
    hooks_acquire(&h, &lease);
    run(&h, 5);
    pg_lease_abandon(&lease.lease);
    run(&h, 50);
    struct model_conn *conn = model_conn_at(h.w.server, 0);
    assert_int_equal(model_conn_sql_count(conn), 2);
    assert_string_equal(model_conn_sql(conn, 1), "SET reset = 1");
    hooks_close(&h);
}

/* One that is checked for a lease of high priority, which then goes, is still kept from the others. */
static void a_reserved_one_stays_reserved(void **state)
{
    (void)state;
    static struct hooks h;
    struct held holder, high, normal;
    h = (struct hooks){ 0 };
    hooks_open(&h, 1 << RP_HOOK_PREPARE_CONN, NULL, "pool_max_conns=2 pool_min_conns=2 pool_reserved_conns=1");
    run(&h, 20);
    hooks_acquire(&h, &holder);
    run(&h, 20);
    assert_int_equal(holder.grants, 1);
    h.once = 0;
    h.script[RP_HOOK_PREPARE_CONN] = HOOK_LATER;
    held_init(&high);
    high.lease.priority = PG_PRIORITY_HIGH;
    pg_pool_acquire(h.w.pool, &high.lease);
    hooks_acquire(&h, &normal);
    run(&h, 5);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 2);
    pg_lease_abandon(&high.lease);
    run(&h, 100);
    assert_int_equal(normal.grants, 0);
    assert_int_equal(world_stats(&h.w).idle_conns, 1);
    hooks_release(&h, &holder);
    run(&h, 100);
    assert_int_equal(normal.grants, 1);
    hooks_release(&h, &normal);
    hooks_close(&h);
}

/* Those whose connections are being checked do not count against pool_max_waiters. */
static void the_checked_for_do_not_fill_the_queue(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease[4];
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_LATER } };
    hooks_open(&h, 1 << RP_HOOK_PREPARE_CONN, NULL, "pool_max_conns=2 pool_min_conns=2 pool_max_waiters=1");
    run(&h, 20);
    hooks_acquire(&h, &lease[0]);
    run(&h, 5);
    assert_int_equal(world_stats(&h.w).idle_conns, 1);
    for (int i = 1; i < 4; i++) hooks_acquire(&h, &lease[i]); /* the one that is idle, one that waits, one too many */
    run(&h, 5);
    assert_int_equal(lease[3].grants, 1);
    assert_int_equal(lease[3].status, PG_E_REFUSED);
    assert_int_equal(lease[2].grants == 1 && lease[2].status == PG_E_REFUSED, 0);
    for (int i = 0; i < 3; i++) {
        run(&h, 100);
        assert_int_equal(lease[i].grants, 1);
        assert_int_equal(lease[i].status, 0);
        hooks_release(&h, &lease[i]);
    }
    hooks_close(&h);
}

/* Nobody waits any more, and the pool closes: the check's end is not waited for. */
static void a_close_does_not_wait_for_a_check(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_NEVER } };
    hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1 pool_close_linger=30s");
    hooks_acquire(&h, &lease);
    run(&h, 50);
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 1);
    pg_pool_close(h.w.pool, sim_now(h.w.sim) + 60 * WORLD_SECOND, hooks_on_closed, &h);
    run(&h, 50);
    assert_false(h.w.closed); /* one waits, and is to be served before the deadline */
    pg_lease_abandon(&lease.lease);
    run(&h, 50);
    assert_true(h.w.closed);
    hooks_close(&h);
}

/* A hook that reads top to bottom: a fiber with the hook's lease. */
static struct { struct pg_hook *hook; struct pg_lease *lease; int sum; } fibrous;
static void in_a_fiber(void *arg)
{
    (void)arg;
    int rc = 0;
    for (int i = 0; i < 3 && !rc; i++) {
        struct pg_param param = pg_int8(i);
        struct pg_query q = { .statement = &world_echo, .params = &param, .nparams = 1 };
        pg_lease_query(fibrous.lease, &q);
        rc = pg_await(&q);
        fibrous.sum += !rc;
    }
    pg_hook_done(fibrous.hook, rc);
}
static void begin_fiber(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    struct hooks *h = arg;
    struct pg_fiber fiber;
    fibrous.hook = hook;
    fibrous.lease = lease;
    if (pg_fiber_spawn(h->w.reactor, in_a_fiber, NULL, &fiber)) pg_hook_done(hook, PG_E_FULL);
}
static void a_fiber_in_a_hook(void **state)
{
    (void)state;
    static struct hooks h;
    h = (struct hooks){ 0 };
    h.config.after_connect = begin_fiber;
    hooks_open(&h, 0, NULL, "pool_max_conns=1");
    use(&h);
    assert_int_equal(fibrous.sum, 3);
    hooks_close(&h);
}

/* ---- a late end, and misuse ---- */

/* The hook was given up, its slot serves again and runs the same hook anew: the late end means the old one. */
static void a_late_end_does_nothing(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    struct seen s;
    h = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_NEVER } };
    hooks_open(&h, HOOK_ALL, NULL, "pool_max_conns=1 pool_close_linger=100ms");
    hooks_acquire(&h, &lease);
    run(&h, 50);
    assert_int_equal(lease.grants, 0);
    unsigned old = h.kept - 1;
    h.once = 0; /* the next one never ends either */
    run(&h, 80);
    assert_int_equal(h.w.events[PG_EVENT_LOST], 1);
    assert_string_equal(pg_error_field(&h.w.event_error, 'M'), "prepare_conn: did not end within pool_close_linger");
    assert_int_equal(h.calls[RP_HOOK_PREPARE_CONN], 2);
    seen_init(&s, &world_echo, 1); /* on the lease of the old hook: refused, and told later */
    pg_lease_query(h.lease[old], &s.query);
    assert_int_equal(pg_lease_transaction(h.lease[old]), 0);
    run(&h, 5);
    assert_int_equal(s.status, PG_E_LOST);
    assert_int_equal(s.done, 1);
    pg_hook_done(h.handle[old], 0);
    h.handle[old] = NULL;
    run(&h, 20);
    assert_int_equal(lease.grants, 0); /* the new one has not ended */
    pg_hook_done(h.handle[h.kept - 1], 0);
    run(&h, 20);
    assert_int_equal(lease.grants, 1);
    assert_int_equal(lease.status, 0);
    hooks_release(&h, &lease);
    hooks_close(&h);
}

static struct hooks bad;
static void done_twice(void *arg)
{
    (void)arg;
    struct pg_hook *hook = bad.handle[bad.kept - 1];
    pg_hook_done(hook, 0);
    pg_hook_done(hook, 0);
}
static void done_with_a_query(void *arg)
{
    (void)arg;
    static struct seen s;
    seen_init(&s, &world_echo, 1);
    pg_lease_query(bad.lease[bad.kept - 1], &s.query);
    pg_hook_done(bad.handle[bad.kept - 1], 0);
}
static void lease_released(void *arg) { (void)arg, pg_lease_release(bad.lease[bad.kept - 1]); }
static void lease_abandoned(void *arg) { (void)arg, pg_lease_abandon(bad.lease[bad.kept - 1]); }
static void lease_used_afterwards(void *arg)
{
    (void)arg;
    static struct seen s;
    seen_init(&s, &world_echo, 1);
    pg_hook_done(bad.handle[bad.kept - 1], 0);
    pg_lease_query(bad.lease[bad.kept - 1], &s.query);
}
static void set_in_another_hook(void *arg)
{
    (void)arg;
    (void)!pg_hook_set(bad.handle[bad.kept - 1], "user", "x");
}

static void misuse_asserts(void **state)
{
    (void)state;
    struct held lease;
    bad = (struct hooks){ .script = { [RP_HOOK_PREPARE_CONN] = HOOK_NEVER } };
    hooks_open(&bad, HOOK_ALL, NULL, "pool_max_conns=1");
    hooks_acquire(&bad, &lease);
    run(&bad, 50);
    assert_int_equal(signal_of(done_twice, NULL), SIGABRT);
    assert_int_equal(signal_of(done_with_a_query, NULL), SIGABRT);
    assert_int_equal(signal_of(lease_released, NULL), SIGABRT);
    assert_int_equal(signal_of(lease_abandoned, NULL), SIGABRT);
    assert_int_equal(signal_of(lease_used_afterwards, NULL), SIGABRT);
    assert_int_equal(signal_of(set_in_another_hook, NULL), SIGABRT);
    pg_hook_done(bad.handle[bad.kept - 1], 0);
    run(&bad, 20);
    assert_int_equal(lease.grants, 1);
    hooks_release(&bad, &lease);
    hooks_close(&bad);
}

static void refuse(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    (void)arg, (void)lease;
    pg_hook_done(hook, PG_E_VALUE);
}

/* A hook that refuses all there is costs the server no more connects than failures do. */
static void prepare_conn_that_refuses_all(void **state)
{
    (void)state;
    static struct hooks h;
    struct held lease;
    h = (struct hooks){ 0 };
    h.config.prepare_conn = refuse;
    hooks_open(&h, 0, NULL, "pool_max_conns=1 pool_acquire_timeout=2s");
    hooks_acquire(&h, &lease);
    run(&h, 3000);
    assert_int_equal(lease.grants, 1);
    assert_int_equal(lease.status, PG_E_UNAVAILABLE);
    assert_in_range(model_stats(h.w.server)->connections_total, 3, 45);
    hooks_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life),
        cmocka_unit_test(they_come_in_between_the_pools_own),
        cmocka_unit_test(before_close_for_every_reason),
        cmocka_unit_test(no_before_close_for_what_is_broken),
        cmocka_unit_test(before_connect_says_who),
        cmocka_unit_test(nothing_set_is_the_connection_string),
        cmocka_unit_test(a_password_of_its_own_has_a_key_of_its_own),
        cmocka_unit_test(what_may_not_be_set),
        cmocka_unit_test(the_waiter_may_go_while_it_is_checked),
        cmocka_unit_test(a_refused_one_is_replaced_in_place),
        cmocka_unit_test(several_are_checked_at_once),
        cmocka_unit_test(try_acquire_cannot_wait_for_it),
        cmocka_unit_test(a_suspended_pool_checks_nothing),
        cmocka_unit_test(an_unused_check_is_reset),
        cmocka_unit_test(a_reserved_one_stays_reserved),
        cmocka_unit_test(the_checked_for_do_not_fill_the_queue),
        cmocka_unit_test(a_close_does_not_wait_for_a_check),
        cmocka_unit_test(a_fiber_in_a_hook),
        cmocka_unit_test(a_late_end_does_nothing),
        cmocka_unit_test(misuse_asserts),
        cmocka_unit_test(prepare_conn_that_refuses_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

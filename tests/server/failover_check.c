/* server/failover_check.c - run by tests/server/failover beside a primary and its standby: a read-only server, a crash
 * of the primary, a promotion, all under load. Every request has one outcome, what was acknowledged is there
 * afterwards, who waited is served by the new primary, and a pool of standbys leaves it. */
#include <errno.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include "support/live.h"

extern char **environ;
#define SECOND UINT64_C(1000000000)
enum { ASKERS = 16, BORROWERS = 3, KEYS = 200000 };

static struct live live;
static struct pg_pool *rw, *ro;
static unsigned events[PG_EVENT_LEAK + 1];
static char last_host[200];

/* ---- the pools ---- */

static void on_event(void *arg, const struct pg_event *e)
{
    if (arg != &rw) return;
    events[e->kind]++;
    snprintf(last_host, sizeof last_host, "%s", e->host);
}

static struct pg_pool *open_pool(const char *options, void *arg)
{
    char text[1024];
    struct pg_error error;
    struct pg_pool *pool;
    const char *directory = live_env("RINGPG_TEST_SOCKET_DIR");
    snprintf(text, sizeof text, "host=%s,%s port=%s user=postgres dbname=postgres pool_acquire_timeout=60s %s",
             directory, directory, live_env("RINGPG_FAILOVER_PORTS"), options);
    struct pg_pool_config config = PG_POOL_CONFIG(text);
    config.on_event = on_event;
    config.arg = arg;
    if (pg_pool_open(&pool, live.reactor, &config, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
    return pool;
}

/* ---- load: each key is inserted once, and its fate is kept ---- */

enum fate { UNUSED, RUNNING, COMMITTED, NOT_SENT, REFUSED, UNCERTAIN };
static uint8_t fate[KEYS];
static int64_t next_key;
static bool stopping;
static unsigned running, since_promotion;
static unsigned outcomes[UNCERTAIN + 1];

static struct pg_statement insert = PG_STATEMENT("INSERT INTO failover (id) VALUES ($1)", PG_TYPE_INT8);
static struct pg_statement begin = PG_STATEMENT("BEGIN"), commit = PG_STATEMENT("COMMIT");

static void settle(int64_t key, int status, enum pg_sent sent)
{
    enum fate f = status == PG_OK       ? COMMITTED
                  : sent == PG_SENT_NO  ? NOT_SENT
                  : sent == PG_SENT_YES ? REFUSED
                                        : UNCERTAIN;
    assert_int_equal(fate[key], RUNNING);
    fate[key] = (uint8_t)f;
    outcomes[f]++;
    since_promotion += f == COMMITTED;
}

static int64_t take_key(void)
{
    assert_true(next_key < KEYS);
    fate[next_key] = RUNNING;
    running++;
    return next_key++;
}

static struct asker { struct pg_query query; struct pg_param key; int64_t at; } askers[ASKERS];
static void ask(struct asker *a);
static void answered(struct pg_query *q)
{
    struct asker *a = q->data;
    settle(a->at, q->status, q->sent);
    running--;
    if (!stopping) ask(a);
}
static void ask(struct asker *a)
{
    a->at = take_key();
    a->key = pg_int8(a->at);
    a->query =
        (struct pg_query){ .statement = &insert, .params = &a->key, .nparams = 1, .on_done = answered, .data = a };
    pg_pool_query(rw, &a->query);
}

/* BEGIN, INSERT and COMMIT pipelined; the key is there if the COMMIT says so. */
static struct borrower {
    struct pg_lease lease;
    struct pg_query q[3];
    struct pg_param key;
    int64_t at;
} borrowers[BORROWERS];
static void borrow(struct borrower *b);
static void committed(struct pg_query *q)
{
    struct borrower *b = q->data;
    settle(b->at, q->status, q->sent);
    running--;
    pg_lease_release(&b->lease);
    if (!stopping) borrow(b);
}
static void granted(struct pg_lease *lease, int status)
{
    struct borrower *b = lease->data;
    assert_int_equal(status, 0);
    for (int i = 0; i < 3; i++) pg_lease_query(lease, &b->q[i]);
}
static void borrow(struct borrower *b)
{
    b->at = take_key();
    b->key = pg_int8(b->at);
    b->lease = (struct pg_lease){ .on_grant = granted, .data = b };
    b->q[0] = (struct pg_query){ .statement = &begin };
    b->q[1] = (struct pg_query){ .statement = &insert, .params = &b->key, .nparams = 1 };
    b->q[2] = (struct pg_query){ .statement = &commit, .on_done = committed, .data = b };
    pg_pool_acquire(rw, &b->lease);
}

/* ---- the loop ---- */

static void run_for(uint64_t ns)
{
    uint64_t end = pg_reactor_now(live.reactor) + ns;
    while (pg_reactor_now(live.reactor) < end) live_step_within(&live, 1000000);
}
static bool none_running(void *arg) { return (void)arg, running == 0; }
static bool many_since(void *arg) { return (void)arg, since_promotion >= 500; }

/* What the script did for us, while the loop goes on. */
static void step(const char *what)
{
    pid_t pid;
    int status = -1;
    char *const words[] = { (char *)(uintptr_t)live_env("RINGPG_FAILOVER_STEP"), (char *)(uintptr_t)what, NULL };
    assert_int_equal(posix_spawn(&pid, words[0], NULL, NULL, words, environ), 0);
    for (uint64_t end = pg_reactor_now(live.reactor) + 30 * SECOND;;) {
        pid_t ended = waitpid(pid, &status, WNOHANG);
        if (ended == pid) break;
        assert_true(ended == 0 && pg_reactor_now(live.reactor) < end);
        live_step_within(&live, 10000000);
    }
    assert_int_equal(status, 0);
}

static int run(struct pg_pool *pool, const char *sql, enum pg_flow (*on_row)(struct pg_query *, struct pg_row *),
               void *data, struct pg_error *error)
{
    struct pg_query q = { .sql = sql, .on_row = on_row, .data = data, .error = error };
    q.deadline_ns = pg_reactor_now(live.reactor) + 20 * SECOND;
    return live_query(&live, pool, NULL, &q);
}
static enum pg_flow take_bool(struct pg_query *q, struct pg_row *row)
{
    *(bool *)q->data = pg_row_bool(row, 0);
    return PG_CONTINUE;
}
static bool in_recovery(struct pg_pool *pool)
{
    struct pg_error error;
    bool yes = false;
    if (run(pool, "SELECT pg_is_in_recovery()", take_bool, &yes, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
    return yes;
}

/* ---- the tests, in this order ---- */

static void roles_are_found(void **state)
{
    (void)state;
    struct pg_error error;
    rw = open_pool("target_session_attrs=read-write pool_max_conns=4", &rw);
    ro = open_pool("target_session_attrs=standby pool_max_conns=2", &ro);
    assert_false(in_recovery(rw));
    assert_true(in_recovery(ro));
    assert_int_equal(run(rw, "CREATE TABLE failover (id int8 PRIMARY KEY)", NULL, NULL, &error), 0);
}

/* The primary itself is made read-only for a while: its connections go, who asks waits, and is served afterwards. */
static void a_primary_that_is_read_only_for_a_while(void **state)
{
    (void)state;
    struct pg_error error;
    struct pg_pool *any = open_pool("pool_max_conns=1", NULL);
    assert_int_equal(run(any, "ALTER SYSTEM SET default_transaction_read_only = on", NULL, NULL, &error), 0);
    assert_int_equal(run(any, "SELECT pg_reload_conf()", NULL, NULL, &error), 0);
    run_for(SECOND / 2);
    (void)!run(rw, "CREATE TABLE never (id int8)", NULL, NULL, &error); /* 25006, or lost: it was the old connection */
    struct pg_query q = { .sql = "CREATE TABLE later (id int8)", .error = &error };
    q.deadline_ns = pg_reactor_now(live.reactor) + SECOND;
    assert_int_equal(live_query(&live, rw, NULL, &q), PG_E_UNAVAILABLE);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "session is read-only"));
    assert_true(events[PG_EVENT_RETIRED] > 0);
    assert_int_equal(run(any, "SET default_transaction_read_only = off", NULL, NULL, &error), PG_E_NEEDS_LEASE);
    assert_int_equal(run(any, "ALTER SYSTEM RESET default_transaction_read_only", NULL, NULL, &error), 0);
    assert_int_equal(run(any, "SELECT pg_reload_conf()", NULL, NULL, &error), 0);
    if (run(rw, "CREATE TABLE later (id int8)", NULL, NULL, &error)) fail_msg("%s", pg_error_field(&error, 'M'));
    pg_pool_close(any, 0, NULL, NULL);
}

static void the_standby_becomes_the_primary(void **state)
{
    (void)state;
    for (int i = 0; i < ASKERS; i++) ask(&askers[i]);
    for (int i = 0; i < BORROWERS; i++) borrow(&borrowers[i]);
    since_promotion = 0;
    assert_true(live_until(&live, many_since, NULL));
    step("stop");
    run_for(SECOND); /* nobody is there that may be written to: all of them wait */
    unsigned waiting = running;
    step("promote");
    since_promotion = 0;
    assert_true(live_until(&live, many_since, NULL));
    stopping = true;
    assert_true(live_until(&live, none_running, NULL));
    print_message("%lld requests: %u committed, %u not sent, %u refused, %u uncertain; %u waited for the promotion; "
                  "%u connections lost, %u retired\n",
                  (long long)next_key, outcomes[COMMITTED], outcomes[NOT_SENT], outcomes[REFUSED], outcomes[UNCERTAIN],
                  waiting, events[PG_EVENT_LOST], events[PG_EVENT_RETIRED]);
    assert_int_equal(waiting, ASKERS + BORROWERS);
    assert_int_equal(outcomes[COMMITTED] + outcomes[NOT_SENT] + outcomes[REFUSED] + outcomes[UNCERTAIN], next_key);
    /* What was in flight when the server crashed. Its backends end one after the other, and who lost something by the
     * first may ask again by the next: at most once for each connection that was lost. */
    unsigned failed = outcomes[UNCERTAIN] + outcomes[NOT_SENT] + outcomes[REFUSED];
    assert_true(failed <= (ASKERS + BORROWERS) * events[PG_EVENT_LOST]);
}

static uint8_t there[KEYS];
static enum pg_flow take_key_row(struct pg_query *q, struct pg_row *row)
{
    (void)q;
    there[pg_row_int8(row, 0)]++;
    return PG_CONTINUE;
}
static void nothing_is_lost_and_nothing_doubled(void **state)
{
    (void)state;
    struct pg_error error;
    assert_int_equal(run(rw, "SELECT id FROM failover", take_key_row, NULL, &error), 0);
    for (int64_t key = 0; key < next_key; key++) {
        if (fate[key] == COMMITTED && there[key] != 1)
            fail_msg("key %lld was acknowledged and is lost", (long long)key);
        if ((fate[key] == NOT_SENT || fate[key] == REFUSED) && there[key])
            fail_msg("key %lld is there, and its caller was told that it is not", (long long)key);
    }
}

static void the_pool_of_standbys_has_left(void **state)
{
    (void)state;
    struct pg_error error;
    bool yes;
    (void)!run(ro, "SELECT pg_is_in_recovery()", take_bool, &yes,
               &error); /* with the answer it learns of the promotion */
    struct pg_query q = { .sql = "SELECT 1", .error = &error };
    q.deadline_ns = pg_reactor_now(live.reactor) + 2 * SECOND;
    assert_int_equal(live_query(&live, ro, NULL, &q), PG_E_UNAVAILABLE);
    assert_non_null(strstr(pg_error_field(&error, 'M'), "server is not in hot standby mode"));
    assert_false(in_recovery(rw));
}

static int open_live(void **state)
{
    (void)state;
    if (!live_open(&live, LIVE_URING)) live_open(&live, LIVE_EPOLL);
    return 0;
}
static int close_live(void **state)
{
    (void)state;
    live_close(&live);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roles_are_found),
        cmocka_unit_test(a_primary_that_is_read_only_for_a_while),
        cmocka_unit_test(the_standby_becomes_the_primary),
        cmocka_unit_test(nothing_is_lost_and_nothing_doubled),
        cmocka_unit_test(the_pool_of_standbys_has_left),
    };
    return cmocka_run_group_tests(tests, open_live, close_live);
}

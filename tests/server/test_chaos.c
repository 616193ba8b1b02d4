/* server/test_chaos.c - everything at once on a real PostgreSQL and a real ring, through byte proxies: two reactors,
 * each with a pool and 200 handlers, one by trust and with the pool's defaults, the other by SCRAM and with what the
 * pool can do to be clean and fair, while connections are delayed, cut, silenced and reset on their way, backends are
 * terminated, the server is restarted and has fewer connections to give than the pools want. Then all faults end.
 *
 * Judged: no outcome is lost, doubled or foreign (every request has a token; what became of every inserted key agrees
 * with what its handler was told; the sum of all accounts), each within its deadline, never more connections than
 * allowed (asked of pg_stat_activity on a way of its own), and in the end full service.
 *
 * RINGPG_CHAOS_SECONDS: how long the storm lasts, 12 by default; RINGPG_CHAOS_CONNS: pool_max_conns of both pools
 * instead of 4 and 7, 2 at least; RINGPG_CHAOS_BUDGET: the bound that they share, 9 by default, 0: none;
 * RINGPG_CHAOS_OPTIONS: what stands in their connection strings beside it; RINGPG_CHAOS_SEED: of all choices (the
 * machine's own timing cannot be repeated). */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "server/chaos/chaos.h"

enum { REACTORS = 2, ROUTES = 3, HISTORY = 512, RESERVED = 3 };
extern char **environ;

static struct chaos_reactor reactors[REACTORS];
static struct proxy *proxies[ROUTES]; /* the second reactor has two ways to the server: hosts of its list */
static struct pg_budget *budget;
static uint32_t bound; /* of the budget; without one, of both pools */
static char conninfos[REACTORS][1024];
static struct live live; /* the director's own, past the proxies */
static struct pg_pool *pool;
static uint64_t seed, random_state;
static uint64_t samples, unanswered, done[16];
static uint32_t most[REACTORS + 1]; /* and together */
static pid_t restarting;

static uint64_t now(void) { return pg_reactor_now(live.reactor); }
static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}
static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* ---- asking the server ---- */

static const char count_sql[] = "SELECT count(*) FILTER (WHERE application_name = 'chaos0'), "
                                "count(*) FILTER (WHERE application_name = 'chaos1') FROM pg_stat_activity";

struct answer {
    int64_t column[2];
    struct chaos_ledger *ledger;
};
static enum pg_flow on_row(struct pg_query *q, struct pg_row *row)
{
    struct answer *a = q->data;
    for (uint32_t i = 0; i < 2 && i < pg_row_columns(row); i++) a->column[i] = pg_row_int8(row, i);
    if (a->ledger) chaos_saw(&a->ledger[a->column[0] >> 32 & (REACTORS - 1)], a->column[0]);
    return PG_CONTINUE;
}
static int ask(const char *sql, struct answer *answer)
{
    struct answer none = { { 0 }, NULL };
    struct pg_query q = {
        .sql = sql, .deadline_ns = now() + 3000 * CHAOS_MS, .on_row = on_row, .data = answer ? answer : &none
    };
    return live_query(&live, pool, NULL, &q);
}
/* Until it is done; the server may be restarting. */
static void must(const char *sql, struct answer *answer)
{
    uint64_t end = now() + 30000 * CHAOS_MS;
    int rc;
    while ((rc = ask(sql, answer)))
        if (now() > end) fail_msg("%s: %s", sql, pg_error_name(rc));
}

static struct pg_pool_stats stats(const struct chaos_reactor *r)
{
    struct pg_pool_stats s = { .size = sizeof s };
    pg_pool_stats(r->pool, &s);
    return s;
}

/* ---- how many connections there are ---- */

/* What the pools admit to have left behind, over the time that a backend can outlive its connection: until its
 * statement's timeout, or until the proxy ends a silent link. */
static struct {
    uint64_t at_ns;
    uint64_t abandoned[REACTORS];
} history[HISTORY];
static unsigned nhistory;
static const uint64_t OUTLIVES_NS = 8000 * CHAOS_MS;

static uint64_t abandoned_before(unsigned i, uint64_t at_ns)
{
    uint64_t abandoned = 0;
    unsigned first = nhistory > HISTORY ? nhistory - HISTORY : 0;
    for (unsigned n = first; n < nhistory && history[n % HISTORY].at_ns <= at_ns; n++)
        abandoned = history[n % HISTORY].abandoned[i];
    return abandoned;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static struct proxy_counts routes_of(unsigned i)
{
    struct proxy_counts sum = proxy_counts(proxies[i]), second;
    if (i == 0) return sum;
    second = proxy_counts(proxies[ROUTES - 1]);
    sum.orphaned += second.orphaned;
    sum.orphans += second.orphans;
    sum.closing += second.closing;
    sum.silent += second.silent;
    return sum;
}

/* A process of the server belongs to a connection of the pool, or to one that the proxy ended without the server's
 * knowledge, or to one that the pool has given up. */
static uint32_t strays(unsigned i, const struct proxy_counts *before, uint64_t abandoned)
{
    struct proxy_counts after = routes_of(i);
    uint32_t given_up = (uint32_t)(abandoned - abandoned_before(i, now() - OUTLIVES_NS));
    uint32_t unseen = before->closing + before->silent + after.closing + after.silent;
    return before->orphans + (uint32_t)(after.orphaned - before->orphaned) + least(unseen, given_up);
}

static void check(unsigned i, uint32_t there, uint32_t allowed, uint32_t strays_too)
{
    if (there > most[i]) most[i] = there;
    if (there <= allowed + strays_too) return;
    char whose[16];
    if (i < REACTORS) snprintf(whose, sizeof whose, "pool %u", i);
    else snprintf(whose, sizeof whose, "both pools");
    chaos_complain("%u connections of %s, where %u are allowed and %u have lost their client or were given up", there,
                   whose, allowed, strays_too);
}

static void sample(void)
{
    struct proxy_counts before[REACTORS];
    struct answer answer = { { 0 }, NULL };
    uint32_t there = 0, stray = 0;
    for (unsigned i = 0; i < REACTORS; i++) before[i] = routes_of(i);
    if (ask(count_sql, &answer)) {
        unanswered++;
        return;
    }
    samples++;
    history[nhistory % HISTORY].at_ns = now();
    for (unsigned i = 0; i < REACTORS; i++) {
        struct pg_pool_stats s = stats(&reactors[i]);
        history[nhistory % HISTORY].abandoned[i] = s.abandoned_count;
        uint32_t of_pool = strays(i, &before[i], s.abandoned_count);
        check(i, (uint32_t)answer.column[i], reactors[i].conns, of_pool);
        there += (uint32_t)answer.column[i];
        stray += of_pool;
        if (s.total_conns > reactors[i].conns) chaos_complain("pool %u counts %u connections", i, s.total_conns);
    }
    check(REACTORS, there, bound, stray);
    nhistory++;
}

/* ---- trouble ---- */

enum trouble { WEATHER, TERMINATE, CANCEL, LIMIT, UNLIMIT, CRASH, STOP, LOWER, RAISE, TROUBLES };
static const char *const trouble_names[] = { "weather", "terminate",         "cancel",
                                             "limit",   "unlimit",           "restart, immediate",
                                             "restart", "fewer connections", "connections again" };
static const enum trouble script[] = {
    WEATHER, TERMINATE, CANCEL,  TERMINATE, WEATHER, CRASH,     TERMINATE, CANCEL, LIMIT,     TERMINATE, WEATHER,
    CANCEL,  UNLIMIT,   WEATHER, LOWER,     CANCEL,  TERMINATE, WEATHER,   RAISE,  TERMINATE, WEATHER,   STOP,
};

static void weather(void)
{
    for (unsigned i = 0; i < ROUTES; i++) {
        struct proxy_rates rates = { 0 };
        unsigned kind = (unsigned)draw(4); /* calm, slow, bad, worse */
        if (kind)
            rates = (struct proxy_rates){ .delay = (uint32_t)draw(300),
                                          .delay_ms = 1 + (uint32_t)draw(60),
                                          .split = (uint32_t)draw(400) };
        if (kind > 1) {
            rates.reset = (uint32_t)draw(kind * 3);
            rates.hole = (uint32_t)draw(kind * 3);
            rates.half_close = (uint32_t)draw(kind * 3);
            rates.refuse = (uint32_t)draw(kind * 60);
            rates.mute = (uint32_t)draw(kind * 30);
            rates.hole_ms = 3000;
        }
        if (i > 0 && draw(3) == 0) rates = (struct proxy_rates){ .refuse = 1000, .reset = 300 };
        proxy_rates(proxies[i], &rates);
    }
    uint32_t fewer = bound - (uint32_t)draw(bound / 2);
    if (budget && pg_budget_resize(budget, fewer)) chaos_complain("the budget cannot be made %u", fewer);
}

static void restart(const char *mode)
{
    char *arguments[] = { (char *)(uintptr_t)live_env("RINGPG_PG_RESTART"), (char *)(uintptr_t)mode, NULL };
    int rc = posix_spawn(&restarting, arguments[0], NULL, NULL, arguments, environ);
    if (rc) fail_msg("%s: %s", arguments[0], strerror(rc));
}
static bool is_restarting(void)
{
    int status;
    if (!restarting || waitpid(restarting, &status, WNOHANG) == 0) return restarting != 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) fail_msg("the server did not restart: %d", status);
    restarting = 0;
    return false;
}

static void make(enum trouble trouble)
{
    char sql[256];
    done[trouble]++;
    switch (trouble) {
    case WEATHER:
        weather();
        break;
    case TERMINATE:
    case CANCEL:
        snprintf(sql, sizeof sql,
                 "SELECT count(%s(pid)) FROM (SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'chaos_' "
                 "ORDER BY random() LIMIT %u) p",
                 trouble == CANCEL ? "pg_cancel_backend" : "pg_terminate_backend", 1 + (unsigned)draw(5));
        (void)ask(sql, NULL);
        break;
    case LIMIT:
        must("ALTER ROLE tcp_user CONNECTION LIMIT 1", NULL);
        break;
    case UNLIMIT:
        must("ALTER ROLE tcp_user CONNECTION LIMIT -1", NULL);
        break;
    case LOWER:
        snprintf(sql, sizeof sql, "ALTER SYSTEM SET max_connections = %u",
                 RESERVED + (reactors[0].conns + reactors[1].conns) / 2);
        must(sql, NULL);
        restart("fast");
        break;
    case RAISE:
        must("ALTER SYSTEM RESET max_connections", NULL);
        restart("immediate");
        break;
    case CRASH:
        restart("immediate");
        break;
    default:
        restart("fast");
        break;
    }
}

static void storm(uint64_t seconds)
{
    uint64_t end = now() + seconds * 1000 * CHAOS_MS, next = now();
    for (unsigned step = 0; now() < end;) {
        sample();
        if (!is_restarting() && next <= now()) {
            make(script[step++ % (sizeof script / sizeof *script)]);
            next = now() + (150 + draw(500)) * CHAOS_MS;
        }
        uint64_t until = now() + 60 * CHAOS_MS;
        while (now() < until) live_step_within(&live, 20000000);
    }
}

/* ---- and afterwards ---- */

static void print_state(void)
{
    for (unsigned i = 0; i < REACTORS; i++) {
        struct pg_pool_stats s = stats(&reactors[i]);
        print_message(
            "pool %u: max %u total %u idle %u leased %u shared %u connecting %u, parked %u (most %u), made %llu "
            "lost %llu failed %llu abandoned %llu, timeouts %llu; handlers at work %u, ended %llu\n",
            i, s.max_conns, s.total_conns, s.idle_conns, s.acquired_conns, s.shared_conns, s.constructing_conns,
            s.pending, s.max_pending, (unsigned long long)s.new_conns_count, (unsigned long long)s.lost_conns_count,
            (unsigned long long)s.connect_failed_count, (unsigned long long)s.abandoned_count,
            (unsigned long long)s.timeout_count, reactors[i].busy, (unsigned long long)reactors[i].ended);
    }
    for (unsigned i = 0; i < ROUTES; i++) {
        struct proxy_counts c = proxy_counts(proxies[i]);
        print_message("proxy %u: %llu links, %llu refused, %llu cancel requests, %llu MB; delays %llu splits %llu "
                      "resets %llu holes %llu half-closes %llu; orphaned %llu, now %u, closing %u, silent %u\n",
                      i, (unsigned long long)c.links, (unsigned long long)c.refused, (unsigned long long)c.cancels,
                      (unsigned long long)(c.bytes >> 20), (unsigned long long)c.delays, (unsigned long long)c.splits,
                      (unsigned long long)c.resets, (unsigned long long)c.holes, (unsigned long long)c.half_closes,
                      (unsigned long long)c.orphaned, c.orphans, c.closing, c.silent);
    }
}

/* A run that is stuck says where, and is over: its threads cannot be unwound. */
static void await(const char *what, bool (*reached)(void), unsigned seconds)
{
    uint64_t end = now() + seconds * 1000 * CHAOS_MS;
    while (!reached()) {
        live_step_within(&live, 10000000);
        if (now() < end) continue;
        print_state();
        print_error("stuck: %s not within %u s (seed %llu)\n", what, seconds, (unsigned long long)seed);
        fflush(NULL);
        _exit(1);
    }
}

static bool restarted(void) { return !is_restarting(); }
static bool are_calm(void) { return reactors[0].drained[CHAOS_CALM] && reactors[1].drained[CHAOS_CALM]; }
static bool have_had_their_last(void)
{
    return reactors[0].drained[CHAOS_LAST_PHASE] && reactors[1].drained[CHAOS_LAST_PHASE];
}
/* At their full size, if there is no budget that keeps them from it, and with nothing to do. */
static bool are_full(void)
{
    struct pg_budget_stats b = { .size = sizeof b };
    bool full = true;
    uint32_t total = 0;
    for (unsigned i = 0; i < REACTORS; i++) {
        struct pg_pool_stats s = stats(&reactors[i]);
        full &= (budget || s.total_conns == reactors[i].conns) && s.idle_conns == s.total_conns && s.pending == 0;
        total += s.total_conns;
    }
    if (budget) pg_budget_stats(budget, &b);
    return full && (!budget || (b.used == total && b.waiting == 0));
}
static bool are_there(void)
{
    struct answer a = { { 0 }, NULL };
    must(count_sql, &a);
    return a.column[0] == stats(&reactors[0]).total_conns && a.column[1] == stats(&reactors[1]).total_conns;
}

static void calm_down(void)
{
    await("a restart", restarted, 70);
    for (unsigned i = 0; i < ROUTES; i++) proxy_calm(proxies[i]);
    if (budget) assert_int_equal(pg_budget_resize(budget, bound), 0);
    must("ALTER ROLE tcp_user CONNECTION LIMIT -1", NULL);
    must("ALTER SYSTEM RESET max_connections", NULL);
    restart("fast"); /* whatever the storm has left: full size again */
    await("the last restart", restarted, 70);
    chaos_phase = CHAOS_CALM;
    await("the outcomes of all that ran in the storm", are_calm, 30);
    await("full pools", are_full, 30);
    chaos_phase = CHAOS_LAST_PHASE;
    await("the last phase", have_had_their_last, 60);
    await("full pools after the last phase", are_full, 30);
    await("their connections at the server", are_there, 30);
}

static void print_outcomes(void)
{
    for (unsigned i = 0; i < REACTORS; i++) {
        const struct chaos_reactor *r = &reactors[i];
        print_message("reactor %u: %llu outcomes, %llu hang-ups, %llu cancels, %llu resizes and the like:", i,
                      (unsigned long long)r->requests, (unsigned long long)r->hang_ups,
                      (unsigned long long)r->cancels, (unsigned long long)r->operations);
        for (unsigned n = 0; n < CHAOS_STATUSES && r->outcomes[n].count; n++)
            print_message(" %s %llu", pg_error_name(r->outcomes[n].status), (unsigned long long)r->outcomes[n].count);
        print_message("\n");
    }
    print_message("server: %llu samples (%llu unanswered), most connections %u of %u, %u of %u, together %u of %u;",
                  (unsigned long long)samples, (unsigned long long)unanswered, most[0], reactors[0].conns, most[1],
                  reactors[1].conns, most[REACTORS], bound);
    for (unsigned i = 0; i < TROUBLES; i++) print_message(" %s %llu;", trouble_names[i], (unsigned long long)done[i]);
    print_message("\n");
}

static void judge(void)
{
    uint64_t fates[CHAOS_FATES] = { 0 };
    struct chaos_ledger ledgers[REACTORS] = { reactors[0].ledger, reactors[1].ledger };
    struct answer keys = { { 0 }, ledgers }, sum = { { 0 }, NULL };
    struct pg_query q = { .sql = "SELECT key FROM chaos_key", .on_row = on_row, .data = &keys };
    assert_int_equal(live_query(&live, pool, NULL, &q), 0);
    for (unsigned i = 0; i < REACTORS; i++) {
        chaos_judge(&ledgers[i], fates);
        free(ledgers[i].seen);
        free(ledgers[i].fate);
        free(ledgers[i].with_next);
    }
    must("SELECT sum(balance)::int8 FROM chaos_account", &sum);
    if (sum.column[0] != CHAOS_ACCOUNTS * 1000)
        chaos_complain("the sum of all accounts is %lld", (long long)sum.column[0]);
    print_message("keys: %llu there, %llu certainly not, %llu perhaps\n", (unsigned long long)fates[CHAOS_THERE],
                  (unsigned long long)fates[CHAOS_NOT], (unsigned long long)fates[CHAOS_MAYBE]);
    assert_true(fates[CHAOS_THERE] > 0);
}

static const char *const schema[] = {
    "DROP TABLE IF EXISTS chaos_key, chaos_account",
    "CREATE TABLE chaos_key (key int8 NOT NULL)",
    "CREATE TABLE chaos_account (id int8 PRIMARY KEY, balance int8 NOT NULL)",
    "INSERT INTO chaos_account SELECT g, 1000 FROM generate_series(1, 40) g",
    "GRANT ALL ON chaos_key, chaos_account TO tcp_user, scram_user",
    "ALTER ROLE tcp_user SET statement_timeout = '3s'",
    "ALTER ROLE scram_user SET statement_timeout = '3s'",
};
static const char *const cleanup[] = {
    "DROP TABLE chaos_key, chaos_account",
    "ALTER ROLE tcp_user RESET statement_timeout",
    "ALTER ROLE scram_user RESET statement_timeout",
};

/* The first pool comes by trust and with the defaults; the second by SCRAM, on two ways, and uses what there is. */
static void write_conninfo(unsigned i)
{
    static const char often[] = "dbname=postgres connect_timeout=2 pool_close_linger=1s pool_acquire_timeout=2s "
                                "pool_max_conn_lifetime=3s pool_max_conn_lifetime_jitter=3s pool_max_pipeline=16 "
                                "pool_max_waiters=160";
    static const char fully[] = "target_session_attrs=read-write pool_connect_sql='SET work_mem = 1024' "
                                "pool_reset_sql='DISCARD ALL' pool_slow_statement=20ms pool_reserved_conns=1";
    const char *options = getenv("RINGPG_CHAOS_OPTIONS");
    if (!options) options = "";
    if (i == 0)
        snprintf(conninfos[i], sizeof conninfos[i],
                 "host=127.0.0.1 port=%u application_name=chaos0 user=tcp_user %s %s", proxy_port(proxies[0]), often,
                 options);
    else
        snprintf(conninfos[i], sizeof conninfos[i],
                 "host=127.0.0.1,127.0.0.1 port=%u,%u application_name=chaos1 user=scram_user password=%s %s %s %s",
                 proxy_port(proxies[1]), proxy_port(proxies[2]), live_env("RINGPG_TEST_PASSWORD"), often, fully,
                 options);
    reactors[i].conninfo = conninfos[i];
    reactors[i].cleans = i == 1;
}

static void open_all(void)
{
    char path[256];
    uint64_t conns = setting("RINGPG_CHAOS_CONNS", 0);
    snprintf(path, sizeof path, "%s/.s.PGSQL.%s", live_env("RINGPG_TEST_SOCKET_DIR"), live_env("RINGPG_TEST_PORT"));
    if (!live_open(&live, LIVE_URING)) live_open(&live, LIVE_EPOLL);
    pool = live_pool(&live, NULL, "pool_max_conns=1 pool_acquire_timeout=3s application_name=director");
    for (size_t i = 0; i < sizeof schema / sizeof *schema; i++) must(schema[i], NULL);
    bound = (uint32_t)setting("RINGPG_CHAOS_BUDGET", 9);
    if (bound) assert_int_equal(pg_budget_open(&budget, bound), 0);
    for (unsigned i = 0; i < ROUTES; i++) proxies[i] = proxy_open(path, seed + i);
    for (unsigned i = 0; i < REACTORS; i++) {
        struct chaos_reactor *r = &reactors[i];
        write_conninfo(i);
        r->index = r->ledger.reactor = i;
        r->budget = budget;
        r->conns = conns ? (unsigned)conns : i ? 7 : 4;
        r->random = seed * 4 + i * 2 + 1;
    }
    if (!bound) bound = reactors[0].conns + reactors[1].conns;
    for (unsigned i = 0; i < REACTORS; i++) chaos_start(&reactors[i]);
}

static void chaos(void **state)
{
    (void)state;
    uint64_t seconds = setting("RINGPG_CHAOS_SECONDS", 12);
    seed = setting("RINGPG_CHAOS_SEED", (uint64_t)getpid());
    random_state = seed * 2 + 1;
    open_all();
    print_message("storm of %llu s, seed %llu, connections %u + %u%s %u\n", (unsigned long long)seconds,
                  (unsigned long long)seed, reactors[0].conns, reactors[1].conns, budget ? ", budget" : " =", bound);
    storm(seconds);
    calm_down();
    print_state();
    chaos_phase = CHAOS_OVER;
    for (unsigned i = 0; i < REACTORS; i++) chaos_join(&reactors[i]);
    for (unsigned i = 0; i < ROUTES; i++) proxy_close(proxies[i]);
    pg_budget_close(budget);
    print_outcomes();
    judge();
    for (size_t i = 0; i < sizeof cleanup / sizeof *cleanup; i++) must(cleanup[i], NULL);
    live_close(&live);
    assert_true(reactors[0].succeeded > 100 && reactors[1].succeeded > 100);
    if (chaos_complaints) fail_msg("%u complaints (seed %llu)", chaos_complaints, (unsigned long long)seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(chaos) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

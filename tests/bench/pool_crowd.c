/* Twice as much work as can be done, like pool_overload.c, but on a real PostgreSQL (DATABASE_URL) and in real time:
 * first in, first out beside CoDel, in turns. Each caller borrows one of four connections for a transaction that waits
 * in the server for 10 ms, so that connections are what is short. What four connections can do is measured first, by as
 * many callers as there are connections; then callers come at fixed distances, whoever was served before them or not.
 * */
#include <stdlib.h>
#include <string.h>
#include "pool.h"
#include "ringpg/loop.h"

enum { CONNECTIONS = 4, CROWD_MAX = 20000, ROUNDS_MAX = 3 };
#define MS UINT64_C(1000000)
static const uint64_t PATIENCE_NS = 50 * MS;
static struct pg_statement hold = PG_STATEMENT("SELECT pg_sleep(0.01)");

struct crowd;
struct caller {
    struct crowd *crowd;
    struct pg_lease lease;
    struct pg_query query;
    uint64_t came_ns;
};
struct crowd {
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    struct caller *callers;
    double per_second; /* 0: as fast as four callers are served, to know what can be done */
    uint64_t end_ns;
    unsigned came, out, good, late, refused;
    struct pg_fiber last;
};

static void left(struct crowd *crowd)
{
    if (--crowd->out == 0) pg_fiber_unpark(crowd->last);
}

static void done(struct pg_query *query)
{
    struct caller *caller = query->data;
    struct crowd *crowd = caller->crowd;
    uint64_t now_ns = pg_reactor_now(crowd->reactor);
    if (query->status) bench_die("crowd: %s", pg_error_text(query->status));
    pg_lease_release(&caller->lease);
    if (now_ns - caller->came_ns <= PATIENCE_NS) crowd->good++;
    else crowd->late++;
    if (crowd->per_second > 0 || now_ns >= crowd->end_ns) {
        left(crowd);
        return;
    }
    caller->came_ns = now_ns;
    pg_pool_acquire(crowd->pool, &caller->lease);
}

static void granted(struct pg_lease *lease, int status)
{
    struct caller *caller = lease->data;
    if (status == PG_OK) {
        pg_lease_query(lease, &caller->query);
        return;
    }
    if (status != PG_E_REFUSED) bench_die("crowd: %s", pg_error_text(status));
    caller->crowd->refused++;
    left(caller->crowd);
}

static void come(struct crowd *crowd)
{
    if (crowd->came == CROWD_MAX) bench_die("crowd: more callers than %d", CROWD_MAX);
    struct caller *caller = &crowd->callers[crowd->came++];
    *caller = (struct caller){.crowd = crowd, .came_ns = pg_reactor_now(crowd->reactor)};
    caller->lease = (struct pg_lease){.on_grant = granted, .deadline_ns = PG_NEVER, .data = caller};
    caller->query = (struct pg_query){.statement = &hold, .on_done = done, .data = caller};
    crowd->out++;
    pg_pool_acquire(crowd->pool, &caller->lease);
}

static void all(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t began_ns = pg_reactor_now(crowd->reactor);
    crowd->end_ns += began_ns;
    crowd->last = pg_fiber_self();
    crowd->out = 1; /* this one */
    for (unsigned i = 0; i < CONNECTIONS && crowd->per_second == 0; i++) come(crowd);
    for (uint64_t now; (now = pg_reactor_now(crowd->reactor)) < crowd->end_ns;) {
        while (crowd->came < (double)(now - began_ns) / 1e9 * crowd->per_second) come(crowd);
        if (pg_await_sleep(now + MS)) bench_die("crowd: cancelled");
    }
    if (--crowd->out > 0 && pg_fiber_park(PG_NEVER)) bench_die("crowd: cancelled");
}

/* In time, per second. */
static double run(const char *url, const char *rule, double per_second, unsigned seconds)
{
    struct pg_loop *loop;
    struct pg_error error;
    char options[1200];
    struct crowd crowd = {.per_second = per_second, .end_ns = seconds * 1000 * MS};
    crowd.callers = calloc(CROWD_MAX, sizeof *crowd.callers);
    if (!crowd.callers) bench_die("no memory");
    snprintf(options, sizeof options, "%s%cpool_max_conns=%d&pool_min_conns=%d&pool_max_waiters=%d%s", url,
             strchr(url, '?') ? '&' : '?', CONNECTIONS, CONNECTIONS, CROWD_MAX, rule);
    struct pg_pool_config config = PG_POOL_CONFIG(options);
    if (pg_loop_open(&loop, &error)) bench_die("%s", pg_error_field(&error, 'M'));
    crowd.reactor = pg_loop_reactor(loop);
    if (pg_pool_open(&crowd.pool, crowd.reactor, &config, &error)) bench_die("%s", pg_error_field(&error, 'M'));
    if (pg_loop_run(loop, all, &crowd)) bench_die("the loop failed");
    pg_loop_close(loop);
    free(crowd.callers);
    return crowd.good / (double)seconds;
}

void pool_crowd_run(const struct pool_options *options, struct pool_figures *figures)
{
    const char *url = getenv("DATABASE_URL");
    bool quick = options->quick || options->smoke;
    unsigned rounds = quick ? 1 : ROUNDS_MAX, seconds = quick ? 1 : 5;
    double fifo[ROUNDS_MAX], codel[ROUNDS_MAX], capacity[ROUNDS_MAX];
    if (!url || !strstr(url, "://")) {
        pool_note(figures, "left out: DATABASE_URL names no server");
        return;
    }
    for (unsigned i = 0; i < rounds; i++) {
        capacity[i] = run(url, "", 0, 1);
        fifo[i] = run(url, "", 2 * capacity[i], seconds) / capacity[i];
        codel[i] = run(url, "&pool_codel_target=10ms", 2 * capacity[i], seconds) / capacity[i];
    }
    double first = pool_median(fifo, rounds), with = pool_median(codel, rounds);
    pool_figure(figures, "what four connections can do", "", "1/s", pool_median(capacity, rounds));
    pool_figure(figures, "first in, first out: in time", "load 2", "of capacity", first);
    pool_figure(figures, "CoDel, target 10 ms: in time", "load 2", "of capacity", with);
    pool_ratio(figures, "CoDel against first in, first out", with, first);
    pool_note(figures, "Outcomes within 50 ms of the caller's coming, real server and real time; in turns.");
}

/* A ring, a reactor and a pool for ringpg's contenders: see the header. */
#include "ringpg_loop.h"
#include <string.h>

enum { RING_ENTRIES = 512 };

bool ringpg_loop_turn(struct ringpg_loop *loop)
{
    return ringpg_loop_turn_for(loop, 1000000000);
}

bool ringpg_loop_turn_for(struct ringpg_loop *loop, int64_t most_ns)
{
    int64_t wait_ns = pg_reactor_turn(loop->reactor);
    if (wait_ns == PG_WAIT_CLOSED) return false;
    if (wait_ns < 0 || wait_ns > most_ns) wait_ns = most_ns;
    int rc = pg_uring_wait(loop->uring, wait_ns);
    if (rc) bench_die("ringpg: wait: %s", strerror(-rc));

    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&loop->ring, head, cqe)
    {
        if (!pg_uring_complete(loop->uring, cqe)) bench_die("ringpg: a completion that is nobody's");
        seen++;
    }
    io_uring_cq_advance(&loop->ring, seen);
    return true;
}

/* In one turn each connection may want both, a send and a receive. */
static void open_ring(struct io_uring *ring, unsigned connections)
{
    unsigned entries = 2 * connections > RING_ENTRIES ? 2 * connections : RING_ENTRIES;
    struct io_uring_params params = {
        .flags =
            IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = entries * 4,
    };
    int rc = io_uring_queue_init_params(entries, ring, &params);
    if (rc < 0) bench_die("ringpg: io_uring_setup: %s", strerror(-rc));
}

void ringpg_loop_open(struct ringpg_loop *loop, const struct bench_target *target, unsigned connections)
{
    ringpg_loop_open_with(loop, target, connections, &(struct ringpg_loop_more){.options = NULL});
}

void ringpg_loop_open_with(struct ringpg_loop *loop, const struct bench_target *target, unsigned connections,
                           const struct ringpg_loop_more *more)
{
    struct pg_error error;
    open_ring(&loop->ring, connections);
    char conninfo[1024];
    snprintf(conninfo, sizeof conninfo, "host='%s' port=%u user='%s' dbname='%s' sslmode=%s %s", target->host,
             target->port, target->user, target->database, target->tls ? "require" : "disable",
             more->options ? more->options : "");
    struct pg_uring_config uring = {.size = sizeof uring, .ring = &loop->ring, .spin_ns = more->spin_ns};
    if (pg_uring_open(&loop->uring, &uring, &error)) bench_die("ringpg: %s", pg_error_field(&error, 'M'));
    struct pg_reactor_config reactor = PG_REACTOR_CONFIG(pg_uring_host(loop->uring));
    reactor.statements = more->statements;
    if (pg_reactor_open(&loop->reactor, &reactor, &error)) bench_die("ringpg: %s", pg_error_field(&error, 'M'));
    struct pg_pool_config pool = PG_POOL_CONFIG(conninfo);
    pool.max_conns = pool.min_conns = connections;
    if (pg_pool_open(&loop->pool, loop->reactor, &pool, &error)) bench_die("ringpg: %s", pg_error_field(&error, 'M'));
}

void ringpg_loop_await(struct ringpg_loop *loop, unsigned connections, struct bench_meter *meter)
{
    while (ringpg_loop_stats(loop).idle_conns < connections) {
        ringpg_loop_turn(loop);
        bench_tick(meter);
    }
}

static void granted(struct pg_lease *lease, int status)
{
    if (status) bench_die("ringpg: acquire: %s", pg_error_text(status));
    *(bool *)lease->data = true;
}

void ringpg_loop_lend(struct ringpg_loop *loop, struct pg_lease *lease)
{
    bool lent = false;
    *lease = (struct pg_lease){.on_grant = granted, .tag = PG_HERE, .data = &lent};
    pg_pool_acquire(loop->pool, lease);
    while (!lent) ringpg_loop_turn_for(loop, 1000000); /* a turn lends before it waits, and then nothing would come */
    lease->data = NULL;
}

static void sql_done(struct pg_query *query)
{
    if (query->status) bench_die("ringpg: %s", pg_error_field(query->error, 'M'));
    *(bool *)query->data = true;
}

void ringpg_loop_sql(struct ringpg_loop *loop, struct pg_lease *lease, const char *sql)
{
    bool done = false;
    struct pg_error error;
    struct pg_query query = {.sql = sql, .flags = PG_QUERY_SIMPLE, .on_done = sql_done, .error = &error, .data = &done};
    pg_lease_query(lease, &query);
    while (!done) ringpg_loop_turn(loop);
}

struct pg_pool_stats ringpg_loop_stats(const struct ringpg_loop *loop)
{
    struct pg_pool_stats now = {.size = sizeof now};
    pg_pool_stats(loop->pool, &now);
    return now;
}

void ringpg_loop_close(struct ringpg_loop *loop, struct bench_meter *meter)
{
    pg_reactor_close(loop->reactor, 0);
    while (ringpg_loop_turn(loop)) bench_tick(meter); /* bounded: the meter ends the process when it stalls */
    pg_reactor_free(loop->reactor);
    pg_uring_close(loop->uring);
    io_uring_queue_exit(&loop->ring);
}

/* support/live.c - see the header. */
#include "support/live.h"
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool live_open(struct live *l, enum live_host kind)
{
    struct pg_error error = { 0 };
    memset(l, 0, sizeof *l);
    l->kind = kind;
    if (kind == LIVE_URING) {
        struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                                   IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                          .cq_entries = 4096 };
        int rc = io_uring_queue_init_params(1024, &l->ring, &params);
        if (rc < 0) {
            print_message("io_uring cannot be had here: %s\n", strerror(-rc));
            return false;
        }
        struct pg_uring_config config = { .size = sizeof config, .ring = &l->ring };
        assert_int_equal(pg_uring_open(&l->uring, &config, &error), 0);
    } else {
        assert_int_equal(pg_epoll_open(&l->epoll, &error), 0);
    }
    struct pg_reactor_config config =
        PG_REACTOR_CONFIG(kind == LIVE_URING ? pg_uring_host(l->uring) : pg_epoll_host(l->epoll));
    assert_int_equal(pg_reactor_open(&l->reactor, &config, &error), 0);
    return true;
}

static void wait_uring(struct live *l, int64_t wait)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    assert_int_equal(pg_uring_wait(l->uring, wait), 0);
    io_uring_for_each_cqe(&l->ring, head, cqe)
    {
        n++;
        assert_true(pg_uring_complete(l->uring, cqe));
    }
    io_uring_cq_advance(&l->ring, n);
}

static bool step_within(struct live *l, int64_t most_ns)
{
    int64_t wait = pg_reactor_turn(l->reactor);
    if (wait == PG_WAIT_CLOSED) return false;
    if (wait < 0 || wait > most_ns) wait = most_ns;
    if (l->kind == LIVE_URING) wait_uring(l, wait);
    else assert_int_equal(pg_epoll_dispatch(l->epoll, wait), 0);
    return true;
}
static bool step(struct live *l) { return step_within(l, 100000000); } /* so that a hang is noticed */
void live_step(struct live *l) { assert_true(step(l)); }
void live_step_within(struct live *l, int64_t most_ns) { assert_true(step_within(l, most_ns)); }

bool live_until(struct live *l, bool (*done)(void *), void *arg)
{
    uint64_t end = pg_reactor_now(l->reactor) + 30ull * 1000000000;
    while (!done(arg)) {
        if (pg_reactor_now(l->reactor) > end) return false;
        live_step(l);
    }
    return true;
}

void live_close(struct live *l)
{
    uint64_t end = pg_reactor_now(l->reactor) + 30ull * 1000000000;
    pg_reactor_close(l->reactor, 0);
    while (step(l)) assert_true(pg_reactor_now(l->reactor) < end);
    pg_reactor_free(l->reactor);
    pg_uring_close(l->uring);
    pg_epoll_close(l->epoll);
    if (l->kind == LIVE_URING) io_uring_queue_exit(&l->ring);
}

const char *live_env(const char *name)
{
    const char *value = getenv(name);
    if (!value) fail_msg("%s is not set: run this through tests/run", name);
    return value;
}

struct pg_pool *live_pool_with(struct live *l, struct pg_pool_config *config, const char *url, const char *options)
{
    char text[1024];
    struct pg_error error = { 0 };
    struct pg_pool *pool = NULL;
    if (!url) url = live_env("DATABASE_URL");
    if (strstr(url, "://")) {
        int n = snprintf(text, sizeof text, "%s%c%s", url, strchr(url, '?') ? '&' : '?', options);
        for (char *at = text + n - strlen(options); *at; at++)
            if (*at == ' ') *at = '&';
    } else {
        snprintf(text, sizeof text, "%s %s", url, options);
    }
    config->conninfo = text;
    if (pg_pool_open(&pool, l->reactor, config, &error)) fail_msg("pg_pool_open: %s", pg_error_field(&error, 'M'));
    config->conninfo = NULL;
    return pool;
}

struct pg_pool *live_pool(struct live *l, const char *url, const char *options)
{
    struct pg_pool_config config = PG_POOL_CONFIG(NULL);
    return live_pool_with(l, &config, url, options);
}

struct outcome { bool there; int status; };
static bool is_there(void *arg) { return ((struct outcome *)arg)->there; }
static struct outcome outcome; /* one at a time: these helpers wait */

static void done(struct pg_query *q)
{
    outcome = (struct outcome){ true, q->status };
}
int live_query(struct live *l, struct pg_pool *pool, struct pg_lease *lease, struct pg_query *q)
{
    struct pg_query *last = q;
    while (last->next) last = last->next;
    outcome.there = false;
    last->on_done = done;
    if (pool) pg_pool_query(pool, q);
    else pg_lease_query(lease, q);
    assert_false(outcome.there);
    assert_true(live_until(l, is_there, &outcome));
    return outcome.status;
}
static void granted(struct pg_lease *lease, int status)
{
    (void)lease;
    outcome = (struct outcome){ true, status };
}
int live_acquire(struct live *l, struct pg_pool *pool, struct pg_lease *lease)
{
    outcome.there = false;
    lease->on_grant = granted;
    pg_pool_acquire(pool, lease);
    assert_false(outcome.there);
    assert_true(live_until(l, is_there, &outcome));
    return outcome.status;
}

/* (g) Read-write and read-only pools on each of four reactors, one budget per SERVER; (h) SIGTERM drains.
 *
 * In its test one server plays both parts. */
#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ringpg.h"
#include "ringpg/uring.h"

enum { REACTORS = 4, CLIENTS = 12, ENOUGH = 4000 };
#define SECOND 1000000000ull

struct worker {
    pthread_t thread;
    struct pg_reactor *reactor;                      /* published by the barrier */
    struct pg_pool *rw, *ro;
    struct pg_task stop;
    struct pg_fiber last;
    pthread_barrier_t *ready;
    int in_flight, failed;                           /* requests of this reactor's clients */
    bool stopping;
};
static struct pg_budget *primary, *standby;
static atomic_int answered;
static char rw_name[] = "rw", ro_name[] = "ro";

static void event(void *arg, const struct pg_event *e)
{
    if (e->kind == PG_EVENT_CONNECT_FAILED)
        fprintf(stderr, "%s: %s: %s\n", (const char *)arg, e->host, pg_error_field(e->error, 'M'));
}

/* ---- what a request does: something to be written, and something to be read ---- */

static struct pg_statement writes = PG_STATEMENT("SELECT txid_current()"), reads = PG_STATEMENT("SELECT 42");

static int ask(struct pg_lease *lease, struct pg_pool *pool, struct pg_statement *statement)
{
    struct pg_query query = { .statement = statement };
    if (lease) pg_lease_query(lease, &query);
    else pg_pool_query(pool, &query);
    return pg_await(&query);
}
static int handle(struct worker *w)
{
    struct pg_lease lease = { .tag = PG_HERE };
    int rc = pg_await_acquire(w->rw, &lease);
    if (rc == 0) rc = ask(&lease, NULL, &writes);
    pg_lease_abandon(&lease);                        /* before the other pool is asked: never hold and wait */
    return rc ? rc : ask(NULL, w->ro, &reads);
}

/* Stands for the HTTP side: each client asks again when it has its answer, until nothing is accepted any more. */
static void client(void *arg)
{
    struct worker *w = arg;
    while (!w->stopping) {
        w->in_flight++;
        int rc = handle(w);
        w->in_flight--;
        if (rc && w->failed++ == 0) fprintf(stderr, "%s\n", pg_error_text(rc));
        if (++answered == ENOUGH) kill(getpid(), SIGTERM);
    }
    pg_fiber_unpark(w->last);
}

/* ---- the end ---- */

/* Handlers that are under way may still acquire, and closing would give them PG_E_CLOSED: so the close waits for the
 * last of them, but not for ever. */
static void close_behind_the_last(void *arg)
{
    struct worker *w = arg;
    uint64_t deadline = pg_reactor_now(w->reactor) + 10 * SECOND;
    while (w->in_flight > 0 && pg_fiber_park(deadline) == 0) continue;
    pg_reactor_close(w->reactor, deadline);          /* both pools; what is still open has until then */
}
static void stop(struct pg_task *task)               /* on the worker's own thread */
{
    struct worker *w = (struct worker *)((char *)task - offsetof(struct worker, stop));
    w->stopping = true;                              /* accepts no more */
    if (pg_fiber_spawn(w->reactor, close_behind_the_last, w, &w->last)) pg_reactor_close(w->reactor, 0);
}

/* ---- one reactor ---- */

static int loop_once(struct io_uring *ring, struct pg_uring *host, int64_t wait)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;
    int rc = pg_uring_wait(host, wait);
    io_uring_for_each_cqe(ring, head, cqe) {
        n++;
        if (!pg_uring_complete(host, cqe)) abort();  /* the program's own completions would be dispatched here */
    }
    io_uring_cq_advance(ring, n);
    return rc;
}
static const char *conninfo(char *out, size_t size, const char *attrs)
{
    const char *url = getenv("DATABASE_URL");        /* "postgresql://a,b/app" */
    if (!url) url = "postgresql:///";
    snprintf(out, size, "%s%ctarget_session_attrs=%s", url, strchr(url, '?') ? '&' : '?', attrs);
    return out;
}
static void *work(void *arg)
{
    struct worker *w = arg;
    struct io_uring ring;
    struct pg_uring *host;
    struct pg_error error;
    char rw_info[1024], ro_info[1024];
    if (io_uring_queue_init(4096, &ring, 0) < 0) abort();
    struct pg_uring_config uc = { .size = sizeof uc, .ring = &ring };
    if (pg_uring_open(&host, &uc, &error)) abort();
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_uring_host(host));
    struct pg_pool_config rw = PG_POOL_CONFIG(conninfo(rw_info, sizeof rw_info, "read-write"));
    struct pg_pool_config ro = PG_POOL_CONFIG(conninfo(ro_info, sizeof ro_info, "prefer-standby"));
    rw.budget = primary, ro.budget = standby;
    rw.max_conns = ro.max_conns = 8;                 /* all of its budget, while nobody else needs it */
    rw.on_event = ro.on_event = event;
    rw.arg = rw_name, ro.arg = ro_name;
    if (pg_reactor_open(&w->reactor, &rc, &error) || pg_pool_open(&w->rw, w->reactor, &rw, &error) ||
        pg_pool_open(&w->ro, w->reactor, &ro, &error)) {
        fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
        exit(1);
    }
    for (int i = 0; i < CLIENTS; i++)
        if (pg_fiber_spawn(w->reactor, client, w, NULL)) abort();
    pthread_barrier_wait(w->ready);
    for (int64_t wait; (wait = pg_reactor_turn(w->reactor)) != PG_WAIT_CLOSED;)
        if (loop_once(&ring, host, wait)) break;
    pg_reactor_free(w->reactor);                     /* both pools are gone with it */
    pg_uring_close(host);
    io_uring_queue_exit(&ring);
    return NULL;
}

int main(void)
{
    struct worker w[REACTORS] = { 0 };
    struct io_uring probe;
    pthread_barrier_t ready;
    sigset_t set;
    int sig, failed = 0;
    if (io_uring_queue_init(8, &probe, 0) < 0) {
        fprintf(stderr, "skipped: no io_uring here\n");
        return 77;
    }
    io_uring_queue_exit(&probe);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);          /* before the threads, which inherit it */
    if (pg_budget_open(&primary, 8) || pg_budget_open(&standby, 8)) return 1;
    pthread_barrier_init(&ready, NULL, REACTORS + 1);
    for (int i = 0; i < REACTORS; i++) {
        w[i].stop.run = stop;
        w[i].ready = &ready;
        if (pthread_create(&w[i].thread, NULL, work, &w[i])) abort();
    }
    pthread_barrier_wait(&ready);
    sigwait(&set, &sig);
    struct pg_budget_stats used = { .size = sizeof used };
    pg_budget_stats(primary, &used);                 /* any thread may look */
    for (int i = 0; i < REACTORS; i++) pg_reactor_post(w[i].reactor, &w[i].stop);
    for (int i = 0; i < REACTORS; i++) pthread_join(w[i].thread, NULL);
    for (int i = 0; i < REACTORS; i++) failed += w[i].failed;
    pg_budget_close(primary);
    pg_budget_close(standby);
    pthread_barrier_destroy(&ready);
    printf("%d requests, %d failed, %u of %u connections to the primary\n", answered, failed, used.used,
           used.connections);
    return failed || used.used > used.connections;
}

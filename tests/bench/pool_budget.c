/* Four reactors, each a thread with a pool, against a real PostgreSQL (DATABASE_URL): one budget of 16 connections for
 * all of them beside 4 fixed ones for each, under the same load, in turns. A transaction holds its connection for about
 * 5 ms of waiting in the server, so that connections are what is short, and not a processor. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "pool.h"
#include "ringpg/loop.h"

enum { REACTORS = 4, CONNECTIONS = 16, CROWD = 32, ROUNDS_MAX = 3 };
#define MS UINT64_C(1000000)
static struct pg_statement hold = PG_STATEMENT("SELECT pg_sleep(0.005)");

/* Where the clients are. Everywhere else one stays, who comes every 20 ms. */
enum load { ONE_HOT, MOVING, ALL_HOT, LOADS };
static const char *const load_names[LOADS] = {"one hot reactor", "hot one moves, 2/s", "all equally hot"};

struct scene {
    const char *url;
    struct pg_budget *budget; /* NULL: fixed */
    enum load load;
    atomic_uint hot;          /* the reactor, or REACTORS: all */
    atomic_bool measured, over;
    atomic_uint failed;
};
struct worker {
    struct scene *scene;
    pthread_t thread;
    unsigned index, clients;
    struct pg_pool *pool;
    struct pg_reactor *reactor;
    struct pg_fiber last;
    struct pg_histogram busy, quiet; /* acquire to outcome, while this reactor was hot and while it was not */
    uint64_t connects;
};
struct client { struct worker *worker; unsigned number; };

static bool is_hot(const struct worker *w)
{
    unsigned hot = atomic_load_explicit(&w->scene->hot, memory_order_relaxed);
    return hot == w->index || hot == REACTORS;
}

static void transact(struct worker *w)
{
    struct pg_lease lease = {.tag = PG_HERE, .deadline_ns = PG_NEVER};
    struct pg_query query = {.statement = &hold};
    uint64_t began_ns = pg_reactor_now(w->reactor);
    bool hot = is_hot(w);
    int rc = pg_await_acquire(w->pool, &lease);
    if (!rc) {
        pg_lease_query(&lease, &query);
        rc = pg_await(&query);
    }
    pg_lease_abandon(&lease);
    if (rc) atomic_fetch_add(&w->scene->failed, 1);
    if (atomic_load_explicit(&w->scene->measured, memory_order_relaxed))
        pg_histogram_record(hot ? &w->busy : &w->quiet, pg_reactor_now(w->reactor) - began_ns, 1);
}

static void client(void *arg)
{
    struct client *c = arg;
    struct worker *w = c->worker;
    while (!atomic_load_explicit(&w->scene->over, memory_order_relaxed)) {
        bool hot = is_hot(w);
        if (hot || c->number == 0) transact(w);
        if (!hot && pg_await_sleep(pg_reactor_now(w->reactor) + 20 * MS)) break;
    }
    if (--w->clients == 0) pg_fiber_unpark(w->last);
}

static void all_clients(void *arg)
{
    struct worker *w = arg;
    struct client clients[CROWD];
    w->last = pg_fiber_self();
    for (w->clients = 0; w->clients < CROWD; w->clients++) {
        clients[w->clients] = (struct client){w, w->clients};
        if (pg_fiber_spawn(w->reactor, client, &clients[w->clients], NULL)) bench_die("no fiber");
    }
    while (w->clients > 0 && pg_fiber_park(PG_NEVER) == 0) continue;
    struct pg_pool_stats stats = {.size = sizeof stats};
    pg_pool_stats(w->pool, &stats);
    w->connects = stats.new_conns_count;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pg_loop *loop;
    struct pg_error error;
    struct pg_pool_config config = PG_POOL_CONFIG(w->scene->url);
    config.budget = w->scene->budget;
    config.max_conns = config.budget ? CONNECTIONS : CONNECTIONS / REACTORS;
    if (pg_loop_open(&loop, &error)) bench_die("%s", pg_error_field(&error, 'M'));
    w->reactor = pg_loop_reactor(loop);
    if (pg_pool_open(&w->pool, w->reactor, &config, &error)) bench_die("%s", pg_error_field(&error, 'M'));
    if (pg_loop_run(loop, all_clients, w)) bench_die("the loop failed");
    pg_loop_close(loop);
    return NULL;
}

/* ---- one run ---- */

struct outcome { double per_second, busy_p99_ms, quiet_p99_ms; uint64_t connects; };

static void sleep_ms(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};
    while (nanosleep(&time, &time)) continue;
}

static struct outcome run(const char *url, bool with_budget, enum load load, unsigned halves)
{
    struct scene scene = {.url = url, .load = load, .hot = load == ALL_HOT ? REACTORS : 0};
    struct worker w[REACTORS] = {0};
    struct pg_histogram busy = {0}, quiet = {0};
    struct outcome o = {0};
    if (with_budget && pg_budget_open(&scene.budget, CONNECTIONS)) bench_die("no budget");
    for (unsigned i = 0; i < REACTORS; i++) {
        w[i].scene = &scene;
        w[i].index = i;
        if (pthread_create(&w[i].thread, NULL, work, &w[i])) bench_die("no thread");
    }
    sleep_ms(500); /* all is as the load makes it */
    atomic_store(&scene.measured, true);
    for (unsigned i = 1; i <= halves; i++) {
        sleep_ms(500);
        if (load == MOVING) atomic_store(&scene.hot, i % REACTORS);
    }
    atomic_store(&scene.measured, false);
    atomic_store(&scene.over, true);
    for (unsigned i = 0; i < REACTORS; i++) {
        pthread_join(w[i].thread, NULL);
        pg_histogram_merge(&busy, &w[i].busy);
        pg_histogram_merge(&quiet, &w[i].quiet);
        o.connects += w[i].connects;
    }
    pg_budget_close(scene.budget);
    if (scene.failed) bench_die("%u transactions failed", scene.failed);
    o.per_second = (double)(busy.count + quiet.count) / (halves * 0.5);
    o.busy_p99_ms = (double)pg_histogram_percentile(&busy, 99) / 1e6;
    o.quiet_p99_ms = (double)pg_histogram_percentile(&quiet, 99) / 1e6;
    return o;
}

static struct outcome median_of(const struct outcome *o, unsigned n)
{
    double value[3][ROUNDS_MAX];
    for (unsigned i = 0; i < n; i++) {
        value[0][i] = o[i].per_second;
        value[1][i] = o[i].busy_p99_ms;
        value[2][i] = o[i].quiet_p99_ms;
    }
    return (struct outcome){pool_median(value[0], n), pool_median(value[1], n), pool_median(value[2], n),
                            o[n - 1].connects};
}

static void compare(struct pool_figures *figures, const char *at, const struct outcome *fixed,
                    const struct outcome *budget)
{
    pool_figure(figures, "fixed: transactions", at, "1/s", fixed->per_second);
    pool_figure(figures, "budget: transactions", at, "1/s", budget->per_second);
    pool_ratio(figures, "budget / fixed", budget->per_second, fixed->per_second);
    pool_figure(figures, "fixed: p99 of the hot", at, "ms", fixed->busy_p99_ms);
    pool_figure(figures, "budget: p99 of the hot", at, "ms", budget->busy_p99_ms);
    pool_ratio(figures, "budget / fixed", budget->busy_p99_ms, fixed->busy_p99_ms);
    if (fixed->quiet_p99_ms > 0) {
        pool_figure(figures, "fixed: p99 of the others", at, "ms", fixed->quiet_p99_ms);
        pool_figure(figures, "budget: p99 of the others", at, "ms", budget->quiet_p99_ms);
        pool_ratio(figures, "budget / fixed", budget->quiet_p99_ms, fixed->quiet_p99_ms);
    }
    pool_figure(figures, "budget: connections made", at, "", (double)budget->connects);
}

void pool_budget_run(const struct pool_options *options, struct pool_figures *figures)
{
    const char *url = getenv("DATABASE_URL");
    unsigned rounds = options->quick || options->smoke ? 1 : ROUNDS_MAX;
    unsigned halves = options->smoke ? 1 : options->quick ? 2 : 8;
    if (!url) {
        pool_note(figures, "left out: DATABASE_URL names no server");
        return;
    }
    for (int load = 0; load < (options->quick ? ALL_HOT : LOADS); load++) {
        struct outcome fixed[ROUNDS_MAX], budget[ROUNDS_MAX];
        for (unsigned i = 0; i < rounds; i++) {
            fixed[i] = run(url, false, (enum load)load, halves);
            budget[i] = run(url, true, (enum load)load, halves);
        }
        struct outcome a = median_of(fixed, rounds), b = median_of(budget, rounds);
        compare(figures, load_names[load], &a, &b);
    }
    pool_note(figures, "32 clients per hot reactor, one on each other every 20 ms; 16 connections: 4 x 4 fixed, or one "
                       "budget of 16. Medians; in turns on one server.");
}

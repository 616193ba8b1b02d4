/* server.c - one reactor: the HTTP sockets and the database on one ring, in one loop, on one thread.
 *
 * The loop is the whole architecture: take up what HTTP has waiting, give the library its turn (which resumes
 * handlers and sends what they queued), submit and wait once for both, deliver. */
#include "server.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app.h"

static const uint64_t HANDLER_TIMEOUT_NS = 2000000000u, DRAIN_NS = 5000000000u, CLOSE_NS = 2000000000u;

struct server_run {
    struct server *server;
    struct net *net;
    struct app app;
    struct pg_query first;                           /* so that a database that cannot be had is told at the start */
    bool stopping, killed, closing;
    uint64_t kill_at_ns;
};

static int open_net(struct server *server, struct net **net)
{
    enum host_choice host = server->options->host;
    int rc = -ENOSYS;
    if (host != HOST_EPOLL) rc = net_uring_open(net, server->why);
    if (rc == 0 || host == HOST_URING) return rc;
    if (host == HOST_BEST && server->index == 0) fprintf(stderr, "%s: using epoll\n", server->why);
    return net_epoll_open(net, server->why);
}

static int open_http(struct server_run *run)
{
    struct http_config config = http_defaults;
    config.net = run->net;
    config.now = app_now;
    config.handle = app_handle;
    config.app = &run->app;
    run->app.http = http_server_new(&config);
    int rc = run->app.http ? run->net->ops->listen(run->net, run->server->listen_fd) : -ENOMEM;
    if (rc) snprintf(run->server->why, sizeof run->server->why, "HTTP: %s", strerror(-rc));
    return rc;
}

static int open_all(struct server_run *run)
{
    struct server *server = run->server;
    struct pg_error error;
    int rc = open_net(server, &run->net);
    if (rc) {
        close(server->listen_fd);
        return rc;
    }
    struct pg_reactor_config reactor = PG_REACTOR_CONFIG(run->net->host);
    struct pg_pool_config pool = PG_POOL_CONFIG(server->conninfo);
    pool.on_event = app_on_event;
    pool.arg = &run->app;
    pool.budget = server->budget;
    run->app.index = server->index;
    run->app.stats = server->stats;
    run->app.handler_timeout_ns = HANDLER_TIMEOUT_NS;
    rc = pg_reactor_open(&run->app.reactor, &reactor, &error);
    if (rc == 0) rc = pg_pool_open(&run->app.pool, run->app.reactor, &pool, &error);
    if (rc == 0) return open_http(run);
    snprintf(server->why, sizeof server->why, "%s", pg_error_field(&error, 'M'));
    close(server->listen_fd);
    return rc;
}

static void first_done(struct pg_query *query) { (void)query; } /* why it failed has come as an event */

static void connect_first(struct server_run *run)
{
    run->first = (struct pg_query){ .sql = "SELECT 1", .on_done = first_done };
    pg_pool_query(run->app.pool, &run->first);
}

static void publish(struct server_run *run)
{
    struct stats_sample sample = { .http = http_counts(run->app.http), .reconnects = run->app.reconnects };
    stats_publish(&run->server->stats->cells[run->server->index], &sample);
}

static void stop(struct pg_task *task)
{
    struct server *server = (struct server *)(void *)((char *)task - offsetof(struct server, stop));
    struct server_run *run = server->run;
    run->stopping = true;
    run->kill_at_ns = pg_reactor_now(run->app.reactor) + DRAIN_NS;
    http_stop(run->app.http);
}

/* The order of the end: clients first, then the pool, which nobody uses any more. Returns the longest wait. */
static int64_t advance_end(struct server_run *run)
{
    if (!run->stopping || run->closing) return -1;
    uint64_t now = pg_reactor_now(run->app.reactor);
    if (!run->killed && now >= run->kill_at_ns) {
        run->killed = true;
        http_kill(run->app.http);
    }
    if (http_counts(run->app.http).open == 0) {
        run->closing = true;
        stats_show_pool(&run->server->stats->cells[run->server->index], NULL);
        pg_reactor_close(run->app.reactor, now + CLOSE_NS);
        return 0;
    }
    return run->killed ? -1 : (int64_t)(run->kill_at_ns - now);
}

static int loop(struct server_run *run)
{
    for (;;) {
        http_turn(run->app.http);
        int64_t wait = pg_reactor_turn(run->app.reactor);
        if (wait == PG_WAIT_CLOSED) return 0;
        if (!run->closing) publish(run);
        wait = net_wait_min(wait, advance_end(run));
        wait = net_wait_min(wait, http_wait_ns(run->app.http));
        int rc = run->net->ops->wait(run->net, wait);
        if (rc) {
            snprintf(run->server->why, sizeof run->server->why, "the wait failed: %s", pg_error_text(rc));
            return rc;
        }
    }
}

void *server_main(void *arg)
{
    struct server *server = arg;
    struct server_run run = { .server = server };
    server->run = &run;
    int rc = open_all(&run);
    if (rc == 0) {
        connect_first(&run);
        publish(&run);
        stats_show_pool(&server->stats->cells[server->index], run.app.pool);
        server->reactor = run.app.reactor;
        server->stop.run = stop;
        atomic_store(&server->state, SERVER_READY);
        sem_post(server->changed);
        rc = loop(&run);
        stats_show_pool(&server->stats->cells[server->index], NULL);
    }
    server->status = rc;
    bool was_ready = atomic_exchange(&server->state, rc ? SERVER_FAILED : SERVER_ENDED) == SERVER_READY;
    if (rc && was_ready) { /* the process ends; a late server_stop may still touch the reactor */
        kill(getpid(), SIGTERM);
        return NULL;
    }
    pg_reactor_free(run.app.reactor);
    if (run.net) run.net->ops->free(run.net);
    http_server_free(run.app.http);
    if (!was_ready) sem_post(server->changed);
    return NULL;
}

void server_stop(struct server *server) { pg_reactor_post(server->reactor, &server->stop); }

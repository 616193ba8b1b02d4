/* libpq in pipeline mode: the same number of queries in flight on each connection, a Sync after each, every reply
 * answered by the next request. Where libpq has PQsendPipelineSync (17), requests are flushed once per connection and
 * turn; older ones flush in PQpipelineSync, that is, for every query. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "libpq_common.h"

struct pipe {
    PGconn *connection;
    unsigned in_flight; /* Syncs that were sent and not answered yet */
    bool answered;      /* the row of the current query was seen */
};

static void start(struct pipe *pipe, unsigned queries)
{
    for (unsigned i = 0; i < queries; i++) {
        libpq_send(pipe->connection);
        libpq_sync(pipe->connection);
        pipe->in_flight++;
    }
    if (PQflush(pipe->connection)) bench_die("libpq: the socket takes no requests of a few bytes");
}

/* Takes what has come and returns the queries that it ended: a query is over at its own Sync. */
static unsigned collect(struct pipe *pipe)
{
    unsigned ended = 0;
    if (!PQconsumeInput(pipe->connection)) bench_die("libpq: %s", PQerrorMessage(pipe->connection));
    while (pipe->in_flight && !PQisBusy(pipe->connection)) { /* ends: each query has a row, a NULL and a Sync */
        PGresult *result = PQgetResult(pipe->connection);
        if (!result) continue;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            if (!pipe->answered) bench_die("libpq: a Sync before its row");
            pipe->answered = false;
            pipe->in_flight--;
            ended++;
        } else {
            libpq_check(pipe->connection, result);
            pipe->answered = true;
        }
        PQclear(result);
    }
    return ended;
}

void libpq_pipeline_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    unsigned count = shape->connections;
    size_t due = (size_t)count * shape->in_flight;
    struct epoll_event events[64];
    struct pipe *pipes = calloc(count, sizeof *pipes);
    PGconn **connections = calloc(count, sizeof *connections);
    if (!pipes || !connections) bench_die("libpq-pipeline: no memory");
    for (unsigned i = 0; i < count; i++) {
        connections[i] = pipes[i].connection = libpq_connect(shape->target);
        if (!PQenterPipelineMode(connections[i])) bench_die("libpq: %s", PQerrorMessage(connections[i]));
    }
    int epoll = libpq_watch(connections, count);

    bench_meter_start(meter);
    for (unsigned i = 0; i < count; i++) start(&pipes[i], shape->in_flight);
    bool more = true;
    while (due) { /* bounded: the meter ends the process when it stalls */
        int ready = epoll_wait(epoll, events, 64, 1000);
        if (ready < 0 && errno != EINTR) bench_die("libpq-pipeline: epoll_wait: %s", strerror(errno));
        for (int i = 0; i < ready; i++) {
            struct pipe *pipe = &pipes[events[i].data.u32];
            unsigned ended = collect(pipe);
            meter->answered += ended;
            if (more)
                start(pipe, ended);
            else
                due -= ended;
        }
        more = bench_tick(meter);
    }

    close(epoll);
    for (unsigned i = 0; i < count; i++) PQfinish(connections[i]);
    free(connections);
    free(pipes);
}

/* libpq in pipeline mode: the same number of queries in flight on each connection, a Sync after each, every reply
 * answered by the next request. Requests are flushed once per connection and turn where libpq can wait for that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "libpq_common.h"

static void start(struct libpq_pipe *pipe, unsigned queries)
{
    for (unsigned i = 0; i < queries; i++) libpq_pipe_send(pipe);
    if (PQflush(pipe->connection)) bench_die("libpq: the socket takes no requests of a few bytes");
}

/* Takes what has come and returns the queries that it ended. */
static unsigned collect(struct libpq_pipe *pipe)
{
    unsigned ended = 0;
    libpq_must(PQconsumeInput(pipe->connection), pipe->connection);
    while (libpq_pipe_next(pipe)) ended++;
    return ended;
}

void libpq_pipeline_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    unsigned count = shape->connections;
    size_t due = (size_t)count * shape->in_flight;
    struct epoll_event events[64];
    struct libpq_pipe *pipes = calloc(count, sizeof *pipes);
    PGconn **connections = calloc(count, sizeof *connections);
    if (!pipes || !connections) bench_die("libpq-pipeline: no memory");
    for (unsigned i = 0; i < count; i++) {
        pipes[i] = libpq_pipe_open(shape->target);
        connections[i] = pipes[i].connection;
    }
    int epoll = libpq_watch(connections, count);

    bench_meter_start(meter);
    for (unsigned i = 0; i < count; i++) start(&pipes[i], shape->in_flight);
    bool more = true;
    while (due) { /* bounded: the meter ends the process when it stalls */
        int ready = epoll_wait(epoll, events, 64, 1000);
        if (ready < 0 && errno != EINTR) bench_die("libpq-pipeline: epoll_wait: %s", strerror(errno));
        for (int i = 0; i < ready; i++) {
            struct libpq_pipe *pipe = &pipes[events[i].data.u32];
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

/* libpq in pipeline mode: the same number of queries in flight on each connection, a Sync after each, every reply
 * answered by the next request. Requests are flushed once per connection and turn where libpq can wait for that. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "libpq_common.h"

static void start(struct libpq_line *line, unsigned queries)
{
    for (unsigned i = 0; i < queries; i++) libpq_line_send(line);
    if (PQflush(line->connection)) bench_die("libpq: the socket takes no requests of a few bytes");
}

/* Takes what has come and returns the queries that it ended. */
static unsigned collect(struct libpq_line *line)
{
    unsigned ended = 0;
    libpq_must(PQconsumeInput(line->connection), line->connection);
    while (libpq_line_next(line)) ended++;
    return ended;
}

void libpq_pipeline_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    unsigned count = shape->connections;
    size_t due = (size_t)count * shape->in_flight;
    struct epoll_event events[64];
    struct libpq_line *lines = calloc(count, sizeof *lines);
    PGconn **connections = calloc(count, sizeof *connections);
    if (!lines || !connections) bench_die("libpq-pipeline: no memory");
    for (unsigned i = 0; i < count; i++) {
        lines[i] = libpq_line_open(shape->target, true);
        connections[i] = lines[i].connection;
    }
    int epoll = libpq_watch(connections, count);

    bench_meter_start(meter);
    for (unsigned i = 0; i < count; i++) start(&lines[i], shape->in_flight);
    bool more = true;
    while (due) { /* bounded: the meter ends the process when it stalls */
        int ready = epoll_wait(epoll, events, 64, 1000);
        if (ready < 0 && errno != EINTR) bench_die("libpq-pipeline: epoll_wait: %s", strerror(errno));
        for (int i = 0; i < ready; i++) {
            struct libpq_line *line = &lines[events[i].data.u32];
            unsigned ended = collect(line);
            meter->answered += ended;
            if (more)
                start(line, ended);
            else
                due -= ended;
        }
        more = bench_tick(meter);
    }

    close(epoll);
    for (unsigned i = 0; i < count; i++) PQfinish(connections[i]);
    free(connections);
    free(lines);
}

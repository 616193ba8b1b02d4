/* libpq as it is mostly used from an event loop: non-blocking on epoll, one query at a time on each connection, the
 * next one sent as soon as the result is complete. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "libpq_common.h"

static void start(struct libpq_line *line)
{
    libpq_line_send(line);
    if (PQflush(line->connection)) bench_die("libpq: the socket takes no request of a few bytes");
}

void libpq_epoll_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    unsigned count = shape->connections, busy = count;
    struct epoll_event events[64];
    struct libpq_line *lines = calloc(count, sizeof *lines);
    PGconn **connections = calloc(count, sizeof *connections);
    if (!lines || !connections) bench_die("libpq-epoll: no memory");
    if (shape->in_flight != 1) bench_die("libpq-epoll: one query per connection");
    for (unsigned i = 0; i < count; i++) {
        lines[i] = libpq_line_open(shape->target, false);
        connections[i] = lines[i].connection;
    }
    int epoll = libpq_watch(connections, count);

    bench_meter_start(meter);
    for (unsigned i = 0; i < count; i++) start(&lines[i]);
    bool more = true;
    while (busy) { /* bounded: the meter ends the process when it stalls */
        int ready = epoll_wait(epoll, events, 64, 1000);
        if (ready < 0 && errno != EINTR) bench_die("libpq-epoll: epoll_wait: %s", strerror(errno));
        for (int i = 0; i < ready; i++) {
            struct libpq_line *line = &lines[events[i].data.u32];
            libpq_must(PQconsumeInput(line->connection), line->connection);
            if (!libpq_line_next(line)) continue;
            meter->answered++;
            if (more)
                start(line);
            else
                busy--;
        }
        more = bench_tick(meter);
    }

    close(epoll);
    for (unsigned i = 0; i < count; i++) PQfinish(connections[i]);
    free(connections);
    free(lines);
}

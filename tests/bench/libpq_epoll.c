/* libpq as it is mostly used from an event loop: non-blocking on epoll, one query at a time on each connection, the
 * next one sent as soon as the result is complete. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "libpq_common.h"

/* Takes what has come. True: the query is over. */
static bool collect(PGconn *connection)
{
    if (!PQconsumeInput(connection)) bench_die("libpq: %s", PQerrorMessage(connection));
    while (!PQisBusy(connection)) { /* ends: NULL comes after the one result */
        PGresult *result = PQgetResult(connection);
        if (!result) return true;
        libpq_check(connection, result);
        PQclear(result);
    }
    return false;
}

static void start(PGconn *connection)
{
    libpq_send(connection);
    if (PQflush(connection)) bench_die("libpq: the socket takes no request of a few bytes");
}

void libpq_epoll_run(const struct bench_shape *shape, struct bench_meter *meter)
{
    unsigned count = shape->connections, busy = count;
    struct epoll_event events[64];
    PGconn **connections = calloc(count, sizeof *connections);
    if (!connections || shape->in_flight != 1) bench_die("libpq-epoll: one query per connection");
    for (unsigned i = 0; i < count; i++) connections[i] = libpq_connect(shape->target);
    int epoll = libpq_watch(connections, count);

    bench_meter_start(meter);
    for (unsigned i = 0; i < count; i++) start(connections[i]);
    bool more = true;
    while (busy) { /* bounded: the meter ends the process when it stalls */
        int ready = epoll_wait(epoll, events, 64, 1000);
        if (ready < 0 && errno != EINTR) bench_die("libpq-epoll: epoll_wait: %s", strerror(errno));
        for (int i = 0; i < ready; i++) {
            PGconn *connection = connections[events[i].data.u32];
            if (!collect(connection)) continue;
            meter->answered++;
            if (more)
                start(connection);
            else
                busy--;
        }
        more = bench_tick(meter);
    }

    close(epoll);
    for (unsigned i = 0; i < count; i++) PQfinish(connections[i]);
    free(connections);
}

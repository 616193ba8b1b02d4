/* libpq under the load of the part latency: on epoll, one query at a time on each connection, and, for the load with one
 * caller, with its blocking calls, which is what a program without concurrency would do. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "latency.h"
#include "libpq_common.h"

struct client {
    unsigned count, nidle;
    int epoll;
    PGconn **connections;
    unsigned *idle; /* which of them */
    uint64_t *due_ns;
};

static void *open_client(const struct latency_shape *shape)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client) bench_die("libpq: no memory");
    client->count = client->nidle = shape->connections;
    client->connections = calloc(client->count, sizeof *client->connections);
    client->idle = calloc(client->count, sizeof *client->idle);
    client->due_ns = calloc(client->count, sizeof *client->due_ns);
    if (!client->connections || !client->idle || !client->due_ns) bench_die("libpq: no memory");
    for (unsigned i = 0; i < client->count; i++) {
        client->connections[i] = libpq_connect(shape->target);
        client->idle[i] = i;
    }
    client->epoll = libpq_watch(client->connections, client->count);
    return client;
}

static void start_due(struct client *client, struct latency_load *load)
{
    uint64_t due_ns;
    while (client->nidle && latency_due(load, &due_ns)) {
        unsigned i = client->idle[--client->nidle];
        client->due_ns[i] = due_ns;
        libpq_send(client->connections[i]);
        if (PQflush(client->connections[i])) bench_die("libpq: the socket takes no request of a few bytes");
    }
}

static void collect(struct client *client, struct latency_load *load, unsigned i)
{
    PGconn *connection = client->connections[i];
    libpq_must(PQconsumeInput(connection), connection);
    while (!PQisBusy(connection)) { /* ends: NULL comes after the one result */
        PGresult *result = PQgetResult(connection);
        if (!result) {
            client->idle[client->nidle++] = i;
            latency_answered(load, client->due_ns[i]);
            return;
        }
        libpq_check(connection, result);
        PQclear(result);
    }
}

static void run(void *arg, struct latency_load *load)
{
    struct client *client = arg;
    struct epoll_event events[64];
    while (!latency_over(load)) {
        start_due(client, load);
        int64_t ns = client->nidle || load->callers ? latency_wait(load) : 1000000000;
        struct timespec wait = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        int ready = epoll_pwait2(client->epoll, events, 64, &wait, NULL);
        if (ready < 0 && errno != EINTR) bench_die("libpq: epoll_pwait2: %s", strerror(errno));
        for (int i = 0; i < ready; i++) {
            collect(client, load, events[i].data.u32);
            start_due(client, load);
        }
    }
}

static void run_blocking(void *arg, struct latency_load *load)
{
    struct client *client = arg;
    PGconn *connection = client->connections[0];
    uint64_t due_ns;
    libpq_must(!PQsetnonblocking(connection, 0), connection);
    while (latency_due(load, &due_ns)) {
        PGresult *result = PQexecPrepared(connection, "s1", 0, NULL, NULL, NULL, 1);
        libpq_check(connection, result);
        PQclear(result);
        latency_answered(load, due_ns);
    }
}

static void close_client(void *arg)
{
    struct client *client = arg;
    close(client->epoll);
    for (unsigned i = 0; i < client->count; i++) PQfinish(client->connections[i]);
    free(client->connections);
    free(client->idle);
    free(client->due_ns);
    free(client);
}

const struct latency_client latency_libpq = {"libpq-epoll", open_client, run, close_client, false};
const struct latency_client latency_blocking = {"libpq-blocking", open_client, run_blocking, close_client, true};

/* libpq under the load of the part latency: on epoll, one query at a time on each connection, or several in pipeline
 * mode with a Sync after each; and, for the load with one caller, with its blocking calls, which is what a program
 * without concurrency would do. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "latency.h"
#include "libpq_common.h"

enum { DEPTH = 64 }; /* in flight on a connection in pipeline mode: then what is due waits */

struct line {
    struct libpq_pipe pipe;
    uint64_t due_ns[DEPTH]; /* a ring: of those in flight */
    unsigned oldest;
};
struct client {
    unsigned count, depth;
    int epoll;
    struct line *lines;
};

static struct client *open_lines(const struct latency_shape *shape, unsigned depth)
{
    struct client *client = calloc(1, sizeof *client);
    PGconn **connections = calloc(shape->connections, sizeof *connections);
    struct line *lines = calloc(shape->connections, sizeof *lines);
    if (!client || !connections || !lines) bench_die("libpq: no memory");
    *client = (struct client){.count = shape->connections, .depth = depth, .lines = lines};
    for (unsigned i = 0; i < client->count; i++) {
        if (depth > 1)
            lines[i].pipe = libpq_pipe_open(shape->target);
        else
            lines[i].pipe.connection = libpq_connect(shape->target);
        connections[i] = lines[i].pipe.connection;
    }
    client->epoll = libpq_watch(connections, client->count);
    free(connections);
    return client;
}

static void *open_client(const struct latency_shape *shape)
{
    return open_lines(shape, 1);
}

static void *open_pipeline(const struct latency_shape *shape)
{
    return open_lines(shape, DEPTH);
}

/* The one with the fewest in flight; NULL: all have as many as they may. */
static struct line *choose(const struct client *client)
{
    struct line *best = client->lines;
    for (unsigned i = 1; i < client->count; i++)
        if (client->lines[i].pipe.in_flight < best->pipe.in_flight) best = &client->lines[i];
    return best->pipe.in_flight < client->depth ? best : NULL;
}

static void start_due(struct client *client, struct latency_load *load)
{
    struct line *line;
    uint64_t due_ns;
    while ((line = choose(client)) && latency_due(load, &due_ns)) {
        line->due_ns[(line->oldest + line->pipe.in_flight) % DEPTH] = due_ns;
        if (client->depth > 1) {
            libpq_pipe_send(&line->pipe);
        } else {
            libpq_send(line->pipe.connection);
            line->pipe.in_flight++;
        }
    }
    for (unsigned i = 0; i < client->count; i++)
        if (PQflush(client->lines[i].pipe.connection)) bench_die("libpq: the socket takes no requests of a few bytes");
}

/* Without pipeline mode: is the one query over? */
static bool single_next(struct libpq_pipe *pipe)
{
    while (pipe->in_flight && !PQisBusy(pipe->connection)) { /* ends: NULL comes after the one result */
        PGresult *result = PQgetResult(pipe->connection);
        if (!result) {
            pipe->in_flight = 0;
            return true;
        }
        libpq_check(pipe->connection, result);
        PQclear(result);
    }
    return false;
}

static void collect(struct client *client, struct latency_load *load, struct line *line)
{
    bool (*next)(struct libpq_pipe *pipe) = client->depth > 1 ? libpq_pipe_next : single_next;
    libpq_must(PQconsumeInput(line->pipe.connection), line->pipe.connection);
    while (next(&line->pipe)) {
        latency_answered(load, line->due_ns[line->oldest]);
        line->oldest = (line->oldest + 1) % DEPTH;
    }
}

static void run(void *arg, struct latency_load *load)
{
    struct client *client = arg;
    struct epoll_event events[64];
    while (!latency_over(load)) {
        start_due(client, load);
        int64_t ns = choose(client) || load->callers ? latency_wait(load) : 1000000000;
        struct timespec wait = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        int ready = epoll_pwait2(client->epoll, events, 64, &wait, NULL);
        if (ready < 0 && errno != EINTR) bench_die("libpq: epoll_pwait2: %s", strerror(errno));
        for (int i = 0; i < ready; i++) {
            collect(client, load, &client->lines[events[i].data.u32]);
            start_due(client, load);
        }
    }
}

static void run_blocking(void *arg, struct latency_load *load)
{
    struct client *client = arg;
    PGconn *connection = client->lines[0].pipe.connection;
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
    for (unsigned i = 0; i < client->count; i++) PQfinish(client->lines[i].pipe.connection);
    free(client->lines);
    free(client);
}

const struct latency_client latency_libpq = {"libpq-epoll", open_client, run, close_client, false};
const struct latency_client latency_blocking = {"libpq-blocking", open_client, run_blocking, close_client, true};
const struct latency_client latency_pipeline = {"libpq-pipeline", open_pipeline, run, close_client, false};

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
    struct libpq_line libpq;
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
        lines[i].libpq = libpq_line_open(shape->target, depth > 1);
        connections[i] = lines[i].libpq.connection;
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
        if (client->lines[i].libpq.in_flight < best->libpq.in_flight) best = &client->lines[i];
    return best->libpq.in_flight < client->depth ? best : NULL;
}

static void start_due(struct client *client, struct latency_load *load)
{
    struct line *line;
    uint64_t due_ns;
    while ((line = choose(client)) && latency_due(load, &due_ns)) {
        line->due_ns[(line->oldest + line->libpq.in_flight) % DEPTH] = due_ns;
        libpq_line_send(&line->libpq);
    }
    for (unsigned i = 0; i < client->count; i++)
        if (PQflush(client->lines[i].libpq.connection)) bench_die("libpq: the socket takes no requests of a few bytes");
}

static void collect(struct latency_load *load, struct line *line)
{
    libpq_must(PQconsumeInput(line->libpq.connection), line->libpq.connection);
    while (libpq_line_next(&line->libpq)) {
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
            collect(load, &client->lines[events[i].data.u32]);
            start_due(client, load);
        }
    }
}

static void run_blocking(void *arg, struct latency_load *load)
{
    struct client *client = arg;
    struct libpq_line *line = &client->lines[0].libpq;
    uint64_t due_ns;
    libpq_must(!PQsetnonblocking(line->connection, 0), line->connection);
    while (latency_due(load, &due_ns)) {
        libpq_line_exec(line);
        latency_answered(load, due_ns);
    }
}

static void close_client(void *arg)
{
    struct client *client = arg;
    close(client->epoll);
    for (unsigned i = 0; i < client->count; i++) PQfinish(client->lines[i].libpq.connection);
    free(client->lines);
    free(client);
}

const struct latency_client latency_libpq = {"libpq-epoll", open_client, run, close_client, false};
const struct latency_client latency_blocking = {"libpq-blocking", open_client, run_blocking, close_client, true};
const struct latency_client latency_pipeline = {"libpq-pipeline", open_pipeline, run, close_client, false};

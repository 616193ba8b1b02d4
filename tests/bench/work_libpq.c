/* libpq under the part work, on epoll, in the two ways there are: one statement at a time on a connection that the
 * request has for itself, and pipeline mode, where a flight of statements is sent at once, with a Sync behind each or
 * one behind all, on the connection that has the fewest in flight. A transaction has its connection for itself there,
 * too, and one Sync a flight. Handlers that find no connection wait in a queue. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "work_libpq.h"

/* What ends together: at its Sync, or alone at the end of its results. */
struct group {
    struct handler *handler;
    unsigned first, count, seen; /* statements of the handler's request; results */
    struct group *next;          /* behind it on its connection */
};
struct handler {
    struct work_request request;
    struct line *line;      /* where its statements go */
    unsigned next, due;     /* the first statement that was not sent; outcomes to come */
    struct handler *behind; /* in the queue for a connection */
    struct group groups[WORK_STATEMENTS];
};
struct line { /* a connection and what is in flight there, in order */
    PGconn *connection;
    unsigned count;
    bool lent; /* to one handler */
    struct group *first, **last;
};
struct client {
    struct work_load *load;
    bool pipeline, batch, exclusive, more; /* batch: one Sync a flight; exclusive: a connection for each request */
    unsigned busy;
    struct handler *waiting, **last_waiting;
    struct line lines[WORK_CONNECTIONS];
    struct handler handlers[WORK_HANDLERS];
};

/* ---- sending ---- */

static void append(struct line *line, struct group *group, struct group filled)
{
    *group = filled;
    *line->last = group;
    line->last = &group->next;
    line->count++;
}

static void start_flight(struct client *client, struct handler *handler)
{
    const struct work_workload *workload = client->load->workload;
    struct line *line = handler->line;
    unsigned from = handler->next, to = client->pipeline ? work_flight_end(workload, from) : from + 1;
    handler->next = to;
    handler->due = to - from;
    for (unsigned n = from, end; n < to; n = end) {
        end = client->batch ? to : n + 1;
        append(line, &handler->groups[n], (struct group){handler, n, end - n, 0, NULL});
        for (unsigned k = n; k < end; k++) work_libpq_send(line->connection, &handler->request, k);
        if (client->pipeline) libpq_sync(line->connection);
    }
}

/* ---- who has which connection ---- */

/* NULL: there is none. */
static struct line *choose_line(struct client *client)
{
    struct line *best = NULL;
    for (struct line *line = client->lines; line < client->lines + WORK_CONNECTIONS; line++)
        if (!line->lent && (!best || line->count < best->count)) best = line;
    return best;
}

static void take_line(struct client *client, struct handler *handler, struct line *line)
{
    handler->line = line;
    line->lent = client->exclusive;
    start_flight(client, handler);
}

static void start_request(struct client *client, struct handler *handler)
{
    struct line *line = choose_line(client);
    work_begin(client->load, &handler->request);
    handler->next = 0;
    if (line) {
        take_line(client, handler, line);
        return;
    }
    handler->behind = NULL;
    *client->last_waiting = handler;
    client->last_waiting = &handler->behind;
}

static void give_back(struct client *client, struct line *line)
{
    struct handler *handler = client->waiting;
    line->lent = false;
    if (!handler) return;
    client->waiting = handler->behind;
    if (!client->waiting) client->last_waiting = &client->waiting;
    take_line(client, handler, line);
}

/* ---- receiving ---- */

static void group_over(struct client *client, struct line *line)
{
    struct group *group = line->first;
    struct handler *handler = group->handler;
    if (group->seen != group->count) bench_die("libpq: the end before its result");
    line->first = group->next;
    if (!line->first) line->last = &line->first;
    line->count--;
    handler->due -= group->count;
    if (handler->due) return;
    if (work_flight_end(client->load->workload, handler->next) != handler->next) {
        start_flight(client, handler);
        return;
    }
    work_over(client->load, &handler->request);
    if (client->exclusive) give_back(client, line);
    if (client->more) start_request(client, handler);
    else client->busy--;
}

static void collect(struct client *client, struct line *line)
{
    PGconn *connection = line->connection;
    libpq_must(PQconsumeInput(connection), connection);
    while (line->count && !PQisBusy(connection)) { /* ends: each statement has a result and a NULL, then maybe a Sync */
        PGresult *result = PQgetResult(connection);
        struct group *group = line->first;
        if (!result) {
            if (!client->pipeline) group_over(client, line);
            continue;
        }
        bool sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (!sync) {
            if (group->seen == group->count) bench_die("libpq: a result too many");
            work_libpq_check(connection, result, &group->handler->request, group->first + group->seen++);
        }
        PQclear(result);
        if (sync) group_over(client, line);
    }
}

/* ---- a run ---- */

static int open_client(struct client *client, const struct bench_target *target)
{
    PGconn *connections[WORK_CONNECTIONS];
    for (unsigned i = 0; i < WORK_CONNECTIONS; i++) {
        struct line *line = &client->lines[i];
        line->last = &line->first;
        line->connection = connections[i] = libpq_open(target);
        work_libpq_prepare(line->connection);
        libpq_must(!PQsetnonblocking(line->connection, 1), line->connection);
        if (client->pipeline) libpq_must(PQenterPipelineMode(line->connection), line->connection);
    }
    return libpq_watch(connections, WORK_CONNECTIONS);
}

static void flush(struct client *client)
{
    for (unsigned i = 0; i < WORK_CONNECTIONS; i++)
        if (client->lines[i].count && PQflush(client->lines[i].connection))
            bench_die("libpq: the socket takes no requests of a few bytes");
}

static void run(const struct bench_target *target, struct work_load *load, bool pipeline, bool batch)
{
    struct epoll_event events[WORK_CONNECTIONS];
    struct client *client = calloc(1, sizeof *client);
    if (!client) bench_die("libpq: no memory");
    client->load = load;
    client->pipeline = pipeline;
    client->batch = batch || load->workload->transaction;
    client->exclusive = !pipeline || load->workload->transaction;
    client->more = true;
    client->busy = WORK_HANDLERS;
    client->last_waiting = &client->waiting;
    int epoll = open_client(client, target);

    bench_meter_start(&load->meter);
    for (unsigned i = 0; i < WORK_HANDLERS; i++) start_request(client, &client->handlers[i]);
    while (client->busy) { /* bounded: the meter ends the process when it stalls */
        flush(client);
        int ready = epoll_wait(epoll, events, WORK_CONNECTIONS, 1000);
        if (ready < 0 && errno != EINTR) bench_die("libpq: epoll_wait: %s", strerror(errno));
        for (int i = 0; i < ready; i++) collect(client, &client->lines[events[i].data.u32]);
        client->more = bench_tick(&load->meter);
    }

    close(epoll);
    for (unsigned i = 0; i < WORK_CONNECTIONS; i++) PQfinish(client->lines[i].connection);
    free(client);
}

void work_libpq_epoll(const struct bench_target *target, struct work_load *load) { run(target, load, false, false); }
void work_libpq_pipeline(const struct bench_target *target, struct work_load *load) { run(target, load, true, false); }
void work_libpq_batch(const struct bench_target *target, struct work_load *load) { run(target, load, true, true); }

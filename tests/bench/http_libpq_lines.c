/* The HTTP servers on libpq, their database side: connections, the queue of those who wait for one, and what is in
 * flight. Non-blocking, on the epoll descriptor of the HTTP sockets; prepared statements, binary parameters, binary
 * results. Knows nothing of HTTP, routes or answers. */
#include <stdlib.h>
#include "bench.h"
#include "http_libpq.h"

enum { DEPTH = 64 }; /* ringpg's default of pool_max_pipeline */

struct line {               /* a connection */
    struct net_watch watch; /* first: the callback casts */
    PGconn *connection;
    struct http_libpq_request *flight[DEPTH]; /* a ring; NULL: its client is gone */
    unsigned oldest, busy;                    /* busy: how many stand in it */
    unsigned due;                             /* results of queries and of Syncs that are still to come */
    bool unsent;                              /* the turn's end has something to send */
};

static struct {
    enum http_libpq_mode mode;
    unsigned count, depth;
    struct line *lines;
    struct http_libpq_request *queue, **queue_tail;
} db = {.queue_tail = &db.queue};

static void must(bool good, const struct line *line)
{
    if (!good) bench_die("libpq: %s", PQerrorMessage(line->connection));
}

/* ---- sending ---- */

static void flush(struct line *line)
{
    int left = PQflush(line->connection);
    must(left >= 0, line);
    if (left) bench_die("libpq: the socket takes no requests of a few bytes");
}

/* libpq before 17 has but the one Sync that is also sent at once. */
static void sync_each(struct line *line)
{
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    must(PQsendPipelineSync(line->connection), line);
    line->unsent = true;
#else
    must(PQpipelineSync(line->connection), line);
#endif
    line->due++;
}

static void start(struct line *line, struct http_libpq_request *request)
{
    const struct http_libpq_statement *statement = request->statement;
    const char *values[] = {(const char *)&request->id};
    const int lengths[] = {sizeof request->id}, formats[] = {1};
    must(PQsendQueryPrepared(line->connection, statement->name, statement->has_id, values, lengths, formats, 1), line);
    line->flight[(line->oldest + line->busy++) % DEPTH] = request;
    line->due++;
    switch (db.mode) {
    case HTTP_LIBPQ_ONE: flush(line); break;
    case HTTP_LIBPQ_PIPELINE: sync_each(line); break;
    case HTTP_LIBPQ_BATCH: line->unsent = true; break;
    }
}

void http_libpq_turn(void)
{
    if (db.mode == HTTP_LIBPQ_ONE) return;
    for (struct line *line = db.lines; line < db.lines + db.count; line++) {
        if (!line->unsent) continue;
        line->unsent = false;
        if (db.mode == HTTP_LIBPQ_BATCH) {
            must(PQpipelineSync(line->connection), line);
            line->due++;
        }
        flush(line);
    }
}

/* ---- who waits, and where ---- */

void http_libpq_ask(struct http_libpq_request *request)
{
    struct line *best = db.lines;
    if (!db.queue) /* else all are busy */
        for (struct line *line = db.lines; line < db.lines + db.count && best->busy; line++)
            if (line->busy < best->busy) best = line;
    if (!db.queue && best->busy < db.depth) {
        start(best, request);
        return;
    }
    request->next = NULL;
    *db.queue_tail = request;
    db.queue_tail = &request->next;
}

static void start_waiting(struct line *line)
{
    while (db.queue && line->busy < db.depth) {
        struct http_libpq_request *request = db.queue;
        db.queue = request->next;
        if (!db.queue) db.queue_tail = &db.queue;
        start(line, request);
    }
}

/* Clients that hang up are few: it may search. */
void http_libpq_forget(struct http_libpq_request *request)
{
    for (struct line *line = db.lines; line < db.lines + db.count; line++)
        for (unsigned i = 0; i < line->busy; i++)
            if (line->flight[(line->oldest + i) % DEPTH] == request) line->flight[(line->oldest + i) % DEPTH] = NULL;
    for (struct http_libpq_request **at = &db.queue; *at; at = &(*at)->next) {
        if (*at != request) continue;
        *at = request->next;
        if (!*at) db.queue_tail = at;
        return;
    }
}

/* ---- receiving ---- */

static void end_oldest(struct line *line)
{
    line->oldest = (line->oldest + 1) % DEPTH;
    line->busy--;
}

static void deliver(struct line *line, const PGresult *result)
{
    struct http_libpq_request *request = line->flight[line->oldest];
    line->flight[line->oldest] = NULL; /* replied to, its memory is another's */
    if (request) request->on_result(request, result);
}

/* In pipeline mode a query has a result and a NULL, a Sync a result. Else a query is over with its NULL. */
static int on_ready(struct net_watch *watch)
{
    struct line *line = (struct line *)watch;
    must(PQconsumeInput(line->connection), line);
    while ((line->due || (db.mode == HTTP_LIBPQ_ONE && line->busy)) && !PQisBusy(line->connection)) {
        PGresult *result = PQgetResult(line->connection);
        if (!result) {
            if (db.mode == HTTP_LIBPQ_ONE) end_oldest(line);
            continue;
        }
        line->due--;
        if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
            deliver(line, result);
            if (db.mode != HTTP_LIBPQ_ONE) end_oldest(line);
        }
        PQclear(result);
    }
    must(PQstatus(line->connection) == CONNECTION_OK, line);
    start_waiting(line);
    return 0;
}

/* ---- the beginning ---- */

static void prepare(struct line *line, const struct http_libpq_statement *statements, unsigned count)
{
    static const Oid int8[] = {20};
    for (unsigned i = 0; i < count; i++) {
        PGresult *result =
            PQprepare(line->connection, statements[i].name, statements[i].sql, statements[i].has_id, int8);
        must(PQresultStatus(result) == PGRES_COMMAND_OK, line);
        PQclear(result);
    }
}

void http_libpq_open(struct net *net, const char *conninfo, unsigned connections, enum http_libpq_mode mode,
                     const struct http_libpq_statement *statements, unsigned count)
{
    db.mode = mode;
    db.depth = mode == HTTP_LIBPQ_ONE ? 1 : DEPTH;
    db.count = connections;
    db.lines = calloc(connections, sizeof *db.lines);
    if (!db.lines) bench_die("out of memory");
    for (struct line *line = db.lines; line < db.lines + connections; line++) {
        line->connection = PQconnectdb(conninfo);
        must(line->connection && PQstatus(line->connection) == CONNECTION_OK, line);
        prepare(line, statements, count);
        must(!PQsetnonblocking(line->connection, 1), line);
        if (mode != HTTP_LIBPQ_ONE) must(PQenterPipelineMode(line->connection), line);
        line->watch = (struct net_watch){.fd = PQsocket(line->connection), .on_ready = on_ready};
        if (net_epoll_watch(net, &line->watch)) bench_die("libpq: its socket cannot be watched");
    }
}

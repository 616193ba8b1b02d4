/* libpq for the benchmark: connections, statements, the check of an answer. Knows nothing of loops. */
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <sys/epoll.h>
#include "libpq_common.h"

PGconn *libpq_open(const struct bench_target *target)
{
    char port[16];
    snprintf(port, sizeof port, "%u", target->port);
    const char *names[] = {"host", "port", "user", "dbname", "connect_timeout", "sslmode", NULL};
    const char *values[] = {target->host, port, target->user, target->database, "10", target->tls ? "require" : "disable", NULL};
    PGconn *connection = PQconnectdbParams(names, values, 0);
    libpq_must(PQstatus(connection) == CONNECTION_OK, connection);
    return connection;
}

void libpq_must(bool good, PGconn *connection)
{
    if (!good) bench_die("libpq: %s", PQerrorMessage(connection));
}

void libpq_sql(PGconn *connection, const char *sql, ExecStatusType due)
{
    PGresult *result = PQexec(connection, sql);
    libpq_must(PQresultStatus(result) == due, connection);
    PQclear(result);
}

void libpq_prepare(PGconn *connection, const char *name, const char *sql)
{
    PGresult *result = PQprepare(connection, name, sql, 0, NULL);
    libpq_must(PQresultStatus(result) == PGRES_COMMAND_OK, connection);
    PQclear(result);
}

PGconn *libpq_connect(const struct bench_target *target)
{
    PGconn *connection = libpq_open(target);
    libpq_prepare(connection, "s1", BENCH_SQL);
    libpq_must(!PQsetnonblocking(connection, 1), connection);
    return connection;
}

int libpq_watch(PGconn *const *connections, unsigned count)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) bench_die("libpq: epoll: %s", strerror(errno));
    for (unsigned i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, PQsocket(connections[i]), &event))
            bench_die("libpq: epoll: %s", strerror(errno));
    }
    return epoll;
}

void libpq_send(PGconn *connection)
{
    if (!PQsendQueryPrepared(connection, "s1", 0, NULL, NULL, NULL, 1))
        bench_die("libpq: send: %s", PQerrorMessage(connection));
}

void libpq_sync(PGconn *connection)
{
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    libpq_must(PQsendPipelineSync(connection), connection);
#else
    libpq_must(PQpipelineSync(connection), connection);
#endif
}

void libpq_check(const PGconn *connection, const PGresult *result)
{
    uint32_t value;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) bench_die("libpq: %s", PQerrorMessage(connection));
    if (PQntuples(result) != 1 || PQnfields(result) != 1 || PQgetlength(result, 0, 0) != 4)
        bench_die("libpq: not one row of one int4");
    memcpy(&value, PQgetvalue(result, 0, 0), sizeof value);
    if (ntohl(value) != BENCH_ANSWER) bench_die("libpq: the answer is not %d", BENCH_ANSWER);
}

struct libpq_pipe libpq_pipe_open(const struct bench_target *target)
{
    struct libpq_pipe pipe = {.connection = libpq_connect(target)};
    libpq_must(PQenterPipelineMode(pipe.connection), pipe.connection);
    return pipe;
}

void libpq_pipe_send(struct libpq_pipe *pipe)
{
    libpq_send(pipe->connection);
    libpq_sync(pipe->connection);
    pipe->in_flight++;
}

bool libpq_pipe_next(struct libpq_pipe *pipe)
{
    while (pipe->in_flight && !PQisBusy(pipe->connection)) { /* ends: each query has a row, a NULL and a Sync */
        PGresult *result = PQgetResult(pipe->connection);
        if (!result) continue;
        bool over = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (!over) libpq_check(pipe->connection, result);
        if (over && !pipe->answered) bench_die("libpq: a Sync before its row");
        PQclear(result);
        pipe->answered = !over;
        if (!over) continue;
        pipe->in_flight--;
        return true;
    }
    return false;
}

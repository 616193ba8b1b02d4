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

void libpq_sync(PGconn *connection)
{
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
    libpq_must(PQsendPipelineSync(connection), connection);
#else
    libpq_must(PQpipelineSync(connection), connection);
#endif
}

#define STATEMENT "s1"

static uint32_t next_id(struct libpq_line *line) { return htonl((uint32_t)bench_id(line->asked++)); }

static const int id_length = sizeof(uint32_t), id_format = 1;

static void check(struct libpq_line *line, const PGresult *result)
{
    uint32_t value;
    int32_t due = bench_number(bench_id(line->checked++));
    libpq_must(PQresultStatus(result) == PGRES_TUPLES_OK, line->connection);
    if (PQntuples(result) != 1 || PQnfields(result) != 1 || PQgetlength(result, 0, 0) != 4)
        bench_die("libpq: not one row of one int4");
    memcpy(&value, PQgetvalue(result, 0, 0), sizeof value);
    if ((int32_t)ntohl(value) != due) bench_die("libpq: the answer is not %d", due);
}

struct libpq_line libpq_line_open(const struct bench_target *target, bool pipelined)
{
    struct libpq_line line = {.connection = libpq_open(target), .pipelined = pipelined};
    libpq_prepare(line.connection, STATEMENT, BENCH_SQL);
    libpq_must(!PQsetnonblocking(line.connection, 1), line.connection);
    if (pipelined) libpq_must(PQenterPipelineMode(line.connection), line.connection);
    return line;
}

void libpq_line_send(struct libpq_line *line)
{
    uint32_t id = next_id(line);
    const char *value = (const char *)&id;
    libpq_must(PQsendQueryPrepared(line->connection, STATEMENT, 1, &value, &id_length, &id_format, 1), line->connection);
    if (line->pipelined) libpq_sync(line->connection);
    line->in_flight++;
}

bool libpq_line_next(struct libpq_line *line)
{
    while (line->in_flight && !PQisBusy(line->connection)) { /* ends: each query has a row, a NULL and maybe a Sync */
        PGresult *result = PQgetResult(line->connection);
        if (!result && line->pipelined) continue;
        bool over = !result || PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (!over) check(line, result);
        if (over && !line->answered) bench_die("libpq: a query ended without its row");
        PQclear(result);
        line->answered = !over;
        if (!over) continue;
        line->in_flight--;
        return true;
    }
    return false;
}

void libpq_line_exec(struct libpq_line *line)
{
    uint32_t id = next_id(line);
    const char *value = (const char *)&id;
    PGresult *result = PQexecPrepared(line->connection, STATEMENT, 1, &value, &id_length, &id_format, 1);
    check(line, result);
    PQclear(result);
}

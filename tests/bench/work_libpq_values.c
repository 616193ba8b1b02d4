/* What the statements of the part work are for libpq, binary both ways: their names and parameters, and what their
 * results say. Knows nothing of loops. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include "work_libpq.h"

static const char *const sql[WORK_KINDS] = {
#define FIRST(first, ...) first
#define SQL(name, rows, ...) [name] = FIRST(__VA_ARGS__, 0),
    WORK_TABLE(SQL)
#undef SQL
#undef FIRST
};

enum { NAME_BYTES = 8 };
static void name_of(char *out, size_t size, unsigned statement) { snprintf(out, size, "s%u", statement); }

void work_libpq_prepare(PGconn *connection)
{
    for (unsigned s = 0; s < WORK_KINDS; s++) {
        char name[NAME_BYTES];
        name_of(name, sizeof name, s);
        libpq_prepare(connection, name, sql[s]);
    }
}

/* ---- parameters ---- */

/* An array of int4 in binary: dimensions, no NULLs, type, length, lower bound; then each with its size. */
struct array {
    uint32_t head[5], elements[WORK_SELECTS][2];
};
static void fill_array(struct array *array, const int32_t *values)
{
    enum { INT4 = 23 };
    *array = (struct array){.head = {htonl(1), 0, htonl(INT4), htonl(WORK_SELECTS), htonl(1)}};
    for (unsigned i = 0; i < WORK_SELECTS; i++) {
        array->elements[i][0] = htonl(sizeof values[i]);
        array->elements[i][1] = htonl((uint32_t)values[i]);
    }
}

void work_libpq_send(PGconn *connection, const struct work_request *request, unsigned n)
{
    static const int binary[WORK_PARAMS] = {1, 1, 1}, int4s[WORK_PARAMS] = {4, 4, 4};
    static const int array_sizes[] = {sizeof(struct array), sizeof(struct array)};
    enum work_statement statement = work_statement(request, n);
    unsigned slot = work_slot(request, n);
    uint32_t words[WORK_PARAMS] = {htonl((uint32_t)request->ids[slot])};
    const char *values[WORK_PARAMS] = {(char *)&words[0], (char *)&words[1], (char *)&words[2]};
    const int *sizes = int4s;
    struct array arrays[2];
    int count = 0;
    switch (statement) {
    case WORK_SELECT:
    case WORK_READ:
    case WORK_SLEEP:
        count = 1;
        break;
    case WORK_UPDATE:
        fill_array(&arrays[0], request->ids);
        fill_array(&arrays[1], request->numbers);
        values[0] = (char *)&arrays[0];
        values[1] = (char *)&arrays[1];
        sizes = array_sizes;
        count = 2;
        break;
    case WORK_WRITE:
        words[1] = htonl((uint32_t)request->numbers[slot]);
        words[2] = htonl((uint32_t)request->found[slot]);
        count = 3;
        break;
    case WORK_FORTUNES:
    case WORK_BEGIN:
    case WORK_COMMIT:
    case WORK_KINDS:
        break;
    }
    char name[NAME_BYTES];
    name_of(name, sizeof name, statement);
    libpq_must(PQsendQueryPrepared(connection, name, count, values, sizes, binary, 1), connection);
}

/* ---- results ---- */

static uint32_t word_at(const PGresult *result, int row, int column)
{
    uint32_t word;
    if (PQgetisnull(result, row, column) || PQgetlength(result, row, column) != sizeof word)
        bench_die("libpq: a value that is no int4");
    memcpy(&word, PQgetvalue(result, row, column), sizeof word);
    return ntohl(word);
}

void work_libpq_check(const PGconn *connection, PGresult *result, struct work_request *request, unsigned n)
{
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        work_outcome(request, n, strtoul(PQcmdTuples(result), NULL, 10));
        return;
    }
    if (PQresultStatus(result) != PGRES_TUPLES_OK) bench_die("libpq: %s", PQerrorMessage(connection));
    int rows = PQntuples(result);
    if (PQnfields(result) != 2) bench_die("libpq: not two columns");
    bool fortunes = work_statement(request, n) == WORK_FORTUNES;
    for (int row = 0; row < rows; row++) {
        int32_t id = (int32_t)word_at(result, row, 0);
        if (!fortunes) work_row(request, n, id, (int32_t)word_at(result, row, 1));
        else if (PQgetisnull(result, row, 1)) bench_die("libpq: a message that is NULL");
        else work_message(request, id, PQgetvalue(result, row, 1), (size_t)PQgetlength(result, row, 1));
    }
    work_outcome(request, n, (uint64_t)rows);
}

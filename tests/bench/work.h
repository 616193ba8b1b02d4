/* The benchmark's part work: requests as services make them, of several statements and with tables that are read and
 * written, from ringpg and from libpq.
 *
 * Loads are closed: each handler begins the next request when the last one is over. What a request does is data, a
 * workload; how its statements get to the server is a contender's matter. A contender draws a request with work_begin,
 * sends its flights one after the other, hands in every row and every outcome, which are checked here, and calls
 * work_over. It runs in a process of its own. This knows no client, and contenders know no clock. */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H
#include "bench.h"

enum {
    WORK_HANDLERS = 64,
    WORK_CONNECTIONS = 8,
    WORK_SELECTS = 20,
    WORK_ROWS = 10000,    /* of the table; ids from 1 */
    WORK_SPREAD = 10000,  /* number % WORK_ROWS == id % WORK_ROWS, whoever wrote it; as many numbers belong to an id */
    WORK_MESSAGES = 12,   /* rows of the other table */
    WORK_STATEMENTS = 21, /* of a request at the most */
    WORK_PARAMS = 3,      /* of a statement at the most */
};

/* X(name, rows that it returns or affects, its SQL, the types of its parameters in ringpg's words). */
#define WORK_TABLE(X)                                                                                                  \
    X(WORK_SELECT, 1, "SELECT id, number FROM bench_work WHERE id = $1", PG_TYPE_INT4)                                 \
    X(WORK_UPDATE, WORK_SELECTS,                                                                                       \
      "UPDATE bench_work w SET number = n.number FROM unnest($1::int4[], $2::int4[]) n (id, number)"                   \
      " WHERE w.id = n.id",                                                                                            \
      PG_TYPE_INT4_ARRAY, PG_TYPE_INT4_ARRAY)                                                                          \
    X(WORK_FORTUNES, WORK_MESSAGES, "SELECT id, message FROM bench_work_fortune")                                      \
    X(WORK_BEGIN, 0, "BEGIN")                                                                                          \
    X(WORK_READ, 1, "SELECT id, number FROM bench_work WHERE id = $1 FOR UPDATE", PG_TYPE_INT4)                        \
    X(WORK_WRITE, 1, "UPDATE bench_work SET number = $2 WHERE id = $1 AND number = $3", PG_TYPE_INT4, PG_TYPE_INT4,    \
      PG_TYPE_INT4)                                                                                                    \
    X(WORK_COMMIT, 0, "COMMIT")                                                                                        \
    X(WORK_SLEEP, 1, "SELECT id, number FROM bench_work, pg_sleep(0.005) WHERE id = $1", PG_TYPE_INT4)
#define WORK_NAME_(name, ...) name,
enum work_statement { WORK_TABLE(WORK_NAME_) WORK_KINDS };
#undef WORK_NAME_

struct work_workload {
    const char *name, *about;
    enum work_statement statements[WORK_STATEMENTS]; /* in this order */
    unsigned flight_ends[3]; /* what goes out together ends before these; then 0 */
    unsigned ids;            /* of the rows that a request is about */
    unsigned sleeps_percent; /* so many of the requests are a WORK_SLEEP instead */
    bool transaction;        /* on a connection that nobody else has meanwhile, with one Sync a flight */
};
extern const struct work_workload work_selects, work_updates, work_fortunes, work_transaction, work_slow;

struct work_load {
    const struct work_workload *workload;
    struct bench_meter meter; /* of requests; the contender starts and ticks it */
    uint64_t random;
    uint32_t *took_ns; /* by each that ended while it was measured, but those that slept; up to `room` */
    size_t took, room;
};

struct work_request {
    const struct work_workload *workload;
    int32_t ids[WORK_SELECTS];     /* each another one, in order: updates that take locks so do not wait in a circle */
    int32_t numbers[WORK_SELECTS]; /* to be written */
    int32_t found[WORK_SELECTS];   /* what was read */
    unsigned rows, rows_due;       /* that were handed in; of which outcomes spoke */
    unsigned over;                 /* statements */
    bool sleeps;
    uint64_t began_ns;
};
void work_begin(struct work_load *load, struct work_request *request);
/* The end of the flight that begins with statement `from`, which is `from` itself when the request has no further one.
 */
unsigned work_flight_end(const struct work_workload *workload, unsigned from);
enum work_statement work_statement(const struct work_request *request, unsigned n);
/* Which of the ids, numbers and found is statement n's. */
unsigned work_slot(const struct work_request *request, unsigned n);
/* Rows of statement n; all these end the process when something is not what it has to be. */
void work_row(struct work_request *request, unsigned n, int32_t id, int32_t number);
void work_message(struct work_request *request, int32_t id, const char *message, size_t size);
void work_outcome(struct work_request *request, unsigned n, uint64_t rows);
void work_over(struct work_load *load, const struct work_request *request);

/* The tables, in a child; false: stderr says why. */
bool work_make_tables(const struct bench_target *target);
bool work_drop_tables(const struct bench_target *target);

typedef void work_run(const struct bench_target *target, struct work_load *load);
work_run work_ringpg, work_ringpg_batch, work_ringpg_steps, work_ringpg_unmarked, work_ringpg_lease;
work_run work_libpq_epoll, work_libpq_pipeline, work_libpq_batch;
#endif

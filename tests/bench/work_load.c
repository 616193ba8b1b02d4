/* What the requests of the part work are, and the check of every answer: see the header. Knows no client. */
#include <string.h>
#include "work.h"

const struct work_workload work_selects = {
    .name = "20 selects",
    .about = "20 rows by primary key",
    .flight_ends = {WORK_SELECTS},
    .ids = WORK_SELECTS,
};
const struct work_workload work_updates = {
    .name = "20 selects, 1 update",
    .about = "20 rows by primary key, then one UPDATE of all of them from two arrays",
    .statements = {[WORK_SELECTS] = WORK_UPDATE}, /* those before it are 0, a WORK_SELECT */
    .flight_ends = {WORK_SELECTS, WORK_SELECTS + 1},
    .ids = WORK_SELECTS,
};
const struct work_workload work_fortunes = {
    .name = "fortunes",
    .about = "12 rows of a number and a text, all of them read",
    .statements = {WORK_FORTUNES},
    .flight_ends = {1},
    .ids = 1,
};
const struct work_workload work_transaction = {
    .name = "transaction",
    .about = "BEGIN and SELECT FOR UPDATE; UPDATE of what was read and COMMIT; on a connection of its own",
    .statements = {WORK_BEGIN, WORK_READ, WORK_WRITE, WORK_COMMIT},
    .flight_ends = {2, 4},
    .ids = 1,
    .transaction = true,
};
const struct work_workload work_slow = {
    .name = "1 % slow",
    .about = "a row by primary key, for which one of a hundred takes 5 ms; p50 and p99 are of the others",
    .statements = {WORK_SELECT},
    .flight_ends = {1},
    .ids = 1,
    .sleeps_percent = 1,
};
_Static_assert(WORK_SELECT == 0, "what is not said is a select");

static const unsigned rows_of[WORK_KINDS] = {
#define ROWS(name, rows, ...) [name] = rows,
    WORK_TABLE(ROWS)
#undef ROWS
};

/* ---- a request ---- */

static int32_t number_for(int32_t id, uint64_t chance)
{
    return id % WORK_ROWS + (int32_t)(chance % WORK_SPREAD) * WORK_ROWS;
}

/* Of 20 ids each is drawn from a twentieth of the table. */
void work_begin(struct work_load *load, struct work_request *request)
{
    const struct work_workload *workload = load->workload;
    unsigned range = WORK_ROWS / workload->ids;
    request->workload = workload;
    request->rows = request->rows_due = request->over = 0;
    for (unsigned i = 0; i < workload->ids; i++) {
        uint64_t chance = bench_random(&load->random);
        request->ids[i] = (int32_t)(1 + i * range + (chance >> 32) % range);
        request->numbers[i] = number_for(request->ids[i], chance & UINT32_MAX);
    }
    request->sleeps = workload->sleeps_percent && bench_random(&load->random) % 100 < workload->sleeps_percent;
    request->began_ns = bench_now_ns();
}

unsigned work_flight_end(const struct work_workload *workload, unsigned from)
{
    for (const unsigned *end = workload->flight_ends; *end; end++)
        if (*end > from) return *end;
    return from;
}

enum work_statement work_statement(const struct work_request *request, unsigned n)
{
    return request->sleeps ? WORK_SLEEP : request->workload->statements[n];
}

unsigned work_slot(const struct work_request *request, unsigned n) { return n % request->workload->ids; }

/* ---- its answers ---- */

static const char *const messages[WORK_MESSAGES] = {
    "A bad random number generator: 1, 1, 1, 1, 1, 4.33e+67, 1, 1, 1",
    "A cache is a promise that nothing has changed",
    "Any lock is held for longer than you think",
    "Der Rest ist Übung: ändern, prüfen, löschen",
    "Every pool is too small, or too large",
    "If it is fast and wrong, it is not fast",
    "<script>alert(\"a row is not a page\");</script>",
    "Measure it; then measure the measure",
    "Nobody waits for the median",
    "Ein Prozess, ein Faden, ein Ring",
    "The queue is where the time goes",
    "データベースは待っている",
};

void work_row(struct work_request *request, unsigned n, int32_t id, int32_t number)
{
    unsigned slot = work_slot(request, n);
    if (id != request->ids[slot] || number % WORK_ROWS != id % WORK_ROWS)
        bench_die("the row of %d is %d with %d", request->ids[slot], id, number);
    request->found[slot] = number;
    request->rows++;
}

void work_message(struct work_request *request, int32_t id, const char *message, size_t size)
{
    if (id < 1 || id > WORK_MESSAGES || size != strlen(messages[id - 1]) || memcmp(message, messages[id - 1], size))
        bench_die("message %d is not what was written", id);
    request->rows++;
}

void work_outcome(struct work_request *request, unsigned n, uint64_t rows)
{
    enum work_statement statement = work_statement(request, n);
    if (rows != rows_of[statement])
        bench_die("statement %u of a request: %ju rows, not %u", n, (uintmax_t)rows, rows_of[statement]);
    if (statement != WORK_UPDATE && statement != WORK_WRITE) request->rows_due += rows_of[statement];
    request->over++;
}

void work_over(struct work_load *load, const struct work_request *request)
{
    unsigned due = 0;
    for (unsigned end; (end = work_flight_end(request->workload, due)) != due;) due = end;
    if (request->over != due || request->rows != request->rows_due)
        bench_die("%u statements of %u, %u rows of %u", request->over, due, request->rows, request->rows_due);
    load->meter.answered++;
    if (request->sleeps || load->meter.phase != BENCH_MEASURING) return;
    uint64_t took_ns = bench_now_ns() - request->began_ns;
    if (load->took < load->room) load->took_ns[load->took++] = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX;
}

/* ---- the tables ---- */

#define DROP "DROP TABLE IF EXISTS bench_work, bench_work_fortune"
enum { PREPARE_S = 60 };

/* Unlogged, and no vacuum: nothing of the server's own goes on beside a run. Pages that are half empty have room for
 * the new version of each row. */
bool work_make_tables(const struct bench_target *target)
{
    char rows[256], fortunes[4096];
    snprintf(rows, sizeof rows, "INSERT INTO bench_work SELECT i, i %% %d FROM generate_series(1, %d) i", WORK_ROWS,
             WORK_ROWS);
    size_t at = (size_t)snprintf(fortunes, sizeof fortunes, "INSERT INTO bench_work_fortune VALUES ");
    for (int i = 0; i < WORK_MESSAGES; i++) /* none has a quote in it */
        at += (size_t)snprintf(fortunes + at, sizeof fortunes - at, "%s(%d, '%s')", i ? ", " : "", i + 1, messages[i]);
    const char *const sql[] = {
        DROP,
        "CREATE UNLOGGED TABLE bench_work (id int4 PRIMARY KEY, number int4 NOT NULL)"
        " WITH (fillfactor = 50, autovacuum_enabled = off)",
        rows,
        "CREATE UNLOGGED TABLE bench_work_fortune (id int4 PRIMARY KEY, message text NOT NULL)",
        fortunes,
        "VACUUM (FREEZE, ANALYZE) bench_work, bench_work_fortune",
        NULL,
    };
    return bench_prepare(target, sql, PREPARE_S);
}

bool work_drop_tables(const struct bench_target *target)
{
    return bench_prepare(target, (const char *const[]){DROP, NULL}, PREPARE_S);
}

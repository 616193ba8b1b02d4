/* ringpg/query.h - a statement, a request, a row. Reactor thread only, except where it says: any thread. */
#ifndef RINGPG_QUERY_H
#define RINGPG_QUERY_H
#include "value.h"
#ifdef __cplusplus
extern "C" {
#endif

struct pg_query;
struct pg_row;
struct pg_chunk;
struct pg_rows;

/* A statement, declared once with static storage and NOT const: it gets its id on first use, atomically, by any
 * thread. Each connection prepares it when it first needs it, in the same flight as its first execution. The number
 * of statements of a process is bounded (pg_reactor_config.statements); one too many ends its query with PG_E_FULL.
 * With prepared_statements=off in the connection string it is parsed each time, by the unnamed statement. */
struct pg_statement {
    const char *sql;                                 /* one statement, NUL-terminated                         */
    uint32_t types[17]; /* of the parameters, ends at 0; PG_TYPE_INFER: the server decides */
    const char *name;                                /* for stats and traces; NULL: none                      */
    uint32_t flags;                                  /* PG_STATEMENT_*                                        */
    uint32_t id_private;
};
enum {
    PG_STATEMENT_TEXT = 1,      /* results in text format; default: binary                                         */
    PG_STATEMENT_SLOW = 4,      /* on the shared lane: runs on a connection alone, so that nobody waits behind it
                                 * (pg_pool_query); those that take long are found without it, after a few times */
    PG_STATEMENT_REPEATABLE = 2 /* may be executed twice: on the shared lane the pool repeats it once when the
                                 * connection is lost before its first row, also when it had been sent */
};
/* PG_STATEMENT(sql, types ...) is one without name and flags, which { .sql = ..., .flags = PG_STATEMENT_SLOW } has. */
#define PG_STATEMENT(...) PG_STATEMENT_(__VA_ARGS__, 0)
#define PG_STATEMENT_(sql_, ...) { (sql_), { __VA_ARGS__ }, NULL, 0, 0 }
/* For leases. BEGIN with an isolation level and a mode is a statement of its own each, static as well; `modes` is 0,
 * PG_READ_ONLY, PG_READ_WRITE, or for PG_SERIALIZABLE also PG_READ_ONLY | PG_DEFERRABLE; else it asserts. What is not
 * said is the session's default. All savepoints have one name: RELEASE and ROLLBACK TO mean the newest of a name, so
 * that they nest. Any thread. Source: SQL commands "BEGIN", "SET TRANSACTION", "SAVEPOINT". */
extern struct pg_statement pg_begin, pg_commit, pg_rollback;
extern struct pg_statement pg_savepoint, pg_release_savepoint, pg_rollback_to_savepoint;
enum pg_isolation { PG_ISOLATION_DEFAULT, PG_READ_COMMITTED, PG_REPEATABLE_READ, PG_SERIALIZABLE };
enum { PG_READ_ONLY = 1, PG_READ_WRITE = 2, PG_DEFERRABLE = 4 };
struct pg_statement *pg_begin_with(enum pg_isolation isolation, uint32_t modes);

/* What on_row answers. PAUSE (leases only; on the shared lane it means CONTINUE, since neighbours wait behind): no
 * further row until pg_query_resume. STOP: the remaining rows are dropped and the outcome is PG_E_CANCELLED; the
 * statement itself runs to its end. */
enum pg_flow { PG_CONTINUE, PG_PAUSE, PG_STOP };

/* One request. The caller's memory, zero-initialised once, reusable after its outcome. It and everything that it
 * points at belong to the library from its start (pg_pool_query, pg_lease_query) until on_done is called or
 * pg_query_abandon returns. Starting has no error return: every failure, refusal included, arrives in on_done, and
 * never inside the call that started it. */
struct pg_query {
    /* in */
    struct pg_statement *statement;                  /* this, or:                                             */
    const char *sql;                                 /* SQL built at run time, NUL-terminated; one that comes again is
                                                      * kept prepared, and its columns are known from then on, within
                                                      * bounds (statement_cache_capacity, statement_cache_bytes) */
    const struct pg_param *params;
    uint16_t nparams;                                /* at most 65,535 (the protocol's own bound)             */
    uint16_t flags;                                  /* PG_QUERY_*                                            */
    uint64_t deadline_ns; /* pg_reactor_now's clock, one for everything from start to outcome: queue, connect,
                           * prepare, execute, repetition, cancel; 0: pool_acquire_timeout from the start
                           * whenever it waits for a connection, none while it has one; PG_NEVER. An answer that
                           * comes in one batch of completions with the deadline counts */
    enum pg_flow (*on_row)(struct pg_query *, struct pg_row *); /* NULL: rows are counted and dropped         */
    enum pg_flow (*on_chunk)(struct pg_query *, const struct pg_chunk *); /* instead of on_row: rows in pieces */
    struct pg_rows *collect;                         /* instead of both: rows are kept                        */
    void (*on_done)(struct pg_query *);              /* exactly once, at the request's ReadyForQuery and not before;
                                                      * the library does not touch the query afterwards       */
    struct pg_query *next; /* a batch: one connection, one Sync, one implicit transaction; outcomes
                            * together, all or nothing; COMMIT and ROLLBACK only last */
    struct pg_error *error;                          /* NULL: status and sqlstate are enough                  */
    void *data;                                      /* the caller's                                          */
    /* out, valid from on_done on */
    int status;                                      /* PG_OK, PG_E_... or -errno                             */
    enum pg_sent sent;
    char sqlstate[6];                                /* "" unless the server reported an error                */
    uint64_t rows;                                   /* returned or affected, from the command tag            */
    char tag[16];                                    /* "UPDATE"; the command tag without its numbers         */
    /* the library's */
    uint64_t private_[20];
};
enum {
    PG_QUERY_TEXT = 1,   /* results in text format                                               */
    PG_QUERY_SIMPLE = 2, /* simple protocol: several statements in `sql`, text results; lease only, no parameters */
    PG_QUERY_UNNAMED = 4 /* do not keep the prepared statement: parsed each time */
};

/* A row is a view into the receive buffer: it dies when on_row returns, except after PG_PAUSE: then when the query is
 * resumed or ends. Columns count from 0; a column that does not exist reads as NULL and marks the row. */
uint32_t pg_row_columns(const struct pg_row *row);
uint32_t pg_row_result(const struct pg_row *row);    /* which result set of PG_QUERY_SIMPLE, from 0 */
struct pg_value pg_row_value(struct pg_row *row, uint32_t column);
int pg_row_mark(const struct pg_row *row);           /* 0, or PG_E_VALUE after a getter's complaint */
static inline bool pg_row_is_null(struct pg_row *r, uint32_t c) { return pg_is_null(pg_row_value(r, c)); }
/* As pg_value_int4(pg_row_value(row, column)) and so on, and faster. */
bool pg_row_bool(struct pg_row *row, uint32_t column);
int32_t pg_row_int4(struct pg_row *row, uint32_t column);
int64_t pg_row_int8(struct pg_row *row, uint32_t column);
double pg_row_float8(struct pg_row *row, uint32_t column);
struct pg_text pg_row_text(struct pg_row *row, uint32_t column);
int64_t pg_row_timestamptz(struct pg_row *row, uint32_t column);
int64_t pg_row_decimal(struct pg_row *row, uint32_t column, int32_t scale);

/* A piece of a row, for rows that may be too large to be in memory (up to the protocol's 1 GiB): with on_chunk every
 * row of the query comes this way, value by value in the order of the columns, and pool_max_row_bytes does not apply. A
 * value of up to PG_CHUNK_WHOLE bytes comes whole, so that getters can read it; a larger one in pieces as they are
 * received, one after the other, each not empty. The view dies when on_chunk returns, or after PG_PAUSE when the query
 * is resumed or ends; what PG_PAUSE and PG_STOP mean is the same as for on_row. Pool and connection keep at most 64 KiB
 * of it. A row without columns is one piece with a NULL. Source: DataRow. */
enum { PG_CHUNK_WHOLE = 8192 };
struct pg_chunk {
    struct pg_value value;                           /* data and size are the piece's; data NULL: SQL NULL    */
    uint32_t size, offset;                           /* of the whole value, of the piece in it: bytes         */
    bool last;                                       /* of the row                                            */
};

/* Rows that outlive their callbacks: copied into a buffer of the caller's, as they come. A row that does not fit ends
 * the query with PG_E_FULL; those before it are there. Beside its values a row takes about 24 bytes and 4 for each
 * column; each result takes its description once, 24 bytes a column and their names, and the whole 200 bytes more.
 * Buffer and struct belong to the library as long as the query does; then they may be read for as long as the caller
 * likes, by any one thread at a time. A query begins with none. */
struct pg_rows {
    void *buffer;                                    /* in: of any alignment                                  */
    size_t capacity;                                 /* in: bytes                                             */
    uint32_t count;                                  /* out: rows                                             */
    uint64_t private_[3];
};
/* Row `index` from 0, NULL: there is none. It is valid until the next pg_rows_at of the same rows; texts and bytes in
 * it are views into the buffer and stay. A getter's complaint marks the row, see pg_row_mark: the query is over. */
struct pg_row *pg_rows_at(struct pg_rows *rows, uint32_t index);

/* The columns of the query's result; inside on_row, on_chunk and on_done, also when there was no row. The name is a
 * view that dies when the callback returns. A column out of range gives zeros. What is prepared is described once:
 * `table` and `attribute` may be those of a table that was made anew since with the same columns. Source:
 * RowDescription. */
struct pg_column { struct pg_text name; uint32_t type, table; int32_t type_modifier; int16_t attribute; bool text; };
uint32_t pg_query_columns(const struct pg_query *query);
struct pg_column pg_query_column(const struct pg_query *query, uint32_t column);
struct pg_column pg_row_column(const struct pg_row *row, uint32_t column); /* the same, as long as the row is valid */

/* Rows flow again, in a later turn, never inside the call. No-op unless paused; also on a zeroed or finished query. */
void pg_query_resume(struct pg_query *query);

/* The caller goes away: when it returns, no callback comes any more and the memory is the caller's, wherever the query
 * was: parked, queued, sent, paused. No-op on a query that is not in flight. A statement that the server already has is
 * cancelled there by the rule of pg_query_cancel, and so is one whose deadline passed; its answer is dropped, and its
 * connection takes no new work before that answer and the end of the cancel request were seen; when that takes longer
 * than pool_close_linger, the connection is given up. Abandoning a member of a batch that was not sent yet ends the
 * others with PG_E_BATCH. */
void pg_query_abandon(struct pg_query *query);

/* Asks for an early end; on_done still comes, exactly once and never inside this call. No-op on a query that is not in
 * flight or whose outcome is decided. Any callback may call it. Of a batch it cancels all: this query ends as below,
 * the others with PG_E_BATCH (at the server the one that was hit ends as below, and all others with PG_E_BATCH).
 *  - Parked, or nothing of it was sent: it ends with PG_E_CANCELLED, sent PG_SENT_NO.
 *  - At the server: a CancelRequest is sent on a socket of its own. It hits whatever the backend does when it arrives,
 *    so it is only sent while nothing else that somebody still wants was written to the connection and is unanswered,
 *    neither before nor behind the query: now, or as soon as that is so; on a busy shared connection perhaps never.
 *    A query that it hit ends with PG_E_CANCELLED, sqlstate 57014, PG_SENT_YES; one that was faster, or that it could
 *    not reach, has its own outcome. Rows may come until then; a paused query must be resumed to have its outcome.
 * Until the server has closed the request's socket nothing further is sent on the connection, and nobody else gets it.
 * When that is not seen within pool_close_linger, the connection is given up: what is in flight there ends with
 * PG_E_LOST. The same holds for a query of the shared lane that is cancelled and not answered in that time.
 * Source: protocol chapter "Canceling Requests in Progress". */
void pg_query_cancel(struct pg_query *query);

#ifdef __cplusplus
}
#endif
#endif

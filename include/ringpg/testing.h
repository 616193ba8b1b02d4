/* ringpg/testing.h - a fake host and a scripted server for the tests of YOUR handlers: no server, no socket, no clock.
 * In libringpg_testing.a (pkg-config: ringpg-testing), which belongs to the libringpg.a of the same build.
 *
 *      pg_fake_open -> pg_fake_host -> pg_reactor_open, pg_pool_open    the library itself, unchanged
 *      pg_fake_answer    what the server says to each statement: a function of yours
 *      pg_fake_run       turns of all reactors, and virtual time: 30 s of timeouts take microseconds
 *      pg_fake_leaks     what your handlers still have out, by name
 *
 * The server speaks the protocol as PostgreSQL does, strictly: startup, simple and extended queries, prepared
 * statements, transactions (BEGIN, COMMIT, ROLLBACK, savepoints and failed transactions are followed by themselves),
 * cancel requests, Terminate. It knows no SQL: the answer to a statement is what your function says.
 *
 * Everything happens on the one thread that opened it, and a test with the same seed and the same calls is the same
 * test. Whatever a test may do wrong here ends it: one line on stderr says what was wrong ("simulation: ..."), then
 * abort(). So do the things that the host contract forbids (ringpg/host.h), and the lack of memory in the fake itself;
 * the library under test has the allocator of your pg_reactor_config, and its failures are the library's errors. */
#ifndef RINGPG_TESTING_H
#define RINGPG_TESTING_H
#include "pool.h"
#ifdef __cplusplus
extern "C" {
#endif

struct pg_fake;
struct pg_fake_query;                                /* one execution of a statement, inside the answer function */

/* A world with a clock of its own that stands at 1 s. `seed` decides all that is left to chance: the jitter of the
 * library's backoff, which of two things of one instant comes first, and the faults, of which there are none until
 * pg_fake_faults. Without them every way takes no time at all. 0, or -ENOMEM: then *out is NULL. */
int pg_fake_open(struct pg_fake **out, uint64_t seed) PG_WARN_UNUSED;
/* Ends the world and frees it. NULL is fine. Aborts: a reactor on one of its hosts was not freed; called from a
 * callback. */
void pg_fake_close(struct pg_fake *fake);

/* For PG_REACTOR_CONFIG: the host of one reactor, and those of further reactors of the same world (index below
 * PG_FAKE_HOSTS, 0 is pg_fake_host), which share clock and server. They live until pg_fake_close. Connection strings
 * may name any address (host=127.0.0.1; a name would be asked of the system's resolver): all lead to the one server.
 * Aborts: an index out of range. */
enum { PG_FAKE_HOSTS = 8 };
struct pg_host *pg_fake_host(struct pg_fake *fake);
struct pg_host *pg_fake_host_at(struct pg_fake *fake, unsigned index);

/* Turns of all reactors and virtual time, until nothing is left to do, or `ns` virtual ns have passed and all that
 * was due by then has happened. 0: what can happen without that time passes. Time jumps from event to event, so it
 * costs what happens in it, however long it is; but an idle connection has deadlines too (pool_max_conn_idle_time),
 * so do not pass PG_NEVER. True: nothing is left to do, ever. False: the time is up. When a reactor was closed it runs
 * to the close's end; only then may it be freed: pg_reactor_free before that aborts.
 * Callbacks run in here. Aborts: called from a callback or a fiber; a hundred thousand turns at one instant (a handler
 * that tries again for ever, without waiting). */
bool pg_fake_run(struct pg_fake *fake, uint64_t ns);

/* ---- what the server says ---- */

/* `answer` is asked once for each execution of a statement, in the order of their arrival, with the parameters that
 * were sent; for each statement of a PG_QUERY_SIMPLE by itself; also for what the pool runs itself: connect_sql,
 * reset_sql, the ROLLBACK of a connection that was returned in a transaction, the questions of target_session_attrs
 * (said nothing, this is a primary that may be written) and of PG_BUDGET_PERCENT (it has 100). It says rows, then
 * pg_fake_complete or pg_fake_error or pg_fake_drop, and any delay, in any order; what it says is copied. It runs
 * inside pg_fake_run, calls nothing of the library and keeps nothing of `query`. NULL, which is also the state at
 * first: the defaults for all. Said nothing: rows end with SELECT n; BEGIN, START, COMMIT, END, ROLLBACK, ABORT,
 * SAVEPOINT, RELEASE, SET, RESET, DISCARD, DEALLOCATE, LISTEN, UNLISTEN succeed; any other statement fails with XX000
 * and its text. A statement in a failed transaction is refused with 25P02 and not asked for; a savepoint outside of a
 * transaction with 25P01, one that was not set with 3B001. */
void pg_fake_answer(struct pg_fake *fake, void (*answer)(void *arg, struct pg_fake_query *query), void *arg);

/* What is asked. The views and the text live until the answer function returns. */
const char *pg_fake_sql(const struct pg_fake_query *query);
uint32_t pg_fake_params(const struct pg_fake_query *query);     /* how many were sent */
/* Parameter `index` from 0, with the type that the statement declares (text if it does not), as it came: read it with
 * pg_value_int8 and the like, pg_is_null. Aborts: there is no such parameter. */
struct pg_value pg_fake_param(const struct pg_fake_query *query, uint32_t index);
/* Which connection, by the order of their making, from 1; and its transaction before this statement: 'I', 'T'. */
uint32_t pg_fake_connection(const struct pg_fake_query *query);
char pg_fake_transaction(const struct pg_fake_query *query);

/* One row, in the format that the client asked for: columns by the constructors of ringpg/value.h. A text (pg_str)
 * stands for a column of type text; NULL (pg_null) for any. The types of the columns are those of pg_fake_columns, else
 * those of the rows of this answer; their names too, else "column1", ... Integers and floats are converted to the
 * column's type.
 * Aborts: rows of different numbers of columns; a value that its column's type cannot hold ("column 2 ..."). */
void pg_fake_row(struct pg_fake_query *query, const struct pg_param *columns, uint32_t n);
/* The columns of an answer, before its first row. Needed where one and the same statement is answered with rows at one
 * time and without any at another: a connection is told its columns when it prepares the statement, as PostgreSQL tells
 * it, and is bound to them. Without it, an answer whose columns differ from those before is refused with 0A000, as
 * after an ALTER TABLE; the library then prepares the statement anew and sends it once more (the answer function is
 * asked a second time), or cannot, in a batch; inside of a transaction it aborts, with the statement's text. */
struct pg_fake_column { const char *name; uint32_t type; };
void pg_fake_columns(struct pg_fake_query *query, const struct pg_fake_column *columns, uint32_t n);
/* The command tag: "UPDATE 1", "SELECT 3"; pg_query.rows and .tag come from it. What opens and ends transactions is
 * the statement, whatever the tag says; COMMIT of a failed one is answered by ROLLBACK. */
void pg_fake_complete(struct pg_fake_query *query, const char *tag);
/* ErrorResponse of severity ERROR; `sqlstate` of five characters. An open transaction has failed. */
void pg_fake_error(struct pg_fake_query *query, const char *sqlstate, const char *message);
/* The answer, and all behind it on the connection, comes that many virtual ns later; added up. PG_NEVER: not at all.
 * Meanwhile a cancel request ends the statement with 57014. */
void pg_fake_delay(struct pg_fake_query *query, uint64_t ns);
/* What was answered so far, then the connection is reset. Of a COMMIT: nobody knows its outcome. */
void pg_fake_drop(struct pg_fake_query *query);

/* ---- what happens to the server; from the test, or inside an answer ---- */

/* New connections: accepted, refused (ECONNREFUSED), or never answered (connect_timeout, a waiter's deadline). */
enum pg_fake_connect { PG_FAKE_ACCEPT, PG_FAKE_REFUSE, PG_FAKE_HANG };
void pg_fake_connects(struct pg_fake *fake, enum pg_fake_connect how);
/* New connections get a FATAL of this SQLSTATE: 57P03 and 53300 pass, 28P01 and 3D000 do not. NULL: they are served. */
void pg_fake_refuse(struct pg_fake *fake, const char *sqlstate);
/* At most so many connections at a time (100 at first); one more gets 53300. */
void pg_fake_max_connections(struct pg_fake *fake, uint32_t n);
/* All connections end: with a FATAL of this SQLSTATE, such as 57P01; NULL: reset. */
void pg_fake_disconnect(struct pg_fake *fake, const char *sqlstate);
/* A NotificationResponse on every connection, as if each had said LISTEN: the listeners of that channel have it, on
 * other connections it is passed over. */
void pg_fake_notify(struct pg_fake *fake, const char *channel, const char *payload);
/* Connections that stand now, as the server counts them. */
uint32_t pg_fake_connections(const struct pg_fake *fake);

/* Faults of network and kernel, from now on, by the seed; all 0: none. Each is a probability in 1/1000. What they do
 * must not change an outcome, but for `reset`, `refuse` and `hang`. Aborts: above 900. */
struct pg_fake_faults {
    uint32_t partial;                                /* sends and receives move fewer bytes, or are interrupted   */
    uint32_t reset;                                  /* an operation finds its connection reset                   */
    uint32_t refuse, hang;                           /* of new connections                                        */
    uint32_t lost_cancel;                            /* of cancel requests that have no effect                    */
    uint64_t latency_min_ns, latency_max_ns;         /* of each way                                               */
};
void pg_fake_faults(struct pg_fake *fake, const struct pg_fake_faults *faults);

/* ---- what is left ---- */

/* What is out on all pools that are not closed yet: leases that are held or wait, queries that run or wait, fibers
 * that have not ended. 0: nothing, which is what a test asks for before it closes. */
int pg_fake_leaks(const struct pg_fake *fake);
/* The same as text, a line for each: "a lease is held for 12 ms: b_callback.c:77". Like snprintf: writes at most
 * `capacity` bytes, the last of them a NUL, and returns how long the whole is without it. */
size_t pg_fake_leak_report(const struct pg_fake *fake, char *out, size_t capacity);

#ifdef __cplusplus
}
#endif
#endif

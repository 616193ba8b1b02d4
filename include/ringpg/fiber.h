/* ringpg/fiber.h - straight code on top of the callbacks: every await parks the fiber, the completion resumes it
 * inline. Reactor thread only. pg_await_*, pg_fiber_self and pg_fiber_park outside a fiber assert. */
#ifndef RINGPG_FIBER_H
#define RINGPG_FIBER_H
#include "copy.h"
#include "pool.h"
#ifdef __cplusplus
extern "C" {
#endif
/* By value: a handle to a fiber that ended is harmless; zeros: none. */
struct pg_fiber { uint32_t slot, generation; };

/* `run(arg)` starts in a turn, never inside the call; the fiber ends when it returns. `out` may be NULL.
 * PG_E_FULL: pg_reactor_config.fibers are alive; -ENOMEM: no stack. */
int pg_fiber_spawn(struct pg_reactor *reactor, void (*run)(void *), void *arg, struct pg_fiber *out) PG_WARN_UNUSED;
struct pg_fiber pg_fiber_self(void);
/* Waits for an unpark. 0, PG_E_TIMEOUT, PG_E_CANCELLED. */
int pg_fiber_park(uint64_t deadline_ns) PG_WARN_UNUSED;
/* Before the park too: it is remembered, once. The fiber resumes in a later turn. Handles are the calling thread's
 * reactor's. */
void pg_fiber_unpark(struct pg_fiber fiber);
/* This and every later await of the fiber gives PG_E_CANCELLED; what it awaited has been abandoned before the await
 * returns. No-op when it ended. The fiber resumes in a later turn. */
void pg_fiber_cancel(struct pg_fiber fiber);

int pg_await_acquire(struct pg_pool *pool, struct pg_lease *lease) PG_WARN_UNUSED; /* 0: held; on_grant must be NULL */
/* Of a query that was started with on_done NULL: its status. Returns at once if it ended before. Whoever else abandons
 * the query or its lease meanwhile must cancel the fiber as well: nothing else would resume it. */
int pg_await(struct pg_query *query) PG_WARN_UNUSED;
/* Pull, on a lease, of a query with .on_row = pg_row_pull and on_done NULL: 1 a row, valid until the next call and
 * also across other awaits (but when the query ends meanwhile, by its deadline or a lost connection, the row has no
 * columns any more); 0 end; < 0 the query's status. The query is over unless it returned 1. Who wants no more rows
 * abandons query or lease, or awaits the outcome with pg_await. */
int pg_await_row(struct pg_query *query, struct pg_row **row) PG_WARN_UNUSED;
enum pg_flow pg_row_pull(struct pg_query *query, struct pg_row *row);
/* A COPY that was started with on_done and on_writable NULL and, to be read, .on_data = pg_copy_pull; its outcome comes
 * from pg_await(&copy.query), which drops what nobody has read. The same rule about abandoning as for pg_await.
 * write: all of `size` bytes are taken or dropped as by pg_copy_write: 0; the status of a COPY that has ended; < 0.
 * Then pg_copy_finish and pg_await.
 * read: like read(2): 1 to `capacity` bytes, a chunk or a piece of one, were copied to `to`; 0: the end, it has
 * succeeded; < 0: its status. The COPY is over unless it returned more than 0. */
int pg_await_copy_write(struct pg_copy *copy, const void *at, size_t size) PG_WARN_UNUSED;
int64_t pg_await_copy_read(struct pg_copy *copy, void *to, size_t capacity) PG_WARN_UNUSED;
enum pg_flow pg_copy_pull(struct pg_copy *copy, struct pg_text chunk);
int pg_await_sleep(uint64_t until_ns) PG_WARN_UNUSED; /* 0, PG_E_CANCELLED; PG_NEVER: until it is cancelled */
/* Acquire, BEGIN (`begin`, NULL: pg_begin; pg_begin_with), body, COMMIT, release. When body returns not 0: ROLLBACK,
 * and that value is returned; the body neither commits nor rolls back itself. All of it again, up to `attempts` times
 * (at least once), when a statement failed with 40001 or 40P01. `deadline_ns` covers the acquire, BEGIN and COMMIT;
 * body sets its own. 0: committed. Else `error` (may be NULL) has the details of what failed in acquire, BEGIN or
 * COMMIT, a deferred constraint for example, and its `sent` speaks of the whole: PG_SENT_NO nothing was committed,
 * PG_SENT_MAYBE the answer to COMMIT is unknown, PG_SENT_YES the server refused it (PG_E_SERVER, PG_E_ROLLED_BACK). */
int pg_await_transaction(struct pg_pool *pool, struct pg_statement *begin, int attempts, uint64_t deadline_ns,
                         int (*body)(struct pg_lease *, void *arg), void *arg, struct pg_error *error) PG_WARN_UNUSED;
/* In a transaction, of pg_await_transaction's body for example: SAVEPOINT, body, RELEASE. When body returns not 0, what
 * it did is rolled back, that value is returned, and the transaction goes on as if it had not been called; when that
 * does not succeed, the transaction is of no use any more, and the reason is returned. They nest. `deadline_ns` covers
 * the three statements; body sets its own. `error` (may be NULL) has the details of SAVEPOINT and RELEASE. After 40001
 * the whole transaction has to be tried again. */
int pg_await_savepoint(struct pg_lease *lease, uint64_t deadline_ns, int (*body)(struct pg_lease *, void *arg),
                       void *arg, struct pg_error *error) PG_WARN_UNUSED;
#ifdef __cplusplus
}
#endif
#endif

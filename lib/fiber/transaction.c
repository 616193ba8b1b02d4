/* fiber/transaction.c - a body of straight code between BEGIN and COMMIT, or between a savepoint and its release: what
 * fails is rolled back, and a transaction that met others' is tried again. Only what fiber.h offers is used here, and
 * of the lease whether a conflict was seen. */
#include <string.h>
#include "conn/query.h"
#include "fiber/fiber.h"

static int run(struct pg_lease *lease, struct pg_statement *statement, uint64_t deadline_ns, struct pg_error *error)
{
    struct pg_query q = { .statement = statement, .deadline_ns = deadline_ns, .error = error };
    pg_lease_query(lease, &q);
    return pg_await(&q);
}

/* BEGIN and the body have no effect without COMMIT, whatever became of them at the server. */
static int without_effect(struct pg_error *error, int rc)
{
    if (error) error->code = rc, error->sent = PG_SENT_NO;
    return rc;
}

static int commit(struct pg_lease *lease, uint64_t deadline_ns, struct pg_error *error)
{
    int rc = run(lease, &pg_commit, deadline_ns, error);
    if (rc == PG_E_CANCELLED && error) error->code = rc, error->sent = PG_SENT_MAYBE; /* given up, wherever it was */
    return rc;
}

/* One attempt. `*conflict`: it failed, and may succeed when it is tried again. */
static int attempt(struct pg_lease *lease, struct pg_statement *begin, uint64_t deadline_ns,
                   int (*body)(struct pg_lease *, void *), void *arg, bool *conflict)
{
    int rc = run(lease, begin, deadline_ns, lease->error);
    if (rc) return without_effect(lease->error, rc);
    rc = body(lease, arg);
    rc = rc ? without_effect(lease->error, rc) : commit(lease, deadline_ns, lease->error);
    *conflict = rc != 0 && rp_lease(lease)->conflict;
    char state = pg_lease_transaction(lease);
    if (state == 'T' || state == 'E') (void)!run(lease, &pg_rollback, deadline_ns, NULL); /* else the pool does it */
    return rc;
}

int pg_await_transaction(struct pg_pool *pool, struct pg_statement *begin, int attempts, uint64_t deadline_ns,
                         int (*body)(struct pg_lease *, void *arg), void *arg, struct pg_error *error)
{
    struct rp_fiber *f = rp_fiber_current();
    for (int n = 1;; n++) {
        struct pg_lease lease = { .deadline_ns = deadline_ns, .tag = "pg_await_transaction", .error = error };
        bool conflict = false;
        if (error) memset(error, 0, sizeof *error);
        int rc = pg_await_acquire(pool, &lease);
        if (rc) return without_effect(error, rc);
        rc = attempt(&lease, begin ? begin : &pg_begin, deadline_ns, body, arg, &conflict);
        pg_lease_abandon(&lease);
        if (!conflict || n >= attempts || f->cancelled) return rc;
    }
}

/* ---- savepoints ---- */

/* Behind each other in one flight; the first that fails. */
static int run_both(struct pg_lease *lease, struct pg_statement *first, struct pg_statement *second,
                    uint64_t deadline_ns)
{
    struct pg_query q[2] = { { .statement = first, .deadline_ns = deadline_ns },
                             { .statement = second, .deadline_ns = deadline_ns } };
    pg_lease_query(lease, &q[0]);
    pg_lease_query(lease, &q[1]);
    int rc = pg_await(&q[0]), behind = pg_await(&q[1]);
    return rc ? rc : behind;
}

int pg_await_savepoint(struct pg_lease *lease, uint64_t deadline_ns, int (*body)(struct pg_lease *, void *arg),
                       void *arg, struct pg_error *error)
{
    if (error) memset(error, 0, sizeof *error);
    int rc = run(lease, &pg_savepoint, deadline_ns, error);
    if (rc) return rc;
    rc = body(lease, arg);
    if (rc == 0) return run(lease, &pg_release_savepoint, deadline_ns, error);
    int back = run_both(lease, &pg_rollback_to_savepoint, &pg_release_savepoint, deadline_ns);
    return back ? back : rc;
}

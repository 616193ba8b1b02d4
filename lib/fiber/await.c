/* fiber/await.c - straight code over leases and queries: the fiber leaves a waker in the place of a callback, waits,
 * and takes it away again before the await returns, so that no struct of the caller keeps a way into a fiber that
 * went on.
 *
 * Knows of conn/ only the waker and the place of a query. Invariant: when an await returns PG_E_CANCELLED, what it
 * was given is abandoned. */
#include <string.h>
#include "conn/query.h"
#include "fiber/fiber.h"

/* On the waiting fiber's stack. */
struct await {
    struct rp_waker waker;
    struct rp_fiber *fiber;
    int status;
    bool told;
    bool wants_row;
    bool wants_room;          /* of a COPY, to write       */
    char *into;               /* of a COPY, to read: ...   */
    size_t capacity, got;     /* ... as many bytes, or less */
};

/* On the stack of the row's delivery, while the fiber that it resumed looks at the row. */
struct rp_pull {
    struct pg_query *query;
    bool again; /* the fiber waits for the next one already */
};

static void wake(struct rp_waker *waker, int status)
{
    struct await *a = RP_CONTAINER(waker, struct await, waker);
    if (status == RP_WAKE_ROOM && !a->wants_room) return;
    a->told = status != RP_WAKE_ROOM;
    a->status = status;
    rp_fiber_resume(a->fiber);
}

static struct await await_of(struct rp_fiber *f)
{
    return (struct await){ .waker.wake = wake, .fiber = f };
}

/* ---- lease ---- */

int pg_await_acquire(struct pg_pool *pool, struct pg_lease *lease)
{
    struct rp_fiber *f = rp_fiber_current();
    RP_CALLER(!lease->on_grant, "an awaited lease has no on_grant");
    if (f->cancelled) return PG_E_CANCELLED;
    if (pg_pool_try_acquire(pool, lease) == 0) return 0;
    struct await a = await_of(f);
    rp_lease_set_waker(lease, &a.waker);
    pg_pool_acquire(pool, lease);
    rp_fiber_wait(f, RP_WAIT_TOLD);
    rp_lease_set_waker(lease, NULL);
    if (f->cancelled) {
        pg_lease_abandon(lease);
        return PG_E_CANCELLED;
    }
    RP_ASSERT(a.told);
    if (a.status == PG_E_TIMEOUT) rp_saw_nested(pool, lease, f->stack, rp_fiber_stack_bytes(f));
    return a.status;
}

/* ---- query ---- */

static int give_up(struct pg_query *q)
{
    rp_query_set_waker(q, NULL);
    pg_query_abandon(q);
    return PG_E_CANCELLED;
}

/* 0: told of the outcome, or there is a row. */
static int wait_for(struct rp_fiber *f, struct pg_query *q, struct await *a)
{
    RP_CALLER(rp_query_running(q) && !rp_query(q)->waker, "an awaited query was started, and nobody else awaits it");
    rp_query_set_waker(q, &a->waker);
    rp_fiber_wait(f, RP_WAIT_TOLD);
    if (f->cancelled) return give_up(q);
    rp_query_set_waker(q, NULL);
    return 0;
}

static bool pulls(struct pg_query *q)
{
    bool copy = rp_query(q)->waiter.flags & RP_QUERY_COPY;
    return copy ? rp_copy_of(q)->on_data == pg_copy_pull : q->on_row == pg_row_pull;
}

int pg_await(struct pg_query *q)
{
    struct rp_fiber *f = rp_fiber_current();
    RP_CALLER(!q->on_done, "an awaited query has no on_done");
    if (f->cancelled) return give_up(q);
    if (rp_query_done(q)) return q->status;
    struct await a = await_of(f);
    if (pulls(q)) pg_query_resume(q); /* what nobody pulled */
    int rc = wait_for(f, q, &a);
    if (rc) return rc;
    RP_ASSERT(a.told);
    return a.status;
}

/* ---- rows ---- */

/* What the fiber waits for is there. By the end the query may be gone, and the fiber too. */
static enum pg_flow hand_over(struct pg_query *q, const struct await *a)
{
    struct rp_pull pull = { .query = q };
    struct rp_fiber *f = a->fiber;
    f->pull = &pull;
    rp_fiber_resume(f);
    return pull.again ? PG_CONTINUE : PG_PAUSE;
}

enum pg_flow pg_row_pull(struct pg_query *q, struct pg_row *row)
{
    struct rp_query *rq = rp_query(q);
    RP_ASSERT(rq->waiter.lane == RP_LANE_LEASED_QUERY); /* on the shared lane a row cannot wait for its fiber */
    struct await *a = rq->waker ? RP_CONTAINER(rq->waker, struct await, waker) : NULL;
    if (a && !a->wants_row) return PG_CONTINUE;
    rq->row = row;
    return a ? hand_over(q, a) : PG_PAUSE;
}

static int take(struct pg_query *q, struct pg_row **row)
{
    RP_ASSERT(rp_query(q)->row);
    *row = rp_query(q)->row;
    rp_query(q)->row = NULL;
    return 1;
}

/* The next one is asked for, maybe from inside of the delivery of the last. */
static void go_on(struct rp_fiber *f, struct pg_query *q)
{
    if (f->pull && f->pull->query == q) f->pull->again = true;
    else pg_query_resume(q);
}

int pg_await_row(struct pg_query *q, struct pg_row **row)
{
    struct rp_fiber *f = rp_fiber_current();
    RP_CALLER(!q->on_done && q->on_row == pg_row_pull, "a query whose rows are awaited has pg_row_pull and no on_done");
    *row = NULL;
    if (f->cancelled) return give_up(q);
    if (rp_query_done(q)) return q->status;
    struct rp_query *rq = rp_query(q);
    if (rq->row && rq->waiter.place == RP_PLACE_ACTIVE) return take(q, row);
    rq->row = NULL; /* its connection is gone, and it with it */
    go_on(f, q);
    struct await a = await_of(f);
    a.wants_row = true;
    int rc = wait_for(f, q, &a);
    if (rc) return rc;
    return a.told ? a.status : take(q, row);
}

/* ---- COPY ---- */

int pg_await_copy_write(struct pg_copy *copy, const void *at, size_t size)
{
    struct rp_fiber *f = rp_fiber_current();
    struct pg_query *q = &copy->query;
    RP_CALLER(!q->on_done && !copy->on_writable, "a COPY that is awaited has neither on_done nor on_writable");
    for (const char *from = at;;) {
        if (f->cancelled) return give_up(q);
        if (rp_query_done(q)) return q->status;
        size_t taken = pg_copy_write(copy, from, size);
        from += taken;
        size -= taken;
        if (size == 0) return 0;
        struct await a = await_of(f);
        a.wants_room = true;
        int rc = wait_for(f, q, &a);
        if (rc) return rc;
    }
}

/* What fits of the chunk, or of what is left of it. */
static void fill(struct await *a, struct pg_text *chunk)
{
    size_t n = a->capacity - a->got < chunk->size ? a->capacity - a->got : chunk->size;
    memcpy(a->into + a->got, chunk->data, n);
    a->got += n;
    chunk->data += n;
    chunk->size -= n;
}

enum pg_flow pg_copy_pull(struct pg_copy *copy, struct pg_text chunk)
{
    struct pg_query *q = &copy->query;
    struct rp_waker *waker = rp_query(q)->waker;
    struct await *a = waker ? RP_CONTAINER(waker, struct await, waker) : NULL;
    if (a && !a->into) return PG_CONTINUE;
    if (a) fill(a, &chunk);
    rp_copy(copy)->rest = chunk;
    return a ? hand_over(q, a) : PG_PAUSE;
}

int64_t pg_await_copy_read(struct pg_copy *copy, void *to, size_t capacity)
{
    struct rp_fiber *f = rp_fiber_current();
    struct pg_query *q = &copy->query;
    struct pg_text *rest = &rp_copy(copy)->rest;
    RP_CALLER(!q->on_done && copy->on_data == pg_copy_pull, "a COPY that is read has pg_copy_pull and no on_done");
    RP_CALLER(capacity > 0, "a COPY is read into a buffer");
    if (f->cancelled) return give_up(q);
    if (rp_query_done(q)) return q->status;
    struct await a = await_of(f);
    a.into = to;
    a.capacity = capacity;
    if (rest->size && rp_query(q)->waiter.place == RP_PLACE_ACTIVE) fill(&a, rest);
    else rest->size = 0; /* its connection is gone, and it with it */
    if (a.got) return (int64_t)a.got;
    go_on(f, q);
    int rc = wait_for(f, q, &a);
    if (rc) return rc;
    return a.told ? a.status : (int64_t)a.got;
}

/* conn/query.h - what the library keeps in the private area of a caller's query, and how something that waits without a
 * callback (a fiber) is told. */
#ifndef RP_CONN_QUERY_H
#define RP_CONN_QUERY_H
#include "reactor/reactor.h"
#include "ringpg/copy.h"
#include "wire/copy.h"
#include "wire/row.h"

struct rp_conn;
struct rp_slot;

/* Told inline when its lease was granted or refused, or its query has ended: in the place of on_grant and on_done. And
 * in the place of on_writable, with a status that is none. */
enum { RP_WAKE_ROOM = 1 };
struct rp_waker {
    void (*wake)(struct rp_waker *, int status);
};

/* Where a caller's struct is. Zero: nowhere, also after its outcome. */
enum rp_place {
    RP_PLACE_NONE,
    RP_PLACE_PARKED, /* in pool->waiting, ->urgent or ->slow                  */
    RP_PLACE_ACTIVE, /* a lease that is held; a query in a connection's FIFO  */
    RP_PLACE_ENDED,  /* in pool->ended: its outcome is decided and due        */
    RP_PLACE_DONE,   /* a query whose outcome was given; read by pg_await     */
};
/* OWN: a query of the pool itself; HOOK: a lease that a hook has. Neither is ever parked. */
enum rp_lane { RP_LANE_LEASE, RP_LANE_SHARED, RP_LANE_LEASED_QUERY, RP_LANE_OWN, RP_LANE_HOOK };

/* The common head of leases and queries: one FIFO holds both. */
struct rp_waiter {
    TAILQ_ENTRY(rp_waiter) link;
    struct pg_pool *pool;
    struct rp_timer timer;
    uint64_t since_ns; /* parked or started */
    int32_t status;    /* while ENDED       */
    uint8_t lane, place;
    uint8_t flags; /* RP_QUERY_* */
    uint8_t sql_class;
};
TAILQ_HEAD(rp_waiters, rp_waiter);
enum {
    RP_QUERY_WAITED = 1,   /* was parked, for the statistics                  */
    RP_QUERY_REPEATED = 2, /* REPEATABLE: its one repetition was used up      */
    RP_LEASE_HIGH = 4,     /* PG_PRIORITY_HIGH: parked in pool->urgent        */
    RP_QUERY_ROWS = 8,     /* at least one row was delivered                  */
    RP_QUERY_AGAIN = 32,   /* parked for the second time: its connection was lost */
    RP_QUERY_CANCEL = 16,  /* its caller asked the server to stop it          */
    RP_QUERY_SLOW = 64,    /* the first of a batch: parked in pool->slow, or runs alone */
    RP_QUERY_COPY = 128,   /* it is a pg_copy's                               */
};

struct rp_query {
    struct rp_waiter waiter;
    struct rp_slot *slot;     /* ACTIVE: whose connection              */
    struct pg_lease *lease;   /* leased lane: while it is held         */
    struct pg_query *head;    /* the batch's first, itself when alone  */
    struct rp_waker *waker;
    struct pg_row *row;       /* fiber/: delivered and not taken yet   */
    const struct rp_columns *columns; /* inside the callbacks          */
    size_t bind_size;         /* bytes                                 */
    uint32_t sequence;        /* in the session's FIFO                 */
    uint32_t work_ns;         /* what it was expected to cost          */
};
_Static_assert(sizeof(struct rp_query) <= sizeof(((struct pg_query *)0)->private_), "pg_query.private_ is too small");

static inline struct rp_query *rp_query(struct pg_query *q) { return (struct rp_query *)(void *)q->private_; }
static inline struct pg_query *rp_query_of(struct rp_waiter *w)
{
    return RP_CONTAINER(w, struct pg_query, private_);
}

enum { RP_COPY_COLUMNS = 1664 }; /* as many as a result of PostgreSQL's may have */
struct rp_copy {
    uint8_t direction;                        /* PG_COPY_*                                   */
    enum { RP_COPY_GOES_ON, RP_COPY_ENDS, RP_COPY_FAILS } end; /* as its caller said         */
    bool binary;                              /* on the whole                                */
    uint16_t columns;
    char failure[RP_COPY_FAILURE + 1];        /* said before the server took data            */
    uint8_t binaries[RP_COPY_COLUMNS / 8];    /* a bit for each column                       */
    struct pg_text rest;                      /* fiber/: of a chunk, not taken yet           */
};
_Static_assert(sizeof(struct rp_copy) <= sizeof(((struct pg_copy *)0)->private_), "pg_copy.private_ is too small");

static inline struct rp_copy *rp_copy(struct pg_copy *copy) { return (struct rp_copy *)(void *)copy->private_; }
static inline struct pg_copy *rp_copy_of(struct pg_query *q) { return RP_CONTAINER(q, struct pg_copy, query); }

struct rp_lease {
    struct rp_waiter waiter;
    struct rp_slot *slot; /* NULL: not held, or its connection is lost */
    struct rp_waker *waker;
    uint32_t ended; /* of its queries, how many are in pool->ended    */
    bool conflict;  /* one of its queries failed with 40001 or 40P01  */
};
_Static_assert(sizeof(struct rp_lease) <= sizeof(((struct pg_lease *)0)->private_), "pg_lease.private_ is too small");

static inline struct rp_lease *rp_lease(struct pg_lease *l) { return (struct rp_lease *)(void *)l->private_; }
static inline struct pg_lease *rp_lease_of(struct rp_waiter *w)
{
    return RP_CONTAINER(w, struct pg_lease, private_);
}

/* For fiber/, pool/stats.c: the lease timed out while whoever awaited it held another one of the pool, if a lease's
 * struct stands in the `bytes` bytes at `stack`. Counted, and told in the lease's error. */
void rp_saw_nested(struct pg_pool *pool, struct pg_lease *timed_out, const void *stack, size_t bytes);

/* For fiber/: instead of on_grant and on_done, which must be NULL; NULL takes it away again. */
static inline void rp_query_set_waker(struct pg_query *q, struct rp_waker *w) { rp_query(q)->waker = w; }
static inline void rp_lease_set_waker(struct pg_lease *l, struct rp_waker *w) { rp_lease(l)->waker = w; }
/* Its outcome stands in `status`. */
static inline bool rp_query_done(struct pg_query *q) { return rp_query(q)->waiter.place == RP_PLACE_DONE; }
/* Started and not over yet. */
static inline bool rp_query_running(struct pg_query *q)
{
    uint8_t place = rp_query(q)->waiter.place;
    return place == RP_PLACE_PARKED || place == RP_PLACE_ACTIVE || place == RP_PLACE_ENDED;
}

#endif

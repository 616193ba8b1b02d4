/* sim/nth_failure.h - one allocation or one host call fails, somewhere in a short scenario: the world that scenarios
 * begin with, and what they may ask in it.
 *
 *      nth_failure.c   every scenario for every n; what must hold afterwards
 *      nth_world.c     the world, its server's answers, the recorders
 *      nth_query.c     scenarios of the shared lane            nth_lease.c   of leases and fibers
 *      nth_pool.c      of the pool's life and of several pools
 *      nth_hooks.c     hooks for the scenarios that have them */
#ifndef SIM_NTH_FAILURE_H
#define SIM_NTH_FAILURE_H
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include "sim/pg_sim.h"

enum { QUERIES = 40, LEASES = 6, LARGE = 150000 };

struct world;
struct held { /* lease */
    struct pg_lease lease;
    struct world *world;
    void (*then)(struct held *); /* when it is granted */
    unsigned grants, returned;
    int status;
    bool abandoned;              /* then it may never have been granted */
};
struct one { /* query */
    struct pg_query query;
    struct pg_param param;
    struct pg_error error;
    struct world *world;
    struct held *held;
    unsigned done, rows;
    bool gone;                   /* given up: it may have ended before */
    size_t bytes;                /* of the last row */
    enum pg_flow flow;           /* what its on_row answers */
};
struct world {
    const struct scenario *scenario;
    struct heap heap;
    struct sim *sim;
    struct model_server *server, *beside; /* beside: at port 5433, where the scenario has two */
    struct pg_reactor *reactor;
    struct pg_pool *pool, *second;
    struct pg_budget *budget;
    struct one query[QUERIES];
    struct held held[LEASES];
    unsigned queries, leases;
    unsigned warm_begun, warm_told, opened, closed, fibers_begun, fibers_ended;
};

struct scenario {
    const char *name;
    bool (*step)(struct world *, int step); /* called again, after 5 s, as long as it says true */
    const char *options;                    /* of the pool, beside pool_max_conns=3; "hooked": it has all hooks */
    const char *clean;                      /* its outcomes where nothing fails: queries | leases, a letter each */
    enum model_auth auth;
    unsigned with;
};
enum { WITH_BESIDE = 1, WITH_BUDGET = 2 };
extern const struct scenario nth_query[], nth_lease[], nth_pool[]; /* each ends with a NULL name */

/* nth_world.c */
extern struct pg_statement nth_echo, nth_echo_text, nth_insert, nth_keep, nth_rows;
bool begin_world(struct world *w, const struct scenario *s, uint64_t allocation, uint64_t call); /* false: -ENOMEM */
int open_pool(struct world *w, struct pg_pool **pool, const char *options);
void close_pool(struct world *w, struct pg_pool **pool, uint64_t drain_ns); /* and forgets it */
void end_world(struct world *w);
void pass(struct world *w, uint64_t ns);
struct one *make(struct world *w, struct pg_statement *statement, int64_t value);
struct one *make_sql(struct world *w, const char *sql);
struct one *ask(struct world *w, struct pg_statement *statement, int64_t value); /* on the pool's shared lane */
struct one *ask_sql(struct world *w, const char *sql);
void give_up(struct one *o);
/* A lease that calls `then` when it is held; NULL: it stays so. */
struct held *acquire(struct world *w, void (*then)(struct held *), uint64_t deadline_ns);
void let_go(struct held *h);
void abandon(struct held *h);
bool is_held(const struct held *h);
struct one *ask_held(struct held *h, struct pg_statement *statement, const char *sql,
                     void (*done)(struct pg_query *)); /* NULL: on_done */
void on_done(struct pg_query *q);
void release_when_done(struct pg_query *q);
/* nth_hooks.c */
void set_hooks(struct pg_pool_config *config);
#endif

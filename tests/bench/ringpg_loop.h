/* What ringpg's contenders share: a ring of their own with a reactor and a pool on it, waiting with pg_uring_wait. Only
 * the public headers. */
#ifndef BENCH_RINGPG_LOOP_H
#define BENCH_RINGPG_LOOP_H
#include <liburing.h>
#include "bench.h"
#include "ringpg.h"
#include "ringpg/uring.h"

struct ringpg_loop {
    struct io_uring ring;
    struct pg_uring *uring;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
};
void ringpg_loop_open(struct ringpg_loop *loop, const struct bench_target *target, unsigned connections);
/* The same with further options of the connection string, for so many declared statements, and with that spin_ns of
 * pg_uring_config. `connections` 0: what the options say, or the pool's own default; `statements` 0: the reactor's. */
struct ringpg_loop_more {
    const char *options; /* NULL: none */
    unsigned statements, spin_ns;
};
void ringpg_loop_open_with(struct ringpg_loop *loop, const struct bench_target *target, unsigned connections,
                           const struct ringpg_loop_more *more);
/* Every connection stands before the first query, so that all contenders have the same number of them. Bounded by the
 * meter, which was started. */
void ringpg_loop_await(struct ringpg_loop *loop, unsigned connections, struct bench_meter *meter);
/* One round: turn, wait, completions. False: the reactor was closed and is empty. */
bool ringpg_loop_turn(struct ringpg_loop *loop);
bool ringpg_loop_turn_for(struct ringpg_loop *loop, int64_t most_ns); /* waits no longer than that */
/* For runs on one connection: lent for good, and SQL that has to succeed before anything is measured there. The child's
 * own time bounds both. */
void ringpg_loop_lend(struct ringpg_loop *loop, struct pg_lease *lease);
void ringpg_loop_sql(struct ringpg_loop *loop, struct pg_lease *lease, const char *sql);
struct pg_pool_stats ringpg_loop_stats(const struct ringpg_loop *loop);
void ringpg_loop_close(struct ringpg_loop *loop, struct bench_meter *meter); /* bounded by the meter */
#endif

/* support/live.h - a reactor on a real host, for tests beside a real server: what the fixtures of tests/server share.
 * Loops are bounded by a generous time that only a hang reaches. */
#ifndef SUPPORT_LIVE_H
#define SUPPORT_LIVE_H
#include <liburing.h>
#include "ringpg.h"
#include "ringpg/epoll.h"
#include "ringpg/uring.h"

enum live_host { LIVE_URING, LIVE_EPOLL };
struct live {
    enum live_host kind;
    struct io_uring ring;
    struct pg_uring *uring;
    struct pg_epoll *epoll;
    struct pg_reactor *reactor;
};

/* False: the kernel forbids io_uring; the reason was printed. */
bool live_open(struct live *l, enum live_host kind);
/* One turn and one wait. */
void live_step(struct live *l);
void live_step_within(struct live *l, int64_t most_ns); /* the wait is no longer than that */
/* Until done(arg); false: it did not happen within 30 s. */
bool live_until(struct live *l, bool (*done)(void *), void *arg);
/* Closes reactor and pools, asserts that they end. */
void live_close(struct live *l);
/* Opens a pool on DATABASE_URL, or on `url` with `options` behind it (keyword/value, translated where `url` is a URI).
 */
struct pg_pool *live_pool(struct live *l, const char *url, const char *options);
/* The same with a configuration of its own, whose conninfo is filled in. */
struct pg_pool *live_pool_with(struct live *l, struct pg_pool_config *config, const char *url, const char *options);
/* Starts a query on pool or lease (one of them NULL) and runs until its outcome; the status. */
int live_query(struct live *l, struct pg_pool *pool, struct pg_lease *lease, struct pg_query *q);
int live_acquire(struct live *l, struct pg_pool *pool, struct pg_lease *lease);
const char *live_env(const char *name); /* fails the test where it is missing: tests/run sets it */

#endif

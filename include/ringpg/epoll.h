/* ringpg/epoll.h - a host with one descriptor that any loop can watch for POLLIN: epoll, libuv, libevent, poll. For
 * machines where io_uring is forbidden, and for programs whose loop is readiness-based. */
#ifndef RINGPG_EPOLL_H
#define RINGPG_EPOLL_H
#include "host.h"
#include "error.h"
#ifdef __cplusplus
extern "C" {
#endif
struct pg_epoll;

/* In a loop of the program's own: pg_reactor_turn, then wait for the descriptor at most as long as the turn said, then
 * pg_epoll_dispatch(epoll, 0), directly before the next turn or among the program's own events. */

/* -errno of epoll_create1(2) and eventfd(2); -ENOMEM. `error` may be NULL. */
int pg_epoll_open(struct pg_epoll **out, struct pg_error *error) PG_WARN_UNUSED;
struct pg_host *pg_epoll_host(struct pg_epoll *epoll);
int pg_epoll_fd(const struct pg_epoll *epoll); /* owned by the host; readable while there is something to dispatch */

/* Delivers what is ready after waiting at most `wait_ns` (as pg_reactor_turn returned it; 0: only what is ready). Runs
 * callbacks. 0, also when the time ran out or a signal came; -errno of epoll_pwait2(2). Reactor thread, not from a
 * callback. */
int pg_epoll_dispatch(struct pg_epoll *epoll, int64_t wait_ns) PG_WARN_UNUSED;
void pg_epoll_close(struct pg_epoll *epoll);         /* after pg_reactor_free; NULL is fine */
#ifdef __cplusplus
}
#endif
#endif

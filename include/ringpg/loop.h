/* ringpg/loop.h - for programs without a reactor: a ring where the kernel allows one, epoll where not. */
#ifndef RINGPG_LOOP_H
#define RINGPG_LOOP_H
#include "fiber.h"
#ifdef __cplusplus
extern "C" {
#endif
struct pg_loop;

/* -errno when neither io_uring nor epoll can be had; `error` says why. The loop belongs to the calling thread. */
int pg_loop_open(struct pg_loop **out, struct pg_error *error) PG_WARN_UNUSED;
struct pg_reactor *pg_loop_reactor(struct pg_loop *loop);
/* Runs `run(arg)` as a fiber and returns when it has returned; what it left running goes on in the next call. When
 * the reactor was closed and is empty, the fiber is cancelled. 0; PG_E_FULL or -ENOMEM: no fiber could be had;
 * -errno: the wait failed, and only pg_loop_close is left. */
int pg_loop_run(struct pg_loop *loop, void (*run)(void *), void *arg) PG_WARN_UNUSED;
/* Closes what is open without waiting for it: fibers that are left are cancelled and run to their ends, queries end
 * with PG_E_CLOSED. Returns when the sockets are gone, within the pools' close linger. Not from a fiber. NULL is
 * fine. */
void pg_loop_close(struct pg_loop *loop);
#ifdef __cplusplus
}
#endif
#endif

/* ringpg/host.h - the seam: what a reactor implements. Only adapter authors include this.
 *
 * The library never touches a ring or a poll set. It asks a host to move bytes on a descriptor, and the host calls back
 * with one result. What must hold, for every host:
 *  - A submit that returns 0 leads to exactly one complete(), never before the submit returned. One that returns an
 *    error (-errno) leads to none. -EAGAIN: no room now; the library asks again in its next turn and loses nothing.
 *  - Completion and buffers belong to the host from the submit to complete(), also after a cancel and after a close.
 *  - At most one send and one recv are in flight per socket. Short sends are the library's job.
 *  - unbind is only called with nothing in flight. A cancel's own echo may come later: it must find nothing.
 * tests/unit/test_host_contract.c is the suite that every host of this library passes. */
#ifndef RINGPG_HOST_H
#define RINGPG_HOST_H
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#ifdef __cplusplus
extern "C" {
#endif

struct pg_reactor;
struct pg_host;

struct pg_completion {                               /* one per operation, inside its owner; the library's memory */
    void (*complete)(struct pg_completion *, int32_t res); /* res: bytes moved (recv 0: EOF) or -errno            */
    uint64_t host_priv[4];                           /* the host's between submit and complete                    */
};
struct pg_socket {                                   /* one per descriptor; the library's memory, open..close     */
    int fd;
    uint32_t flags;                                  /* PG_SOCKET_*                                               */
    void *host_data;                                 /* the adapter's: poll handle, slot, fixed-file index        */
};
enum { PG_SOCKET_STREAM = 1, PG_SOCKET_UNIX = 2 };

struct pg_host_ops {
    size_t size;                                     /* sizeof this struct */
    /* required */
    int (*bind)(struct pg_host *, struct pg_socket *);    /* socket->fd is open; may allocate; 0 or -errno        */
    void (*unbind)(struct pg_host *, struct pg_socket *);
    int (*submit_send)(struct pg_host *, struct pg_socket *, const void *at, size_t bytes, struct pg_completion *);
    int (*submit_recv)(struct pg_host *, struct pg_socket *, void *at, size_t bytes, struct pg_completion *);
    /* optional: NULL takes the library's POSIX default; a simulated host brings its own */
    /* Sets fd (non-blocking, close-on-exec) and starts the connect; flags are set. 0, -EAGAIN (backlog full), -errno.
     */
    int (*open)(struct pg_host *, struct pg_socket *, const struct sockaddr *, socklen_t);
    void (*shutdown)(struct pg_host *, struct pg_socket *, int how); /* SHUT_WR, SHUT_RDWR */
    void (*close)(struct pg_host *, struct pg_socket *);
    uint64_t (*now)(struct pg_host *);                    /* ns, monotonic                 */
    int (*entropy)(struct pg_host *, void *, size_t);     /* cryptographic; 0 or -errno    */
    /* optional: NULL where the host has none */
    /* A wish: the target still completes, with its result or -ECANCELED. */
    void (*submit_cancel)(struct pg_host *, struct pg_socket *, struct pg_completion *);
    /* Work was queued outside of a turn: do not block before the next one. */
    void (*want_turn)(struct pg_host *);
    /* Any thread: ends the wait. Without it there is no pg_reactor_post from outside. */
    void (*wake)(struct pg_host *);
};
struct pg_host {                                     /* embed first in the adapter */
    const struct pg_host_ops *ops;
    struct pg_reactor *reactor;                      /* set by pg_reactor_open, NULL again after pg_reactor_free */
};

/* For hosts whose operation finished at once, inside submit: delivers `res` to the completion in the reactor's next
 * turn. Uses host_priv. Reactor thread. */
void pg_host_finish(struct pg_host *host, struct pg_completion *completion, int32_t res);

#ifdef __cplusplus
}
#endif
#endif

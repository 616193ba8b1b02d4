/* net.h - the HTTP server's sockets, on the loop that the database shares.
 *
 * The program's own half of the reactor: what a server has before a database comes along. It knows nothing of HTTP and
 * nothing of PostgreSQL but the one call that hands a completion on. Two backends have this face: net_uring.c (SQEs on
 * the ring that pg_uring shares) and net_epoll.c (one epoll descriptor that also watches pg_epoll's). The tests of the
 * HTTP layer bring a third.
 *
 * What holds for each of them:
 *  - on_recv, on_send and on_closed are called from wait() alone, never inside the call that asked for them.
 *  - One recv and one send are in flight per socket at the most; their memory belongs to the backend until the
 *    callback.
 *  - After close() only on_closed comes, once nothing is in flight any more; then the socket's memory is its owner's
 *    again. No completion can therefore find a recycled socket. */
#ifndef DEMO_NET_H
#define DEMO_NET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ringpg/error.h"

struct net;
struct net_socket;
struct pg_host;

enum net_kind { NET_RECV, NET_SEND, NET_ACCEPT };
struct net_op { /* one operation; on the ring its address is the user_data */
    enum net_kind kind;
    bool active;
    struct net_socket *socket;
    void *at;
    size_t bytes;
    struct net_op *next;
};

struct net_socket {
    int fd;
    void (*on_recv)(struct net_socket *, int32_t res); /* bytes, 0: the peer sends no more, -errno */
    void (*on_send)(struct net_socket *, int32_t res); /* bytes, also fewer than asked; -errno     */
    void (*on_closed)(struct net_socket *);
    /* the backend's, zeroed by open() */
    struct net_op recv, send;
    bool closing, readable, writable, queued, ended; /* ended: the kernel has told of the peer's end, once */
    struct net_socket *next;
};

struct net_ops {
    int (*listen)(struct net *, int fd); /* takes over fd, a listening socket; net.on_accept for each client */
    void (*stop_listening)(struct net *);            /* idempotent */
    int (*open)(struct net *, struct net_socket *); /* fd and callbacks are set; 0 or -errno, then fd is the caller's */
    void (*recv)(struct net *, struct net_socket *, void *at, size_t bytes);
    void (*send)(struct net *, struct net_socket *, const void *at, size_t bytes);
    void (*shutdown_write)(struct net *, struct net_socket *);
    void (*close)(struct net *, struct net_socket *);
    int (*wait)(struct net *, int64_t wait_ns);      /* as pg_reactor_turn returned it; 0 or -errno */
    void (*free)(struct net *);                      /* after pg_reactor_free */
};
struct net {
    const struct net_ops *ops;
    struct pg_host *host;                            /* for pg_reactor_config */
    void (*on_accept)(void *arg, int fd);
    void *arg;
};

/* 0, or a negative status with a sentence in `why`. The calling thread is the one that waits. */
enum { NET_WHY_BYTES = 512 };
int net_uring_open(struct net **out, char why[NET_WHY_BYTES]) PG_WARN_UNUSED;
int net_epoll_open(struct net **out, char why[NET_WHY_BYTES]) PG_WARN_UNUSED;

/* Of net_epoll.c alone: a descriptor beside the sockets, watched as long as the net lives. `on_ready` is called from
 * wait() when it is readable, after the sockets' callbacks; 0 or -errno, which is the wait's. */
struct net_watch {
    int fd;
    int (*on_ready)(struct net_watch *);
};
int net_epoll_watch(struct net *net, struct net_watch *watch) PG_WARN_UNUSED; /* 0 or -errno */

enum { NET_ACCEPT_PAUSE_NS = 100 * 1000 * 1000 };    /* after EMFILE and its like, before the next accept */

/* The shorter of two waits, where a negative one means for ever. */
static inline int64_t net_wait_min(int64_t a, int64_t b)
{
    if (a < 0) return b;
    if (b < 0) return a;
    return a < b ? a : b;
}

#endif

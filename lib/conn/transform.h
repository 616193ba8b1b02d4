/* conn/transform.h - what may stand between a connection's plain bytes and those of its socket: TLS, which is made of
 * these parts so that it needs no descriptor and works on every host.
 *
 *      session -> plain -> write [ ] give -> coded bytes -> SEND
 *      session <- plain <-  read [ ] feed <- coded bytes <- RECV
 *
 * A transform owns its keys and whatever it has to say by itself (a handshake); it does no I/O, knows no time and must
 * never know what the plain bytes mean. It may call its own library's allocator, never on the way of a query that is
 * under way already.
 *
 * struct rp_coded is a transform with the two buffers of coded bytes around it. A receive fills `in`; what a receive
 * brought is read to its end before the next one is armed, so a transform holds one buffer of coded bytes at the most
 * and one half record. `out` holds what was given and is not sent yet. */
#ifndef RP_CONN_TRANSFORM_H
#define RP_CONN_TRANSFORM_H
#include "reactor/reactor.h"

/* Beside a number of bytes, which is 0 or more: */
enum {
    RP_TRANSFORM_END = -1,   /* read: the other side has said that nothing follows     */
    RP_TRANSFORM_FAILED = -2 /* for good; `why` says why, and is safe to be shown      */
};

struct rp_transform;
struct rp_transform_ops {
    /* Takes all of the coded bytes, of which there are RP_CODED_IN at the most. 0 or FAILED. */
    int (*feed)(struct rp_transform *, const uint8_t *at, size_t n);
    /* Plain bytes that came; 0: none before more is fed, or while the handshake lasts. Goes on with the handshake. */
    ptrdiff_t (*read)(struct rp_transform *, uint8_t *to, size_t capacity);
    /* How many of the plain bytes it takes now; 0: none while the handshake lasts, or before something is given. */
    ptrdiff_t (*write)(struct rp_transform *, const uint8_t *at, size_t n);
    /* Coded bytes for the socket, as many as there are and fit. */
    size_t (*give)(struct rp_transform *, uint8_t *to, size_t capacity);
    /* Nothing more will be written: the end is the last that it gives. */
    void (*end)(struct rp_transform *);
    void (*free)(struct rp_transform *); /* and wipes what is secret */
    /* Once something was read: what ties an authentication to this connection (session.h), into at most 64 bytes; 0:
     * nothing does. */
    size_t (*binding)(struct rp_transform *, uint8_t *to);
};
struct rp_transform { /* embedded first */
    const struct rp_transform_ops *ops;
    const char *why;
    bool certain; /* another try would fail for the same reason */
};

/* Makes one for a new socket. Called by a turn. */
struct rp_transform_maker {
    struct rp_transform *(*make)(void *arg, struct pg_reactor *r); /* NULL: there is no memory */
    void *arg;
};

/* How a connect gets a transform, if it does: sslmode, one or two of these in their order. The second is tried where
 * the first has failed for what may be its sake: the handshake itself, or a server that lets nobody in this way
 * (28000); never a wrong password. */
enum rp_way {
    RP_WAY_NONE,     /* of the second: there is none                                            */
    RP_WAY_PLAIN,
    RP_WAY_OFFERED,  /* the server is asked (SSLRequest), and without it if it says no          */
    RP_WAY_DEMANDED, /* the server is asked, and must agree                                     */
    RP_WAY_DIRECT    /* from the first byte on                                                  */
};
struct rp_security { /* of one host; outlives its connections */
    struct rp_transform_maker transform;
    enum rp_way way[2];
};


enum { RP_CODED_IN = 8 * 1024, RP_CODED_OUT = 8 * 1024 };
struct rp_coded { /* zeroed: there is none, and bytes are plain */
    struct rp_transform *transform;
    uint8_t *in, *out;
    size_t at, end; /* of `out`: not sent yet                     */
    bool ended;     /* the transform's end was asked for          */
};

static inline bool rp_coded_on(const struct rp_coded *c) { return c->transform != NULL; }
int rp_coded_open(struct rp_coded *c, struct pg_reactor *r, const struct rp_transform_maker *maker); /* -ENOMEM */
void rp_coded_close(struct rp_coded *c, struct pg_reactor *r); /* nothing is in flight any more. No-op when closed */
/* Encodes plain bytes behind what is not sent yet. How many it took, or FAILED. To be sent is [at, end) of `out`. */
ptrdiff_t rp_coded_encode(struct rp_coded *c, const uint8_t *plain, size_t n);
void rp_coded_end(struct rp_coded *c);

#endif

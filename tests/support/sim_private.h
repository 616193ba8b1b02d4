/* support/sim_private.h - the insides of the simulated host, shared by its files alone: the event heap, the two
 * directions of a connection, the operations. */
#ifndef SUPPORT_SIM_PRIVATE_H
#define SUPPORT_SIM_PRIVATE_H
#include <errno.h>
#include <stdatomic.h>
#include "support/sim.h"

#define SIM_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* ---- the event heap (sim_heap.c). Order: time, then the step in which it was queued, then chance. ---- */
struct sim_event {
    uint64_t at_ns, step, key;
    size_t place; /* 1-based in the heap, 0: not in it */
    void (*run)(struct sim *, struct sim_event *);
};
struct sim_heap {
    struct sim_event **at;
    size_t count, capacity;
};
void sim_event_set(struct sim *sim, struct sim_event *event, uint64_t at_ns); /* queues or moves it */
void sim_event_clear(struct sim *sim, struct sim_event *event);

/* A growing run of bytes, taken from the front. */
struct sim_bytes {
    uint8_t *at;
    size_t head, size, capacity;
};
void sim_bytes_put(struct sim_bytes *b, const void *at, size_t n);
void sim_bytes_take(struct sim_bytes *b, void *to, size_t n); /* `to` NULL: dropped */
void sim_bytes_free(struct sim_bytes *b);
/* A hash of them, which goes on from `hash`. */
uint64_t sim_mix(uint64_t hash, const void *at, size_t n);

/* ---- one direction of a connection: segments in order, each with its time of arrival ---- */
enum sim_segment_kind { SIM_DATA, SIM_FIN, SIM_RST };
struct sim_segment {
    enum sim_segment_kind kind;
    size_t bytes;
    uint64_t due_ns;
};
struct sim_pipe {
    struct sim_event arrival; /* of the first segment */
    struct sim_segment *segments;
    size_t head, count, capacity;
    struct sim_bytes bytes;   /* of all segments */
    uint64_t last_due_ns;
};
void sim_pipe_put(struct sim *sim, struct sim_pipe *pipe, enum sim_segment_kind kind, const void *at, size_t n);
struct sim_segment sim_pipe_take(struct sim_pipe *pipe); /* its bytes stay at the front of pipe->bytes */
void sim_pipe_again(struct sim *sim, struct sim_pipe *pipe); /* arms the arrival of what is first now */
void sim_pipe_free(struct sim *sim, struct sim_pipe *pipe);

/* ---- operations ---- */
enum sim_way { SIM_SEND, SIM_RECV };
enum sim_op_state { SIM_NONE, SIM_WAITING, SIM_DUE, SIM_DECIDED };
struct sim_op {
    enum sim_op_state state;
    enum sim_way way;
    struct sim_event event;  /* DUE: the attempt; DECIDED: the completion */
    struct sim_event cancel;
    struct pg_completion *completion;
    uint8_t *at;
    size_t bytes;
    uint64_t hash;           /* of a send buffer at submit */
    int32_t result;
    uint8_t *received;       /* DECIDED: what the completion will write; kept for the next one */
    size_t received_capacity;
    uint64_t serial;
};

enum sim_conn_state { SIM_CONNECTING, SIM_CONNECTED, SIM_HANGING, SIM_BROKEN };
struct sim_conn {
    struct sim_peer peer; /* first */
    struct sim *sim;
    struct sim_conn *next, **link;
    int fd;                  /* -1 once closed */
    struct pg_socket *owner; /* who opened it; NULL once closed */
    struct pg_host *host;
    bool bound, shut_read, shut_write, eof;
    enum sim_conn_state state;
    int error;               /* reported once, to the first operation that finds no data */
    struct sim_event connected, gone;
    struct sim_event hole_end;
    bool hole;               /* nothing comes through                                    */
    struct sim_op op[2];
    struct sim_pipe to_peer, to_host;
    struct sim_bytes unread; /* arrived, not received yet */
    bool peer_exists, peer_closed, peer_shut, peer_paused, peer_told;
    struct sim_timer *timers;
};
struct sim_timer {
    struct sim_event event;
    struct sim_conn *conn;   /* NULL: of the world */
    struct sim_timer *next, **link;
    void (*peer_fn)(struct sim_peer *, void *);
    void (*fn)(void *);
    void *arg;
};

struct sim_host_record {
    struct pg_host host; /* first */
    struct sim *sim;
    bool wanted, failed;
    bool touched;            /* since its last turn a completion was delivered, or the clock was read */
    bool closed;             /* its reactor, by that turn                                             */
    uint64_t until_ns;       /* so long that turn permitted to wait                                   */
    atomic_bool woken;
};
struct sim {
    struct sim_config config;
    struct sim_host_record hosts[SIM_HOSTS];
    uint64_t random[4], secret[4];
    uint64_t now_ns, step, hash, serial;
    struct sim_heap heap;
    struct sim_conn **fds;
    size_t fd_capacity;
    struct sim_conn *conns;
    struct sim_timer *timers;
    sim_accept_fn *accept;
    void *accept_arg;
    struct sim_counters counters;
    void (*after_event)(void *arg);
    void (*after_turn)(void *arg, struct pg_reactor *);
    void *watcher;
    atomic_uint_fast64_t wakes;
};

extern const struct pg_host_ops sim_host_ops;
uint64_t sim_next(uint64_t state[4]);
void sim_trace(struct sim *sim, unsigned what, int64_t a, int64_t b);
uint64_t sim_latency(struct sim *sim);
void sim_op_poke(struct sim *sim, struct sim_op *op); /* the world changed: a waiting operation tries again */
void sim_op_drop(struct sim *sim, struct sim_op *op); /* without a completion */
struct sim_conn *sim_conn_new(struct sim *sim);
/* The listener has spoken: what becomes of the connection, after a latency. */
void sim_conn_start(struct sim_conn *conn, enum sim_connect outcome);
void sim_conn_break(struct sim_conn *conn, int error);
void sim_conn_lose(struct sim_conn *conn);    /* the network resets it under both sides */
void sim_conn_tell_peer(struct sim_conn *conn, bool reset); /* its on_eof, once */
/* sim_fault.c: what may happen to an operation that looks at a connection which stands. True: it has ended so. */
bool sim_fault(struct sim *sim, struct sim_conn *conn, int32_t *result);
void sim_jump(struct sim *sim);               /* the clock, perhaps */
void sim_conn_release(struct sim_conn *conn); /* ends it, in an event of its own, once both sides have let go */
void sim_conn_end(struct sim_conn *conn);     /* on_gone, and frees it */
#endif

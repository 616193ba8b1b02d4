/* reactor/state.h - the inside of struct pg_reactor, for the files of reactor/ alone. Everybody else sees reactor.h. */
#ifndef RP_REACTOR_STATE_H
#define RP_REACTOR_STATE_H
#include <pthread.h>
#include "reactor/inbox.h"
#include "reactor/reactor.h"
#include "reactor/wheel.h"

TAILQ_HEAD(rp_members, rp_member);

enum { RP_SLAB_CLASSES = 34, RP_SLAB_KEEP = 4 };
struct rp_slab_free { struct rp_slab_free *next; };

struct pg_reactor {
    struct pg_reactor_config config; /* with defaults */
    struct pg_host_ops ops;          /* a copy: what a smaller table of the host lacks is NULL here */
    struct pg_host *host;
    pthread_t owner;
    volatile const unsigned char *sentinel; /* 1; in a forked child the kernel made it 0 */

    bool in_turn, asked, closing; /* asked: the host was told by want_turn, or will have its turn anyway */
    bool telling; /* pg_reactor_close is on its way through the members */
    bool clock_read;
    uint64_t now_ns;
    uint64_t wait_until_ns; /* how long the last turn permitted to wait; PG_NEVER: for ever */
    uint64_t drain_until_ns;
    uint32_t budget;
    uint32_t due, streams; /* streams: of this turn */
    uint64_t random; /* 0: not seeded */

    struct rp_inbox inbox;
    struct pg_completion *finished, **finished_end; /* linked by host_priv[0], the result in host_priv[1] */
    struct rp_nodes ready, flush, flushing;         /* flushing: this turn's, detached from those of the next one */
    struct rp_members members;
    struct rp_member *cursor; /* the next one to be told, while members are being told */
    struct rp_wheel wheel;

    size_t slab_used; /* lent and kept */
    struct { struct rp_slab_free *first; unsigned count; } slab[RP_SLAB_CLASSES];

    struct rp_fibers *fibers;
    void (*free_fibers)(struct pg_reactor *);
};

/* Outside of a turn: the program must not block before it has had one. At most one call of the host per gap between
 * turns. */
void rp_ask_for_turn(struct pg_reactor *r);

/* The stages of a turn, queue.c */
void rp_run_finished(struct pg_reactor *r);
void rp_run_ready(struct pg_reactor *r);
void rp_run_flush(struct pg_reactor *r);
bool rp_anything_queued(struct pg_reactor *r);

/* config.c: defaults into `full`, the host's table into `ops`; 0 or PG_E_CONFIG with the culprit in `error`. */
int rp_config_check(struct pg_reactor_config *full, struct pg_host_ops *ops, const struct pg_reactor_config *given,
                    struct pg_error *error);

/* slab.c: the caller's allocator, without a reactor around it yet or any more. */
void *rp_raw_alloc(const struct pg_reactor_config *c, size_t bytes);
void rp_raw_free(const struct pg_reactor_config *c, void *at, size_t bytes);
/* Gives what is kept back to the allocator; what is lent stays. */
void rp_slab_trim(struct pg_reactor *r);

#endif

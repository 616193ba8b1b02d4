/* pool/listen.h - the listeners of a pool and their one connection, as the pool's other files see them. What it means
 * stands in listen.c. */
#ifndef RP_POOL_LISTEN_H
#define RP_POOL_LISTEN_H
#include <sys/queue.h>
#include "reactor/reactor.h"
#include "ringpg/listen.h"
#include "session/session.h"

struct rp_conn;
struct rp_slot;
struct rp_host;
struct rp_channel;
TAILQ_HEAD(rp_channels, rp_channel);

/* What is kept in a listener's private area. */
struct rp_listener {
    struct pg_pool *pool;            /* NULL: it does not listen            */
    struct rp_channel *channel;
    TAILQ_ENTRY(rp_listener) link;   /* in its channel, in order of arrival */
    TAILQ_ENTRY(rp_listener) due;    /* in listening.due, while is_due      */
    bool is_due;
    bool told;                       /* on_state(true) was, and no false since */
    bool lost;                       /* told, and false is due              */
};
TAILQ_HEAD(rp_listeners, rp_listener);
_Static_assert(sizeof(struct rp_listener) <= sizeof(((struct pg_listener *)0)->private_),
               "pg_listener.private_ is too small");

enum { RP_CHANNEL_BUCKETS = 64 };
struct rp_listening {
    struct rp_slot *slot;            /* NULL: nobody has ever listened      */
    struct rp_channels bucket[RP_CHANNEL_BUCKETS]; /* by name               */
    struct rp_channels todo;         /* the server is to be told of them    */
    uint32_t count;                  /* listeners                           */
    struct rp_listeners due;         /* on_state is due, maybe              */
    struct rp_node tell;
    struct rp_listener *next;        /* while a notification is handed out  */
    struct rp_timer later;           /* armed: nothing is tried again before */
    uint64_t backoff_ns, since_ns;   /* the last delay; LISTENING since     */
};

void rp_listen_open(struct pg_pool *pool);
void rp_listen_close(struct pg_pool *pool);   /* the pool is closing: nobody listens any more, and those who do are told */
bool rp_listen_ends(struct pg_pool *pool);    /* from a turn, while it closes. True: something is not at its end yet */
void rp_listen_free(struct pg_pool *pool);
void rp_listen_abort(struct pg_pool *pool);

bool rp_listen_wants(const struct pg_pool *pool); /* a connection, now */
void rp_listen_later(struct pg_pool *pool);       /* ... and not before a delay, longer each time */
uint32_t rp_listen_tries(const struct pg_pool *pool, const struct rp_host *host); /* its connects to it: 0 or 1 */
void rp_listen_moved(struct rp_slot *slot, bool was_listening);
void rp_listen_outcome(struct rp_slot *slot, struct pg_query *q);
void rp_listen_notification(struct rp_conn *conn, const struct rp_notification *n); /* of the slot's ops */

#endif

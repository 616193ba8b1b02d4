/* ringpg/listen.h - LISTEN as a subscription that survives reconnects. Reactor thread only.
 *
 * All listeners of a pool share one connection of their own, which serves no lease and no statement. It is made when
 * the first of them comes and closed when the last one goes; when it is lost, another one is made and LISTEN is said
 * again. It stands beside pool_max_conns and pool_connecting_limit and is like the pool's others in all else: hosts and
 * target_session_attrs, authentication and TLS, connect_timeout, before_connect, connect_sql, after_connect and
 * before_close, on_event, and the counts of connects made, failed, lost and retired (not the gauges). Nothing is
 * prepared on it (pg_pool_config.warm). pg_pool_resize, pg_pool_suspend, lifetime and idle time do not touch it;
 * pg_pool_reset closes it and makes another one.
 *
 * It counts in the pool's budget (budget.h) and takes its place from the common stock, never one that is sure for the
 * pool, so that listening leaves no pool without a connection to work with. While there is none it waits with the
 * pool's ticket like a request, without a deadline; nobody is told, and on_state(true) comes when it stands. Other
 * pools give for it by the budget's rules, and its own pool one of those beyond what is sure. Then it is kept, unless a
 * pool lacks what is sure for it, or the bound was made smaller, and nothing else can be given. So a budget for N pools
 * that listen and work wants N more than their sure ones.
 *
 * A standby refuses LISTEN (25006): its connection is closed and another one made, after a delay. With several hosts
 * ask for target_session_attrs=read-write. Behind a pooler in transaction mode nothing is heard. Source: SQL commands
 * LISTEN, NOTIFY, UNLISTEN; protocol chapter, "Asynchronous Operations". */
#ifndef RINGPG_LISTEN_H
#define RINGPG_LISTEN_H
#include "pool.h"
#ifdef __cplusplus
extern "C" {
#endif

/* The caller's memory, zero-initialised once; the library's from a pg_pool_listen that returned 0 until
 * pg_pool_unlisten, or until the pool has ended it. Several may have the same channel: then LISTEN is said once, and
 * each of them has each notification. */
struct pg_listener {
    /* The exact name, case counts, unquoted: the library quotes it. Copied. `channel_size` bytes; 0: it ends with its
     * NUL. (SQL folds the name in NOTIFY News to news; NOTIFY "News" and pg_notify('News', '') do not.) */
    const char *channel;
    size_t channel_size;
    /* A notification, in the order in which the server sent them, and among several listeners of a channel in that of
     * their pg_pool_listen. `payload` may be empty; a view that dies when the call returns. `pid`: the backend that
     * sent it. May be NULL. */
    void (*on_notify)(struct pg_listener *listener, struct pg_text payload, int32_t pid);
    /* True: LISTEN stands, anew, and from here on no notification is missed, doubled or out of order until false is
     * told. What was sent before is lost: now is the time to read again what the notifications are about. False: the
     * connection is gone; true follows when there is another one. They alternate, true is the first. May be NULL. */
    void (*on_state)(struct pg_listener *listener, bool listening);
    void *data;                                      /* the caller's */
    uint64_t private_[8];
};

/* Callbacks come from turns and completions, never inside a call, and each of them may listen, unlisten and close
 * anything. A notification goes to all listeners of its channel in one go; each callback takes a place in the turn's
 * budget (pg_reactor_config.resumes_per_turn), and what is beyond it stays unread until the next turn: a flood of them
 * takes neither the reactor's time from others nor memory.
 *
 * A LISTEN that the server refuses is told to on_event (PG_EVENT_LISTEN_FAILED, with the server's reason) and said
 * again after a delay that grows to 3 s; other channels go on meanwhile. One that is not answered within
 * pool_close_linger costs the connection. A connection that is lost is replaced after such a delay, too, of 100 ms at
 * the most the first time; hosts that fail are tried as for the pool's other connections.
 *
 * Returns 0. PG_E_PARAMETER: the channel's name is NULL or empty, longer than 63 bytes (where PostgreSQL would cut it)
 * or has a NUL inside; PG_E_CLOSED: the pool is closing; -ENOMEM (the first listener allocates a connection, the first
 * one of a channel its record; nothing is allocated afterwards). Then nothing has changed, no callback comes, and
 * `error`, which may be NULL, says why. Any callback may call it. Asserts: it listens already. */
int pg_pool_listen(struct pg_pool *pool, struct pg_listener *listener, struct pg_error *error) PG_WARN_UNUSED;

/* No callback comes any more when it returns, on_state(false) neither, and the memory is the caller's. Idempotent, also
 * on a zeroed listener and when its pool is closed. Any callback may call it, of this and of other listeners: one that
 * is unlistened while a notification is handed out does not get it any more.
 *
 * pg_pool_close ends all listeners, at once and not only at the end of `drain_until_ns`: those that were told true are
 * told false once more, from a turn and before on_closed, and are as if unlistened when that is called. No others are
 * told anything. pg_reactor_free before the end tells nobody. */
void pg_pool_unlisten(struct pg_listener *listener);

#ifdef __cplusplus
}
#endif
#endif

/* conn/cancel.h - one CancelRequest: a socket of its own to the address that a connection uses, the request, and the
 * wait for the server's EOF.
 *
 *      NONE -> WANTED -> TALKING -> CLOSING -> NONE
 *                 \________________/
 *
 * WANTED: asked for, opened in the next turn. TALKING: the request is on its way, then the server's EOF is awaited,
 * both within one deadline. CLOSING: both sides are shut and the completions of what is in flight are awaited; only
 * then unbind and close.
 *
 * The server acts on the request before it closes the socket. So after its EOF the request can hit nothing any more,
 * and neither can one of which not every byte was taken; in all other cases it may still be under way somewhere, and
 * the connection that it names must never serve again. Where the connection's bytes are transformed, these are, too: a
 * request counts as under way from when the transform has it. Allocates nothing but that. Knows nothing of the
 * connection's queries.
 *
 * Source: PostgreSQL, chapter "Frontend/Backend Protocol", "Canceling Requests in Progress". */
#ifndef RP_CONN_CANCEL_H
#define RP_CONN_CANCEL_H
#include "conn/conn.h"

enum rp_cancel_state { RP_CANCEL_NONE, RP_CANCEL_WANTED, RP_CANCEL_TALKING, RP_CANCEL_CLOSING, RP_CANCEL_STATES };

struct rp_cancel { /* zeroed, then rp_cancel_start as often as it is NONE */
    struct pg_reactor *reactor;
    enum rp_cancel_state state;
    const struct rp_conn_config *config; /* the connection's: what it asks of its server, this one asks, too */
    struct rp_address to;
    struct pg_socket socket;
    struct pg_completion sent, received;
    bool bound, sending, receiving;
    bool eof;               /* the server's, seen while TALKING                     */
    size_t moved;           /* bytes of the request that were taken                 */
    const struct rp_security *security; /* of the connection, if its bytes are transformed; NULL: in plain */
    enum rp_way way;
    bool asking;            /* TLS was asked for, and is not agreed on yet          */
    struct rp_coded coded;
    uint64_t deadline_ns;
    struct rp_node node;    /* the step that is due                                 */
    struct rp_timer timer;
    uint8_t request[RP_CANCEL_SIZE_MAX], dropped[16];
    size_t size;            /* of the request; 0: the server has told no key, so that there is nothing to ask with */
    uint8_t hello[RP_TLS_REQUEST_SIZE];
    size_t asked;           /* bytes of it that were taken                          */
    /* It is NONE again. Not certain: the server may still act on it, at any time. From a turn. */
    void (*over)(struct rp_cancel *, bool certain);
};

static inline bool rp_cancel_busy(const struct rp_cancel *c) { return c->state != RP_CANCEL_NONE; }
/* Asks the server of an established connection to stop what its backend does. NONE before; ends in `over`, by
 * `deadline_ns` at the latest. */
void rp_cancel_start(struct rp_cancel *c, const struct rp_conn *conn, uint64_t deadline_ns);
/* It is of no more use: ends soon, in `over`. No-op when NONE. */
void rp_cancel_stop(struct rp_cancel *c);
/* pg_reactor_free before the end: closes the descriptor, frees nothing. */
void rp_cancel_abandon_socket(struct rp_cancel *c);

#endif

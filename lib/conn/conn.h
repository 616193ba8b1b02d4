/* conn/conn.h - one connection: descriptor, buffers, deadlines, teardown, and the session that talks over it.
 *
 *      CLOSED -> CONNECTING -> OPEN -> ENDING -> CLOSING -> CLOSED
 *                     \___________________________/
 *
 * CONNECTING: the connect runs, then the start of the session. Connecting has no operation of its own: the first send
 * and the armed receive complete when the connection stands, or with its error. ENDING: Terminate was said where that
 * is possible, our side is shut, and the receive waits for the server's EOF, at most close_linger. CLOSING: both sides
 * are shut and the completions of what is in flight are awaited; only then unbind, close, CLOSED: buffers belong to the
 * host until then.
 *
 * A receive is armed whenever there is room for bytes, on an idle connection too. Knows nothing of other connections;
 * what happens on this one is told to its owner (the pool) through `ops`, from completions and turns, never inside a
 * call. */
#ifndef RP_CONN_H
#define RP_CONN_H
#include "conn/catalog.h"
#include "conn/query.h"
#include "conn/trace.h"
#include "conn/transform.h"
#include "session/session.h"

enum rp_conn_state {
    RP_CONN_CLOSED,
    RP_CONN_CONNECTING,
    RP_CONN_OPEN,
    RP_CONN_ENDING,
    RP_CONN_CLOSING,
    RP_CONN_STATES
};

enum { RP_CONN_IN = 4 * 1024, RP_CONN_OUT = 4 * 1024, RP_CONN_OUT_LARGE = 64 * 1024 };

struct rp_conn;
struct rp_texts;
struct rp_conn_ops {
    void (*up)(struct rp_conn *);                             /* the start is complete                              */
    /* Before `up`: the connect failed; after: the connection is lost. What is left in the FIFO is the owner's to take
     * (rp_session_orphan), inside this call. The reason dies with it. Not called for an end that the owner asked for.
     */
    void (*down)(struct rp_conn *, const struct pg_error *why);
    void (*outcome)(struct rp_conn *, struct pg_query *);     /* results are set; NULL: of nobody                   */
    void (*heal)(struct rp_conn *, struct pg_query *);        /* to be enqueued once more                           */
    void (*stopped)(struct rp_conn *, struct pg_query *);     /* its COPY is to end early: the rest is not wanted   */
    void (*notice)(struct rp_conn *, const struct pg_error *);
    void (*notification)(struct rp_conn *, const struct rp_notification *); /* where session.listens; dies with it  */
    void (*parameter)(struct rp_conn *);                      /* since `up` one that is kept was said anew; the
                                                               * event that came with it is still to be told        */
    void (*closed)(struct rp_conn *);                         /* may be opened again                                */
};

struct rp_address {
    struct sockaddr_storage at;
    socklen_t size;
};

/* Salted keys of one user and password: so that PBKDF2 runs once per salt and not once per connection. */
struct rp_keys {
    struct rp_salted {
        uint8_t salt[RP_SCRAM_SALT_MAX], key[RP_SCRAM_KEY];
        size_t salt_size;
        uint32_t iterations;
    } salted[4];
    uint32_t next;
};

/* Shared by all connections of one owner; outlives them. */
struct rp_conn_config {
    struct rp_session_config session;
    const struct rp_conn_ops *ops;
    struct rp_catalog *catalog;
    struct rp_texts *texts; /* NULL: SQL that is built at run time is parsed each time */
    struct rp_keys *keys;
    uint64_t connect_timeout_ns, close_linger_ns;
    bool keepalives;
    uint32_t keepalives_idle_s, keepalives_interval_s, keepalives_count, tcp_user_timeout_ms;
    const char *requirepeer; /* of a Unix socket: NULL: anybody; else the name of `peer`, whom the server must run as */
    uid_t peer;
    struct rp_trace_sink *trace; /* NULL: nobody reads along */
};

/* What each query touches stands first, as in the session. */
struct rp_conn {
    struct pg_reactor *reactor;
    const struct rp_conn_config *config;
    enum rp_conn_state state;
    bool bound, sending, receiving, shut, due;
    bool held;              /* by the owner: no further request is written        */
    bool long_answer;       /* a receive was filled by the answer that is due     */
    bool drained;           /* the latest receive took all that was there         */
    bool ended;             /* the end was received while a send was in flight    */
    bool over;              /* the end was received behind bytes that are not fed yet: told when they are, */
    bool over_inside;       /* or it is the transform's word (RP_TRANSFORM_*), and the socket's end is still to come */
    bool heard;             /* at least one byte came from the server             */
    bool reached;           /* or went there: it has a connection, which is to be ended */
    bool out_secret;        /* in `out` may be a password                         */
    bool room_wanted;       /* its caller had to stop                             */
    int send_error;         /* what ended our sending; the receive goes on to the end of what came */
    uint32_t parameter_changes; /* of the session's, those that the owner knows   */
    uint8_t *in, *out;      /* the small ones, or borrowed from the slab          */
    uint8_t *in_small, *out_small;
    size_t in_capacity, out_capacity;
    size_t in_at, in_end;   /* bytes not fed yet                                  */
    size_t in_need;         /* the next message takes as many                     */
    size_t out_at, out_end; /* bytes not sent yet                                 */
    struct rp_copy_buffer waiting; /* a COPY's, to be sent after `out`; NULL: nothing is copied in */
    struct pg_query *paused;       /* the caller of the row that is being looked at */
    struct rp_node ready;   /* what is left to feed, to derive or to finish       */
    struct rp_node flush;
    struct pg_socket socket;
    struct pg_completion sent, received;
    struct rp_coded coded;  /* between the buffers and the socket                 */
    struct rp_trace trace;
    struct rp_session session;

    int32_t over_result;    /* of the receive that was the end                    */
    unsigned abandoned;     /* since the open: times that ENDING took longer than close_linger */
    const struct rp_address *addresses; /* tried in their order */
    size_t naddresses;
    size_t address;         /* which one is in use                                */
    enum { RP_AGAIN_NO, RP_AGAIN_ADDRESS, RP_AGAIN_WAY } again; /* CLOSING: the next of them is tried afterwards */
    uint64_t deadline_ns;   /* of the connect to this address                     */
    struct rp_timer timer;  /* CONNECTING: the connect's deadline; ENDING: linger */
    const struct rp_session_config *login; /* rp_conn_log_in */
    struct rp_keys *keys;
    const struct rp_security *security; /* NULL: its bytes are plain              */
    unsigned way;           /* which one of the security's                        */
    struct rp_address peer; /* it itself: the list may be another one by now      */
    struct rp_entry *entries;
    uint8_t *prepared;
    uint64_t *held_texts;       /* NULL: no texts are kept                        */
    struct rp_columns *columns; /* of the latest unnamed statement; grows         */
    size_t columns_size;
    struct rp_pbkdf2 pbkdf2;
    struct pg_error why;        /* of a failure that is still to be told          */
};

/* Allocates everything that the connection's life takes. -ENOMEM. */
int rp_conn_init(struct rp_conn *c, struct pg_reactor *r, const struct rp_conn_config *config);
void rp_conn_free(struct rp_conn *c); /* CLOSED, or never to be completed again (pg_reactor_free before the end: leaks
                                         what the host holds) */

/* CLOSED: who the next connect is to be, until it is up or closed. `login` NULL: as config->session says, and with
 * config->keys; else in its place, and different only in who it is, with `keys` (NULL: none are kept). */
void rp_conn_log_in(struct rp_conn *c, const struct rp_session_config *login, struct rp_keys *keys);
/* CLOSED; ends in `up` or in `down` and `closed`. The addresses are tried in their order, and are not copied: they stay
 * as they are until `up` or `down`. Without any it fails. `security` NULL: in plain. */
void rp_conn_open(struct rp_conn *c, const struct rp_address *addresses, size_t naddresses,
                  const struct rp_security *security);
/* Gracefully, whatever runs: the FIFO must have been emptied by the owner. Ends in `closed`. No-op when it is on its
 * way. */
void rp_conn_end(struct rp_conn *c);
void rp_conn_abandon_socket(
    struct rp_conn *c); /* pg_reactor_free before the end: closes the descriptor, frees nothing */

/* Queues a checked query at the end of the FIFO; flags as rp_session_enqueue. Sent at the end of this turn. */
void rp_conn_enqueue(struct rp_conn *c, struct pg_query *q, uint16_t flags);
/* The query's caller goes away. BROKEN: the owner must end the connection. Rows stay paused for it until
 * rp_conn_let_go: before its caller knows of the end, nobody else's row stands where its row stood. */
enum rp_detach rp_conn_detach(struct rp_conn *c, struct pg_query *q);
void rp_conn_let_go(struct rp_conn *c, const struct pg_query *q);
void rp_conn_resume(struct rp_conn *c, struct pg_query *q);
/* While it is held, requests that are not begun yet stay unwritten: a cancel request on its way would hit whatever the
 * backend comes to next. An end that was asked for goes on. */
void rp_conn_hold(struct rp_conn *c, bool held);

#endif

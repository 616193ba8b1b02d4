/* conn/trace.h - what a connection says and hears, as text in the style of libpq's PQtrace, for whoever looks for
 * a difference: one line a message, PQTRACE_REGRESS_MODE | PQTRACE_SUPPRESS_TIMESTAMPS, which leaves out what differs
 * from run to run (process ids, keys, object ids, places in the server's source).
 *
 * It is shown the plain bytes of both directions, as they are handed to the session and as they come from it, and cuts
 * them into messages by itself. It owns the beginning of the client's message that is not complete yet; what is longer
 * than that room is cut short in its line. It must never print a password, a hash or a proof, and knows nothing of
 * queries. Allocates once, when the connection is made; where there is no sink nobody calls it.
 *
 * Source: PostgreSQL, libpq's manual, "Control Functions" (PQtrace, PQsetTraceFlags); "Message Formats". */
#ifndef RP_CONN_TRACE_H
#define RP_CONN_TRACE_H
#include "wire/message.h"

struct rp_trace_sink { /* of one pool */
    void (*write)(void *arg, uint64_t connection, const char *text, size_t size);
    void *arg;
    uint64_t connections; /* so far: the number of the latest */
};

enum { RP_TRACE_WHOLE = 16 * 1024 };
struct rp_trace { /* zeroed: there is none */
    struct rp_trace_sink *sink;
    uint64_t connection;
    uint8_t *whole;     /* of the client's message that is not complete: `have` bytes */
    size_t have;
    size_t client_left; /* bytes of a message that was told already */
    size_t server_left;
    bool started;       /* the startup message was told: from then on messages have a type */
    bool asked_tls;     /* the server's answer is one byte                                 */
    uint32_t asked;     /* by the server's latest authentication request                   */
};

/* A new socket. */
void rp_trace_begin(struct rp_trace *t);
/* Bytes that go to the server, in any pieces. */
void rp_trace_client(struct rp_trace *t, const uint8_t *at, size_t n);
/* Bytes that the session is done with: whole messages, or at least the head of one and then its rest. */
void rp_trace_server(struct rp_trace *t, const uint8_t *at, size_t n);

#endif

/* The benchmark's part http, the servers to compare with: what the routes ask of libpq, and what libpq's side offers.
 *
 * A request lies in the work memory of its HTTP connection from the question to the reply, or until the client is
 * gone. */
#ifndef BENCH_HTTP_LIBPQ_H
#define BENCH_HTTP_LIBPQ_H
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include "net.h"

struct http;

enum http_libpq_mode {
    HTTP_LIBPQ_ONE,      /* one query at a time on each connection                                                  */
    HTTP_LIBPQ_PIPELINE, /* pipeline mode, each query with a Sync of its own: what ringpg does                      */
    HTTP_LIBPQ_BATCH,    /* pipeline mode, one Sync for all that a turn has sent on a connection: the cheapest way, */
                         /* but the error of one request fails the others of its batch                              */
};

struct http_libpq_statement {
    const char *name, *sql;
    bool has_id; /* $1 is an int8 */
};

struct http_libpq_request {
    struct http *http;
    const struct http_libpq_statement *statement;
    uint64_t id; /* in network byte order */
    /* The result's views die with the call. It replies; the request is gone then. */
    void (*on_result)(struct http_libpq_request *, const PGresult *);
    struct http_libpq_request *next; /* libpq's side: in the queue */
};

/* Connects, blocking, and prepares the statements on each connection; watches them with `net`. A mistake ends the
 * process, and so does the loss of a connection: nobody measures beyond it. */
void http_libpq_open(struct net *net, const char *conninfo, unsigned connections, enum http_libpq_mode mode,
                     const struct http_libpq_statement *statements, unsigned count);
void http_libpq_ask(struct http_libpq_request *request);
void http_libpq_forget(struct http_libpq_request *request); /* its client is gone: no on_result comes */
void http_libpq_turn(void);                                 /* before the loop waits: sends what is still to be sent */
#endif

/* http.h - a small HTTP/1.1 server on net.h: what handlers see of a request, and what the loop sees of the server.
 *
 * It knows nothing of PostgreSQL. A connection carries one request at a time; pipelined ones wait in its buffer
 * until the one before is answered. While a handler runs, the receive stays armed: a client that hangs up is seen at
 * once, and the handler's `gone` takes its work along. A client that closes only its sending side counts as gone
 * too.
 *
 * One thread. Handlers are called from the delivery of completions and from http_turn. */
#ifndef DEMO_HTTP_H
#define DEMO_HTTP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net;
struct http_server;
struct http;                                         /* one connection and its current request */

/* ---- for handlers ------------------------------------------------------------------------------------------------ */
enum { HTTP_WORK_BYTES = 2048 };

void *http_app(const struct http *http);             /* http_config.app */
const char *http_path(const struct http *http);      /* NUL-terminated, without the query, as it came */
bool http_is_get(const struct http *http);           /* GET or HEAD */
bool http_is_post(const struct http *http);
/* The query's argument as a whole decimal number; false: missing, no number, or beyond int64. */
bool http_arg_int8(const struct http *http, const char *name, int64_t *out);

/* Zeroed memory of the connection for the handler's state, at most HTTP_WORK_BYTES; it lasts until the reply, until
 * `gone` was called, or as long as the connection is pinned. So no request allocates. */
void *http_work(struct http *http, size_t bytes);

/* Answers; the body is copied. 503 carries Retry-After, 405 the methods of `allow`. No-op when the client is gone. */
void http_reply(struct http *http, int status, const char *body, size_t size);
void http_reply_text(struct http *http, int status, const char *text);
void http_reply_json(struct http *http, const char *body, size_t size);
void http_refuse_method(struct http *http, const char *allow);

/* Called once when the client hangs up before the reply; the request is forgotten when it returns. NULL: nobody. */
void http_on_gone(struct http *http, void (*gone)(void *), void *arg);

/* For handlers that still run after a reply or after `gone` (fibers): the connection and http_work stay until unpin. */
void http_pin(struct http *http);
void http_unpin(struct http *http);

/* ---- for the loop ------------------------------------------------------------------------------------------------ */
struct http_config {
    struct net *net;
    size_t connections;                              /* at once; one more is answered with 503 and closed */
    size_t header_bytes_max, body_bytes_max;
    uint64_t header_timeout_ns;                      /* from a request's first byte to its last           */
    uint64_t idle_timeout_ns;                        /* between requests                                  */
    uint64_t write_timeout_ns;                       /* for a client that does not read, per progress     */
    uint64_t linger_timeout_ns;                      /* for a client that does not close after our FIN    */
    uint64_t (*now)(void *app);                      /* ns, monotonic                                     */
    void (*handle)(void *app, struct http *);        /* must reply, at once or later                      */
    void *app;
};
extern const struct http_config http_defaults;       /* limits and times alone */

struct http_counts { uint64_t connections, requests, gone; uint32_t open; };

/* NULL: out of memory. Takes over net->on_accept. */
struct http_server *http_server_new(const struct http_config *config);
/* Once per loop: deadlines, and requests that were waiting for the one before them. */
void http_turn(struct http_server *server);
/* Before the loop blocks: the longest wait in ns, 0: do not block, -1: no deadline. */
int64_t http_wait_ns(struct http_server *server);
struct http_counts http_counts(const struct http_server *server);
/* No new connections and requests; those that run are answered. */
void http_stop(struct http_server *server);
/* Ends what is left without an answer; http_counts().open falls to 0 as the sockets close. */
void http_kill(struct http_server *server);
void http_server_free(struct http_server *server);   /* when none is open; NULL is fine */

#endif

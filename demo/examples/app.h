/* app.h - what the user of the examples already has: a small server of their own. Nothing of ringpg but the
 * database's place in it.
 *
 * Here it is a stand-in that drives itself: the requests are the table that each example brings, they are all open
 * at the same time, and the answers are compared with what the table expects. app.c has the main function of the
 * examples that do not have their own. */
#ifndef EXAMPLES_APP_H
#define EXAMPLES_APP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;                                         /* one request being answered */
void http_reply(struct http *, int status, const char *body, size_t size);
/* An answer that is written piece by piece: begin, write as often as you like, then end, or abort where it can not be
 * made whole. `write` copies and returns how many bytes the client has yet to take; it is for the caller to pause when
 * that is too much, and of 0 bytes it only asks. `writable` is called whenever the client has taken some and little is
 * left, whether or not somebody has paused. None of them calls anything back before it returns. */
void http_begin(struct http *, int status, const char *type);
size_t http_write(struct http *, const void *at, size_t size);
void http_end(struct http *);
void http_abort(struct http *);
void http_on_writable(struct http *, void (*)(void *), void *);
int64_t http_arg(const struct http *, const char *name);
void http_on_gone(struct http *, void (*)(void *), void *); /* the client hung up */
void *slab_get(size_t);
void slab_put(void *);

/* What the example brings. */
struct app_request {
    const char *query;                               /* "from=1&to=2" */
    int status, or_status;                           /* what the answer has to be; or_status 0: nothing else */
    bool hangs_up;                                   /* this client goes away instead of waiting for the answer */
};
struct pg_reactor;
extern const struct app_request app_requests[];
extern const size_t app_request_count;
extern const char *const app_setup;                  /* SQL that makes what the example needs, NULL: nothing */
extern const size_t app_backlog_high;                /* of e_stream.c: it writes no line behind so many bytes or more */
void app_handle(struct pg_reactor *, struct http *, uint64_t deadline_ns);

/* For f_notify.c: the websockets of this reactor, and when the first comes and the last goes. */
struct websocket;
struct websocket *websocket_next(struct websocket *);  /* NULL: the first; after the last: NULL */
void websocket_text(struct websocket *, const char *at, size_t size);
struct pg_pool;
int websockets_open(struct pg_pool *);                 /* the example brings these two */
void websockets_close(void);

/* For a program that has a ring of its own (a_attach.c): the same stand-in as completions on it. */
struct io_uring;
struct op { void (*complete)(struct op *, int res, unsigned flags); }; /* the user's own, pointer in user_data */
void http_listen(struct io_uring *, int requests, void (*handle)(struct http *));
void http_flush(struct io_uring *);
bool http_done(void);                                /* every client has its answer */
int http_report(void);                               /* prints what was seen; the exit status */
#endif

/* http_private.h - what http.c (connections, output, deadlines) and http_request.c (parsing, arguments) share. */
#ifndef DEMO_HTTP_PRIVATE_H
#define DEMO_HTTP_PRIVATE_H
#include <llhttp.h>
#include <stdalign.h>
#include "http.h"
#include "net.h"

enum {
    HTTP_TARGET_BYTES = 2048, HTTP_IN_BYTES = 4096, HTTP_OUT_BYTES = 8192,
    HTTP_REPLY_BYTES = 2048                          /* room that a request needs in `out` before it is taken up */
};

/* A connection's life. */
enum http_phase {
    HTTP_FREE,      /* in the free list                                              */
    HTTP_READING,   /* a request is awaited or half received                         */
    HTTP_HANDLING,  /* a handler owes the answer, or has given it and is still pinned */
    HTTP_LINGERING, /* the last answer goes out; then FIN, and what comes in is dropped */
    HTTP_CLOSING,   /* net->close was called; or closed and still pinned              */
};

enum http_due_kind { HTTP_DUE_HEADER, HTTP_DUE_IDLE, HTTP_DUE_LINGER, HTTP_DUE_WRITE, HTTP_DUE_KINDS };
struct http_due { /* in the list of its kind; all of a kind last equally long: sorted */
    struct http_due *prev, *next;
    struct http *http;
    uint64_t at_ns;
    enum http_due_kind kind;
};

struct http {
    struct net_socket socket;                        /* first: the callbacks cast */
    struct http_server *server;
    struct http *prev, *next;                        /* of those in use; next alone: of the free ones */
    struct http *ready_next;
    bool ready_queued;
    enum http_phase phase;
    struct http_due due, write_due;                  /* what the phase waits for; what the output waits for */
    unsigned pins;
    bool closed;                                     /* CLOSING and the socket is gone */
    bool eof;                                        /* the client sends no more */

    llhttp_t parser;
    bool in_message, parsing, replied, keep_alive, head, has_host, expects_continue;
    int refusal;                                     /* the status that a parser callback asks for, 0: none */
    uint8_t method;
    size_t header_bytes, body_bytes, target_size, field_size;
    char field[8];                                   /* the beginning of a header's name, lower case */
    char value[16];                                  /* and of its value */
    size_t value_size;
    const char *path, *query;                        /* in target */
    void (*gone)(void *);
    void *gone_arg;

    size_t in_start, in_end;
    size_t out_start, out_end;
    char *large;                                     /* a body that found no room in out: sent after it */
    size_t large_start, large_end;
    bool sending_large;
    char target[HTTP_TARGET_BYTES], in[HTTP_IN_BYTES], out[HTTP_OUT_BYTES];
    alignas(16) unsigned char work[HTTP_WORK_BYTES];
};

struct http_server {
    struct http_config config;
    struct http *slab, *free, *used, *ready, **ready_tail;
    struct http_due *due_first[HTTP_DUE_KINDS], *due_last[HTTP_DUE_KINDS];
    struct http_counts counts;
    bool stopping;
    long date_second;
    char date[40];
};

/* http_request.c */
void http_request_init(struct http *http);           /* a fresh connection's parser */
void http_request_reset(struct http *http);          /* before the next request of the connection */
void http_parse(struct http *http);                  /* takes up what has come in, as far as it may */

/* http.c */
void http_due_set(struct http *http, enum http_due_kind kind);
void http_due_clear(struct http_due *due);
void http_dispatch(struct http *http);               /* a request is whole */
void http_finish(struct http *http);                 /* answered, and nobody holds it */
void http_refuse(struct http *http, int status);     /* a last answer, then the end */
void http_put(struct http *http, const char *bytes, size_t size);
bool http_has_room(const struct http *http);
void http_flush(struct http *http);
void http_drop(struct http *http);
void http_queue_ready(struct http *http);            /* answered: the next turn goes on with the connection */

/* http_reply.c */
const char *http_reason(int status);

#endif

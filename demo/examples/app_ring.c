/* app_ring.c - the stand-in for a server on a ring of its own: each client is a NOP on the ring whose completion is the
 * request. user_data is a pointer to the server's record, as a server of one's own would have it. */
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app.h"

struct http {
    struct op op;                                    /* first: the completion casts */
    bool answered;
    int status;
    char body[64];
};

static struct http *clients;
static int client_count, to_send, answered;
static void (*handler)(struct http *);

static void arrived(struct op *op, int res, unsigned flags)
{
    (void)res;
    (void)flags;
    handler((struct http *)op);
}

void http_listen(struct io_uring *ring, int requests, void (*handle)(struct http *))
{
    (void)ring;
    clients = calloc((size_t)requests, sizeof *clients);
    if (!clients) abort();
    client_count = to_send = requests;
    handler = handle;
}

/* What was queued by the turn goes into the submission queue; here: the next clients come. */
void http_flush(struct io_uring *ring)
{
    struct io_uring_sqe *sqe;
    for (int burst = 0; to_send > 0 && burst < 16 && (sqe = io_uring_get_sqe(ring)); burst++) {
        struct http *http = &clients[--to_send];
        http->op.complete = arrived;
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data(sqe, &http->op);
    }
}

void http_reply(struct http *http, int status, const char *body, size_t size)
{
    if (http->answered) abort();
    http->answered = true;
    http->status = status;
    snprintf(http->body, sizeof http->body, "%.*s", (int)size, body);
    answered++;
}

bool http_done(void) { return answered == client_count; }

int http_report(void)
{
    int right = 0;
    for (int i = 0; i < client_count; i++) right += clients[i].status == 200 && !strcmp(clients[i].body, "db=42");
    printf("%d requests, %d answered, %d of them 200 db=42\n", client_count, answered, right);
    int status = right == client_count ? 0 : 1;
    free(clients);
    return status;
}

/* http.c - the connections of the HTTP server: their slab, their life, their deadlines, their way out.
 *
 * Invariants: a connection in a phase other than FREE is in the used list. A receive is armed whenever the input has
 * room and the phase is READING, HANDLING or LINGERING. One request is in work per connection, and it is taken up
 * only when the output has room for its answer: a client that does not read costs its buffers and, after
 * write_timeout, its connection. Memory goes back to the slab when the socket is closed and nobody has it pinned. */
#include "http_private.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const struct http_config http_defaults = {
    .connections = 4096, .header_bytes_max = 16 * 1024, .body_bytes_max = 64 * 1024,
    .header_timeout_ns = 10000000000u, .idle_timeout_ns = 60000000000u, .write_timeout_ns = 10000000000u,
    .linger_timeout_ns = 2000000000u,
};

/* ---- deadlines --------------------------------------------------------------------------------------------------- */
void http_due_clear(struct http_due *due)
{
    if (!due->at_ns) return;
    struct http_server *server = due->http->server;
    *(due->prev ? &due->prev->next : &server->due_first[due->kind]) = due->next;
    *(due->next ? &due->next->prev : &server->due_last[due->kind]) = due->prev;
    due->at_ns = 0;
}

void http_due_set(struct http *http, enum http_due_kind kind)
{
    struct http_server *server = http->server;
    const uint64_t after_ns[HTTP_DUE_KINDS] = {
        [HTTP_DUE_HEADER] = server->config.header_timeout_ns, [HTTP_DUE_IDLE] = server->config.idle_timeout_ns,
        [HTTP_DUE_LINGER] = server->config.linger_timeout_ns, [HTTP_DUE_WRITE] = server->config.write_timeout_ns,
    };
    struct http_due *due = kind == HTTP_DUE_WRITE ? &http->write_due : &http->due;
    http_due_clear(due);
    *due = (struct http_due){ .http = http, .kind = kind, .prev = server->due_last[kind],
                              .at_ns = server->config.now(server->config.app) + after_ns[kind] };
    *(due->prev ? &due->prev->next : &server->due_first[kind]) = due;
    server->due_last[kind] = due;
}

/* ---- the end of a connection ------------------------------------------------------------------------------------- */
static void recycle(struct http *http)
{
    struct http_server *server = http->server;
    *(http->prev ? &http->prev->next : &server->used) = http->next;
    if (http->next) http->next->prev = http->prev;
    http->phase = HTTP_FREE;
    http->next = server->free;
    server->free = http;
    server->counts.open--;
}

static void on_closed(struct net_socket *socket)
{
    struct http *http = (struct http *)socket;
    free(http->large);
    http->large = NULL;
    http->closed = true;
    if (!http->pins) recycle(http);
}

static void tell_gone(struct http *http)
{
    void (*gone)(void *) = http->gone;
    http->gone = NULL;
    if (!gone) return;
    http->server->counts.gone++;
    gone(http->gone_arg);
}

void http_drop(struct http *http)
{
    if (http->phase == HTTP_CLOSING) return;
    http->phase = HTTP_CLOSING;
    http_due_clear(&http->due);
    http_due_clear(&http->write_due);
    http->server->config.net->ops->close(http->server->config.net, &http->socket);
    tell_gone(http);
}

/* ---- output ------------------------------------------------------------------------------------------------------ */
static bool has_output(const struct http *http) { return http->out_start < http->out_end || http->large; }

bool http_has_room(const struct http *http)
{
    return !http->large && HTTP_OUT_BYTES - http->out_end >= HTTP_REPLY_BYTES;
}

void http_put(struct http *http, const char *bytes, size_t size)
{
    if (size > HTTP_OUT_BYTES - http->out_end) return; /* an interim answer may be left out: the final one follows */
    memcpy(http->out + http->out_end, bytes, size);
    http->out_end += size;
    http_flush(http);
}

void http_flush(struct http *http)
{
    struct net *net = http->server->config.net;
    if (http->socket.send.active || http->phase == HTTP_CLOSING || !has_output(http)) return;
    http->sending_large = http->out_start == http->out_end;
    if (!http->write_due.at_ns) http_due_set(http, HTTP_DUE_WRITE);
    if (http->sending_large)
        net->ops->send(net, &http->socket, http->large + http->large_start, http->large_end - http->large_start);
    else
        net->ops->send(net, &http->socket, http->out + http->out_start, http->out_end - http->out_start);
}

static void forget_sent(struct http *http, size_t size)
{
    if (http->sending_large) {
        http->large_start += size;
        if (http->large_start == http->large_end) {
            free(http->large);
            http->large = NULL;
        }
        return;
    }
    http->out_start += size;
    if (http->out_start == http->out_end) http->out_start = http->out_end = 0;
}

static void end_output(struct http *http)
{
    struct net *net = http->server->config.net;
    if (http->phase != HTTP_LINGERING || has_output(http)) return;
    if (http->eof) {
        http_drop(http);
        return;
    }
    net->ops->shutdown_write(net, &http->socket);
    http_due_set(http, HTTP_DUE_LINGER);
}

static void begin_linger(struct http *http)
{
    if (http->phase == HTTP_CLOSING) return;
    http->phase = HTTP_LINGERING;
    http_due_clear(&http->due);
    http_flush(http);
    end_output(http);
}

static void arm_receive(struct http *http);

static void on_send(struct net_socket *socket, int32_t res)
{
    struct http *http = (struct http *)socket;
    if (res < 0) {
        http_drop(http);
        return;
    }
    http_due_clear(&http->write_due);
    forget_sent(http, (size_t)res);
    http_flush(http);
    end_output(http);
    if (http->phase == HTTP_READING && !http->replied) {
        http_parse(http);                            /* may have waited for room in the output */
        arm_receive(http);
    }
}

/* ---- input ------------------------------------------------------------------------------------------------------- */
static void arm_receive(struct http *http)
{
    struct net *net = http->server->config.net;
    if (http->socket.recv.active || http->eof || http->phase == HTTP_CLOSING || http->phase == HTTP_FREE) return;
    if (http->in_start) {
        memmove(http->in, http->in + http->in_start, http->in_end - http->in_start);
        http->in_end -= http->in_start;
        http->in_start = 0;
    }
    if (http->in_end < HTTP_IN_BYTES)
        net->ops->recv(net, &http->socket, http->in + http->in_end, HTTP_IN_BYTES - http->in_end);
}

static void on_recv(struct net_socket *socket, int32_t res)
{
    struct http *http = (struct http *)socket;
    http->eof = res == 0;
    if (res < 0 || (http->eof && (http->phase == HTTP_HANDLING || !has_output(http)))) {
        http_drop(http);
    } else if (http->eof) {
        begin_linger(http);                          /* answered, but not all of it is out yet */
    } else if (http->phase == HTTP_LINGERING) {
        http->in_start = http->in_end = 0;           /* an unread byte would turn our close into a reset */
    } else {
        http->in_end += (size_t)res;
        http_parse(http);
    }
    arm_receive(http);
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */
void http_dispatch(struct http *http)
{
    http->phase = HTTP_HANDLING;
    http->server->counts.requests++;
    http_due_clear(&http->due);
    http->server->config.handle(http->server->config.app, http);
}

void http_finish(struct http *http)
{
    bool keep = http->keep_alive && !http->server->stopping;
    http_request_reset(http);
    if (!keep) {
        begin_linger(http);
        return;
    }
    http->phase = HTTP_READING;
    http_due_set(http, HTTP_DUE_IDLE);
}

void http_refuse(struct http *http, int status)
{
    if (!http_has_room(http)) {
        http_drop(http);
        return;
    }
    http->phase = HTTP_HANDLING;
    http->keep_alive = http->head = false;
    http->in_start = http->in_end;
    http_reply_text(http, status, http_reason(status));
    http_request_reset(http);
    begin_linger(http);
}

void http_on_gone(struct http *http, void (*gone)(void *), void *arg)
{
    if (http->phase != HTTP_HANDLING) return;
    http->gone = gone;
    http->gone_arg = arg;
}

void http_pin(struct http *http) { http->pins++; }

void http_unpin(struct http *http)
{
    if (--http->pins) return;
    if (http->phase == HTTP_CLOSING && http->closed) recycle(http);
    else if (http->replied) http_queue_ready(http);
}

void *http_app(const struct http *http) { return http->server->config.app; }

void *http_work(struct http *http, size_t bytes)
{
    if (bytes > HTTP_WORK_BYTES) abort();            /* a handler's state outgrew its place: raise the constant */
    return memset(http->work, 0, bytes);
}

/* ---- the server -------------------------------------------------------------------------------------------------- */
static void refuse_client(int fd)
{
    static const char full[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                               "Connection: close\r\n\r\n";
    (void)!send(fd, full, sizeof full - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void on_accept(void *arg, int fd)
{
    struct http_server *server = arg;
    struct http *http = server->free;
    if (!http || server->stopping) {
        refuse_client(fd);
        return;
    }
    http->socket.fd = fd;
    if (server->config.net->ops->open(server->config.net, &http->socket)) {
        refuse_client(fd);
        return;
    }
    server->free = http->next;
    http->prev = NULL;
    http->next = server->used;
    if (http->next) http->next->prev = http;
    server->used = http;
    server->counts.open++;
    server->counts.connections++;
    http->in_start = http->in_end = http->out_start = http->out_end = 0;
    http->closed = http->parsing = http->eof = false;
    http->gone = NULL;
    http_request_init(http);
    http->phase = HTTP_READING;
    http_due_set(http, HTTP_DUE_IDLE);
    arm_receive(http);
}

struct http_server *http_server_new(const struct http_config *config)
{
    struct http_server *server = calloc(1, sizeof *server);
    struct http *slab = calloc(config->connections, sizeof *slab);
    if (!server || !slab) {
        free(server);
        free(slab);
        return NULL;
    }
    server->config = *config;
    server->slab = slab;
    server->ready_tail = &server->ready;
    for (size_t i = config->connections; i-- > 0;) {
        slab[i].server = server;
        slab[i].socket = (struct net_socket){.fd = -1, .on_recv = on_recv, .on_send = on_send, .on_closed = on_closed};
        slab[i].next = server->free;
        server->free = &slab[i];
    }
    config->net->on_accept = on_accept;
    config->net->arg = server;
    return server;
}

static void fire(struct http_due *due)
{
    struct http *http = due->http;
    enum http_due_kind kind = due->kind;
    http_due_clear(due);
    if (kind == HTTP_DUE_HEADER) http_refuse(http, 408);
    else http_drop(http);
}

void http_queue_ready(struct http *http)
{
    struct http_server *server = http->server;
    if (http->ready_queued) return;
    http->ready_queued = true;
    http->ready_next = NULL;
    *server->ready_tail = http;
    server->ready_tail = &http->ready_next;
}

/* The list may name a connection that was closed and used again meanwhile: the conditions are looked at afresh. */
static void run_ready(struct http_server *server)
{
    struct http *http = server->ready, *next;
    server->ready = NULL;
    server->ready_tail = &server->ready;
    for (; http; http = next) {
        next = http->ready_next;
        http->ready_queued = false;
        if (http->phase != HTTP_HANDLING || !http->replied || http->pins) continue;
        http_finish(http);
        http_parse(http);
        arm_receive(http);
    }
}

void http_turn(struct http_server *server)
{
    uint64_t now = server->config.now(server->config.app);
    run_ready(server);
    for (int kind = 0; kind < HTTP_DUE_KINDS; kind++)
        while (server->due_first[kind] && server->due_first[kind]->at_ns <= now) fire(server->due_first[kind]);
}

int64_t http_wait_ns(struct http_server *server)
{
    if (server->ready) return 0;
    uint64_t now = server->config.now(server->config.app);
    int64_t wait = -1;
    for (int kind = 0; kind < HTTP_DUE_KINDS; kind++) {
        struct http_due *due = server->due_first[kind];
        if (due) wait = net_wait_min(wait, due->at_ns <= now ? 0 : (int64_t)(due->at_ns - now));
    }
    return wait;
}

struct http_counts http_counts(const struct http_server *server) { return server->counts; }

void http_stop(struct http_server *server)
{
    struct net *net = server->config.net;
    server->stopping = true;
    net->ops->stop_listening(net);
    for (struct http *http = server->used, *next; http; http = next) {
        next = http->next;
        if (http->phase == HTTP_READING) begin_linger(http);
    }
}

void http_kill(struct http_server *server)
{
    for (struct http *http = server->used, *next; http; http = next) {
        next = http->next;
        http_drop(http);
    }
}

void http_server_free(struct http_server *server)
{
    if (!server) return;
    free(server->slab);
    free(server);
}

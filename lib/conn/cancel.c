/* conn/cancel.c - the small life of a cancel request's socket: see the header. */
#include "conn/cancel.h"
#include "conn/internal.h"

static const uint8_t legal[RP_CANCEL_STATES] = {
    [RP_CANCEL_NONE] = 1 << RP_CANCEL_WANTED,
    [RP_CANCEL_WANTED] = 1 << RP_CANCEL_TALKING | 1 << RP_CANCEL_CLOSING,
    [RP_CANCEL_TALKING] = 1 << RP_CANCEL_CLOSING,
    [RP_CANCEL_CLOSING] = 1 << RP_CANCEL_NONE,
};

static void move(struct rp_cancel *c, enum rp_cancel_state state)
{
    RP_ASSERT(legal[c->state] & 1 << state);
    c->state = state;
    rp_timer_stop(c->reactor, &c->timer);
}

void rp_cancel_stop(struct rp_cancel *c)
{
    if (c->state == RP_CANCEL_NONE || c->state == RP_CANCEL_CLOSING) return;
    move(c, RP_CANCEL_CLOSING);
    if (c->bound) {
        rp_host_shutdown(c->reactor, &c->socket, SHUT_RDWR);
        if (c->sending) rp_host_cancel(c->reactor, &c->socket, &c->sent);
        if (c->receiving) rp_host_cancel(c->reactor, &c->socket, &c->received);
    }
    rp_ready(c->reactor, &c->node);
}

static void finish(struct rp_cancel *c)
{
    if (c->sending || c->receiving) return;
    if (c->bound) {
        rp_host_unbind(c->reactor, &c->socket);
        rp_host_close(c->reactor, &c->socket);
        c->bound = false;
    }
    rp_coded_close(&c->coded, c->reactor);
    move(c, RP_CANCEL_NONE);
    c->over(c, c->eof || c->moved < c->size || !c->size);
}

static void open_socket(struct rp_cancel *c)
{
    unsigned flags = PG_SOCKET_STREAM | (c->to.at.ss_family == AF_UNIX ? PG_SOCKET_UNIX : 0);
    c->socket = (struct pg_socket){ .fd = -1, .flags = flags };
    if (!c->size) {
        rp_cancel_stop(c);
    } else if (c->way == RP_WAY_DIRECT && rp_coded_open(&c->coded, c->reactor, &c->security->transform)) {
        rp_cancel_stop(c);
    } else if (rp_host_open(c->reactor, &c->socket, (const struct sockaddr *)&c->to.at, c->to.size)) {
        rp_cancel_stop(c);
    } else if (rp_conn_check_peer(c->config, &c->socket, NULL) || rp_host_bind(c->reactor, &c->socket)) {
        rp_host_close(c->reactor, &c->socket);
        rp_cancel_stop(c);
    } else {
        c->bound = true;
        move(c, RP_CANCEL_TALKING);
        rp_timer_start(c->reactor, &c->timer, c->deadline_ns);
        rp_flush(c->reactor, &c->node);
    }
}

/* False: the host refuses for good. */
static bool submitted(struct rp_cancel *c, int rc, bool *flying)
{
    *flying = rc == 0;
    if (rc == -EAGAIN) rp_flush(c->reactor, &c->node);
    return rc == 0 || rc == -EAGAIN;
}

/* What is to be sent next; 0: nothing, or nothing before the other side has spoken. */
static size_t to_send(struct rp_cancel *c, const uint8_t **at)
{
    size_t left = c->size - c->moved;
    *at = c->request + c->moved;
    if (c->asking) {
        *at = c->hello + c->asked;
        return sizeof c->hello - c->asked;
    }
    if (!rp_coded_on(&c->coded)) return left;
    ptrdiff_t taken = rp_coded_encode(&c->coded, *at, left);
    if (taken > 0) c->moved += (size_t)taken;
    *at = c->coded.out + c->coded.at;
    return c->coded.end - c->coded.at;
}

static int receive(struct rp_cancel *c)
{
    bool coded = rp_coded_on(&c->coded);
    return rp_host_recv(c->reactor, &c->socket, coded ? c->coded.in : c->dropped,
                        coded ? (size_t)RP_CODED_IN : sizeof c->dropped, &c->received);
}

static void talk(struct rp_cancel *c)
{
    bool good = true;
    const uint8_t *at;
    size_t left = c->sending ? 0 : to_send(c, &at);
    if (left) good = submitted(c, rp_host_send(c->reactor, &c->socket, at, left, &c->sent), &c->sending);
    if (good && !c->receiving) good = submitted(c, receive(c), &c->receiving);
    if (!good) rp_cancel_stop(c);
}

static void step(struct rp_node *node)
{
    struct rp_cancel *c = RP_CONTAINER(node, struct rp_cancel, node);
    switch (c->state) {
    case RP_CANCEL_WANTED: open_socket(c); break;
    case RP_CANCEL_TALKING: talk(c); break;
    case RP_CANCEL_CLOSING: finish(c); break;
    default: break;
    }
}

static void on_sent(struct pg_completion *completion, int32_t res)
{
    struct rp_cancel *c = RP_CONTAINER(completion, struct rp_cancel, sent);
    c->sending = false;
    bool coded = c->coded.at < c->coded.end, hello = !coded && c->asked < sizeof c->hello && c->way == RP_WAY_DEMANDED;
    size_t *moved = coded ? &c->coded.at : hello ? &c->asked : &c->moved;
    if (res > 0) *moved += (size_t)res; /* also while CLOSING: it decides whether the request can be under way */
    if (c->state == RP_CANCEL_CLOSING) rp_ready(c->reactor, &c->node);
    else if (res < 0 && !rp_conn_retryable(res)) rp_cancel_stop(c);
    else if (c->security || c->moved < c->size) rp_flush(c->reactor, &c->node);
    else if (RP_PLANT(cancel_eof_unawaited)) c->eof = true, rp_cancel_stop(c);
}

/* One byte, S, and nothing behind it: the rest is as for the connection itself, which would not go on without TLS. */
static bool agreed(struct rp_cancel *c, size_t n)
{
    c->asking = false;
    return c->asked == sizeof c->hello && n == 1 && c->dropped[0] == 'S' &&
           rp_coded_open(&c->coded, c->reactor, &c->security->transform) == 0;
}

/* The transform's own affairs; plain bytes are dropped. False: it has failed. Its end is not the socket's. */
static bool heed(struct rp_cancel *c, size_t n)
{
    struct rp_transform *t = c->coded.transform;
    ptrdiff_t read;
    if (t->ops->feed(t, c->coded.in, n)) return false;
    do read = t->ops->read(t, c->dropped, sizeof c->dropped);
    while (read > 0);
    return read != RP_TRANSFORM_FAILED;
}

static void on_received(struct pg_completion *completion, int32_t res)
{
    struct rp_cancel *c = RP_CONTAINER(completion, struct rp_cancel, received);
    c->receiving = false;
    if (c->state == RP_CANCEL_CLOSING) {
        rp_ready(c->reactor, &c->node);
    } else if (res > 0 || rp_conn_retryable(res)) { /* a server that says something is not listened to */
        bool good = res <= 0 || (c->asking ? agreed(c, (size_t)res) : !c->security || heed(c, (size_t)res));
        if (good) rp_flush(c->reactor, &c->node);
        else rp_cancel_stop(c);
    } else {
        c->eof = res == 0;
        rp_cancel_stop(c);
    }
}

static void fire(struct rp_timer *timer) { rp_cancel_stop(RP_CONTAINER(timer, struct rp_cancel, timer)); }

void rp_cancel_start(struct rp_cancel *c, const struct rp_conn *conn, uint64_t deadline_ns)
{
    struct rp_writer w = { .to = c->request, .capacity = sizeof c->request },
                     hello = { .to = c->hello, .capacity = sizeof c->hello };
    const struct rp_session *s = &conn->session;
    c->reactor = conn->reactor;
    c->config = conn->config;
    c->to = conn->peer;
    c->security = rp_coded_on(&conn->coded) && !RP_PLANT(cancel_in_plain) ? conn->security : NULL;
    bool direct = c->security && conn->security->way[conn->way] == RP_WAY_DIRECT;
    c->way = !c->security ? RP_WAY_PLAIN : direct ? RP_WAY_DIRECT : RP_WAY_DEMANDED;
    c->asking = c->way == RP_WAY_DEMANDED;
    c->asked = 0;
    c->deadline_ns = deadline_ns;
    c->node.run = step;
    c->timer.fire = fire;
    c->sent.complete = on_sent;
    c->received.complete = on_received;
    c->eof = false;
    c->moved = 0;
    rp_write_tls_request(&hello);
    if (s->backend_key_size) rp_write_cancel(&w, s->backend_pid, s->backend_key, s->backend_key_size);
    c->size = w.used;
    move(c, RP_CANCEL_WANTED);
    rp_ready(c->reactor, &c->node);
}

void rp_cancel_abandon_socket(struct rp_cancel *c)
{
    if (c->bound) rp_host_close(c->reactor, &c->socket);
    c->bound = false;
    if (!c->sending && !c->receiving && c->reactor) rp_coded_close(&c->coded, c->reactor); /* else the host has it */
    if (!rp_cancel_busy(c)) return;
    rp_timer_stop(c->reactor, &c->timer);
    rp_unqueue(c->reactor, &c->node);
}

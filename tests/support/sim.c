/* support/sim.c - the kernel's half of the simulated host: descriptors, operations, completions. The network between
 * the two ends is in sim_net.c, the loop around a reactor in sim_run.c.
 *
 * An operation goes NONE -> DUE (it will look at the connection in an event) -> WAITING (nothing to be had yet) ->
 * DUE -> DECIDED (its result is fixed, bytes have moved) -> NONE, and only the last step calls back. What the
 * contract of ringpg/host.h forbids a library is checked at each entry and ends the program. */
#include <stdlib.h>
#include <string.h>
#include "support/sim_private.h"

enum { SCRIBBLE = 64 };
enum { TRACE_OPEN, TRACE_BIND, TRACE_UNBIND, TRACE_CLOSE, TRACE_SHUTDOWN, TRACE_SUBMIT, TRACE_CANCEL, TRACE_COMPLETE };
#define PRIV_MARK 0x51a3u

static struct sim *sim_under(struct pg_host *host)
{
    return ((struct sim_host_record *)host)->sim;
}

/* ---- checks ---- */
static struct sim_conn *conn_of(struct pg_host *host, const struct pg_socket *s, const char *call)
{
    struct sim *sim = sim_under(host);
    if (s->fd < 0 || (size_t)s->fd >= sim->fd_capacity || !sim->fds[s->fd])
        sim_fail("%s: descriptor %d is not open", call, s->fd);
    struct sim_conn *conn = sim->fds[s->fd];
    if (conn->owner != s) sim_fail("%s: descriptor %d belongs to another socket by now", call, s->fd);
    if (conn->host != host) sim_fail("%s: descriptor %d belongs to another host", call, s->fd);
    return conn;
}

static struct sim_conn *bound_conn(struct pg_host *host, const struct pg_socket *s, const char *call)
{
    struct sim_conn *conn = conn_of(host, s, call);
    if (!conn->bound) sim_fail("%s: descriptor %d is not bound", call, s->fd);
    if (s->host_data != conn) sim_fail("%s: host_data of descriptor %d was changed", call, s->fd);
    return conn;
}

/* host_priv is only trusted after the table confirms it: outside of a flight it may hold anything. */
static struct sim_op *op_in_flight(struct sim *sim, const struct pg_completion *c)
{
    uint64_t slot = c->host_priv[0] >> 1;
    if (c->host_priv[3] != PRIV_MARK || slot >= sim->fd_capacity || !sim->fds[slot]) return NULL;
    struct sim_op *op = &sim->fds[slot]->op[c->host_priv[0] & 1];
    return op->state != SIM_NONE && op->completion == c ? op : NULL;
}

static bool call_fails(struct sim *sim)
{
    return ++sim->counters.calls == sim->config.fail_call;
}

/* ---- operations ---- */
static struct sim_conn *conn_of_op(struct sim_op *op)
{
    struct sim_op *first = op - (op->way == SIM_RECV);
    return SIM_CONTAINER(first, struct sim_conn, op);
}

static uint64_t soon(struct sim *sim)
{
    return sim->now_ns + sim_random(sim, sim->config.completion_ns + 1);
}

static void op_decide(struct sim *sim, struct sim_op *op, int32_t result)
{
    op->state = SIM_DECIDED;
    op->result = result;
    uint64_t at = soon(sim);
    if (sim_chance(sim, sim->config.burst)) {
        uint64_t every = sim->config.burst_ns ? sim->config.burst_ns : 1000 * 1000;
        at = (at / every + 1) * every;
    }
    sim_event_set(sim, &op->event, at);
}

static int broken(struct sim_conn *conn, int otherwise)
{
    int error = conn->error ? conn->error : otherwise;
    conn->error = 0;
    return error;
}

static int interruption(struct sim *sim)
{
    static const int any[] = { -EINTR, -EAGAIN, -ENOBUFS };
    if (!sim_chance(sim, sim->config.retryable)) return 0;
    sim->counters.retryable++;
    return any[sim_random(sim, 3)];
}

static void reserve(struct sim_op *op, size_t n)
{
    if (n <= op->received_capacity) return;
    op->received_capacity = n < 1024 ? 1024 : 2 * n;
    op->received = realloc(op->received, op->received_capacity);
    if (!op->received) sim_fail("out of memory");
}

/* True: decided. */
static bool attempt_send(struct sim *sim, struct sim_conn *conn, struct sim_op *op, int32_t *result)
{
    size_t queued = conn->to_peer.bytes.size, n = op->bytes;
    size_t buffer = sim->config.send_buffer_bytes ? sim->config.send_buffer_bytes : 256 * 1024;
    if (conn->shut_write || conn->state == SIM_BROKEN) return *result = broken(conn, -EPIPE), true;
    if (conn->state != SIM_CONNECTED) return false;
    if ((*result = interruption(sim))) return true;
    if (sim_fault(sim, conn, result)) return true;
    if (queued >= buffer) return false;
    if (n > buffer - queued) n = buffer - queued;
    if (n && sim_chance(sim, sim->config.short_send)) {
        sim->counters.short_sends++;
        n = sim_random(sim, n);
    }
    if (n > INT32_MAX) n = INT32_MAX;
    if (n) sim_pipe_put(sim, &conn->to_peer, SIM_DATA, op->at, n);
    sim->counters.bytes_sent += n;
    return *result = (int32_t)n, true;
}

static bool attempt_recv(struct sim *sim, struct sim_conn *conn, struct sim_op *op, int32_t *result)
{
    if ((*result = interruption(sim))) return true;
    if (conn->state == SIM_CONNECTED && sim_fault(sim, conn, result)) return true;
    size_t n = conn->unread.size < op->bytes ? conn->unread.size : op->bytes;
    if (n) {
        if (n > 1 && sim_chance(sim, sim->config.short_recv)) {
            sim->counters.short_recvs++;
            n = 1 + sim_random(sim, n - 1);
        }
        reserve(op, n);
        sim_bytes_take(&conn->unread, op->received, n);
        sim->counters.bytes_received += n;
        return *result = (int32_t)n, true;
    }
    if (conn->error) return *result = broken(conn, 0), true;
    if (conn->eof || conn->shut_read || conn->state == SIM_BROKEN) return *result = 0, true;
    return false;
}

static void check_buffers(const struct sim_op *op, int fd)
{
    const uint64_t *priv = op->completion->host_priv;
    if (priv[0] >> 1 != (uint64_t)fd || priv[1] != op->serial || priv[3] != PRIV_MARK)
        sim_fail("descriptor %d: host_priv was changed while the operation was in flight", fd);
    if (op->way == SIM_SEND && sim_mix(0, op->at, op->bytes) != op->hash)
        sim_fail("descriptor %d: the send buffer was changed while the operation was in flight", fd);
}

static void op_deliver(struct sim *sim, struct sim_conn *conn, struct sim_op *op)
{
    struct pg_completion *completion = op->completion;
    check_buffers(op, conn->fd);
    size_t received = op->way == SIM_RECV && op->result > 0 ? (size_t)op->result : 0;
    uint64_t hash = sim_mix((uint64_t)op->way, op->received, received);
    if (received) memcpy(op->at, op->received, received);
    sim_trace(sim, TRACE_COMPLETE, conn->fd, (int64_t)(hash ^ (uint64_t)op->result));
    if (op->result == -ECANCELED) sim->counters.cancelled++;
    int32_t result = op->result;
    ((struct sim_host_record *)conn->host)->touched = true;
    sim_op_drop(sim, op);
    memset(completion->host_priv, 0, sizeof completion->host_priv);
    completion->complete(completion, result);
}

static void op_run(struct sim *sim, struct sim_event *event)
{
    struct sim_op *op = SIM_CONTAINER(event, struct sim_op, event);
    struct sim_conn *conn = conn_of_op(op);
    if (op->state == SIM_DECIDED) {
        op_deliver(sim, conn, op);
        return;
    }
    int32_t result;
    op->state = SIM_WAITING;
    bool decided = op->way == SIM_SEND ? attempt_send(sim, conn, op, &result) : attempt_recv(sim, conn, op, &result);
    if (decided) op_decide(sim, op, result);
}

static void op_cancel(struct sim *sim, struct sim_event *event)
{
    struct sim_op *op = SIM_CONTAINER(event, struct sim_op, cancel);
    bool undecided = op->state == SIM_WAITING || op->state == SIM_DUE;
    if (undecided && !sim_chance(sim, sim->config.cancel_late)) op_decide(sim, op, -ECANCELED);
}

void sim_op_poke(struct sim *sim, struct sim_op *op)
{
    if (op->state != SIM_WAITING) return;
    op->state = SIM_DUE;
    sim_event_set(sim, &op->event, sim->now_ns);
}

void sim_op_drop(struct sim *sim, struct sim_op *op)
{
    if (op->state == SIM_NONE) return;
    sim_event_clear(sim, &op->event);
    sim_event_clear(sim, &op->cancel);
    op->completion = NULL;
    op->state = SIM_NONE;
    sim->counters.in_flight--;
}

static int submit(struct pg_host *host, struct pg_socket *s, void *at, size_t bytes, struct pg_completion *c,
                  enum sim_way way)
{
    static const char *const calls[] = { "submit_send", "submit_recv" };
    struct sim *sim = sim_under(host);
    struct sim_conn *conn = bound_conn(host, s, calls[way]);
    struct sim_op *op = &conn->op[way];
    if (!bytes || !at) sim_fail("%s: no bytes on descriptor %d", calls[way], s->fd);
    if (!c->complete) sim_fail("%s: no callback on descriptor %d", calls[way], s->fd);
    if (op->state != SIM_NONE) sim_fail("%s: a second one in flight on descriptor %d", calls[way], s->fd);
    if (op_in_flight(sim, c)) sim_fail("%s: the completion is in flight already, descriptor %d", calls[way], s->fd);
    if (call_fails(sim)) return -ENOMEM;
    if (sim_chance(sim, sim->config.submit_again)) {
        sim->counters.again++;
        return -EAGAIN;
    }
    if (way == SIM_SEND) sim->counters.sends++;
    else sim->counters.recvs++;
    sim->counters.in_flight++;
    op->state = SIM_DUE;
    op->way = way;
    op->event.run = op_run;
    op->cancel.run = op_cancel;
    op->completion = c;
    op->at = at;
    op->bytes = bytes;
    op->serial = ++sim->serial;
    c->host_priv[0] = (uint64_t)s->fd << 1 | way;
    c->host_priv[1] = op->serial;
    c->host_priv[2] = 0;
    c->host_priv[3] = PRIV_MARK;
    if (way == SIM_SEND) op->hash = sim_mix(0, at, bytes);
    else memset(at, 0xa5, bytes < SCRIBBLE ? bytes : SCRIBBLE); /* from here on it is the kernel's */
    sim_trace(sim, TRACE_SUBMIT, s->fd, (int64_t)(bytes << 1 | way));
    sim_event_set(sim, &op->event, soon(sim));
    return 0;
}

static int host_send(struct pg_host *host, struct pg_socket *s, const void *at, size_t bytes, struct pg_completion *c)
{
    return submit(host, s, (void *)(uintptr_t)at, bytes, c, SIM_SEND);
}

static int host_recv(struct pg_host *host, struct pg_socket *s, void *at, size_t bytes, struct pg_completion *c)
{
    return submit(host, s, at, bytes, c, SIM_RECV);
}

static void host_cancel(struct pg_host *host, struct pg_socket *s, struct pg_completion *c)
{
    struct sim *sim = sim_under(host);
    struct sim_conn *conn = bound_conn(host, s, "submit_cancel");
    struct sim_op *op = op_in_flight(sim, c);
    sim->counters.cancels++;
    sim_trace(sim, TRACE_CANCEL, s->fd, op ? (int)op->way : -1);
    if (!op) return;
    if (conn_of_op(op) != conn) sim_fail("submit_cancel: the operation is not one of descriptor %d", s->fd);
    sim_event_set(sim, &op->cancel, soon(sim));
}

/* ---- descriptors ---- */
static int lowest_free(struct sim *sim)
{
    size_t fd = (size_t)sim->config.first_fd;
    while (fd < sim->fd_capacity && sim->fds[fd]) fd++;
    if (fd >= sim->fd_capacity) {
        size_t capacity = fd < 32 ? 64 : fd * 2;
        struct sim_conn **fds = realloc(sim->fds, capacity * sizeof *fds);
        if (!fds) sim_fail("out of memory");
        memset(fds + sim->fd_capacity, 0, (capacity - sim->fd_capacity) * sizeof *fds);
        sim->fds = fds;
        sim->fd_capacity = capacity;
    }
    return (int)fd;
}

static enum sim_connect outcome_of(struct sim *sim, struct sim_conn *conn, const struct sockaddr *address)
{
    if (sim_chance(sim, sim->config.backlog_full)) return SIM_BACKLOG_FULL;
    if (sim_chance(sim, sim->config.refuse) || !sim->accept) return SIM_REFUSE;
    if (sim_chance(sim, sim->config.hang)) return SIM_HANG;
    return sim->accept(sim->accept_arg, &conn->peer, address);
}

static int host_open(struct pg_host *host, struct pg_socket *s, const struct sockaddr *address, socklen_t size)
{
    struct sim *sim = sim_under(host);
    if (!address || size < (socklen_t)sizeof address->sa_family) sim_fail("open: no address");
    if (call_fails(sim)) return -EMFILE;
    struct sim_conn *conn = sim_conn_new(sim);
    enum sim_connect outcome = outcome_of(sim, conn, address);
    bool at_once = outcome == SIM_BACKLOG_FULL || (outcome == SIM_REFUSE && address->sa_family == AF_UNIX);
    if (at_once) {
        conn->peer_exists = false;
        sim_conn_end(conn);
        sim_trace(sim, TRACE_OPEN, -1, outcome);
        return outcome == SIM_REFUSE ? -ECONNREFUSED : -EAGAIN;
    }
    conn->fd = s->fd = lowest_free(sim);
    s->flags = PG_SOCKET_STREAM | (address->sa_family == AF_UNIX ? PG_SOCKET_UNIX : 0);
    s->host_data = NULL;
    conn->owner = s;
    conn->host = host;
    sim->fds[s->fd] = conn;
    sim->counters.opens++;
    if (++sim->counters.descriptors_now > sim->counters.descriptors_max)
        sim->counters.descriptors_max = sim->counters.descriptors_now;
    sim_trace(sim, TRACE_OPEN, s->fd, outcome);
    sim_conn_start(conn, outcome);
    return 0;
}

static int host_bind(struct pg_host *host, struct pg_socket *s)
{
    struct sim_conn *conn = conn_of(host, s, "bind");
    if (conn->bound) sim_fail("bind: descriptor %d is bound", s->fd);
    if (call_fails(conn->sim)) return -ENOMEM;
    conn->bound = true;
    s->host_data = conn;
    sim_trace(conn->sim, TRACE_BIND, s->fd, 0);
    return 0;
}

static void host_unbind(struct pg_host *host, struct pg_socket *s)
{
    struct sim_conn *conn = bound_conn(host, s, "unbind");
    if (conn->op[SIM_SEND].state != SIM_NONE) sim_fail("unbind: a send is in flight on descriptor %d", s->fd);
    if (conn->op[SIM_RECV].state != SIM_NONE) sim_fail("unbind: a receive is in flight on descriptor %d", s->fd);
    conn->bound = false;
    s->host_data = NULL;
    sim_trace(conn->sim, TRACE_UNBIND, s->fd, 0);
}

static void shut_write(struct sim_conn *conn)
{
    if (conn->shut_write) return;
    conn->shut_write = true;
    if (conn->peer_exists) sim_pipe_put(conn->sim, &conn->to_peer, SIM_FIN, NULL, 0);
    sim_op_poke(conn->sim, &conn->op[SIM_SEND]);
}

static void host_shutdown(struct pg_host *host, struct pg_socket *s, int how)
{
    struct sim_conn *conn = conn_of(host, s, "shutdown");
    if (how != SHUT_WR && how != SHUT_RDWR) sim_fail("shutdown: how is %d", how);
    sim_trace(conn->sim, TRACE_SHUTDOWN, s->fd, how);
    shut_write(conn);
    if (how == SHUT_WR) return;
    conn->shut_read = true;
    sim_op_poke(conn->sim, &conn->op[SIM_RECV]);
}

static void host_close(struct pg_host *host, struct pg_socket *s)
{
    struct sim_conn *conn = conn_of(host, s, "close");
    struct sim *sim = conn->sim;
    if (((struct sim_host_record *)host)->failed) {
        for (int way = 0; way < 2; way++) sim_op_drop(sim, &conn->op[way]);
        conn->bound = false;
    }
    if (conn->bound)
        sim_fail("close: descriptor %d is still bound (a reactor that is freed before its close has ended?)", s->fd);
    sim_trace(sim, TRACE_CLOSE, s->fd, 0);
    if (conn->unread.size && conn->peer_exists) sim_pipe_put(sim, &conn->to_peer, SIM_RST, NULL, 0);
    else shut_write(conn);
    sim_bytes_take(&conn->unread, NULL, conn->unread.size); /* a peer that waits for it to be read waits no more */
    sim->fds[s->fd] = NULL;
    sim->counters.descriptors_now--;
    conn->fd = -1;
    conn->owner = NULL;
    sim_conn_release(conn);
}

/* ---- clock, randomness, waking ---- */
static uint64_t host_now(struct pg_host *host)
{
    ((struct sim_host_record *)host)->touched = true;
    return sim_under(host)->now_ns;
}

static int host_entropy(struct pg_host *host, void *at, size_t bytes)
{
    struct sim *sim = sim_under(host);
    if (call_fails(sim)) return -EIO;
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)at)[i] = (uint8_t)(sim_next(sim->secret) >> 56);
    return 0;
}

static void host_want_turn(struct pg_host *host)
{
    ((struct sim_host_record *)host)->wanted = true;
    sim_under(host)->counters.wanted_turns++;
}

static void host_wake(struct pg_host *host) /* any thread */
{
    atomic_store(&((struct sim_host_record *)host)->woken, true);
    atomic_fetch_add(&sim_under(host)->wakes, 1);
}

const struct pg_host_ops sim_host_ops = {
    .size = sizeof sim_host_ops,
    .bind = host_bind,
    .unbind = host_unbind,
    .submit_send = host_send,
    .submit_recv = host_recv,
    .open = host_open,
    .shutdown = host_shutdown,
    .close = host_close,
    .now = host_now,
    .entropy = host_entropy,
    .submit_cancel = host_cancel,
    .want_turn = host_want_turn,
    .wake = host_wake,
};

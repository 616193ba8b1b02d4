/* net_uring.c - HTTP sockets as SQEs on the ring that the database shares.
 *
 * This is how a program with a ring of its own looks: user_data is a pointer to its own record. The library's
 * completions carry a tag in the top 16 bits, which no user space address of x86-64 or aarch64 has;
 * pg_uring_complete tells them apart. An operation lives in its socket, and a socket is given back only when both
 * its operations have completed. */
#include "net.h"
#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "ringpg/uring.h"

enum { SQ_ENTRIES = 1024, CQ_ENTRIES = 4 * SQ_ENTRIES };

struct net_uring {
    struct net net;
    struct io_uring ring;
    struct pg_uring *uring;
    int listen_fd;
    bool multishot, stopped;
    uint64_t accept_after_ns;                        /* 0: at once */
    struct net_op accept;
    struct net_op *starved, **starved_tail;          /* found no room in the submission queue */
    struct net_socket *closed;                       /* closed with nothing in flight; told in the next wait */
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* False: the submission queue is full even after a submit. */
static bool try_submit(struct net_uring *u, struct net_op *op)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (!sqe) {
        (void)io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
    }
    if (!sqe) return false;
    switch (op->kind) {
    case NET_RECV: io_uring_prep_recv(sqe, op->socket->fd, op->at, op->bytes, 0); break;
    case NET_SEND: io_uring_prep_send(sqe, op->socket->fd, op->at, op->bytes, MSG_NOSIGNAL); break;
    case NET_ACCEPT:
        if (u->multishot) io_uring_prep_multishot_accept(sqe, u->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        else io_uring_prep_accept(sqe, u->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    }
    io_uring_sqe_set_data(sqe, op);
    return true;
}

static void submit(struct net_uring *u, struct net_op *op)
{
    op->active = true;
    if (!u->starved && try_submit(u, op)) return;
    op->next = NULL;
    *u->starved_tail = op;
    u->starved_tail = &op->next;
}

static void submit_starved(struct net_uring *u)
{
    while (u->starved && try_submit(u, u->starved)) u->starved = u->starved->next;
    if (!u->starved) u->starved_tail = &u->starved;
}

static int uring_listen(struct net *net, int fd)
{
    struct net_uring *u = (struct net_uring *)net;
    u->listen_fd = fd;
    u->accept.kind = NET_ACCEPT;
    submit(u, &u->accept);
    return 0;
}

static void close_listener(struct net_uring *u)
{
    if (u->listen_fd >= 0 && !u->accept.active) {
        close(u->listen_fd);
        u->listen_fd = -1;
    }
}

static void uring_stop_listening(struct net *net)
{
    struct net_uring *u = (struct net_uring *)net;
    if (u->stopped || u->listen_fd < 0) return;
    u->stopped = true;
    shutdown(u->listen_fd, SHUT_RDWR);               /* ends the pending accept; its completion closes the descriptor */
    close_listener(u);
}

static int uring_open(struct net *net, struct net_socket *socket)
{
    (void)net;
    socket->recv = (struct net_op){ .kind = NET_RECV, .socket = socket };
    socket->send = (struct net_op){ .kind = NET_SEND, .socket = socket };
    socket->closing = false;
    return 0;
}

static void uring_recv(struct net *net, struct net_socket *socket, void *at, size_t bytes)
{
    socket->recv.at = at;
    socket->recv.bytes = bytes;
    submit((struct net_uring *)net, &socket->recv);
}

static void uring_send(struct net *net, struct net_socket *socket, const void *at, size_t bytes)
{
    socket->send.at = (void *)(uintptr_t)at;
    socket->send.bytes = bytes;
    submit((struct net_uring *)net, &socket->send);
}

static void uring_shutdown_write(struct net *net, struct net_socket *socket)
{
    (void)net;
    shutdown(socket->fd, SHUT_WR);
}

static void uring_close(struct net *net, struct net_socket *socket)
{
    struct net_uring *u = (struct net_uring *)net;
    socket->closing = true;
    if (socket->recv.active || socket->send.active) {
        shutdown(socket->fd, SHUT_RDWR);             /* close() alone would not end what is in flight */
        return;
    }
    socket->next = u->closed;
    u->closed = socket;
}

static void tell_closed(struct net_socket *socket)
{
    close(socket->fd);
    socket->fd = -1;
    socket->on_closed(socket);
}

static void accepted(struct net_uring *u, int32_t res, uint32_t flags)
{
    if (!(flags & IORING_CQE_F_MORE)) u->accept.active = false;
    if (u->stopped) {
        if (res >= 0) close(res);
        close_listener(u);
        return;
    }
    if (res >= 0) u->net.on_accept(u->net.arg, res);
    else if (res == -EINVAL && u->multishot) u->multishot = false; /* a kernel before 5.19 */
    else if (res != -EINTR && res != -ECONNABORTED) u->accept_after_ns = clock_ns() + NET_ACCEPT_PAUSE_NS;
}

static void complete(struct net_uring *u, struct net_op *op, int32_t res, uint32_t flags)
{
    if (op->kind == NET_ACCEPT) {
        accepted(u, res, flags);
        return;
    }
    struct net_socket *socket = op->socket;
    op->active = false;
    if (socket->closing) {
        if (!socket->recv.active && !socket->send.active) tell_closed(socket);
    } else if (res == -EINTR || res == -EAGAIN) {
        submit(u, op);
    } else if (op->kind == NET_RECV) {
        socket->on_recv(socket, res);
    } else {
        socket->on_send(socket, res);
    }
}

/* What the pause after a failed accept leaves of the wait; arms the accept again when it is over. */
static int64_t resume_accept(struct net_uring *u, int64_t wait_ns)
{
    if (u->accept.active || u->stopped || u->listen_fd < 0) return wait_ns;
    if (u->accept_after_ns) {
        uint64_t now = clock_ns();
        if (now < u->accept_after_ns) return net_wait_min(wait_ns, (int64_t)(u->accept_after_ns - now));
        u->accept_after_ns = 0;
    }
    submit(u, &u->accept);
    return wait_ns;
}

static int uring_wait(struct net *net, int64_t wait_ns)
{
    struct net_uring *u = (struct net_uring *)net;
    wait_ns = resume_accept(u, wait_ns);
    submit_starved(u);
    if (u->starved || u->closed) wait_ns = 0;
    for (struct net_socket *socket; (socket = u->closed);) {
        u->closed = socket->next;
        tell_closed(socket);
    }
    int rc = pg_uring_wait(u->uring, wait_ns);
    if (rc) return rc;

    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (seen == CQ_ENTRIES) break;               /* the rest after the next turn */
        seen++;
        if (pg_uring_complete(u->uring, cqe)) continue;
        complete(u, io_uring_cqe_get_data(cqe), cqe->res, cqe->flags);
    }
    io_uring_cq_advance(&u->ring, seen);
    return 0;
}

static void uring_free(struct net *net)
{
    struct net_uring *u = (struct net_uring *)net;
    pg_uring_close(u->uring);
    io_uring_queue_exit(&u->ring);
    if (u->listen_fd >= 0) close(u->listen_fd);
    free(u);
}

static const struct net_ops ops = {
    .listen = uring_listen, .stop_listening = uring_stop_listening, .open = uring_open, .recv = uring_recv,
    .send = uring_send, .shutdown_write = uring_shutdown_write, .close = uring_close, .wait = uring_wait,
    .free = uring_free,
};

/* The flags that make a ring cheapest for one thread are of Linux 6.1; an older kernel says EINVAL and gets a plain
 * one. */
static int make_ring(struct io_uring *ring)
{
    static const unsigned flags[] = {
        IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_CQSIZE,
    };
    int rc = -EINVAL;
    for (size_t i = 0; i < sizeof flags / sizeof *flags && rc == -EINVAL; i++) {
        struct io_uring_params params = { .flags = flags[i], .cq_entries = CQ_ENTRIES };
        rc = io_uring_queue_init_params(SQ_ENTRIES, ring, &params);
    }
    return rc;
}

int net_uring_open(struct net **out, char why[NET_WHY_BYTES])
{
    struct net_uring *u = calloc(1, sizeof *u);
    if (!u) {
        snprintf(why, NET_WHY_BYTES, "out of memory");
        return -ENOMEM;
    }
    int rc = make_ring(&u->ring);
    if (rc) {
        snprintf(why, NET_WHY_BYTES, "io_uring cannot be had here (%s); --host epoll does without it", strerror(-rc));
        free(u);
        return rc;
    }
    struct pg_uring_config config = { .size = sizeof config, .ring = &u->ring };
    struct pg_error error;
    rc = pg_uring_open(&u->uring, &config, &error);
    if (rc) {
        snprintf(why, NET_WHY_BYTES, "%s", pg_error_field(&error, 'M'));
        io_uring_queue_exit(&u->ring);
        free(u);
        return rc;
    }
    u->net.ops = &ops;
    u->net.host = pg_uring_host(u->uring);
    u->listen_fd = -1;
    u->multishot = true;
    u->starved_tail = &u->starved;
    *out = &u->net;
    return 0;
}

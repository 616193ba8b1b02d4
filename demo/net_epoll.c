/* net_epoll.c - HTTP sockets on one epoll descriptor, which also watches pg_epoll's, and others on request.
 *
 * Readiness made to look like completion: every socket is registered once, edge-triggered, and remembers what it may
 * do; a recv or send that is wanted and possible stands in a list that the next wait works off. So nothing completes
 * inside the call that asked for it, and no epoll_ctl is made per operation. */
#define _GNU_SOURCE
#include "net.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "ringpg/epoll.h"

enum { EVENTS = 256, ACCEPTS_PER_WAIT = 64 };

struct net_epoll {
    struct net net;
    struct pg_epoll *database;
    struct net_watch database_watch;
    int fd, listen_fd;
    bool acceptable;                                 /* clients may be waiting to be accepted */
    uint64_t accept_after_ns;                        /* 0: at once */
    struct net_socket *queue, **queue_tail;          /* something is possible or closed; each at most once */
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void queue_socket(struct net_epoll *e, struct net_socket *socket)
{
    bool due =
        socket->closing || (socket->recv.active && socket->readable) || (socket->send.active && socket->writable);
    if (!due || socket->queued) return;
    socket->queued = true;
    socket->next = NULL;
    *e->queue_tail = socket;
    e->queue_tail = &socket->next;
}

static int epoll_listen(struct net *net, int fd)
{
    struct net_epoll *e = (struct net_epoll *)net;
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.ptr = &e->listen_fd };
    if (epoll_ctl(e->fd, EPOLL_CTL_ADD, fd, &event)) return -errno;
    e->listen_fd = fd;
    e->acceptable = true;
    return 0;
}

static void epoll_stop_listening(struct net *net)
{
    struct net_epoll *e = (struct net_epoll *)net;
    if (e->listen_fd < 0) return;
    close(e->listen_fd);
    e->listen_fd = -1;
}

static int epoll_open(struct net *net, struct net_socket *socket)
{
    struct net_epoll *e = (struct net_epoll *)net;
    socket->recv = (struct net_op){ .kind = NET_RECV };
    socket->send = (struct net_op){ .kind = NET_SEND };
    socket->closing = socket->queued = socket->ended = false;
    socket->readable = socket->writable = true;      /* the first try finds out */
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = socket };
    return epoll_ctl(e->fd, EPOLL_CTL_ADD, socket->fd, &event) ? -errno : 0;
}

static void start(struct net_epoll *e, struct net_socket *socket, struct net_op *op, void *at, size_t bytes)
{
    op->active = true;
    op->at = at;
    op->bytes = bytes;
    queue_socket(e, socket);
}

static void epoll_recv(struct net *net, struct net_socket *socket, void *at, size_t bytes)
{
    start((struct net_epoll *)net, socket, &socket->recv, at, bytes);
}

static void epoll_send(struct net *net, struct net_socket *socket, const void *at, size_t bytes)
{
    start((struct net_epoll *)net, socket, &socket->send, (void *)(uintptr_t)at, bytes);
}

static void epoll_shutdown_write(struct net *net, struct net_socket *socket)
{
    (void)net;
    shutdown(socket->fd, SHUT_WR);
}

static void epoll_close_socket(struct net *net, struct net_socket *socket)
{
    socket->closing = true;
    socket->recv.active = socket->send.active = false;
    queue_socket((struct net_epoll *)net, socket);
}

/* Tries a wanted operation once. The socket may be closing when it returns. */
static void try_op(struct net_socket *socket, struct net_op *op)
{
    bool receives = op->kind == NET_RECV;
    ssize_t moved;
    do {
        moved = receives ? recv(socket->fd, op->at, op->bytes, MSG_DONTWAIT)
                         : send(socket->fd, op->at, op->bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (moved < 0 && errno == EINTR);
    if (moved < 0 && errno == EAGAIN) {
        if (receives) socket->readable = false;
        else socket->writable = false;
        return;
    }
    op->active = false;
    int32_t res = moved < 0 ? -errno : (int32_t)moved;
    /* Less than there was room for: that was all, and more will be an event. Only of the end there was one already.
     * Source: epoll(7), "Do I need to continuously read/write a file descriptor until EAGAIN". */
    if (receives && moved > 0 && (size_t)moved < op->bytes && !socket->ended) socket->readable = false;
    if (receives) socket->on_recv(socket, res);
    else socket->on_send(socket, res);
}

/* Works off what stood in the list when it was called; what comes meanwhile waits for the next round. */
static bool run_queue(struct net_epoll *e)
{
    struct net_socket *socket = e->queue, *next;
    bool any = socket != NULL;
    e->queue = NULL;
    e->queue_tail = &e->queue;
    for (; socket; socket = next) {
        next = socket->next;
        socket->queued = false;
        if (!socket->closing && socket->send.active && socket->writable) try_op(socket, &socket->send);
        if (!socket->closing && socket->recv.active && socket->readable) try_op(socket, &socket->recv);
        if (!socket->closing) {
            queue_socket(e, socket);
            continue;
        }
        if (socket->queued) continue;                /* closed just now: it stands in the new list */
        close(socket->fd);
        socket->fd = -1;
        socket->on_closed(socket);
    }
    return any;
}

static void accept_some(struct net_epoll *e)
{
    for (int i = 0; i < ACCEPTS_PER_WAIT && e->listen_fd >= 0; i++) {
        int fd = accept4(e->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            e->net.on_accept(e->net.arg, fd);
            continue;
        }
        if (errno == EAGAIN) e->acceptable = false;
        else if (errno != EINTR && errno != ECONNABORTED) e->accept_after_ns = clock_ns() + NET_ACCEPT_PAUSE_NS;
        return;
    }
}

/* What the pause after a failed accept leaves of the wait. */
static int64_t resume_accept(struct net_epoll *e, int64_t wait_ns)
{
    if (e->listen_fd < 0 || !e->acceptable) return wait_ns;
    if (!e->accept_after_ns) return 0;
    uint64_t now = clock_ns();
    if (now < e->accept_after_ns) return net_wait_min(wait_ns, (int64_t)(e->accept_after_ns - now));
    e->accept_after_ns = 0;
    return 0;
}

/* A watch is told from a socket by the lowest bit, which no address of either has. */
int net_epoll_watch(struct net *net, struct net_watch *watch)
{
    struct net_epoll *e = (struct net_epoll *)net;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uintptr_t)watch | 1 };
    return epoll_ctl(e->fd, EPOLL_CTL_ADD, watch->fd, &event) ? -errno : 0;
}

static int run_watches(const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (!(events[i].data.u64 & 1)) continue;
        struct net_watch *watch = (struct net_watch *)(uintptr_t)(events[i].data.u64 - 1);
        int rc = watch->on_ready(watch);
        if (rc) return rc;
    }
    return 0;
}

static void take_events(struct net_epoll *e, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 & 1) continue;
        if (events[i].data.ptr == &e->listen_fd) {
            e->acceptable = true;
            continue;
        }
        struct net_socket *socket = events[i].data.ptr;
        if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) socket->ended = true;
        if (socket->ended || (events[i].events & EPOLLIN)) socket->readable = true;
        if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) socket->writable = true;
        queue_socket(e, socket);
    }
}

static int epoll_wait_(struct net *net, int64_t wait_ns)
{
    struct net_epoll *e = (struct net_epoll *)net;
    struct epoll_event events[EVENTS];
    if (run_queue(e)) wait_ns = 0;                   /* what the callbacks queued wants a turn first */
    wait_ns = resume_accept(e, wait_ns);
    struct timespec limit = { .tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000 };
    int count = epoll_pwait2(e->fd, events, EVENTS, wait_ns < 0 ? NULL : &limit, NULL);
    if (count < 0 && errno != EINTR) return -errno;
    take_events(e, events, count);
    run_queue(e);
    if (e->acceptable && !e->accept_after_ns) accept_some(e);
    return run_watches(events, count);
}

static int dispatch_database(struct net_watch *watch)
{
    struct net_epoll *e = (struct net_epoll *)(void *)((char *)watch - offsetof(struct net_epoll, database_watch));
    return pg_epoll_dispatch(e->database, 0);
}

static void epoll_free(struct net *net)
{
    struct net_epoll *e = (struct net_epoll *)net;
    pg_epoll_close(e->database);
    if (e->listen_fd >= 0) close(e->listen_fd);
    close(e->fd);
    free(e);
}

static const struct net_ops ops = {
    .listen = epoll_listen, .stop_listening = epoll_stop_listening, .open = epoll_open, .recv = epoll_recv,
    .send = epoll_send, .shutdown_write = epoll_shutdown_write, .close = epoll_close_socket, .wait = epoll_wait_,
    .free = epoll_free,
};

int net_epoll_open(struct net **out, char why[NET_WHY_BYTES])
{
    struct net_epoll *e = calloc(1, sizeof *e);
    struct pg_error error;
    int rc = -ENOMEM;
    snprintf(why, NET_WHY_BYTES, "out of memory");
    if (!e) return rc;
    e->net.ops = &ops;
    e->listen_fd = -1;
    e->queue_tail = &e->queue;
    e->fd = epoll_create1(EPOLL_CLOEXEC);
    rc = e->fd < 0 ? -errno : 0;
    if (rc) {
        snprintf(why, NET_WHY_BYTES, "epoll_create1: %s", strerror(-rc));
        free(e);
        return rc;
    }
    rc = pg_epoll_open(&e->database, &error);
    if (rc) {
        snprintf(why, NET_WHY_BYTES, "%s", pg_error_field(&error, 'M'));
        close(e->fd);
        free(e);
        return rc;
    }
    e->database_watch = (struct net_watch){ .fd = pg_epoll_fd(e->database), .on_ready = dispatch_database };
    rc = net_epoll_watch(&e->net, &e->database_watch);
    if (rc) {
        snprintf(why, NET_WHY_BYTES, "epoll_ctl: %s", strerror(-rc));
        epoll_free(&e->net);
        return rc;
    }
    e->net.host = pg_epoll_host(e->database);
    *out = &e->net;
    return 0;
}

/* host/epoll.c - pg_epoll: the seam over one epoll descriptor, for machines where io_uring is forbidden and for loops
 * that watch descriptors.
 *
 * Owns one record per bound socket, the epoll set and an eventfd for wake; must never know PostgreSQL. Sockets are
 * watched edge-triggered from bind to unbind, so that no operation costs an epoll_ctl: a record remembers whether its
 * socket is readable and writable, and only a call that came back short or with EAGAIN makes it forget. Invariants:
 *  - What finishes inside submit or cancel goes through pg_host_finish; only dispatch calls complete() itself.
 *  - Sockets with news are in `news` and leave it one at a time from the head; unbind takes its own out. A callback
 *    may thus unbind any socket, and a record is not touched after a callback.
 *  - The two results of a socket are both taken before the first is told: send, then recv. A send's callback may
 *    unbind only if no recv is in flight, and it is until its own callback has run. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "reactor/reactor.h"
#include "ringpg/epoll.h"

enum {
    BATCH = 64,             /* events per dispatch; more stay ready, and the descriptor readable */
    BYTES_MAX = 0x7ffff000, /* one transfer; the result is an int32_t                            */
};

struct operation {
    struct pg_completion *completion; /* NULL: nothing in flight */
    union { const void *from; void *to; } at;
    size_t bytes;
};
struct record {
    int fd;
    bool readable, writable;
    bool ended;  /* the other side has shut down, or there is an error: no edge will follow, so it stays readable */
    bool queued; /* in pg_epoll.news */
    TAILQ_ENTRY(record) link;
    struct operation send, recv;
};
struct pg_epoll {
    struct pg_host host; /* first */
    int epoll_fd, event_fd;
    bool no_pwait2; /* the kernel, or a seccomp profile, does not have it */
    TAILQ_HEAD(, record) news;
};

static struct pg_epoll *of(struct pg_host *host)
{
    return RP_CONTAINER(host, struct pg_epoll, host);
}

/* ---- one attempt. True: `*res` is the operation's result. False: not now, and an edge will come; so too while the
 * connection does not stand yet. ---- */

static bool try_send(struct record *r, const void *at, size_t bytes, int32_t *res)
{
    ssize_t n;

    do
        n = send(r->fd, at, bytes < BYTES_MAX ? bytes : BYTES_MAX, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return r->writable = false;
    *res = n < 0 ? -errno : (int32_t)n;
    return true;
}

static bool try_recv(struct record *r, void *at, size_t bytes, int32_t *res)
{
    ssize_t n;

    if (bytes > BYTES_MAX)
        bytes = BYTES_MAX;
    do
        n = recv(r->fd, at, bytes, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return r->readable = r->ended = false;
    /* Short: it is drained, and what comes from now on makes a new edge. */
    if (n > 0 && (size_t)n < bytes && !r->ended)
        r->readable = false;
    *res = n < 0 ? -errno : (int32_t)n;
    return true;
}

/* ---- the seam ---- */

static int bind_socket(struct pg_host *host, struct pg_socket *socket)
{
    struct record *r = calloc(1, sizeof *r);
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = r };

    if (!r)
        return -ENOMEM;
    if (epoll_ctl(of(host)->epoll_fd, EPOLL_CTL_ADD, socket->fd, &event)) {
        int rc = -errno;
        free(r);
        return rc;
    }
    r->fd = socket->fd;
    r->writable = true; /* mostly it is, and trying tells */
    socket->host_data = r;
    return 0;
}

static void forget_news(struct pg_epoll *e, struct record *r)
{
    if (!r->queued)
        return;
    TAILQ_REMOVE(&e->news, r, link);
    r->queued = false;
}

static void unbind_socket(struct pg_host *host, struct pg_socket *socket)
{
    struct record *r = socket->host_data;

    RP_ASSERT(r && !r->send.completion && !r->recv.completion);
    forget_news(of(host), r);
    /* By hand, since a copy of the descriptor in a forked child would keep it in the set after the close. */
    (void)epoll_ctl(of(host)->epoll_fd, EPOLL_CTL_DEL, r->fd, NULL);
    free(r);
    socket->host_data = NULL;
}

static int submit_send(struct pg_host *host, struct pg_socket *socket, const void *at, size_t bytes,
                       struct pg_completion *completion)
{
    struct record *r = socket->host_data;
    int32_t res;

    RP_ASSERT(!r->send.completion);
    if (r->writable && try_send(r, at, bytes, &res))
        pg_host_finish(host, completion, res);
    else
        r->send = (struct operation){ .completion = completion, .at.from = at, .bytes = bytes };
    return 0;
}

static int submit_recv(struct pg_host *host, struct pg_socket *socket, void *at, size_t bytes,
                       struct pg_completion *completion)
{
    struct record *r = socket->host_data;
    int32_t res;

    RP_ASSERT(!r->recv.completion);
    if (r->readable && try_recv(r, at, bytes, &res))
        pg_host_finish(host, completion, res);
    else
        r->recv = (struct operation){ .completion = completion, .at.to = at, .bytes = bytes };
    return 0;
}

static void submit_cancel(struct pg_host *host, struct pg_socket *socket, struct pg_completion *completion)
{
    struct record *r = socket->host_data;

    if (r->send.completion == completion)
        r->send.completion = NULL;
    else if (r->recv.completion == completion)
        r->recv.completion = NULL;
    else
        return; /* it has finished already, and its result stands */
    pg_host_finish(host, completion, -ECANCELED);
}

static void wake(struct pg_host *host)
{
    /* Fails only when the counter is at its end, and then it is readable anyway. */
    uint64_t one = 1;
    (void)!write(of(host)->event_fd, &one, sizeof one);
}

/* ---- dispatch ---- */

static void note(struct pg_epoll *e, const struct epoll_event *event)
{
    struct record *r = event->data.ptr;
    uint64_t count;

    if (!r) { /* wake: what was posted is taken by the next turn */
        (void)!read(e->event_fd, &count, sizeof count);
        return;
    }
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        r->ended = true;
    if (event->events & EPOLLIN || r->ended)
        r->readable = true;
    if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        r->writable = true;
    if (!r->queued) {
        TAILQ_INSERT_TAIL(&e->news, r, link);
        r->queued = true;
    }
}

static void deliver(struct record *r)
{
    struct pg_completion *send = NULL, *recv = NULL;
    int32_t sent = 0, received = 0;

    if (r->send.completion && r->writable && try_send(r, r->send.at.from, r->send.bytes, &sent)) {
        send = r->send.completion;
        r->send.completion = NULL;
    }
    if (r->recv.completion && r->readable && try_recv(r, r->recv.at.to, r->recv.bytes, &received)) {
        recv = r->recv.completion;
        r->recv.completion = NULL;
    }
    if (send)
        send->complete(send, sent);
    if (recv)
        recv->complete(recv, received);
}

static int wait_for(struct pg_epoll *e, struct epoll_event *events, int64_t wait_ns)
{
#ifdef SYS_epoll_pwait2
    if (!e->no_pwait2) {
        struct { int64_t seconds, ns; } ts = { wait_ns / 1000000000, wait_ns % 1000000000 };
        long n = syscall(SYS_epoll_pwait2, e->epoll_fd, events, BATCH, wait_ns < 0 ? NULL : &ts, NULL, 0);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return n < 0 ? -errno : (int)n;
        e->no_pwait2 = true;
    }
#endif
    /* Rounded up: a wait that ends before the deadline that it was for would be repeated until then. */
    const int64_t ms_max = INT32_MAX;
    int64_t ms = wait_ns < 0 ? -1 : wait_ns / 1000000 + (wait_ns % 1000000 != 0);
    int n = epoll_wait(e->epoll_fd, events, BATCH, (int)(ms < ms_max ? ms : ms_max));
    return n < 0 ? -errno : n;
}

int pg_epoll_dispatch(struct pg_epoll *e, int64_t wait_ns)
{
    struct epoll_event events[BATCH];
    const struct pg_reactor *reactor = e->host.reactor;
    struct record *r;

    if (reactor)
        rp_check_owner(reactor);
    if (wait_ns < PG_WAIT_FOREVER || (reactor && rp_turn_wanted(reactor)))
        wait_ns = 0;
    int n = wait_for(e, events, wait_ns);
    if (n < 0)
        return n == -EINTR ? 0 : n;
    for (int i = 0; i < n; i++)
        note(e, &events[i]);
    while ((r = TAILQ_FIRST(&e->news))) {
        forget_news(e, r);
        deliver(r);
    }
    return 0;
}

/* ---- opening and closing ---- */

static const struct pg_host_ops epoll_ops = {
    .size = sizeof(struct pg_host_ops),
    .bind = bind_socket,
    .unbind = unbind_socket,
    .submit_send = submit_send,
    .submit_recv = submit_recv,
    .submit_cancel = submit_cancel,
    .wake = wake,
};

int pg_epoll_open(struct pg_epoll **out, struct pg_error *error)
{
    struct epoll_event woken = { .events = EPOLLIN };
    struct pg_epoll *e = calloc(1, sizeof *e);

    *out = NULL;
    if (!e)
        return rp_error_set(error, -ENOMEM, "pg_epoll: %s", pg_error_text(-ENOMEM));
    e->host.ops = &epoll_ops;
    TAILQ_INIT(&e->news);
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    e->event_fd = e->epoll_fd < 0 ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (e->event_fd < 0 || epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->event_fd, &woken)) {
        int rc = -errno;
        if (e->event_fd >= 0)
            close(e->event_fd);
        if (e->epoll_fd >= 0)
            close(e->epoll_fd);
        free(e);
        return rp_error_set(error, rc, "pg_epoll: %s", pg_error_text(rc));
    }
    *out = e;
    return 0;
}

struct pg_host *pg_epoll_host(struct pg_epoll *e)
{
    return &e->host;
}

int pg_epoll_fd(const struct pg_epoll *e)
{
    return e->epoll_fd;
}

void pg_epoll_close(struct pg_epoll *e)
{
    if (!e)
        return;
    RP_ASSERT(!e->host.reactor);
    close(e->event_fd);
    close(e->epoll_fd);
    free(e);
}

/* support/contract_real.c - the hosts over the kernel's sockets, for the contract suite: pg_uring on rings of several
 * kinds and pg_epoll, each over loopback TCP and over Unix sockets. The peer is a plain non-blocking descriptor. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include "ringpg/epoll.h"
#include "ringpg/uring.h"
#include "support/contract.h"

struct real {
    int listener;
    struct io_uring ring;
    struct pg_uring *uring;
    struct pg_epoll *epoll;
};

/* ---- the kernel's sockets ---- */

/* A name in `address` that is bound, so that nobody else takes it; connections to it are refused until it listens. */
static void bind_at(struct contract *c, int family)
{
    static unsigned serial;
    struct real *real = c->own;
    struct sockaddr_in tcp = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un local = { .sun_family = AF_UNIX };

    real->listener = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(real->listener >= 0);
    if (family == AF_INET) {
        assert_int_equal(bind(real->listener, (struct sockaddr *)&tcp, sizeof tcp), 0);
    } else { /* the abstract namespace leaves no files behind */
        int n = snprintf(local.sun_path + 1, sizeof local.sun_path - 1, "ringpg-contract-%ld-%u", (long)getpid(),
                         serial++);
        assert_int_equal(bind(real->listener, (struct sockaddr *)&local,
                              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)), 0);
    }
    c->address_size = sizeof c->address;
    assert_int_equal(getsockname(real->listener, (struct sockaddr *)&c->address, &c->address_size), 0);
}

static void listen_at(struct contract *c, int family)
{
    bind_at(c, family);
    assert_int_equal(listen(((struct real *)c->own)->listener, 1024), 0);
}

static void real_refuse(struct contract *c)
{
    close(((struct real *)c->own)->listener);
    bind_at(c, c->address.ss_family);
}

static void real_accept(struct contract *c, struct contract_peer *peer)
{
    struct real *real = c->own;
    struct pollfd pollfd = { .fd = real->listener, .events = POLLIN };

    assert_int_equal(poll(&pollfd, 1, (int)(CONTRACT_PATIENCE_NS / 1000000)), 1);
    peer->fd = accept4(real->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(peer->fd >= 0);
}

static size_t real_write(struct contract *c, struct contract_peer *peer, const void *at, size_t n)
{
    (void)c;
    ssize_t put = send(peer->fd, at, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert_true(put >= 0 || errno == EAGAIN);
    return put < 0 ? 0 : (size_t)put;
}

static size_t real_read(struct contract *c, struct contract_peer *peer, void *at, size_t n)
{
    (void)c;
    ssize_t got = recv(peer->fd, at, n, MSG_DONTWAIT);
    assert_true(got > 0 || (got < 0 && errno == EAGAIN));
    return got < 0 ? 0 : (size_t)got;
}

static bool real_at_eof(struct contract *c, struct contract_peer *peer)
{
    char byte;
    (void)c;
    return recv(peer->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

static void real_hang_up(struct contract *c, struct contract_peer *peer, bool reset)
{
    struct linger now = { .l_onoff = 1, .l_linger = 0 };
    (void)c;
    if (reset)
        assert_int_equal(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    close(peer->fd);
    peer->fd = -1;
}

/* ---- pg_uring ---- */

enum { RING_ENTRIES = 256 };

static void uring_wait(struct contract *c, int64_t wait_ns)
{
    struct real *real = c->own;
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    assert_int_equal(pg_uring_wait(real->uring, wait_ns), 0);
    io_uring_for_each_cqe(&real->ring, head, cqe) {
        n++;
        assert_true(pg_uring_complete(real->uring, cqe));
    }
    io_uring_cq_advance(&real->ring, n);
}

static void uring_open(struct contract *c, int family, unsigned flags)
{
    struct real *real = c->own = calloc(1, sizeof *real);
    struct io_uring_params params = { .flags = flags };

    assert_non_null(real);
    listen_at(c, family);
    assert_int_equal(io_uring_queue_init_params(RING_ENTRIES, &real->ring, &params), 0);
    struct pg_uring_config config = { .size = sizeof config, .ring = &real->ring };
    assert_int_equal(pg_uring_open(&real->uring, &config, NULL), 0);
    c->host = pg_uring_host(real->uring);
}

static void uring_close(struct contract *c)
{
    struct real *real = c->own;
    assert_int_equal(pg_uring_stale(real->uring), 0);
    pg_uring_close(real->uring);
    io_uring_queue_exit(&real->ring);
    close(real->listener);
    free(real);
}

static void uring_tcp(struct contract *c)
{
    uring_open(c, AF_INET, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}

static void uring_unix(struct contract *c)
{
    uring_open(c, AF_UNIX, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
}

static void uring_plain(struct contract *c)
{
    uring_open(c, AF_INET, 0);
}

static void uring_registered(struct contract *c)
{
    uring_open(c, AF_INET, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
    assert_int_equal(io_uring_register_ring_fd(&((struct real *)c->own)->ring), 1);
}

/* ---- pg_epoll ---- */

static void epoll_wait_(struct contract *c, int64_t wait_ns)
{
    assert_int_equal(pg_epoll_dispatch(((struct real *)c->own)->epoll, wait_ns), 0);
}

static void epoll_open(struct contract *c, int family)
{
    struct real *real = c->own = calloc(1, sizeof *real);
    assert_non_null(real);
    listen_at(c, family);
    assert_int_equal(pg_epoll_open(&real->epoll, NULL), 0);
    c->host = pg_epoll_host(real->epoll);
}

static void epoll_close(struct contract *c)
{
    struct real *real = c->own;
    pg_epoll_close(real->epoll);
    close(real->listener);
    free(real);
}

static void epoll_tcp(struct contract *c)
{
    epoll_open(c, AF_INET);
}

static void epoll_unix(struct contract *c)
{
    epoll_open(c, AF_UNIX);
}

#define REAL(name_, tcp_, open_, close_, wait_)                                                                 \
    { .name = name_, .can_reset = tcp_, .open = open_, .close = close_, .wait = wait_, .accept = real_accept,   \
      .write = real_write, .read = real_read, .at_eof = real_at_eof, .hang_up = real_hang_up, .refuse = real_refuse }

const struct contract_kind contract_real[] = {
    REAL("uring, TCP", true, uring_tcp, uring_close, uring_wait),
    REAL("uring, Unix", false, uring_unix, uring_close, uring_wait),
    REAL("uring without DEFER_TASKRUN, TCP", true, uring_plain, uring_close, uring_wait),
    REAL("uring, registered, TCP", true, uring_registered, uring_close, uring_wait),
    REAL("epoll, TCP", true, epoll_tcp, epoll_close, epoll_wait_),
    REAL("epoll, Unix", false, epoll_unix, epoll_close, epoll_wait_),
    { .name = NULL },
};

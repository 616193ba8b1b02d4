/* reactor/posix.c - the host as the library calls it: the host's own operations, and POSIX in the place of those that
 * it does not bring. The one file of reactor/ that makes system calls on descriptors; it keeps no state. A forked child
 * shares the descriptors and the ring, so that each operation asks first whether this is one. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include "state.h"

static int posix_open(struct pg_socket *s, const struct sockaddr *address, socklen_t size)
{
    int family = address->sa_family, on = 1, rc = 0;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    if (family == AF_INET || family == AF_INET6) {
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) rc = -errno;
    }
    /* A connect that a signal interrupted goes on by itself, like one that is in progress. */
    if (!rc && connect(fd, address, size) && errno != EINPROGRESS && errno != EINTR) rc = -errno;
    if (rc) {
        close(fd);
        return rc;
    }
    s->fd = fd;
    s->flags = PG_SOCKET_STREAM | (family == AF_UNIX ? PG_SOCKET_UNIX : 0);
    return 0;
}

int rp_host_open(struct pg_reactor *r, struct pg_socket *s, const struct sockaddr *address, socklen_t size)
{
    rp_check_owner(r);
    s->fd = -1;
    return r->ops.open ? r->ops.open(r->host, s, address, size) : posix_open(s, address, size);
}

int rp_host_bind(struct pg_reactor *r, struct pg_socket *s)
{
    rp_check_owner(r);
    return r->ops.bind(r->host, s);
}

void rp_host_unbind(struct pg_reactor *r, struct pg_socket *s)
{
    rp_check_owner(r);
    r->ops.unbind(r->host, s);
}

int rp_host_send(struct pg_reactor *r, struct pg_socket *s, const void *at, size_t bytes, struct pg_completion *c)
{
    rp_check_owner(r);
    return r->ops.submit_send(r->host, s, at, bytes, c);
}

int rp_host_recv(struct pg_reactor *r, struct pg_socket *s, void *at, size_t bytes, struct pg_completion *c)
{
    rp_check_owner(r);
    return r->ops.submit_recv(r->host, s, at, bytes, c);
}

void rp_host_cancel(struct pg_reactor *r, struct pg_socket *s, struct pg_completion *c)
{
    rp_check_owner(r);
    if (r->ops.submit_cancel) r->ops.submit_cancel(r->host, s, c);
}

/* The peer may be gone already; what a shutdown wants has then happened by itself. */
void rp_host_shutdown(struct pg_reactor *r, struct pg_socket *s, int how)
{
    rp_check_owner(r);
    if (r->ops.shutdown) r->ops.shutdown(r->host, s, how);
    else (void)shutdown(s->fd, how);
}

void rp_host_close(struct pg_reactor *r, struct pg_socket *s)
{
    rp_check_owner(r);
    if (r->ops.close) r->ops.close(r->host, s);
    else (void)close(s->fd); /* on Linux the descriptor is gone whatever it returns */
    s->fd = -1;
}

int rp_host_entropy(struct pg_reactor *r, void *at, size_t bytes)
{
    if (r->ops.entropy) return r->ops.entropy(r->host, at, bytes);
    for (unsigned char *to = at; bytes > 0;) {
        ssize_t got = getrandom(to, bytes, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -errno;
        to += got;
        bytes -= (size_t)got;
    }
    return 0;
}

static __attribute__((noinline)) uint64_t read_clock(struct pg_reactor *r)
{
    r->clock_read = true;
    if (r->ops.now) {
        r->now_ns = r->ops.now(r->host);
    } else {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        r->now_ns = (uint64_t)time.tv_sec * UINT64_C(1000000000) + (uint64_t)time.tv_nsec;
    }
    return r->now_ns;
}

uint64_t rp_now(struct pg_reactor *r) { return r->clock_read ? r->now_ns : read_clock(r); }

uint64_t pg_reactor_now(struct pg_reactor *r)
{
    return rp_now(r);
}

/* xorshift64*, after Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled" (2016). Where
 * the host has no entropy to give, the clock is enough for jitter; an address would be, too, but no world would repeat.
 */
uint32_t rp_random(struct pg_reactor *r)
{
    if (!r->random) {
        uint64_t seed;
        if (rp_host_entropy(r, &seed, sizeof seed)) seed = rp_now(r);
        r->random = seed | 1;
    }
    r->random ^= r->random >> 12;
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return (uint32_t)(r->random * UINT64_C(2685821657736338717) >> 32);
}

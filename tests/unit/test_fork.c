/* unit/test_fork.c - a forked child never touches its parent's ring (failures 43): whatever it does with the parent's
 * reactor, pool, leases and hosts asserts before anything reaches the kernel, and the parent serves on. */
#define _GNU_SOURCE
#include <liburing.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "reactor/reactor.h"
#include "ringpg/epoll.h"
#include "ringpg/uring.h"
#include "support/fake_clock_host.h"
#include "support/world.h"

static void do_nothing(void *arg) { (void)arg; }

/* ---- the reactor ---- */

static void nothing(struct pg_task *task) { (void)task; }
static void turn(void *reactor) { (void)!pg_reactor_turn(reactor); }
static void post(void *reactor)
{
    struct pg_task task = { .run = nothing };
    pg_reactor_post(reactor, &task);
}
static void close_reactor(void *reactor) { pg_reactor_close(reactor, 0); }
static void free_reactor(void *reactor) { pg_reactor_free(reactor); }

static void a_reactor_in_a_child(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    fake_clock_host_init(&fake);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake.host);
    struct pg_reactor *r;
    assert_int_equal(pg_reactor_open(&r, &config, NULL), 0);
    assert_int_equal(signal_of(do_nothing, r), 0);
    assert_int_equal(signal_of(turn, r), SIGABRT);
    assert_int_equal(signal_of(post, r), SIGABRT);
    assert_int_equal(signal_of(close_reactor, r), SIGABRT);
    assert_int_equal(signal_of(free_reactor, r), SIGABRT);
    assert_int_equal(pg_reactor_turn(r), PG_WAIT_FOREVER); /* and the parent's is as it was */
    pg_reactor_free(r);
}

/* ---- a pool with a connection that is held and one that runs a statement ---- */

static struct { struct world w; struct held held, more; struct seen running, leased, next; } s;

static void query(void *arg) { (void)arg, pg_pool_query(s.w.pool, &s.next.query); }
static void query_leased(void *arg) { (void)arg, pg_lease_query(&s.held.lease, &s.next.query); }
static void acquire(void *arg) { (void)arg, pg_pool_acquire(s.w.pool, &s.more.lease); }
static void release(void *arg) { (void)arg, pg_lease_release(&s.held.lease); }
static void abandon(void *arg) { (void)arg, pg_lease_abandon(&s.held.lease); }
static void cancel(void *arg) { (void)arg, pg_query_cancel(&s.running.query); }
static void close_pool(void *arg) { (void)arg, pg_pool_close(s.w.pool, 0, NULL, NULL); }
static void reset_pool(void *arg) { (void)arg, pg_pool_reset(s.w.pool); }
static void turn_pool(void *arg) { (void)arg, turn(s.w.reactor); }

static void a_pool_in_a_child(void **state)
{
    (void)state;
    static void (*const deeds[])(void *) = { query,  query_leased, acquire,    release,  abandon,
                                             cancel, close_pool,   reset_pool, turn_pool };
    world_open(&s.w, "pool_max_conns=2");
    held_init(&s.held), held_init(&s.more);
    pg_pool_acquire(s.w.pool, &s.held.lease);
    seen_sql(&s.running, "SLEEP 50");
    pg_pool_query(s.w.pool, &s.running.query);
    world_run(&s.w, 20 * WORLD_MS);
    assert_int_equal(s.held.grants, 1);
    assert_int_equal(world_stats(&s.w).total_conns, 2);
    seen_init(&s.next, &world_echo, 7);
    uint64_t calls = sim_counters(s.w.sim)->calls;
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        if (signal_of(deeds[i], NULL) != SIGABRT) fail_msg("deed %zu was not caught", i);
    pg_lease_query(&s.held.lease, &s.next.query);
    pg_pool_acquire(s.w.pool, &s.more.lease);
    assert_int_equal(signal_of(close_pool, NULL), SIGABRT); /* also where a turn was asked for before the fork */
    assert_int_equal(signal_of(cancel, NULL), SIGABRT);
    pg_lease_abandon(&s.more.lease);
    assert_int_equal(sim_counters(s.w.sim)->calls, calls);
    world_run(&s.w, 100 * WORLD_MS);
    assert_int_equal(s.next.status + (int)s.next.done, 1);
    assert_int_equal(s.running.status + (int)s.running.done, 1);
    assert_int_equal(model_stats(s.w.server)->connections_total, 2);
    pg_lease_release(&s.held.lease);
    world_close(&s.w);
}

/* ---- the hosts: what waits, and what takes a completion that the parent waits for ---- */

static struct { struct io_uring ring; struct pg_uring *uring; struct io_uring_cqe cqe; } u;

static void wait_on_ring(void *arg) { (void)arg, (void)!pg_uring_wait(u.uring, 0); }
static void take_completion(void *arg) { (void)arg, (void)!pg_uring_complete(u.uring, &u.cqe); }
static void a_ring_in_a_child(void **state)
{
    (void)state;
    struct pg_reactor *r;
    struct io_uring_cqe *cqe;
    memset(&u, 0, sizeof u);
    assert_int_equal(io_uring_queue_init(4, &u.ring, 0), 0);
    struct pg_uring_config config = { .size = sizeof config, .ring = &u.ring, .sockets = 1 };
    assert_int_equal(pg_uring_open(&u.uring, &config, NULL), 0);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_uring_host(u.uring));
    assert_int_equal(pg_reactor_open(&r, &rc, NULL), 0);
    unsigned queued = io_uring_sq_ready(&u.ring);
    assert_true(queued > 0); /* the poll of wake */
    assert_int_equal(signal_of(wait_on_ring, NULL), SIGABRT);
    assert_int_equal(io_uring_submit(&u.ring), queued); /* nobody else has submitted it */
    pg_uring_host(u.uring)->ops->wake(pg_uring_host(u.uring));
    assert_int_equal(io_uring_wait_cqe(&u.ring, &cqe), 0);
    u.cqe = *cqe;
    assert_int_equal(signal_of(take_completion, NULL), SIGABRT);
    u.cqe.user_data = 1;
    assert_int_equal(signal_of(take_completion, NULL), 0); /* what is not the library's is left alone there, too */
    assert_true(pg_uring_complete(u.uring, cqe));
    io_uring_cqe_seen(&u.ring, cqe);
    (void)!pg_reactor_turn(r);
    pg_reactor_free(r);
    pg_uring_close(u.uring);
    io_uring_queue_exit(&u.ring);
}

/* Each operation of a host by itself, whatever leads to it. */
static struct { struct pg_reactor *r; struct pg_socket socket; struct pg_completion done; char byte; } h;
static void host_open(void *arg)
{
    const struct sockaddr_un nobody = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };
    (void)arg, (void)!rp_host_open(h.r, &h.socket, (const struct sockaddr *)&nobody, sizeof nobody);
}
static void host_bind(void *arg) { (void)arg, (void)!rp_host_bind(h.r, &h.socket); }
static void host_unbind(void *arg) { (void)arg, rp_host_unbind(h.r, &h.socket); }
static void host_send(void *arg) { (void)arg, (void)!rp_host_send(h.r, &h.socket, &h.byte, 1, &h.done); }
static void host_recv(void *arg) { (void)arg, (void)!rp_host_recv(h.r, &h.socket, &h.byte, 1, &h.done); }
static void host_cancel(void *arg) { (void)arg, rp_host_cancel(h.r, &h.socket, &h.done); }
static void host_shutdown(void *arg) { (void)arg, rp_host_shutdown(h.r, &h.socket, SHUT_RDWR); }
static void host_close(void *arg) { (void)arg, rp_host_close(h.r, &h.socket); }

static void a_socket_in_a_child(void **state)
{
    (void)state;
    static void (*const deeds[])(void *) = { host_open, host_bind,   host_unbind,   host_send,
                                             host_recv, host_cancel, host_shutdown, host_close };
    struct pg_epoll *epoll;
    int fds[2];
    memset(&h, 0, sizeof h);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(pg_epoll_open(&epoll, NULL), 0);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_epoll_host(epoll));
    assert_int_equal(pg_reactor_open(&h.r, &rc, NULL), 0);
    h.socket = (struct pg_socket){ .fd = fds[0], .flags = PG_SOCKET_STREAM };
    assert_int_equal(rp_host_bind(h.r, &h.socket), 0);
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++)
        if (signal_of(deeds[i], NULL) != SIGABRT) fail_msg("deed %zu was not caught", i);
    assert_int_equal(write(fds[0], "x", 1), 1); /* nobody has shut it down */
    rp_host_unbind(h.r, &h.socket);
    rp_host_close(h.r, &h.socket);
    close(fds[1]);
    pg_reactor_free(h.r);
    pg_epoll_close(epoll);
}

static void dispatch(void *epoll) { (void)!pg_epoll_dispatch(epoll, 0); }
static void an_epoll_set_in_a_child(void **state)
{
    (void)state;
    struct pg_epoll *epoll;
    struct pg_reactor *r;
    assert_int_equal(pg_epoll_open(&epoll, NULL), 0);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_epoll_host(epoll));
    assert_int_equal(pg_reactor_open(&r, &rc, NULL), 0);
    pg_epoll_host(epoll)->ops->wake(pg_epoll_host(epoll));
    assert_int_equal(signal_of(dispatch, epoll), SIGABRT);
    assert_int_equal(pg_epoll_dispatch(epoll, 0), 0);
    (void)!pg_reactor_turn(r);
    pg_reactor_free(r);
    pg_epoll_close(epoll);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reactor_in_a_child),
        cmocka_unit_test(a_pool_in_a_child),
        cmocka_unit_test(a_ring_in_a_child),
        cmocka_unit_test(a_socket_in_a_child),
        cmocka_unit_test(an_epoll_set_in_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* pg_uring's wait where it spins (host/uring_wait.c), over a ring without a kernel: each system call takes CALL_NS of a
 * clock that nothing else moves, and is written down. Linked with --wrap for both. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <time.h>
#include "host/uring_wait.h"
#include "reactor/reactor.h"
#include "ringpg/uring.h"
#include "support/contract.h"

enum { CALL_NS = 300, SPIN_NS = 10000, CALLS_MAX = 100, NEVER = CALLS_MAX, SQES = 8 };

static struct kernel {
    struct io_uring ring;
    struct io_uring_sqe sqe[SQES];
    unsigned sq_head, sq_tail, cq_head, cq_tail; /* what the ring's pointers are about */
    int64_t now_ns;
    unsigned posts_at;   /* the call that posts a completion            */
    int fails_with;      /* the first call does, with this errno; 0: no */
    unsigned calls;
    struct call {
        unsigned submitted, completions;
        int64_t timeout_ns; /* -1: none */
    } call[CALLS_MAX];
} kernel;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    assert_int_equal(clock, CLOCK_MONOTONIC);
    *now = (struct timespec){ .tv_sec = kernel.now_ns / 1000000000, .tv_nsec = kernel.now_ns % 1000000000 };
    return 0;
}

/* The argument of the call as the kernel has it (io_uring_enter(2), IORING_ENTER_EXT_ARG). */
struct argument {
    uint64_t sigmask;
    uint32_t sigmask_bytes, min_wait_us;
    uint64_t timeout;
};

long __wrap_syscall(long number, int fd, unsigned to_submit, unsigned completions, unsigned flags,
                    const struct argument *argument, size_t size);
long __wrap_syscall(long number, int fd, unsigned to_submit, unsigned completions, unsigned flags,
                    const struct argument *argument, size_t size)
{
    const struct __kernel_timespec *timeout = (const void *)(uintptr_t)argument->timeout;
    unsigned call = kernel.calls++;

    (void)fd;
    assert_int_equal(number, __NR_io_uring_enter);
    assert_true(flags & IORING_ENTER_GETEVENTS);
    assert_int_equal(size, sizeof *argument);
    assert_true(call < CALLS_MAX);
    kernel.call[call] = (struct call){ to_submit, completions,
                                       timeout ? timeout->tv_sec * 1000000000 + timeout->tv_nsec : -1 };
    kernel.now_ns += CALL_NS;
    if (call == 0 && kernel.fails_with) {
        errno = kernel.fails_with;
        return -1;
    }
    kernel.sq_head += to_submit;
    if (call == kernel.posts_at)
        kernel.cq_tail++;
    if (completions && kernel.cq_tail == kernel.cq_head) { /* it has slept all the time */
        errno = ETIME;
        return -1;
    }
    return to_submit;
}

static int setup(void **state)
{
    (void)state;
    kernel = (struct kernel){ .posts_at = NEVER };
    kernel.ring.features = IORING_FEAT_RSRC_TAGS;
    kernel.ring.sq.sqes = kernel.sqe;
    kernel.ring.sq.ring_entries = SQES;
    kernel.ring.sq.ring_mask = SQES - 1;
    kernel.ring.sq.khead = &kernel.sq_head;
    kernel.ring.sq.ktail = &kernel.sq_tail;
    kernel.ring.cq.khead = &kernel.cq_head;
    kernel.ring.cq.ktail = &kernel.cq_tail;
    return 0;
}

static void queue(unsigned n)
{
    kernel.ring.sq.sqe_tail += n; /* as io_uring_get_sqe does */
}

static int wait_for(int64_t wait_ns, uint32_t spin_ns)
{
    return rp_ring_wait(&kernel.ring, &(struct rp_ring_wait){ .wait_ns = wait_ns, .completions = 1, .spin_ns = spin_ns });
}

/* All that a spin does is asking without waiting; the first time it submits what is queued. */
static void expect_spins(unsigned from, unsigned to, unsigned submitted)
{
    for (unsigned i = from; i < to; i++) {
        assert_int_equal(kernel.call[i].completions, 0);
        assert_int_equal(kernel.call[i].submitted, i ? 0 : submitted);
    }
}

static void does_not_spin_unless_it_was_told_to(void **state)
{
    (void)state;
    queue(2);
    kernel.posts_at = 0;
    assert_int_equal(wait_for(-1, 0), 0);
    assert_int_equal(kernel.calls, 1);
    assert_int_equal(kernel.call[0].submitted, 2);
    assert_int_equal(kernel.call[0].completions, 1);
}

static void a_completion_ends_the_spin(void **state)
{
    (void)state;
    queue(2);
    kernel.posts_at = 7;
    assert_int_equal(wait_for(-1, SPIN_NS), 0);
    assert_int_equal(kernel.calls, 8);
    expect_spins(0, 8, 2);
    assert_int_equal(kernel.cq_tail, 1);
}

static void sleeps_when_the_time_is_up(void **state)
{
    const int64_t wait_ns = 5000000;
    const unsigned spins = (SPIN_NS + CALL_NS - 1) / CALL_NS;
    (void)state;
    queue(1);
    assert_int_equal(wait_for(wait_ns, SPIN_NS), 0);
    assert_int_equal(kernel.calls, spins + 1);
    expect_spins(0, spins, 1);
    assert_int_equal(kernel.call[spins].completions, 1);
    assert_int_equal(kernel.call[spins].submitted, 0);
    assert_int_equal(kernel.call[spins].timeout_ns, wait_ns - (int64_t)spins * CALL_NS);
}

static void sleeps_for_ever_where_there_is_no_deadline(void **state)
{
    (void)state;
    kernel.posts_at = (SPIN_NS + CALL_NS - 1) / CALL_NS;
    assert_int_equal(wait_for(-1, SPIN_NS), 0);
    assert_int_equal(kernel.calls, kernel.posts_at + 1);
    assert_int_equal(kernel.call[kernel.posts_at].completions, 1);
    assert_int_equal(kernel.call[kernel.posts_at].timeout_ns, -1);
}

static void spins_no_longer_than_the_wait(void **state)
{
    const int64_t wait_ns = 1000;
    const unsigned spins = 4; /* of 300 ns */
    (void)state;
    assert_int_equal(wait_for(wait_ns, SPIN_NS), 0);
    assert_int_equal(kernel.calls, spins);
    expect_spins(0, spins, 0);
}

static void a_wait_of_nothing_asks_once(void **state)
{
    (void)state;
    queue(1);
    assert_int_equal(wait_for(0, SPIN_NS), 0);
    assert_int_equal(kernel.calls, 1);
    expect_spins(0, 1, 1);
}

static void an_error_ends_the_spin(void **state)
{
    static const struct { int fails_with, told; } table[] = { { EBADF, -EBADF }, { EINTR, 0 }, { EBUSY, 0 } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        setup(state);
        kernel.fails_with = table[i].fails_with;
        assert_int_equal(wait_for(-1, SPIN_NS), table[i].told);
        assert_int_equal(kernel.calls, 1);
    }
}

/* Nothing is due that a query waits for: others' sockets alone are worth no spin. Many are due: a minimum wait is. */
static void pg_uring_spins_while_a_few_answers_are_due(void **state)
{
    static const struct { int due; bool spins; } table[] = { { 0, false }, { 1, true }, { 15, true }, { 16, false } };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct pg_uring *uring;
        struct pg_reactor *reactor;
        setup(state);
        struct pg_uring_config config = { .size = sizeof config, .ring = &kernel.ring, .spin_ns = SPIN_NS };
        assert_int_equal(pg_uring_open(&uring, &config, NULL), 0);
        struct pg_reactor_config reactor_config = PG_REACTOR_CONFIG(pg_uring_host(uring));
        assert_int_equal(pg_reactor_open(&reactor, &reactor_config, NULL), 0);
        rp_due(reactor, table[i].due);
        kernel.posts_at = 3;
        assert_int_equal(pg_uring_wait(uring, PG_WAIT_FOREVER), 0);
        assert_int_equal(kernel.call[0].completions == 0, table[i].spins);
        if (table[i].spins)
            assert_int_equal(kernel.calls, 4);
        rp_due(reactor, -table[i].due);
        pg_reactor_free(reactor);
        pg_uring_close(uring);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(does_not_spin_unless_it_was_told_to, setup),
        cmocka_unit_test_setup(a_completion_ends_the_spin, setup),
        cmocka_unit_test_setup(sleeps_when_the_time_is_up, setup),
        cmocka_unit_test_setup(sleeps_for_ever_where_there_is_no_deadline, setup),
        cmocka_unit_test_setup(spins_no_longer_than_the_wait, setup),
        cmocka_unit_test_setup(a_wait_of_nothing_asks_once, setup),
        cmocka_unit_test_setup(an_error_ends_the_spin, setup),
        cmocka_unit_test(pg_uring_spins_while_a_few_answers_are_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

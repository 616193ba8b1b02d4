/* The wait of pg_uring (host/uring_wait.c) over rings of several kinds, with and without the kernel's minimum wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "host/uring_wait.h"
#include "support/contract.h"

enum { MIN_TIMEOUT = 1 << 15, SECOND = 1000000000, LATE_NS = 20000000 };

enum { DEFER = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };
static const struct kind { const char *name; unsigned flags; bool no_min_wait, registered; } kinds[] = {
    { .name = "plain" },
    { .name = "DEFER_TASKRUN", .flags = DEFER },
    { .name = "DEFER_TASKRUN, an older kernel", .flags = DEFER, .no_min_wait = true },
    { .name = "plain, an older kernel", .no_min_wait = true },
    { .name = "COOP_TASKRUN, registered", .flags = IORING_SETUP_COOP_TASKRUN, .registered = true },
    { .name = "SQPOLL", .flags = IORING_SETUP_SQPOLL },
};

static int setup(void **state)
{
    const struct kind *kind = *state;
    static struct io_uring ring;
    struct io_uring_params params = { .flags = kind->flags };

    assert_int_equal(io_uring_queue_init_params(16, &ring, &params), 0);
    if (kind->no_min_wait)
        ring.features &= ~(unsigned)MIN_TIMEOUT;
    if (kind->registered)
        assert_int_equal(io_uring_register_ring_fd(&ring), 1);
    *state = &ring;
    return 0;
}

static int teardown(void **state)
{
    io_uring_queue_exit(*state);
    return 0;
}

static int wait_for(struct io_uring *ring, int64_t wait_ns, uint32_t completions, uint32_t min_wait_ns)
{
    struct rp_ring_wait wait = { .wait_ns = wait_ns, .completions = completions, .min_wait_ns = min_wait_ns };
    return rp_ring_wait(ring, &wait);
}

static void queue_nops(struct io_uring *ring, unsigned n)
{
    while (n--)
        io_uring_prep_nop(io_uring_get_sqe(ring));
}

static void queue_poll(struct io_uring *ring, int fd)
{
    io_uring_prep_poll_add(io_uring_get_sqe(ring), fd, POLLIN);
}

static void take(struct io_uring *ring, unsigned n)
{
    assert_int_equal(io_uring_cq_ready(ring), n);
    io_uring_cq_advance(ring, n);
}

/* A descriptor that becomes readable LATE_NS after the call. */
static int late_descriptor(void)
{
    struct itimerspec late = { .it_value.tv_nsec = LATE_NS };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(timerfd_settime(fd, 0, &late, NULL), 0);
    return fd;
}

static void submits_and_waits(void **state)
{
    struct io_uring *ring = *state;
    for (int i = 0; i < 40; i++) { /* more than once around the queue */
        queue_nops(ring, 3);
        assert_int_equal(wait_for(ring, -1, 3, SECOND), 0);
        while (io_uring_cq_ready(ring) < 3)
            assert_int_equal(wait_for(ring, 0, 1, 0), 0);
        take(ring, 3);
    }
    /* and liburing finds the queue as it expects it */
    queue_nops(ring, 5);
    assert_int_equal(io_uring_submit_and_wait(ring, 5), 5);
    take(ring, 5);
}

static void never_sleeps_on_completions(void **state)
{
    struct io_uring *ring = *state;
    uint64_t start_ns = contract_clock();

    queue_nops(ring, 1);
    assert_int_equal(io_uring_submit_and_wait(ring, 1), 1);
    assert_int_equal(wait_for(ring, 30ll * SECOND, 8, 4000000000u), 0);
    queue_nops(ring, 2);
    assert_int_equal(wait_for(ring, 30ll * SECOND, 8, 4000000000u), 0);
    assert_true(contract_clock() - start_ns < 4000000000u);
    while (io_uring_cq_ready(ring) < 3) /* both were submitted */
        assert_int_equal(wait_for(ring, 0, 1, 0), 0);
    take(ring, 3);
}

static void reaps_without_blocking(void **state)
{
    struct io_uring *ring = *state;
    int fd = eventfd(0, EFD_CLOEXEC);

    queue_poll(ring, fd);
    assert_int_equal(wait_for(ring, 0, 1, 0), 0);
    take(ring, 0);
    assert_int_equal(eventfd_write(fd, 1), 0);
    uint64_t give_up_ns = contract_clock() + CONTRACT_PATIENCE_NS;
    do
        assert_int_equal(wait_for(ring, 0, 1, 0), 0);
    while (io_uring_cq_ready(ring) == 0 && contract_clock() < give_up_ns);
    take(ring, 1);
    close(fd);
}

/* As many as were worth waiting for: the minimum wait ends at once. */
static void enough_completions_end_the_minimum_wait(void **state)
{
    struct io_uring *ring = *state;
    int fd = eventfd(1, EFD_CLOEXEC);
    uint64_t start_ns = contract_clock();

    queue_poll(ring, fd);
    queue_nops(ring, 1);
    assert_int_equal(wait_for(ring, -1, 2, 4000000000u), 0);
    assert_true(contract_clock() - start_ns < 4000000000u);
    take(ring, 2);
    close(fd);
}

/* Fewer come than were worth waiting for: the one that is there is handed over after the minimum wait. */
static void the_minimum_wait_is_bounded(void **state)
{
    struct io_uring *ring = *state;
    uint64_t start_ns = contract_clock();

    queue_nops(ring, 1);
    assert_int_equal(wait_for(ring, -1, 9, 50000), 0);
    assert_true(contract_clock() - start_ns < CONTRACT_PATIENCE_NS);
    take(ring, 1);
}

/* Nothing comes within the minimum wait: it does not end the wait, and after it the first completion does. */
static void one_is_enough_after_the_minimum_wait(void **state)
{
    struct io_uring *ring = *state;
    for (int forever = 0; forever < 2; forever++) {
        uint64_t start_ns = contract_clock();
        int fd = late_descriptor();

        queue_poll(ring, fd);
        assert_int_equal(wait_for(ring, 0, 1, 0), 0);
        assert_int_equal(wait_for(ring, forever ? -1 : 30ll * SECOND, 9, 50000), 0);
        uint64_t elapsed_ns = contract_clock() - start_ns;
        assert_true(elapsed_ns >= LATE_NS && elapsed_ns < CONTRACT_PATIENCE_NS);
        take(ring, 1);
        close(fd);
    }
}

static void an_idle_wait_takes_its_time(void **state)
{
    struct io_uring *ring = *state;
    static const struct rp_ring_wait waits[] = {
        { .wait_ns = LATE_NS, .completions = 1 },
        { .wait_ns = LATE_NS, .completions = 9, .min_wait_ns = 50000 },
        { .wait_ns = LATE_NS, .completions = 9, .min_wait_ns = 10 * LATE_NS },
    };
    for (size_t i = 0; i < RP_COUNT(waits); i++) {
        uint64_t start_ns = contract_clock();
        assert_int_equal(rp_ring_wait(ring, &waits[i]), 0);
        uint64_t elapsed_ns = contract_clock() - start_ns;
        assert_true(elapsed_ns >= LATE_NS && elapsed_ns < CONTRACT_PATIENCE_NS);
        take(ring, 0);
    }
}

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
    (void)number;
    signals++;
}

static void a_signal_ends_the_wait(void **state)
{
    struct io_uring *ring = *state;
    struct sigaction action = { .sa_handler = on_signal }, before;
    struct itimerval again = { .it_interval.tv_usec = 5000, .it_value.tv_usec = 5000 }, none = { .it_value.tv_sec = 0 };

    for (int several = 0; several < 2; several++) {
        signals = 0;
        assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &again, NULL), 0);
        assert_int_equal(wait_for(ring, -1, several ? 9 : 1, several ? 50000 : 0), 0);
        assert_int_equal(setitimer(ITIMER_REAL, &none, NULL), 0);
        assert_true(signals > 0);
        assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
        take(ring, 0);
    }
}

static void a_broken_ring_is_an_error(void **state)
{
    struct io_uring broken = *(struct io_uring *)*state;
    broken.ring_fd = broken.enter_ring_fd = -1;
    assert_int_equal(rp_ring_wait(&broken, &(struct rp_ring_wait){ .wait_ns = -1, .completions = 1 }), -EBADF);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        CONTRACT_CLAUSE(submits_and_waits),
        CONTRACT_CLAUSE(never_sleeps_on_completions),
        CONTRACT_CLAUSE(reaps_without_blocking),
        CONTRACT_CLAUSE(enough_completions_end_the_minimum_wait),
        CONTRACT_CLAUSE(the_minimum_wait_is_bounded),
        CONTRACT_CLAUSE(one_is_enough_after_the_minimum_wait),
        CONTRACT_CLAUSE(an_idle_wait_takes_its_time),
        CONTRACT_CLAUSE(a_signal_ends_the_wait),
        CONTRACT_CLAUSE(a_broken_ring_is_an_error),
    };
    int failed = 0;

    for (size_t i = 0; i < RP_COUNT(kinds); i++) {
        for (size_t j = 0; j < RP_COUNT(tests); j++) {
            tests[j].initial_state = (void *)(uintptr_t)&kinds[i];
            tests[j].setup_func = setup;
            tests[j].teardown_func = teardown;
        }
        failed += _cmocka_run_group_tests(kinds[i].name, tests, RP_COUNT(tests), NULL, NULL);
    }
    return failed;
}

/* What is particular to pg_epoll: its one descriptor, which another loop watches, and kernels without epoll_pwait2. The
 * contract that it has in common with the other hosts is test_host_contract*.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "ringpg/epoll.h"
#include "support/contract.h"

enum { SOCKETS = 100 }; /* more than one dispatch takes */

struct fixture {
    struct pg_epoll *epoll;
    struct pg_reactor *reactor;
    struct contract contract; /* only as what operations refer to */
};

static void open_host(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    assert_int_equal(pg_epoll_open(&f->epoll, NULL), 0);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(pg_epoll_host(f->epoll));
    assert_int_equal(pg_reactor_open(&f->reactor, &config, NULL), 0);
    f->contract.reactor = f->reactor;
}

static void close_host(struct fixture *f)
{
    pg_reactor_free(f->reactor);
    pg_epoll_close(f->epoll);
}

static void open_socket(struct fixture *f, struct pg_socket *s, int *peer)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *s = (struct pg_socket){ .fd = fds[0], .flags = PG_SOCKET_STREAM };
    *peer = fds[1];
    assert_int_equal(rp_host_bind(f->reactor, s), 0);
}

static void close_socket(struct fixture *f, struct pg_socket *s, int peer)
{
    rp_host_unbind(f->reactor, s);
    rp_host_close(f->reactor, s);
    close(peer);
}

static bool readable(struct fixture *f, int timeout_ms)
{
    struct pollfd pollfd = { .fd = pg_epoll_fd(f->epoll), .events = POLLIN };
    int n = poll(&pollfd, 1, timeout_ms);
    assert_true(n >= 0);
    return n == 1;
}

/* As a foreign loop does it: dispatches as long as the descriptor is readable, a turn after each. */
static unsigned drain(struct fixture *f)
{
    unsigned dispatches = 0;
    for (; readable(f, 0); dispatches++) {
        assert_int_equal(pg_epoll_dispatch(f->epoll, 0), 0);
        (void)!pg_reactor_turn(f->reactor);
    }
    return dispatches;
}

static void the_descriptor_is_readable_when_there_is_work(void **state)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 };
    char got[4];
    int peer;
    (void)state;

    open_host(&f);
    assert_false(readable(&f, 0));
    open_socket(&f, &s, &peer);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    drain(&f);
    assert_int_equal(in.calls, 0);
    assert_int_equal(write(peer, "abc", 3), 3);
    assert_true(readable(&f, (int)(CONTRACT_PATIENCE_NS / 1000000)));
    assert_true(readable(&f, 0)); /* still: looking does not take it away */
    drain(&f);
    assert_int_equal(in.calls, 1);
    assert_int_equal(in.res, 3);
    pg_epoll_host(f.epoll)->ops->wake(pg_epoll_host(f.epoll));
    assert_true(readable(&f, 0));
    assert_int_equal(drain(&f), 1);
    close_socket(&f, &s, peer);
    assert_false(readable(&f, 0));
    close_host(&f);
    pg_epoll_close(NULL);
}

/* One dispatch is bounded, and what is left keeps the descriptor readable. */
static void a_dispatch_is_bounded(void **state)
{
    struct fixture f;
    struct pg_socket sockets[SOCKETS];
    struct contract_op ops[SOCKETS] = { 0 };
    char got[SOCKETS];
    int peers[SOCKETS];
    unsigned ended = 0;
    (void)state;

    open_host(&f);
    for (int i = 0; i < SOCKETS; i++) {
        open_socket(&f, &sockets[i], &peers[i]);
        assert_int_equal(contract_recv(&f.contract, &sockets[i], &ops[i], &got[i], 1), 0);
    }
    drain(&f);
    for (int i = 0; i < SOCKETS; i++)
        assert_int_equal(write(peers[i], "x", 1), 1);
    assert_int_equal(pg_epoll_dispatch(f.epoll, 0), 0);
    for (int i = 0; i < SOCKETS; i++)
        ended += ops[i].calls;
    assert_in_range(ended, 1, SOCKETS - 1);
    drain(&f);
    for (int i = 0; i < SOCKETS; i++) {
        assert_int_equal(ops[i].calls, 1);
        close_socket(&f, &sockets[i], peers[i]);
    }
    close_host(&f);
}

/* A recv that finds its bytes known to be there, and a send, finish inside submit, are delivered by the next turn and
 * cost no dispatch. */
static void what_finishes_at_once_is_delivered_by_the_turn(void **state)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 }, out = { 0 };
    char got[4];
    int peer;
    (void)state;

    open_host(&f);
    open_socket(&f, &s, &peer);
    assert_int_equal(write(peer, "abc", 3), 3);
    drain(&f);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    assert_int_equal(contract_send(&f.contract, &s, &out, "x", 1), 0);
    assert_int_equal(in.calls + out.calls, 0);
    uint64_t start_ns = contract_clock();
    assert_int_equal(pg_epoll_dispatch(f.epoll, CONTRACT_PATIENCE_NS), 0); /* does not block: a turn is wanted */
    assert_true(contract_clock() - start_ns < CONTRACT_PATIENCE_NS);
    (void)!pg_reactor_turn(f.reactor);
    assert_int_equal(in.res, 3);
    assert_int_equal(out.res, 1);
    close_socket(&f, &s, peer);
    close_host(&f);
}

static void waits_of_every_length(struct fixture *f)
{
    static const int64_t waits_ns[] = { 1, 999999, 1000000, 1500000, 20000000 };
    for (size_t i = 0; i < RP_COUNT(waits_ns); i++) {
        uint64_t start_ns = contract_clock();
        assert_int_equal(pg_epoll_dispatch(f->epoll, waits_ns[i]), 0);
        assert_true(contract_clock() - start_ns >= (uint64_t)waits_ns[i]); /* never early: the loop would spin */
    }
}

static void a_wait_is_never_short(void **state)
{
    struct fixture f;
    (void)state;
    open_host(&f);
    waits_of_every_length(&f);
    close_host(&f);
}

/* From here on epoll_pwait2 gives `error` in this process. */
static bool forbid_pwait2(int error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_epoll_pwait2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { .len = RP_COUNT(code), .filter = code };
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum { CHILD_PASSED = 17 }; /* not what a failed assertion or a sanitizer exits with */

static _Noreturn void without_pwait2(int error)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 };
    char got[4];
    int peer;

    if (!forbid_pwait2(error))
        _exit(1);
    open_host(&f);
    waits_of_every_length(&f);
    open_socket(&f, &s, &peer);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    drain(&f);
    assert_int_equal(write(peer, "x", 1), 1);
    while (!in.calls)
        assert_int_equal(pg_epoll_dispatch(f.epoll, -1), 0);
    bool passed = in.res == 1;
    close_socket(&f, &s, peer);
    close_host(&f);
    _exit(passed ? CHILD_PASSED : 1);
}

/* An old kernel says ENOSYS, an old container's profile EPERM: epoll_wait serves, with its milliseconds rounded up. */
static void without_epoll_pwait2(void **state)
{
    static const int errors[] = { ENOSYS, EPERM };
    (void)state;
    for (size_t i = 0; i < RP_COUNT(errors); i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            without_pwait2(errors[i]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), CHILD_PASSED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_descriptor_is_readable_when_there_is_work),
        cmocka_unit_test(a_dispatch_is_bounded),
        cmocka_unit_test(what_finishes_at_once_is_delivered_by_the_turn),
        cmocka_unit_test(a_wait_is_never_short),
        cmocka_unit_test(without_epoll_pwait2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

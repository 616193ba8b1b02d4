/* What is particular to pg_uring: a ring that it shares and that may be full, user_data that may be stale or foreign,
 * and the wait. The contract that it has in common with the other hosts is test_host_contract*.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <unistd.h>
#include "ringpg/uring.h"
#include "support/contract.h"

enum { FOREIGN = 0x1234, SOCKETS = 24 };

struct fixture {
    struct io_uring ring;
    struct pg_uring *uring;
    struct pg_reactor *reactor;
    struct contract contract; /* only as what operations refer to */
    unsigned foreign;         /* completions of the program's own */
};

/* ---- a ring, its loop, and sockets whose other end is a plain descriptor ---- */

static void open_host(struct fixture *f, struct pg_uring_config config)
{
    config.size = sizeof config;
    config.ring = &f->ring;
    assert_int_equal(pg_uring_open(&f->uring, &config, NULL), 0);
    struct pg_reactor_config reactor_config = PG_REACTOR_CONFIG(pg_uring_host(f->uring));
    assert_int_equal(pg_reactor_open(&f->reactor, &reactor_config, NULL), 0);
    f->contract.reactor = f->reactor;
}

static void close_host(struct fixture *f)
{
    pg_reactor_free(f->reactor);
    pg_uring_close(f->uring);
}

static bool open_ring(struct fixture *f, unsigned entries, struct io_uring_params params)
{
    memset(f, 0, sizeof *f);
    return io_uring_queue_init_params(entries, &f->ring, &params) == 0;
}

static void open_small(struct fixture *f)
{
    assert_true(open_ring(f, 4, (struct io_uring_params){ .flags = 0 }));
    open_host(f, (struct pg_uring_config){ .sockets = SOCKETS });
}

static void close_small(struct fixture *f)
{
    close_host(f);
    io_uring_queue_exit(&f->ring);
}

static void reap(struct fixture *f)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    io_uring_for_each_cqe(&f->ring, head, cqe) {
        n++;
        if (pg_uring_complete(f->uring, cqe))
            continue;
        assert_int_equal(cqe->user_data, FOREIGN);
        f->foreign++;
    }
    io_uring_cq_advance(&f->ring, n);
}

static void run(struct fixture *f, int64_t wait_ns)
{
    int64_t permitted = pg_reactor_turn(f->reactor);
    assert_int_equal(pg_uring_wait(f->uring, permitted < 0 || permitted > wait_ns ? wait_ns : permitted), 0);
    reap(f);
}

static void settle(struct fixture *f)
{
    for (int i = 0; i < 8; i++)
        run(f, 0);
}

/* The same without pg_uring_wait, as a program with a loop of its own. */
static void run_own_loop(struct fixture *f)
{
    struct __kernel_timespec limit = { .tv_sec = CONTRACT_WAIT_NS / 1000000000 };
    struct io_uring_cqe *cqe;

    (void)!pg_reactor_turn(f->reactor);
    (void)io_uring_submit_and_wait_timeout(&f->ring, &cqe, 1, &limit, NULL);
    reap(f);
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

/* Takes every place in the submission queue for the program's own operations. */
static unsigned fill_queue(struct fixture *f)
{
    unsigned n = 0;
    for (struct io_uring_sqe *sqe; (sqe = io_uring_get_sqe(&f->ring)); n++) {
        io_uring_prep_nop(sqe);
        sqe->user_data = FOREIGN;
    }
    return n;
}

#define UNTIL(f, condition)                                                        \
    do {                                                                           \
        uint64_t give_up_ns_ = contract_clock() + CONTRACT_PATIENCE_NS;            \
        while (!(condition)) {                                                     \
            assert_true(contract_clock() < give_up_ns_);                           \
            run((f), CONTRACT_WAIT_NS);                                            \
        }                                                                          \
    } while (0)

/* ---- a queue without room (failures 40): nothing lost, nothing doubled ---- */

static void a_full_queue_says_again(void **state)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 }, out = { 0 };
    char got[4];
    int peer;
    (void)state;

    open_small(&f);
    settle(&f);
    open_socket(&f, &s, &peer);
    unsigned nops = fill_queue(&f);
    assert_int_equal(nops, 4);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), -EAGAIN);
    assert_int_equal(contract_send(&f.contract, &s, &out, "abc", 3), -EAGAIN);
    settle(&f);
    assert_int_equal(f.foreign, nops);
    assert_int_equal(in.calls + out.calls, 0);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    assert_int_equal(contract_send(&f.contract, &s, &out, "abc", 3), 0);
    assert_int_equal(write(peer, "xy", 2), 2);
    UNTIL(&f, in.calls && out.calls);
    assert_int_equal(in.res, 2);
    assert_int_equal(out.res, 3);
    close_socket(&f, &s, peer);
    close_small(&f);
}

/* The wish is kept, and gets its chance in a loop that never calls pg_uring_wait. */
static void a_cancel_without_room_is_kept(void **state)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 };
    char got[4];
    int peer;
    (void)state;

    open_small(&f);
    open_socket(&f, &s, &peer);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    settle(&f);
    fill_queue(&f);
    contract_cancel(&f.contract, &s, &in);
    contract_cancel(&f.contract, &s, &in);
    for (int i = 0; i < 16 && !in.calls; i++)
        run_own_loop(&f);
    assert_int_equal(in.calls, 1);
    assert_int_equal(in.res, -ECANCELED);
    close_socket(&f, &s, peer);
    close_small(&f);
}

/* A wish dies with its operation: the next one on the socket is not meant. */
static void a_kept_cancel_ends_with_its_operation(void **state)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 };
    struct io_uring_cqe *cqe, copy;
    char got[4];
    int peer;
    (void)state;

    open_small(&f);
    open_socket(&f, &s, &peer);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    settle(&f);
    assert_int_equal(write(peer, "x", 1), 1);
    assert_int_equal(io_uring_wait_cqe(&f.ring, &cqe), 0);
    copy = *cqe;
    io_uring_cqe_seen(&f.ring, cqe);
    fill_queue(&f);
    contract_cancel(&f.contract, &s, &in);
    assert_true(pg_uring_complete(f.uring, &copy));
    assert_int_equal(in.res, 1);
    assert_int_equal(io_uring_submit(&f.ring), 4);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    settle(&f);
    assert_int_equal(in.calls, 0);
    assert_int_equal(write(peer, "y", 1), 1);
    UNTIL(&f, in.calls);
    assert_int_equal(in.res, 1);
    close_socket(&f, &s, peer);
    close_small(&f);
}

static void opened_while_the_queue_is_full(void **state)
{
    struct fixture f;
    (void)state;

    assert_true(open_ring(&f, 4, (struct io_uring_params){ .flags = 0 }));
    fill_queue(&f);
    open_host(&f, (struct pg_uring_config){ .sockets = 1 });
    settle(&f);
    assert_int_equal(f.foreign, 4);
    uint64_t start_ns = contract_clock();
    pg_uring_host(f.uring)->ops->wake(pg_uring_host(f.uring));
    run(&f, CONTRACT_PATIENCE_NS);
    assert_true(contract_clock() - start_ns < CONTRACT_PATIENCE_NS);
    close_small(&f);
}

/* More completions at once than the completion queue has room for: none is lost and none comes twice. */
static void the_completion_queue_overflows(void **state)
{
    struct fixture f;
    struct pg_socket sockets[SOCKETS];
    struct contract_op ops[SOCKETS] = { 0 };
    char got[SOCKETS];
    int peers[SOCKETS];
    (void)state;

    assert_true(open_ring(&f, 4, (struct io_uring_params){ .flags = IORING_SETUP_CQSIZE, .cq_entries = 4 }));
    open_host(&f, (struct pg_uring_config){ .sockets = SOCKETS });
    for (int i = 0; i < SOCKETS; i++) {
        open_socket(&f, &sockets[i], &peers[i]);
        while (contract_recv(&f.contract, &sockets[i], &ops[i], &got[i], 1) == -EAGAIN)
            run(&f, 0);
    }
    settle(&f);
    for (int i = 0; i < SOCKETS; i++)
        assert_int_equal(write(peers[i], "x", 1), 1);
    for (int i = 0; i < SOCKETS; i++)
        UNTIL(&f, ops[i].calls);
    settle(&f);
    uint64_t start_ns = contract_clock();
    pg_uring_host(f.uring)->ops->wake(pg_uring_host(f.uring));
    run(&f, CONTRACT_PATIENCE_NS);
    assert_true(contract_clock() - start_ns < CONTRACT_PATIENCE_NS);
    for (int i = 0; i < SOCKETS; i++) {
        assert_int_equal(ops[i].calls, 1);
        assert_int_equal(ops[i].res, 1);
        close_socket(&f, &sockets[i], peers[i]);
    }
    assert_int_equal(pg_uring_stale(f.uring), 0);
    close_small(&f);
}

/* The kernel ends a poll of many shots when it has to, and a program may cancel everything on its ring. The poll is
 * armed again at once, even if the queue has to be submitted for that. */
static void the_poll_of_wake_is_armed_again(void **state)
{
    struct fixture f;
    struct io_uring_cqe *cqe, last;
    (void)state;

    open_small(&f);
    settle(&f);
    pg_uring_host(f.uring)->ops->wake(pg_uring_host(f.uring));
    assert_int_equal(io_uring_wait_cqe(&f.ring, &cqe), 0);
    last = *cqe;
    io_uring_cqe_seen(&f.ring, cqe);
    assert_true(last.flags & IORING_CQE_F_MORE);
    assert_true(pg_uring_complete(f.uring, &last));
    assert_int_equal(io_uring_sq_ready(&f.ring), 0); /* it goes on by itself */
    last.flags = 0;
    assert_true(pg_uring_complete(f.uring, &last));
    assert_int_equal(io_uring_sq_ready(&f.ring), 1);
    fill_queue(&f);
    assert_true(pg_uring_complete(f.uring, &last));
    assert_int_equal(io_uring_sq_ready(&f.ring), 1);
    settle(&f);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&f.ring);
    io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY);
    sqe->user_data = FOREIGN;
    settle(&f);
    uint64_t start_ns = contract_clock();
    pg_uring_host(f.uring)->ops->wake(pg_uring_host(f.uring));
    run(&f, CONTRACT_PATIENCE_NS);
    assert_true(contract_clock() - start_ns < CONTRACT_PATIENCE_NS);
    close_small(&f);
}

/* ---- user_data (failures 37) ---- */

/* A completion that is handed over again: while nothing is in flight, while the next operation is, after the unbind,
 * and when the slot has another socket. */
static void stale_completions_are_dropped(void **state)
{
    struct fixture f;
    struct pg_socket s, next;
    struct contract_op in = { 0 }, other = { 0 };
    struct io_uring_cqe *cqe, copy;
    char got[4];
    int peer, next_peer;
    (void)state;

    open_small(&f);
    settle(&f);
    open_socket(&f, &s, &peer);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    assert_int_equal(write(peer, "x", 1), 1);
    assert_int_equal(io_uring_submit_and_wait(&f.ring, 1), 1);
    assert_int_equal(io_uring_peek_cqe(&f.ring, &cqe), 0);
    copy = *cqe;
    reap(&f);
    assert_int_equal(in.calls, 1);
    assert_true(pg_uring_complete(f.uring, &copy));
    assert_int_equal(pg_uring_stale(f.uring), 1);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    assert_true(pg_uring_complete(f.uring, &copy));
    assert_int_equal(pg_uring_stale(f.uring), 2);
    assert_int_equal(in.calls, 0);
    assert_int_equal(write(peer, "y", 1), 1);
    UNTIL(&f, in.calls);
    close_socket(&f, &s, peer);
    assert_true(pg_uring_complete(f.uring, &copy));
    assert_int_equal(pg_uring_stale(f.uring), 3);
    open_socket(&f, &next, &next_peer); /* the slot and the descriptor of the first one */
    assert_int_equal(contract_recv(&f.contract, &next, &other, got, sizeof got), 0);
    assert_true(pg_uring_complete(f.uring, &copy));
    assert_int_equal(pg_uring_stale(f.uring), 4);
    assert_int_equal(in.calls, 1);
    assert_int_equal(other.calls, 0);
    contract_cancel(&f.contract, &next, &other);
    UNTIL(&f, other.calls);
    close_socket(&f, &next, next_peer);
    close_small(&f);
}

/* A kernel before 5.19 refuses a receive that polls first: it is asked again, without, and so is every later one. */
static void an_older_kernel_is_asked_plainly(void **state)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 };
    char got[4];
    int peer;
    (void)state;

    open_small(&f);
    settle(&f);
    open_socket(&f, &s, &peer);
    for (int attempt = 0; attempt < 2; attempt++) {
        unsigned place = f.ring.sq.sqe_tail & *f.ring.sq.kring_mask;
        assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
        struct io_uring_sqe *sqe = &f.ring.sq.sqes[place];
        assert_int_equal(sqe->opcode, IORING_OP_RECV);
        assert_int_equal(sqe->ioprio, attempt ? 0 : IORING_RECVSEND_POLL_FIRST);
        if (attempt) break;
        struct io_uring_cqe refused = { .user_data = sqe->user_data, .res = -EINVAL };
        io_uring_prep_nop(sqe); /* that kernel never ran it */
        sqe->user_data = FOREIGN;
        assert_true(pg_uring_complete(f.uring, &refused));
        assert_int_equal(in.calls, 1);
        assert_int_equal(in.res, -EAGAIN);
        in = (struct contract_op){ 0 };
    }
    assert_int_equal(write(peer, "z", 1), 1);
    UNTIL(&f, in.calls);
    assert_int_equal(in.res, 1);
    close_socket(&f, &s, peer);
    close_small(&f);
}

/* Whatever the bits below the tag say, it finds nothing. */
static void garbage_under_the_tag_is_dropped(void **state)
{
    struct fixture f;
    uint64_t bits = 88172645463325252u;
    unsigned dropped = 0;
    (void)state;

    open_small(&f);
    settle(&f);
    for (int i = 0; i < 100000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        struct io_uring_cqe cqe = { .user_data = 0x5047ull << 48 | bits >> 16, .res = (int32_t)bits };
        if ((cqe.user_data >> 45 & 7) == 4) /* the echo of a cancel is not an operation, and ignored */
            continue;
        assert_true(pg_uring_complete(f.uring, &cqe));
        dropped++;
    }
    assert_int_equal(pg_uring_stale(f.uring), dropped);
    close_small(&f);
}

static void foreign_completions_are_left_alone(void **state)
{
    static const uint64_t foreign[] = { 0, 1, ~0ull, 0x5047, 0x5046ull << 48, 0x5048ull << 48 | 5, 0x7fff12345678 };
    struct fixture f;
    (void)state;

    open_small(&f);
    for (size_t i = 0; i < RP_COUNT(foreign); i++) {
        const struct io_uring_cqe cqe = { .user_data = foreign[i], .res = -1 };
        assert_false(pg_uring_complete(f.uring, &cqe));
    }
    assert_int_equal(pg_uring_stale(f.uring), 0);
    close_small(&f);
}

static void a_tag_of_the_callers_choice(void **state)
{
    struct fixture f;
    struct pg_socket s;
    struct contract_op in = { 0 };
    char got[4];
    int peer;
    (void)state;

    assert_true(open_ring(&f, 8, (struct io_uring_params){ .flags = 0 }));
    open_host(&f, (struct pg_uring_config){ .tag = 1ull << 63, .tag_mask = 3ull << 62 });
    open_socket(&f, &s, &peer);
    assert_int_equal(contract_recv(&f.contract, &s, &in, got, sizeof got), 0);
    assert_int_equal(write(peer, "x", 1), 1);
    UNTIL(&f, in.calls);
    const struct io_uring_cqe defaults = { .user_data = 0x5047ull << 48 }, all = { .user_data = ~0ull };
    assert_false(pg_uring_complete(f.uring, &defaults));
    assert_false(pg_uring_complete(f.uring, &all));
    close_socket(&f, &s, peer);
    close_small(&f);
}

/* ---- opening and closing ---- */

static void a_wrong_configuration_is_named(void **state)
{
    struct fixture f;
    struct io_uring old = { .features = 0 };
    struct pg_uring *out;
    struct pg_error error;
    (void)state;
    assert_true(open_ring(&f, 4, (struct io_uring_params){ .flags = 0 }));
    const size_t size = sizeof(struct pg_uring_config);
    const struct { struct pg_uring_config config; const char *member; } wrong[] = {
        { { .size = size - 8, .ring = &f.ring }, "size" },
        { { .size = size }, "ring" },
        { { .size = size, .ring = &old }, "ring" },
        { { .size = size, .ring = &f.ring, .tag = 1ull << 48 }, "tag_mask" },
        { { .size = size, .ring = &f.ring, .tag_mask = 0xffffull }, "tag_mask" },
        { { .size = size, .ring = &f.ring, .tag_mask = 0x1ffffull << 47 }, "tag_mask" },
        { { .size = size, .ring = &f.ring, .tag_mask = 0xf0ffull << 48 }, "tag_mask" },
        { { .size = size, .ring = &f.ring, .tag_mask = 0xff00ull << 48, .tag = 0x12ffull << 48 }, "tag:" },
        { { .size = size, .ring = &f.ring, .tag_mask = 0xffffull << 48, .tag = 0xffffull << 48 }, "tag:" },
        { { .size = size, .ring = &f.ring, .sockets = (1u << 20) + 1 }, "sockets" },
        { { .size = size, .ring = &f.ring, .spin_ns = 1000001 }, "spin_ns" },
    };

    for (size_t i = 0; i < RP_COUNT(wrong); i++) {
        assert_int_equal(pg_uring_open(&out, &wrong[i].config, &error), PG_E_CONFIG);
        assert_null(out);
        assert_non_null(strstr(pg_error_field(&error, 'M'), wrong[i].member));
        assert_int_equal(pg_uring_open(&out, &wrong[i].config, NULL), PG_E_CONFIG);
    }
    io_uring_queue_exit(&f.ring);
}

static void as_many_sockets_as_configured(void **state)
{
    struct fixture f;
    struct pg_socket sockets[3];
    int peers[3];
    (void)state;

    assert_true(open_ring(&f, 4, (struct io_uring_params){ .flags = 0 }));
    open_host(&f, (struct pg_uring_config){ .sockets = 2 });
    open_socket(&f, &sockets[0], &peers[0]);
    open_socket(&f, &sockets[1], &peers[1]);
    sockets[2] = (struct pg_socket){ .fd = dup(peers[0]) };
    assert_int_equal(rp_host_bind(f.reactor, &sockets[2]), -EMFILE);
    close(sockets[2].fd);
    close_socket(&f, &sockets[0], peers[0]);
    open_socket(&f, &sockets[2], &peers[2]);
    close_socket(&f, &sockets[1], peers[1]);
    close_socket(&f, &sockets[2], peers[2]);
    close_small(&f);
}

/* The ring is the caller's: it works on without the host, nothing of the host comes, and another one may follow. */
static void the_ring_outlives_the_host(void **state)
{
    struct fixture f;
    struct io_uring_cqe *cqe;
    (void)state;

    open_small(&f);
    settle(&f);
    pg_uring_close(NULL);
    for (int i = 0; i < 3; i++) {
        close_host(&f);
        unsigned nops = fill_queue(&f);
        assert_int_equal(io_uring_submit_and_wait(&f.ring, nops), nops);
        for (; nops; nops--) {
            assert_int_equal(io_uring_peek_cqe(&f.ring, &cqe), 0);
            assert_int_equal(cqe->user_data, FOREIGN);
            io_uring_cqe_seen(&f.ring, cqe);
        }
        assert_int_equal(io_uring_peek_cqe(&f.ring, &cqe), -EAGAIN);
        open_host(&f, (struct pg_uring_config){ .sockets = 1 });
        uint64_t start_ns = contract_clock();
        pg_uring_host(f.uring)->ops->wake(pg_uring_host(f.uring));
        run(&f, CONTRACT_PATIENCE_NS);
        assert_true(contract_clock() - start_ns < CONTRACT_PATIENCE_NS);
    }
    close_small(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_queue_says_again),
        cmocka_unit_test(a_cancel_without_room_is_kept),
        cmocka_unit_test(a_kept_cancel_ends_with_its_operation),
        cmocka_unit_test(opened_while_the_queue_is_full),
        cmocka_unit_test(the_completion_queue_overflows),
        cmocka_unit_test(the_poll_of_wake_is_armed_again),
        cmocka_unit_test(stale_completions_are_dropped), cmocka_unit_test(an_older_kernel_is_asked_plainly),
        cmocka_unit_test(garbage_under_the_tag_is_dropped),
        cmocka_unit_test(foreign_completions_are_left_alone),
        cmocka_unit_test(a_tag_of_the_callers_choice),
        cmocka_unit_test(a_wrong_configuration_is_named),
        cmocka_unit_test(as_many_sockets_as_configured),
        cmocka_unit_test(the_ring_outlives_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

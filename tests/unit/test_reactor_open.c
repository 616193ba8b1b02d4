/* test_reactor_open.c - what surrounds a turn: the configuration's check and defaults, memory and its bounds, what the
 * library does for a host that leaves it out, and failures in the library's words. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "reactor/reactor.h"
#include "support/fake_clock_host.h"

/* An allocator that counts, and fails at one call of the test's choice. */
struct heap { size_t bytes; unsigned blocks, calls, fail_at; };

static void *heap_allocate(void *arg, size_t bytes)
{
    struct heap *heap = arg;
    if (++heap->calls == heap->fail_at) return NULL;
    void *at = malloc(bytes);
    assert_non_null(at);
    memset(at, 0xa5, bytes); /* rp_alloc promises zeros */
    heap->bytes += bytes;
    heap->blocks++;
    return at;
}

static void heap_deallocate(void *arg, void *at, size_t bytes)
{
    struct heap *heap = arg;
    assert_true(heap->blocks > 0 && heap->bytes >= bytes);
    heap->blocks--;
    heap->bytes -= bytes;
    free(at);
}

static struct pg_reactor *open_on(struct fake_clock_host *fake, struct heap *heap, size_t slab_bytes)
{
    struct pg_reactor *r;
    fake_clock_host_init(fake);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake->host);
    config.slab_bytes = slab_bytes;
    config.allocate = heap_allocate;
    config.deallocate = heap_deallocate;
    config.arg = heap;
    assert_int_equal(pg_reactor_open(&r, &config, NULL), 0);
    return r;
}

/* ---- configuration ---- */

struct world { struct fake_clock_host fake; struct pg_reactor_config config; };

static void no_size(struct world *w) { w->config.size = 0; }
static void other_abi(struct world *w) { w->config.abi = PG_ABI + 1; }
static void no_host(struct world *w) { w->config.host = NULL; }
static void no_ops(struct world *w) { w->fake.host.ops = NULL; }
static void no_ops_size(struct world *w) { w->fake.ops.size = 0; }
static void no_bind(struct world *w) { w->fake.ops.bind = NULL; }
static void no_unbind(struct world *w) { w->fake.ops.unbind = NULL; }
static void no_send(struct world *w) { w->fake.ops.submit_send = NULL; }
static void no_recv(struct world *w) { w->fake.ops.submit_recv = NULL; }
static void host_in_use(struct world *w) { w->fake.host.reactor = (struct pg_reactor *)w; }
static void half_an_allocator(struct world *w) { w->config.allocate = heap_allocate; }
static void too_many_fibers(struct world *w) { w->config.fibers = UINT32_MAX; }
static void tiny_stacks(struct world *w) { w->config.fiber_stack_bytes = 100; }
static void too_many_statements(struct world *w) { w->config.statements = 1u << 20; }
static void tiny_slab(struct world *w) { w->config.slab_bytes = RP_SLAB_MIN - 1; }

static void a_wrong_configuration_names_its_culprit(void **state)
{
    (void)state;
    static const struct { void (*spoil)(struct world *); const char *culprit; } table[] = {
        { no_size, "size" }, { other_abi, "abi" }, { no_host, "host" }, { no_ops, "host.ops" },
        { no_ops_size, "host.ops.size" }, { no_bind, "host.ops.bind" }, { no_unbind, "host.ops.unbind" },
        { no_send, "host.ops.submit_send" }, { no_recv, "host.ops.submit_recv" }, { host_in_use, "host" },
        { half_an_allocator, "deallocate" }, { too_many_fibers, "fibers" }, { tiny_stacks, "fiber_stack_bytes" },
        { too_many_statements, "statements" }, { tiny_slab, "slab_bytes" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct world w;
        struct pg_error error;
        struct pg_reactor *r = (struct pg_reactor *)&w;
        fake_clock_host_init(&w.fake);
        w.config = (struct pg_reactor_config)PG_REACTOR_CONFIG(&w.fake.host);
        table[i].spoil(&w);
        assert_int_equal(pg_reactor_open(&r, &w.config, &error), PG_E_CONFIG);
        assert_null(r);
        assert_int_equal(error.code, PG_E_CONFIG);
        assert_int_equal(error.sent, PG_SENT_NO);
        const char *text = pg_error_field(&error, 'M');
        size_t length = strlen(table[i].culprit);
        assert_int_equal(strncmp(text, table[i].culprit, length), 0);
        assert_int_equal(text[length], ':');
        assert_int_equal(pg_reactor_open(&r, &w.config, NULL), PG_E_CONFIG);
    }
}

static void defaults_fill_what_is_zero_or_missing(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct pg_reactor *r;
    fake_clock_host_init(&fake);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake.host);
    memset((char *)&config + offsetof(struct pg_reactor_config, statements), 0xff,
           sizeof config - offsetof(struct pg_reactor_config, statements));
    config.size = offsetof(struct pg_reactor_config, statements); /* an older program: what follows is not its own */
    config.resumes_per_turn = 77;
    assert_int_equal(pg_reactor_open(&r, &config, NULL), 0);
    const struct pg_reactor_config *full = rp_config(r);
    assert_int_equal(full->resumes_per_turn, 77);
    assert_in_range(full->fibers, 1, 1024);
    assert_true(full->fiber_stack_bytes >= 64 * 1024);
    assert_int_equal(full->statements, 256);
    assert_int_equal(rp_statement_capacity(r), 256);
    assert_int_equal(full->slab_bytes, 64 * 1024 * 1024);
    assert_true(!full->allocate && !full->deallocate);
    pg_reactor_free(r);
}

static void a_newer_struct_is_taken_if_it_asks_for_nothing_new(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct pg_reactor *r;
    fake_clock_host_init(&fake);
    struct { struct pg_reactor_config known; char later[16]; } config = { .known = PG_REACTOR_CONFIG(&fake.host) };
    config.known.size = sizeof config;
    assert_int_equal(pg_reactor_open(&r, &config.known, NULL), 0);
    pg_reactor_free(r);
    config.later[15] = 1;
    assert_int_equal(pg_reactor_open(&r, &config.known, NULL), PG_E_CONFIG);
}

static uint64_t must_not_be_called(struct pg_host *host)
{
    (void)host;
    fail_msg("an operation beyond the table's size was called");
    return 0;
}

static void operations_beyond_the_tables_size_are_not_there(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct pg_reactor *r;
    fake_clock_host_init(&fake);
    fake.ops.now = must_not_be_called;
    fake.ops.size = offsetof(struct pg_host_ops, open);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake.host);
    assert_int_equal(pg_reactor_open(&r, &config, NULL), 0);
    uint64_t now = pg_reactor_now(r);
    assert_true(now > 0);
    assert_int_equal(pg_reactor_turn(r), PG_WAIT_FOREVER);
    assert_true(pg_reactor_now(r) >= now);
    pg_reactor_free(r);
}

/* ---- memory ---- */

static void each_allocation_of_open_may_fail(void **state)
{
    (void)state;
    unsigned failures = 0;
    for (unsigned fail_at = 1;; fail_at++) {
        struct fake_clock_host fake;
        struct heap heap = { .fail_at = fail_at };
        struct pg_reactor *r;
        struct pg_error error;
        fake_clock_host_init(&fake);
        struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake.host);
        config.allocate = heap_allocate;
        config.deallocate = heap_deallocate;
        config.arg = &heap;
        int rc = pg_reactor_open(&r, &config, &error);
        if (rc == 0) {
            assert_true(heap.calls < fail_at);
            pg_reactor_free(r);
        } else {
            failures++;
            assert_int_equal(rc, -ENOMEM);
            assert_int_equal(error.code, -ENOMEM);
            assert_null(r);
            assert_null(fake.host.reactor);
        }
        assert_int_equal(heap.blocks, 0);
        assert_int_equal(heap.bytes, 0);
        if (rc == 0) break;
    }
    assert_true(failures > 0);
}

static void allocations_are_zeroed_and_counted(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct heap heap = { 0 };
    struct pg_reactor *r = open_on(&fake, &heap, 0);
    unsigned char zeros[100] = { 0 }, *at = rp_alloc(r, sizeof zeros);
    assert_non_null(at);
    assert_memory_equal(at, zeros, sizeof zeros);
    rp_free(r, at, sizeof zeros);
    rp_free(r, NULL, 10);
    heap.fail_at = heap.calls + 1;
    assert_null(rp_alloc(r, 8));
    pg_reactor_free(r);
    assert_int_equal(heap.blocks, 0);
}

static void the_slab_rounds_up_reuses_and_keeps_its_bound(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct heap heap = { 0 };
    struct pg_reactor *r = open_on(&fake, &heap, 256 * 1024);
    size_t own = heap.bytes, small = 1, middle = RP_SLAB_MIN + 1, large = 256 * 1024, huge = 256 * 1024 + 1,
           absurd = SIZE_MAX;

    void *a = rp_slab_get(r, &small), *b = rp_slab_get(r, &middle);
    assert_true(a && b);
    assert_int_equal(small, RP_SLAB_MIN);
    assert_int_equal(middle, 2 * RP_SLAB_MIN);
    assert_null(rp_slab_get(r, &huge));
    assert_null(rp_slab_get(r, &absurd));
    assert_null(rp_slab_get(r, &large)); /* what is lent stands in its way ... */
    rp_slab_put(r, b, middle);
    unsigned calls = heap.calls;
    assert_ptr_equal(rp_slab_get(r, &middle), b);
    assert_int_equal(heap.calls, calls);
    rp_slab_put(r, b, middle);
    rp_slab_put(r, a, small);
    assert_true(heap.bytes > own);
    void *c = rp_slab_get(r, &large); /* ... what is only kept gives way */
    assert_non_null(c);
    assert_int_equal(heap.bytes, own + large);
    assert_null(rp_slab_get(r, &small));
    rp_slab_put(r, c, large);
    rp_slab_put(r, NULL, large);

    void *many[16];
    for (size_t i = 0; i < RP_COUNT(many); i++) assert_non_null(many[i] = rp_slab_get(r, &small));
    assert_null(rp_slab_get(r, &small));
    for (size_t i = 0; i < RP_COUNT(many); i++) rp_slab_put(r, many[i], small);
    assert_true(heap.bytes < own + large); /* a few are kept, not all */
    heap.fail_at = heap.calls + 1;
    assert_null(rp_slab_get(r, &large)); /* no memory: nothing is counted as lent */
    assert_non_null(c = rp_slab_get(r, &large));
    rp_slab_put(r, c, large);
    pg_reactor_free(r);
    assert_int_equal(heap.blocks, 0);
}

static void what_is_lent_outlives_the_reactor(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct heap heap = { 0 };
    struct pg_reactor *r = open_on(&fake, &heap, 0);
    size_t bytes = 1;
    char *at = rp_slab_get(r, &bytes);
    assert_non_null(at);
    pg_reactor_free(r);
    assert_int_equal(heap.blocks, 1);
    at[bytes - 1] = 1; /* a host may still write there */
    heap_deallocate(&heap, at, bytes);
}

/* ---- the host's POSIX defaults ---- */

static socklen_t listen_on_loopback(int *listener, struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(*listener >= 0);
    assert_int_equal(bind(*listener, (struct sockaddr *)address, size), 0);
    assert_int_equal(listen(*listener, 8), 0);
    assert_int_equal(getsockname(*listener, (struct sockaddr *)address, &size), 0);
    return size;
}

static void open_starts_a_connect_without_blocking(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct heap heap = { 0 };
    struct pg_reactor *r = open_on(&fake, &heap, 0);
    struct sockaddr_in address;
    int listener, on = 0;
    socklen_t size = listen_on_loopback(&listener, &address), on_size = sizeof on;
    struct pg_socket s = { .fd = 12345 };
    assert_int_equal(rp_host_open(r, &s, (struct sockaddr *)&address, size), 0);
    assert_int_equal(s.flags, PG_SOCKET_STREAM);
    assert_true(fcntl(s.fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(s.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(getsockopt(s.fd, IPPROTO_TCP, TCP_NODELAY, &on, &on_size), 0);
    assert_true(on);

    int peer = accept(listener, NULL, NULL);
    char byte;
    assert_true(peer >= 0);
    assert_int_equal(rp_host_bind(r, &s), 0);
    rp_host_shutdown(r, &s, SHUT_WR);
    assert_int_equal(read(peer, &byte, 1), 0);
    rp_host_unbind(r, &s);
    int fd = s.fd;
    rp_host_close(r, &s);
    assert_int_equal(s.fd, -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    close(peer);
    close(listener);
    pg_reactor_free(r);
}

static void a_full_unix_backlog_is_again(void **state)
{
    (void)state;
    enum { MORE_THAN_FIT = 8 };
    struct fake_clock_host fake;
    struct heap heap = { 0 };
    struct pg_reactor *r = open_on(&fake, &heap, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    socklen_t size = sizeof(sa_family_t);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = 0;
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size),
                     0); /* an abstract name of the kernel's choice */
    assert_int_equal(listen(listener, 1), 0);
    size = sizeof address;
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);

    struct pg_socket sockets[MORE_THAN_FIT];
    size_t count = 0;
    for (; count < MORE_THAN_FIT; count++) {
        rc = rp_host_open(r, &sockets[count], (struct sockaddr *)&address, size);
        if (rc) break;
        assert_int_equal(sockets[count].flags, PG_SOCKET_STREAM | PG_SOCKET_UNIX);
    }
    assert_true(count > 0);
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(sockets[count].fd, -1);
    while (count-- > 0) rp_host_close(r, &sockets[count]);
    close(listener);
    struct pg_socket s;
    assert_int_equal(rp_host_open(r, &s, (struct sockaddr *)&address, size), -ECONNREFUSED);
    assert_int_equal(s.fd, -1);
    pg_reactor_free(r);
}

static int seven(struct pg_host *host, void *at, size_t bytes)
{
    (void)host;
    memset(at, 7, bytes);
    return 0;
}

static void entropy_is_the_hosts_or_the_systems(void **state)
{
    (void)state;
    struct fake_clock_host fake, own;
    struct heap heap = { 0 };
    struct pg_reactor *r = open_on(&fake, &heap, 0), *r2;
    unsigned char some[300] = { 0 }, zeros[300] = { 0 };
    assert_int_equal(rp_host_entropy(r, some, sizeof some), 0);
    assert_memory_not_equal(some, zeros, sizeof some);
    assert_memory_not_equal(some + 280, zeros, 20); /* to the last byte */
    fake_clock_host_init(&own);
    own.ops.entropy = seven;
    struct pg_reactor_config config = PG_REACTOR_CONFIG(&own.host);
    assert_int_equal(pg_reactor_open(&r2, &config, NULL), 0);
    assert_int_equal(rp_host_entropy(r2, some, sizeof some), 0);
    assert_true(some[0] == 7 && some[299] == 7);
    pg_reactor_free(r2);
    pg_reactor_free(r);
}

static int none(struct pg_host *host, void *at, size_t bytes)
{
    (void)host, (void)at, (void)bytes;
    return -EIO;
}

/* So that a simulated world repeats: not from where things lie in memory. */
static void without_entropy_jitter_is_the_clocks(void **state)
{
    (void)state;
    struct fake_clock_host fake[3];
    struct pg_reactor *r[3];
    uint32_t drawn[3];
    for (int i = 0; i < 3; i++) {
        fake_clock_host_init(&fake[i]);
        fake[i].ops.entropy = none;
        if (i == 2) fake[i].now_ns += 1000;
        struct pg_reactor_config config = PG_REACTOR_CONFIG(&fake[i].host);
        assert_int_equal(pg_reactor_open(&r[i], &config, NULL), 0);
        for (int skipped = 0; skipped < 8; skipped++) drawn[i] = rp_random(r[i]);
    }
    assert_int_equal(drawn[0], drawn[1]);
    assert_int_not_equal(drawn[0], drawn[2]);
    for (int i = 0; i < 3; i++) pg_reactor_free(r[i]);
}

static void a_cancel_is_nothing_where_the_host_has_none(void **state)
{
    (void)state;
    struct fake_clock_host fake;
    struct heap heap = { 0 };
    struct pg_reactor *r = open_on(&fake, &heap, 0);
    struct pg_socket s = { .fd = -1 };
    struct pg_completion c = { .complete = NULL };
    char byte = 0;
    rp_host_cancel(r, &s, &c);
    assert_int_equal(rp_host_send(r, &s, &byte, 1, &c), -EAGAIN); /* and the required ones are the host's */
    assert_int_equal(rp_host_recv(r, &s, &byte, 1, &c), -EAGAIN);
    pg_reactor_free(r);
}

/* ---- errors ---- */

static void a_failure_in_the_librarys_words(void **state)
{
    (void)state;
    struct pg_error error;
    memset(&error, 0xff, sizeof error);
    assert_int_equal(rp_error_set(&error, PG_E_FULL, "%d of %s", 3, "them"), PG_E_FULL);
    assert_int_equal(error.code, PG_E_FULL);
    assert_int_equal(error.sent, PG_SENT_NO);
    assert_int_equal(error.position, 0);
    assert_string_equal(error.sqlstate, "");
    assert_string_equal(pg_error_field(&error, 'M'), "3 of them");
    assert_string_equal(pg_error_field(&error, 'D'), "");
    assert_int_equal(rp_error_set(NULL, -EIO, "nobody listens"), -EIO);

    char longer[1000]; /* is cut, and both NULs still fit */
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    rp_error_set(&error, PG_E_CONFIG, "%s", longer);
    assert_int_equal(strlen(pg_error_field(&error, 'M')), sizeof error.text - 3);
    assert_int_equal(error.text[sizeof error.text - 1], '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_configuration_names_its_culprit),
        cmocka_unit_test(defaults_fill_what_is_zero_or_missing),
        cmocka_unit_test(a_newer_struct_is_taken_if_it_asks_for_nothing_new),
        cmocka_unit_test(operations_beyond_the_tables_size_are_not_there),
        cmocka_unit_test(each_allocation_of_open_may_fail),
        cmocka_unit_test(allocations_are_zeroed_and_counted),
        cmocka_unit_test(the_slab_rounds_up_reuses_and_keeps_its_bound),
        cmocka_unit_test(what_is_lent_outlives_the_reactor),
        cmocka_unit_test(open_starts_a_connect_without_blocking),
        cmocka_unit_test(a_full_unix_backlog_is_again),
        cmocka_unit_test(entropy_is_the_hosts_or_the_systems),
        cmocka_unit_test(without_entropy_jitter_is_the_clocks),
        cmocka_unit_test(a_cancel_is_nothing_where_the_host_has_none),
        cmocka_unit_test(a_failure_in_the_librarys_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* unit/test_proxy.c - the byte proxy of the tests against a real server: what it passes on it passes on whole, and each
 * of its faults is the one that its name says. Both ends are sockets of this test; waiting is bounded by a time that
 * only a hang reaches. */
#define _GNU_SOURCE /* accept4 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "support/proxy.h"

enum { HANG_MS = 20000 };

struct ends {
    char folder[32], path[64];
    int listener, client, server;
    struct proxy *proxy;
};

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    assert_int_equal(poll(&p, 1, HANG_MS), 1);
}

static void open_ends(struct ends *e)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    *e = (struct ends){ .folder = "/tmp/ringpg-proxy-XXXXXX", .client = -1, .server = -1 };
    assert_non_null(mkdtemp(e->folder));
    snprintf(e->path, sizeof e->path, "%s/server", e->folder);
    memcpy(address.sun_path, e->path, sizeof e->path);
    e->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(e->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(e->listener, 8), 0);
    e->proxy = proxy_open(e->path, 1);
}
static void connect_client(struct ends *e)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons(proxy_port(e->proxy)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    e->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(e->client, (struct sockaddr *)&address, sizeof address), 0);
}
static void connect_ends(struct ends *e)
{
    connect_client(e);
    wait_for(e->listener, POLLIN);
    e->server = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(e->server >= 0);
}
static void close_ends(struct ends *e)
{
    if (e->client >= 0) close(e->client);
    if (e->server >= 0) close(e->server);
    proxy_close(e->proxy);
    close(e->listener);
    unlink(e->path);
    rmdir(e->folder);
}

/* The next bytes of an end; 0: its FIN; -errno. */
static ssize_t hear(int fd, void *at, size_t size)
{
    wait_for(fd, POLLIN);
    ssize_t n = recv(fd, at, size, 0);
    return n < 0 ? -errno : n;
}
static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}
static void expect(int fd, const char *text)
{
    char heard[64];
    size_t n = 0;
    while (n < strlen(text)) {
        ssize_t more = hear(fd, heard + n, sizeof heard - n);
        assert_true(more > 0);
        n += (size_t)more;
    }
    assert_memory_equal(heard, text, strlen(text));
}
static void expect_end(int fd, ssize_t how)
{
    char byte;
    assert_int_equal(hear(fd, &byte, 1), how);
}

/* The proxy publishes its counts once per round. */
static struct proxy_counts counts_when(struct ends *e, bool (*so)(const struct proxy_counts *))
{
    for (int i = 0; i < HANG_MS; i++) {
        struct proxy_counts c = proxy_counts(e->proxy);
        if (so(&c)) return c;
        poll(NULL, 0, 1);
    }
    fail_msg("the counts do not come to that");
    return proxy_counts(e->proxy);
}
static bool has_orphan(const struct proxy_counts *c) { return c->orphans == 1; }
static bool has_no_orphan(const struct proxy_counts *c) { return c->orphans == 0; }
static bool is_silent(const struct proxy_counts *c) { return c->silent == 1; }
static bool is_closing(const struct proxy_counts *c) { return c->closing == 1; }

static void what_it_passes_on_is_whole(void **state)
{
    (void)state;
    enum { BYTES = 40000 };
    static uint8_t sent[BYTES], heard[BYTES];
    struct ends e;
    open_ends(&e);
    proxy_rates(e.proxy, &(struct proxy_rates){ .delay = 300, .delay_ms = 2, .split = 900 });
    connect_ends(&e);
    for (size_t i = 0; i < BYTES; i++) sent[i] = (uint8_t)(i * 7 + i / 251);
    for (int way = 0; way < 2; way++) {
        int from = way ? e.server : e.client, to = way ? e.client : e.server;
        size_t out = 0, in = 0;
        while (in < BYTES) {
            ssize_t n = out < BYTES ? send(from, sent + out, BYTES - out, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
            if (n > 0) out += (size_t)n;
            wait_for(to, POLLIN);
            n = recv(to, heard + in, BYTES - in, 0);
            assert_true(n > 0);
            in += (size_t)n;
        }
        assert_memory_equal(heard, sent, BYTES);
    }
    assert_true(proxy_counts(e.proxy).splits > 0);
    close_ends(&e);
}

static void an_end_that_closes_is_closed_to_the_other(void **state)
{
    (void)state;
    struct ends e;
    open_ends(&e);
    connect_ends(&e);
    say(e.client, "good-bye");
    shutdown(e.client, SHUT_WR);
    expect(e.server, "good-bye");
    expect_end(e.server, 0);
    assert_int_equal(counts_when(&e, is_closing).orphaned, 0); /* the client knows, and may be waiting */
    say(e.server, "farewell");
    close(e.server);
    e.server = -1;
    expect(e.client, "farewell");
    expect_end(e.client, 0);
    close_ends(&e);
}

static void a_reset_is_the_clients_alone(void **state)
{
    (void)state;
    struct ends e;
    open_ends(&e);
    connect_ends(&e);
    proxy_rates(e.proxy, &(struct proxy_rates){ .reset = 1000 });
    say(e.client, "hello");
    expect_end(e.client, -ECONNRESET);
    expect(e.server, "hello"); /* what was sent may still be executed */
    expect_end(e.server, 0);
    assert_int_equal(counts_when(&e, has_orphan).orphaned, 1);
    close(e.server);
    e.server = -1;
    counts_when(&e, has_no_orphan);
    close_ends(&e);
}

static void half_of_a_connection_ends(void **state)
{
    (void)state;
    struct ends e;
    open_ends(&e);
    connect_ends(&e);
    say(e.client, "hello");
    expect(e.server, "hello");
    proxy_rates(e.proxy, &(struct proxy_rates){ .half_close = 1000 });
    say(e.server, "so far");
    expect(e.client, "so far");
    expect_end(e.client, 0);
    counts_when(&e, has_orphan);
    proxy_rates(e.proxy, &(struct proxy_rates){ 0 });
    say(e.client, "still here"); /* the other half */
    expect(e.server, "still here");
    close_ends(&e);
}

static void a_hole_swallows_until_it_heals(void **state)
{
    (void)state;
    struct ends e;
    open_ends(&e);
    connect_ends(&e);
    say(e.client, "hello");
    expect(e.server, "hello");
    proxy_rates(e.proxy, &(struct proxy_rates){ .hole = 1000, .hole_ms = 1000000 });
    say(e.client, "into the hole");
    counts_when(&e, is_silent);
    proxy_calm(e.proxy);
    expect_end(e.client, -ECONNRESET);
    expect_end(e.server, 0); /* and nothing before */
    close_ends(&e);
}

static void a_connect_is_refused_or_stays_mute(void **state)
{
    (void)state;
    struct ends e;
    open_ends(&e);
    proxy_rates(e.proxy, &(struct proxy_rates){ .refuse = 1000 });
    connect_client(&e);
    expect_end(e.client, -ECONNRESET);
    close(e.client);
    proxy_rates(e.proxy, &(struct proxy_rates){ .mute = 1000, .hole_ms = 1000000 });
    connect_ends(&e);
    say(e.client, "anybody?");
    proxy_calm(e.proxy);
    expect_end(e.client, -ECONNRESET);
    expect_end(e.server, 0);
    assert_int_equal(proxy_counts(e.proxy).orphaned, 0); /* the server has heard nothing */
    close_ends(&e);
}

static void a_cancel_request_is_known(void **state)
{
    (void)state;
    static const uint8_t request[16] = { 0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 1, 2, 3, 4, 5, 6, 7, 8 };
    uint8_t heard[sizeof request];
    struct ends e;
    open_ends(&e);
    connect_ends(&e);
    assert_int_equal(send(e.client, request, sizeof request, 0), sizeof request);
    for (size_t n = 0; n < sizeof request;) {
        ssize_t more = hear(e.server, heard + n, sizeof heard - n);
        assert_true(more > 0);
        n += (size_t)more;
    }
    assert_memory_equal(heard, request, sizeof request);
    close(e.server);
    e.server = -1;
    expect_end(e.client, 0);
    assert_int_equal(proxy_counts(e.proxy).cancels, 1);
    close_ends(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_passes_on_is_whole),
        cmocka_unit_test(an_end_that_closes_is_closed_to_the_other),
        cmocka_unit_test(a_reset_is_the_clients_alone),
        cmocka_unit_test(half_of_a_connection_ends),
        cmocka_unit_test(a_hole_swallows_until_it_heals),
        cmocka_unit_test(a_connect_is_refused_or_stays_mute),
        cmocka_unit_test(a_cancel_request_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

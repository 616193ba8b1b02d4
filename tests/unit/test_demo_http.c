/* The demo's HTTP layer over sockets that the test owns: every fragmentation, pipelines, limits, deadlines, clients
 * that hang up or do not read. No descriptor, no clock, no thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "http.h"
#include "net.h"

enum { SECOND = 1000000000, SEEN_MAX = 1024 * 1024 };

/* ---- a net of one client ----------------------------------------------------------------------------------------- */
struct fake {
    struct net net;
    struct net_socket *socket;
    char seen[SEEN_MAX];                             /* what the client got */
    size_t seen_size;
    size_t send_at_most;                             /* the socket takes so much at once; 0: the client does not read */
    bool fin, closed, told_closed, listening;
};

static int fake_listen(struct net *net, int fd)
{
    (void)fd;
    ((struct fake *)net)->listening = true;
    return 0;
}

static void fake_stop_listening(struct net *net) { ((struct fake *)net)->listening = false; }

static int fake_open(struct net *net, struct net_socket *socket)
{
    struct fake *fake = (struct fake *)net;
    assert_null(fake->socket);
    socket->recv = socket->send = (struct net_op){ .active = false };
    fake->socket = socket;
    return 0;
}

static void fake_recv(struct net *net, struct net_socket *socket, void *at, size_t bytes)
{
    (void)net;
    assert_false(socket->recv.active);
    assert_true(bytes > 0);
    socket->recv = (struct net_op){ .active = true, .at = at, .bytes = bytes };
}

static void fake_send(struct net *net, struct net_socket *socket, const void *at, size_t bytes)
{
    (void)net;
    assert_false(socket->send.active);
    assert_true(bytes > 0);
    socket->send = (struct net_op){ .active = true, .at = (void *)(uintptr_t)at, .bytes = bytes };
}

static void fake_shutdown_write(struct net *net, struct net_socket *socket)
{
    struct fake *fake = (struct fake *)net;
    (void)socket;
    assert_false(fake->fin);
    fake->fin = true;
}

static void fake_close(struct net *net, struct net_socket *socket)
{
    struct fake *fake = (struct fake *)net;
    assert_ptr_equal(fake->socket, socket);
    assert_false(fake->closed);
    fake->closed = true;
}

static const struct net_ops fake_ops = {
    .listen = fake_listen, .stop_listening = fake_stop_listening, .open = fake_open, .recv = fake_recv,
    .send = fake_send, .shutdown_write = fake_shutdown_write, .close = fake_close,
};

/* ---- an application ---------------------------------------------------------------------------------------------- */
struct test {
    struct fake fake;
    struct http_server *server;
    uint64_t now;
    struct http *waiting[16];                        /* handlers of /later that have not answered */
    size_t nwaiting;
    int gone, handled;
};

static void later_gone(void *arg) { ((struct test *)arg)->gone++; }

static void handle(void *arg, struct http *http)
{
    static char filler[20000];
    struct test *test = arg;
    char body[256];
    int64_t n = -1;
    test->handled++;
    memset(filler, 'b', sizeof filler);
    if (!strcmp(http_path(http), "/later")) {
        test->waiting[test->nwaiting++] = http;
        http_on_gone(http, later_gone, test);
    } else if (!strcmp(http_path(http), "/big")) {
        http_reply(http, 200, filler, sizeof filler);
    } else if (!strcmp(http_path(http), "/filler")) {
        http_reply(http, 200, filler, 4096);
    } else if (http_is_get(http)) {
        bool has = http_arg_int8(http, "n", &n);
        snprintf(body, sizeof body, "<%s %d %lld>", http_path(http), has, (long long)n);
        http_reply_text(http, 200, body);
    } else {
        http_refuse_method(http, "GET");
    }
}

static uint64_t now(void *arg) { return ((struct test *)arg)->now; }

static void open_client(struct test *test)
{
    test->fake.socket = NULL;
    test->fake.seen_size = 0;
    test->fake.fin = test->fake.closed = test->fake.told_closed = false;
    test->fake.net.on_accept(test->fake.net.arg, 7);
    assert_non_null(test->fake.socket);
}

static struct test *new_test(void)
{
    struct test *test = calloc(1, sizeof *test);
    assert_non_null(test);
    test->now = 1;
    test->fake.net.ops = &fake_ops;
    test->fake.send_at_most = SIZE_MAX;
    struct http_config config = http_defaults;
    config.net = &test->fake.net;
    config.connections = 2;
    config.header_bytes_max = 1000;
    config.body_bytes_max = 100;
    config.handle = handle;
    config.now = now;
    config.app = test;
    test->server = http_server_new(&config);
    assert_non_null(test->server);
    open_client(test);
    return test;
}

/* Delivers what the fake net owes until nothing moves: sends, the server's turn, the end of a closed socket. */
static void settle(struct test *test)
{
    struct fake *fake = &test->fake;
    for (bool moved = true; moved;) {
        moved = http_wait_ns(test->server) == 0;
        http_turn(test->server);
        struct net_socket *socket = fake->socket;
        if (fake->closed && !fake->told_closed) {
            fake->told_closed = moved = true;
            socket->recv.active = socket->send.active = false;
            socket->on_closed(socket);
        } else if (!fake->closed && socket->send.active && fake->send_at_most) {
            size_t size = socket->send.bytes < fake->send_at_most ? socket->send.bytes : fake->send_at_most;
            assert_true(fake->seen_size + size < SEEN_MAX);
            memcpy(fake->seen + fake->seen_size, socket->send.at, size);
            fake->seen_size += size;
            socket->send.active = false;
            moved = true;
            socket->on_send(socket, (int32_t)size);
        }
    }
    fake->seen[fake->seen_size] = '\0';
}

/* The client sends; returns how many bytes the server took. */
static size_t feed(struct test *test, const char *at, size_t size)
{
    size_t used = 0;
    struct net_socket *socket = test->fake.socket;
    while (used < size && !test->fake.closed && socket->recv.active) {
        size_t n = size - used < socket->recv.bytes ? size - used : socket->recv.bytes;
        memcpy(socket->recv.at, at + used, n);
        used += n;
        socket->recv.active = false;
        socket->on_recv(socket, (int32_t)n);
        settle(test);
    }
    return used;
}

static size_t feed_text(struct test *test, const char *text) { return feed(test, text, strlen(text)); }

static void hang_up(struct test *test)
{
    if (test->fake.socket->recv.active) {
        test->fake.socket->recv.active = false;
        test->fake.socket->on_recv(test->fake.socket, 0);
    }
    settle(test);
}

static void end_test(struct test *test)
{
    http_kill(test->server);
    settle(test);
    assert_int_equal(http_counts(test->server).open, 0);
    http_server_free(test->server);
    free(test);
}

static int count(const char *in, const char *what)
{
    int n = 0;
    for (; (in = strstr(in, what)); in += strlen(what)) n++;
    return n;
}

static void assert_seen(const struct test *test, const char *what)
{
    if (!strstr(test->fake.seen, what)) fail_msg("no \"%s\" in:\n%s", what, test->fake.seen);
}

static void assert_begins(const struct test *test, const char *what)
{
    if (strncmp(test->fake.seen, what, strlen(what))) fail_msg("not \"%s\":\n%s", what, test->fake.seen);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */
static void answers(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET /a?x=1&n=42&y HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_begins(test, "HTTP/1.1 200 OK\r\n");
    assert_seen(test, "Content-Length: 9\r\n");
    assert_seen(test, "\r\n\r\n</a 1 42>");
    assert_false(test->fake.closed);
    feed_text(test, "GET http://h:80/abs?n=-9223372036854775808 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_seen(test, "</abs 1 -9223372036854775808>");
    feed_text(test, "GET /over?n=9223372036854775808 HTTP/1.1\r\nHost: h\r\n\r\nGET /n?n= HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_seen(test, "</over 0 -1>");
    assert_seen(test, "</n 0 -1>");
    end_test(test);
}

static const char pipeline[] = "GET /1?n=1 HTTP/1.1\r\nHost: h\r\n\r\n"
                               "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                               "HEAD /3 HTTP/1.1\r\nHost: h\r\n\r\n"
                               "POST /4 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                               "GET /5?n=5 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

static void assert_pipeline(const struct test *test)
{
    const char *seen = test->fake.seen;
    assert_int_equal(test->handled, 5);
    assert_int_equal(count(seen, "HTTP/1.1 "), 5);
    assert_int_equal(count(seen, "HTTP/1.1 200 OK"), 3);
    assert_int_equal(count(seen, "Allow: GET\r\n"), 2);
    assert_true(strstr(seen, "</1 1 1>") < strstr(seen, "405"));
    assert_null(strstr(seen, "</3"));
    assert_true(strstr(seen, "405") < strstr(seen, "</5 1 5>"));
    assert_int_equal(count(seen, "Connection: close"), 1);
    assert_true(test->fake.fin);
}

static void every_split(void **state)
{
    (void)state;
    for (size_t first = 0; first < sizeof pipeline; first++) {
        struct test *test = new_test();
        feed(test, pipeline, first);
        feed(test, pipeline + first, sizeof pipeline - 1 - first);
        assert_pipeline(test);
        end_test(test);
    }
}

static void byte_by_byte_and_short_sends(void **state)
{
    (void)state;
    struct test *test = new_test();
    test->fake.send_at_most = 1;
    for (size_t i = 0; i < sizeof pipeline - 1; i++) assert_int_equal(feed(test, pipeline + i, 1), 1);
    assert_pipeline(test);
    end_test(test);
}

static void keeps_the_order_when_answers_are_late(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /now HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(test->handled, 1);
    assert_int_equal(test->fake.seen_size, 0);
    feed_text(test, "GET /more HTTP/1.1\r\nHost: h\r\n\r\nGET /spl"); /* received while the first one runs */
    http_reply_text(test->waiting[0], 200, "late");
    assert_int_equal(test->handled, 1);              /* the next one never begins inside the reply */
    settle(test);
    assert_int_equal(test->handled, 3);
    feed_text(test, "it HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(strstr(test->fake.seen, "late") < strstr(test->fake.seen, "</now"));
    assert_true(strstr(test->fake.seen, "</now") < strstr(test->fake.seen, "</more"));
    assert_seen(test, "</split");
    end_test(test);
}

static void refusals(void **state)
{
    (void)state;
    static const struct { const char *request, *begins;
    } cases[] = {
        { "GARBAGE\r\n\r\n", "HTTP/1.1 400 " },
        { "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 " }, /* no Host */
        { "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400 " },
        { "GET / HTTP/7.3\r\nHost: h\r\n\r\n", "HTTP/1.1 400 " },
        { "GET / HTTP/1.1\r\nHost: h\r\nNo colon\r\n\r\n", "HTTP/1.1 400 " },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 400 " },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400 " },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", "HTTP/1.1 413 " },
        { "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999\r\n\r\n", "HTTP/1.1 413 " },
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
         "chunked\r\n\r\n65\r\n0123456789012345678901234567890123456789"
         "0123456789012345678901234567890123456789012345678901234567890\r\n",
         "HTTP/1.1 413 "},
        { "\x16\x03\x01\x02\x01\x01\x01\x01\xfc\x03\x03", "HTTP/1.1 400 " }, /* a TLS hello */
        { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 400 " },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct test *test = new_test();
        feed_text(test, cases[i].request);
        assert_begins(test, cases[i].begins);
        assert_int_equal(count(test->fake.seen, "HTTP/1.1"), 1);
        assert_seen(test, "Connection: close\r\n");
        assert_true(test->fake.fin);                 /* FIN first, so that the answer is not lost in a reset */
        assert_false(test->fake.closed);
        assert_int_equal(test->handled, 0);
        feed_text(test, "more that nobody wants");
        hang_up(test);
        assert_true(test->fake.closed);
        end_test(test);
    }
}

static void limits_of_header_target_and_chunks(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 200 && !test->fake.fin; i++) feed_text(test, "X-Padding: 0123456789\r\n");
    assert_begins(test, "HTTP/1.1 431 ");
    end_test(test);
    test = new_test();
    feed_text(test, "GET /");
    for (int i = 0; i < 10000 && !test->fake.fin; i++) feed_text(test, "0123456789");
    assert_begins(test, "HTTP/1.1 414 ");
    end_test(test);
    test = new_test();
    feed_text(test, "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 200 && !test->fake.fin; i++) feed_text(test, "1\r\na\r\n"); /* small chunks count as well */
    assert_begins(test, "HTTP/1.1 413 ");
    end_test(test);
}

static void slow_header_ends(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET /");
    for (int i = 0; i < 9; i++) {                    /* each byte comes in time; the request as a whole does not */
        test->now += SECOND;
        feed_text(test, "x");
        assert_int_equal(test->fake.seen_size, 0);
    }
    assert_int_equal(http_wait_ns(test->server), SECOND);
    test->now += SECOND;
    settle(test);
    assert_begins(test, "HTTP/1.1 408 ");
    assert_true(test->fake.fin);
    assert_false(test->fake.closed);
    test->now += 2 * (uint64_t)SECOND;               /* and it does not close either */
    settle(test);
    assert_true(test->fake.closed);
    end_test(test);
}

static void idle_client_ends(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    size_t seen = test->fake.seen_size;
    test->now += 59 * (uint64_t)SECOND;
    settle(test);
    assert_false(test->fake.closed);
    test->now += SECOND;
    settle(test);
    assert_true(test->fake.closed);
    assert_int_equal(test->fake.seen_size, seen);
    end_test(test);
}

static void handler_has_no_deadline_here(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    test->now += 1000 * (uint64_t)SECOND;
    settle(test);
    assert_false(test->fake.closed);
    http_reply_text(test->waiting[0], 200, "late");
    settle(test);
    assert_seen(test, "late");
    end_test(test);
}

static void client_that_does_not_read(void **state)
{
    (void)state;
    static const char request[] = "GET /filler HTTP/1.1\r\nHost: h\r\n\r\n";
    struct test *test = new_test();
    test->fake.send_at_most = 0;
    size_t taken = 0;
    for (int i = 0; i < 1000; i++) {
        size_t took = feed_text(test, request);
        taken += took;
        if (took < sizeof request - 1) break;
    }
    assert_true(taken < 10000);                      /* the rest stays with the client */
    assert_true(test->handled <= 2);
    assert_false(test->fake.closed);
    test->fake.send_at_most = 5000;                  /* it reads again: everything that was taken is answered */
    settle(test);
    int answered = count(test->fake.seen, "HTTP/1.1 200 OK");
    assert_int_equal(answered, (int)(taken / (sizeof request - 1)));
    assert_int_equal(test->handled, answered);
    end_test(test);
}

static void client_that_stops_reading_ends(void **state)
{
    (void)state;
    struct test *test = new_test();
    test->fake.send_at_most = 0;
    feed_text(test, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    test->now += 10 * (uint64_t)SECOND;
    settle(test);
    assert_true(test->fake.closed);
    end_test(test);
}

static void big_answers(void **state)
{
    (void)state;
    struct test *test = new_test();
    test->fake.send_at_most = 777;
    feed_text(test, "GET /big HTTP/1.1\r\nHost: h\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_seen(test, "Content-Length: 20000\r\n");
    assert_int_equal(count(test->fake.seen, "bbbbbbbbbb"), 2000);
    assert_true(strstr(test->fake.seen, "bbb") < strstr(test->fake.seen, "</a"));
    end_test(test);
}

static void hang_up_takes_the_work_along(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    hang_up(test);
    assert_int_equal(test->gone, 1);
    assert_true(test->fake.closed);
    assert_int_equal(http_counts(test->server).open, 0);
    http_reply_text(test->waiting[0], 200, "nobody listens"); /* harmless */
    assert_int_equal(test->fake.seen_size, 0);
    end_test(test);
}

static void pinned_connection_stays(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    struct http *http = test->waiting[0];
    http_pin(http);
    hang_up(test);
    assert_true(test->fake.told_closed);
    assert_int_equal(http_counts(test->server).open, 1);
    struct net_socket *old = test->fake.socket;
    open_client(test);
    assert_ptr_not_equal(test->fake.socket, old);    /* the memory is not given to another client */
    assert_int_equal(http_counts(test->server).open, 2);
    http_unpin(http);
    assert_int_equal(http_counts(test->server).open, 1);
    end_test(test);
}

static void pinned_after_the_reply(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    http_pin(test->waiting[0]);
    http_reply_text(test->waiting[0], 200, "first");
    settle(test);
    assert_int_equal(test->handled, 1);              /* its memory is still the first handler's */
    http_unpin(test->waiting[0]);
    settle(test);
    assert_int_equal(test->handled, 2);
    assert_seen(test, "</next");
    end_test(test);
}

static void hang_up_after_the_answer_was_queued(void **state)
{
    (void)state;
    struct test *test = new_test();
    test->fake.send_at_most = 0;
    feed_text(test, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    hang_up(test);                                   /* only its sending side, as it turns out */
    assert_false(test->fake.closed);
    test->fake.send_at_most = 10;
    settle(test);
    assert_seen(test, "</a 0 -1>");
    assert_true(test->fake.closed);
    end_test(test);
}

static void continues_when_asked(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(test, "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_string_equal(test->fake.seen, "HTTP/1.1 100 Continue\r\n\r\n");
    feed_text(test, "abc");
    assert_seen(test, "HTTP/1.1 405 ");
    end_test(test);
}

static void old_and_upgrading_clients(void **state)
{
    (void)state;
    struct test *test = new_test();
    feed_text(
        test,
        "GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_seen(test, "</a ");
    assert_seen(test, "</b ");                       /* the offer is ignored, the connection goes on */
    end_test(test);
    test = new_test();
    feed_text(test, "GET /old HTTP/1.0\r\n\r\n");
    assert_seen(test, "</old ");
    assert_seen(test, "Connection: close\r\n");
    assert_true(test->fake.fin);
    end_test(test);
}

static void stops_cleanly(void **state)
{
    (void)state;
    struct test *test = new_test();
    test->fake.listening = true;
    feed_text(test, "GET /later HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    http_stop(test->server);
    settle(test);
    assert_false(test->fake.listening);
    assert_false(test->fake.closed);
    http_reply_text(test->waiting[0], 200, "the last one");
    settle(test);
    assert_seen(test, "the last one");
    assert_seen(test, "Connection: close\r\n");
    assert_int_equal(test->handled, 1);
    hang_up(test);
    assert_int_equal(http_counts(test->server).open, 0);
    end_test(test);
}

static void stop_ends_idle_clients(void **state)
{
    (void)state;
    struct test *test = new_test();
    http_stop(test->server);
    settle(test);
    assert_true(test->fake.fin);
    hang_up(test);
    assert_int_equal(http_counts(test->server).open, 0);
    end_test(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers), cmocka_unit_test(every_split), cmocka_unit_test(byte_by_byte_and_short_sends),
        cmocka_unit_test(keeps_the_order_when_answers_are_late), cmocka_unit_test(refusals),
        cmocka_unit_test(limits_of_header_target_and_chunks), cmocka_unit_test(slow_header_ends),
        cmocka_unit_test(idle_client_ends), cmocka_unit_test(handler_has_no_deadline_here),
        cmocka_unit_test(client_that_does_not_read), cmocka_unit_test(client_that_stops_reading_ends),
        cmocka_unit_test(big_answers), cmocka_unit_test(hang_up_takes_the_work_along),
        cmocka_unit_test(pinned_connection_stays), cmocka_unit_test(pinned_after_the_reply),
        cmocka_unit_test(hang_up_after_the_answer_was_queued), cmocka_unit_test(continues_when_asked),
        cmocka_unit_test(old_and_upgrading_clients), cmocka_unit_test(stops_cleanly),
        cmocka_unit_test(stop_ends_idle_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

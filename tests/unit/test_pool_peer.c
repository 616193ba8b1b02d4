/* unit/test_pool_peer.c - requirepeer on real Unix sockets (the kernel knows who listens): a server of somebody else
 * hears not a byte, neither from a connect nor from a cancel request. The server is a few lines in this process. */
#define _GNU_SOURCE
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include "ringpg.h"
#include "ringpg/epoll.h"
#include "pool/state.h"

static struct world {
    char folder[32], socket[64];
    int listener;
    struct pg_epoll *epoll;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    struct pg_error event;
    unsigned events[PG_EVENT_LEAK + 1];
} w;

static struct pg_statement statement = PG_STATEMENT("SELECT 1");

static void on_event(void *arg, const struct pg_event *event)
{
    (void)arg;
    w.events[event->kind]++;
    if (event->error) w.event = *event->error;
}

static const char *me(void) { return getpwuid(geteuid())->pw_name; }
static const char *somebody_else(void) { return geteuid() ? "root" : "daemon"; }

static void open_world(const char *peer)
{
    char conninfo[300];
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    w = (struct world){ .folder = "/tmp/ringpg-peer-XXXXXX" };
    assert_non_null(mkdtemp(w.folder));
    snprintf(w.socket, sizeof w.socket, "%s/.s.PGSQL.5432", w.folder);
    memcpy(at.sun_path, w.socket, strlen(w.socket) + 1);
    w.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w.listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(w.listener, 8), 0);
    assert_int_equal(pg_epoll_open(&w.epoll, NULL), 0);
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(pg_epoll_host(w.epoll));
    assert_int_equal(pg_reactor_open(&w.reactor, &rc, NULL), 0);
    snprintf(conninfo, sizeof conninfo, "host=%s user=u requirepeer='%s' pool_max_conns=1 pool_close_linger=1s",
             w.folder, peer);
    struct pg_pool_config pc = PG_POOL_CONFIG(conninfo);
    pc.flags = PG_POOL_STRING_ONLY;
    pc.on_event = on_event;
    assert_int_equal(pg_pool_open(&w.pool, w.reactor, &pc, NULL), 0);
}

static int64_t turn(void)
{
    int64_t wait = pg_reactor_turn(w.reactor);
    if (wait == PG_WAIT_CLOSED) return wait;
    if (wait < 0 || wait > 1000000) wait = 1000000; /* this process is the server, too */
    assert_int_equal(pg_epoll_dispatch(w.epoll, wait), 0);
    return wait;
}

static void close_world(void)
{
    pg_reactor_close(w.reactor, 0);
    while (turn() != PG_WAIT_CLOSED) continue;
    pg_reactor_free(w.reactor);
    pg_epoll_close(w.epoll);
    close(w.listener);
    unlink(w.socket);
    rmdir(w.folder);
}

static int accept_one(void)
{
    int fd;
    while ((fd = accept4(w.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0) turn();
    return fd;
}
/* Bytes that came, at least one; 0: the end. */
static ssize_t hear(int fd, uint8_t at[512])
{
    ssize_t n;
    while ((n = recv(fd, at, 512, 0)) < 0) turn();
    return n;
}

static void on_done(struct pg_query *q) { ++*(unsigned *)q->data; }

static void somebody_elses_server(void **state)
{
    (void)state;
    char expected[200];
    uint8_t bytes[512];
    unsigned done = 0;
    struct pg_error error = { 0 };
    struct pg_query query = { .statement = &statement, .on_done = on_done, .data = &done, .error = &error };
    open_world(somebody_else());
    pg_pool_query(w.pool, &query);
    while (!done) turn();
    snprintf(expected, sizeof expected, "requirepeer: the server must run as %s, and runs as %s", somebody_else(),
             me());
    assert_int_equal(query.status, PG_E_UNAVAILABLE);
    assert_non_null(strstr(pg_error_field(&error, 'M'), expected));
    assert_string_equal(pg_error_field(&w.event, 'M'), expected);
    int fd = accept_one();
    assert_int_equal(hear(fd, bytes), 0); /* the end, and nothing before it */
    close(fd);
    close_world();
}

static const uint8_t welcome[] = "R\0\0\0\10\0\0\0\0K\0\0\0\14\0\0\0\7\0\0\0\10Z\0\0\0\5I";

/* A session stands; then its cancel request meets another listener than the session has. */
static void cancel_asks_too(void **state)
{
    (void)state;
    uint8_t bytes[512];
    for (int same = 1; same >= 0; same--) {
        unsigned done = 0;
        struct pg_query query = { .statement = &statement, .on_done = on_done, .data = &done };
        open_world(me());
        pg_pool_query(w.pool, &query);
        int fd = accept_one();
        assert_true(hear(fd, bytes) > 8);
        assert_int_equal(send(fd, welcome, sizeof welcome - 1, MSG_NOSIGNAL), sizeof welcome - 1);
        assert_true(hear(fd, bytes) > 0); /* the statement, which is never answered */
        if (!same) w.pool->config.peer++;
        pg_query_cancel(&query);
        int request = accept_one();
        assert_int_equal(hear(request, bytes), same ? 16 : 0);
        close(request);
        close(fd);
        while (!done) turn();
        close_world();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(somebody_elses_server), cmocka_unit_test(cancel_asks_too) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

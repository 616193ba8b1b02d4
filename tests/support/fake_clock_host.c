/* support/fake_clock_host.c - see the header. */
#define _GNU_SOURCE
#include "support/fake_clock_host.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fake_clock_host *fake_of(struct pg_host *host)
{
    return (struct fake_clock_host *)(void *)host; /* embedded first */
}

static int fake_bind(struct pg_host *host, struct pg_socket *s)
{
    (void)host, (void)s;
    return 0;
}

static void fake_unbind(struct pg_host *host, struct pg_socket *s)
{
    (void)host, (void)s;
}

static int fake_send(struct pg_host *host, struct pg_socket *s, const void *at, size_t bytes, struct pg_completion *c)
{
    (void)host, (void)s, (void)at, (void)bytes, (void)c;
    return -EAGAIN;
}

static int fake_recv(struct pg_host *host, struct pg_socket *s, void *at, size_t bytes, struct pg_completion *c)
{
    (void)host, (void)s, (void)at, (void)bytes, (void)c;
    return -EAGAIN;
}

static uint64_t fake_now(struct pg_host *host)
{
    fake_of(host)->clock_reads++;
    return fake_of(host)->now_ns;
}

static void fake_want_turn(struct pg_host *host)
{
    fake_of(host)->wanted_turns++;
}

static void fake_wake(struct pg_host *host)
{
    atomic_fetch_add_explicit(&fake_of(host)->wakes, 1, memory_order_relaxed);
}

void fake_clock_host_init(struct fake_clock_host *fake)
{
    *fake = (struct fake_clock_host){
        .ops = {
            .size = sizeof(struct pg_host_ops),
            .bind = fake_bind,
            .unbind = fake_unbind,
            .submit_send = fake_send,
            .submit_recv = fake_recv,
            .now = fake_now,
            .want_turn = fake_want_turn,
            .wake = fake_wake,
        },
    };
    fake->host.ops = &fake->ops;
}

int signal_of(void (*misuse)(void *), void *arg)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        int null = open("/dev/null", O_WRONLY); /* what the assertion prints is no news here */
        if (null >= 0) dup2(null, STDERR_FILENO);
        misuse(arg);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) return -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

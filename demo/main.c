/* main.c - the demo: an HTTP server that answers from PostgreSQL, one reactor per core.
 *
 * The main thread parses, opens the listening sockets, starts a thread per reactor and then only waits for a signal.
 * The reactors share a port (SO_REUSEPORT) and nothing else. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "server.h"

static int complain(const char *what)
{
    fprintf(stderr, "ringpg_demo: %s: %s\n", what, strerror(errno));
    return -1;
}

/* A socket bound to 127.0.0.1:*port, or -1 and errno. */
static int bind_port(unsigned *port, bool share)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0) return -1;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)*port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        (share && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on)) ||
        bind(fd, (struct sockaddr *)&address, size) || getsockname(fd, (struct sockaddr *)&address, &size)) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/* A shared port would let two demos answer in turns: a probe that does not share finds out whether it is taken. */
static int open_listeners(struct server *servers, unsigned count, unsigned *port)
{
    int probe = bind_port(port, false);
    if (probe < 0) return complain("cannot have the port");
    close(probe);
    for (unsigned i = 0; i < count; i++) {
        int fd = servers[i].listen_fd = bind_port(port, true);
        if (fd < 0 || listen(fd, SOMAXCONN)) return complain("cannot listen");
    }
    return 0;
}

static void close_listeners(struct server *servers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (servers[i].listen_fd >= 0) close(servers[i].listen_fd);
}

/* How many threads were started; fewer than asked for when the system refuses one. */
static unsigned start_threads(struct server *servers, unsigned count, sem_t *changed)
{
    for (unsigned i = 0; i < count; i++) {
        int rc = pthread_create(&servers[i].thread, NULL, server_main, &servers[i]);
        if (rc == 0) continue;
        errno = rc;
        complain("cannot start a thread");
        close_listeners(servers + i, count - i);
        count = i;
    }
    for (unsigned i = 0; i < count; i++)
        while (sem_wait(changed) && errno == EINTR) continue;
    return count;
}

/* All reactors fail for the same reason most of the time: it is said once. */
static bool report_failures(const struct server *servers, unsigned count)
{
    const char *said = NULL;
    for (unsigned i = 0; i < count; i++) {
        if (atomic_load(&servers[i].state) != SERVER_FAILED) continue;
        if (!said || strcmp(said, servers[i].why)) fprintf(stderr, "ringpg_demo: %s\n", servers[i].why);
        said = servers[i].why;
    }
    return said != NULL;
}

static void end_threads(struct server *servers, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (atomic_load(&servers[i].state) == SERVER_READY) server_stop(&servers[i]);
    for (unsigned i = 0; i < count; i++) pthread_join(servers[i].thread, NULL);
}

/* Runs until a signal asks for the end; the exit status. */
static int run(struct server *servers, unsigned count, unsigned port, sem_t *changed)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);      /* before the threads, which inherit it */
    signal(SIGPIPE, SIG_IGN);

    unsigned started = start_threads(servers, count, changed);
    bool good = started == count && !report_failures(servers, started);
    if (good) {
        printf("ready http://127.0.0.1:%u/\n", port);
        fflush(stdout);
        int which;
        sigwait(&signals, &which);
    }
    end_threads(servers, started);
    if (good) good = !report_failures(servers, started);
    return good ? 0 : 1;
}

static int prepare_conninfo(char *out, size_t capacity, const struct options *options)
{
    int rc = conninfo_join(out, capacity, getenv("DATABASE_URL"), options->pool);
    if (rc == -1) fprintf(stderr, "ringpg_demo: --pool: \"%s\" is no list of name=value\n", options->pool);
    if (rc == -2) fprintf(stderr, "ringpg_demo: the connection string is too long\n");
    return rc;
}

int main(int argc, char **argv)
{
    static char conninfo[16384];
    struct options options;
    int parsed = options_parse(&options, argc, argv);
    if (parsed) return parsed < 0 ? 2 : 0;
    if (prepare_conninfo(conninfo, sizeof conninfo, &options)) return 2;

    struct stats stats;
    struct server *servers = calloc(options.reactors, sizeof *servers);
    struct pg_budget *budget = NULL;
    sem_t changed;
    if (!servers || stats_init(&stats, options.reactors) || sem_init(&changed, 0, 0) ||
        (options.budget && pg_budget_open(&budget, options.budget))) {
        fprintf(stderr, "ringpg_demo: out of memory\n");
        return 1;
    }
    for (unsigned i = 0; i < options.reactors; i++) {
        servers[i] = (struct server){ .options = &options, .conninfo = conninfo, .stats = &stats, .index = i,
                                      .budget = budget, .listen_fd = -1, .changed = &changed };
    }
    int status = 1;
    if (open_listeners(servers, options.reactors, &options.port)) close_listeners(servers, options.reactors);
    else status = run(servers, options.reactors, options.port, &changed);
    sem_destroy(&changed);
    stats_free(&stats);
    free(servers);
    pg_budget_close(budget);                         /* no reactor is left */
    return status;
}

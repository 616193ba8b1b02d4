/* What a parked waiter and an idle connection keep: by a counting allocator on the simulated host, and by the resident
 * set of a process with many connections to the null server. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "pool.h"
#include "pool/state.h"
#include "support/live.h"

/* ---- by the allocator ---- */

static size_t bytes_with(unsigned connections)
{
    struct pool_world world;
    pool_world_open(&world, connections, "");
    size_t bytes = world.allocated;
    pool_world_close(&world);
    return bytes;
}

static double waiter_bytes(unsigned waiters)
{
    struct pool_world world;
    struct pg_lease *lease = calloc(waiters, sizeof *lease);
    if (!lease) bench_die("no memory");
    pool_world_open(&world, 1, "");
    pg_pool_suspend(world.pool); /* all of them stay parked */
    size_t before = world.allocated;
    for (unsigned i = 0; i < waiters; i++) pg_pool_acquire(world.pool, &lease[i]);
    pool_world_turn(&world);
    double bytes = ((double)world.allocated - (double)before) / waiters;
    for (unsigned i = 0; i < waiters; i++) pg_lease_abandon(&lease[i]);
    pool_world_close(&world);
    free(lease);
    return bytes;
}

/* ---- by the resident set ---- */

struct guest {
    const struct bench_target *target;
    unsigned connections;
};

static double resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*u %lu", &pages) != 1) bench_die("/proc/self/statm cannot be read");
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void warmed(void *arg, int status)
{
    if (status) bench_die("memory: %s", pg_error_text(status));
    *(bool *)arg = true;
}

static bool is_warm(void *arg)
{
    return *(bool *)arg;
}

static void keep_idle(void *arg, int out)
{
    const struct guest *guest = arg;
    struct live live;
    struct pg_error error;
    struct pg_pool *pool;
    char conninfo[256];
    bool warm = false;
    if (!live_open(&live, LIVE_URING) && !live_open(&live, LIVE_EPOLL)) bench_die("no host");
    snprintf(conninfo, sizeof conninfo, "host=%s port=%u user=bench dbname=bench sslmode=disable pool_connecting_limit=64",
             guest->target->host, guest->target->port);
    struct pg_pool_config config = PG_POOL_CONFIG(conninfo);
    config.max_conns = config.min_conns = guest->connections;
    if (pg_pool_open(&pool, live.reactor, &config, &error)) bench_die("%s", pg_error_field(&error, 'M'));
    if (pg_pool_warm(pool, PG_NEVER, warmed, &warm) || !live_until(&live, is_warm, &warm))
        bench_die("memory: %u connections do not stand", guest->connections);
    double bytes = resident_bytes();
    if (write(out, &bytes, sizeof bytes) != sizeof bytes) bench_die("write: %s", strerror(errno));
    live_close(&live);
}

static double resident_with(const struct bench_target *target, unsigned connections)
{
    struct guest guest = {target, connections};
    char answer[sizeof(double) + 1];
    double bytes;
    if (bench_in_child(keep_idle, &guest, answer, sizeof answer, 60) != (long)sizeof bytes) return -1;
    memcpy(&bytes, answer, sizeof bytes);
    return bytes;
}

static double resident_per_connection(unsigned connections)
{
    char folder[] = "/tmp/ringpg-bench-XXXXXX", socket[64];
    if (!mkdtemp(folder)) bench_die("mkdtemp: %s", strerror(errno));
    struct bench_target target = {.host = folder, .port = BENCH_PORT, .user = "bench", .database = "bench"};
    pid_t server = null_server_start(&target);
    double few = resident_with(&target, 1), many = resident_with(&target, connections);
    kill(server, SIGKILL);
    while (waitpid(server, NULL, 0) < 0 && errno == EINTR) continue;
    snprintf(socket, sizeof socket, "%s/.s.PGSQL.%d", folder, BENCH_PORT);
    unlink(socket);
    rmdir(folder);
    return few < 0 || many < few ? -1 : (many - few) / (connections - 1);
}

void pool_memory_run(const struct pool_options *options, struct pool_figures *figures)
{
    enum { MANY = 257 };
    unsigned waiters = options->smoke ? 1000 : 1000000, connections = options->smoke ? 17 : 1001;
    pool_figure(figures, "parked waiter, the library's own", options->smoke ? "" : "1,000,000 parked", "bytes",
                waiter_bytes(waiters));
    pool_figure(figures, "parked waiter, the caller's: a lease", "struct pg_lease", "bytes", sizeof(struct pg_lease));
    pool_figure(figures, "parked waiter, the caller's: a query", "struct pg_query", "bytes", sizeof(struct pg_query));
    double allocated = (double)(bytes_with(MANY) - bytes_with(1)) / (MANY - 1);
    double resident = resident_per_connection(connections);
    pool_figure(figures, "idle connection, allocated", "256 idle", "bytes", allocated);
    pool_figure(figures, "of these, the slot itself", "struct rp_slot", "bytes", sizeof(struct rp_slot));
    pool_figure(figures, "idle connection, resident", options->smoke ? "" : "1,000 idle", "bytes", resident);
    pool_ratio(figures, "resident against allocated", resident, allocated);
    pool_note(figures, "Allocated: all blocks of a larger pool less those of a smaller one. Resident: the same "
                       "difference of two processes\n  on the null server; pages that nothing was written to yet are "
                       "not in it, the heap's own headers are.");
}

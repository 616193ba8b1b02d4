/* The ground under the pool's sections: a pool on the simulated host, the cycle that is measured, and callgrind. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "pool.h"

/* ---- a pool without a kernel ---- */

static void *allocate(void *arg, size_t bytes)
{
    ((struct pool_world *)arg)->allocated += bytes;
    return malloc(bytes);
}

static void deallocate(void *arg, void *at, size_t bytes)
{
    ((struct pool_world *)arg)->allocated -= bytes;
    free(at);
}

static struct pg_pool_stats stats(const struct pool_world *world)
{
    struct pg_pool_stats now = {.size = sizeof now};
    pg_pool_stats(world->pool, &now);
    return now;
}

void pool_world_open(struct pool_world *world, unsigned connections, const char *options)
{
    struct pg_error error;
    char conninfo[256];
    struct sim_config sim = {.seed = 1};
    struct model_config server = {.max_connections = connections};
    *world = (struct pool_world){.sim = sim_open(&sim)};
    server.sim = world->sim;
    world->server = model_server_open(&server);
    struct pg_reactor_config reactor = PG_REACTOR_CONFIG(sim_host(world->sim));
    reactor.allocate = allocate;
    reactor.deallocate = deallocate;
    reactor.arg = world;
    if (pg_reactor_open(&world->reactor, &reactor, &error)) bench_die("%s", pg_error_field(&error, 'M'));
    snprintf(conninfo, sizeof conninfo, "host=127.0.0.1 user=app dbname=app sslmode=disable %s", options);
    struct pg_pool_config pool = PG_POOL_CONFIG(conninfo);
    pool.max_conns = pool.min_conns = connections;
    pool.max_waiters = 10000000;
    if (pg_pool_open(&world->pool, world->reactor, &pool, &error)) bench_die("%s", pg_error_field(&error, 'M'));
    sim_run(world->sim, world->reactor, 1000000000);
    if (stats(world).idle_conns != connections) bench_die("not all %u connections stand", connections);
}

void pool_world_turn(struct pool_world *world)
{
    if (pg_reactor_turn(world->reactor) == PG_WAIT_CLOSED) bench_die("the reactor is closed");
}

void pool_world_close(struct pool_world *world)
{
    pg_reactor_close(world->reactor, 0);
    if (sim_run(world->sim, world->reactor, 100000000000) != SIM_CLOSED) bench_die("the reactor does not close");
    pg_reactor_free(world->reactor);
    model_server_close(world->server);
    sim_close(world->sim);
    if (world->allocated) bench_die("%zu bytes are left", world->allocated);
}

/* ---- costs ---- */

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* What callgrind counts: its name stands in pool_instructions. */
__attribute__((noinline)) void pool_measured(void (*cycle)(void *), void *arg)
{
    cycle(arg);
    __asm__ volatile(""); /* no tail call: the end of this function is where counting stops */
}

double pool_repeat(struct pool_world *world, void (*cycle)(void *), void *arg, unsigned cycles)
{
    enum { PARTS = 5, STEP = 64 };
    double part_ns[PARTS];
    for (unsigned part = 0; part < PARTS; part++) {
        unsigned n = cycles / PARTS ? cycles / PARTS : 1;
        double began_ns = now_ns();
        for (unsigned i = 0; i < n; i++) {
            pool_measured(cycle, arg);
            if (i % STEP == 0) sim_step_until(world->sim, sim_now(world->sim) + STEP * 1000); /* time goes on */
        }
        part_ns[part] = (now_ns() - began_ns) / n;
    }
    return pool_median(part_ns, PARTS);
}

struct counted {
    const struct pool_cost *cost;
    unsigned at, cycles;
};

static void exec_counted(void *arg, int out)
{
    const struct counted *counted = arg;
    char self[4096], at[16], cycles[16];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) bench_die("readlink");
    self[length] = 0;
    snprintf(at, sizeof at, "%u", counted->at);
    snprintf(cycles, sizeof cycles, "%u", counted->cycles);
    if (dup2(out, STDERR_FILENO) < 0) bench_die("dup2");
    close(out);
    execlp("valgrind", "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
           "--toggle-collect=pool_measured", self, "--cost", counted->cost->name, "--at", at, "--cycles", cycles,
           (char *)NULL);
    _exit(1);
}

double pool_instructions(const struct pool_options *options, const struct pool_cost *cost, unsigned at, unsigned cycles)
{
    enum { SECONDS = 120 };
    static char text[65536];
    struct counted counted = {cost, at, cycles};
    if (options->no_valgrind) return -1;
    long size = bench_in_child(exec_counted, &counted, text, sizeof text - 1, SECONDS);
    if (size < 0) return -1;
    text[size] = 0;
    double collected;
    const char *found = strstr(text, "Collected : ");
    if (!found || sscanf(found, "Collected : %lf", &collected) != 1 || collected <= 0) return -1;
    return collected / cycles;
}

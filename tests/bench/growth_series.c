/* The series of the part growth: what a run of each is, by its size. Each keeps everything else as it is. */
#include "growth.h"
#include "ringpg_load.h"

enum {
    FEW = 4,        /* connections, where their number is not what grows: the pool's own default */
    EACH = 4,       /* in flight on each of them, where it is */
    HANDLERS = 256, /* where theirs is not: as many as are in flight at once */
    TURNS = 10,     /* of each statement on each connection before anything is measured: all are prepared then */
};

static void handlers_shared(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct ringpg_load load = {.target = target, .connections = FEW, .handlers = size};
    ringpg_load_run(&load, meter);
}

static void handlers_lease(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct ringpg_load load = {.target = target, .connections = FEW, .handlers = size, .lease = true};
    ringpg_load_run(&load, meter);
}

static void connections_shared(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct ringpg_load load = {.target = target, .connections = size, .handlers = size * EACH};
    ringpg_load_run(&load, meter);
}

static void connections_lease(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct ringpg_load load = {.target = target, .connections = size, .handlers = size, .lease = true};
    ringpg_load_run(&load, meter);
}

static void floor_each(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct bench_shape shape = {.target = target, .connections = size, .in_flight = EACH};
    floor_run(&shape, meter);
}

static void floor_one(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct bench_shape shape = {.target = target, .connections = size, .in_flight = 1};
    floor_run(&shape, meter);
}

static void rows(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT generate_series(1, %u)", size);
    struct ringpg_load load = {
        .target = target, .connections = 1, .handlers = 1, .lease = true, .sql = sql, .first = 1, .rows = size};
    ringpg_load_run(&load, meter);
}

/* Texts are kept from the second time on that they come, and prepared when a connection first has them. */
static struct ringpg_load statements(const struct bench_target *target, unsigned size)
{
    return (struct ringpg_load){.target = target,
                                .connections = FEW,
                                .handlers = HANDLERS,
                                .statements = size,
                                .warm_up = size * FEW * TURNS};
}

static void statements_declared(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct ringpg_load load = statements(target, size);
    ringpg_load_run(&load, meter);
}

static void statements_text(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct ringpg_load load = statements(target, size);
    load.run_time = true;
    load.options = "statement_cache_capacity=1000 statement_cache_bytes=4MB";
    ringpg_load_run(&load, meter);
}

static void statements_beyond(const struct bench_target *target, unsigned size, struct bench_meter *meter)
{
    struct ringpg_load load = statements(target, size);
    load.run_time = true;
    ringpg_load_run(&load, meter);
}

const struct growth_series growth_series[] = {
    {.name = "handlers, shared lane", .of = "handlers", .sizes = {1, 10, 100, 1000, 10000}, .run = handlers_shared},
    {.name = "handlers, leases", .of = "handlers", .sizes = {1, 10, 100, 1000, 10000}, .run = handlers_lease},
    {.name = "connections, shared lane", .of = "connections", .sizes = {1, 10, 100, 500}, .run = connections_shared},
    {.name = "  the floor, 4 each",
     .of = "connections",
     .sizes = {1, 10, 100, 500},
     .not_judged = true,
     .run = floor_each},
    {.name = "connections, leases", .of = "connections", .sizes = {1, 10, 100, 500}, .run = connections_lease},
    {.name = "  the floor, 1 each",
     .of = "connections",
     .sizes = {1, 10, 100, 500},
     .not_judged = true,
     .run = floor_one},
    {.name = "statements, declared", .of = "statements", .sizes = {1, 10, 100, 1000}, .run = statements_declared},
    {.name = "statements, built at run time",
     .of = "statements",
     .sizes = {1, 10, 100, 1000},
     .run = statements_text},
    {.name = "  beyond the 256 kept",
     .of = "statements",
     .sizes = {1000},
     .not_judged = true,
     .run = statements_beyond},
    {.name = "rows of an answer",
     .of = "rows",
     .sizes = {1, 10, 100, 1000, 10000, 100000, 1000000},
     .quick_max = 100000,
     .real = true,
     .rows = true,
     .run = rows},
};
const size_t growth_count = sizeof growth_series / sizeof *growth_series;

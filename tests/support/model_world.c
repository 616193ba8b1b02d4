/* support/model_world.c - see the header. */
#include <stdlib.h>
#include "support/model_world.h"

struct model_world *model_world_open(struct model_config config, struct sim_config sim)
{
    struct model_world *f = calloc(1, sizeof *f);
    assert_non_null(f);
    if (!sim.seed) sim.seed = 1;
    config.sim = f->sim = sim_open(&sim);
    f->server = model_server_open(&config);
    return f;
}

void model_world_close(struct model_world *f)
{
    sim_settle(f->sim);
    model_server_close(f->server);
    sim_close(f->sim);
    free(f);
}

void model_world_end(struct model_world *f)
{
    client_close(&f->c);
    model_world_close(f);
}

void model_world_greet(struct model_world *f, struct model_client *c)
{
    client_open(c, f->sim);
    client_startup(c, "app", "unit");
    assert_string_equal(client_answer(c), "R0 K Z:I");
}

struct model_world *model_world_connected(struct model_config config)
{
    struct model_world *f = model_world_open(config, (struct sim_config){ .seed = 1 });
    model_world_greet(f, &f->c);
    return f;
}

const char *model_world_ask(struct model_client *c, const char *sql)
{
    client_query(c, sql);
    return client_answer(c);
}

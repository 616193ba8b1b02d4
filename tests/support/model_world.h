/* support/model_world.h - what the tests of the model server start from: a world, the server, up to two clients. */
#ifndef SUPPORT_MODEL_WORLD_H
#define SUPPORT_MODEL_WORLD_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "support/model_client.h"
#include "support/model_server.h"

#define MS UINT64_C(1000000)

struct model_world {
    struct sim *sim;
    struct model_server *server;
    struct model_client c, d;
};

struct model_world *model_world_open(struct model_config config, struct sim_config sim);
struct model_world *model_world_connected(struct model_config config); /* and client c has seen ReadyForQuery */
void model_world_greet(struct model_world *f, struct model_client *c); /* connects and starts one of them     */
const char *model_world_ask(struct model_client *c, const char *sql);
void model_world_end(struct model_world *f);   /* client c and the world */
void model_world_close(struct model_world *f);

#endif

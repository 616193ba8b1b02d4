/* support/world.h - one reactor, one pool, one model server on the simulated host: what most tests of the pool begin
 * with, and recorders that say what happened to each lease and query. */
#ifndef SUPPORT_WORLD_H
#define SUPPORT_WORLD_H
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "ringpg.h"
#include "support/model_server.h"
#include "support/sim.h"

enum { WORLD_SERVERS = 4, WORLD_PORT = 5432 };

struct world {
    struct sim *sim;
    struct model_server *server;
    struct model_server *servers[WORLD_SERVERS]; /* the same, and those that were added: at WORLD_PORT + index */
    unsigned nservers;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    bool closed;
    struct pg_event last_event; /* kind and host; the error is copied: */
    struct pg_error event_error;
    unsigned events[PG_EVENT_LEAK + 1];
};

enum { WORLD_MS = 1000000 };
#define WORLD_SECOND 1000000000ull

/* The defaults of both configurations, to be changed before world_open. */
void world_open_with(struct world *w, const struct sim_config *sim, struct model_config *server, const char *options);
void world_open(struct world *w, const char *options);
/* One more; what is not its port's goes to the others. Before the first turn. */
struct model_server *world_add_server(struct world *w, struct model_config server);
/* With a pool of its own kind: its on_event, arg (the world) and conninfo are filled in. */
void world_open_pool(struct world *w, const struct sim_config *sim, struct model_config *server,
                     struct pg_pool_config *pool, const char *options);
/* ... and with a reactor of its own kind: its host is filled in. */
void world_open_reactor(struct world *w, const struct sim_config *sim, struct model_config *server,
                        struct pg_reactor_config *reactor, struct pg_pool_config *pool, const char *options);
void world_run(struct world *w, uint64_t ns);
/* Closes pool and reactor, asserts that both complete and that the server has no connection left. */
void world_close(struct world *w);
struct pg_pool_stats world_stats(struct world *w);

/* A query that remembers its outcome. */
struct seen {
    struct pg_query query;
    struct pg_param param;
    struct pg_error error;
    int64_t value;    /* of the last row's first column */
    unsigned rows, done;
    unsigned order;   /* the how-manieth outcome of all this was */
    int status;
    enum pg_sent sent;
    struct world *world;
};
extern struct pg_statement world_echo;   /* ECHO $1, one int8 */
extern struct pg_statement world_insert; /* INSERT $1 */
extern unsigned world_outcomes;          /* counts the outcomes and grants of this process */

void seen_init(struct seen *s, struct pg_statement *statement, int64_t param);
void seen_sql(struct seen *s, const char *sql); /* run-time SQL without parameters */

struct held {
    struct pg_lease lease;
    struct pg_error error;
    unsigned grants, order;
    int status;
};
void held_init(struct held *h);

#endif

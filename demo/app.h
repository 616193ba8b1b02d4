/* app.h - the demo's application: what one reactor's handlers share, and the routes.
 *
 * One struct app per reactor, used on its thread alone; nothing is shared between reactors but the published
 * figures. */
#ifndef DEMO_APP_H
#define DEMO_APP_H
#include "http.h"
#include "ringpg.h"
#include "stats.h"

struct app {
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    struct http_server *http;
    struct stats *stats;                             /* of all reactors */
    unsigned index;                                  /* of this one */
    uint64_t handler_timeout_ns;                     /* for the database part of a request; more for /slow */
    uint64_t lost, reconnects;                       /* connections lost, and made to replace them */
    char last_event[256];
    uint64_t last_event_ns;
};

void app_handle(void *app, struct http *http);       /* http_config.handle */
uint64_t app_now(void *app);                         /* http_config.now */
void app_on_event(void *app, const struct pg_event *event); /* pg_pool_config.on_event */

/* The deadline for a request that begins now and may hold the database for `extra_ns` more than usual. */
uint64_t app_deadline(const struct app *app, uint64_t extra_ns);
/* The answer to a request that the database did not serve: 503 where waiting or trying again helps, 500 where not. */
void app_reply_failed(struct http *http, int status, const char *sqlstate);

/* The handlers; those with callbacks stand in handlers_callback.c, those that are fibers in handlers_fiber.c. */
void handle_root(struct app *app, struct http *http);
void handle_item(struct app *app, struct http *http);
void handle_sum(struct app *app, struct http *http);
void handle_transfer(struct app *app, struct http *http);
void handle_slow(struct app *app, struct http *http);
void handle_stats(struct app *app, struct http *http);
void handle_metrics(struct app *app, struct http *http);

#endif

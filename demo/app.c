/* app.c - the demo's routes, and what its handlers have in common: deadlines, and how a failure becomes an answer. */
#include "app.h"
#include <stdio.h>
#include <string.h>

enum { EVENT_REPEAT_NS = 1000000000 };               /* the same line about the database once a second at the most */

static const struct route {
    const char *path;                                /* ends with '/': a prefix, unless it is "/" itself */
    const char *allow;
    void (*handle)(struct app *, struct http *);
} routes[] = {
    { "/", "GET, HEAD", handle_root },
    { "/item/", "GET, HEAD", handle_item },
    { "/transfer", "POST", handle_transfer },
    { "/slow", "GET, HEAD", handle_slow },
    { "/sum", "GET, HEAD", handle_sum },
    { "/stats", "GET, HEAD", handle_stats },
    { "/metrics", "GET, HEAD", handle_metrics },
};

static bool route_matches(const struct route *route, const char *path)
{
    size_t size = strlen(route->path);
    if (size > 1 && route->path[size - 1] == '/') return strncmp(path, route->path, size) == 0;
    return strcmp(path, route->path) == 0;
}

void app_handle(void *arg, struct http *http)
{
    struct app *app = arg;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        const struct route *route = &routes[i];
        if (!route_matches(route, http_path(http))) continue;
        bool allowed = *route->allow == 'P' ? http_is_post(http) : http_is_get(http);
        if (allowed) route->handle(app, http);
        else http_refuse_method(http, route->allow);
        return;
    }
    http_reply_text(http, 404, "not found\n");
}

uint64_t app_now(void *arg) { return pg_reactor_now(((struct app *)arg)->reactor); }

uint64_t app_deadline(const struct app *app, uint64_t extra_ns)
{
    return pg_reactor_now(app->reactor) + app->handler_timeout_ns + extra_ns;
}

/* What the server says of itself rather than of the statement: it restarts, is full, or took another's side. */
static bool server_will_recover(const char *sqlstate)
{
    static const char *const classes[] = { "08", "40", "53", "57" };
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(sqlstate, classes[i], 2) == 0) return true;
    return false;
}

void app_reply_failed(struct http *http, int status, const char *sqlstate)
{
    if (status == PG_E_SERVER && !server_will_recover(sqlstate)) http_reply_text(http, 500, "database error\n");
    else if (status == PG_E_VALUE || status == PG_E_PARAMETER || status == PG_E_NEEDS_LEASE)
        http_reply_text(http, 500, "error in the demo\n");
    else http_reply_text(http, 503, "the database is not available, try again\n");
}

void app_on_event(void *arg, const struct pg_event *event)
{
    struct app *app = arg;
    if (event->kind == PG_EVENT_CONNECTED) {
        app->reconnects += app->lost > app->reconnects;
        return;
    }
    app->lost += event->kind == PG_EVENT_LOST;
    static const char *const words[] = {
        [PG_EVENT_CONNECT_FAILED] = "cannot connect to", [PG_EVENT_LOST] = "lost the connection to",
        [PG_EVENT_RETIRED] = "at", [PG_EVENT_NOTICE] = "notice from", [PG_EVENT_LISTEN_FAILED] = "refused by",
        [PG_EVENT_LEAK] = "a leak on", [PG_EVENT_POOLER] = "in front of",
    };
    char line[sizeof app->last_event];
    snprintf(line, sizeof line, "%s %s: %s", words[event->kind], event->host ? event->host : "the database",
             event->error ? pg_error_field(event->error, 'M') : "");
    uint64_t now = pg_reactor_now(app->reactor);
    if (strcmp(line, app->last_event) == 0 && now - app->last_event_ns < EVENT_REPEAT_NS) return;
    memcpy(app->last_event, line, sizeof line);
    app->last_event_ns = now;
    fprintf(stderr, "reactor %u: %s\n", app->index, line);
}

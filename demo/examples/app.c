/* app.c - the stand-in for a server: opens the loop and the pool, sends the example's requests all at once, hangs up
 * where the table says so, and compares the answers. */
#include "app_http.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ringpg.h"
#include "ringpg/loop.h"

enum { ROUNDS = 5 };
static const uint64_t SECOND_NS = 1000000000u;

struct pg_pool *pool;
struct pg_reactor *reactor;
static struct pg_fiber driver;
static size_t open_requests;
static int wrong;

void *slab_get(size_t size)
{
    void *at = calloc(1, size);
    if (!at) abort();
    return at;
}
void slab_put(void *at) { free(at); }

void app_wrong(const struct http *http, const char *what)
{
    fprintf(stderr, "%s: %s\n", http->request->query, what);
    wrong++;
}

void app_open(void) { open_requests++; }
void app_close(void)
{
    if (--open_requests == 0) pg_fiber_unpark(driver);
}

void http_reply(struct http *http, int status, const char *body, size_t size)
{
    if (http->answered || http->left || http->out) {
        app_wrong(http, "answered twice, or after the client had left");
        return;
    }
    http->answered = true;
    http->status = status;
    snprintf(http->body, sizeof http->body, "%.*s", (int)size, body);
    app_close();
}

int64_t http_arg(const struct http *http, const char *name)
{
    const char *at = strstr(http->request->query, name);
    return at ? strtoll(at + strlen(name) + 1, NULL, 10) : 0;
}

void http_on_gone(struct http *http, void (*gone)(void *), void *arg)
{
    http->gone = gone;
    http->gone_arg = arg;
}

void app_hang_up(struct http *http)
{
    if (http->answered || http->left) return;
    http->left = true;
    if (http->gone) http->gone(http->gone_arg);
    app_close();
}

static void judge(const struct http *http, int round)
{
    const struct app_request *request = http->request;
    bool right = http->left
                     ? request->hangs_up
                     : http->status == request->status || (request->or_status && http->status == request->or_status);
    if (!right) wrong++;
    const char *text = http->left ? "(left)" : http->body;
    if (round == 0 || !right)
        printf("%-32s %s%d %.*s\n", request->query, right ? "" : "WRONG: ", http->status, (int)strcspn(text, "\n"),
               text);
}

/* All requests of the table at once; those that hang up do so a moment later, wherever their handler is by then, or
 * while they read (app_stream.c). */
static int run_round(int round)
{
    struct http *requests = calloc(app_request_count, sizeof *requests);
    if (!requests) return -1;
    uint64_t deadline = pg_reactor_now(reactor) + 5 * SECOND_NS;
    open_requests = app_request_count;
    for (size_t i = 0; i < app_request_count; i++) {
        requests[i].request = &app_requests[i];
        app_handle(reactor, &requests[i], deadline);
    }
    int rc = pg_await_sleep(pg_reactor_now(reactor) + (uint64_t)round * 300000);
    for (size_t i = 0; i < app_request_count; i++)
        if (app_requests[i].hangs_up && !http_arg(&requests[i], "after")) app_hang_up(&requests[i]);
    while (rc == 0 && open_requests > 0) rc = pg_fiber_park(deadline + 5 * SECOND_NS);
    for (size_t i = 0; i < app_request_count; i++) judge(&requests[i], round);
    if (rc == 0) free(requests);                     /* else handlers still have them */
    return rc;
}

static int set_up(void)
{
    if (!app_setup) return 0;
    struct pg_error error = { .text = "" };
    struct pg_lease lease = { .tag = PG_HERE, .error = &error };
    struct pg_query query = { .sql = app_setup, .flags = PG_QUERY_SIMPLE, .error = &error };
    int rc = pg_await_acquire(pool, &lease);
    if (rc == 0) {
        pg_lease_query(&lease, &query);
        rc = pg_await(&query);
    }
    pg_lease_abandon(&lease);
    if (rc) fprintf(stderr, "setup: %s\n", pg_error_field(&error, 'M'));
    return rc;
}

static void drive(void *arg)
{
    int *status = arg;
    driver = pg_fiber_self();
    int rc = set_up();
    for (int round = 0; round < ROUNDS && rc == 0; round++) rc = run_round(round);
    if (rc) fprintf(stderr, "%s\n", pg_error_text(rc));
    *status = rc || wrong;
}

int main(void)
{
    struct pg_loop *loop;
    struct pg_error error;
    int status = 1;
    struct pg_pool_config config = PG_POOL_CONFIG(getenv("DATABASE_URL"));
    if (pg_loop_open(&loop, &error)) goto failed;
    reactor = pg_loop_reactor(loop);
    if (pg_pool_open(&pool, reactor, &config, &error)) {
        pg_loop_close(loop);
        goto failed;
    }
    int rc = pg_loop_run(loop, drive, &status);
    if (rc) fprintf(stderr, "%s\n", pg_error_text(rc));
    pg_loop_close(loop);
    printf("%s\n", status ? "not as it should be" : "as it should be");
    return rc || status;
failed:
    fprintf(stderr, "%s\n", pg_error_field(&error, 'M'));
    return 1;
}

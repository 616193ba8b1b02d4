/* The benchmark's part http, the servers to compare with: the demo's HTTP layer, sockets and read-only routes, one
 * thread, and libpq on the same epoll descriptor. Answers are the demo's, byte for byte, which the part checks.
 *
 * What the demo has beyond it, deadlines, reconnecting and figures, is left out here: that is work which libpq's side
 * is spared. It knows nothing of how it is measured. */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "bench.h"
#include "http.h"
#include "http_libpq.h"

/* ---- the routes: handlers_callback.c of the demo, with libpq ---- */

enum { ANSWER, ITEM, SUM, STATEMENTS };
static const struct http_libpq_statement statements[STATEMENTS] = {
    [ANSWER] = {"answer", "SELECT 42", false},
    [ITEM] = {"item", "SELECT name FROM item WHERE id = $1", true},
    [SUM] = {"sum", "SELECT sum(balance)::int8 FROM account", false},
};

/* Whether there is a row; if not, it has replied. */
static bool has_row(const struct http_libpq_request *request, const PGresult *result)
{
    bool good = PQresultStatus(result) == PGRES_TUPLES_OK;
    if (!good) {
        fprintf(stderr, "libpq: %s", PQresultErrorMessage(result));
        http_reply_text(request->http, 500, "database error\n");
    } else if (PQntuples(result) == 0) {
        http_reply_text(request->http, 404, "no such item\n");
    }
    return good && PQntuples(result) > 0;
}

static void answer_42(struct http_libpq_request *request, const PGresult *result)
{
    char body[32];
    uint32_t value;
    if (!has_row(request, result)) return;
    memcpy(&value, PQgetvalue(result, 0, 0), sizeof value);
    http_reply(request->http, 200, body, (size_t)snprintf(body, sizeof body, "db=%d", (int)be32toh(value)));
}

static void answer_sum(struct http_libpq_request *request, const PGresult *result)
{
    char body[32];
    uint64_t value;
    if (!has_row(request, result)) return;
    memcpy(&value, PQgetvalue(result, 0, 0), sizeof value);
    http_reply(request->http, 200, body, (size_t)snprintf(body, sizeof body, "%lld", (long long)be64toh(value)));
}

static void answer_item(struct http_libpq_request *request, const PGresult *result)
{
    if (has_row(request, result))
        http_reply(request->http, 200, PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0));
}

static void gone(void *request) { http_libpq_forget(request); }

static void ask(struct http *http, unsigned statement, int64_t id,
                void (*on_result)(struct http_libpq_request *, const PGresult *))
{
    struct http_libpq_request *request = http_work(http, sizeof *request);
    *request = (struct http_libpq_request){
        .http = http, .statement = &statements[statement], .id = htobe64((uint64_t)id), .on_result = on_result};
    http_on_gone(http, gone, request);
    http_libpq_ask(request);
}

static void handle_item(struct http *http)
{
    const char *digits = http_path(http) + strlen("/item/");
    int64_t id = 0;
    bool number = *digits != '\0';
    for (const char *at = digits; *at && number; at++)
        number = *at >= '0' && *at <= '9' && !__builtin_mul_overflow(id, (int64_t)10, &id) &&
                 !__builtin_add_overflow(id, (int64_t)(*at - '0'), &id);
    if (number)
        ask(http, ITEM, id, answer_item);
    else
        http_reply_text(http, 400, "the id is no number\n");
}

static void handle(void *app, struct http *http)
{
    const char *path = http_path(http);
    (void)app;
    bool root = !strcmp(path, "/"), sum = !strcmp(path, "/sum"), item = !strncmp(path, "/item/", strlen("/item/"));
    if (!root && !sum && !item)
        http_reply_text(http, 404, "not found\n");
    else if (!http_is_get(http))
        http_refuse_method(http, "GET, HEAD");
    else if (item)
        handle_item(http);
    else if (root)
        ask(http, ANSWER, 0, answer_42);
    else
        ask(http, SUM, 0, answer_sum);
}

/* ---- the loop ---- */

static uint64_t turn_ns; /* once per turn, as a reactor's clock */

static uint64_t now(void *app)
{
    (void)app;
    return turn_ns;
}

static void read_clock(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    turn_ns = (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

static int open_listener(unsigned *port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, SOMAXCONN) ||
        getsockname(fd, (struct sockaddr *)&address, &size))
        bench_die("cannot listen: %s", strerror(errno));
    *port = ntohs(address.sin_port);
    return fd;
}

static void serve(struct net *net, struct http_server *server)
{
    for (;;) { /* until SIGTERM, which ends it as it is */
        read_clock();
        http_turn(server);
        http_libpq_turn();
        int rc = net->ops->wait(net, http_wait_ns(server));
        if (rc) bench_die("the wait failed: %s", strerror(-rc));
    }
}

struct options {
    const char *mode;
    unsigned connections;
};

#define AT(member) offsetof(struct options, member)
static const struct bench_option option_rows[] = {
    {"mode", BENCH_TEXT, AT(mode), 0},
    {"connections", BENCH_NUMBER, AT(connections), 1000},
};
static const char usage[] = "bench_http_libpq --mode one|pipeline|batch [--connections N]\n"
                            "  The server of DATABASE_URL is asked; prints its address when it is ready.\n";

int main(int argc, char **argv)
{
    static const char *const modes[] = {
        [HTTP_LIBPQ_ONE] = "one", [HTTP_LIBPQ_PIPELINE] = "pipeline", [HTTP_LIBPQ_BATCH] = "batch"};
    struct options options = {.mode = "", .connections = 4};
    const char *conninfo = getenv("DATABASE_URL");
    char why[NET_WHY_BYTES];
    struct net *net;
    unsigned port, mode = 0;
    bench_read_options(argc, argv, option_rows, sizeof option_rows / sizeof *option_rows, usage, &options);
    while (mode < sizeof modes / sizeof *modes && strcmp(options.mode, modes[mode])) mode++;
    if (mode == sizeof modes / sizeof *modes) bench_die("%s", usage);
    signal(SIGPIPE, SIG_IGN);

    if (net_epoll_open(&net, why)) bench_die("%s", why);
    http_libpq_open(net, conninfo ? conninfo : "", options.connections, (enum http_libpq_mode)mode, statements,
                    STATEMENTS);
    struct http_config config = http_defaults;
    config.net = net;
    config.now = now;
    config.handle = handle;
    struct http_server *server = http_server_new(&config);
    read_clock();
    if (!server || net->ops->listen(net, open_listener(&port))) bench_die("no HTTP server to be had");
    printf("ready http://127.0.0.1:%u/\n", port);
    fflush(stdout);
    serve(net, server);
}

/* check_load.c - many keep-alive connections at once, on epoll: asks, pipelines, hangs up now and then, judges.
 *
 * Each connection draws its own requests from its own seed and knows what each answer must be. Answers come in the
 * order of the requests; one that does not come within the limit counts as lost. */
#define _GNU_SOURCE
#include "check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DEPTH_MAX = 16, EVENTS = 256, COMPLAINTS = 10, TICK_MS = 100, HANGUP_ONE_IN = 50 };
static const uint64_t SECOND_NS = 1000000000u;

struct client {
    int fd;
    uint64_t seed;
    struct ask asks[DEPTH_MAX];                      /* unanswered, oldest first */
    unsigned asked;
    char in[16384], out[DEPTH_MAX * 256];
    size_t in_size, out_start, out_end;
};
struct run {
    const struct check *check;
    struct load *load;
    struct client *clients;
    int epoll;
    uint64_t begin_ns, end_ns, complaints;
    bool ended;                                      /* nothing new is asked */
};

uint64_t check_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

int check_threads(int pid)
{
    char path[64], line[256];
    int threads = -1;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Threads: %d", &threads) == 1) break;
    fclose(file);
    return threads;
}

int check_connect(unsigned short port, bool blocking)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || (!blocking && errno == EINPROGRESS)) return fd;
    close(fd);
    return -1;
}

static int open_client(struct run *run, struct client *client)
{
    client->fd = check_connect(run->check->port, false);
    client->asked = 0;
    client->in_size = client->out_start = client->out_end = 0;
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client };
    return client->fd < 0 || epoll_ctl(run->epoll, EPOLL_CTL_ADD, client->fd, &event) ? -1 : 0;
}

static void complain(struct run *run, const struct ask *ask, const char *why, const struct reply *reply)
{
    if (run->complaints++ >= COMPLAINTS) return;
    printf("WRONG: %s: %s", ask_names[ask->kind], why);
    if (reply) printf(" (%d \"%.*s\")", reply->status, (int)(reply->size > 60 ? 60 : reply->size), reply->body);
    printf("\n");
}

/* The connection ended under its requests. */
static void lose(struct run *run, struct client *client, const char *why)
{
    run->load->lost += client->asked ? client->asked : 1;
    complain(run, &client->asks[0], why, NULL);
    close(client->fd);
    client->asked = 0;
    if (open_client(run, client)) client->fd = -1;
}

static void flush(struct run *run, struct client *client)
{
    while (client->out_start < client->out_end) {
        ssize_t sent =
            send(client->fd, client->out + client->out_start, client->out_end - client->out_start, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
        if (sent < 0) {
            lose(run, client, "the connection broke while sending");
            return;
        }
        client->out_start += (size_t)sent;
    }
    client->out_start = client->out_end = 0;
}

/* Goes away in the middle of a request, as people do; wherever its handler is by then, nothing may be left of it. */
static void hang_up(struct run *run, struct client *client)
{
    static const char *const requests[] = {
        "GET /slow?ms=200 HTTP/1.1\r\nHost: demo\r\n\r\n",
        "POST /transfer?from=1&to=2&amount=1 HTTP/1.1\r\nHost: demo\r\nContent-Length: 0\r\n\r\n",
        "GET /item/1 HTTP/1.1\r\nHost: demo\r\n\r\n",
    };
    const char *request = requests[check_random(&client->seed) % (sizeof requests / sizeof *requests)];
    (void)!send(client->fd, request, strlen(request), MSG_NOSIGNAL);
    close(client->fd);
    run->load->hangups++;
    if (open_client(run, client)) client->fd = -1;
}

static void ask_more(struct run *run, struct client *client)
{
    if (run->ended || client->asked || client->fd < 0) return;
    if (!run->check->restarting && check_random(&client->seed) % HANGUP_ONE_IN == 0) hang_up(run, client);
    unsigned burst = 1 + (unsigned)(check_random(&client->seed) % run->check->pipeline);
    for (unsigned i = 0; i < burst && !run->ended; i++) {
        struct ask *ask = &client->asks[client->asked++];
        *ask = ask_draw(&client->seed);
        ask->sent_ns = check_now();
        client->out_end +=
            ask_write(ask, &client->seed, client->out + client->out_end, sizeof client->out - client->out_end);
        run->load->asked++;
        if (run->check->requests && run->load->asked >= run->check->requests) run->ended = true;
    }
    if (client->fd >= 0) flush(run, client);
}

static void take_reply(struct run *run, struct client *client, const struct reply *reply)
{
    struct load *load = run->load;
    struct ask ask = client->asks[0];
    uint64_t now = check_now();
    memmove(&client->asks[0], &client->asks[1], --client->asked * sizeof ask);
    load->answered++;
    load->by_kind[ask.kind]++;
    if (now - ask.sent_ns > load->longest_ns) load->longest_ns = now - ask.sent_ns;
    load->unavailable += reply->status == 503;
    if (run->end_ns && ask.sent_ns + SECOND_NS >= run->end_ns) {
        load->last_second_good += reply->status != 503;
        load->last_second_unavailable += reply->status == 503;
    }
    const char *wrong = ask_judge(&ask, reply, run->check->restarting);
    if (!wrong) return;
    load->wrong++;
    complain(run, &ask, wrong, reply);
}

static void receive(struct run *run, struct client *client)
{
    for (;;) {
        ssize_t got = recv(client->fd, client->in + client->in_size, sizeof client->in - client->in_size, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) {
            lose(run, client, "the server closed the connection");
            return;
        }
        client->in_size += (size_t)got;
        size_t used = 0;
        struct reply reply;
        long size;
        while ((size = reply_parse(client->in + used, client->in_size - used, &reply)) > 0) {
            if (client->asked == 0) {
                lose(run, client, "an answer that nobody asked for");
                return;
            }
            take_reply(run, client, &reply);
            used += (size_t)size;
        }
        if (size < 0) {
            lose(run, client, "bytes that are no HTTP reply");
            return;
        }
        memmove(client->in, client->in + used, client->in_size - used);
        client->in_size -= used;
        ask_more(run, client);
        if (client->fd < 0) return;
    }
}

/* Whoever waits beyond the limit has been forgotten; asks the idle ones again. Returns how many requests are open. */
static unsigned look_round(struct run *run)
{
    uint64_t now = check_now();
    unsigned open = 0;
    if (run->end_ns && now >= run->end_ns) run->ended = true;
    if (run->check->pid && !run->load->threads_under_load && (run->load->answered > 0 || run->ended))
        run->load->threads_under_load = check_threads(run->check->pid);
    for (unsigned i = 0; i < run->check->connections; i++) {
        struct client *client = &run->clients[i];
        if (client->fd < 0 && open_client(run, client)) continue;
        if (client->asked && now - client->asks[0].sent_ns > run->check->answer_limit_ns)
            lose(run, client, "no answer in time");
        ask_more(run, client);
        open += client->asked;
    }
    return open;
}

static void drive(struct run *run)
{
    uint64_t looked = 0;
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(run->epoll, events, EVENTS, TICK_MS);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (client->fd >= 0) flush(run, client);
            if (client->fd >= 0) receive(run, client);
        }
        uint64_t now = check_now();
        if (!run->ended && now - looked < TICK_MS * UINT64_C(1000000)) continue;
        looked = now;
        if (look_round(run) == 0 && run->ended) return;
    }
}

int load_run(const struct check *check, struct load *load)
{
    struct run run = { .check = check, .load = load, .epoll = epoll_create1(EPOLL_CLOEXEC), .begin_ns = check_now() };
    run.clients = calloc(check->connections, sizeof *run.clients);
    int rc = run.epoll < 0 || !run.clients ? -1 : 0;
    if (check->seconds) run.end_ns = run.begin_ns + check->seconds * SECOND_NS;
    for (unsigned i = 0; i < check->connections && rc == 0; i++) {
        run.clients[i].seed = 0x9E3779B97F4A7C15u * (i + 1);
        rc = open_client(&run, &run.clients[i]);
    }
    if (rc == 0) drive(&run);
    for (unsigned i = 0; run.clients && i < check->connections; i++)
        if (run.clients[i].fd > 0) close(run.clients[i].fd);
    free(run.clients);
    if (run.epoll >= 0) close(run.epoll);
    return rc;
}

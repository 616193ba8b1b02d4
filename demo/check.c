/* check.c - demo_check: asks a running demo everything at once and looks whether each answer is right.
 *
 *   demo_check http://127.0.0.1:PORT/ [--connections 256] [--requests 20000] [--pipeline 4] [--pid PID]
 *   demo_check http://127.0.0.1:PORT/ --expect-restart [--seconds 10]
 *
 * The first form takes nothing but right answers, and looks at /stats (waiters were parked, and none is left), at /sum
 * (transfers moved money and made none) and, with --pid, at the threads of the process. The second is for a database
 * that is restarted meanwhile: 503 with Retry-After is right too, every request is answered, and the last second is
 * served. */
#include "check.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static char page[1024 * 1024];

/* One GET on a connection of its own; the body as a string, NULL: no answer of 200. */
static const char *fetch(const struct check *check, const char *path)
{
    char request[256];
    size_t used = 0;
    struct timeval limit = { .tv_sec = 5 };
    int fd = check_connect(check->port, true);
    if (fd < 0) return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n", path);
    struct reply reply = { 0 };
    long whole = 0;
    if (send(fd, request, (size_t)size, MSG_NOSIGNAL) == size)
        while (whole == 0 && used < sizeof page - 1) {
            ssize_t got = recv(fd, page + used, sizeof page - 1 - used, 0);
            if (got <= 0) break;
            used += (size_t)got;
            whole = reply_parse(page, used, &reply);
        }
    close(fd);
    if (whole <= 0 || reply.status != 200) return NULL;
    page[whole] = '\0';
    return reply.body;
}

/* The sum of a figure over all reactors; *reactors: how many have it. */
static unsigned long long stats_sum(const char *json, const char *name, unsigned *reactors)
{
    char key[64];
    unsigned long long sum = 0;
    unsigned count = 0;
    snprintf(key, sizeof key, "\"%s\":", name);
    for (const char *at = json; (at = strstr(at, key)); count++) {
        at += strlen(key);
        sum += strtoull(at, NULL, 10);
    }
    if (reactors) *reactors = count;
    return sum;
}

static int complain(const char *what)
{
    printf("WRONG: %s\n", what);
    return 1;
}

/* Nothing may be left behind: no waiter, no connection in use. What clients that hung up left runs to its end first. */
static int check_stats(const struct check *check, bool wants_parked, unsigned *reactors)
{
    const char *json = NULL;
    unsigned long long parked = 1, in_use = 1;
    uint64_t limit = check_now() + UINT64_C(10000000000);
    while ((parked || in_use) && check_now() < limit) {
        json = fetch(check, "/stats");
        if (!json) return complain("/stats does not answer");
        parked = stats_sum(json, "parked", reactors);
        in_use = stats_sum(json, "in_use", NULL);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
    }
    unsigned long long most = stats_sum(json, "max_parked", NULL);
    printf("stats: %u reactors, %llu connections, parked at most %llu, parked in all %llu, parked now %llu, "
           "in use now %llu, reconnects %llu, handlers that lost their client %llu\n",
           *reactors, stats_sum(json, "conns", NULL), most, stats_sum(json, "parked_count", NULL), parked, in_use,
           stats_sum(json, "reconnects", NULL), stats_sum(json, "http_gone", NULL));
    int bad = 0;
    if (parked) bad += complain("handlers are still parked");
    if (in_use) bad += complain("connections are still in use");
    if (wants_parked && (most == 0 || stats_sum(json, "parked_count", NULL) == 0))
        bad += complain("no handler was ever parked and resumed");
    return bad;
}

/* The sum of a metric over all reactors; *reactors: how many have it. */
static unsigned long long metrics_sum(const char *text, const char *name, unsigned *reactors)
{
    char key[96];
    unsigned long long sum = 0;
    *reactors = 0;
    for (;; ++*reactors) {
        snprintf(key, sizeof key, "\n%s{reactor=\"%u\"} ", name, *reactors);
        const char *at = strstr(text, key);
        if (!at) return sum;
        sum += strtoull(at + strlen(key), NULL, 10);
    }
}

/* The same figures by the other way: what is asked of one reactor about all. */
static int check_metrics(const struct check *check, unsigned reactors)
{
    const char *json = fetch(check, "/stats");
    unsigned long long before = json ? stats_sum(json, "queries", NULL) : 0, most = 0, between = 0;
    unsigned found = 0, counted = 0;
    const char *text = fetch(check, "/metrics");
    if (!json || !text) return complain("/metrics or /stats does not answer");
    most = metrics_sum(text, "db_client_connection_max", &found);
    between = metrics_sum(text, "db_client_operation_duration_seconds_count", &counted);
    json = fetch(check, "/stats");
    if (!json) return complain("/stats does not answer");
    unsigned long long after = stats_sum(json, "queries", NULL);
    printf("metrics: %u reactors, %llu connections at most, %llu queries\n", found, most, between);
    int bad = 0;
    if (found != reactors || counted != reactors) bad += complain("/metrics leaves reactors out");
    if (most != stats_sum(json, "max_conns", NULL)) bad += complain("/metrics and /stats differ in max_conns");
    if (between < before || between > after) bad += complain("/metrics and /stats differ in queries");
    return bad;
}

static int check_thread_count(const struct check *check, int before, const struct load *load, unsigned reactors)
{
    int after = check_threads(check->pid);
    printf("threads: %d before, %d under load, %d after, %u reactors\n", before, load->threads_under_load, after,
           reactors);
    if (before <= 0 || before != load->threads_under_load || before != after)
        return complain("the number of threads changed");
    if (before > (int)reactors + 1) return complain("more threads than reactors and the main one");
    return 0;
}

static void report(const struct check *check, const struct load *load, double seconds)
{
    printf("%llu requests on %u connections in %.1f s: %llu answered, %llu of them 503, %llu wrong, %llu lost, "
           "longest %.0f ms, %llu clients hung up\n",
           (unsigned long long)load->asked, check->connections, seconds, (unsigned long long)load->answered,
           (unsigned long long)load->unavailable, (unsigned long long)load->wrong, (unsigned long long)load->lost,
           (double)load->longest_ns / 1e6, (unsigned long long)load->hangups);
    for (int i = 0; i < ASK_KINDS; i++)
        printf("  %8llu  %s\n", (unsigned long long)load->by_kind[i], ask_names[i]);
}

/* The sum over all accounts, -1: /sum did not answer. */
static long long sum_of_accounts(const struct check *check)
{
    for (int i = 0; i < 20; i++) {
        const char *body = fetch(check, "/sum");
        if (body) return strtoll(body, NULL, 10);
        nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
    }
    return -1;
}

static int run(const struct check *check)
{
    struct load load = { 0 };
    long long sum_before = sum_of_accounts(check);
    int bad = 0, threads = check->pid ? check_threads(check->pid) : 0;
    uint64_t began = check_now();
    if (load_run(check, &load)) return complain("cannot connect");
    report(check, &load, (double)(check_now() - began) / 1e9);
    bad += load.wrong || load.lost || load.answered != load.asked;
    if (check->restarting) {
        printf("last second: %llu served, %llu times 503\n", (unsigned long long)load.last_second_good,
               (unsigned long long)load.last_second_unavailable);
        if (load.last_second_good == 0 || load.last_second_unavailable) bad += complain("service did not return");
    }
    long long sum_after = sum_of_accounts(check);
    printf("sum over all accounts: %lld before, %lld after\n", sum_before, sum_after);
    if (sum_before < 0 || sum_before != sum_after) bad += complain("the sum over all accounts changed");
    unsigned reactors = 0;
    bad += check_stats(check, !check->restarting && check->connections >= 64, &reactors);
    bad += check_metrics(check, reactors);
    if (check->pid) bad += check_thread_count(check, threads, &load, reactors);
    return bad;
}

static bool parse_url(struct check *check, const char *url)
{
    const char prefix[] = "http://";
    if (strncmp(url, prefix, strlen(prefix))) return false;
    const char *colon = strchr(url + strlen(prefix), ':');
    char *end = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 80;
    if (port == 0 || port > 65535 || (end && *end && *end != '/')) return false;
    check->port = (unsigned short)port;
    return true;
}

static int usage(void)
{
    fprintf(stderr, "demo_check [--url] http://127.0.0.1:PORT/ [--connections N] [--requests N] [--pipeline N]\n"
                    "           [--pid PID] [--mix] [--expect-restart [--seconds S]]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        { "url", required_argument, NULL, 'u' },
        { "connections", required_argument, NULL, 'c' },
        { "requests", required_argument, NULL, 'r' },
        { "pipeline", required_argument, NULL, 'l' },
        { "pid", required_argument, NULL, 'p' },
        { "mix", no_argument, NULL, 'm' },
        { "seconds", required_argument, NULL, 's' },
        { "expect-restart", no_argument, NULL, 'e' },
        { NULL, 0, NULL, 0 },
    };
    struct check check = { .connections = 256, .pipeline = 4, .answer_limit_ns = UINT64_C(15000000000) };
    const char *url = NULL;
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        switch (c) {
        case 'u': url = optarg; break;
        case 'c': check.connections = (unsigned)value; break;
        case 'r': check.requests = value; break;
        case 'l': check.pipeline = (unsigned)value; break;
        case 'p': check.pid = (int)value; break;
        case 's': check.seconds = value; break;
        case 'e': check.restarting = true; break;
        case 'm': break;                             /* the mix is all there is */
        default: return usage();
        }
    }
    if (optind < argc) url = argv[optind];
    if (!url || !parse_url(&check, url) || !check.connections || !check.pipeline || check.pipeline > 16) return usage();
    if (check.restarting && !check.seconds) check.seconds = 10;
    if (!check.seconds && !check.requests) check.requests = 20000;
    setvbuf(stdout, NULL, _IOLBF, 0);
    int bad = run(&check);
    printf("%s\n", bad ? "demo_check: FAILED" : "demo_check: all right");
    return bad ? 1 : 0;
}

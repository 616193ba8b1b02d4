/* The benchmark's part http: a whole service, from wrk's request to PostgreSQL and back, with ringpg and with libpq.
 *
 * Each contender is an HTTP server in a process of its own, which prints `ready http://127.0.0.1:PORT/` when it is
 * ready; the part knows them by their command lines alone. */
#ifndef BENCH_HTTP_PART_H
#define BENCH_HTTP_PART_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct http_process {
    pid_t pid;
    int out; /* its standard output; what it prints after the first line is read by nobody */
    unsigned port;
};
/* Started, with its port; false: it did not get ready in time, and what there was of it has ended. */
bool http_start(struct http_process *process, const char *const *argv);
bool http_end(struct http_process *process); /* asked to, then made to; false: not in order */

/* A fixed conversation over many connections at once, several requests on each without waiting for the answers: all
 * answers, in order, with dates blanked. Returns their bytes; 0: an answer did not come, was cut off or did not fit. */
enum { HTTP_ANSWERS_BYTES = 128 * 1024 };
size_t http_converse(unsigned port, char answers[HTTP_ANSWERS_BYTES]);

/* One run of wrk, with what it cost. */
struct http_load {
    double per_s, p50_us, p99_us;
    double server_us, postgres_us, wrk_us; /* CPU per request; postgres: BENCH_UNKNOWN without its pid */
};
/* False: wrk is missing or failed, or any request was not answered with 200 in time. */
bool http_load(const struct http_process *server, const char *path, unsigned clients, double seconds,
               int postgres_pid, struct http_load *out);
#endif

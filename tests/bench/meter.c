/* The meter: when a run is warm, when it is over, and what it cost. The only reader of clocks in the benchmark. */
#include <sys/resource.h>
#include <time.h>
#include "bench.h"

enum { STALL_S = 10 };

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t timeval_ns(struct timeval tv)
{
    return (uint64_t)tv.tv_sec * 1000000000u + (uint64_t)tv.tv_usec * 1000u;
}

/* CPU of the whole process, kernel's workers for it included. Reading the server's takes time of its own, so it stands
 * outside of what is measured: before the beginning, behind the end. */
static struct bench_sample sample(const struct bench_meter *meter, bool ends)
{
    struct bench_sample now = { .server_ns = ends ? 0 : bench_server_ns(meter->server_pid) };
    struct rusage usage;
    now.at_ns = bench_now_ns();
    if (getrusage(RUSAGE_SELF, &usage)) bench_die("getrusage failed");
    now.user_ns = timeval_ns(usage.ru_utime);
    now.cpu_ns = now.user_ns + timeval_ns(usage.ru_stime);
    now.answered = meter->answered;
    now.switches = (double)usage.ru_nvcsw;
    now.peak_kib = (uint64_t)usage.ru_maxrss;
    now.allocations = bench_allocations();
    if (ends) now.server_ns = bench_server_ns(meter->server_pid);
    return now;
}

void bench_meter_start(struct bench_meter *meter)
{
    meter->answered = 0;
    meter->phase = meter->limit ? BENCH_MEASURING : BENCH_WARMING;
    meter->began = meter->progress = sample(meter, false);
}

bool bench_tick(struct bench_meter *meter)
{
    uint64_t now = bench_now_ns();

    if (meter->answered != meter->progress.answered) {
        meter->progress.answered = meter->answered;
        meter->progress.at_ns = now;
    } else if (now - meter->progress.at_ns > STALL_S * UINT64_C(1000000000)) {
        bench_die("no answer for %d s", STALL_S);
    }

    uint64_t elapsed = now - meter->began.at_ns;
    switch (meter->phase) {
    case BENCH_WARMING:
        if (elapsed >= meter->warm_ns && meter->answered) {
            meter->phase = BENCH_MEASURING;
            meter->began = sample(meter, false);
        }
        return true;
    case BENCH_MEASURING:
        if (meter->limit ? meter->answered < meter->limit : elapsed < meter->measure_ns) return true;
        meter->phase = BENCH_OVER;
        meter->ended = sample(meter, true);
        return false;
    case BENCH_OVER:
        break;
    }
    return false;
}

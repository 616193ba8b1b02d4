/* What a run costs beside the client's CPU: allocations of this process, CPU of the server's processes. Allocations are
 * counted by malloc and its kind standing here, in front of the C library's: libpq's calls come this way as well. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "bench.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTED 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define COUNTED 0
#endif
#endif
#if !defined(COUNTED) && defined(__GLIBC__)
#define COUNTED 1
#endif

#if COUNTED
/* The C library's own, by the names under which it exports them. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *at, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

static uint64_t allocations; /* contenders have one thread */

void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}

void *realloc(void *at, size_t bytes)
{
    allocations++;
    return __libc_realloc(at, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    allocations++;
    return __libc_memalign(alignment, bytes);
}

int posix_memalign(void **at, size_t alignment, size_t bytes)
{
    void *block = __libc_memalign(alignment, bytes);
    allocations++;
    if (!block) return ENOMEM;
    *at = block;
    return 0;
}

double bench_allocations(void) { return (double)allocations; }
#else
double bench_allocations(void) { return BENCH_UNKNOWN; }
#endif

/* Time on a CPU, in ns. Source: Linux, Documentation/scheduler/sched-stats: /proc/PID/schedstat. */
static double time_of(long pid)
{
    char path[64];
    unsigned long long ns;
    snprintf(path, sizeof path, "/proc/%ld/schedstat", pid);
    FILE *file = fopen(path, "r");
    if (!file) return BENCH_UNKNOWN;
    int got = fscanf(file, "%llu", &ns);
    fclose(file);
    return got == 1 ? (double)ns : BENCH_UNKNOWN;
}

/* A child that ends meanwhile takes its time along: backends stay for as long as a run measures. */
double bench_server_ns(int pid)
{
    char path[64];
    long child;
    if (!pid) return BENCH_UNKNOWN;
    double sum = time_of(pid), one;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "r");
    if (!file) return BENCH_UNKNOWN;
    while (fscanf(file, "%ld", &child) == 1)
        if (!isnan(one = time_of(child))) sum += one;
    fclose(file);
    return sum;
}

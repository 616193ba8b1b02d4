/* sim/pg_sim.c - the command: one seed again, or many, in several processes. A process that a seed ends is replaced.
 *
 *      pg_sim --seed N [--verbose]              one world
 *      pg_sim --seeds N [--from K] [--jobs J]   N of them from K on; 1 % run twice and must be the same
 *      pg_sim --plant NAME ...                  either with a planted bug; many end at the first one that shows it
 *      pg_sim --list-plants
 *
 * Exit status 1 after a violation, which names its seed. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "sim/pg_sim.h"
#include "sim/plants.h"

enum { JOBS_MAX = 64, TOO_MANY = 20, SECONDS_MOST = 60 };

static unsigned too_many = TOO_MANY; /* violations after which no further seed is run */

struct job {            /* in shared memory: what is known of a worker when it dies */
    uint64_t next, end; /* seeds; `next` is the one that runs */
    uint64_t done, events, outcomes[STATUSES];
    volatile bool stop;
    pid_t pid;
};

static void run_checked(struct job *job, uint64_t seed)
{
    struct run_result first = run_seed(seed, false);
    job->events += first.events;
    for (int i = 0; i < STATUSES; i++) job->outcomes[i] += first.outcomes[i];
    if (seed % 100) return;
    struct run_result again = run_seed(seed, false);
    if (again.hash == first.hash) return;
    fprintf(stderr, "seed %llu: two runs of it differ\n", (unsigned long long)seed);
    _exit(1);
}

static void start(struct job *job, unsigned jobs)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    if (pid) {
        job->pid = pid;
        return;
    }
    for (; job->next < job->end && !job->stop; job->next += jobs) {
        alarm(SECONDS_MOST); /* one that never ends is ended by this */
        run_checked(job, job->next);
        job->done++;
    }
    _exit(0);
}

/* A worker has ended. True: by a violation. */
static bool ended(struct job *job, int status, unsigned jobs)
{
    bool violated = !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    job->pid = 0;
    if (!violated) return false;
    if (WIFSIGNALED(status))
        fprintf(stderr, "seed %llu: ended by signal %d\n", (unsigned long long)job->next, WTERMSIG(status));
    else
        fprintf(stderr, "seed %llu: failed; again with: pg_sim --seed %llu --verbose\n", (unsigned long long)job->next,
                (unsigned long long)job->next);
    job->next += jobs;
    return true;
}

static unsigned wait_for_all(struct job *job, unsigned jobs)
{
    unsigned violations = 0;
    int status;
    pid_t pid;
    while ((pid = wait(&status)) > 0 || errno == EINTR) {
        for (unsigned i = 0; i < jobs; i++) {
            if (pid <= 0 || job[i].pid != pid) continue;
            if (ended(&job[i], status, jobs)) violations++;
            if (job[i].next < job[i].end && violations < too_many) start(&job[i], jobs);
        }
        for (unsigned i = 0; i < jobs && violations >= too_many; i++) job[i].stop = true;
    }
    return violations;
}

static void print_outcomes(const uint64_t outcomes[STATUSES])
{
    printf("outcomes:");
    for (int i = 0; i < STATUSES; i++)
        if (outcomes[i])
            printf(" %s %llu", i == STATUSES - 1 ? "errno" : pg_error_name(i ? -10000 - i : PG_OK),
                   (unsigned long long)outcomes[i]);
    putchar('\n');
}

/* Of all workers. */
static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    double seconds = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    return seconds > 0 ? seconds : 1e-6;
}

static int run_many(uint64_t from, uint64_t seeds, unsigned jobs)
{
    struct timespec begin, end;
    struct job sum = { 0 },
               *job = mmap(NULL, JOBS_MAX * sizeof *job, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (job == MAP_FAILED) return 2;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < jobs; i++) {
        job[i] = (struct job){ .next = from + i, .end = from + seeds };
        start(&job[i], jobs);
    }
    unsigned violations = wait_for_all(job, jobs);
    clock_gettime(CLOCK_MONOTONIC, &end);
    for (unsigned i = 0; i < jobs; i++) {
        sum.done += job[i].done;
        sum.events += job[i].events;
        for (int s = 0; s < STATUSES; s++) sum.outcomes[s] += job[i].outcomes[s];
    }
    double seconds = (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
    print_outcomes(sum.outcomes);
    printf("%llu seeds, %llu events, %u violations, %.1f s\n", (unsigned long long)sum.done,
           (unsigned long long)sum.events, violations, seconds);
    double spent = cpu_seconds(), done = sum.done ? (double)sum.done : 1;
    printf("%.0f events per seed, %.0f seeds per second and core\n", (double)sum.events / done, done / spent);
    return violations || sum.done != seeds;
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || end == text || errno || text[0] == '-') {
        fprintf(stderr, "pg_sim: \"%s\" is not a number\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "seed", required_argument, NULL, 's' }, { "seeds", required_argument, NULL, 'n' },
        { "from", required_argument, NULL, 'f' }, { "jobs", required_argument, NULL, 'j' },
        { "plant", required_argument, NULL, 'p' }, { "list-plants", no_argument, NULL, 'l' },
        { "verbose", no_argument, NULL, 'v' },    { NULL, 0, NULL, 0 },
    };
    const char *plant = NULL;
    uint64_t seed = 0, seeds = 0, from = 1, jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    bool verbose = false;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            seed = number(optarg);
            break;
        case 'n':
            seeds = number(optarg);
            break;
        case 'f':
            from = number(optarg);
            break;
        case 'j':
            jobs = number(optarg);
            break;
        case 'p':
            plant = optarg;
            break;
        case 'l':
            plants_list();
            return 0;
        case 'v':
            verbose = true;
            break;
        default:
            return 2;
        }
    }
    if (!seed == !seeds || optind != argc) {
        fprintf(stderr, "usage: pg_sim [--plant NAME] --seed N [--verbose] | --seeds N [--from K] [--jobs J]\n"
                        "       pg_sim --list-plants\n");
        return 2;
    }
    if (plant && !plants_switch_on(plant)) {
        fprintf(stderr, "pg_sim: there is no plant \"%s\"; --list-plants names them\n", plant);
        return 2;
    }
    if (plant) plants_hand_over(argv);
    if (plant) too_many = 1;
    mallopt(M_MMAP_THRESHOLD, 1 << 30); /* a world's memory is the next one's: the kernel need not be asked */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    ask_ids();
    if (seeds) return run_many(from, seeds, jobs < 1 ? 1 : jobs > JOBS_MAX ? JOBS_MAX : (unsigned)jobs);
    struct run_result result = run_seed(seed, verbose);
    print_outcomes(result.outcomes);
    printf("seed %llu: %llu events, hash %016llx\n", (unsigned long long)seed, (unsigned long long)result.events,
           (unsigned long long)result.hash);
    return 0;
}

/* reactor/reactor.c - one thread's reactor from open to free, and its turn.
 *
 * It owns the order of the stages, the cached clock's lifetime and the list of members; it knows nothing of
 * connections. Invariants: a turn is never entered twice; the clock is read at most once between two turns' ends; in a
 * forked child whatever would lead to the host asserts. */
#define _GNU_SOURCE
#include "state.h"
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* A page that the kernel wipes in a forked child, which shares ring and sockets with its parent and would ruin both. */
static int map_sentinel(struct pg_reactor *r)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) return -ENOMEM;
    (void)madvise(at, page, MADV_WIPEONFORK); /* before Linux 4.14 there is none, and a fork goes unnoticed */
    *at = 1;
    r->sentinel = at;
    return 0;
}

void rp_check_owner(const struct pg_reactor *r)
{
    RP_ASSERT(*r->sentinel == 1 /* else: a forked child uses its parent's reactor */);
}

bool rp_on_owner(const struct pg_reactor *r)
{
    return pthread_equal(r->owner, pthread_self());
}

int pg_reactor_open(struct pg_reactor **out, const struct pg_reactor_config *config, struct pg_error *error)
{
    struct pg_reactor_config full;
    struct pg_host_ops ops;
    *out = NULL;
    int rc = rp_config_check(&full, &ops, config, error);
    if (rc) return rc;
    struct pg_reactor *r = rp_raw_alloc(&full, sizeof *r);
    if (!r) return rp_error_set(error, -ENOMEM, "no memory for a reactor");
    *r = (struct pg_reactor){
        .config = full,
        .ops = ops,
        .host = full.host,
        .owner = pthread_self(),
        .wait_until_ns = PG_NEVER,
        .budget = full.resumes_per_turn,
    };
    rc = map_sentinel(r);
    if (rc) {
        rp_raw_free(&full, r, sizeof *r);
        return rp_error_set(error, rc, "no memory for a reactor");
    }
    rp_inbox_init(&r->inbox);
    rp_wheel_init(&r->wheel);
    r->finished_end = &r->finished;
    TAILQ_INIT(&r->ready);
    TAILQ_INIT(&r->flush);
    TAILQ_INIT(&r->flushing);
    TAILQ_INIT(&r->members);
    full.host->reactor = r;
    *out = r;
    return 0;
}

static void run_inbox(struct pg_reactor *r)
{
    for (struct pg_task *task = rp_inbox_take(&r->inbox); task;) {
        struct pg_task *next = task->next_private; /* the task is the caller's again once it runs */
        task->run(task);
        task = next;
    }
}

static int64_t longest_wait(struct pg_reactor *r)
{
    r->wait_until_ns = 0;
    if (rp_anything_queued(r)) return 0;
    if (r->closing && TAILQ_EMPTY(&r->members)) return PG_WAIT_CLOSED;
    r->wait_until_ns = rp_wheel_next(&r->wheel);
    if (r->wait_until_ns == PG_NEVER) return PG_WAIT_FOREVER;
    uint64_t now = rp_now(r);
    if (r->wait_until_ns <= now) return 0;
    uint64_t wait = r->wait_until_ns - now;
    return wait < INT64_MAX ? (int64_t)wait : INT64_MAX;
}

int64_t pg_reactor_turn(struct pg_reactor *r)
{
    rp_check_owner(r);
    RP_ASSERT(pthread_equal(r->owner, pthread_self()));
    RP_ASSERT(!r->in_turn);
    r->in_turn = true;
    r->streams = 0;
    run_inbox(r);
    rp_run_finished(r);
    if (rp_wheel_next(&r->wheel) != PG_NEVER) rp_wheel_advance(&r->wheel, rp_now(r));
    rp_run_ready(r);
    rp_run_flush(r);
    int64_t wait = longest_wait(r);
    r->budget = r->config.resumes_per_turn;
    r->clock_read = false;
    r->asked = false;
    r->in_turn = false;
    return wait;
}

/* A minimum wait pays from many connections that owe one answer each: at 32 it halved the wake-ups; at 8 and below it
 * cost throughput and saved no CPU. It also pays where a server is in the middle of a long answer, which it sends 8 KiB
 * at a time and faster than that if nobody is woken each time: COPY went out 1.2 times as fast for 0.7 of the CPU. For
 * this the wait is for one completion more than the streams make, so that anybody else's ends it, and the one after it
 * is free again: an answer that pauses holds nobody up twice. */
struct pg_wait_hint pg_reactor_wait_hint(const struct pg_reactor *r)
{
    enum { WORTH_WAITING = 16, MOST = 20, MIN_WAIT_NS = 50000, STREAM_WAIT_NS = 100000 };
    if (r->streams && r->due < WORTH_WAITING)
        return (struct pg_wait_hint){ .completions = r->streams + 1, .min_wait_ns = STREAM_WAIT_NS };
    if (r->due < WORTH_WAITING) return (struct pg_wait_hint){ .completions = 1, .min_wait_ns = 0 };
    uint32_t half = r->due / 2;
    return (struct pg_wait_hint){ .completions = half < MOST ? half : MOST, .min_wait_ns = MIN_WAIT_NS };
}

/* The members one by one; rp_leave moves the cursor on if the next one goes meanwhile. A shorter deadline that comes
 * while one is passed on starts the round anew instead of a second one inside of it: no member's close is entered
 * twice. */
void pg_reactor_close(struct pg_reactor *r, uint64_t drain_until_ns)
{
    rp_check_owner(r);
    if (r->closing && drain_until_ns >= r->drain_until_ns) return;
    r->closing = true;
    r->drain_until_ns = drain_until_ns;
    r->cursor = TAILQ_FIRST(&r->members);
    if (r->telling) return;
    r->telling = true;
    while (r->cursor) {
        struct rp_member *m = r->cursor;
        r->cursor = TAILQ_NEXT(m, link);
        m->close(m, r->drain_until_ns);
    }
    r->telling = false;
    rp_ask_for_turn(r);
}

void pg_reactor_free(struct pg_reactor *r)
{
    if (!r) return;
    rp_check_owner(r);
    RP_ASSERT(!r->in_turn && !r->telling);
    r->closing = true;
    r->drain_until_ns = 0; /* nothing is shorter: a close from in here is no news */
    r->cursor = TAILQ_FIRST(&r->members);
    while (r->cursor) {
        struct rp_member *m = r->cursor;
        r->cursor = TAILQ_NEXT(m, link);
        m->abort(m);
    }
    if (r->free_fibers) r->free_fibers(r);
    rp_slab_trim(r);
    munmap((void *)(uintptr_t)r->sentinel, (size_t)sysconf(_SC_PAGESIZE));
    r->host->reactor = NULL;
    struct pg_reactor_config config = r->config;
    rp_raw_free(&config, r, sizeof *r);
}

void pg_reactor_post(struct pg_reactor *r, struct pg_task *task)
{
    rp_check_owner(r);
    bool own = pthread_equal(r->owner, pthread_self());
    RP_ASSERT(own || r->ops.wake);
    bool first = rp_inbox_push(&r->inbox, task);
    if (own) rp_ask_for_turn(r);
    else if (first) r->ops.wake(r->host);
}

/* A deadline before the end of the wait that the last turn permitted: that wait must not begin. */
void rp_timer_start(struct pg_reactor *r, struct rp_timer *t, uint64_t at_ns)
{
    rp_wheel_start(&r->wheel, t, at_ns);
    if (at_ns < r->wait_until_ns) rp_ask_for_turn(r);
}

void rp_timer_disarm(struct pg_reactor *r, struct rp_timer *t)
{
    rp_wheel_stop(&r->wheel, t);
}

bool rp_anything_due(const struct pg_reactor *r)
{
    return r->due > 0;
}

void rp_due(struct pg_reactor *r, int change)
{
    RP_ASSERT(change >= 0 || r->due >= (uint32_t)-change);
    r->due += (uint32_t)change;
}

void rp_stream(struct pg_reactor *r)
{
    RP_ASSERT(r->in_turn);
    r->streams++;
}

void rp_join(struct pg_reactor *r, struct rp_member *m)
{
    RP_ASSERT(!r->closing);
    TAILQ_INSERT_TAIL(&r->members, m, link);
}

/* The last one of a closed reactor: the turn that says so must come. */
void rp_leave(struct pg_reactor *r, struct rp_member *m)
{
    if (r->cursor == m) r->cursor = TAILQ_NEXT(m, link);
    TAILQ_REMOVE(&r->members, m, link);
    if (r->closing) rp_ask_for_turn(r);
}

bool rp_turn_wanted(const struct pg_reactor *r)
{
    return r->asked;
}

bool rp_can_wake(const struct pg_reactor *r)
{
    return r->ops.wake != NULL;
}

bool rp_closing(const struct pg_reactor *r)
{
    return r->closing;
}

uint32_t rp_statement_capacity(const struct pg_reactor *r)
{
    return r->config.statements;
}

struct rp_fibers **rp_fibers_slot(struct pg_reactor *r)
{
    return &r->fibers;
}

void rp_fibers_on_free(struct pg_reactor *r, void (*free_fibers)(struct pg_reactor *))
{
    r->free_fibers = free_fibers;
}

const struct pg_reactor_config *rp_config(const struct pg_reactor *r)
{
    return &r->config;
}

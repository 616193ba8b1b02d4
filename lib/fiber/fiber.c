/* fiber/fiber.c - fibers from spawn to end: one table per reactor, made on first use, and what wakes a fiber that
 * waits.
 *
 * It knows stacks, turns and deadlines, and nothing of queries. Invariants: no fiber runs inside of a call that
 * spawns, unparks or cancels it; an ended fiber's slot is free before its resumer goes on; a generation is given
 * once per thread, so that the handle of a fiber that ended, or of a reactor that is gone, finds nothing. */
#include <errno.h>
#include "fiber/fiber.h"
#include "fiber/switch.h"

enum { NO_SLOT = UINT32_MAX };

struct rp_fibers {
    struct pg_reactor *reactor;
    struct rp_fibers *next;  /* the same thread's other reactors                */
    uint32_t base, count;    /* handles name the slots base .. base + count - 1 */
    uint32_t touched, free;  /* slots that were ever used; first of the free    */
    struct rp_stacks stacks;
    struct rp_fiber fiber[];
};

static _Thread_local struct rp_fibers *homes;
static _Thread_local struct rp_fiber *current;
static _Thread_local struct rp_context root; /* the thread's own stack, while a fiber runs on top of it */
static _Thread_local uint32_t generations;

/* ---- the table ---- */

static size_t table_bytes(uint32_t count) { return sizeof(struct rp_fibers) + count * sizeof(struct rp_fiber); }

static void free_fibers(struct pg_reactor *r)
{
    struct rp_fibers **slot = rp_fibers_slot(r), *home = *slot;
    for (uint32_t i = 0; i < home->touched; i++) {
        struct rp_fiber *f = &home->fiber[i];
        RP_ASSERT(f->state != RP_FIBER_RUNNING); /* a fiber frees the reactor that it runs on */
        if (f->state == RP_FIBER_FREE) continue;
        rp_sanitize_destroy(&f->context.sanitize);
        rp_stack_put(&home->stacks, f->stack);
    }
    rp_stacks_free(&home->stacks);
    struct rp_fibers **link = &homes;
    while (*link != home) link = &(*link)->next;
    *link = home->next;
    *slot = NULL;
    rp_free(r, home, table_bytes(home->count));
}

/* Numbers that no other reactor of the thread uses; nearly always there is none. */
static uint32_t free_base(uint32_t count)
{
    uint32_t base = 0;
    struct rp_fibers *home = homes;
    while (home) {
        bool apart = base + count <= home->base || home->base + home->count <= base;
        if (!apart) base = home->base + home->count;
        home = apart ? home->next : homes;
    }
    return base;
}

static struct rp_fibers *home_of(struct pg_reactor *r)
{
    struct rp_fibers **slot = rp_fibers_slot(r);
    if (*slot) return *slot;
    const struct pg_reactor_config *config = rp_config(r);
    struct rp_fibers *home = rp_alloc(r, table_bytes(config->fibers));
    if (!home) return NULL;
    home->reactor = r;
    home->base = free_base(config->fibers);
    home->count = config->fibers;
    home->free = NO_SLOT;
    rp_stacks_init(&home->stacks, config->fiber_stack_bytes);
    home->next = homes;
    homes = home;
    rp_fibers_on_free(r, free_fibers);
    return *slot = home;
}

static struct rp_fiber *find(struct pg_fiber handle)
{
    for (struct rp_fibers *home = homes; home && handle.generation; home = home->next) {
        uint32_t index = handle.slot - home->base;
        if (index >= home->touched) continue;
        struct rp_fiber *f = &home->fiber[index];
        return f->generation == handle.generation ? f : NULL;
    }
    return NULL;
}

static struct pg_fiber handle_of(const struct rp_fiber *f)
{
    return (struct pg_fiber){ .slot = f->home->base + (uint32_t)(f - f->home->fiber), .generation = f->generation };
}

const struct rp_stacks *rp_fibers_stacks(struct pg_reactor *r)
{
    struct rp_fibers *home = *rp_fibers_slot(r);
    return home ? &home->stacks : NULL;
}

uint32_t rp_fibers_alive(struct pg_reactor *r)
{
    const struct rp_fibers *home = *rp_fibers_slot(r);
    uint32_t alive = 0;
    for (uint32_t i = 0; home && i < home->touched; i++) alive += home->fiber[i].state != RP_FIBER_FREE;
    return alive;
}

size_t rp_fiber_stack_bytes(const struct rp_fiber *f)
{
    return f->home->stacks.bytes;
}

/* ---- switching ---- */

/* The only place where one stack is left for another. `last`: `from` has ended. */
static void go(struct rp_context *from, struct rp_context *to, bool last)
{
    rp_sanitize_leave(&from->sanitize, &to->sanitize, last);
    rp_switch(&from->place, to->place);
}

static void retire(struct rp_fiber *f)
{
    struct rp_fibers *home = f->home;
    rp_sanitize_destroy(&f->context.sanitize);
    rp_stack_put(&home->stacks, f->stack);
    f->stack = NULL;
    f->generation = 0;
    f->next_free = home->free;
    home->free = (uint32_t)(f - home->fiber);
}

static void enter(struct rp_fiber *f)
{
    struct rp_fiber *below = current;
    f->state = RP_FIBER_RUNNING;
    f->resumer = below ? &below->context : &root;
    current = f;
    struct rp_context *resumer = f->resumer;
    go(resumer, &f->context, false);
    rp_sanitize_arrive(&resumer->sanitize, &f->context.sanitize);
    current = below;
    if (f->state == RP_FIBER_FREE) retire(f);
}

void rp_fiber_resume(struct rp_fiber *f)
{
    RP_ASSERT(f->state == RP_FIBER_WAITING);
    rp_unqueue(f->home->reactor, &f->ready);
    rp_timer_stop(f->home->reactor, &f->timer);
    enter(f);
}

void rp_fiber_wait(struct rp_fiber *f, enum rp_fiber_wait wait)
{
    RP_ASSERT(f == current);
    f->state = RP_FIBER_WAITING;
    f->wait = (uint8_t)wait;
    f->pull = NULL;
    go(&f->context, f->resumer, false);
    rp_sanitize_arrive(&f->context.sanitize, &f->resumer->sanitize);
}

static void first_frame(void *arg)
{
    struct rp_fiber *f = arg;
    rp_sanitize_arrive(&f->context.sanitize, &f->resumer->sanitize);
    f->run(f->arg);
    f->state = RP_FIBER_FREE;
    f->pull = NULL;
    go(&f->context, f->resumer, true);
    RP_ASSERT(!"an ended fiber was resumed");
}

static void on_ready(struct rp_node *node)
{
    struct rp_fiber *f = RP_CONTAINER(node, struct rp_fiber, ready);
    if (f->state == RP_FIBER_SPAWNED) enter(f);
    else rp_fiber_resume(f);
}

static void on_timer(struct rp_timer *timer)
{
    struct rp_fiber *f = RP_CONTAINER(timer, struct rp_fiber, timer);
    rp_ready(f->home->reactor, &f->ready);
}

struct rp_fiber *rp_fiber_current(void)
{
    RP_CALLER(current, "pg_await_*, pg_fiber_self and pg_fiber_park are called inside of a fiber");
    return current;
}

/* ---- the interface ---- */

static struct rp_fiber *take_slot(struct rp_fibers *home)
{
    if (home->free == NO_SLOT && home->touched == home->count) return NULL;
    if (home->free == NO_SLOT) {
        home->fiber[home->touched].next_free = NO_SLOT;
        home->free = home->touched++;
    }
    struct rp_fiber *f = &home->fiber[home->free];
    home->free = f->next_free;
    return f;
}

int pg_fiber_spawn(struct pg_reactor *reactor, void (*run)(void *), void *arg, struct pg_fiber *out)
{
    rp_check_owner(reactor);
    RP_ASSERT(run);
    if (out) *out = (struct pg_fiber){ 0 };
    struct rp_fibers *home = home_of(reactor);
    if (!home) return -ENOMEM;
    struct rp_fiber *f = take_slot(home);
    if (!f) return PG_E_FULL;
    void *stack = rp_stack_get(&home->stacks);
    if (!stack) {
        f->next_free = home->free;
        home->free = (uint32_t)(f - home->fiber);
        return -ENOMEM;
    }
    if (++generations == 0) generations = 1;
    *f = (struct rp_fiber){
        .ready.run = on_ready, .timer.fire = on_timer, .home = home, .stack = stack, .run = run, .arg = arg,
        .generation = generations, .state = RP_FIBER_SPAWNED,
    };
    rp_sanitize_create(&f->context.sanitize, stack, home->stacks.bytes);
    f->context.place = rp_switch_prepare(stack, home->stacks.bytes, first_frame, f);
    if (out) *out = handle_of(f);
    rp_ready(reactor, &f->ready);
    return 0;
}

struct pg_fiber pg_fiber_self(void)
{
    return handle_of(rp_fiber_current());
}

int pg_fiber_park(uint64_t deadline_ns)
{
    struct rp_fiber *f = rp_fiber_current();
    if (!f->cancelled && !f->unparked) {
        rp_timer_start(f->home->reactor, &f->timer, deadline_ns);
        rp_fiber_wait(f, RP_WAIT_PARK);
    }
    if (f->cancelled) return PG_E_CANCELLED;
    if (!f->unparked) return PG_E_TIMEOUT;
    f->unparked = false;
    return 0;
}

void pg_fiber_unpark(struct pg_fiber fiber)
{
    struct rp_fiber *f = find(fiber);
    if (!f) return;
    f->unparked = true;
    if (f->state == RP_FIBER_WAITING && f->wait == RP_WAIT_PARK) rp_ready(f->home->reactor, &f->ready);
}

static void cancel(struct rp_fiber *f)
{
    f->cancelled = true;
    if (f->state == RP_FIBER_WAITING) rp_ready(f->home->reactor, &f->ready);
}

void pg_fiber_cancel(struct pg_fiber fiber)
{
    struct rp_fiber *f = find(fiber);
    if (f) cancel(f);
}

void rp_fibers_cancel_all(struct pg_reactor *r)
{
    struct rp_fibers *home = *rp_fibers_slot(r);
    for (uint32_t i = 0; home && i < home->touched; i++)
        if (home->fiber[i].state != RP_FIBER_FREE) cancel(&home->fiber[i]);
}

int pg_await_sleep(uint64_t until_ns)
{
    struct rp_fiber *f = rp_fiber_current();
    if (f->cancelled) return PG_E_CANCELLED;
    rp_timer_start(f->home->reactor, &f->timer, until_ns);
    rp_fiber_wait(f, RP_WAIT_SLEEP);
    return f->cancelled ? PG_E_CANCELLED : 0;
}

/* fiber/fiber.h - a fiber as await.c and loop.c see it.
 *
 *      FREE -> SPAWNED -> RUNNING <-> WAITING          all on the reactor's thread
 *        \___________________/
 *
 * Whoever switches into a fiber is its resumer: the thread's own stack, or another fiber, which then stays RUNNING
 * beneath it. A fiber that waits or ends goes back to its resumer, and nowhere else. What is resumed by a timer, an
 * unpark or a cancel goes through the reactor's ready queue; an outcome resumes inline. */
#ifndef RP_FIBER_FIBER_H
#define RP_FIBER_FIBER_H
#include "fiber/sanitize.h"
#include "fiber/stack.h"
#include "reactor/reactor.h"
#include "ringpg/fiber.h"

enum rp_fiber_state { RP_FIBER_FREE, RP_FIBER_SPAWNED, RP_FIBER_RUNNING, RP_FIBER_WAITING };
enum rp_fiber_wait {
    RP_WAIT_TOLD,  /* a waker resumes it: nothing else but a cancel may */
    RP_WAIT_PARK,
    RP_WAIT_SLEEP,
};

/* A stack that is not being run: where it goes on. */
struct rp_context {
    void *place;
    struct rp_sanitize sanitize;
};

struct rp_pull; /* await.c */
struct rp_fiber {
    struct rp_node ready;    /* starts, or goes on, in a turn                  */
    struct rp_timer timer;   /* PARK, SLEEP                                    */
    struct rp_fibers *home;
    struct rp_context context;
    struct rp_context *resumer;
    void *stack;
    void (*run)(void *);
    void *arg;
    uint32_t generation;     /* 0: of nobody                                   */
    uint32_t next_free;
    uint8_t state, wait;
    bool cancelled;          /* for good                                       */
    bool unparked;           /* a park that comes, or is, ends with 0          */
    struct rp_pull *pull;    /* resumed by a row and has not waited since      */
};

/* ---- for await.c ---- */
struct rp_fiber *rp_fiber_current(void); /* asserts: inside of a fiber */
size_t rp_fiber_stack_bytes(const struct rp_fiber *f);
/* Goes back to the resumer until somebody resumes the fiber. */
void rp_fiber_wait(struct rp_fiber *f, enum rp_fiber_wait wait);
/* Runs it inline until it waits again or has ended; it must be WAITING. */
void rp_fiber_resume(struct rp_fiber *f);

/* ---- for loop.c ---- */
void rp_fibers_cancel_all(struct pg_reactor *r);

/* ---- for tests ---- */
const struct rp_stacks *rp_fibers_stacks(struct pg_reactor *r);
uint32_t rp_fibers_alive(struct pg_reactor *r);

#endif

/* reactor/wheel.h - deadlines in a hierarchical timing wheel: ticks of 1 ms, eight levels of 64 slots.
 *
 * A timer lies in the level of the highest group of six bits in which its tick differs from the wheel's position, in
 * the slot that these bits name. So everything in a lower level is due before everything in a higher one, no slot is
 * behind the position, and 48 bits of ticks hold every deadline that 64 bits of ns can name: nothing lies beyond the
 * top level. Knows nothing of the reactor; time comes in as an argument. */
#ifndef RP_REACTOR_WHEEL_H
#define RP_REACTOR_WHEEL_H
#include "reactor/reactor.h"

enum { RP_WHEEL_BITS = 6, RP_WHEEL_SLOTS = 1 << RP_WHEEL_BITS, RP_WHEEL_LEVELS = 8 };
#define RP_TICK_NS UINT64_C(1000000)

LIST_HEAD(rp_timers, rp_timer);

struct rp_wheel {
    uint64_t position;                                         /* every tick up to here has been fired          */
    struct rp_timers late;                                     /* started when already due: the next advance's   */
    struct rp_timers firing;                                   /* the tick whose callbacks run now               */
    uint64_t occupied[RP_WHEEL_LEVELS];                        /* one bit per slot                               */
    uint64_t soonest[RP_WHEEL_LEVELS][RP_WHEEL_SLOTS];         /* no tick in the slot is before this one         */
    struct rp_timers slots[RP_WHEEL_LEVELS][RP_WHEEL_SLOTS];
};

void rp_wheel_init(struct rp_wheel *w);
/* O(1), armed or not. An expiry that the wheel has passed already fires in the next advance, never in the running one.
 */
void rp_wheel_start(struct rp_wheel *w, struct rp_timer *t, uint64_t at_ns);
void rp_wheel_stop(struct rp_wheel *w, struct rp_timer *t);
/* Fires what is due at now_ns, in the order of ticks; within one tick the order is not defined. */
void rp_wheel_advance(struct rp_wheel *w, uint64_t now_ns);
/* When to advance next, in ns; 0: something is late already; PG_NEVER: nothing is armed. Never after the first expiry's
 * tick; before it only if an even earlier neighbour was stopped: then that advance sorts the slot anew and fires
 * nothing. */
uint64_t rp_wheel_next(const struct rp_wheel *w);

#endif

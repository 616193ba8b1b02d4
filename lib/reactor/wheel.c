/* reactor/wheel.c - the timing wheel of wheel.h.
 *
 * Invariants: occupied's bit is set exactly where the slot's list is not empty; the position never goes back and never
 * passes the start of an occupied slot; a timer is in one list, and in none while its callback runs. */
#include "wheel.h"

static uint64_t tick_of(uint64_t at_ns)
{
    return at_ns / RP_TICK_NS + (at_ns % RP_TICK_NS != 0); /* rounded up: never early */
}

static void take_list(struct rp_timers *to, struct rp_timers *from)
{
    RP_ASSERT(LIST_EMPTY(to));
    to->lh_first = from->lh_first;
    if (to->lh_first) to->lh_first->link.le_prev = &to->lh_first;
    LIST_INIT(from);
}

void rp_wheel_init(struct rp_wheel *w)
{
    *w = (struct rp_wheel){ .position = 0 };
}

static void insert(struct rp_wheel *w, struct rp_timer *t)
{
    uint64_t tick = tick_of(t->expires_ns), differs = tick ^ w->position;
    unsigned level = differs ? (unsigned)(63 - __builtin_clzll(differs)) / RP_WHEEL_BITS : 0;
    unsigned slot = tick >> (level * RP_WHEEL_BITS) & (RP_WHEEL_SLOTS - 1);
    uint64_t bit = UINT64_C(1) << slot, *soonest = &w->soonest[level][slot];

    RP_ASSERT(tick >= w->position && level < RP_WHEEL_LEVELS);
    if (!(w->occupied[level] & bit) || tick < *soonest) *soonest = tick;
    w->occupied[level] |= bit;
    LIST_INSERT_HEAD(&w->slots[level][slot], t, link);
}

void rp_wheel_start(struct rp_wheel *w, struct rp_timer *t, uint64_t at_ns)
{
    rp_wheel_stop(w, t);
    if (at_ns == PG_NEVER) return;
    t->expires_ns = at_ns;
    if (tick_of(at_ns) <= w->position) LIST_INSERT_HEAD(&w->late, t, link);
    else insert(w, t);
}

void rp_wheel_stop(struct rp_wheel *w, struct rp_timer *t)
{
    if (!rp_timer_armed(t)) return;
    struct rp_timer **from = t->link.le_prev;
    LIST_REMOVE(t, link);
    t->link.le_prev = NULL;
    if (*from) return;

    /* The last one of a list; if that list is a slot, its head lies in slots[] and says by itself which one it is. */
    size_t offset = (uintptr_t)from - (uintptr_t)w->slots;
    if (offset >= sizeof w->slots) return;
    size_t index = offset / sizeof w->slots[0][0];
    w->occupied[index / RP_WHEEL_SLOTS] &= ~(UINT64_C(1) << index % RP_WHEEL_SLOTS);
}

/* One at a time from the head: a callback may stop, move or free any of the others. */
static void fire(struct rp_wheel *w, struct rp_timers *due)
{
    struct rp_timer *t;
    take_list(&w->firing, due);
    while ((t = LIST_FIRST(&w->firing))) {
        rp_wheel_stop(w, t);
        t->fire(t);
    }
}

/* The first occupied slot; false: there is none. */
static bool first_slot(const struct rp_wheel *w, unsigned *level, unsigned *slot, uint64_t *start)
{
    for (unsigned i = 0; i < RP_WHEEL_LEVELS; i++) {
        if (!w->occupied[i]) continue;
        unsigned shift = i * RP_WHEEL_BITS;
        *level = i;
        *slot = (unsigned)__builtin_ctzll(w->occupied[i]);
        *start = (w->position >> (shift + RP_WHEEL_BITS) << (shift + RP_WHEEL_BITS)) | (uint64_t)*slot << shift;
        return true;
    }
    return false;
}

void rp_wheel_advance(struct rp_wheel *w, uint64_t now_ns)
{
    uint64_t now = now_ns / RP_TICK_NS, start;
    unsigned level, slot;

    fire(w, &w->late);
    while (first_slot(w, &level, &slot, &start) && start <= now) {
        struct rp_timers due = LIST_HEAD_INITIALIZER(due);
        w->position = start;
        w->occupied[level] &= ~(UINT64_C(1) << slot);
        take_list(&due, &w->slots[level][slot]);
        if (level == 0) {
            fire(w, &due);
            continue;
        }
        while (!LIST_EMPTY(&due)) { /* to lower levels: no callback runs in here */
            struct rp_timer *t = LIST_FIRST(&due);
            LIST_REMOVE(t, link);
            insert(w, t);
        }
    }
    if (w->position < now) w->position = now;
}

uint64_t rp_wheel_next(const struct rp_wheel *w)
{
    uint64_t start;
    unsigned level, slot;
    if (!LIST_EMPTY(&w->late)) return 0;
    if (!first_slot(w, &level, &slot, &start)) return PG_NEVER;
    uint64_t tick = w->soonest[level][slot];
    return tick <= UINT64_MAX / RP_TICK_NS ? tick * RP_TICK_NS : PG_NEVER - 1;
}

/* pool/overload.c - who has waited in vain: the rule by which a queue under overload stays short. It owns one
 * judgement, "the queue is standing", and must never know what waits in it.
 *
 * Past its capacity a first-in-first-out queue grows until everybody in it waits for longer than anybody wants to: all
 * work is done, and all of it too late. A queue is good as long as it empties again; it is a burst then. So, with
 * CoDel (Nichols, Jacobson, "Controlling Queue Delay", 2012), not the length is looked at but the wait, and of the
 * waits the shortest: if for a whole interval nobody was served who had waited for less than `target`, the queue is
 * standing.
 *
 * What to do then is another matter. CoDel drops one packet and then others at a rate that grows with the square root
 * of their number, until the senders slow down. Requests come from many who do not slow down; at twice the capacity
 * every second one must go, and the square root takes seconds to get there, while all who are served are late. So the
 * answer is the one that servers use ("Fail at Scale", 2015): while the queue is standing, whoever has waited for
 * twice the target is refused. Who is served then has waited for no longer than that, no capacity is idle, and it is
 * over when the queue has been served until it was empty; a single short wait says nothing, where waits are kept
 * short.
 *
 *      not standing ----- interval without a wait below target -----> standing: a wait of 2 x target ends in a refusal
 *           ^                                                            |
 *           \---- served, and nobody behind; not just after a refusal, which may have been what emptied it ----/
 *
 * A queue that was empty for an interval is not standing, whatever emptied it. Twice the target must be below the
 * caller's patience less the time of the work itself, and the target above the time for which one piece of work
 * occupies a connection, divided by their number: less than that no queue can show. Strictly first in, first out as it
 * is, nobody passes anybody. */
#include "pool/overload.h"

#define NEVER UINT64_MAX

void rp_overload_open(struct rp_overload *o, uint64_t target_ns, uint64_t interval_ns)
{
    *o = (struct rp_overload){ .target_ns = target_ns, .interval_ns = interval_ns, .above_ns = NEVER };
}

void rp_overload_began(struct rp_overload *o, uint64_t now_ns)
{
    if (now_ns - o->seen_ns >= o->interval_ns) o->above_ns = NEVER;
}

static uint64_t standing_from(const struct rp_overload *o)
{
    return o->above_ns == NEVER ? NEVER : o->above_ns + o->interval_ns;
}

uint64_t rp_overload_end(const struct rp_overload *o, uint64_t since_ns)
{
    uint64_t standing_ns = standing_from(o), patience_ns = since_ns + 2 * o->target_ns;
    return standing_ns > patience_ns ? standing_ns : patience_ns;
}

void rp_overload_refused(struct rp_overload *o, uint64_t now_ns)
{
    o->seen_ns = now_ns;
    o->refused = true;
}

void rp_overload_served(struct rp_overload *o, uint64_t now_ns, uint64_t since_ns, uint64_t behind)
{
    if (!o->target_ns) return;
    bool standing = standing_from(o) <= now_ns;
    bool good = behind == 0 || (!standing && now_ns - since_ns < o->target_ns);
    if (!good && o->above_ns == NEVER) o->above_ns = now_ns;
    if (good && !o->refused) o->above_ns = NEVER;
    o->seen_ns = now_ns;
    o->refused = false;
}

/* sim/rules.c - the queue's rules: high priority, reserved connections, overload control, admission. What a seed draws
 * of them, and what must hold of who stands where and who has what. */
#include <stdio.h>
#include <string.h>
#include "pool/state.h"
#include "sim/pg_sim.h"

void rules_draw(struct run *r)
{
    struct rules *s = &r->set.rules;
    if (pick(r, 3) == 0) s->high = 1 + (uint32_t)pick(r, 400);
    if (pick(r, 3) == 0) s->reserved = (uint32_t)pick(r, SIZE_MOST);
    if (r->set.calm) return;
    if (pick(r, 5) == 0) s->target_ms = 1 + (uint32_t)pick(r, 20);
    s->interval_ms = 1 + (uint32_t)pick(r, 100);
    s->admission = pick(r, 5) == 0;
}

void rules_options(struct run *r)
{
    struct rules *s = &r->set.rules;
    s->reserved %= r->set.max_conns;
    size_t n = strlen(r->set.options), room = sizeof r->set.options - n;
    int more = snprintf(r->set.options + n, room,
                        " pool_reserved_conns=%u pool_codel_target=%ums pool_codel_interval=%ums pool_admission=%s",
                        s->reserved, s->target_ms, s->interval_ms ? s->interval_ms : 100, s->admission ? "on" : "off");
    if (more < 0 || (size_t)more >= room) sim_fail("the options do not fit");
}

void rules_priority(struct holder *h)
{
    h->lease.priority = chance(h->run, h->run->set.rules.high) ? PG_PRIORITY_HIGH : PG_PRIORITY_NORMAL;
}

/* First in, first out among those of a priority. */
void rules_granted(struct holder *h)
{
    uint64_t *last = &h->run->last_granted[h->lease.priority];
    REQUIRE(h->serial > *last, "granted before one of its priority that came earlier");
    *last = h->serial;
}

/* What the normal ones have, of max_conns less those that are reserved: after a resize there may be more until they
 * come back, and never one more. */
void rules_event(struct run *r)
{
    const struct pg_pool *p = r->pool;
    uint32_t most = r->max_conns - 1, reserved = r->set.rules.reserved < most ? r->set.rules.reserved : most;
    uint32_t normal = p->count[RP_SLOT_SHARED] + p->count[RP_SLOT_DRAINING] + p->count[RP_SLOT_RETIRING] +
                      p->count[RP_SLOT_STALLED] + p->count[RP_SLOT_SOLO] + p->count[RP_SLOT_LEASED];
    struct rp_slot *slot;
    if (!r->set.rules.reserved) return;
    TAILQ_FOREACH(slot, &p->slots[RP_SLOT_LEASED], link) normal -= slot->lease->priority == PG_PRIORITY_HIGH;
    uint32_t limit = r->max_conns - reserved;
    if (r->normal_bound < limit) r->normal_bound = limit;
    REQUIRE(normal <= r->normal_bound, "normal ones have %u connections of %u, and %u are reserved", normal,
            r->max_conns, reserved);
    r->normal_bound = normal > limit ? normal : limit;
}

static void check_urgent(const struct run *r)
{
    struct pg_pool *p = r->pool;
    struct rp_waiter *w;
    uint64_t before = 0;
    uint32_t n = 0;
    TAILQ_FOREACH(w, &p->urgent, link) {
        REQUIRE(++n <= p->nurgent && w->place == RP_PLACE_PARKED && w->lane == RP_LANE_LEASE &&
                    rp_lease_of(w)->priority == PG_PRIORITY_HIGH,
                "one waits among the high ones that is none");
        REQUIRE(w->since_ns >= before, "a high one stands before one that came earlier");
        before = w->since_ns;
    }
    REQUIRE(n == p->nurgent && n <= r->set.waiters + p->nslots, "%u high ones wait, %u are counted", n, p->nurgent);
}

/* Those that are reserved. While there are more than max_conns, since it has shrunk, or some are closing, normal ones
 * may have their share in these. */
uint32_t rules_kept(const struct run *r)
{
    const struct pg_pool *p = r->pool;
    uint32_t total = rp_pool_total(p), too_many = total > r->max_conns ? total - r->max_conns : 0;
    if (!r->set.rules.reserved) return 0;
    return r->set.rules.reserved + too_many + p->count[RP_SLOT_PARTING] + p->count[RP_SLOT_CLOSING];
}

/* At the end of a turn, if its budget has lasted. */
void rules_turn(const struct run *r)
{
    struct pg_pool *p = r->pool;
    uint32_t normal = 0;
    check_urgent(r);
    for (uint32_t i = 0; i < p->nslots; i++) {
        struct rp_slot *slot = p->slot[i];
        bool leased = slot->state == RP_SLOT_LEASED, theirs = leased && slot->lease->priority == PG_PRIORITY_NORMAL;
        REQUIRE(!leased || slot->normal == theirs, "a slot does not know its lease's priority");
        REQUIRE((slot->state != RP_SLOT_SHARED && slot->state != RP_SLOT_SOLO) || slot->normal,
                "a shared connection is in nobody's hands");
        REQUIRE(slot->state != RP_SLOT_IDLE || !slot->normal, "an idle connection is in somebody's hands");
        normal += slot->normal;
    }
    REQUIRE(normal == p->nnormal, "%u connections are in normal hands, %u are counted", normal, p->nnormal);
    REQUIRE(p->suspended || !p->nurgent || !p->count[RP_SLOT_IDLE] || p->count[RP_SLOT_CHECKING],
            "%u high ones wait although %u connections are idle", p->nurgent, p->count[RP_SLOT_IDLE]);
    REQUIRE(r->set.rules.target_ms || !p->stats.overload_count, "refused for overload, and nobody wanted that");
    REQUIRE(r->set.rules.admission || !p->stats.not_admitted_count, "not admitted, and nobody wanted that");
    REQUIRE(p->admission.begun_ns == PG_NEVER || p->nwaiting, "the pace is taken of a queue that is empty");
}

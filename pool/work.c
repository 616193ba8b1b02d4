/* pool/work.c - what statements cost the server, and which connection is the best to share: the one with the least work
 * to be expected. It owns the estimates; it must never know who waits.
 *
 * A backend works off its connection's statements one after the other. What a statement costs is measured from when it
 * became the oldest on its connection until its outcome, less the round trip: the shortest time that a statement took
 * lately which found its connection idle. (Of a statement that was sent behind others the round trip is hidden, and
 * still taken off: rather too little than that a far server makes all statements look slow.) The average of a declared
 * statement moves by an eighth with each measurement, and one measurement counts for four thresholds at the most, so
 * that a single hiccup makes nobody slow. All SQL that is built at run time has one average in common. What was given
 * up or failed may have had more before it: it can only raise the average.
 *
 * The work of a connection is the sum over what is in flight there; each statement counts for a unit besides, so that
 * among fast ones the fewest win. Connections stand in lists by their work, sixteen steps and then eight to each power
 * of two, and a word of bits tells which lists are not empty: choosing takes a few instructions, however many there
 * are. Two lists stand behind all others:
 *
 *      LATE   its oldest statement has taken longer than any that is not slow: nobody is put behind it while there is
 *             another choice. Seen when it would be chosen, undone by the next outcome
 *      FULL   pool_max_pipeline in flight: never chosen
 *
 * A measurement costs a subtraction: the clock is read once per turn. It is as coarse as the program's turns are long: of
 * what is answered within one the first statement seems to have taken all of it and the others nothing. So an estimate
 * may be off by a turn's length (blur_ns), and the sum over a connection by as much for each of its statements. */
#include <errno.h>
#include "pool/state.h"

enum { LATE = RP_LOADS - 2, FULL = RP_LOADS - 1, STEPS = 16, SHARE = 8, SHORTEST_SHARE = 64 };
static const uint64_t MEASURE_MOST_NS = 100 * 1000000, BLUR_MOST_NS = 4 * 1000000;

int rp_work_open(struct pg_pool *pool)
{
    uint64_t most_ns = 4 * pool->info.pool_slow_statement_ns;
    for (uint32_t i = 0; i < RP_LOADS; i++) TAILQ_INIT(&pool->loaded[i]);
    pool->work.most_ns = most_ns && most_ns < MEASURE_MOST_NS ? most_ns : MEASURE_MOST_NS;
    pool->work.shortest_ns = pool->work.late_ns = PG_NEVER;
    pool->work.cost = rp_alloc(pool->reactor, (pool->catalog.statements + 1) * sizeof *pool->work.cost);
    return pool->work.cost ? 0 : -ENOMEM;
}

void rp_work_close(struct pg_pool *pool)
{
    if (!pool->work.cost) return;
    rp_free(pool->reactor, pool->work.cost, (pool->catalog.statements + 1) * sizeof *pool->work.cost);
    pool->work.cost = NULL;
}

/* ---- estimates ---- */

void rp_work_head(struct rp_slot *slot)
{
    slot->head_since_ns = rp_now(slot->pool->reactor);
    slot->from_idle = true;
}

static void measure(struct rp_slot *slot, const struct pg_query *q, uint64_t took_ns, bool complete)
{
    struct rp_work *w = &slot->pool->work;
    struct rp_cost *cost = rp_cost_of(slot->pool, q);
    uint64_t threshold_ns = slot->pool->info.pool_slow_statement_ns;
    took_ns = took_ns > w->shortest_ns ? took_ns - w->shortest_ns : 0;
    if (took_ns > w->most_ns) took_ns = w->most_ns;
    if (!complete && took_ns <= cost->ns) return;
    cost->ns += (uint32_t)(took_ns / SHARE) - cost->ns / SHARE;
    if (cost->slow) cost->slow = cost->ns >= threshold_ns / 2;
    else cost->slow = threshold_ns && cost->ns >= threshold_ns && q->statement;
}

static void measure_round_trip(struct pg_pool *pool, uint64_t took_ns)
{
    struct rp_work *w = &pool->work;
    uint64_t threshold_ns = pool->info.pool_slow_statement_ns;
    if (took_ns < w->shortest_ns) w->shortest_ns = took_ns;
    else w->shortest_ns += (took_ns - w->shortest_ns) / SHORTEST_SHARE;
    if (threshold_ns) w->late_ns = threshold_ns + w->shortest_ns;
}

/* A turn was as long as it is since the outcomes of the one before. */
static void measure_turn(struct rp_work *w, uint64_t now)
{
    uint64_t length_ns = now - w->turn_at_ns;
    if (!length_ns) return;
    w->turn_at_ns = now;
    w->blur_ns = length_ns;
}

/* Members of a batch end together and share a time that is none of theirs. */
static bool alone(struct pg_query *q) { return rp_query(q)->head == q && !q->next; }

void rp_work_end(struct rp_slot *slot, struct pg_query *q)
{
    uint64_t now = rp_now(slot->pool->reactor), took_ns = now - slot->head_since_ns;
    slot->head_since_ns = now;
    slot->late = false;
    measure_turn(&slot->pool->work, now);
    if (!q) return;
    slot->work_ns -= rp_query(q)->work_ns;
    if (!alone(q)) return;
    if (slot->from_idle) measure_round_trip(slot->pool, took_ns);
    slot->from_idle = false;
    measure(slot, q, took_ns, q->status == PG_OK);
}

void rp_work_given_up(struct rp_slot *slot, struct pg_query *q)
{
    const struct rp_session *s = &slot->conn.session;
    if (slot->lease || !alone(q) || rp_query(q)->sequence != s->due || !rp_session_written(s, s->due)) return;
    measure(slot, q, rp_now(slot->pool->reactor) - slot->head_since_ns, false);
}

void rp_work_recount(struct rp_slot *slot)
{
    struct rp_session *s = &slot->conn.session;
    slot->work_ns = 0;
    for (uint32_t sequence = s->head; sequence != s->tail; sequence++) {
        struct pg_query *q = rp_session_entry(s, sequence)->query;
        if (q) slot->work_ns += rp_query(q)->work_ns;
    }
}

/* ---- the choice ---- */

static uint32_t load_of(struct rp_slot *slot)
{
    if (!rp_slot_room(slot, 1)) return FULL;
    if (slot->late) return LATE;
    uint64_t units = slot->work_ns >> RP_UNIT_BITS;
    if (units < STEPS) return (uint32_t)units;
    uint32_t power = 60 - (uint32_t)__builtin_clzll(units); /* 1 from 16 units on, 2 from 32 on */
    uint64_t load = power * (STEPS / 2) + (units >> power);
    return load < LATE ? (uint32_t)load : LATE - 1;
}

/* It stays until its work is another one by an eighth; behind the others until whatever happens next. */
void rp_work_list(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    uint64_t margin_ns = slot->work_ns / SHARE;
    slot->load = load_of(slot);
    slot->load_from_ns = slot->load < LATE ? slot->work_ns - margin_ns : PG_NEVER;
    slot->load_span_ns = slot->load < LATE ? 2 * margin_ns : 0;
    pool->load_bits[slot->load / 64] |= 1ull << slot->load % 64;
    TAILQ_INSERT_TAIL(&pool->loaded[slot->load], slot, link);
}

void rp_work_unlist(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    TAILQ_REMOVE(&pool->loaded[slot->load], slot, link);
    if (TAILQ_EMPTY(&pool->loaded[slot->load])) pool->load_bits[slot->load / 64] &= ~(1ull << slot->load % 64);
}

struct rp_slot *rp_slot_least_loaded(struct pg_pool *pool)
{
    for (size_t i = 0; i < RP_LOAD_WORDS; i++)
        if (pool->load_bits[i]) return TAILQ_FIRST(&pool->loaded[i * 64 + (size_t)__builtin_ctzll(pool->load_bits[i])]);
    return NULL;
}

uint32_t rp_work_in_flight(const struct pg_pool *pool)
{
    const struct rp_slot *slot;
    uint32_t n = 0;
    for (size_t i = 0; i < RP_LOAD_WORDS; i++)
        for (uint64_t bits = pool->load_bits[i]; bits; bits &= bits - 1)
            TAILQ_FOREACH(slot, &pool->loaded[i * 64 + (size_t)__builtin_ctzll(bits)], link)
                n += rp_session_in_flight(&slot->conn.session);
    return n;
}

/* For a batch there may be room on another one than the best. */
static struct rp_slot *with_room(struct pg_pool *pool, uint32_t load, uint32_t n)
{
    struct rp_slot *slot;
    for (; load < FULL; load++)
        TAILQ_FOREACH(slot, &pool->loaded[load], link)
            if (rp_slot_room(slot, n)) return slot;
    return NULL;
}

/* Whether this one has more work than the other, twice as much at least and by more than may be a mistake. */
static bool much_more(const struct rp_slot *slot, const struct rp_slot *other)
{
    if (slot->work_ns / 2 <= other->work_ns) return false;
    uint64_t blur_ns = rp_session_in_flight(&slot->conn.session) * slot->pool->work.blur_ns;
    return slot->work_ns - other->work_ns > (blur_ns < BLUR_MOST_NS ? blur_ns : BLUR_MOST_NS);
}

/* Whoever goes on from an outcome goes on where it came from, unless there is less to do elsewhere: then what came
 * together is sent together, in one segment instead of several. */
static struct rp_slot *same_again(const struct pg_pool *pool, const struct rp_slot *best)
{
    struct rp_slot *slot = pool->telling;
    if (!slot || slot->state != RP_SLOT_SHARED || much_more(slot, best)) return NULL;
    bool fewer = rp_session_in_flight(&slot->conn.session) <= rp_session_in_flight(&best->conn.session);
    return fewer && rp_slot_room(slot, 1) ? slot : NULL;
}

struct rp_slot *rp_slot_to_share(struct pg_pool *pool, uint32_t n, uint64_t now)
{
    struct rp_slot *slot, *same;
    while ((slot = rp_slot_least_loaded(pool)) && slot->load != FULL) {
        if (n == 1 && (same = same_again(pool, slot))) return same;
        slot->late |= now - slot->head_since_ns > pool->work.late_ns;
        bool room = rp_slot_room(slot, 1);
        if (room && slot->late == (slot->load == LATE)) return n == 1 ? slot : with_room(pool, slot->load, n);
        rp_work_unlist(slot);
        rp_work_list(slot);
    }
    return NULL;
}

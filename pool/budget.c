/* pool/budget.c - struct pg_budget: what the pools of several reactors share, without locks. It knows stock, tickets
 * and doors, and nothing of connections; what a pool takes, gives and when is purse.c.
 *
 * The stock. One number: connections of the bound that no pool has in hand. Taking is a compare-and-swap that only
 * succeeds above 0, so that all hands together never exceed the bound. A smaller bound subtracts and may leave it below
 * 0: then nothing is taken before as many were put back. What is sure is booked beside it, in one word with the bound:
 * pools open and bounds shrink only if the sum of all sure ones stays within the bound. A pool that opens while others
 * have the whole stock in their hands thus has a claim and nothing in hand; its ticket goes before all others.
 *
 * Tickets. Nobody takes for itself. Whoever wants one files a ticket in its share, a word made of its need and of a
 * number that grows, and then calls serve(): as long as there are tickets, take one from the stock and give it to the
 * smallest ticket, by a compare-and-swap of that ticket to GRANTED. Whoever puts one back calls serve() as well. So
 * there is no way past those who wait, and the same code serves them whoever runs it. Only the owner files, withdraws
 * and collects; only the swap to GRANTED comes from others, and the loser of withdraw against grant sees that it lost.
 * A share has one ticket and a ticket gets one: who wants many stands in line again for each.
 *
 * Why nobody is forgotten. The owner writes its ticket, fences, and looks at the stock; who puts adds to the stock,
 * fences, and looks at the tickets: one of the two sees the other. Who took one and then finds no ticket (withdrawn, or
 * served by somebody else) puts it back and looks at the tickets again, so that nobody who came in between and saw an
 * empty stock is left alone with it. Each repetition means that somebody else got on.
 *
 * Pressing. A ticket that waits makes its owner post `look` to each share that says that it has something to spare;
 * what it gives is its own decision (purse.c). As many are promised at a time as are waited for, so that ten holders do
 * not close ten connections for one ticket: `promised` is raised before a connection is closed and lowered after what
 * it freed was put back. Whoever lowers it looks once more at the tickets, since a holder may have seen the promise
 * when the ticket that it was for was already served.
 *
 * Doors. A share's reactor may go away while another thread wants to post to it. So posting is a visit: the door is
 * opened by a compare-and-swap that raises the number of visitors and sets POSTED, only if the door is OPEN and nothing
 * is posted; then the post; then the number is lowered. Closing clears OPEN and is complete when there is no visitor
 * and what was posted has run. A visit is a few instructions and a write to an eventfd; the closing pool looks again in
 * each turn, and only pg_reactor_free before the end stands and waits for it. Shares are the budget's memory and are
 * never freed before it, so that looking at them is always allowed.
 *
 * Compiled without ThreadSanitizer, which sees neither the inline assembly nor its fences; RP_TSAN says that the rest
 * of the program is under it and must be told what is ordered by what: whoever gets a connection from the stock sees
 * what was done before it was put back, a visitor sees the reactor as its pool saw it, and whoever closed a share sees
 * its visitors gone. */
#include "pool/budget.h"
#include <ck_pr.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "reactor/tsan.h"
#include "wire/check.h"
#include "wire/error.h"

static const uint64_t TAKEN = 1, OPEN = 2, POSTED = 4, VISITOR = 8; /* a door */
static const uint64_t GRANTED = UINT64_MAX;                         /* a ticket */
enum { NUMBER_BITS = 48 };
static const uint32_t UNTOLD = UINT32_C(1) << 31;                   /* of a bound: the server has not said it yet */

struct pg_budget {
    uint64_t bounds;         /* the bound, and in the upper half how many of it are sure */
    uint64_t number;         /* of the last ticket                                       */
    uint32_t percent;        /* of what the server says; 0: it is not asked              */
    uint32_t places;         /* shares that were ever taken: those behind them are empty */
    uint32_t pools;
    int32_t stock __attribute__((aligned(RP_BUDGET_LINE)));
    uint32_t promised, used;
    uint64_t given, abandoned;
    struct rp_share share[RP_BUDGET_POOLS];
};

/* Whole fences everywhere: all this happens when connections begin and end. */
static bool swap(uint64_t *at, uint64_t from, uint64_t to)
{
    ck_pr_fence_memory();
    bool swapped = ck_pr_cas_64(at, from, to);
    ck_pr_fence_memory();
    return swapped;
}

static uint64_t load(const uint64_t *at)
{
    uint64_t value = ck_pr_load_64(at);
    ck_pr_fence_memory();
    return value;
}

static void add_stock(struct pg_budget *b, int32_t n)
{
    RP_RELEASE(b);
    ck_pr_fence_memory();
    ck_pr_add_int(&b->stock, n);
    ck_pr_fence_memory();
}

static bool take_stock(struct pg_budget *b)
{
    int32_t stock;
    do {
        stock = ck_pr_load_int(&b->stock);
        if (stock <= 0) return false;
        ck_pr_fence_memory();
    } while (!ck_pr_cas_int(&b->stock, stock, stock - 1));
    ck_pr_fence_memory();
    return true;
}

/* ---- doors ---- */

static void post(struct rp_share *share)
{
    uint64_t door = load(&share->door);
    do {
        if (!(door & OPEN) || door & POSTED) return;
        ck_pr_fence_memory();
    } while (!ck_pr_cas_64_value(&share->door, door, (door | POSTED) + VISITOR, &door));
    ck_pr_fence_memory();
    RP_ACQUIRE(share);
    pg_reactor_post(share->reactor, &share->look);
    RP_RELEASE(share);
    ck_pr_fence_memory();
    ck_pr_sub_64(&share->door, VISITOR);
}

void rp_share_looked(struct rp_share *share)
{
    ck_pr_and_64(&share->door, ~POSTED);
    ck_pr_fence_memory();
}

void rp_share_press(struct pg_budget *b, const struct rp_share *share)
{
    uint32_t places = ck_pr_load_32(&b->places);
    for (uint32_t i = 0; i < places; i++)
        if (&b->share[i] != share && ck_pr_load_32(&b->share[i].spare)) post(&b->share[i]);
}

/* ---- tickets ---- */

static uint32_t need_of(uint64_t ticket) { return (uint32_t)(ticket >> NUMBER_BITS); }

/* The smallest ticket that waits; NULL: none. */
static struct rp_share *neediest(struct pg_budget *b, uint64_t *ticket)
{
    struct rp_share *best = NULL;
    uint32_t places = ck_pr_load_32(&b->places);
    *ticket = GRANTED;
    for (uint32_t i = 0; i < places; i++) {
        uint64_t t = load(&b->share[i].ticket);
        if (!t || t >= *ticket) continue;
        best = &b->share[i];
        *ticket = t;
    }
    return best;
}

/* `own` collects by itself, all others are told. */
static void serve(struct pg_budget *b, const struct rp_share *own)
{
    uint64_t ticket;
    while (neediest(b, &ticket) && take_stock(b)) {
        struct rp_share *share;
        while ((share = neediest(b, &ticket)) && !swap(&share->ticket, ticket, GRANTED)) continue;
        if (!share) add_stock(b, 1);
        else if (share != own) post(share);
    }
}

void rp_share_ask(struct pg_budget *b, struct rp_share *share, uint32_t need)
{
    uint64_t old = load(&share->ticket), number = old & ((UINT64_C(1) << NUMBER_BITS) - 1);
    if (old == GRANTED) return;
    if (!old) number = (ck_pr_faa_64(&b->number, 1) + 1) & ((UINT64_C(1) << NUMBER_BITS) - 1);
    if (swap(&share->ticket, old, (uint64_t)need << NUMBER_BITS | number)) serve(b, share);
}

bool rp_share_collect(struct pg_budget *b, struct rp_share *share)
{
    if (load(&share->ticket) != GRANTED) return false;
    ck_pr_store_64(&share->ticket, 0); /* once it is granted it is the owner's alone */
    RP_ACQUIRE(b);
    return true;
}

bool rp_share_withdraw(struct pg_budget *b, struct rp_share *share)
{
    uint64_t ticket = load(&share->ticket);
    if (!ticket) return false;
    if (ticket != GRANTED && swap(&share->ticket, ticket, 0)) return false;
    return rp_share_collect(b, share);
}

struct rp_demand rp_share_demand(const struct pg_budget *b, const struct rp_share *share)
{
    struct rp_demand d = { .count = 0, .need = RP_NEED_IDLE };
    uint32_t places = ck_pr_load_32(&b->places);
    for (uint32_t i = 0; i < places; i++) {
        uint64_t t = load(&b->share[i].ticket);
        if (!t || t == GRANTED || &b->share[i] == share) continue;
        d.count++;
        if (need_of(t) < d.need) d.need = need_of(t);
    }
    int32_t stock = ck_pr_load_int(&b->stock);
    if (stock >= 0) return d;
    d.count += (uint32_t)-stock;
    d.need = RP_NEED_SURE; /* the bound itself waits */
    return d;
}

bool rp_share_promise(struct pg_budget *b, const struct rp_share *share)
{
    uint32_t promised;
    do {
        promised = ck_pr_load_32(&b->promised);
        if (promised >= rp_share_demand(b, share).count) return false;
    } while (!ck_pr_cas_32(&b->promised, promised, promised + 1));
    ck_pr_inc_64(&b->given);
    return true;
}

void rp_share_put(struct pg_budget *b, struct rp_share *share, uint32_t n, uint32_t kept)
{
    if (n) add_stock(b, (int32_t)n);
    if (n) serve(b, share);
    if (!kept) return;
    ck_pr_fence_memory();
    ck_pr_sub_32(&b->promised, kept);
    ck_pr_fence_memory();
    if (rp_share_demand(b, share).count > ck_pr_load_32(&b->promised)) rp_share_press(b, NULL);
}

void rp_share_used(struct pg_budget *b, int change) { ck_pr_add_32(&b->used, (uint32_t)change); }
void rp_share_spare(struct rp_share *share, uint32_t spare) { ck_pr_store_32(&share->spare, spare); }
void rp_share_abandoned(struct pg_budget *b, uint32_t n) { ck_pr_add_64(&b->abandoned, n); }

/* ---- the bound, and what is sure of it ---- */

static uint32_t bound_of(uint64_t bounds) { return (uint32_t)bounds & ~UNTOLD; }
static uint32_t sure_of(uint64_t bounds) { return (uint32_t)(bounds >> 32); }

bool rp_share_reserve(struct pg_budget *b, uint32_t from, uint32_t to, uint32_t *sum, uint32_t *bound)
{
    uint64_t old, sure;
    do {
        old = load(&b->bounds);
        sure = (uint64_t)sure_of(old) - from + to;
        *sum = sure < UINT32_MAX ? (uint32_t)sure : UINT32_MAX;
        *bound = bound_of(old);
        if (old & UNTOLD && sure <= RP_BUDGET_MOST) *bound = *sum;
        if (to > from && sure > *bound) return false;
    } while (!swap(&b->bounds, old, sure << 32 | (old & UNTOLD) | *bound));
    if (*bound != bound_of(old)) add_stock(b, (int32_t)*bound - (int32_t)bound_of(old));
    return true;
}

/* A place that nobody has, from the front: those behind `places` are never looked at. */
static struct rp_share *take_place(struct pg_budget *b)
{
    for (uint32_t i = 0; i < RP_BUDGET_POOLS; i++) {
        if (!swap(&b->share[i].door, 0, TAKEN)) continue;
        uint32_t places = ck_pr_load_32(&b->places);
        while (places <= i && !ck_pr_cas_32_value(&b->places, places, i + 1, &places)) continue;
        return &b->share[i];
    }
    return NULL;
}

int rp_share_open(struct pg_budget *b, struct rp_share **out, uint32_t sure, struct pg_reactor *reactor,
                  void (*look)(struct pg_task *), void *pool, struct pg_error *error)
{
    uint32_t sum, bound;
    struct rp_share *share = take_place(b);
    if (!share)
        return rp_error_set(error, PG_E_CONFIG, "budget: it is shared by %d pools already", RP_BUDGET_POOLS);
    if (!rp_share_reserve(b, 0, sure, &sum, &bound)) {
        ck_pr_store_64(&share->door, 0);
        return rp_error_set(error, PG_E_CONFIG,
                            "budget: with this pool %u connections would be sure (pool_min_conns, 1 at least, of each "
                            "pool), and its bound is %u", sum, bound);
    }
    share->reactor = reactor;
    share->look.run = look;
    share->pool = pool;
    ck_pr_store_32(&share->spare, 0);
    ck_pr_inc_32(&b->pools);
    RP_RELEASE(share);
    ck_pr_fence_memory();
    ck_pr_store_64(&share->door, TAKEN | OPEN);
    *out = share;
    return 0;
}

bool rp_share_close(struct pg_budget *b, struct rp_share *share, uint32_t sure, bool at_once)
{
    uint32_t sum, bound;
    ck_pr_and_64(&share->door, ~OPEN);
    ck_pr_fence_memory();
    while (at_once && load(&share->door) >= VISITOR) ck_pr_stall();
    if (at_once) ck_pr_and_64(&share->door, ~POSTED);
    if (load(&share->door) != TAKEN) return false;
    RP_ACQUIRE(share);
    (void)!rp_share_reserve(b, sure, 0, &sum, &bound);
    ck_pr_dec_32(&b->pools);
    ck_pr_fence_memory();
    ck_pr_store_64(&share->door, 0);
    return true;
}

/* ---- any thread ---- */

int pg_budget_open(struct pg_budget **out, uint32_t connections)
{
    uint32_t percent = connections & PG_BUDGET_PERCENT(0) ? connections & ~PG_BUDGET_PERCENT(0) : 0;
    *out = NULL;
    if (percent > 100 || connections == 0) return PG_E_CONFIG;
    if (!percent && connections > RP_BUDGET_MOST) return PG_E_CONFIG;
    struct pg_budget *b = aligned_alloc(RP_BUDGET_LINE, sizeof *b); /* no reactor's: it outlives them */
    if (!b) return -ENOMEM;
    memset(b, 0, sizeof *b);
    b->percent = percent;
    b->bounds = percent ? UNTOLD : connections;
    b->stock = percent ? 0 : (int32_t)connections;
    *out = b;
    return 0;
}

/* What is `sure` stays so: less than that is not taken, or is as much as that. */
static bool set_bound(struct pg_budget *b, uint32_t connections, bool at_least)
{
    uint64_t old;
    uint32_t bound;
    do {
        old = load(&b->bounds);
        bound = connections < sure_of(old) ? sure_of(old) : connections;
        if (bound != connections && !at_least) return false;
    } while (!swap(&b->bounds, old, (uint64_t)sure_of(old) << 32 | bound));
    add_stock(b, (int32_t)bound - (int32_t)bound_of(old));
    serve(b, NULL);
    if (ck_pr_load_int(&b->stock) < 0) rp_share_press(b, NULL);
    return true;
}

bool rp_share_asks_server(const struct pg_budget *b) { return ck_pr_load_32(&b->percent) != 0; }

bool rp_share_untold(const struct pg_budget *b) { return load(&b->bounds) & UNTOLD; }

void rp_share_told(struct pg_budget *b, uint32_t connections)
{
    uint64_t percent = ck_pr_load_32(&b->percent);
    if (!percent) return; /* somebody has set the bound by now */
    uint64_t bound = connections * percent / 100;
    (void)!set_bound(b, bound < RP_BUDGET_MOST ? (uint32_t)bound : RP_BUDGET_MOST, true);
}

int pg_budget_resize(struct pg_budget *b, uint32_t connections)
{
    if (connections == 0 || connections > RP_BUDGET_MOST) return PG_E_CONFIG;
    uint32_t percent = ck_pr_load_32(&b->percent);
    ck_pr_store_32(&b->percent, 0); /* first: what the server says now comes too late */
    if (set_bound(b, connections, false)) return 0;
    ck_pr_store_32(&b->percent, percent);
    return PG_E_CONFIG;
}

void pg_budget_close(struct pg_budget *b)
{
    if (!b) return;
    RP_CALLER(ck_pr_load_32(&b->pools) == 0, "pg_budget_close: a pool uses the budget");
    RP_ASSERT(b->stock == (int32_t)bound_of(b->bounds) && sure_of(b->bounds) == 0);
    RP_ASSERT(b->used == 0 && b->promised == 0);
    free(b);
}

void pg_budget_stats(const struct pg_budget *b, struct pg_budget_stats *out)
{
    size_t given = out->size, size = given < sizeof *out ? given : sizeof *out;
    uint64_t bounds = load(&b->bounds);
    struct pg_budget_stats now = {
        .size = given,
        .connections = bound_of(bounds),
        .sure = sure_of(bounds),
        .used = ck_pr_load_32(&b->used),
        .pools = ck_pr_load_32(&b->pools),
        .given_count = ck_pr_load_64(&b->given),
        .abandoned_count = ck_pr_load_64(&b->abandoned),
    };
    uint32_t places = ck_pr_load_32(&b->places);
    for (uint32_t i = 0; i < places; i++) {
        uint64_t ticket = ck_pr_load_64(&b->share[i].ticket);
        now.waiting += ticket && ticket != GRANTED;
    }
    memcpy(out, &now, size);
}

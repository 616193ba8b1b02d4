/* pool/budget.h - struct pg_budget as the pools see it: a share for each of them. What it means and why it is right
 * stands in budget.c; what a pool does with it in purse.c. In a file of its own, since ThreadSanitizer cannot model
 * Concurrency Kit's inline assembly: budget.c is compiled without it and annotated. */
#ifndef RP_POOL_BUDGET_H
#define RP_POOL_BUDGET_H
#include <stdbool.h>
#include "ringpg/budget.h"
#include "ringpg/reactor.h"

enum { RP_BUDGET_POOLS = 256, RP_BUDGET_LINE = 64, RP_BUDGET_MOST = 1000000 };

/* How much a pool needs what it waits for: the smaller goes first. Between the two ends: how many it has of the common
 * stock, plus 1. */
enum { RP_NEED_SURE = 0, RP_NEED_FIRST = 1, RP_NEED_IDLE = 0x7fff };

/* One pool's place in the budget, and the budget's memory: so it may be looked at when its pool is gone. */
struct rp_share {
    uint64_t door;               /* TAKEN, OPEN, POSTED, and how many others are posting now           */
    uint64_t ticket;             /* 0: none; GRANTED; else its need and its number                     */
    uint32_t spare;              /* of the common stock, as its pool last said: may it be asked to give? */
    struct pg_reactor *reactor;
    struct pg_task look;         /* posted when there is news for its pool                             */
    void *pool;
} __attribute__((aligned(RP_BUDGET_LINE)));

/* ---- the pool's own thread ---- */

/* `sure` connections are set aside, none is in hand yet. 0, or PG_E_CONFIG with the reason in `error`. */
int rp_share_open(struct pg_budget *b, struct rp_share **out, uint32_t sure, struct pg_reactor *reactor,
                  void (*look)(struct pg_task *), void *pool, struct pg_error *error);
/* Nobody posts `look` any more, and the ticket is withdrawn; what is in hand was put back before. True: the share is
 * gone; false: somebody is posting, or what was posted has not run: call it again, in another turn. `at_once`: the
 * reactor is about to be freed, its inbox will not be read, and those who are posting are waited for. */
bool rp_share_close(struct pg_budget *b, struct rp_share *share, uint32_t sure, bool at_once);
/* Another number of sure ones. False: the sum would exceed the bound, and nothing has changed. */
/* ... or, of a bound that the server has not told yet: always true, the bound grows along. */
bool rp_share_reserve(struct pg_budget *b, uint32_t from, uint32_t to, uint32_t *sum, uint32_t *bound);
/* First thing in `look`: what comes from now on posts it again. */
void rp_share_looked(struct rp_share *share);

/* Files a ticket, or changes the need of the one that waits. */
void rp_share_ask(struct pg_budget *b, struct rp_share *share, uint32_t need);
/* The ticket was served: one is in hand, and there is no ticket any more. */
bool rp_share_collect(struct pg_budget *b, struct rp_share *share);
/* No ticket any more. True: it had been served, and one is in hand. */
bool rp_share_withdraw(struct pg_budget *b, struct rp_share *share);
/* Back into the stock; `kept`: that many promises were kept by it or given up. */
void rp_share_put(struct pg_budget *b, struct rp_share *share, uint32_t n, uint32_t kept);
void rp_share_used(struct pg_budget *b, int change);
void rp_share_spare(struct rp_share *share, uint32_t spare);

/* What others wait for. */
struct rp_demand { uint32_t count, need; };
struct rp_demand rp_share_demand(const struct pg_budget *b, const struct rp_share *share);
/* One will be put, for their sake. False: as many as they wait for are promised already. */
bool rp_share_promise(struct pg_budget *b, const struct rp_share *share);
/* Those who could give are told that somebody waits. */
void rp_share_press(struct pg_budget *b, const struct rp_share *share);
/* Is the bound a part of what the server has? And: it has so many. */
bool rp_share_asks_server(const struct pg_budget *b);
bool rp_share_untold(const struct pg_budget *b); /* it has not said it yet: all that there is is sure */
void rp_share_told(struct pg_budget *b, uint32_t connections);
void rp_share_abandoned(struct pg_budget *b, uint32_t n);

#endif

/* pool/pooler.c - does somebody stand between us and the server who gives each transaction another backend? Then what
 * was prepared is not there, and what was not is. It owns the suspicion, and tells it; it changes nothing by itself.
 *
 * The sign is a statement that the server had accepted on this connection and does not know (26000), or one that it was
 * not given and has (42P05), while nothing that went over the connection explains it. Once may be a function that
 * says DEALLOCATE, or somebody's own PREPARE. Twice within a minute is told, once in the pool's life. */
#include "pool/state.h"

static const uint64_t WINDOW_NS = 60ull * 1000000000;

bool rp_pooler_suspected(struct rp_slot *slot)
{
    struct pg_pool *pool = slot->pool;
    uint64_t now = rp_now(pool->reactor), before_ns = pool->mislaid_ns;
    uint32_t times = slot->conn.session.mislaid - slot->mislaid;
    if (!times) return false;
    slot->mislaid += times;
    pool->mislaid_ns = now;
    return !pool->pooler_told && (times > 1 || (before_ns && now - before_ns <= WINDOW_NS));
}

void rp_pooler_tell(struct rp_slot *slot)
{
    struct pg_error why;
    slot->pool->pooler_told = true;
    rp_error_set(&why, PG_E_SERVER,
                 "prepared statements come and go: behind a pooler in transaction mode set prepared_statements=off");
    rp_slot_event(slot, PG_EVENT_POOLER, &why);
}

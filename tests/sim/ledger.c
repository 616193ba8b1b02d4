/* sim/ledger.c - double entry for INSERTs: what the handlers were told against what the model server committed. A key
 * that was told PG_OK is committed exactly once, one that certainly was not sent or was rolled back never, one in doubt
 * at most once; and all of a batch or transaction or nothing of it. */
#include <stdlib.h>
#include <string.h>
#include "sim/pg_sim.h"

struct entry {
    uint8_t fate;
    bool repeatable;
    uint32_t committed;
    uint64_t group[2]; /* of its batch and of its transaction */
};

int64_t ledger_key(struct ledger *l, bool repeatable)
{
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 256;
        l->entry = realloc(l->entry, l->capacity * sizeof *l->entry);
        if (!l->entry) sim_fail("out of memory");
    }
    l->entry[l->count] = (struct entry){ .repeatable = repeatable };
    return (int64_t)++l->count;
}

uint64_t ledger_group(struct ledger *l)
{
    return ++l->groups;
}

void ledger_join(struct ledger *l, int64_t key, uint64_t group)
{
    struct entry *e = &l->entry[key - 1];
    e->group[e->group[0] != 0] = group;
}

void ledger_fate(struct ledger *l, int64_t key, enum fate fate)
{
    struct entry *e = &l->entry[key - 1];
    REQUIRE(e->fate == FATE_OPEN || e->fate == fate, "key %lld: told twice, and not the same", (long long)key);
    e->fate = (uint8_t)fate;
}

static void count(struct ledger *l, const struct model_server *server)
{
    size_t n;
    const int64_t *keys = model_committed(server, &n);
    for (size_t i = 0; i < n; i++) {
        REQUIRE(keys[i] > 0 && (uint64_t)keys[i] <= l->count, "key %lld was committed and never inserted",
                (long long)keys[i]);
        l->entry[keys[i] - 1].committed++;
    }
}

static void check_groups(const struct ledger *l)
{
    enum { UNSEEN, NOTHING, ALL };
    uint8_t *seen = calloc(l->groups + 1, 1);
    if (!seen) sim_fail("out of memory");
    for (size_t i = 0; i < l->count; i++)
        for (int side = 0; side < 2; side++) {
            uint64_t group = l->entry[i].group[side];
            uint8_t now = l->entry[i].committed ? ALL : NOTHING;
            if (!group) continue;
            REQUIRE(seen[group] == UNSEEN || seen[group] == now,
                    "key %zu: its batch or transaction was committed in part", i + 1);
            seen[group] = now;
        }
    free(seen);
}

void ledger_check(struct ledger *l, const struct model_server *server)
{
    count(l, server);
    for (size_t i = 0; i < l->count; i++) {
        const struct entry *e = &l->entry[i];
        REQUIRE(e->committed <= 1u + e->repeatable, "key %zu was committed %u times", i + 1, e->committed);
        REQUIRE(e->fate != FATE_MUST || e->committed, "key %zu: PG_OK was told and it is not committed", i + 1);
        REQUIRE(e->fate != FATE_NEVER || !e->committed, "key %zu was committed although its outcome excludes that",
                i + 1);
    }
    check_groups(l);
}

void ledger_free(struct ledger *l)
{
    free(l->entry);
    *l = (struct ledger){ 0 };
}

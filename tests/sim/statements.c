/* sim/statements.c - texts that come again: what a seed draws of them, mostly far more than may be kept, and what must
 * hold of the names that a server has. */
#include <stdio.h>
#include <string.h>
#include "pool/state.h"
#include "sim/pg_sim.h"

void statements_draw(struct run *r)
{
    struct settings *s = &r->set;
    s->texts = pick(r, 3) ? 1 + (uint32_t)pick(r, pick(r, 4) ? 8 : 60) : 0;
    s->kept = pick(r, 6) ? 1 + (uint32_t)pick(r, pick(r, 4) ? 4 : 80) : 0;
    s->kept_bytes = pick(r, 3) ? 256 << 10 : 1 << 10;
    s->discards = pick(r, 3) ? 0 : 1 + (uint32_t)pick(r, 200);
    s->unnamed = pick(r, 10) == 0;
}

void statements_options(struct run *r)
{
    struct settings *s = &r->set;
    size_t n = strlen(s->options), room = sizeof s->options - n;
    int more = snprintf(s->options + n, room,
                        " statement_cache_capacity=%u statement_cache_bytes=%uB prepared_statements=%s", s->kept,
                        s->kept_bytes, s->unnamed ? "off" : "on");
    if (more < 0 || (size_t)more >= room) sim_fail("the options do not fit");
}

/* A connection that is granted has nothing in flight: the server has no name that the connection does not know of, and
 * so no more than there are statements and places. */
void statements_granted(struct holder *h)
{
    struct run *r = h->run;
    struct rp_slot *slot = rp_lease(&h->lease)->slot;
    if (!slot || (!r->set.texts && !r->set.unnamed)) return;
    const struct rp_session *s = &slot->conn.session;
    size_t known = 0, most = s->config->statements + (s->held ? s->config->texts->places : 0);
    for (size_t id = 1; id <= most; id++) known += s->prepared[id] != RP_PREPARED_NONE;
    size_t there = model_conn_statements(chores_backend(r, s->backend_pid));
    REQUIRE(there <= known, "the server has %zu prepared statements, and the connection knows of %zu", there, known);
    REQUIRE(!r->set.unnamed || known == 0, "%zu statements are prepared although none may be", known);
}

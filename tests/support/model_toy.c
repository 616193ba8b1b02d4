/* support/model_toy.c - the model server behind a toy transform (toy.h): a hello of its own in answer to the client's,
 * and then every byte in records, some of them damaged on request. */
#include <stdlib.h>
#include "support/model_private.h"
#include "support/toy.h"

void model_toy_open(struct model_conn *conn)
{
    struct sim *sim = conn->server->config.sim;
    if (!(conn->toy = malloc(sizeof *conn->toy))) sim_fail("out of memory");
    toy_init(conn->toy, 1 + (uint32_t)sim_random(sim, UINT32_MAX - 1));
}

void model_toy_free(struct model_conn *conn)
{
    free(conn->toy);
    conn->toy = NULL;
}

/* A hello stays whole: with another nonce it is the client that would seem to be wrong. And so does a record's size:
 * nobody but a deadline could help a client that waits for the rest of a longer one. */
static void damage_one(struct sim *sim, uint8_t *record, size_t n)
{
    size_t at = sim_random(sim, n);
    record[at == 1 || at == 2 ? 0 : at] ^= 0x20;
}

static void send_coded(struct model_conn *conn, uint32_t damage)
{
    struct sim *sim = conn->server->config.sim;
    uint8_t coded[2048];
    size_t n;
    while ((n = toy_ops.give(&conn->toy->transform, coded, sizeof coded))) {
        if (sim_chance(sim, damage)) damage_one(sim, coded, n); /* it is given record by record */
        if (conn->peer) sim_peer_send(conn->peer, coded, n);
    }
}

/* What is said before the client's hello, or behind the end, cannot be said at all. */
void model_toy_send(struct model_conn *conn, const uint8_t *at, size_t n)
{
    while (n && conn->toy->theirs && !conn->toy->said_end) {
        ptrdiff_t taken = toy_ops.write(&conn->toy->transform, at, n);
        if (taken < 0) break;
        at += taken;
        n -= (size_t)taken;
        send_coded(conn, conn->server->config.toy_damage);
    }
}

void model_toy_end(struct model_conn *conn)
{
    const struct model_config *config = &conn->server->config;
    if (!conn->toy->theirs || conn->toy->said_end || sim_chance(config->sim, config->toy_endless)) return;
    toy_ops.end(&conn->toy->transform);
    send_coded(conn, config->toy_damage);
}

void model_toy_bytes(struct model_conn *conn, const uint8_t *at, size_t n)
{
    struct rp_transform *t = &conn->toy->transform;
    uint8_t plain[2048];
    while (n) {
        size_t part = n < RP_CODED_IN ? n : RP_CODED_IN;
        bool first = !conn->toy->theirs;
        ptrdiff_t got;
        if (t->ops->feed(t, at, part)) sim_fail("the toy takes nothing");
        while ((got = t->ops->read(t, plain, sizeof plain)) > 0) sim_bytes_put(&conn->input, plain, (size_t)got);
        if (got == RP_TRANSFORM_FAILED) model_malformed(conn, "toy", t->why);
        if (got == RP_TRANSFORM_FAILED) return;
        if (first && conn->toy->theirs) send_coded(conn, 0);
        at += part;
        n -= part;
    }
}

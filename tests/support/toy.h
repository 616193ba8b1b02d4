/* support/toy.h - a toy in TLS's place: a byte transformer with a handshake, records, checksums and an end of its own,
 * and no cryptography. Client and server are alike. It shows whether the library keeps the rules of a transform: no
 * plain byte leaves before the handshake is over, every byte passes it once and in order, each connection has its own.
 *
 *      hello   "toy1" nonce[4]
 *      record  kind[1] size[2] body[size] checksum[4]         kind: data or end; the body is mixed with both nonces and
 *                                                             its place, so a record of another connection is none */
#ifndef SUPPORT_TOY_H
#define SUPPORT_TOY_H
#include "conn/transform.h"
#include "support/sim.h"

enum { TOY_HELLO = 8, TOY_RECORD_MOST = 700, TOY_HEAD = 3, TOY_SUM = 4, TOY_HOLDS = RP_CODED_IN + 1024 };

struct toy {
    struct rp_transform transform; /* first */
    struct pg_reactor *reactor;    /* of a client: whose memory it is */
    uint32_t ours, theirs;         /* nonces; theirs is 0 before their hello */
    uint64_t written, read;        /* plain bytes so far */
    size_t in_at, in_end, out_at, out_end;
    size_t plain;                  /* of the record at in_at: as much was read of it */
    bool opened, said_end, ended;
    uint8_t in[TOY_HOLDS], out[TOY_HOLDS]; /* last: what is not theirs yet is not cleared */
};

void toy_init(struct toy *t, uint32_t nonce); /* not 0 */
extern const struct rp_transform_ops toy_ops;
/* For struct rp_security; `arg` is the simulation, which draws the nonces. */
struct rp_transform *toy_make(void *sim, struct pg_reactor *r);

#endif

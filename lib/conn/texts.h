/* conn/texts.h - SQL that is built at run time and comes again: which texts a pool keeps, each under a name of its own,
 * so that its connections prepare it once instead of parsing it each time. Owns the copies; whether a connection has
 * prepared a text is the session's to know, and it must never know who asks.
 *
 * Two texts are one if their bytes and the types of their parameters are. A text is kept from the second time on that
 * it is seen: what is seen once (a literal pasted into it) costs a mark and puts nobody out. (pgx and asyncpg prepare
 * at first sight, JDBC and psycopg at the fifth; a Parse too many is cheap, a good text put out is not.) What is marked
 * are hashes, sixteen for each place, a later one over an earlier one: a text may be kept a little early or late.
 *
 * There is a bound on their number and one on their bytes; whatever was used least lately goes first, and nothing that
 * a request in a connection's FIFO is about. If nothing can go, the text runs unnamed. The descriptions of their
 * results have as many bytes as the texts, an equal share each. Everything is allocated when the pool opens. */
#ifndef RP_CONN_TEXTS_H
#define RP_CONN_TEXTS_H
#include <sys/queue.h>
#include "reactor/reactor.h"
#include "session/session.h"

enum { RP_TEXT_NOWHERE = UINT32_MAX };

struct rp_text_chunk;
struct rp_text {
    TAILQ_ENTRY(rp_text) link; /* in texts->used, the latest first, or in texts->unused */
    uint64_t hash;
    size_t size;               /* of its SQL, in bytes                                  */
    uint32_t ntypes;
    uint32_t chunk;            /* the first: its types, its SQL                         */
    uint32_t next;             /* in its bucket                                         */
};
TAILQ_HEAD(rp_text_list, rp_text);

struct rp_texts {
    struct rp_texts_view view;  /* what the sessions see */
    struct pg_reactor *reactor;
    struct rp_text *text;       /* by place                                     */
    uint32_t *bucket;           /* by hash, as many as view.ring: the first one */
    uint32_t *seen;             /* by one half of a hash the other: seen lately */
    struct rp_text_chunk *chunk;
    uint32_t nchunks, nfree, free; /* `free`: the first that is */
    struct rp_text_list used, unused;
    uint64_t serial;            /* the last that was given */
};

/* `bytes`: of SQL, rounded down to chunks, and of descriptions, rounded up. -ENOMEM; rp_texts_free then, too. */
int rp_texts_init(struct rp_texts *t, struct pg_reactor *r, uint32_t places, size_t bytes);
void rp_texts_free(struct rp_texts *t);
/* The place of q->sql with the types of its parameters; RP_TEXT_NOWHERE: it is not kept, this time. */
uint32_t rp_texts_find(struct rp_texts *t, const struct pg_query *q);

#endif

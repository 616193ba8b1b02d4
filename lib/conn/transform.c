/* conn/transform.c - the buffers around a transform: see the header. */
#include "conn/transform.h"
#include <errno.h>
#include <string.h>

int rp_coded_open(struct rp_coded *c, struct pg_reactor *r, const struct rp_transform_maker *maker)
{
    *c = (struct rp_coded){ .in = rp_alloc(r, RP_CODED_IN), .out = rp_alloc(r, RP_CODED_OUT) };
    if (c->in && c->out) c->transform = maker->make(maker->arg, r);
    if (c->transform) return 0;
    rp_coded_close(c, r);
    return -ENOMEM;
}

void rp_coded_close(struct rp_coded *c, struct pg_reactor *r)
{
    if (c->transform) c->transform->ops->free(c->transform);
    if (c->in) rp_free(r, c->in, RP_CODED_IN);
    if (c->out) rp_free(r, c->out, RP_CODED_OUT);
    *c = (struct rp_coded){ 0 };
}

/* What was left over the last time goes first: some transforms take nothing before. */
ptrdiff_t rp_coded_encode(struct rp_coded *c, const uint8_t *plain, size_t n)
{
    struct rp_transform *t = c->transform;
    size_t taken = 0;
    if (c->at == c->end) c->at = c->end = 0;
    if (c->ended) n = 0; /* it stays unsaid */
    c->end += t->ops->give(t, c->out + c->end, RP_CODED_OUT - c->end);
    while (c->end < RP_CODED_OUT && taken < n) {
        ptrdiff_t more = t->ops->write(t, plain + taken, n - taken);
        if (more < 0) return more;
        taken += (size_t)more;
        c->end += t->ops->give(t, c->out + c->end, RP_CODED_OUT - c->end);
        if (more == 0) break;
    }
    return (ptrdiff_t)taken;
}

void rp_coded_end(struct rp_coded *c)
{
    if (c->ended) return;
    c->ended = true;
    c->transform->ops->end(c->transform);
}

/* reactor/slab.c - memory through the caller's allocator, and the large buffers that connections borrow.
 *
 * Buffers are powers of two from RP_SLAB_MIN on. slab_used counts what is lent and what is kept and never exceeds the
 * configured bound; what is kept gives way to what is asked for. */
#include <stdlib.h>
#include <string.h>
#include "state.h"

void *rp_raw_alloc(const struct pg_reactor_config *c, size_t bytes)
{
    return c->allocate ? c->allocate(c->arg, bytes) : malloc(bytes);
}

void rp_raw_free(const struct pg_reactor_config *c, void *at, size_t bytes)
{
    if (!at) return;
    if (c->deallocate) c->deallocate(c->arg, at, bytes);
    else free(at);
}

void *rp_alloc(struct pg_reactor *r, size_t bytes)
{
    void *at = rp_raw_alloc(&r->config, bytes);
    if (at) memset(at, 0, bytes);
    return at;
}

void rp_free(struct pg_reactor *r, void *at, size_t bytes)
{
    rp_raw_free(&r->config, at, bytes);
}

/* The class whose buffers hold `bytes`, RP_SLAB_CLASSES if there is none. */
static unsigned class_of(size_t bytes)
{
    unsigned class = 0;
    while (class < RP_SLAB_CLASSES && (size_t)RP_SLAB_MIN << class < bytes) class++;
    return class;
}

static void *pop(struct pg_reactor *r, unsigned class)
{
    struct rp_slab_free *buffer = r->slab[class].first;
    if (!buffer) return NULL;
    r->slab[class].first = buffer->next;
    r->slab[class].count--;
    return buffer;
}

/* Gives kept buffers back to the allocator, the largest first, until `wanted` more bytes fit or none is kept. */
static bool make_room(struct pg_reactor *r, size_t wanted)
{
    size_t bound = r->config.slab_bytes;
    for (unsigned class = RP_SLAB_CLASSES; class-- > 0;) {
        void *buffer;
        while (bound - r->slab_used < wanted && (buffer = pop(r, class))) {
            size_t bytes = (size_t)RP_SLAB_MIN << class;
            r->slab_used -= bytes;
            rp_free(r, buffer, bytes);
        }
    }
    return bound - r->slab_used >= wanted;
}

void *rp_slab_get(struct pg_reactor *r, size_t *bytes)
{
    if (*bytes > r->config.slab_bytes) return NULL;
    unsigned class = class_of(*bytes);
    if (class == RP_SLAB_CLASSES) return NULL;
    size_t size = (size_t)RP_SLAB_MIN << class;
    void *at = pop(r, class);
    if (!at) {
        if (!make_room(r, size)) return NULL;
        at = rp_raw_alloc(&r->config, size); /* not zeroed: pages that nobody touches cost nothing */
        if (!at) return NULL;
        r->slab_used += size;
    }
    *bytes = size;
    return at;
}

void rp_slab_put(struct pg_reactor *r, void *at, size_t bytes)
{
    if (!at) return;
    unsigned class = class_of(bytes);
    RP_ASSERT(class < RP_SLAB_CLASSES && (size_t)RP_SLAB_MIN << class == bytes);
    RP_ASSERT(r->slab_used >= bytes);
    if (r->slab[class].count == RP_SLAB_KEEP) {
        r->slab_used -= bytes;
        rp_free(r, at, bytes);
        return;
    }
    struct rp_slab_free *buffer = at;
    buffer->next = r->slab[class].first;
    r->slab[class].first = buffer;
    r->slab[class].count++;
}

void rp_slab_trim(struct pg_reactor *r)
{
    for (unsigned class = 0; class < RP_SLAB_CLASSES; class++) {
        void *buffer;
        while ((buffer = pop(r, class))) {
            r->slab_used -= (size_t)RP_SLAB_MIN << class;
            rp_free(r, buffer, (size_t)RP_SLAB_MIN << class);
        }
    }
}

/* sim/heap.c - memory that tells: the library's allocations are counted, sized and filled with garbage at both ends of
 * their life; what the library has let go of is poisoned, and whoever touches it afterwards is found. */
#include <stdlib.h>
#include <string.h>
#include "sim/pg_sim.h"

#if defined(__SANITIZE_ADDRESS__)
#define WATCHED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WATCHED 1
#endif
#endif
#ifndef WATCHED
#define WATCHED 0
#endif

struct block {
    struct block *next;
    size_t bytes;
    unsigned char fill; /* dead: with what */
} __attribute__((aligned(16)));

enum { FRESH = 0xa5, FREED = 0xdd, DEAD = 0xaa, KEPT_BYTES = 1 << 20 };

static struct block *new_block(size_t bytes)
{
    struct block *b = malloc(sizeof *b + bytes);
    if (!b) sim_fail("out of memory");
    b->next = NULL;
    b->bytes = bytes;
    return b;
}

static struct block *block_of(void *at)
{
    return (struct block *)at - 1;
}

/* What the library gave back is kept up to a limit: large buffers come and go by the thousand. */
static void bury(struct heap *heap, struct block *b, unsigned char fill)
{
    if (WATCHED || (fill == FREED && heap->kept_bytes + b->bytes > KEPT_BYTES)) {
        memset(b + 1, fill, b->bytes);
        free(b);
        return;
    }
    if (fill == FREED) heap->kept_bytes += b->bytes;
    memset(b + 1, fill, b->bytes);
    b->fill = fill;
    b->next = heap->graves;
    heap->graves = b;
}

void *heap_allocate(void *arg, size_t bytes)
{
    struct heap *heap = arg;
    if (++heap->calls == heap->fail_at) return NULL;
    if (heap->fail && sim_chance(heap->sim, heap->fail)) return NULL;
    struct block *b = new_block(bytes);
    memset(b + 1, FRESH, bytes);
    heap->blocks++;
    heap->bytes += bytes;
    return b + 1;
}

void heap_deallocate(void *arg, void *at, size_t bytes)
{
    struct heap *heap = arg;
    struct block *b = block_of(at);
    if (b->bytes != bytes) sim_fail("%zu bytes were allocated and %zu are given back", b->bytes, bytes);
    if (!heap->blocks) sim_fail("more blocks are given back than were allocated");
    heap->blocks--;
    heap->bytes -= bytes;
    bury(heap, b, FREED);
}

void *heap_actor(size_t bytes)
{
    struct block *b = new_block(bytes);
    memset(b + 1, 0, bytes);
    return b + 1;
}

void heap_bury(struct heap *heap, void *at)
{
    bury(heap, block_of(at), DEAD);
}

const char *heap_check(struct heap *heap)
{
    const char *found = NULL;
    while (heap->graves) {
        struct block *b = heap->graves;
        const unsigned char *at = (const unsigned char *)(b + 1);
        heap->graves = b->next;
        if (b->bytes && (at[0] != b->fill || memcmp(at, at + 1, b->bytes - 1) != 0))
            found = "memory was written to after the library had let go of it";
        free(b);
    }
    return found;
}

/* fiber/stack.c - see stack.h. A stack is one mapping with its guard: [guard | usable]; whoever overflows it meets
 * SIGSEGV and not its neighbour. The link of a kept stack lies in its topmost bytes, which are touched already. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <unistd.h>
#include "fiber/sanitize.h"
#include "fiber/stack.h"

struct rp_stack_kept {
    struct rp_stack_kept *next;
    void *bottom;
};

void rp_stacks_init(struct rp_stacks *s, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *s = (struct rp_stacks){ .bytes = (bytes + page - 1) / page * page };
}

static void unmap(struct rp_stacks *s, void *bottom)
{
    rp_sanitize_stack_gone(bottom, s->bytes);
    munmap((char *)bottom - RP_STACK_GUARD, RP_STACK_GUARD + s->bytes);
}

void *rp_stack_get(struct rp_stacks *s)
{
    if (s->kept) {
        struct rp_stack_kept *first = s->kept;
        s->kept = first->next;
        s->nkept--;
        return first->bottom;
    }
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    char *at = mmap(NULL, RP_STACK_GUARD + s->bytes, PROT_NONE, flags, -1, 0);
    if (at == MAP_FAILED) return NULL;
    if (mprotect(at + RP_STACK_GUARD, s->bytes, PROT_READ | PROT_WRITE)) {
        munmap(at, RP_STACK_GUARD + s->bytes);
        return NULL;
    }
    rp_sanitize_stack_new(at + RP_STACK_GUARD, s->bytes);
    return at + RP_STACK_GUARD;
}

void rp_stack_put(struct rp_stacks *s, void *bottom)
{
    if (s->nkept == RP_STACKS_KEPT) {
        unmap(s, bottom);
        return;
    }
    rp_sanitize_stack_idle(bottom, s->bytes);
    struct rp_stack_kept *kept = (struct rp_stack_kept *)(void *)((char *)bottom + s->bytes) - 1;
    kept->bottom = bottom;
    kept->next = s->kept;
    s->kept = kept;
    s->nkept++;
}

void rp_stacks_free(struct rp_stacks *s)
{
    while (s->kept) {
        struct rp_stack_kept *first = s->kept;
        s->kept = first->next;
        unmap(s, first->bottom);
    }
    s->nkept = 0;
}

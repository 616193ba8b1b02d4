/* fiber/stack.h - stacks: mapped with a guard below, and kept in a bounded cache when their fiber has ended. */
#ifndef RP_FIBER_STACK_H
#define RP_FIBER_STACK_H
#include <stddef.h>
#include <stdint.h>

enum {
    RP_STACKS_KEPT = 256,         /* of a reactor                                                                 */
    RP_STACK_GUARD = 64 * 1024,   /* bytes: address space alone, and wider than the frames that could jump over it */
};

struct rp_stack_kept;
struct rp_stacks {
    size_t bytes; /* usable, of each */
    struct rp_stack_kept *kept;
    uint32_t nkept;
};

void rp_stacks_init(struct rp_stacks *s, size_t bytes); /* rounded up to pages */
void rp_stacks_free(struct rp_stacks *s);               /* what is kept        */
void *rp_stack_get(struct rp_stacks *s);                /* its lowest byte; NULL: no memory, or too many mappings */
void rp_stack_put(struct rp_stacks *s, void *bottom);

#endif

/* fiber/switch_ucontext.c - switch.h by ucontext(3), for machines without an assembly file of their own. A place is
 * a ucontext_t on the stack that it describes; swapcontext saves the signal mask too, which costs a system call a
 * switch. */
#include "fiber/switch.h"

#if defined(RP_UCONTEXT) || (!defined(__x86_64__) && !defined(__aarch64__))
#include <stdint.h>
#include <ucontext.h>
#include "wire/check.h"

struct first {
    ucontext_t context;
    void (*entry)(void *);
    void *arg;
};

void rp_switch(void **from, void *to)
{
    ucontext_t here;
    *from = &here;
    int rc = swapcontext(&here, to);
    RP_ASSERT(rc == 0);
}

/* makecontext passes ints: a pointer in two of them. */
static void begin(unsigned high, unsigned low)
{
    struct first *first = (struct first *)(uintptr_t)((uint64_t)high << 32 | low);
    first->entry(first->arg);
}

void *rp_switch_prepare(void *bottom, size_t bytes, void (*entry)(void *), void *arg)
{
    uintptr_t at = ((uintptr_t)bottom + bytes - sizeof(struct first)) & ~(uintptr_t)63;
    struct first *first = (struct first *)at;
    first->entry = entry;
    first->arg = arg;
    int rc = getcontext(&first->context);
    RP_ASSERT(rc == 0);
    first->context.uc_stack.ss_sp = bottom;
    first->context.uc_stack.ss_size = at - (uintptr_t)bottom;
    first->context.uc_link = NULL;
    makecontext(&first->context, (void (*)(void))(void *)begin, 2, (unsigned)((uint64_t)at >> 32), (unsigned)at);
    return first;
}
#endif

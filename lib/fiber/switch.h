/* fiber/switch.h - the one thing about fibers that depends on the machine: leaving one stack and going on with
 * another.
 *
 * switch_x86_64.S and switch_aarch64.S do it in a few instructions; switch_ucontext.c everywhere else, and where the
 * build asks for it (RP_UCONTEXT), at the price of a system call each. Knows nothing of fibers. */
#ifndef RP_FIBER_SWITCH_H
#define RP_FIBER_SWITCH_H
#include <stddef.h>

/* Keeps what a called function must preserve on the present stack, leaves its place in `*from`, and goes on where
 * `to` says. Returns when somebody switches to `*from`. */
void rp_switch(void **from, void *to);
/* A place for the first switch to a stack of `bytes` from `bottom` up: it calls entry(arg), which never returns. */
void *rp_switch_prepare(void *bottom, size_t bytes, void (*entry)(void *), void *arg);

#endif

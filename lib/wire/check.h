/* wire/check.h - what we believe, stated in code. Asserts are for the caller's mistakes and our own invariants; they
 * stay on in release builds, and bytes from a server never trip them. */
#ifndef RP_WIRE_CHECK_H
#define RP_WIRE_CHECK_H
#include <stddef.h>
#include "wire/plant.h"

/* Prints what was believed and aborts. Defined once, in reactor/assert.c; tests may bring their own. */
_Noreturn void rp_assert_failed(const char *belief, const char *file, int line);

#define RP_ASSERT(belief) (__builtin_expect(!(belief), 0) ? rp_assert_failed(#belief, __FILE__, __LINE__) : (void)0)
/* A rule of the interface that the caller broke, in the words of its contract. */
#define RP_CALLER(belief, rule) \
    (__builtin_expect(!(belief), 0) ? rp_assert_failed(rule, __FILE__, __LINE__) : (void)0)
#define RP_CONTAINER(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))
#define RP_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#endif

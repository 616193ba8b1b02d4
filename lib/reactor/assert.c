/* reactor/assert.c - where a failed RP_ASSERT ends. A file of its own, so that a test program may bring another one. */
#include <stdio.h>
#include <stdlib.h>
#include "wire/check.h"

void rp_assert_failed(const char *belief, const char *file, int line)
{
    fprintf(stderr, "ringpg: %s:%d: not so: %s\n", file, line, belief);
    abort();
}

/* support/fake_clock_host.h - the smallest host: a clock that the test sets, and counters. It moves no bytes; the
 * simulated host does that. */
#ifndef TESTS_FAKE_CLOCK_HOST_H
#define TESTS_FAKE_CLOCK_HOST_H
#include <stdatomic.h>
#include "ringpg/host.h"
#include "ringpg/reactor.h"

struct fake_clock_host {
    struct pg_host host;
    struct pg_host_ops ops; /* of its own, so that a test may take operations away before the reactor is opened */
    uint64_t now_ns;
    unsigned clock_reads, wanted_turns;
    atomic_uint wakes;
};

void fake_clock_host_init(struct fake_clock_host *fake);

/* Where cmocka would call exit(): runs `misuse` in a child and returns the signal that ended it, 0 for none. */
int signal_of(void (*misuse)(void *), void *arg);

#endif

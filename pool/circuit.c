/* pool/circuit.c - see the header. Failures of tries that began together count as one: only a try that began after the
 * last failure (it is HALF_OPEN then) makes the delay longer. */
#include "pool/circuit.h"
#include "wire/check.h"

static const uint64_t BACKOFF_FIRST_NS = 100ull * 1000000, BACKOFF_MOST_NS = 3000ull * 1000000;

static const uint8_t next[RP_CIRCUIT_STATES][RP_TRY_EVENTS] = {
    [RP_CIRCUIT_CLOSED] = { [RP_TRY_BEGUN] = RP_CIRCUIT_CLOSED, [RP_TRY_SUCCEEDED] = RP_CIRCUIT_CLOSED,
                            [RP_TRY_FAILED] = RP_CIRCUIT_OPEN, [RP_TRY_GIVEN_UP] = RP_CIRCUIT_CLOSED,
                            [RP_LOOK_ANEW] = RP_CIRCUIT_CLOSED },
    [RP_CIRCUIT_OPEN] = { [RP_TRY_BEGUN] = RP_CIRCUIT_HALF_OPEN, [RP_TRY_SUCCEEDED] = RP_CIRCUIT_CLOSED,
                          [RP_TRY_FAILED] = RP_CIRCUIT_OPEN, [RP_TRY_GIVEN_UP] = RP_CIRCUIT_OPEN,
                          [RP_LOOK_ANEW] = RP_CIRCUIT_CLOSED },
    [RP_CIRCUIT_HALF_OPEN] = { [RP_TRY_BEGUN] = RP_CIRCUIT_STATES, [RP_TRY_SUCCEEDED] = RP_CIRCUIT_CLOSED,
                               [RP_TRY_FAILED] = RP_CIRCUIT_OPEN, [RP_TRY_GIVEN_UP] = RP_CIRCUIT_OPEN,
                               [RP_LOOK_ANEW] = RP_CIRCUIT_HALF_OPEN },
};

uint64_t rp_backoff(uint64_t *backoff_ns, uint32_t random)
{
    *backoff_ns = *backoff_ns ? *backoff_ns * 2 : BACKOFF_FIRST_NS;
    if (*backoff_ns > BACKOFF_MOST_NS) *backoff_ns = BACKOFF_MOST_NS;
    return *backoff_ns / 2 + *backoff_ns / 2 * (random % 1024) / 1024;
}

bool rp_circuit_permits(const struct rp_circuit *c, uint32_t under_way, uint64_t now_ns)
{
    if (RP_PLANT(trials_unlimited)) under_way = 0;
    return c->state == RP_CIRCUIT_CLOSED || (c->state == RP_CIRCUIT_OPEN && under_way == 0 && now_ns >= c->until_ns);
}

void rp_circuit_move(struct rp_circuit *c, enum rp_circuit_event event, uint64_t now_ns, uint32_t random)
{
    enum rp_circuit_state was = c->state;
    RP_ASSERT(next[was][event] != RP_CIRCUIT_STATES);
    c->state = next[was][event];
    if (c->state == RP_CIRCUIT_CLOSED) c->backoff_ns = 0;
    if (event == RP_TRY_FAILED && was != RP_CIRCUIT_OPEN) c->until_ns = now_ns + rp_backoff(&c->backoff_ns, random);
}

/* pool/circuit.h - whether something that failed may be tried again yet: a circuit breaker with capped exponential
 * backoff and jitter. Pure: time and chance are given, nobody is called.
 *
 *      CLOSED ----- failed -----> OPEN     tried no more before `until_ns`
 *         ^                      |    ^
 *     succeeded             begun|    | failed: the delay doubles
 *         \------ HALF_OPEN <----/    |    ended without a word: the time has come already
 *                     \---------------/
 *      OPEN -- look anew --> CLOSED
 *
 * The owner counts the tries under way: of a circuit that is not CLOSED there is one at the most. */
#ifndef RP_POOL_CIRCUIT_H
#define RP_POOL_CIRCUIT_H
#include <stdbool.h>
#include <stdint.h>

enum rp_circuit_state { RP_CIRCUIT_CLOSED, RP_CIRCUIT_OPEN, RP_CIRCUIT_HALF_OPEN, RP_CIRCUIT_STATES };
enum rp_circuit_event {
    RP_TRY_BEGUN,     /* permitted by rp_circuit_permits              */
    RP_TRY_SUCCEEDED, RP_TRY_FAILED,
    RP_TRY_GIVEN_UP,  /* ended by its owner: nothing was learned      */
    RP_LOOK_ANEW,     /* what was known is of the past                */
    RP_TRY_EVENTS
};

struct rp_circuit {
    enum rp_circuit_state state;
    uint64_t backoff_ns; /* the last delay before jitter, 0: none      */
    uint64_t until_ns;   /* OPEN: the next try's time                  */
};

/* The delay that follows after one of `*backoff_ns` (0: none yet) and is kept there: 100 ms, doubled each time, 3 s at
 * the most. What is returned is drawn from its upper half, so that many who failed together do not come back as one. */
uint64_t rp_backoff(uint64_t *backoff_ns, uint32_t random);

/* May a try begin, `under_way` being how many there are? */
bool rp_circuit_permits(const struct rp_circuit *c, uint32_t under_way, uint64_t now_ns);
void rp_circuit_move(struct rp_circuit *c, enum rp_circuit_event event, uint64_t now_ns, uint32_t random);

#endif

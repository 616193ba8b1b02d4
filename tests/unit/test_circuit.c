/* unit/test_circuit.c - the circuit by itself: which state follows which event, one try at a time unless it is closed,
 * the delays and the bounds of their jitter. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "pool/circuit.h"

#define MS UINT64_C(1000000)

static void states(void **state)
{
    (void)state;
    struct rp_circuit c = { 0 };
    assert_true(rp_circuit_permits(&c, 0, 0));
    assert_true(rp_circuit_permits(&c, 1000, 0)); /* closed: as many as there may be */
    rp_circuit_move(&c, RP_TRY_BEGUN, 0, 0);
    rp_circuit_move(&c, RP_TRY_GIVEN_UP, 0, 0);
    assert_int_equal(c.state, RP_CIRCUIT_CLOSED);

    rp_circuit_move(&c, RP_TRY_FAILED, 1000, 0);
    assert_int_equal(c.state, RP_CIRCUIT_OPEN);
    assert_int_equal(c.until_ns, 1000 + 50 * MS);
    rp_circuit_move(&c, RP_TRY_FAILED, 2000, 0); /* one that began before: the same failure */
    assert_int_equal(c.until_ns, 1000 + 50 * MS);
    assert_false(rp_circuit_permits(&c, 0, c.until_ns - 1));
    assert_true(rp_circuit_permits(&c, 0, c.until_ns));
    assert_false(rp_circuit_permits(&c, 1, c.until_ns)); /* no more than one */

    rp_circuit_move(&c, RP_TRY_BEGUN, c.until_ns, 0);
    assert_int_equal(c.state, RP_CIRCUIT_HALF_OPEN);
    assert_false(rp_circuit_permits(&c, 0, c.until_ns + 1));
    rp_circuit_move(&c, RP_TRY_GIVEN_UP, 0, 0); /* nothing was learned: the next may begin */
    assert_int_equal(c.state, RP_CIRCUIT_OPEN);
    assert_true(rp_circuit_permits(&c, 0, c.until_ns));
    rp_circuit_move(&c, RP_TRY_BEGUN, 0, 0);
    rp_circuit_move(&c, RP_TRY_FAILED, 5000, 0);
    assert_int_equal(c.state, RP_CIRCUIT_OPEN);
    assert_int_equal(c.until_ns, 5000 + 100 * MS);
    rp_circuit_move(&c, RP_TRY_SUCCEEDED, 0, 0); /* a connect that took its time */
    assert_int_equal(c.state, RP_CIRCUIT_CLOSED);
    assert_int_equal(c.backoff_ns, 0);

    rp_circuit_move(&c, RP_TRY_FAILED, 0, 0);
    rp_circuit_move(&c, RP_TRY_BEGUN, 0, 0);
    rp_circuit_move(&c, RP_TRY_SUCCEEDED, 0, 0);
    assert_int_equal(c.state, RP_CIRCUIT_CLOSED);
    rp_circuit_move(&c, RP_TRY_FAILED, 0, 0);
    assert_int_equal(c.until_ns, 50 * MS); /* from the beginning */
}

/* 100 ms, doubled, 3 s; what is waited is between a half and the whole of it, and all of that comes to pass. */
static void delays(void **state)
{
    (void)state;
    static const uint64_t expected[] = { 100, 200, 400, 800, 1600, 3000, 3000, 3000 };
    for (uint32_t random = 0; random < 2048; random += 7) {
        uint64_t backoff_ns = 0;
        for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++) {
            uint64_t delay_ns = rp_backoff(&backoff_ns, random);
            assert_int_equal(backoff_ns, expected[i] * MS);
            assert_in_range(delay_ns, expected[i] * MS / 2, expected[i] * MS);
        }
    }
    uint64_t least = 0, most = 0;
    assert_int_equal(rp_backoff(&least, 1024), 50 * MS);
    assert_in_range(rp_backoff(&most, 1023), 99 * MS, 100 * MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(states), cmocka_unit_test(delays) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

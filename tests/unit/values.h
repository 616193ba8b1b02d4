/* unit/values.h - what the tests of values, parameters and rows share: seeded random numbers, big-endian bytes, and
 * values in blocks of exactly their size, so that AddressSanitizer sees a read behind them. */
#ifndef TESTS_UNIT_VALUES_H
#define TESTS_UNIT_VALUES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "wire/row.h"

/* splitmix64: every state is a good seed. */
static inline uint64_t random_u64(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* All magnitudes alike: small numbers and extremes are as frequent as the rest. */
static inline int64_t random_integer(uint64_t *state)
{
    uint64_t bits = random_u64(state) >> random_u64(state) % 64;
    return (int64_t)(random_u64(state) % 2 ? bits : ~bits);
}

static inline size_t put_big_endian(uint8_t *to, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        size_t above = size - 1 - i;
        to[i] = above < sizeof number ? (uint8_t)(number >> 8 * above) : 0;
    }
    return size;
}

static inline uint64_t double_bits(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static inline uint32_t float_bits(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* `n` bytes in a block of their own, which lives until the next call. */
static inline uint8_t *exactly(const void *bytes, size_t n)
{
    static uint8_t *block;
    free(block);
    block = malloc(n ? n : 1);
    assert_non_null(block);
    if (n) memcpy(block, bytes, n);
    return block;
}

#endif

/* support/toy.c - see the header. */
#include <stddef.h>
#include <string.h>
#include "support/sim.h"
#include "support/toy.h"

enum { KIND_DATA = 'd', KIND_END = 'e' };

static struct toy *toy_of(struct rp_transform *t) { return (struct toy *)(void *)t; }

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 29;
}

/* From `from` to the other one, as both know it. */
static uint64_t key(uint32_t from, uint32_t to) { return mixed((uint64_t)from << 32 | to); }

/* Eight bytes with one key word, where there are eight of them: most of the simulator's bytes pass here. */
static void mask(uint64_t key, uint64_t place, const uint8_t *at, size_t n, uint8_t *to)
{
    for (size_t i = 0, step; i < n; i += step, place += step) {
        uint64_t word = mixed(key + place / 8), eight;
        step = 8 - place % 8 < n - i ? 8 - place % 8 : n - i;
        if (step == 8) {
            memcpy(&eight, at + i, 8);
            eight ^= word;
            memcpy(to + i, &eight, 8);
            continue;
        }
        uint8_t one[8];
        memcpy(one, &word, 8);
        for (size_t k = 0; k < step; k++) to[i + k] = at[i + k] ^ one[place % 8 + k];
    }
}

static uint32_t sum_of(uint64_t key, uint64_t place, const uint8_t *head, const uint8_t *body, size_t n)
{
    uint64_t sum = key ^ place << 1, eight;
    for (size_t i = 0; i < TOY_HEAD; i++) sum = mixed(sum ^ head[i]);
    for (; n >= 8; body += 8, n -= 8) {
        memcpy(&eight, body, 8);
        sum = mixed(sum ^ eight);
    }
    for (size_t i = 0; i < n; i++) sum = mixed(sum ^ body[i]);
    return (uint32_t)(sum >> 16);
}

void toy_init(struct toy *t, uint32_t nonce)
{
    memset(t, 0, offsetof(struct toy, in));
    t->transform.ops = &toy_ops;
    t->ours = nonce;
    memcpy(t->out, "toy1", 4);
    memcpy(t->out + 4, &nonce, 4);
    t->out_end = TOY_HELLO;
}

/* ---- what comes ---- */

static int toy_feed(struct rp_transform *transform, const uint8_t *at, size_t n)
{
    struct toy *t = toy_of(transform);
    if (n > RP_CODED_IN) sim_fail("a transform is fed with %zu bytes", n);
    memmove(t->in, t->in + t->in_at, t->in_end - t->in_at);
    t->in_end -= t->in_at;
    t->in_at = 0;
    if (n > sizeof t->in - t->in_end) sim_fail("a transform is fed before it was read to its end");
    memcpy(t->in + t->in_end, at, n);
    t->in_end += n;
    return 0;
}

static ptrdiff_t failed(struct toy *t, const char *why)
{
    t->transform.why = why;
    return RP_TRANSFORM_FAILED;
}

/* 1: it was here. */
static ptrdiff_t take_hello(struct toy *t)
{
    size_t n = t->in_end - t->in_at, known = n < 4 ? n : 4;
    if (memcmp(t->in + t->in_at, "toy1", known)) return failed(t, "the server does not speak toy");
    if (n < TOY_HELLO) return 0;
    memcpy(&t->theirs, t->in + t->in_at + 4, 4);
    t->in_at += TOY_HELLO;
    return t->theirs ? 1 : failed(t, "a nonce of zero");
}

/* A whole record that is right: 1. Its size in `*n`. */
static ptrdiff_t look(struct toy *t, size_t *n)
{
    const uint8_t *at = t->in + t->in_at;
    size_t here = t->in_end - t->in_at;
    uint32_t sum;
    if (here < TOY_HEAD) return 0;
    *n = (size_t)at[1] << 8 | at[2];
    if ((at[0] != KIND_DATA && at[0] != KIND_END) || *n > TOY_RECORD_MOST) return failed(t, "not a record");
    if (here < TOY_HEAD + *n + TOY_SUM) return 0;
    memcpy(&sum, at + TOY_HEAD + *n, TOY_SUM);
    if (sum != sum_of(key(t->theirs, t->ours), t->read - t->plain, at, at + TOY_HEAD, *n))
        return failed(t, "a record's checksum is wrong");
    return 1;
}

static ptrdiff_t toy_read(struct rp_transform *transform, uint8_t *to, size_t capacity)
{
    struct toy *t = toy_of(transform);
    size_t n;
    ptrdiff_t rc;
    if (t->transform.why) return RP_TRANSFORM_FAILED;
    if (!t->theirs && (rc = take_hello(t)) <= 0) return rc;
    if (t->ended) return RP_TRANSFORM_END;
    if ((rc = look(t, &n)) <= 0) return rc;
    if (t->in[t->in_at] == KIND_END) {
        t->ended = true;
        return RP_TRANSFORM_END;
    }
    size_t more = n - t->plain < capacity ? n - t->plain : capacity;
    mask(key(t->theirs, t->ours), t->read, t->in + t->in_at + TOY_HEAD + t->plain, more, to);
    t->plain += more;
    t->read += more;
    if (t->plain == n) {
        t->in_at += TOY_HEAD + n + TOY_SUM;
        t->plain = 0;
    }
    return (ptrdiff_t)more;
}

/* ---- what goes ---- */

static void put_record(struct toy *t, uint8_t kind, const uint8_t *at, size_t n)
{
    uint8_t *to = t->out + t->out_end;
    uint64_t k = key(t->ours, t->theirs);
    to[0] = kind;
    to[1] = (uint8_t)(n >> 8);
    to[2] = (uint8_t)n;
    mask(k, t->written, at, n, to + TOY_HEAD);
    uint32_t sum = sum_of(k, t->written, to, to + TOY_HEAD, n);
    memcpy(to + TOY_HEAD + n, &sum, TOY_SUM);
    t->written += n;
    t->out_end += TOY_HEAD + n + TOY_SUM;
}

static bool has_room(const struct toy *t)
{
    return sizeof t->out - t->out_end >= 2 * (TOY_HEAD + TOY_SUM) + TOY_RECORD_MOST;
}

static ptrdiff_t toy_write(struct rp_transform *transform, const uint8_t *at, size_t n)
{
    struct toy *t = toy_of(transform);
    if (t->said_end) sim_fail("a transform is written to behind its end");
    if (t->transform.why) return RP_TRANSFORM_FAILED;
    if (!t->theirs || !has_room(t)) return 0;
    if (n > TOY_RECORD_MOST) n = TOY_RECORD_MOST;
    put_record(t, KIND_DATA, at, n);
    return (ptrdiff_t)n;
}

static size_t toy_give(struct rp_transform *transform, uint8_t *to, size_t capacity)
{
    struct toy *t = toy_of(transform);
    size_t n = t->out_end - t->out_at < capacity ? t->out_end - t->out_at : capacity;
    memcpy(to, t->out + t->out_at, n);
    t->out_at += n;
    if (t->out_at == t->out_end) t->out_at = t->out_end = 0;
    return n;
}

static void toy_end(struct rp_transform *transform)
{
    struct toy *t = toy_of(transform);
    if (t->said_end) sim_fail("a transform's end is asked for twice");
    t->said_end = true;
    if (t->theirs && has_room(t)) put_record(t, KIND_END, NULL, 0);
}

static void toy_free(struct rp_transform *transform)
{
    struct toy *t = toy_of(transform);
    if (t->reactor) rp_free(t->reactor, t, sizeof *t);
}

static size_t toy_binding(struct rp_transform *transform, uint8_t *to)
{
    (void)transform, (void)to;
    return 0;
}

const struct rp_transform_ops toy_ops = { toy_feed, toy_read, toy_write, toy_give, toy_end, toy_free, toy_binding };

struct rp_transform *toy_make(void *sim, struct pg_reactor *r)
{
    struct toy *t = rp_alloc(r, sizeof *t);
    if (!t) return NULL;
    toy_init(t, 1 + (uint32_t)sim_random(sim, UINT32_MAX - 1));
    t->reactor = r;
    return &t->transform;
}

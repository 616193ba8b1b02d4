/* support/sim_heap.c - the simulator's small tools: the event heap, chance, growing bytes, pipes. They know nothing
 * of hosts. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "support/sim_private.h"

void sim_fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fflush(stdout);
    fputs("simulation: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

static void *grown(void *at, size_t bytes)
{
    void *to = realloc(at, bytes);
    if (!to) sim_fail("out of memory");
    return to;
}

/* ---- chance: xoshiro256** ---- */
static uint64_t rotated(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t sim_next(uint64_t s[4])
{
    uint64_t result = rotated(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 45);
    return result;
}

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    return below < 2 ? 0 : sim_next(sim->random) % below;
}

bool sim_chance(struct sim *sim, uint32_t per_mille)
{
    return per_mille && sim_random(sim, 1000) < per_mille;
}

uint64_t sim_latency(struct sim *sim)
{
    const struct sim_config *c = &sim->config;
    return c->latency_min_ns + (c->latency_max_ns > c->latency_min_ns
                                    ? sim_random(sim, c->latency_max_ns - c->latency_min_ns + 1) : 0);
}

static uint64_t mixed(uint64_t hash, const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 32;
}

/* Four words at a time, of which none waits for another. */
uint64_t sim_mix(uint64_t hash, const void *at, size_t n)
{
    enum { WORD = sizeof(uint64_t), LANES = 4 };
    const uint8_t *byte = at;
    uint64_t lane[LANES] = { hash, ~hash, hash << 1, hash >> 1 };
    bool long_one = n >= LANES * WORD;
    for (; n >= LANES * WORD; byte += LANES * WORD, n -= LANES * WORD)
        for (int i = 0; i < LANES; i++) lane[i] = mixed(lane[i], byte + i * WORD);
    for (int i = 0; i < LANES && long_one; i++) hash = (hash ^ lane[i]) * UINT64_C(0x9e3779b97f4a7c15);
    for (; n >= WORD; byte += WORD, n -= WORD) hash = mixed(hash, byte);
    for (; n; byte++, n--) hash = (hash ^ *byte) * UINT64_C(0x100000001b3);
    return hash;
}

void sim_trace(struct sim *sim, unsigned what, int64_t a, int64_t b)
{
    uint64_t words[4] = { sim->now_ns, what, (uint64_t)a, (uint64_t)b };
    sim->hash = sim_mix(sim->hash, words, sizeof words);
}

/* ---- the heap ---- */
static bool before(const struct sim_event *a, const struct sim_event *b)
{
    if (a->at_ns != b->at_ns) return a->at_ns < b->at_ns;
    if (a->step != b->step) return a->step < b->step;
    return a->key < b->key;
}

static void put_at(struct sim_heap *heap, size_t place, struct sim_event *event)
{
    heap->at[place - 1] = event;
    event->place = place;
}

static void sift(struct sim_heap *heap, size_t place, struct sim_event *event)
{
    for (; place > 1 && before(event, heap->at[place / 2 - 1]); place /= 2)
        put_at(heap, place, heap->at[place / 2 - 1]);
    for (;;) {
        size_t child = place * 2;
        if (child > heap->count) break;
        if (child < heap->count && before(heap->at[child], heap->at[child - 1])) child++;
        if (!before(heap->at[child - 1], event)) break;
        put_at(heap, place, heap->at[child - 1]);
        place = child;
    }
    put_at(heap, place, event);
}

void sim_event_clear(struct sim *sim, struct sim_event *event)
{
    struct sim_heap *heap = &sim->heap;
    size_t place = event->place;
    if (!place) return;
    event->place = 0;
    struct sim_event *last = heap->at[--heap->count];
    if (last != event) sift(heap, place, last);
}

void sim_event_set(struct sim *sim, struct sim_event *event, uint64_t at_ns)
{
    struct sim_heap *heap = &sim->heap;
    sim_event_clear(sim, event);
    if (heap->count == heap->capacity) {
        heap->capacity = heap->capacity ? heap->capacity * 2 : 64;
        heap->at = grown(heap->at, heap->capacity * sizeof *heap->at);
    }
    event->at_ns = at_ns;
    event->step = sim->step;
    event->key = sim_next(sim->random);
    heap->count++;
    sift(heap, heap->count, event);
}

/* ---- bytes ---- */
enum { SIM_BYTES_LEAST = 256 }; /* most hold a message or two, put together of a few bytes at a time */

void sim_bytes_put(struct sim_bytes *b, const void *at, size_t n)
{
    if (!n) return;
    if (b->head + b->size + n > b->capacity && b->head) {
        memmove(b->at, b->at + b->head, b->size);
        b->head = 0;
    }
    if (b->size + n > b->capacity) {
        b->capacity = (b->size + n) * 2 > SIM_BYTES_LEAST ? (b->size + n) * 2 : SIM_BYTES_LEAST;
        b->at = grown(b->at, b->capacity);
    }
    memcpy(b->at + b->head + b->size, at, n);
    b->size += n;
}

void sim_bytes_take(struct sim_bytes *b, void *to, size_t n)
{
    if (n > b->size) sim_fail("%zu bytes taken of %zu", n, b->size);
    if (to && n) memcpy(to, b->at + b->head, n);
    b->head += n;
    b->size -= n;
    if (!b->size) b->head = 0;
}

void sim_bytes_free(struct sim_bytes *b)
{
    free(b->at);
    *b = (struct sim_bytes){ 0 };
}

/* ---- pipes ---- */
void sim_pipe_put(struct sim *sim, struct sim_pipe *pipe, enum sim_segment_kind kind, const void *at, size_t n)
{
    if (pipe->head && pipe->head == pipe->count) pipe->head = pipe->count = 0;
    if (pipe->count == pipe->capacity && pipe->head > pipe->count / 2) {
        memmove(pipe->segments, pipe->segments + pipe->head, (pipe->count - pipe->head) * sizeof *pipe->segments);
        pipe->count -= pipe->head;
        pipe->head = 0;
    }
    if (pipe->count == pipe->capacity) {
        pipe->capacity = pipe->capacity ? pipe->capacity * 2 : 8;
        pipe->segments = grown(pipe->segments, pipe->capacity * sizeof *pipe->segments);
    }
    uint64_t due = sim->now_ns + sim_latency(sim);
    if (due < pipe->last_due_ns) due = pipe->last_due_ns;
    pipe->last_due_ns = due;
    pipe->segments[pipe->count++] = (struct sim_segment){ .kind = kind, .bytes = n, .due_ns = due };
    sim_bytes_put(&pipe->bytes, at, n);
    if (pipe->count - pipe->head == 1) sim_event_set(sim, &pipe->arrival, due);
}

struct sim_segment sim_pipe_take(struct sim_pipe *pipe)
{
    return pipe->segments[pipe->head++];
}

void sim_pipe_again(struct sim *sim, struct sim_pipe *pipe)
{
    if (pipe->head == pipe->count || pipe->arrival.place) return;
    uint64_t due = pipe->segments[pipe->head].due_ns;
    sim_event_set(sim, &pipe->arrival, due > sim->now_ns ? due : sim->now_ns);
}

void sim_pipe_free(struct sim *sim, struct sim_pipe *pipe)
{
    sim_event_clear(sim, &pipe->arrival);
    free(pipe->segments);
    sim_bytes_free(&pipe->bytes);
    pipe->segments = NULL;
    pipe->head = pipe->count = pipe->capacity = 0;
}

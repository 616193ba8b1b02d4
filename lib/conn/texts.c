/* conn/texts.c - texts that are kept: see the header. A table of buckets finds them, a list has them in the order of
 * their use, and their bytes lie in chunks of one size, so that room for one is found without moving another. */
#include "conn/texts.h"
#include <errno.h>
#include "wire/check.h"

enum { CHUNK = 124, SHARE = 4, SEEN = 16, WORD = 8 };
struct rp_text_chunk {
    uint32_t next;
    char bytes[CHUNK];
};

/* ---- memory ---- */

int rp_texts_init(struct rp_texts *t, struct pg_reactor *r, uint32_t places, size_t bytes)
{
    uint32_t ring = 1;
    while (ring < places) ring *= 2;
    *t = (struct rp_texts){ .reactor = r, .view = { .places = places, .ring = ring } };
    t->view.share = (bytes / places / WORD + 1) * WORD;
    TAILQ_INIT(&t->used);
    TAILQ_INIT(&t->unused);
    t->nchunks = t->nfree = (uint32_t)(bytes / sizeof *t->chunk);
    t->text = rp_alloc(r, places * sizeof *t->text);
    t->bucket = rp_alloc(r, ring * sizeof *t->bucket);
    t->seen = rp_alloc(r, SEEN * ring * sizeof *t->seen);
    t->chunk = rp_alloc(r, t->nchunks * sizeof *t->chunk);
    t->view.eviction = rp_alloc(r, ring * sizeof *t->view.eviction);
    t->view.serial = rp_alloc(r, places * sizeof *t->view.serial);
    t->view.pins = rp_alloc(r, places * sizeof *t->view.pins);
    t->view.generation = rp_alloc(r, places * sizeof *t->view.generation);
    t->view.description = rp_alloc(r, places * t->view.share);
    if (!t->text || !t->bucket || !t->seen || !t->chunk || !t->view.eviction || !t->view.serial || !t->view.pins ||
        !t->view.generation || !t->view.description)
        return -ENOMEM;
    for (uint32_t i = 0; i < places; i++) TAILQ_INSERT_TAIL(&t->unused, &t->text[i], link);
    for (uint32_t i = 0; i < ring; i++) t->bucket[i] = RP_TEXT_NOWHERE;
    for (uint32_t i = 0; i < t->nchunks; i++) t->chunk[i].next = i + 1;
    return 0;
}

void rp_texts_free(struct rp_texts *t)
{
    const struct rp_texts_view *v = &t->view;
    const struct { void *at; size_t bytes; } parts[] = {
        { t->text, v->places * sizeof *t->text },       { t->bucket, v->ring * sizeof *t->bucket },
        { t->seen, SEEN * v->ring * sizeof *t->seen },  { t->chunk, t->nchunks * sizeof *t->chunk },
        { v->eviction, v->ring * sizeof *v->eviction }, { v->serial, v->places * sizeof *v->serial },
        { v->pins, v->places * sizeof *v->pins },       { v->generation, v->places * sizeof *v->generation },
        { v->description, v->places * v->share },
    };
    for (size_t i = 0; i < RP_COUNT(parts); i++)
        if (parts[i].at) rp_free(t->reactor, parts[i].at, parts[i].bytes);
    *t = (struct rp_texts){ 0 };
}

/* ---- what is looked for ---- */

struct key {
    struct rp_bind bind;
    const char *sql;
    size_t size;
    uint64_t hash;
};

static uint64_t mixed(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static struct key key_of(const struct pg_query *q)
{
    struct key k = { .bind = { .params = q->params, .nparams = q->nparams }, .sql = q->sql, .size = strlen(q->sql) };
    const char *at = k.sql;
    uint64_t word;
    k.hash = k.size;
    for (uint32_t i = 0; i < k.bind.nparams; i++) k.hash = mixed(k.hash, rp_parse_type(&k.bind, i));
    for (size_t left = k.size; left; left -= left < sizeof word ? left : sizeof word, at += sizeof word) {
        word = 0;
        memcpy(&word, at, left < sizeof word ? left : sizeof word);
        k.hash = mixed(k.hash, word);
    }
    k.hash = mixed(k.hash, k.bind.nparams);
    return k;
}

/* ---- chunks ---- */

struct place {
    uint32_t chunk;
    size_t used;
};

/* Where the next of `left` bytes are, and how many of them: `*n`. */
static char *next_part(const struct rp_texts *t, struct place *p, size_t left, size_t *n)
{
    if (p->used == CHUNK) *p = (struct place){ t->chunk[p->chunk].next, 0 };
    char *at = t->chunk[p->chunk].bytes + p->used;
    *n = left < CHUNK - p->used ? left : CHUNK - p->used;
    p->used += *n;
    return at;
}

static void put(struct rp_texts *t, struct place *p, const void *bytes, size_t left)
{
    const char *from = bytes;
    for (size_t n; left; left -= n, from += n) {
        char *to = next_part(t, p, left, &n);
        memcpy(to, from, n);
    }
}

static bool equal(const struct rp_texts *t, struct place *p, const void *bytes, size_t left)
{
    const char *with = bytes;
    for (size_t n; left; left -= n, with += n) {
        const char *kept = next_part(t, p, left, &n);
        if (memcmp(kept, with, n) != 0) return false;
    }
    return true;
}

static bool is_of(const struct rp_texts *t, const struct rp_text *x, const struct key *k)
{
    struct place at = { x->chunk, 0 };
    if (x->hash != k->hash || x->size != k->size || x->ntypes != k->bind.nparams) return false;
    for (uint32_t i = 0; i < x->ntypes; i++) {
        uint32_t type = rp_parse_type(&k->bind, i);
        if (!equal(t, &at, &type, sizeof type)) return false;
    }
    return equal(t, &at, k->sql, k->size);
}

static size_t bytes_of(size_t size, uint32_t ntypes) { return size + ntypes * sizeof(uint32_t); }
static uint32_t chunks_of(size_t bytes) { return (uint32_t)((bytes + CHUNK - 1) / CHUNK); }

/* ---- places ---- */

static uint32_t place_of(const struct rp_texts *t, const struct rp_text *x) { return (uint32_t)(x - t->text); }
static uint32_t *bucket_of(const struct rp_texts *t, uint64_t hash) { return &t->bucket[hash & (t->view.ring - 1)]; }

static void evict(struct rp_texts *t, struct rp_text *x)
{
    struct rp_texts_view *v = &t->view;
    uint32_t place = place_of(t, x), n = chunks_of(bytes_of(x->size, x->ntypes)), last = x->chunk;
    uint32_t *link = bucket_of(t, x->hash);
    while (*link != place) link = &t->text[*link].next;
    *link = x->next;
    for (uint32_t i = 1; i < n; i++) last = t->chunk[last].next;
    if (n) t->chunk[last].next = t->free, t->free = x->chunk;
    t->nfree += n;
    v->serial[place] = 0;
    v->eviction[v->evicted++ & (v->ring - 1)] = place;
    TAILQ_REMOVE(&t->used, x, link);
    TAILQ_INSERT_HEAD(&t->unused, x, link);
}

/* False: what is here is needed. */
static bool make_room(struct rp_texts *t, uint32_t chunks)
{
    struct rp_text *x = TAILQ_LAST(&t->used, rp_text_list), *before;
    for (; x && (TAILQ_EMPTY(&t->unused) || t->nfree < chunks); x = before) {
        before = TAILQ_PREV(x, rp_text_list, link);
        if (!t->view.pins[place_of(t, x)] || RP_PLANT(evicted_in_flight)) evict(t, x);
    }
    return !TAILQ_EMPTY(&t->unused) && t->nfree >= chunks;
}

static uint32_t keep(struct rp_texts *t, const struct key *k)
{
    size_t bytes = bytes_of(k->size, k->bind.nparams);
    uint32_t chunks = chunks_of(bytes);
    if (bytes > t->nchunks * sizeof *t->chunk / SHARE || !make_room(t, chunks)) return RP_TEXT_NOWHERE;
    struct rp_text *x = TAILQ_FIRST(&t->unused);
    struct place at = { x->chunk = t->free, 0 };
    TAILQ_REMOVE(&t->unused, x, link);
    TAILQ_INSERT_HEAD(&t->used, x, link);
    x->hash = k->hash;
    x->size = k->size;
    x->ntypes = k->bind.nparams;
    for (uint32_t i = 0; i < x->ntypes; i++) {
        uint32_t type = rp_parse_type(&k->bind, i);
        put(t, &at, &type, sizeof type);
    }
    put(t, &at, k->sql, k->size);
    for (uint32_t i = 0; i < chunks; i++) t->free = t->chunk[t->free].next;
    t->nfree -= chunks;
    x->next = *bucket_of(t, k->hash);
    *bucket_of(t, k->hash) = place_of(t, x);
    t->view.serial[place_of(t, x)] = ++t->serial;
    t->view.generation[place_of(t, x)] = 0;
    return place_of(t, x);
}

uint32_t rp_texts_find(struct rp_texts *t, const struct pg_query *q)
{
    struct key k = key_of(q);
    for (uint32_t place = *bucket_of(t, k.hash); place != RP_TEXT_NOWHERE; place = t->text[place].next) {
        struct rp_text *x = &t->text[place];
        if (!is_of(t, x, &k)) continue;
        TAILQ_REMOVE(&t->used, x, link);
        TAILQ_INSERT_HEAD(&t->used, x, link);
        return place;
    }
    uint32_t *seen = &t->seen[(k.hash >> 32) & (SEEN * t->view.ring - 1)];
    if (*seen == (uint32_t)k.hash) return keep(t, &k);
    *seen = (uint32_t)k.hash;
    return RP_TEXT_NOWHERE;
}

/* stats.c - publishing and printing the reactors' figures. */
#include "stats.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app.h"

enum { JSON_BYTES_PER_REACTOR = 1536, METRICS_BYTES_PER_REACTOR = 32 * 1024 };

int stats_init(struct stats *stats, unsigned reactors)
{
    size_t bytes = reactors * sizeof *stats->cells;
    stats->reactors = reactors;
    stats->cells = aligned_alloc(_Alignof(struct stats_cell), bytes);
    if (!stats->cells) return -ENOMEM;
    memset(stats->cells, 0, bytes);
    for (unsigned i = 0; i < reactors; i++) pthread_mutex_init(&stats->cells[i].pool_lock, NULL);
    return 0;
}

void stats_free(struct stats *stats) { free(stats->cells); }

void stats_publish(struct stats_cell *cell, const struct stats_sample *sample)
{
    uint64_t words[STATS_WORDS] = { 0 };
    memcpy(words, sample, sizeof *sample);
    uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
    atomic_store_explicit(&cell->sequence, sequence + 1, memory_order_relaxed);
    for (size_t i = 0; i < STATS_WORDS; i++) /* release: whoever sees one of these words sees the odd sequence, too */
        atomic_store_explicit(&cell->words[i], words[i], memory_order_release);
    atomic_store_explicit(&cell->sequence, sequence + 2, memory_order_release);
}

void stats_read(const struct stats_cell *cell, struct stats_sample *out)
{
    uint64_t words[STATS_WORDS], before, after;
    do {
        before = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        for (size_t i = 0; i < STATS_WORDS; i++)
            words[i] = atomic_load_explicit(&cell->words[i], memory_order_acquire);
        after = atomic_load_explicit(&cell->sequence, memory_order_relaxed);
    } while ((before & 1) || before != after);
    memcpy(out, words, sizeof *out);
}

void stats_show_pool(struct stats_cell *cell, const struct pg_pool *pool)
{
    pthread_mutex_lock(&cell->pool_lock);
    cell->pool = pool;
    pthread_mutex_unlock(&cell->pool_lock);
}

void stats_read_pool(struct stats_cell *cell, struct pg_pool_stats *out)
{
    memset(out, 0, sizeof *out);
    out->size = sizeof *out;
    pthread_mutex_lock(&cell->pool_lock);
    if (cell->pool) pg_pool_stats(cell->pool, out);
    pthread_mutex_unlock(&cell->pool_lock);
}

static size_t print_reactor(char *at, size_t room, unsigned index, const struct stats_sample *s,
                            const struct pg_pool_stats *p)
{
    const struct { const char *name; uint64_t value; } fields[] = {
        { "reactor", index },
        { "max_conns", p->max_conns },
        { "conns", p->total_conns },
        { "in_use", p->acquired_conns },
        { "shared", p->shared_conns },
        { "idle", p->idle_conns },
        { "connecting", p->constructing_conns },
        { "parked", p->pending },
        { "max_parked", p->max_pending },
        { "acquire_count", p->acquire_count },
        { "acquire_wait_ns", p->acquire_duration_ns },
        { "parked_count", p->empty_acquire_count },
        { "parked_wait_ns", p->empty_acquire_wait_ns },
        { "max_wait_ns", p->maxwait_ns },
        { "cancelled", p->canceled_acquire_count },
        { "timeouts", p->timeout_count },
        { "refused", p->refused_count },
        { "queries", p->query_count },
        { "connects", p->new_conns_count },
        { "lost", p->lost_conns_count },
        { "connect_failures", p->connect_failed_count },
        { "reconnects", s->reconnects },
        { "http_connections", s->http.connections },
        { "http_open", s->http.open },
        { "http_requests", s->http.requests },
        { "http_gone", s->http.gone },
    };
    size_t used = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields && used < room; i++) {
        int n = snprintf(at + used, room - used, "%s\"%s\":%llu", i ? "," : "{", fields[i].name,
                         (unsigned long long)fields[i].value);
        used += n > 0 ? (size_t)n : 0;
    }
    return used;
}

void handle_stats(struct app *app, struct http *http)
{
    size_t room = app->stats->reactors * (size_t)JSON_BYTES_PER_REACTOR + 8, used = 0;
    char *json = malloc(room);
    if (!json) {
        http_reply_text(http, 503, "out of memory\n");
        return;
    }
    for (unsigned i = 0; i < app->stats->reactors; i++) {
        struct stats_sample sample;
        struct pg_pool_stats pool;
        stats_read(&app->stats->cells[i], &sample);
        stats_read_pool(&app->stats->cells[i], &pool);
        json[used++] = i ? ',' : '[';
        used += print_reactor(json + used, room - used - 4, i, &sample, &pool);
        json[used++] = '}';
    }
    memcpy(json + used, "]\n", 2);
    http_reply_json(http, json, used + 2);
    free(json);
}

/* For Prometheus, all reactors' pools, whichever reactor was asked. */
void handle_metrics(struct app *app, struct http *http)
{
    unsigned n = app->stats->reactors;
    size_t room = (n + 1) * (size_t)METRICS_BYTES_PER_REACTOR;
    struct metrics { struct pg_pool_stats stats; char labels[32]; } *all = calloc(n, sizeof *all);
    struct pg_metrics_source *sources = calloc(n, sizeof *sources);
    char *text = malloc(room);
    if (all && sources && text) {
        for (unsigned i = 0; i < n; i++) {
            stats_read_pool(&app->stats->cells[i], &all[i].stats);
            snprintf(all[i].labels, sizeof all[i].labels, "reactor=\"%u\"", i);
            sources[i] = (struct pg_metrics_source){ &all[i].stats, all[i].labels };
        }
        http_reply(http, 200, text, pg_stats_metrics(sources, n, text, room));
    } else {
        http_reply_text(http, 503, "out of memory\n");
    }
    free(text);
    free(sources);
    free(all);
}

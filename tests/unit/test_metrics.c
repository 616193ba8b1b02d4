/* unit/test_metrics.c - the text for Prometheus, read back by a strict little parser of its format, and cut as snprintf
 * cuts. */
#define _GNU_SOURCE
#include "support/world.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- a strict reader of the exposition format: one family after another, HELP, TYPE, then its samples ---- */

enum { LINES = 4000, LABELS = 4 };
struct sample {
    char name[96], labels[160];
    double value;
};
struct family { char name[96], type[16]; size_t first, samples; };
static struct sample sample[LINES];
static struct family family[64];
static size_t samples, families;

static const char *take_name(const char *at, char *out, size_t room)
{
    size_t n = 0;
    if (!isalpha((unsigned char)*at) && *at != '_' && *at != ':') fail_msg("no name: %.40s", at);
    while (isalnum((unsigned char)*at) || *at == '_' || *at == ':') {
        assert_true(n + 1 < room);
        out[n++] = *at++;
    }
    out[n] = '\0';
    return at;
}

static const char *expect(const char *at, const char *what)
{
    if (strncmp(at, what, strlen(what))) fail_msg("\"%s\" expected: %.60s", what, at);
    return at + strlen(what);
}

/* {name="value",...}, each name once; no escapes, since ours has none. */
static const char *take_labels(const char *at, struct sample *s)
{
    char names[LABELS][32];
    size_t n = 0;
    const char *begin = at;
    s->labels[0] = '\0';
    if (*at != '{') return at;
    do {
        assert_true(n < LABELS);
        at = expect(take_name(at + 1, names[n], sizeof names[n]), "=\"");
        for (size_t i = 0; i < n; i++) assert_string_not_equal(names[i], names[n]);
        n++;
        size_t value = strcspn(at, "\"\\\n");
        at = expect(at + value, "\"");
    } while (*at == ',');
    at = expect(at, "}");
    assert_true((size_t)(at - begin) < sizeof s->labels);
    memcpy(s->labels, begin, (size_t)(at - begin));
    s->labels[at - begin] = '\0';
    return at;
}

static const char *take_comments(const char *at)
{
    struct family *f = &family[families++];
    assert_true(families < 64);
    at = expect(take_name(expect(at, "# HELP "), f->name, sizeof f->name), " ");
    assert_true(isupper((unsigned char)*at));
    at = expect(strchr(at, '\n'), "\n");
    at = expect(expect(expect(at, "# TYPE "), f->name), " ");
    at = expect(take_name(at, f->type, sizeof f->type), "\n");
    for (size_t i = 0; i + 1 < families; i++) assert_string_not_equal(family[i].name, f->name); /* together, once */
    f->first = samples;
    f->samples = 0;
    return at;
}

static const char *take_sample(const char *at)
{
    struct sample *s = &sample[samples++];
    struct family *f = &family[families - 1];
    char *end;
    assert_true(samples < LINES && families > 0);
    at = expect(take_labels(take_name(at, s->name, sizeof s->name), s), " ");
    assert_true(isdigit((unsigned char)*at));
    s->value = strtod(at, &end);
    expect(s->name, f->name);
    const char *suffix = s->name + strlen(f->name);
    if (!strcmp(f->type, "histogram"))
        assert_true(!strcmp(suffix, "_bucket") || !strcmp(suffix, "_sum") || !strcmp(suffix, "_count"));
    else assert_string_equal(suffix, "");
    for (size_t i = f->first; i + 1 < samples; i++)
        assert_false(!strcmp(sample[i].name, s->name) && !strcmp(sample[i].labels, s->labels));
    f->samples++;
    return expect(end, "\n");
}

/* Of one source: buckets rise in bound and count, the last is +Inf and the count. */
static size_t check_histogram(size_t i)
{
    double bound = 0, count = 0;
    for (; strstr(sample[i].name, "_bucket"); i++) {
        const char *le = strstr(sample[i].labels, "le=\"");
        assert_non_null(le);
        double next = strtod(le + 4, NULL);
        assert_true(next > bound && sample[i].value >= count);
        bound = next;
        count = sample[i].value;
        if (!strncmp(le, "le=\"+Inf\"", 9)) break;
    }
    assert_non_null(strstr(sample[i].labels, "le=\"+Inf\""));
    assert_non_null(strstr(sample[i + 1].name, "_sum"));
    assert_non_null(strstr(sample[i + 2].name, "_count"));
    assert_true(sample[i + 2].value == count);
    return i + 3;
}

static void parse(const char *text)
{
    samples = families = 0;
    for (const char *at = text; *at;) at = *at == '#' ? take_comments(at) : take_sample(at);
    assert_true(families >= 7);
    for (size_t i = 0; i < families; i++) {
        const struct family *f = &family[i];
        bool counter = !strcmp(f->type, "counter"), histogram = !strcmp(f->type, "histogram");
        size_t size = strlen(f->name);
        assert_true(f->samples > 0);
        assert_true(counter || histogram || !strcmp(f->type, "gauge"));
        assert_int_equal(counter, size > 6 && !strcmp(f->name + size - 6, "_total"));
        for (size_t k = f->first; histogram && k < f->first + f->samples;) k = check_histogram(k);
    }
}

static double value_of(const char *name, const char *labels)
{
    for (size_t i = 0; i < samples; i++)
        if (!strcmp(sample[i].name, name) && !strcmp(sample[i].labels, labels)) return sample[i].value;
    fail_msg("no %s%s", name, labels);
    return 0;
}

/* ---- what is in it ---- */

static char text[128 * 1024], cut[128 * 1024];

static void assert_value(double got, double expected)
{
    double off = got - expected;
    assert_true(off >= -1e-12 && off <= 1e-12);
}

static void a_pool_is_told_in_full(void **state)
{
    (void)state;
    struct world w;
    struct held h;
    struct seen s;
    world_open(&w, "pool_max_conns=3");
    held_init(&h);
    pg_pool_acquire(w.pool, &h.lease);
    seen_sql(&s, "SLEEP 100");
    world_run(&w, WORLD_SECOND);
    pg_pool_query(w.pool, &s.query);
    world_run(&w, 50 * WORLD_MS);
    size_t size = pg_pool_metrics(w.pool, text, sizeof text);
    assert_int_equal(size, strlen(text));
    assert_true(size < 64 * 1024);
    parse(text);
    assert_value(value_of("db_client_connection_max", ""), 3);
    assert_value(value_of("db_client_connection_count", "{state=\"used\",lane=\"lease\"}"), 1);
    assert_value(value_of("db_client_connection_count", "{state=\"used\",lane=\"shared\"}"), 1);
    assert_value(value_of("db_client_connection_count", "{state=\"idle\"}"), 0);
    assert_value(value_of("db_client_connection_count", "{state=\"connecting\"}"), 0);
    assert_value(value_of("db_client_connection_count", "{state=\"closing\"}"), 0);
    assert_value(value_of("ringpg_pool_acquires_total", ""), 1);
    assert_value(value_of("db_client_connection_create_time_seconds_count", ""), 2);
    assert_value(value_of("db_client_operation_duration_seconds_count", ""), 0);
    world_run(&w, WORLD_SECOND);
    pg_lease_release(&h.lease);
    world_run(&w, WORLD_SECOND);
    (void)pg_pool_metrics(w.pool, text, sizeof text);
    parse(text);
    struct pg_pool_stats stats = world_stats(&w);
    assert_value(value_of("db_client_connection_count", "{state=\"idle\"}"), 2);
    assert_value(value_of("db_client_operation_duration_seconds_count", ""), 1);
    assert_value(value_of("db_client_operation_duration_seconds_sum", ""), (double)stats.query.sum_ns / 1e9);
    assert_value(value_of("db_client_operation_duration_seconds_bucket", "{le=\"0.067108864\"}"), 0);
    assert_value(value_of("db_client_operation_duration_seconds_bucket", "{le=\"0.134217728\"}"), 1);
    assert_value(value_of("db_client_operation_duration_seconds_bucket", "{le=\"0.000001024\"}"), 0);
    assert_value(value_of("db_client_connection_use_time_seconds_count", ""), 1);
    world_close(&w);
}

/* Each figure with a value of its own: none is taken for another. */
static void every_figure_stands_at_its_name(void **state)
{
    (void)state;
    struct pg_pool_stats s = {
        .max_conns = 20, .total_conns = 17, .idle_conns = 1, .acquired_conns = 2, .shared_conns = 3,
        .constructing_conns = 4, .pending = 5, .max_pending = 6, .acquire_count = 7,
        .acquire_duration_ns = 8500000001, .canceled_acquire_count = 9, .timeout_count = 10, .refused_count = 11,
        .lost_conns_count = 12, .connect_failed_count = 13, .abandoned_count = 14, .leak_count = UINT64_C(1) << 52,
        .nested_acquire_count = 15, .max_lifetime_destroy_count = 16, .max_idle_destroy_count = 18, .solo_conns = 19,
        .effective_max_conns = 21, .overload_count = 22, .not_admitted_count = 23, .retired_count = 24,
    };
    struct pg_metrics_source source = { &s, "" };
    pg_histogram_record(&s.wait, 1024, 2);
    pg_histogram_record(&s.hold, 1025, 3);
    pg_histogram_record(&s.connect, 3600ull * 1000000000, 4);
    pg_histogram_record(&s.query, 0, 5);
    (void)pg_stats_metrics(&source, 1, text, sizeof text);
    parse(text);
    static const struct { const char *name, *labels; double value; } expected[] = {
        { "db_client_connection_max", "", 20 },
        { "db_client_connection_count", "{state=\"idle\"}", 1 },
        { "db_client_connection_count", "{state=\"used\",lane=\"lease\"}", 2 },
        { "db_client_connection_count", "{state=\"used\",lane=\"shared\"}", 3 },
        { "db_client_connection_count", "{state=\"connecting\"}", 4 },
        { "db_client_connection_count", "{state=\"closing\"}", 7 },
        { "db_client_connection_pending_requests", "", 5 },
        { "ringpg_pool_pending_requests_max", "", 6 },
        { "ringpg_pool_acquires_total", "", 7 },
        { "ringpg_pool_acquire_wait_seconds_total", "", 8.500000001 },
        { "ringpg_pool_canceled_total", "", 9 },
        { "db_client_connection_timeouts_total", "", 10 },
        { "ringpg_pool_refused_total", "", 11 },
        { "ringpg_pool_connections_lost_total", "", 12 },
        { "ringpg_pool_connect_failures_total", "", 13 },
        { "ringpg_pool_connections_abandoned_total", "", 14 },
        { "ringpg_pool_nested_acquires_total", "", 15 },
        { "ringpg_pool_max_lifetime_destroys_total", "", 16 },
        { "ringpg_pool_max_idle_destroys_total", "", 18 },
        { "ringpg_pool_connections_solo", "", 19 },
        { "ringpg_pool_connections_effective_max", "", 21 },
        { "ringpg_pool_connections_retired_total", "", 24 },
        { "ringpg_pool_overload_refused_total", "", 22 },
        { "ringpg_pool_not_admitted_total", "", 23 },
        { "ringpg_pool_leaks_total", "", 4503599627370496.0 },
        { "db_client_connection_wait_time_seconds_bucket", "{le=\"0.000001024\"}", 2 },
        { "db_client_connection_wait_time_seconds_sum", "", 0.000002048 },
        { "db_client_connection_use_time_seconds_bucket", "{le=\"0.000001024\"}", 0 },
        { "db_client_connection_use_time_seconds_bucket", "{le=\"0.000002048\"}", 3 },
        { "db_client_connection_create_time_seconds_bucket", "{le=\"2199.023255552\"}", 0 },
        { "db_client_connection_create_time_seconds_bucket", "{le=\"+Inf\"}", 4 },
        { "db_client_connection_create_time_seconds_sum", "", 14400 },
        { "db_client_operation_duration_seconds_count", "", 5 },
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_value(value_of(expected[i].name, expected[i].labels), expected[i].value);
}

static void several_pools_share_names_and_differ_in_labels(void **state)
{
    (void)state;
    struct pg_pool_stats s[3] = { { .max_conns = 1 }, { .max_conns = 2 }, { .max_conns = 3 } };
    struct pg_metrics_source sources[] = {
        { &s[0], "reactor=\"0\"" }, { &s[1], "reactor=\"1\",zone=\"a b\"" }, { &s[2], "reactor=\"2\"" },
    };
    pg_histogram_record(&s[1].query, 5000, 1);
    size_t size = pg_stats_metrics(sources, 3, text, sizeof text);
    assert_true(size < 4 * 32 * 1024);
    parse(text);
    assert_value(value_of("db_client_connection_max", "{reactor=\"0\"}"), 1);
    assert_value(value_of("db_client_connection_max", "{reactor=\"1\",zone=\"a b\"}"), 2);
    assert_value(value_of("db_client_connection_max", "{reactor=\"2\"}"), 3);
    assert_value(value_of("db_client_connection_count", "{reactor=\"2\",state=\"idle\"}"), 0);
    const char *all = "{reactor=\"1\",zone=\"a b\",le=\"+Inf\"}";
    assert_value(value_of("db_client_operation_duration_seconds_bucket", all), 1);
    assert_value(value_of("db_client_operation_duration_seconds_sum", "{reactor=\"0\"}"), 0);
}

static void a_budget_has_figures_too(void **state)
{
    (void)state;
    struct world w;
    struct pg_budget *b;
    struct model_config server = { .startup_delay_ns = WORLD_MS };
    struct sim_config sim = { .seed = 1 };
    struct pg_pool_config pool = { .size = sizeof pool };
    assert_int_equal(pg_budget_open(&b, 7), 0);
    pool.budget = b;
    world_open_pool(&w, &sim, &server, &pool, "pool_max_conns=4 pool_min_conns=3");
    world_run(&w, WORLD_SECOND);
    size_t size = pg_budget_metrics(b, "server=\"primary\"", text, sizeof text);
    assert_true(size == strlen(text) && size < 2048);
    parse(text);
    assert_value(value_of("ringpg_budget_connections_max", "{server=\"primary\"}"), 7);
    assert_value(value_of("ringpg_budget_connections_sure", "{server=\"primary\"}"), 3);
    assert_value(value_of("ringpg_budget_connections", "{server=\"primary\"}"), 3);
    assert_value(value_of("ringpg_budget_pools", "{server=\"primary\"}"), 1);
    assert_value(value_of("ringpg_budget_pools_waiting", "{server=\"primary\"}"), 0);
    world_close(&w);
    (void)pg_budget_metrics(b, NULL, text, sizeof text);
    parse(text);
    assert_value(value_of("ringpg_budget_connections", ""), 0);
    assert_value(value_of("ringpg_budget_given_total", ""), 0);
    assert_value(value_of("ringpg_budget_abandoned_total", ""), 0);
    pg_budget_close(b);
}

/* The longest that figures can become, against the sizes that the header promises. */
static void the_promised_sizes_are_enough(void **state)
{
    (void)state;
    struct pg_pool_stats s;
    struct pg_metrics_source source = { &s, NULL };
    memset(&s, 0xff, sizeof s);
    assert_true(pg_stats_metrics(&source, 1, text, sizeof text) < 64 * 1024);
    struct pg_metrics_source two[] = { { &s, "reactor=\"1000000\"" }, { &s, "reactor=\"1000001\"" } };
    size_t one = pg_stats_metrics(two, 1, text, sizeof text), both = pg_stats_metrics(two, 2, text, sizeof text);
    assert_true(both - one < 32 * 1024 && one < 64 * 1024);
}

static void a_short_buffer_gets_the_beginning(void **state)
{
    (void)state;
    struct pg_pool_stats s = { .max_conns = 12345 };
    struct pg_metrics_source source = { &s, "reactor=\"7\"" };
    size_t size = pg_stats_metrics(&source, 1, text, sizeof text);
    assert_int_equal(pg_stats_metrics(&source, 1, NULL, 0), size);
    for (size_t capacity = 0; capacity <= size + 1; capacity = capacity < 700 ? capacity + 1 : capacity * 5 / 4) {
        memset(cut, '#', sizeof cut);
        assert_int_equal(pg_stats_metrics(&source, 1, cut, capacity), size);
        size_t written = capacity ? capacity - 1 < size ? capacity - 1 : size : 0;
        assert_memory_equal(cut, text, written);
        if (capacity) assert_int_equal(cut[written], '\0');
        assert_int_equal(cut[capacity], '#');
    }
    assert_int_equal(pg_stats_metrics(&source, 1, cut, size), size); /* one short: as snprintf, the NUL needs a place */
    assert_int_equal(strlen(cut), size - 1);
    assert_int_equal(pg_stats_metrics(&source, 1, cut, size + 1), size);
    assert_string_equal(cut, text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_is_told_in_full),
        cmocka_unit_test(every_figure_stands_at_its_name),
        cmocka_unit_test(several_pools_share_names_and_differ_in_labels),
        cmocka_unit_test(a_budget_has_figures_too),
        cmocka_unit_test(the_promised_sizes_are_enough),
        cmocka_unit_test(a_short_buffer_gets_the_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

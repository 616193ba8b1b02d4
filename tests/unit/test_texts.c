/* unit/test_texts.c - which texts a pool keeps: the second time on, within both bounds, the least lately used goes
 * first, what is in flight stays; names are never given twice. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "conn/texts.h"
#include "support/sim.h"

static struct {
    struct sim *sim;
    struct pg_reactor *reactor;
    struct rp_texts texts;
    size_t blocks, bytes, fail_at, calls;
} f;

static void *allocate(void *arg, size_t bytes)
{
    (void)arg;
    if (f.fail_at && ++f.calls == f.fail_at) return NULL;
    f.blocks++;
    f.bytes += bytes;
    return malloc(bytes);
}
static void deallocate(void *arg, void *at, size_t bytes)
{
    (void)arg;
    f.blocks--;
    f.bytes -= bytes;
    free(at);
}

static void open_reactor(void)
{
    struct sim_config sim = { .seed = 1 };
    memset(&f, 0, sizeof f);
    f.sim = sim_open(&sim);
    struct pg_reactor_config config = PG_REACTOR_CONFIG(sim_host(f.sim));
    config.allocate = allocate;
    config.deallocate = deallocate;
    assert_int_equal(pg_reactor_open(&f.reactor, &config, NULL), 0);
}
static void close_reactor(void)
{
    pg_reactor_close(f.reactor, 0);
    assert_int_equal(sim_run(f.sim, f.reactor, 1000000000), SIM_CLOSED);
    pg_reactor_free(f.reactor);
    assert_int_equal(f.blocks, 0);
    assert_int_equal(f.bytes, 0);
    sim_close(f.sim);
}
static void open_texts(uint32_t places, size_t bytes)
{
    open_reactor();
    assert_int_equal(rp_texts_init(&f.texts, f.reactor, places, bytes), 0);
}
static void close_texts(void)
{
    rp_texts_free(&f.texts);
    close_reactor();
}

static uint32_t find(const char *sql)
{
    struct pg_query q = { .sql = sql };
    return rp_texts_find(&f.texts, &q);
}
static uint64_t serial(uint32_t place) { return f.texts.view.serial[place]; }
static bool is_kept(const char *sql)
{
    const struct rp_text *x;
    uint32_t before = f.texts.view.evicted;
    size_t n = 0;
    TAILQ_FOREACH(x, &f.texts.used, link) n++;
    bool kept = find(sql) != RP_TEXT_NOWHERE;
    size_t after = 0;
    TAILQ_FOREACH(x, &f.texts.used, link) after++;
    return kept && n == after && before == f.texts.view.evicted; /* it was, and nothing made room for it */
}

static void from_the_second_time_on(void **state)
{
    (void)state;
    open_texts(4, 4096);
    assert_int_equal(find("SELECT 1"), RP_TEXT_NOWHERE);
    assert_int_equal(find("SELECT 2"), RP_TEXT_NOWHERE);
    uint32_t place = find("SELECT 1");
    assert_true(place < 4);
    assert_int_equal(serial(place), 1);
    char copy[] = "SELECT 1"; /* its bytes count, not where they are */
    assert_int_equal(find(copy), place);
    copy[7] = '2';
    assert_true(find(copy) != place);
    assert_int_equal(find("SELECT 1"), place);
    close_texts();
}

static void types_are_part_of_it(void **state)
{
    (void)state;
    struct pg_param int4[2] = { pg_int4(1), pg_int4(2) }, int8[2] = { pg_int4(1), pg_int8(2) }, text = pg_str("x");
    struct pg_query q[] = {
        { .sql = "SELECT $1", .params = int4, .nparams = 1 }, { .sql = "SELECT $1", .params = int4, .nparams = 2 },
        { .sql = "SELECT $1", .params = int8, .nparams = 2 }, { .sql = "SELECT $1", .params = &text, .nparams = 1 },
        { .sql = "SELECT $1" },
    };
    enum { N = sizeof q / sizeof *q };
    open_texts(8, 4096);
    for (int i = 0; i < N; i++) {
        assert_int_equal(rp_texts_find(&f.texts, &q[i]), RP_TEXT_NOWHERE);
        assert_int_equal(serial(rp_texts_find(&f.texts, &q[i])), i + 1);
    }
    int4[0] = pg_int4(77); /* values are not */
    for (int i = 0; i < N; i++) assert_int_equal(serial(rp_texts_find(&f.texts, &q[i])), i + 1);
    close_texts();
}

static void the_least_lately_used_goes_first(void **state)
{
    (void)state;
    open_texts(3, 4096);
    static const char *const sql[] = { "a", "b", "c", "d", "e" };
    for (int i = 0; i < 6; i++) (void)find(sql[i % 3]);
    assert_true(is_kept("a"));
    uint32_t place = find("b");
    (void)find("c");
    (void)find("a"); /* b has waited longest */
    assert_int_equal(find("d"), RP_TEXT_NOWHERE);
    assert_int_equal(f.texts.view.evicted, 0); /* seen once: nobody goes */
    assert_int_equal(find("d"), place);
    assert_int_equal(f.texts.view.evicted, 1);
    assert_int_equal(f.texts.view.eviction[0], place);
    assert_int_equal(serial(place), 4);
    assert_true(is_kept("a") && is_kept("c") && is_kept("d") && !is_kept("b"));
    close_texts();
}

static void what_is_in_flight_stays(void **state)
{
    (void)state;
    open_texts(2, 4096);
    uint32_t a, b;
    (void)find("a"), (void)find("b");
    a = find("a"), b = find("b");
    f.texts.view.pins[a] = 1;
    (void)find("c");
    assert_int_equal(find("c"), b); /* though a has waited longer */
    f.texts.view.pins[b] = 2;
    assert_true(!is_kept("d") && !is_kept("d") && !is_kept("d"));
    assert_true(is_kept("a") && is_kept("c"));
    f.texts.view.pins[a] = 0;
    assert_int_equal(find("d"), a);
    f.texts.view.pins[b] = 0;
    close_texts();
}

/* 1 KiB are eight chunks, of which a quarter may be one text's. */
static void bytes_are_bounded(void **state)
{
    (void)state;
    static char large[400], text[3][200];
    open_texts(100, 1024);
    assert_int_equal(f.texts.nchunks, 8);
    memset(large, 'x', 257);
    for (int i = 0; i < 3; i++) assert_int_equal(find(large), RP_TEXT_NOWHERE);
    large[256] = 0;
    (void)find(large);
    assert_true(find(large) != RP_TEXT_NOWHERE); /* three chunks */
    assert_int_equal(f.texts.nfree, 5);
    for (int i = 0; i < 3; i++) {
        memset(text[i], 'a' + i, 199);
        (void)find(text[i]);
        assert_true(find(text[i]) != RP_TEXT_NOWHERE); /* two each */
    }
    assert_int_equal(f.texts.view.evicted, 1);
    assert_true(is_kept(text[0]) && is_kept(text[1]) && is_kept(text[2]));
    assert_int_equal(f.texts.nfree, 2);
    for (int i = 0; i < 50; i++) {
        char small[8];
        snprintf(small, sizeof small, "%d", i);
        (void)find(small), (void)find(small);
        assert_true(f.texts.nfree <= 8);
    }
    assert_true(is_kept("49") && is_kept("42") && !is_kept("41"));
    close_texts();
}

/* Texts of every length, whatever is kept at the time: a place is never taken for another text's. */
static void never_another_ones(void **state)
{
    (void)state;
    enum { TEXTS = 60, MOST = 900 };
    static char text[TEXTS][MOST + 1];
    static uint64_t serials[TEXTS];
    uint64_t random = 7, last = 0;
    unsigned again = 0;
    memset(serials, 0, sizeof serials);
    open_texts(20, 16 << 10);
    for (int i = 0; i < TEXTS; i++) { /* alike for most of their length */
        size_t n = (size_t)i / 2 * 31 % MOST;
        memset(text[i], 'x', n);
        text[i][n] = i % 2 ? 'y' : 'z';
    }
    for (int i = 0; i < 20000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t which = (uint32_t)(random >> 33) % TEXTS;
        uint32_t place = find(text[which]);
        if (place == RP_TEXT_NOWHERE) continue;
        uint64_t now = serial(place);
        assert_true(now == serials[which] || now == last + 1); /* its own, or a fresh one */
        again += now == serials[which];
        serials[which] = now;
        if (now > last) last = now;
    }
    assert_true(last > 1000 && again > 1000);
    close_texts();
}

/* A later text in a place begins without a description; what was there stays for whoever still looks at it. */
static void descriptions_have_a_share(void **state)
{
    (void)state;
    static const struct { uint32_t places; size_t bytes, share; } cases[] = {
        { 4, 4096, 1032 }, { 256, 256 << 10, 1032 }, { 1, 1024, 1032 }, { 3, 1024, 344 }, { 100, 1024, 16 },
        { 10000, 1024, 8 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        open_texts(cases[i].places, cases[i].bytes);
        assert_int_equal(f.texts.view.share, cases[i].share);
        memset(f.texts.view.description, 'x', cases[i].places * cases[i].share);
        close_texts();
    }
    open_texts(1, 4096);
    find("SELECT 1");
    find("SELECT 2");
    assert_int_equal(find("SELECT 1"), 0);
    assert_int_equal(f.texts.view.generation[0], 0);
    f.texts.view.generation[0] = 3;
    f.texts.view.description[0] = 'x';
    assert_int_equal(find("SELECT 1"), 0);
    assert_int_equal(f.texts.view.generation[0], 3);
    assert_int_equal(find("SELECT 2"), 0);
    assert_int_equal(f.texts.view.generation[0], 0);
    assert_int_equal(f.texts.view.description[0], 'x');
    close_texts();
}

static void without_memory(void **state)
{
    (void)state;
    for (size_t nth = 1; nth <= 9; nth++) {
        open_reactor();
        f.fail_at = nth;
        assert_int_equal(rp_texts_init(&f.texts, f.reactor, 4, 1024), -ENOMEM);
        f.fail_at = 0;
        close_texts();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_the_second_time_on),          cmocka_unit_test(types_are_part_of_it),
        cmocka_unit_test(the_least_lately_used_goes_first), cmocka_unit_test(what_is_in_flight_stays),
        cmocka_unit_test(bytes_are_bounded),                cmocka_unit_test(never_another_ones),
        cmocka_unit_test(descriptions_have_a_share), cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

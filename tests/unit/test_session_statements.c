/* test_session_statements.c - what is prepared, beyond the declared statements: texts that are kept and give way, names
 * that exist already, and a session that uses no names at all (failures 29). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "support/transcript.h"
#include "wire/check.h"

#define FIRST "1 2 T(x:25) "
#define NEXT "2 T(x:25) "
#define ONE "D(one) C(SELECT 1) "
#define AGAIN "2 " ONE "Z(I) "
#define TWO_ROWS "D(a,b) C(SELECT 1) Z(I)"
#define TWO "T(x:25,y:25) D(a,b) C(SELECT 1) "
#define THREE "T(x:25,y:25,z:25) D(a,b,c) C(SELECT 1) "
#define GONE "E(ERROR,26000,no such statement) "
#define TAKEN "E(ERROR,42P05,already exists) "
#define DUPLICATE "E(ERROR,23505,dup,nkey_pkey) "
#define CHANGED "E(ERROR,0A000,cached plan,RRevalidateCachedQuery) "

static void check_all(const struct transcript_case *c, size_t n, int flags)
{
    for (size_t i = 0; i < n; i++) transcript_check(&c[i], flags);
}
#define CHECK_ALL(cases, flags) check_all((cases), RP_COUNT(cases), (flags))

/* ---- texts that are kept ---- */
#define KEEP { "k", FIRST ONE "Z(I)" }
#define KEPT "T(0) D(0:one) done(0:SELECT 1) "
#define SENT_K "P:d1 B:d1 D E S "

static const struct transcript_case kept[] = {
    { "parsed and described once",
      { KEEP, { "k", AGAIN }, { "k", AGAIN } },
      KEPT "D(1:one) done(1:SELECT 1) D(2:one) done(2:SELECT 1)",
      SENT_K "B:d1 E S B:d1 E S" },
    { "two in flight: the second relies on the first one's Parse",
      { { "k k l", FIRST ONE "Z(I) " NEXT ONE "Z(I) " FIRST ONE "Z(I)" }, { "l k", AGAIN AGAIN } },
      KEPT "T(1) D(1:one) done(1:SELECT 1) T(2) D(2:one) done(2:SELECT 1) D(3:one) done(3:SELECT 1) "
           "D(4:one) done(4:SELECT 1)",
      SENT_K "B:d1 D E S P:d2 B:d2 D E S B:d2 E S B:d1 E S" },
    { "in a batch: described behind its Parse, and then no more",
      { { "k+ k+ a", FIRST ONE NEXT ONE FIRST ONE "Z(I)" }, { "a+ k", "2 " ONE AGAIN } },
      "T(0) D(0:one) T(1) D(1:one) T(2#1) D(2:one) done(0:SELECT 1) done(1:SELECT 1) done(2:SELECT 1) "
      "D(3:one) D(4:one) done(3:SELECT 1) done(4:SELECT 1)",
      "P:d1 B:d1 D E B:d1 D E P:s1 B:s1 D E S B:s1 E B:d1 E S" },
    { "its caller went away, and still it was described",
      { { "k |99 -0", FIRST ONE "Z(I)" }, { "k", AGAIN } },
      "kept(0) T(-1) done(-) D(1:one) done(1:SELECT 1)",
      SENT_K "B:d1 E S" },
    { "without a result",
      { { "k", "1 2 n C(UPDATE 3) Z(I)" }, { "k", "2 C(UPDATE 4) Z(I)" } },
      "T(0) done(0:UPDATE 3) done(1:UPDATE 4)",
      SENT_K "B:d1 E S" },
    { "a description that is larger than its share comes each time",
      { { "k", "1 2 " THREE "Z(I)" }, { "k", "2 " THREE "Z(I)" } },
      "T(0) D(0:a,b,c) done(0:SELECT 1) T(1) D(1:a,b,c) done(1:SELECT 1)",
      SENT_K "B:d1 D E S" },
    { "the text in the place is another one, and so are its columns",
      { KEEP, { "m", "3 1 2 " TWO "Z(I)" }, { "m", "2 " TWO_ROWS }, { "k", "3 " FIRST ONE "Z(I)" }, { "k", AGAIN } },
      KEPT "T(1) D(1:a,b) done(1:SELECT 1) D(2:a,b) done(2:SELECT 1) T(3) D(3:one) done(3:SELECT 1) "
           "D(4:one) done(4:SELECT 1)",
      SENT_K "C:d1 P:d2 B:d2 D E S B:d2 E S C:d2 P:d3 B:d3 D E S B:d3 E S" },
    { "another one in its place: a new name, and the old one is closed",
      { KEEP, { "m", "3 " FIRST ONE "Z(I)" }, { "m", AGAIN }, { "k", "3 " FIRST ONE "Z(I)" } },
      KEPT "T(1) D(1:one) done(1:SELECT 1) D(2:one) done(2:SELECT 1) T(3) D(3:one) done(3:SELECT 1)",
      SENT_K "C:d1 P:d2 B:d2 D E S B:d2 E S C:d2 P:d3 B:d3 D E S" },
    { "closed in front of a declared statement, once",
      { KEEP, { "a", FIRST ONE "Z(I)" }, { "@ a", "3 2 " ONE "Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      KEPT "T(1#1) D(1:one) done(1:SELECT 1) D(2:one) done(2:SELECT 1) D(3:one) done(3:SELECT 1)",
      SENT_K "P:s1 B:s1 D E S C:d1 B:s1 E S B:s1 E S" },
    { "in front of an unnamed one",
      { KEEP, { "@ u", "3 " FIRST ONE "Z(I)" } }, KEPT "T(1) D(1:one) done(1:SELECT 1)", SENT_K "C:d1 P: B: D E S" },
    { "in front of one that is only prepared",
      { KEEP, { "@ A", "3 1 Z(I)" } }, KEPT "done(1: 0)", SENT_K "C:d1 P:s1 S" },
    { "not in front of a simple query, but of the next one",
      { KEEP, { "@ s", "C(SELECT 1) Z(I)" }, { "l", "3 " FIRST ONE "Z(I)" } },
      KEPT "done(1:SELECT 1) T(2) D(2:one) done(2:SELECT 1)",
      SENT_K "Q C:d1 P:d3 B:d3 D E S" },
    { "in front of a whole group, and done although the group fails",
      { KEEP, { "@ a+ b", "3 1 2 T(x:25) D(one) " DUPLICATE "Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      KEPT "T(1#1) D(1:one) done(1:E_SERVER 23505 dup) done(2:E_BATCH 23505 dup) D(3:one) done(3:SELECT 1)",
      SENT_K "C:d1 P:s1 B:s1 D E P:s2 B:s2 D E S B:s1 E S" },
    { "in front of two names that are closed for a reason of their own",
      { KEEP, { "l", FIRST ONE "Z(I)" }, { "s", "C(DEALLOCATE) Z(I)" }, { "@ l", "3 3 " FIRST ONE "Z(I)" } },
      KEPT "T(1) D(1:one) done(1:SELECT 1) done(2:DEALLOCATE 0) T(3) D(3:one) done(3:SELECT 1)",
      SENT_K "P:d2 B:d2 D E S Q C:d1 C:d2 P:d2 B:d2 D E S" },
    { "a Parse that failed leaves nothing to close, and is tried again",
      { { "k", "E(ERROR,42601,syntax) Z(I)" }, { "k", "E(ERROR,42601,syntax) Z(I)" }, { "@ l", FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 42601 syntax) done(1:E_SERVER 42601 syntax) T(2) D(2:one) done(2:SELECT 1)",
      "P:d1 B:d1 D E S P:d1 B:d1 D E S P:d3 B:d3 D E S" },
    { "its caller goes away, and its place is given away behind it",
      { { "k |99 -0", FIRST ONE "Z(I)" }, { "@ a", "3 " FIRST ONE "Z(I)" } },
      "kept(0) T(-1) done(-) T(1#1) D(1:one) done(1:SELECT 1)",
      SENT_K "C:d1 P:s1 B:s1 D E S" },
    { "gone before a byte of it was written: its name was never there",
      { { "^ k -0", "" }, { "@ a", FIRST ONE "Z(I)" } },
      "gone(0) T(1#1) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S" },
    { "forgotten by the server: closed, parsed and executed again",
      { KEEP, { "k", GONE "Z(I)" }, { "", "3 " FIRST ONE "Z(I)" } },
      KEPT "heal(1) T(1) D(1:one) done(1:SELECT 1)",
      SENT_K "B:d1 E S C:d1 P:d1 B:d1 D E S" },
};

/* ---- what they are described as changes ---- */

static const struct transcript_case changed[] = {
    { "closed, parsed and described anew, and then no more",
      { KEEP, { "k", CHANGED "Z(I)" }, { "", "3 1 2 " TWO "Z(I)" }, { "k", "2 " TWO_ROWS } },
      KEPT "heal(1) T(1) D(1:a,b) done(1:SELECT 1) D(2:a,b) done(2:SELECT 1)",
      SENT_K "B:d1 E S C:d1 P:d1 B:d1 D E S B:d1 E S" },
    { "two in flight: the former description goes when nobody can look at it",
      { KEEP,
        { "k k", CHANGED "Z(I) " CHANGED "Z(I)" },
        { "", "3 1 2 " TWO "Z(I) 3 1 2 " TWO "Z(I)" },
        { "k", "2 " TWO_ROWS } },
      KEPT "heal(1) heal(2) T(1) D(1:a,b) done(1:SELECT 1) T(2) D(2:a,b) done(2:SELECT 1) D(3:a,b) done(3:SELECT 1)",
      SENT_K "B:d1 E S B:d1 E S C:d1 P:d1 B:d1 D E S C:d1 P:d1 B:d1 D E S B:d1 E S" },
    { "not within a transaction, but right the next time",
      { KEEP, { "k", CHANGED "Z(E)" }, { "k", "3 1 2 " TWO "Z(I)" }, { "k", "2 " TWO_ROWS } },
      KEPT "done(1:E_SERVER 0A000 cached plan) T(2) D(2:a,b) done(2:SELECT 1) D(3:a,b) done(3:SELECT 1)",
      SENT_K "B:d1 E S C:d1 P:d1 B:d1 D E S B:d1 E S" },
    { "to one that is too large: described each time, and never as it was",
      { KEEP, { "k", CHANGED "Z(I)" }, { "", "3 1 2 " THREE "Z(I)" }, { "k", "2 " THREE "Z(I)" } },
      KEPT "heal(1) T(1) D(1:a,b,c) done(1:SELECT 1) T(2) D(2:a,b,c) done(2:SELECT 1)",
      SENT_K "B:d1 E S C:d1 P:d1 B:d1 D E S B:d1 D E S" },
};

static void test_changed(void **state)
{
    (void)state;
    CHECK_ALL(changed, 0);
}

static void run_k(struct transcript *t, const char *answer, const char *sent)
{
    transcript_queue(t, "k");
    transcript_server(t, answer);
    transcript_expect_sent(t, sent);
}

/* As if each time another connection had met it with another search_path. */
static void test_changes_are_bounded(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    char first[60];
    transcript_begin(t, true);
    for (int i = 0; i < RP_GENERATIONS + 3; i++) {
        snprintf(first, sizeof first, "1 2 T(%c:25) " ONE "Z(I)", 'a' + i);
        run_k(t, first, "P:d1 B:d1 D E S");
        if (i < RP_GENERATIONS) run_k(t, AGAIN, "B:d1 E S");
        else run_k(t, first + 2, "B:d1 D E S");
        transcript_queue(t, "s");
        transcript_server(t, "C(DEALLOCATE ALL) Z(I)");
        transcript_expect_sent(t, "Q");
    }
    snprintf(first, sizeof first, "1 2 T(%c:25) " ONE "Z(I)", 'a' + RP_GENERATIONS - 1);
    run_k(t, first, "P:d1 B:d1 D E S"); /* the last one of those that were kept */
    run_k(t, AGAIN, "B:d1 E S");
    transcript_free(t);
}

/* Of the one that it had seen nothing is left to rely on. */
static void test_changed_elsewhere(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    transcript_begin(t, true);
    run_k(t, FIRST ONE "Z(I)", "P:d1 B:d1 D E S");
    t->pins[0]++; /* another connection's request, whose rows may be read */
    transcript_queue(t, "s");
    transcript_server(t, "C(DEALLOCATE ALL) Z(I)");
    transcript_expect_sent(t, "Q");
    run_k(t, "1 2 " TWO "Z(I)", "P:d1 B:d1 D E S");
    assert_int_equal(t->generation[0], 1);
    assert_int_equal(((struct rp_columns *)(void *)t->description)->count, 1);
    run_k(t, "2 " TWO "Z(I)", "B:d1 D E S");
    t->pins[0]--;
    run_k(t, "2 " TWO "Z(I)", "B:d1 D E S");
    run_k(t, "2 " TWO_ROWS, "B:d1 E S");
    t->generation[0]++; /* another connection was told something else */
    run_k(t, "2 " TWO "Z(I)", "B:d1 D E S");
    run_k(t, "2 " TWO_ROWS, "B:d1 E S");
    transcript_free(t);
}

static void test_kept(void **state)
{
    (void)state;
    CHECK_ALL(kept, 0);
}

static const struct transcript_case discarded[] = {
    { "DISCARD ALL: parsed again at once, and nothing is left to close",
      { KEEP, { "l", FIRST ONE "Z(I)" }, { "u", "1 2 n C(DISCARD ALL) Z(I)" }, { "@ l", FIRST ONE "Z(I)" } },
      KEPT "T(1) D(1:one) done(1:SELECT 1) T(2) done(2:DISCARD ALL 0) T(3) D(3:one) done(3:SELECT 1)",
      SENT_K "P:d2 B:d2 D E S P: B: D E S P:d2 B:d2 D E S" },
    { "DEALLOCATE ALL in a simple query",
      { KEEP, { "s", "C(DEALLOCATE ALL) Z(I)" }, { "k", FIRST ONE "Z(I)" } },
      KEPT "done(1:DEALLOCATE ALL 0) T(2) D(2:one) done(2:SELECT 1)",
      SENT_K "Q P:d1 B:d1 D E S" },
    { "DEALLOCATE of one: closed first",
      { KEEP, { "s", "C(DEALLOCATE) Z(I)" }, { "k", "3 " FIRST ONE "Z(I)" } },
      KEPT "done(1:DEALLOCATE 0) T(2) D(2:one) done(2:SELECT 1)",
      SENT_K "Q C:d1 P:d1 B:d1 D E S" },
};

static void test_discarded(void **state)
{
    (void)state;
    CHECK_ALL(discarded, 0);
}

/* ---- names that exist already ---- */

static const struct transcript_case taken[] = {
    { "42P05: closed, parsed and executed again",
      { { "a", TAKEN "Z(I)" }, { "", "3 " FIRST ONE "Z(I)" }, { "a", "2 " ONE "Z(I)" } },
      "heal(0) T(0#1) D(0:one) done(0:SELECT 1) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S B:s1 E S" },
    { "only once",
      { { "a", TAKEN "Z(I)" }, { "", "3 " TAKEN "Z(I)" } },
      "heal(0) done(0:E_SERVER 42P05 already exists)",
      "P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
    { "not within a transaction, but closed the next time",
      { { "a", TAKEN "Z(E)" }, { "a", "3 " FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 42P05 already exists) T(1#1) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S C:s1 P:s1 B:s1 D E S" },
    { "not in a batch, but closed the next time",
      { { "a+ b", TAKEN "Z(I)" }, { "a", "3 " FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 42P05 already exists) done(1:E_BATCH 42P05 already exists) T(2#1) D(2:one) done(2:SELECT 1)",
      "P:s1 B:s1 D E P:s2 B:s2 D E S C:s1 P:s1 B:s1 D E S" },
    { "not on a lease with something behind it",
      { { "! a b", TAKEN "Z(I) " FIRST ONE "Z(I)" } },
      "done(0:E_SERVER 42P05 already exists) T(1#2) D(1:one) done(1:SELECT 1)",
      "P:s1 B:s1 D E S P:s2 B:s2 D E S" },
    { "of one that is only prepared",
      { { "A", TAKEN "Z(I)" }, { "", "3 1 Z(I)" } },
      "heal(0) done(0: 0)",
      "P:s1 S C:s1 P:s1 S" },
    { "of a text that is kept",
      { { "k", TAKEN "Z(I)" }, { "", "3 " FIRST ONE "Z(I)" } },
      "heal(0) T(0) D(0:one) done(0:SELECT 1)",
      "P:d1 B:d1 D E S C:d1 P:d1 B:d1 D E S" },
    { "behind BindComplete it is somebody's PREPARE",
      { { "a", "1 2 n " TAKEN "Z(I)" } }, "T(0#1) done(0:E_SERVER 42P05 already exists)", "P:s1 B:s1 D E S" },
    { "and of an unnamed one, too",
      { { "u", "1 2 n " TAKEN "Z(I)" } }, "T(0) done(0:E_SERVER 42P05 already exists)", "P: B: D E S" },
};

static void test_taken(void **state)
{
    (void)state;
    CHECK_ALL(taken, 0);
}

/* What nobody can explain who has seen all that went over the connection is counted, and nothing else is. */
static void test_mislaid(void **state)
{
    (void)state;
    static const struct { const char *queue[3], *server[3]; uint32_t mislaid; } cases[] = {
        { { "a", "a" }, { FIRST ONE "Z(I)", GONE "Z(I)" }, 1 },
        { { "a", "a" }, { FIRST ONE "Z(I)", GONE "Z(E)" }, 1 },
        { { "k", "k" }, { FIRST ONE "Z(I)", GONE "Z(I)" }, 1 },
        { { "a" }, { TAKEN "Z(I)" }, 1 },
        { { "a", "s a" }, { FIRST ONE "Z(I)", "C(DISCARD ALL) Z(I) " GONE "Z(I)" }, 0 },
        { { "a", "s a" }, { FIRST ONE "Z(I)", "C(DEALLOCATE) Z(I) " GONE "Z(I)" }, 0 },
        { { "a a" }, { "E(ERROR,42601,syntax) Z(I) " GONE "Z(I)" }, 0 },
        { { "a", "a" }, { FIRST ONE "Z(I)", "2 " GONE "Z(I)" }, 0 },
        { { "a", "a" }, { FIRST ONE "Z(I)", CHANGED "Z(I)" }, 0 },
        { { "k", "k" }, { FIRST ONE "Z(I)", CHANGED "Z(I)" }, 0 },
        { { "u" }, { "1 " GONE "Z(I)" }, 0 },
    };
    for (size_t i = 0; i < RP_COUNT(cases); i++) {
        struct transcript *t = transcript_new();
        transcript_begin(t, true);
        for (size_t turn = 0; turn < 3 && cases[i].queue[turn]; turn++) {
            transcript_queue(t, cases[i].queue[turn]);
            transcript_server(t, cases[i].server[turn]);
        }
        if (t->s.mislaid != cases[i].mislaid) fail_msg("case %zu: %u", i, t->s.mislaid);
        transcript_free(t);
    }
}

/* ---- no names ---- */

static const struct transcript_case unnamed[] = {
    { "declared ones are parsed each time, in the same flight",
      { { "a", FIRST ONE "Z(I)" }, { "a x", FIRST ONE "Z(I)" }, { "", "1 2 T(x:25t) D(two) C(SELECT 1) Z(I)" } },
      "T(0) D(0:one) done(0:SELECT 1) T(1) D(1:one) done(1:SELECT 1) T(2) d(2:two) done(2:SELECT 1)",
      "P: B: D E S P: B: D E S P: B:t D E S" },
    { "with their types", { { "p", "1 2 n C(UPDATE 3) Z(I)" } }, "T(0) done(0:UPDATE 3)", "P:/2 B:/2 D E S" },
    { "texts, too", { { "k", FIRST ONE "Z(I)" }, { "k", FIRST ONE "Z(I)" } },
      "T(0) D(0:one) done(0:SELECT 1) T(1) D(1:one) done(1:SELECT 1)", "P: B: D E S P: B: D E S" },
    { "a batch",
      { { "a+ b", FIRST ONE "1 2 n C(DELETE 1) Z(I)" } },
      "T(0) D(0:one) T(1) done(0:SELECT 1) done(1:DELETE 1)",
      "P: B: D E P: B: D E S" },
    { "nothing is healed", { { "a", "1 " GONE "Z(I)" } }, "done(0:E_SERVER 26000 no such statement)", "P: B: D E S" },
};

/* Not a byte of it before the one before it was answered, though a batch is whole. */
static void test_one_group_at_a_time(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    t->config.unnamed = true;
    transcript_begin(t, true);
    transcript_queue(t, "a b+ c u");
    transcript_expect_sent(t, "P: B: D E S");
    transcript_server(t, FIRST ONE);
    assert_false(rp_session_has_output(&t->s));
    transcript_server(t, "Z(I)");
    transcript_pull(t);
    transcript_expect_sent(t, "P: B: D E P: B: D E S");
    transcript_server(t, DUPLICATE "Z(I)");
    transcript_pull(t);
    transcript_expect_sent(t, "P: B: D E S");
    transcript_free(t);
}

static void test_unnamed(void **state)
{
    (void)state;
    CHECK_ALL(unnamed, CASE_UNNAMED);
}

/* ---- many evictions at once ---- */

enum { PLACES = 40, RING = 64, STATEMENTS_MANY = 8 };

struct many {
    struct rp_session s;
    struct rp_session_config config;
    struct rp_texts_view texts;
    struct rp_entry entries[TRANSCRIPT_ENTRIES];
    uint8_t prepared[STATEMENTS_MANY + 1 + PLACES];
    struct rp_catalog_entry catalog[STATEMENTS_MANY + 1];
    uint32_t eviction[RING], pins[PLACES];
    uint64_t serial[PLACES], held[PLACES], last;
    struct pg_query query;
};

static void evict(struct many *m, uint32_t place)
{
    m->eviction[m->texts.evicted++ % RING] = place;
    m->serial[place] = ++m->last;
}

/* One request with that text (none: unnamed) and its answer. How many Close were in front of it. */
static unsigned ask(struct many *m, int place)
{
    struct blob words = { 0 }, sent = { 0 }, bytes = { 0 };
    uint8_t out[4096];
    size_t bind_size, used;
    unsigned closes = 0;
    m->query = (struct pg_query){ .sql = "SELECT" };
    assert_int_equal(rp_session_check(&m->config, &m->query, &bind_size, NULL), 0);
    uint32_t sequence = rp_session_enqueue(&m->s, &m->query, bind_size, RP_ENTRY_SYNC);
    if (place >= 0) assert_true(rp_session_use_text(&m->s, sequence, (uint32_t)place));
    blob_put(&sent, out, rp_session_output(&m->s, out, sizeof out));
    blob_client(&words, &sent);
    const char *at = blob_text(&words);
    bool parsed = strstr(at, "P:");
    for (; (at = strstr(at, "C:")); at += 2, closes++) blob_server(&bytes, "3");
    blob_server(&bytes, parsed ? "1 2 n C(OK) Z(I)" : "2 n C(OK) Z(I)");
    for (size_t done = 0; done < bytes.size; done += used) {
        struct rp_event ev = rp_session_next(&m->s, bytes.at + done, bytes.size - done, &used);
        static const struct rp_columns none = { .bytes = sizeof none }; /* more than its share, which is nothing */
        assert_true(ev.kind != RP_EVENT_BROKEN);
        if (ev.kind == RP_EVENT_COLUMNS) rp_session_described(&m->s, &none, RP_PREPARED_BLIND);
    }
    while (rp_session_next(&m->s, NULL, 0, &used).kind != RP_EVENT_MORE) {}
    blob_free(&words), blob_free(&sent), blob_free(&bytes);
    return closes;
}

static struct many *many_new(void)
{
    static const uint8_t entropy[18];
    static const struct rp_pair startup[] = { { "user", "app" }, { NULL, NULL } };
    struct many *m = calloc(1, sizeof *m);
    uint8_t out[200];
    size_t used;
    struct blob bytes = { 0 };
    assert_non_null(m);
    m->texts = (struct rp_texts_view){ .places = PLACES, .ring = RING, .eviction = m->eviction, .serial = m->serial,
                                       .pins = m->pins };
    m->config = (struct rp_session_config){ .startup = startup, .message_limit = 4096, .row_limit = 4096,
                                            .entries = TRANSCRIPT_ENTRIES, .statements = STATEMENTS_MANY,
                                            .catalog = m->catalog, .texts = &m->texts };
    rp_session_init(&m->s, &m->config, m->entries, m->prepared, entropy);
    rp_session_keep_texts(&m->s, m->held);
    (void)!rp_session_output(&m->s, out, sizeof out);
    blob_server(&bytes, "R(0) Z(I)");
    assert_int_equal(rp_session_next(&m->s, bytes.at, bytes.size, &used).kind, RP_EVENT_READY);
    blob_free(&bytes);
    for (uint32_t i = 0; i < PLACES; i++) m->serial[i] = ++m->last;
    return m;
}

/* A bounded number at a time, and none is forgotten, however many there were in between. */
static void test_many_evictions(void **state)
{
    (void)state;
    for (unsigned rounds = 1; rounds <= 3; rounds++) {
        struct many *m = many_new();
        for (int i = 0; i < PLACES; i++) assert_int_equal(ask(m, i), 0);
        for (unsigned round = 0; round < rounds; round++)
            for (uint32_t i = 0; i < PLACES; i++) evict(m, i);
        assert_int_equal(ask(m, -1), RP_CLOSES);
        assert_int_equal(ask(m, -1), RP_CLOSES);
        assert_int_equal(ask(m, -1), PLACES - 2 * RP_CLOSES);
        assert_int_equal(ask(m, -1), 0);
        assert_int_equal(ask(m, 5), 0);
        for (size_t i = 0; i < PLACES; i++) assert_int_equal(m->pins[i], 0);
        free(m);
    }
}

/* A text's own place is closed at once, though others wait for their turn. */
static void test_own_place_first(void **state)
{
    (void)state;
    struct many *m = many_new();
    for (int i = 0; i < PLACES; i++) assert_int_equal(ask(m, i), 0);
    for (uint32_t i = 0; i < PLACES; i++) evict(m, i);
    assert_int_equal(ask(m, PLACES - 1), RP_CLOSES + 1);
    assert_int_equal(ask(m, PLACES - 1), RP_CLOSES);
    assert_int_equal(ask(m, PLACES - 1), PLACES - 2 * RP_CLOSES - 1);
    assert_int_equal(ask(m, PLACES - 1), 0);
    free(m);
}

/* With its name the Bind would be too long: it stays unnamed. */
static void test_no_room_for_the_name(void **state)
{
    (void)state;
    struct transcript *t = transcript_new();
    t->config.message_limit = 1 + 4 + 1 + 13 + 1 + 2; /* exactly the Parse of `k` */
    transcript_begin(t, true);
    transcript_queue(t, "k");
    transcript_expect_sent(t, "P: B: D E S");
    assert_int_equal(t->pins[0], 0);
    transcript_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept),           cmocka_unit_test(test_discarded),
        cmocka_unit_test(test_changed),        cmocka_unit_test(test_changes_are_bounded),
        cmocka_unit_test(test_changed_elsewhere),
        cmocka_unit_test(test_taken),          cmocka_unit_test(test_mislaid),
        cmocka_unit_test(test_unnamed),        cmocka_unit_test(test_one_group_at_a_time),
              cmocka_unit_test(test_many_evictions),
        cmocka_unit_test(test_own_place_first), cmocka_unit_test(test_no_room_for_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

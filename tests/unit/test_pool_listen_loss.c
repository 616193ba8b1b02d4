/* unit/test_pool_listen_loss.c - listeners whose connection is lost, refused, given up or not answered, in every phase:
 * it comes back, paced, and says LISTEN again. Simulated host, virtual time. */
#include "unit/ears.h"

/* ---- losses ---- */

static void it_comes_back_after_each_loss(void **state)
{
    (void)state;
    struct world w;
    struct ear e[3];
    world_open(&w, "");
    for (int i = 0; i < 3; i++) ear_open(&w, &e[i], i ? "b" : "a");
    world_run(&w, 10 * WORLD_MS);
    for (int how = 0; how < MODEL_ENDS; how++) {
        model_conn_end(newest(&w), (enum model_end)how, "57P01");
        world_run(&w, 10 * WORLD_MS);
        for (int i = 0; i < 3; i++) assert_int_equal(e[i].down, how + 1);
        say(&w, "a", 100); /* lost */
        world_run(&w, WORLD_SECOND);
        for (int i = 0; i < 3; i++) assert_int_equal(e[i].up, how + 2);
        say(&w, "a", 1);
        say(&w, "b", 1);
        say(&w, "a", 2);
        world_run(&w, 10 * WORLD_MS);
        assert_int_equal(e[0].notified, 2 * (how + 1));
        assert_int_equal(e[1].notified, how + 1);
        assert_int_equal(e[2].notified, how + 1);
        world_run(&w, 10 * WORLD_SECOND);
    }
    assert_int_equal(w.events[PG_EVENT_LOST], MODEL_ENDS);
    assert_int_equal(made(&w), MODEL_ENDS + 1);
    for (int i = 0; i < 3; i++) ear_close(&e[i]);
    world_close(&w);
}

/* One that is lost as soon as it stands is made more and more seldom. */
static void losses_in_a_row_are_paced(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    world_open(&w, "");
    ear_open(&w, &e, news);
    for (int i = 0; i < 20000; i++) {
        world_run(&w, WORLD_MS);
        if (model_conn_count(w.server) && e.listening) model_conn_end(newest(&w), MODEL_END_RESET, NULL);
    }
    assert_in_range(made(&w), 10, 20); /* 20 s */
    assert_in_range(e.up, 10, 20);
    ear_close(&e);
    world_close(&w);
}

static void refused_connects_are_tried_again(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    static const char *const why[] = { "53300", "57P03", "28P01" };
    for (int i = -1; i < 3; i++) {
        world_open(&w, "");
        if (i < 0) model_server_connects(w.server, SIM_REFUSE);
        else model_server_refuse(w.server, why[i]);
        ear_open(&w, &e, news);
        world_run(&w, 10 * WORLD_SECOND);
        assert_int_equal(e.up, 0);
        assert_in_range(w.events[PG_EVENT_CONNECT_FAILED], 5, 12);
        assert_int_equal(world_stats(&w).effective_max_conns, 4); /* that is another matter */
        model_server_connects(w.server, SIM_ACCEPT);
        model_server_refuse(w.server, NULL);
        world_run(&w, 3 * WORLD_SECOND + 50 * WORLD_MS);
        assert_int_equal(e.up, 1);
        ear_close(&e);
        world_close(&w);
    }
}

static void on_closed(void *arg) { ((struct world *)arg)->closed = true; }
static void close_pool_of(struct world *w)
{
    CALL(pg_pool_close(w->pool, 0, on_closed, w));
    w->pool = NULL;
}

/* At each moment between the connect and the first notification: a loss, an unlisten, a close. */
static void any_phase(uint64_t at_ns, int what)
{
    struct world w;
    struct ear e, other;
    world_open(&w, "pool_connect_sql='SET a = 1'");
    ear_open(&w, &e, "a");
    ear_open(&w, &other, "b");
    world_run(&w, at_ns);
    say(&w, "a", 1);
    if (what < MODEL_ENDS && model_conn_count(w.server)) model_conn_end(newest(&w), (enum model_end)what, "57P01");
    if (what == MODEL_ENDS) ear_close(&e);
    if (what == MODEL_ENDS + 1) ear_close(&e), ear_close(&other);
    if (what == MODEL_ENDS + 2) ear_close(&e), ear_open(&w, &e, "a");
    if (what == MODEL_ENDS + 3) ear_close(&e), ear_close(&other), ear_open(&w, &e, "a");
    if (what == MODEL_ENDS + 4) pg_pool_reset(w.pool);
    bool a = true, b = true; /* who still listens */
    if (what == MODEL_ENDS || what == MODEL_ENDS + 1 || what == MODEL_ENDS + 5) a = false;
    if (what == MODEL_ENDS + 1 || what == MODEL_ENDS + 3 || what == MODEL_ENDS + 5) b = false;
    if (what == MODEL_ENDS + 5) close_pool_of(&w);
    world_run(&w, WORLD_SECOND);
    assert_int_equal(e.listening, a);
    assert_int_equal(other.listening, b);
    assert_int_equal(model_server_notify(w.server, "a", "2"), a);
    assert_int_equal(model_server_notify(w.server, "b", "2"), b);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(other.notified, b);
    assert_int_equal(conns(&w), a || b);
    if (a) assert_string_equal(e.payload, "2");
    if (what == MODEL_ENDS + 5) assert_int_equal(w.closed, true);
    world_close(&w);
    if (what != MODEL_ENDS + 1 && what != MODEL_ENDS + 3) assert_int_equal(other.up, other.down);
}
static void in_any_phase_anything_may_happen(void **state)
{
    (void)state;
    for (int what = 0; what < MODEL_ENDS + 6; what++)
        for (uint64_t at_ns = 0; at_ns < 1200 * 1000; at_ns += 20 * 1000) any_phase(at_ns, what);
}

/* Another connection, since another host may be the primary by now. */
static void a_standby_is_left(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    world_open(&w, "");
    model_settings(w.server)->role = MODEL_STANDBY;
    ear_open(&w, &e, news);
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(e.up, 0);
    assert_in_range(w.events[PG_EVENT_LOST], 5, 12);
    assert_string_equal(w.event_error.sqlstate, "25006");
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "LISTEN: cannot execute LISTEN during recovery");
    assert_in_range(made(&w), 6, 13);
    model_settings(w.server)->role = MODEL_PRIMARY;
    world_run(&w, 3 * WORLD_SECOND + 50 * WORLD_MS);
    assert_int_equal(e.up, 1);
    ear_close(&e);
    world_close(&w);
}

static void refuse_b(void *arg, struct model_query *q)
{
    if (*(bool *)arg && !strcmp(model_sql(q), "LISTEN \"b\"")) model_error(q, "22021", "invalid byte sequence");
}
static void one_that_is_refused_harms_no_other(void **state)
{
    (void)state;
    struct world w;
    struct ear a, b;
    bool refuses = true;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .answer = refuse_b, .arg = &refuses };
    world_open_with(&w, &sim, &server, "");
    ear_open(&w, &b, "b");
    ear_open(&w, &a, "a");
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(a.up, 1);
    assert_int_equal(a.down, 0);
    assert_int_equal(b.up, 0);
    assert_int_equal(made(&w), 1);
    unsigned before = w.events[PG_EVENT_LISTEN_FAILED];
    assert_in_range(before, 5, 12);
    assert_string_equal(w.event_error.sqlstate, "22021");
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "LISTEN \"b\": invalid byte sequence");
    ear_close(&b);
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LISTEN_FAILED], before);
    ear_open(&w, &b, "b");
    world_run(&w, 10 * WORLD_MS);
    refuses = false;
    world_run(&w, 4 * WORLD_SECOND);
    assert_int_equal(b.up, 1);
    ear_close(&b);
    ear_close(&a);
    world_close(&w);
}

/* Its listener has gone before the answer came, and its record goes with it. */
static void the_refused_may_be_gone(void **state)
{
    (void)state;
    struct world w;
    struct ear a, b;
    bool refuses = true;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .answer = refuse_b, .arg = &refuses };
    world_open_with(&w, &sim, &server, "");
    ear_open(&w, &a, "a");
    world_run(&w, 10 * WORLD_MS);
    ear_open(&w, &b, "b");
    world_run(&w, 20000); /* sent */
    ear_close(&b);
    world_run(&w, 10 * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_LISTEN_FAILED], 1);
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "LISTEN \"b\": invalid byte sequence");
    world_run(&w, 10 * WORLD_SECOND);
    assert_int_equal(w.events[PG_EVENT_LISTEN_FAILED], 1);
    assert_int_equal(a.down, 0);
    ear_close(&a);
    world_close(&w);
}

static void mute(void *arg, struct model_query *q)
{
    if (*(bool *)arg && !strncmp(model_sql(q), "LISTEN", 6)) model_delay(q, 100 * WORLD_SECOND);
}
static void a_server_that_does_not_answer_is_left(void **state)
{
    (void)state;
    struct world w;
    struct ear e;
    bool is_mute = true;
    struct sim_config sim = { .seed = 1, .latency_min_ns = 50000, .latency_max_ns = 100000 };
    struct model_config server = { .answer = mute, .arg = &is_mute };
    world_open_with(&w, &sim, &server, "pool_close_linger=1s");
    ear_open(&w, &e, news);
    world_run(&w, 1500ull * WORLD_MS);
    assert_int_equal(w.events[PG_EVENT_LOST], 1);
    assert_string_equal(pg_error_field(&w.event_error, 'M'), "LISTEN: did not end within pool_close_linger");
    is_mute = false;
    world_run(&w, 5 * WORLD_SECOND);
    assert_int_equal(e.up, 1);
    assert_int_equal(e.down, 0);
    ear_close(&e);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_after_each_loss),
        cmocka_unit_test(losses_in_a_row_are_paced),
        cmocka_unit_test(refused_connects_are_tried_again),
        cmocka_unit_test(in_any_phase_anything_may_happen),
        cmocka_unit_test(a_standby_is_left),
        cmocka_unit_test(one_that_is_refused_harms_no_other),
        cmocka_unit_test(the_refused_may_be_gone),
        cmocka_unit_test(a_server_that_does_not_answer_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* sim/nth_query.c - short scenarios of the shared lane, for nth_failure.h. */
#include <string.h>
#include "sim/nth_failure.h"

static bool one_query(struct world *w, int step)
{
    if (step == 0) ask(w, &nth_echo, 1);
    return step == 0;
}

static bool run_time_sql(struct world *w, int step)
{
    ask_sql(w, "ECHO of a text");
    return step < 2;
}

static bool batch(struct world *w, int step)
{
    size_t committed;
    if (step == 0) {
        struct one *a = make(w, &nth_insert, 1), *b = make(w, &nth_echo, 2), *c = make(w, &nth_insert, 3);
        a->query.next = &b->query;
        b->query.next = &c->query;
        pg_pool_query(w->pool, &a->query);
        return true;
    }
    (void)model_committed(w->server, &committed);
    assert_true(committed == 0 || committed == 2);
    assert_true(committed == 2 || w->query[0].query.status != PG_OK);
    return false;
}

static bool large(struct world *w, int step)
{
    static char text[LARGE];
    struct one *o = make(w, &nth_echo_text, 0);
    memset(text, 'x', sizeof text);
    o->param = pg_strn(text, sizeof text);
    pg_pool_query(w->pool, &o->query);
    if (step && w->query[0].query.status == PG_OK) assert_int_equal(w->query[0].bytes, LARGE);
    return step < 1;
}

static bool many_rows(struct world *w, int step)
{
    ask(w, &nth_rows, 2000); /* more than a buffer holds, and more than a turn delivers */
    ask(w, &nth_rows, 2000)->flow = PG_STOP;
    return step < 1;
}

static bool lost_and_found(struct world *w, int step)
{
    size_t n = model_conn_count(w->server);
    if (step == 1 && n) model_conn_end(model_conn_at(w->server, n - 1), MODEL_END_FATAL, "57P01");
    ask(w, &nth_echo, step);
    return step < 2;
}

static bool deadline_at_the_server(struct world *w, int step)
{
    struct one *o = make_sql(w, "SLEEP 20");
    o->query.deadline_ns = sim_now(w->sim) + 10 * MS;
    pg_pool_query(w->pool, &o->query);
    give_up(ask(w, &nth_echo, 1));
    return step < 1;
}

static bool deadline_in_the_queue(struct world *w, int step)
{
    for (int i = 0; i < 8 && step == 0; i++) {
        struct one *o = i < 3 ? make_sql(w, "SLEEP 100") : make(w, &nth_echo, i);
        if (i >= 3) o->query.deadline_ns = sim_now(w->sim) + 20 * MS;
        pg_pool_query(w->pool, &o->query);
    }
    return step < 1;
}

/* With cancel requests of which some fail, and then the pool is still to be used. */
static bool stopped(struct world *w, int step)
{
    struct one *o = make_sql(w, "SLEEP 30");
    if (step == 0) o->query.deadline_ns = sim_now(w->sim) + 10 * MS;
    pg_pool_query(w->pool, &o->query);
    if (step != 2) return true;
    pg_query_cancel(&ask(w, &nth_echo, 1)->query);
    return false;
}

static bool abandoned_at_the_server(struct world *w, int step)
{
    struct one *o = ask_sql(w, "SLEEP 1000");
    pass(w, 10 * MS);
    give_up(o);
    return step < 1;
}

static bool cancel_parked(struct world *w, int step)
{
    struct one *o[5];
    for (int i = 0; i < 5; i++) o[i] = ask(w, &nth_echo, i); /* nothing stands yet: all are parked */
    pg_query_cancel(&o[1]->query);
    give_up(o[3]);
    return step < 1;
}

/* The server forgets what was prepared: the library prepares it anew, and nobody notices. */
static bool healing(struct world *w, int step)
{
    ask(w, &nth_echo, step);
    if (step == 1) {
        pass(w, SECOND);
        ask_sql(w, "FORGET");
    }
    return step < 2;
}

static bool notices(struct world *w, int step)
{
    ask(w, &nth_echo, step);
    if (step == 0) return true;
    for (size_t n = 0; n < model_conn_count(w->server); n++)
        for (int i = 0; i < 300 && model_conn_alive(model_conn_at(w->server, n)); i++)
            model_conn_notice(model_conn_at(w->server, n), "00000", "one of a storm of notices, each with some text");
    ask(w, &nth_rows, 5);
    return step < 2;
}

static bool copy(struct world *w, int step)
{
    ask_sql(w, "COPY item FROM STDIN"); /* refused by its text */
    if (step == 1) ask_sql(w, "COPYIN item"); /* found out by its answer */
    ask(w, &nth_echo, 1);
    return step < 1;
}

static bool stray(struct world *w, int step)
{
    ask_sql(w, "BEGIN");
    ask_sql(w, "STRAY");
    ask(w, &nth_insert, step);
    ask(w, &nth_echo, step);
    return step < 1;
}

static bool errors(struct world *w, int step)
{
    ask_sql(w, "FAIL 22012");
    ask_sql(w, "SYNTAX");
    ask(w, &nth_echo, 1)->query.nparams = 1;
    ask_sql(w, "DEFERRED");
    return step < 1;
}

static bool deep(struct world *w, int step)
{
    for (int i = 0; i < 30; i++) ask(w, &nth_echo, i);
    return step < 0;
}

static bool repeated(struct world *w, int step)
{
    ask(w, &nth_keep, step);
    if (step == 1) {
        pass(w, 30000); /* it is under way */
        model_server_restart(w->server, MODEL_END_RESET, 0);
    }
    return step < 2;
}

const struct scenario nth_query[] = {
    { "one query", one_query, NULL, ".|", MODEL_TRUST, 0 },
    { "SCRAM", one_query, NULL, ".|", MODEL_SCRAM, 0 },
    { "MD5", one_query, NULL, ".|", MODEL_MD5, 0 },
    { "SQL built at run time", run_time_sql, NULL, "...|", MODEL_TRUST, 0 },
    { "a batch", batch, NULL, "...|", MODEL_MD5, 0 },
    { "large parameter and row", large, NULL, "..|", MODEL_TRUST, 0 },
    { "many rows", many_rows, NULL, ".C.C|", MODEL_TRUST, 0 },
    { "reconnect", lost_and_found, NULL, ".L.|", MODEL_CLEARTEXT, 0 },
    { "deadline at the server", deadline_at_the_server, NULL, "T-T-|", MODEL_TRUST, 0 },
    { "deadline in the queue", deadline_in_the_queue, "pool_max_pipeline=1", "...TTTTT|", MODEL_TRUST, 0 },
    { "stopped at the server", stopped, NULL, "T..C|", MODEL_TRUST, 0 },
    { "abandoned at the server", abandoned_at_the_server, NULL, "--|", MODEL_TRUST, 0 },
    { "cancel parked", cancel_parked, NULL, ".C.-..C.-.|", MODEL_TRUST, 0 },
    { "the server forgets a statement", healing, "pool_max_conns=1", "....|", MODEL_TRUST, 0 },
    { "storm of notices", notices, NULL, ".....|", MODEL_TRUST, 0 },
    { "COPY is refused", copy, NULL, "N.NPP|", MODEL_TRUST, 0 },
    { "a transaction is refused", stray, NULL, "NNRRNN.R|", MODEL_TRUST, 0 },
    { "errors", errors, NULL, "SS.SSS.S|", MODEL_TRUST, 0 },
    { "a deep queue", deep, "pool_max_pipeline=4", "..............................|", MODEL_TRUST, 0 },
    { "repeated after a loss", repeated, NULL, "...|", MODEL_TRUST, 0 },
    { NULL, NULL, NULL, NULL, MODEL_TRUST, 0 },
};

/* sim/exhaustive.c - all combinations of ok, error, slow and never over connect, authentication, the reset of a
 * returned connection, query and close: 1,024 worlds, each with a pool of one connection and with one of two.
 *
 *      stage     error                      slow          never
 *      connect   refused                    takes SLOW    no answer at all
 *      auth      FATAL: wrong password      takes SLOW    silence behind the startup message
 *      reset     ROLLBACK fails             takes SLOW    silence behind ROLLBACK
 *      query     fails                      takes SLOW    silence, until a cancel request ends it
 *      close     RST in the place of FIN    takes SLOW    no end of the stream, ever
 *
 * In each world the same happens, all asked at once: lease A, BEGIN and a query, released in its transaction; lease B,
 * parked behind it, a query; lease C, with a deadline that is soon; statements D and E on the shared lane. What must
 * become of them, and when, is worked out from the stages alone (plan_of), never from a run. Then all stages but the
 * close heal, and the pool must serve; then it is closed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sim/pg_sim.h"
#include "support/sim_private.h"

enum mode { GOOD, FAILS, SLOW, NEVER, MODES };
enum stage { CONNECT, AUTH, RESET, QUERY, CLOSE, STAGES };
static const char *const mode_name[] = { "ok", "error", "slow", "never" };
static const char *const stage_name[] = { "connect", "auth", "reset", "query", "close" };

/* All in ms from the start. Sums of them are multiples of 100, and C's deadline is none. */
enum { SLOW_MS = 300, QUERY_MS = 500, LINGER_MS = 500, C_MS = 250, A_MS = 1000, B_MS = 5000, SHARED_MS = 8000 };
enum { BOUND_MS = 15, HEALED_MS = 9000, SERVED_MS = 8000, LONG_MS = 1000000000 };

enum who { A, B, C, A_BEGIN, A_QUERY, B_QUERY, D, E, ASKED };
static const char *const who_name[] = { "A", "B", "C", "A's BEGIN", "A's query", "B's query", "D", "E" };

struct outcome {
    int status;
    unsigned at_ms;
};
struct plan {
    struct outcome due[ASKED];
    bool asked[ASKED];
    bool connects;
    unsigned lost, abandoned; /* connections by the reset; of them, how many before the server had let go */
};

struct world {
    enum mode mode[STAGES]; /* now */
    unsigned number, conns; /* which world it is */
    struct heap heap;
    struct sim *sim;
    struct model_server *server;
    struct pg_reactor *reactor;
    struct pg_pool *pool;
    uint64_t start_ns, closed_ns;
    struct pg_lease lease[3];
    struct pg_query query[ASKED];
    struct outcome seen[ASKED];
    unsigned ends[ASKED], events[PG_EVENT_LEAK + 1], order;
    sim_accept_fn *accept;
    void *accept_arg;
};
static struct world *w;
static struct pg_statement statement = PG_STATEMENT("QUERY");

static enum mode mode_in(unsigned number, int stage) { return (enum mode)(number >> 2 * stage & 3); }

static _Noreturn void wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static _Noreturn void wrong(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    for (int s = 0; s < STAGES; s++) fprintf(stderr, "%s %s, ", stage_name[s], mode_name[mode_in(w->number, s)]);
    fprintf(stderr, "%u connections: ", w->conns);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    exit(1);
}
#define REQUIRE_(holds, ...) ((holds) ? (void)0 : wrong(__VA_ARGS__))

/* ---- what must happen ---- */

static unsigned takes(enum mode mode) { return mode == SLOW ? SLOW_MS : 0; }
static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

static struct outcome query_from(enum mode mode, unsigned ms)
{
    switch (mode) {
    case FAILS: return (struct outcome){ PG_E_SERVER, ms };
    case SLOW: return (struct outcome){ PG_OK, ms + SLOW_MS };
    case NEVER: return (struct outcome){ PG_E_TIMEOUT, ms + QUERY_MS };
    default: return (struct outcome){ PG_OK, ms };
    }
}

static void nobody_is_served(struct plan *p, unsigned at_ms)
{
    static const struct { enum who who; unsigned deadline_ms; } all[] = {
        { A, A_MS }, { B, B_MS }, { C, C_MS }, { D, SHARED_MS }, { E, SHARED_MS },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        p->asked[all[i].who] = true;
        p->due[all[i].who] = (struct outcome){ PG_E_UNAVAILABLE, least(at_ms, all[i].deadline_ms) };
    }
}

/* From A's return at `ms` to the connection's next use; `up_ms` is what a new connection takes. `*lost_ms` stays when
 * the same one serves on. */
static unsigned reset_from(const enum mode m[STAGES], struct plan *p, unsigned ms, unsigned up_ms, unsigned *lost_ms)
{
    unsigned cancel = m[QUERY] == NEVER ? takes(m[CONNECT]) : 0; /* the request has to connect too */
    unsigned rollback = m[RESET] == NEVER ? LONG_MS : takes(m[RESET]);
    if (m[RESET] != FAILS && cancel + rollback <= LINGER_MS) return ms + cancel + rollback;
    bool late = m[RESET] != FAILS;
    unsigned lost = ms + (late ? LINGER_MS : cancel);
    /* What still runs is cancelled, then the server takes note of our end. */
    unsigned running = late ? least(cancel + rollback - LINGER_MS, takes(m[CONNECT])) : 0;
    unsigned leaves = running + (m[CLOSE] == NEVER ? LONG_MS : takes(m[CLOSE]));
    p->lost = 1;
    p->abandoned = leaves > LINGER_MS;
    *lost_ms = lost;
    return lost + least(leaves, LINGER_MS) + up_ms;
}

static struct plan plan_of(const enum mode m[STAGES])
{
    struct plan p = { .connects = m[CONNECT] != FAILS && m[CONNECT] != NEVER && m[AUTH] != FAILS && m[AUTH] != NEVER };
    unsigned up_ms = takes(m[CONNECT]) + takes(m[AUTH]), ms = up_ms, lost_ms = LONG_MS;
    if (!p.connects) { /* a wrong password is said once, and ends all; anything else may pass */
        bool for_good = m[AUTH] == FAILS && (m[CONNECT] == GOOD || m[CONNECT] == SLOW);
        p.abandoned = m[AUTH] == NEVER && m[CLOSE] == NEVER && (m[CONNECT] == GOOD || m[CONNECT] == SLOW);
        nobody_is_served(&p, for_good ? takes(m[CONNECT]) : LONG_MS);
        return p;
    }
    for (int i = 0; i < ASKED; i++) p.asked[i] = true;
    p.due[A] = p.due[A_BEGIN] = (struct outcome){ PG_OK, ms };
    p.due[A_QUERY] = query_from(m[QUERY], ms);
    ms = reset_from(m, &p, p.due[A_QUERY].at_ms, up_ms, &lost_ms);
    unsigned again_ms = lost_ms == LONG_MS ? LONG_MS : ms;
    p.due[B] = (struct outcome){ PG_OK, ms };
    p.due[B_QUERY] = query_from(m[QUERY], ms);
    ms = p.due[B_QUERY].at_ms + (m[QUERY] == NEVER ? takes(m[CONNECT]) : 0);
    bool none_at_c = up_ms > C_MS || (lost_ms < C_MS && again_ms > C_MS);
    if (ms < C_MS) p.due[C] = (struct outcome){ PG_OK, ms };
    else p.due[C] = (struct outcome){ none_at_c ? PG_E_UNAVAILABLE : PG_E_TIMEOUT, C_MS };
    p.due[D] = query_from(m[QUERY], ms);
    p.due[E] = query_from(m[QUERY], m[QUERY] == SLOW ? p.due[D].at_ms : ms);
    if (m[QUERY] == NEVER) p.due[D].at_ms = p.due[E].at_ms = SHARED_MS;
    return p;
}

/* ---- the server and the way there ---- */

static enum sim_connect on_accept(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    (void)arg;
    if (w->mode[CONNECT] == FAILS) return SIM_REFUSE;
    if (w->mode[CONNECT] == NEVER) return SIM_HANG;
    enum sim_connect outcome = w->accept(w->accept_arg, peer, address);
    struct sim_conn *conn = SIM_CONTAINER(peer, struct sim_conn, peer);
    conn->to_peer.last_due_ns += takes(w->mode[CONNECT]) * MS;
    conn->to_host.last_due_ns += takes(w->mode[CONNECT]) * MS;
    return outcome;
}

static void answer(void *arg, struct model_query *q)
{
    (void)arg;
    bool reset = !strcmp(model_sql(q), "ROLLBACK");
    if (model_describing(q) || (!reset && strcmp(model_sql(q), "QUERY") != 0)) return;
    enum mode mode = w->mode[reset ? RESET : QUERY];
    if (mode == FAILS) model_error(q, reset ? "XX000" : "22012", "as this world has it");
    if (mode == SLOW) model_delay(q, SLOW_MS * MS);
    if (mode == NEVER) model_delay(q, LONG_MS * MS);
}

/* Tells the server what the modes are now. */
static void set_modes(void)
{
    struct model_config *c = model_settings(w->server);
    c->password = w->mode[AUTH] == FAILS ? "another" : "secret";
    c->fault = w->mode[AUTH] == NEVER ? MODEL_NO_AUTH_ANSWER : MODEL_HONEST;
    c->startup_delay_ns = takes(w->mode[AUTH]) * MS;
    c->exit_delay_ns = w->mode[CLOSE] == NEVER ? LONG_MS * MS : takes(w->mode[CLOSE]) * MS;
    c->exit_resets = w->mode[CLOSE] == FAILS;
}

static void on_event(void *arg, const struct pg_event *event)
{
    (void)arg;
    w->events[event->kind]++;
}

static void open_world(void)
{
    struct pg_error error = { 0 };
    char options[200];
    w->sim = sim_open(&(struct sim_config){ .seed = 1, .latency_min_ns = 20000, .latency_max_ns = 60000 });
    w->server = model_server_open(
        &(struct model_config){ .sim = w->sim, .auth = MODEL_SCRAM, .scram_iterations = 1, .answer = answer });
    w->accept = w->sim->accept;
    w->accept_arg = w->sim->accept_arg;
    sim_listen(w->sim, on_accept, NULL);
    set_modes();
    struct pg_reactor_config rc = PG_REACTOR_CONFIG(sim_host(w->sim));
    rc.allocate = heap_allocate;
    rc.deallocate = heap_deallocate;
    rc.arg = &w->heap;
    REQUIRE_(pg_reactor_open(&w->reactor, &rc, &error) == 0, "pg_reactor_open: %s", error.text);
    snprintf(options, sizeof options, "host=127.0.0.1 user=app sslmode=disable password=secret connect_timeout=2 "
                                      "pool_max_conns=%u pool_close_linger=%ums", w->conns, (unsigned)LINGER_MS);
    struct pg_pool_config pc = PG_POOL_CONFIG(options);
    pc.flags = PG_POOL_STRING_ONLY;
    pc.on_event = on_event;
    REQUIRE_(pg_pool_open(&w->pool, w->reactor, &pc, &error) == 0, "pg_pool_open: %s", error.text);
    w->start_ns = sim_now(w->sim);
}

/* ---- what is asked ---- */

static unsigned now_ms(void) { return (unsigned)((sim_now(w->sim) - w->start_ns) / MS); }
static uint64_t at(unsigned ms) { return w->start_ns + ms * MS; }

static void ended(enum who who, int status)
{
    struct pg_pool_stats s = { .size = sizeof s };
    w->seen[who] = (struct outcome){ status, now_ms() };
    w->ends[who]++;
    if (w->pool) pg_pool_stats(w->pool, &s);
    REQUIRE_(s.total_conns <= w->conns, "%u connections", s.total_conns);
}

static void on_done(struct pg_query *q)
{
    enum who who = (enum who)(q - w->query);
    ended(who, q->status);
    bool certain = q->status == PG_OK || q->status == PG_E_SERVER;
    if (q->status == PG_E_TIMEOUT) REQUIRE_(q->sent == PG_SENT_MAYBE, "%s: sent is %d", who_name[who], q->sent);
    if (certain) REQUIRE_(q->sent == PG_SENT_YES, "%s: sent is %d", who_name[who], q->sent);
    if (q->status == PG_E_SERVER) REQUIRE_(!strcmp(q->sqlstate, "22012"), "%s: %s", who_name[who], q->sqlstate);
    if (who == A_QUERY) pg_lease_release(&w->lease[A]);
    if (who == B_QUERY) pg_lease_release(&w->lease[B]);
}

static struct pg_query *make(enum who who, struct pg_statement *s, uint64_t deadline_ns)
{
    w->query[who] = (struct pg_query){ .statement = s, .on_done = on_done, .deadline_ns = deadline_ns };
    return &w->query[who];
}

static void on_grant(struct pg_lease *lease, int status)
{
    enum who who = (enum who)(lease - w->lease);
    ended(who, status);
    if (status) return;
    REQUIRE_(who >= w->order, "%s is served behind %s", who_name[who], who_name[w->order]);
    w->order = who;
    uint64_t deadline_ns = pg_reactor_now(w->reactor) + QUERY_MS * MS;
    if (who == C) pg_lease_release(lease);
    if (who == A) pg_lease_query(lease, make(A_BEGIN, &pg_begin, deadline_ns));
    if (who != C) pg_lease_query(lease, make(who == A ? A_QUERY : B_QUERY, &statement, deadline_ns));
}

static void begin(void)
{
    static const unsigned deadline_ms[] = { A_MS, B_MS, C_MS };
    for (int i = A; i <= C; i++) {
        w->lease[i] = (struct pg_lease){ .on_grant = on_grant, .deadline_ns = at(deadline_ms[i]), .tag = who_name[i] };
        pg_pool_acquire(w->pool, &w->lease[i]);
    }
    pg_pool_query(w->pool, make(D, &statement, at(SHARED_MS)));
    pg_pool_query(w->pool, make(E, &statement, at(SHARED_MS)));
}

/* ---- what has happened ---- */

/* With two connections C has better chances, and the rest may be earlier. */
static void check(const struct plan *p)
{
    const struct model_stats *m = model_stats(w->server);
    struct pg_pool_stats s = { .size = sizeof s };
    for (enum who i = A; i < ASKED; i++) {
        const struct outcome *due = &p->due[i], *seen = &w->seen[i];
        bool open = w->conns > 1 && i == C && p->connects;
        REQUIRE_(w->ends[i] == p->asked[i], "%s ended %u times", who_name[i], w->ends[i]);
        if (!p->asked[i]) continue;
        REQUIRE_(seen->status == due->status || open, "%s: %s, and due was %s", who_name[i],
                 pg_error_name(seen->status), pg_error_name(due->status));
        REQUIRE_(seen->at_ms <= due->at_ms + BOUND_MS && (w->conns > 1 || seen->at_ms >= due->at_ms),
                 "%s: after %u ms, and due was %u", who_name[i], seen->at_ms, due->at_ms);
    }
    pg_pool_stats(w->pool, &s);
    REQUIRE_(s.pending == 0 && s.acquired_conns == 0, "%u wait, %u are held", s.pending, s.acquired_conns);
    REQUIRE_(m->connections_max <= w->conns + s.abandoned_count, "%u backends", m->connections_max);
    if (w->conns > 1 || w->mode[QUERY] == NEVER) return; /* D or E may have cost it too */
    REQUIRE_(w->events[PG_EVENT_LOST] == p->lost, "%u lost", w->events[PG_EVENT_LOST]);
    /* Who never comes to speak is tried again and again, and given up each time. */
    REQUIRE_(p->connects ? s.abandoned_count == p->abandoned : !s.abandoned_count == !p->abandoned, "%llu abandoned",
             (unsigned long long)s.abandoned_count);
    REQUIRE_(!p->connects || m->connections_total == 1 + p->lost, "%llu connections were made",
             (unsigned long long)m->connections_total);
}

static void on_closed(void *arg)
{
    (void)arg;
    w->pool = NULL;
    w->closed_ns = sim_now(w->sim);
}

static void heal_and_close(void)
{
    static const unsigned closing[] = { [GOOD] = 0, [FAILS] = 0, [SLOW] = SLOW_MS, [NEVER] = LINGER_MS };
    for (int s = 0; s < CLOSE; s++) w->mode[s] = GOOD;
    set_modes();
    w->ends[D] = 0;
    pg_pool_query(w->pool, make(D, &statement, sim_now(w->sim) + SERVED_MS * MS));
    (void)sim_run(w->sim, w->reactor, SERVED_MS * MS);
    REQUIRE_(w->ends[D] == 1 && w->seen[D].status == PG_OK, "not served afterwards: %s",
             w->ends[D] ? pg_error_name(w->seen[D].status) : "no outcome");
    uint64_t begun_ns = sim_now(w->sim);
    pg_pool_close(w->pool, 0, on_closed, NULL);
    pg_reactor_close(w->reactor, 0);
    REQUIRE_(sim_run(w->sim, w->reactor, 10 * SECOND) == SIM_CLOSED && w->closed_ns, "it does not close");
    unsigned ms = (unsigned)((w->closed_ns - begun_ns) / MS), due = closing[w->mode[CLOSE]];
    REQUIRE_(ms >= due && ms <= due + BOUND_MS, "closed after %u ms, and due was %u", ms, due);
    pg_reactor_free(w->reactor);
    REQUIRE_(w->heap.blocks == 0, "%zu blocks were not given back", w->heap.blocks);
    REQUIRE_(sim_counters(w->sim)->descriptors_now == 0, "descriptors are left open");
    (void)sim_step_until(w->sim, sim_now(w->sim) + SECOND);
    REQUIRE_(w->mode[CLOSE] == NEVER || model_stats(w->server)->sockets_now == 0, "connections are left at the server");
    model_server_close(w->server);
    sim_close(w->sim);
}

static void run(unsigned number, unsigned conns)
{
    struct world world = { .number = number, .conns = conns };
    w = &world;
    for (int s = 0; s < STAGES; s++) w->mode[s] = mode_in(number, s);
    struct plan plan = plan_of(w->mode);
    open_world();
    begin();
    (void)sim_run(w->sim, w->reactor, HEALED_MS * MS);
    check(&plan);
    heal_and_close();
}

int main(void)
{
    unsigned worlds = 1u << 2 * STAGES;
    for (unsigned conns = 1; conns <= 2; conns++)
        for (unsigned number = 0; number < worlds; number++) run(number, conns);
    printf("%u worlds with one connection, %u with two: all as planned\n", worlds, worlds);
    return 0;
}

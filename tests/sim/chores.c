/* sim/chores.c - what the pool is told to do of its own accord: connect_sql, reset_sql, warm statements, and hooks that
 * end at once, later, too late or never, well or badly, with and without a query of theirs. It keeps books on every
 * connection and knows in which order hooks and grants may come. */
#include <string.h>
#include "pool/state.h"
#include "sim/pg_sim.h"

struct chore {
    struct live live; /* first */
    struct run *run;
    enum rp_hook_kind kind;
    struct pg_hook *hook;
    struct pg_lease *lease;
    struct rp_slot *slot;
    uint32_t pid;
    bool asking;
    struct pg_query query;
};

static const char *const names[RP_HOOKS] = { "before_connect", "after_connect", "prepare_conn", "after_release",
                                             "before_close" };

static void bury(struct chore *c)
{
    struct run *r = c->run;
    table_remove(&r->chores, &c->live);
    heap_bury(&r->heap, c);
}

/* ---- the books: a backend's way through the hooks ---- */

static bool has(const struct run *r, enum rp_hook_kind kind) { return r->set.hooks & 1u << kind; }

static struct chore_book *book_of(struct run *r, const struct rp_slot *slot)
{
    struct chore_book *b = r->books;
    while (b->slot && b->slot != slot) b++;
    REQUIRE(b < r->books + SIZE_MOST + 1, "more slots than there may be");
    if (b->slot != slot || b->pid != slot->conn.session.backend_pid)
        *b = (struct chore_book){ .slot = slot, .pid = slot->conn.session.backend_pid };
    return b;
}

struct model_conn *chores_backend(struct run *r, uint32_t pid)
{
    for (uint32_t h = 0; h < r->scene->run[0].set.hosts; h++)
        for (size_t i = model_conn_count(r->scene->host[h]); i-- > 0;) {
            struct model_conn *conn = model_conn_at(r->scene->host[h], i);
            if (model_conn_pid(conn) == pid) return conn;
        }
    violation("there is no backend %u", pid);
}

/* Nobody has used it before its hook was done. */
static void check_unused(struct run *r, uint32_t pid)
{
    struct model_conn *conn = chores_backend(r, pid);
    for (size_t i = 0; i < model_conn_sql_count(conn); i++) {
        const char *sql = model_conn_sql(conn, i); /* the last two: what target_session_attrs asks */
        REQUIRE(!strncmp(sql, "SET connect", 11) || !strncmp(sql, "SHOW ", 5) || !strncmp(sql, "SELECT ", 7),
                "%s ran before after_connect", sql);
    }
}

static void check_called(struct run *r, struct chore *c)
{
    struct chore_book *b = book_of(r, c->slot);
    bool held = b->state == BOOK_HELD || b->state == BOOK_CHECKED;
    REQUIRE(b->state != BOOK_CONDEMNED, "%s on a connection that a hook has refused", names[c->kind]);
    switch (c->kind) {
    case RP_HOOK_AFTER_CONNECT:
        REQUIRE(b->state == BOOK_NEW, "after_connect twice");
        check_unused(r, c->pid);
        break;
    case RP_HOOK_PREPARE_CONN:
        REQUIRE(b->state == BOOK_READY || !has(r, RP_HOOK_AFTER_CONNECT) || !has(r, RP_HOOK_AFTER_RELEASE),
                "prepare_conn in state %d", b->state);
        REQUIRE(!has(r, RP_HOOK_AFTER_CONNECT) || b->state != BOOK_NEW, "prepare_conn before after_connect");
        break;
    case RP_HOOK_AFTER_RELEASE: REQUIRE(held, "after_release of what nobody had"); break;
    default: break;
    }
}

static void note_done(struct run *r, const struct chore *c, int status)
{
    if (c->kind == RP_HOOK_BEFORE_CONNECT || c->hook->slot != c->slot) return; /* it was given up */
    struct chore_book *b = book_of(r, c->slot);
    if (status && c->kind != RP_HOOK_BEFORE_CLOSE) b->state = BOOK_CONDEMNED;
    else b->state = c->kind == RP_HOOK_PREPARE_CONN ? BOOK_CHECKED : BOOK_READY;
}

/* What the last lease has set, if it was not undone. */
static void check_reset(struct run *r, uint32_t pid)
{
    enum { MOST = 100 };
    struct model_conn *conn = chores_backend(r, pid);
    size_t n = model_conn_sql_count(conn);
    for (size_t i = n; i-- > 0 && n - i < MOST;) {
        const char *sql = model_conn_sql(conn, i);
        if (!strncmp(sql, "SET reset", 9) || !strncmp(sql, "DISCARD", 7) || !strncmp(sql, "SET connect", 11)) return;
        REQUIRE(strncmp(sql, "SET a", 5) != 0, "granted with another's setting: %s", sql);
    }
}

void chores_granted(struct holder *h)
{
    struct run *r = h->run;
    struct rp_slot *slot = rp_lease(&h->lease)->slot;
    if (!slot || !(r->set.hooks || r->set.reset_sql)) return;
    struct chore_book *b = book_of(r, slot);
    REQUIRE(b->state != BOOK_CONDEMNED, "granted after a hook has refused it");
    REQUIRE(!has(r, RP_HOOK_AFTER_CONNECT) || b->state != BOOK_NEW, "granted before after_connect");
    REQUIRE(!has(r, RP_HOOK_PREPARE_CONN) || b->state == BOOK_CHECKED, "granted unchecked");
    b->state = BOOK_HELD;
    if (r->set.reset_sql) check_reset(r, b->pid);
}

/* ---- a hook's end ---- */

static void done(struct chore *c)
{
    struct run *r = c->run;
    bool bad = !r->scene->healed && chance(r, r->set.hook_errors);
    int status = bad ? PG_E_VALUE : 0;
    if (!r->closed) {
        trace("hook %u %s ends with %d", c->live.id, names[c->kind], status);
        note_done(r, c, status);
        CALL(r, pg_hook_done(c->hook, status));
    }
    bury(c);
}

static void done_later(void *arg)
{
    struct run *r;
    uint32_t id = actor_id(arg, &r);
    struct chore *c = table_find(&r->chores, id);
    if (!r->scene->over && c) done(c);
}

static void go_on(struct chore *c)
{
    struct run *r = c->run;
    if (!r->scene->healed && chance(r, r->set.hook_never)) return;
    if (!chance(r, r->set.hook_late)) {
        done(c);
        return;
    }
    uint64_t most_ns = r->set.calm || r->scene->healed ? r->set.linger_ns / 2 : 3 * r->set.linger_ns;
    sim_after(r->sim, pick(r, most_ns), done_later, actor_ref(r, c->live.id));
}

static void on_done(struct pg_query *q)
{
    struct chore *c = q->data;
    struct run *r = c->run;
    REQUIRE(!r->calling, "on_done inside of a call");
    REQUIRE(c->asking, "a hook's query ended twice");
    c->asking = false;
    r->told++;
    noted(r, (uint64_t)(int64_t)q->status);
    audit_callback(r);
    uint32_t id = c->live.id;
    act_in_callback(r);
    if (table_find(&r->chores, id) == c) go_on(c);
}

static void ask(struct chore *c)
{
    struct run *r = c->run;
    c->query = (struct pg_query){ .sql = "ECHO hook", .on_done = on_done, .data = c };
    c->asking = true;
    CALL(r, pg_lease_query(c->lease, &c->query));
    if (pick(r, 8)) return;
    CALL(r, pg_query_abandon(&c->query)); /* its answer is still due when the hook ends */
    c->asking = false;
    go_on(c);
}

/* ---- a hook's beginning ---- */

static void set_something(struct run *r, struct pg_hook *hook)
{
    int rc;
    if (pick(r, 2)) CALL(r, rc = pg_hook_set(hook, "password", r->set.password));
    else CALL(r, rc = pg_hook_set(hook, "application_name", "hooked"));
    REQUIRE(rc == 0, "pg_hook_set: %s", pg_error_name(rc));
}

static void called(struct run *r, enum rp_hook_kind kind, struct pg_hook *hook, struct pg_lease *lease)
{
    REQUIRE(!r->calling, "%s inside of a call", names[kind]);
    struct chore *c = heap_actor(sizeof *c);
    c->run = r;
    c->kind = kind;
    c->hook = hook;
    c->lease = lease;
    c->slot = hook->slot;
    c->pid = lease ? c->slot->conn.session.backend_pid : 0;
    table_add(&r->chores, &c->live);
    trace("hook %u %s on backend %u", c->live.id, names[kind], c->pid);
    noted(r, kind);
    audit_callback(r);
    if (lease) {
        REQUIRE(pg_lease_transaction(lease) == 'I', "%s in '%c'", names[kind], pg_lease_transaction(lease));
        REQUIRE(rp_session_in_flight(&c->slot->conn.session) == 0, "%s with requests in flight", names[kind]);
        check_called(r, c);
    } else if (pick(r, 2)) {
        set_something(r, hook);
    }
    uint32_t id = c->live.id;
    if (lease && pick(r, 2)) {
        ask(c);
        return;
    }
    act_in_callback(r);
    if (table_find(&r->chores, id) == c) go_on(c);
}

static void before_connect(void *arg, struct pg_hook *hook) { called(arg, RP_HOOK_BEFORE_CONNECT, hook, NULL); }
static void after_connect(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    called(arg, RP_HOOK_AFTER_CONNECT, hook, lease);
}
static void prepare_conn(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    called(arg, RP_HOOK_PREPARE_CONN, hook, lease);
}
static void after_release(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    called(arg, RP_HOOK_AFTER_RELEASE, hook, lease);
}
static void before_close(void *arg, struct pg_hook *hook, struct pg_lease *lease)
{
    called(arg, RP_HOOK_BEFORE_CLOSE, hook, lease);
}

/* ---- a world's ---- */

void chores_draw(struct run *r)
{
    struct settings *s = &r->set;
    static const uint32_t all = (1 << RP_HOOKS) - 1;
    s->hooks = s->hook_late = s->hook_errors = s->hook_never = s->reset_sql = s->nwarm = 0;
    s->connect_sql = false;
    if (pick(r, 3)) return;
    s->hooks = pick(r, 2) ? all & (uint32_t)pick(r, all + 1) : pick(r, 2) ? all : 0;
    s->hook_late = pick(r, 2) ? (uint32_t)pick(r, 500) : 0;
    s->connect_sql = pick(r, 2);
    s->reset_sql = (uint32_t)pick(r, 3);
    s->nwarm = s->statements >= 64 ? (uint32_t)pick(r, 3) : 0;
    if (s->calm) return;
    s->hook_errors = pick(r, 2) ? (uint32_t)pick(r, 200) : 0;
    s->hook_never = pick(r, 3) ? 0 : (uint32_t)pick(r, 50);
}

void chores_config(struct run *r, struct pg_pool_config *config)
{
    static const char *const resets[] = { NULL, "SET reset = 1", "DISCARD ALL" };
    static struct pg_statement *warm[2];
    warm[0] = ask_statement(ASK_ECHO);
    warm[1] = ask_statement(ASK_INSERT);
    config->connect_sql = r->set.connect_sql ? "SET connect = 1; SET connect = 2" : NULL;
    config->reset_sql = resets[r->set.reset_sql];
    config->warm = warm;
    config->nwarm = r->set.nwarm;
    if (has(r, RP_HOOK_BEFORE_CONNECT)) config->before_connect = before_connect;
    if (has(r, RP_HOOK_AFTER_CONNECT)) config->after_connect = after_connect;
    if (has(r, RP_HOOK_PREPARE_CONN)) config->prepare_conn = prepare_conn;
    if (has(r, RP_HOOK_AFTER_RELEASE)) config->after_release = after_release;
    if (has(r, RP_HOOK_BEFORE_CLOSE)) config->before_close = before_close;
}

/* The pool is closed: handles and leases of hooks that never ended are gone with it. */
void chores_end(struct run *r)
{
    for (uint32_t i = r->chores.count; i-- > 0;) {
        struct chore *c = table_find(&r->chores, r->chores.alive[i]);
        REQUIRE(!c->asking, "a hook's query never ended");
        bury(c);
    }
}

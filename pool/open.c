/* pool/open.c - a pool's beginning and end: the connection string becomes hosts, startup parameters and memory;
 * closing waits for what is out and then for every connection's end. The shell (struct pg_pool) outlives the close
 * while leases are still held, since they point at it; the last one that is returned frees it. */
#include <errno.h>
#include "pool/state.h"

static const uint64_t CONNECT_TIMEOUT_NS = 30ull * 1000000000;
enum { MESSAGE_LIMIT = 0x3fffffff }; /* PostgreSQL's own MaxAllocSize: 1 GiB - 1 */

/* ---- opening ---- */

static void fill_startup(struct pg_pool *pool)
{
    const struct rp_conninfo *i = &pool->info;
    const struct rp_pair pairs[] = {
        { "user", i->user },
        { "database", i->dbname },
        { "options", i->options },
        { "application_name", i->application_name },
        { "client_encoding", i->client_encoding ? i->client_encoding : "UTF8" },
        { "datestyle", i->datestyle },
        { "timezone", i->timezone },
        { "geqo", i->geqo },
        { NULL, NULL },
    };
    _Static_assert(sizeof pairs <= sizeof pool->startup, "startup[] is too small");
    memcpy(pool->startup, pairs, sizeof pairs);
}

static bool keeps_texts(const struct rp_conninfo *i)
{
    return i->statement_cache_capacity && !i->prepared_statements_off;
}

static void fill_config(struct pg_pool *pool)
{
    const struct rp_conninfo *i = &pool->info;
    uint32_t entries = 8;
    while (entries < i->pool_max_pipeline + 4) entries *= 2;
    fill_startup(pool);
    pool->config = (struct rp_conn_config){
        .session = { .startup = pool->startup,
                     .protocol_min = i->min_protocol_version,
                     .protocol_max = i->max_protocol_version,
                     .user = i->user,
                     .password = i->password,
                     .no_password = i->passfile_fault,
                     .channel_binding = i->channel_binding,
                     .auth_refused = i->auth_refused,
                     .scram_iterations_max = i->pool_max_scram_iterations,
                     .message_limit = MESSAGE_LIMIT,
                     .row_limit = i->pool_max_row_bytes,
                     .chunk = PG_CHUNK_WHOLE,
                     .entries = entries,
                     .statements = rp_statement_capacity(pool->reactor),
                     .catalog = pool->catalog.entry,
                     .texts = keeps_texts(i) ? &pool->kept.view : NULL,
                     .unnamed = i->prepared_statements_off },
        .ops = &rp_slot_ops,
        .catalog = &pool->catalog,
        .texts = keeps_texts(i) ? &pool->kept : NULL,
        .keys = &pool->keys,
        .connect_timeout_ns = i->connect_timeout_ns ? i->connect_timeout_ns : CONNECT_TIMEOUT_NS,
        .close_linger_ns = i->pool_close_linger_ns,
        .keepalives = i->keepalives,
        .keepalives_idle_s = i->keepalives_idle_s,
        .keepalives_interval_s = i->keepalives_interval_s,
        .keepalives_count = i->keepalives_count,
        .tcp_user_timeout_ms = i->tcp_user_timeout_ms,
        .requirepeer = i->requirepeer,
        .peer = i->peer,
        .trace = pool->trace.write ? &pool->trace : NULL,
    };
}

static void free_slot(struct pg_pool *pool, struct rp_slot *slot)
{
    rp_conn_free(&slot->conn);
    if (slot->hook) rp_hook_free(slot->hook);
    rp_free(pool->reactor, slot, sizeof *slot);
}

static struct rp_slot *new_slot(struct pg_pool *pool)
{
    struct rp_slot *slot = rp_alloc(pool->reactor, sizeof *slot);
    if (!slot) return NULL;
    slot->pool = pool;
    slot->hooking.run = rp_hook_run;
    if (pool->hooked) slot->hook = rp_hook_new(pool);
    if ((pool->hooked && !slot->hook) || rp_conn_init(&slot->conn, pool->reactor, &pool->config)) {
        free_slot(pool, slot);
        return NULL;
    }
    return slot;
}

static int make_slot(struct pg_pool *pool)
{
    struct rp_slot *slot = new_slot(pool);
    if (!slot) return -ENOMEM;
    pool->slot[pool->nslots++] = slot;
    TAILQ_INSERT_TAIL(&pool->slots[RP_SLOT_FREE], slot, link);
    pool->count[RP_SLOT_FREE]++;
    return 0;
}

int rp_pool_make_slots(struct pg_pool *pool, uint32_t n)
{
    int rc = 0;
    if (n > pool->slot_places) {
        struct rp_slot **more = rp_alloc(pool->reactor, n * sizeof *more);
        if (!more) return -ENOMEM;
        if (pool->slot) {
            memcpy(more, pool->slot, pool->nslots * sizeof *more);
            rp_free(pool->reactor, pool->slot, pool->slot_places * sizeof *more);
        }
        pool->slot = more;
        pool->slot_places = n;
    }
    while (!rc && pool->nslots < n) rc = make_slot(pool);
    return rc;
}

int rp_pool_make_listening(struct pg_pool *pool)
{
    if (pool->listening.slot) return 0;
    pool->listening.slot = new_slot(pool);
    if (!pool->listening.slot) return -ENOMEM;
    pool->listening.slot->listens = true;
    return 0;
}

static void dealloc(void *arg, void *at, size_t bytes) { rp_free(arg, at, bytes); }
static void *alloc(void *arg, size_t bytes) { return rp_alloc(arg, bytes); }
static struct rp_memory memory_of(const struct pg_pool *pool)
{
    return (struct rp_memory){ .allocate = alloc, .deallocate = dealloc, .arg = pool->reactor };
}

static void free_parts(struct pg_pool *pool)
{
    const struct rp_memory memory = memory_of(pool);
    for (uint32_t i = 0; i < rp_pool_all(pool); i++) free_slot(pool, rp_pool_slot(pool, i));
    rp_listen_free(pool);
    if (pool->slot) rp_free(pool->reactor, pool->slot, pool->slot_places * sizeof *pool->slot);
    rp_work_close(pool);
    rp_hook_free_strays(pool);
    rp_secure_close(pool);
    rp_hosts_free(pool);
    if (pool->warm) rp_free(pool->reactor, pool->warm, pool->nwarm * sizeof *pool->warm);
    if (pool->texts) rp_free(pool->reactor, pool->texts, pool->texts_size);
    if (!RP_PLANT(memory_leaked)) rp_catalog_free(&pool->catalog);
    if (pool->kept.reactor) rp_texts_free(&pool->kept);
    explicit_bzero(&pool->keys, sizeof pool->keys);
    rp_conninfo_wipe(&pool->info, &memory);
}

static const char *copy(char **end, const char *text)
{
    size_t size = strlen(text) + 1;
    char *at = memcpy(*end, text, size);
    *end += size;
    return *at ? at : NULL; /* an empty one wins over the string's, too */
}

/* The SQL that the pool runs by itself, where the struct has it. */
static int take_sql(struct pg_pool *pool, const struct pg_pool_config *c)
{
    if (c->connect_sql) pool->texts_size += strlen(c->connect_sql) + 1;
    if (c->reset_sql) pool->texts_size += strlen(c->reset_sql) + 1;
    if (pool->texts_size) pool->texts = rp_alloc(pool->reactor, pool->texts_size);
    if (pool->texts_size && !pool->texts) return -ENOMEM;
    char *end = pool->texts;
    if (c->connect_sql) pool->info.pool_connect_sql = copy(&end, c->connect_sql);
    if (c->reset_sql) pool->info.pool_reset_sql = copy(&end, c->reset_sql);
    return 0;
}

static void take_hooks(struct pg_pool *pool, const struct pg_pool_config *c)
{
    pool->before_connect = c->before_connect;
    pool->hook[RP_HOOK_AFTER_CONNECT] = c->after_connect;
    pool->hook[RP_HOOK_PREPARE_CONN] = c->prepare_conn;
    pool->hook[RP_HOOK_AFTER_RELEASE] = c->after_release;
    pool->hook[RP_HOOK_BEFORE_CLOSE] = c->before_close;
    pool->hooked = c->before_connect || c->after_connect || c->prepare_conn || c->after_release || c->before_close;
    pool->cleans = c->after_release || pool->info.pool_reset_sql;
}

static int take_warm(struct pg_pool *pool, const struct pg_pool_config *c, struct pg_error *error)
{
    const struct rp_session_config limits = { .statements = rp_statement_capacity(pool->reactor),
                                              .message_limit = MESSAGE_LIMIT };
    struct pg_error why;
    if (!c->nwarm) return 0;
    pool->warm = rp_alloc(pool->reactor, c->nwarm * sizeof *pool->warm);
    if (!pool->warm) return -ENOMEM;
    pool->nwarm = c->nwarm;
    for (size_t i = 0; i < c->nwarm; i++) {
        struct pg_query *q = &pool->warm[i];
        *q = (struct pg_query){ .statement = c->warm[i], .error = &pool->own_error };
        rp_query(q)->waiter.lane = RP_LANE_OWN;
        if (rp_session_check_prepare(&limits, q->statement, &why))
            return rp_error_set(error, PG_E_CONFIG, "warm: statement %zu: %s", i + 1, pg_error_field(&why, 'M'));
    }
    return 0;
}

/* The members that win over the string; a struct of an older version is shorter. */
static int apply_config(struct pg_pool *pool, const struct pg_pool_config *given, struct pg_budget **budget,
                        struct pg_error *error)
{
    struct pg_pool_config c = { 0 };
    if (given->size < offsetof(struct pg_pool_config, max_conns) || given->size > sizeof c)
        return rp_error_set(error, PG_E_CONFIG, "pg_pool_config.size: %zu is no size of this version", given->size);
    memcpy(&c, given, given->size);
    if (c.flags & ~PG_POOL_STRING_ONLY)
        return rp_error_set(error, PG_E_CONFIG, "pg_pool_config.flags: %#x has a bit that nobody knows", c.flags);
    const struct rp_memory memory = memory_of(pool);
    int rc = rp_conninfo_parse(&pool->info, c.conninfo,
                               c.flags & PG_POOL_STRING_ONLY ? RP_SOURCES_STRING : RP_SOURCES_ALL, &memory, error);
    if (rc) return rc;
    if (c.max_conns) pool->info.pool_max_conns = c.max_conns;
    if (c.min_conns) pool->info.pool_min_conns = c.min_conns;
    if (c.max_waiters) pool->info.pool_max_waiters = c.max_waiters;
    pool->on_event = c.on_event;
    pool->arg = c.arg;
    pool->trace = (struct rp_trace_sink){ .write = c.trace, .arg = c.arg };
    *budget = c.budget;
    if (pool->info.pool_max_conns > 10000)
        return rp_error_set(error, PG_E_CONFIG, "max_conns: %u is above 10000", pool->info.pool_max_conns);
    rc = rp_conninfo_check(&pool->info, error);
    if (rc) return rc;
    rc = take_sql(pool, &c);
    take_hooks(pool, &c);
    return rc ? rc : take_warm(pool, &c, error);
}

static void on_drained(struct rp_timer *timer);
static void on_retry(struct rp_timer *timer)
{
    if (!RP_PLANT(retry_forgotten)) rp_pool_kick(RP_CONTAINER(timer, struct pg_pool, retry));
}
static void member_close(struct rp_member *m, uint64_t drain_until_ns)
{
    pg_pool_close(RP_CONTAINER(m, struct pg_pool, member), drain_until_ns, NULL, NULL);
}
static void member_abort(struct rp_member *m)
{
    struct pg_pool *pool = RP_CONTAINER(m, struct pg_pool, member);
    for (uint32_t i = 0; i < rp_pool_all(pool); i++) {
        struct rp_slot *slot = rp_pool_slot(pool, i);
        rp_conn_abandon_socket(&slot->conn);
        rp_cancel_abandon_socket(&slot->cancel);
        if (slot->hook) rp_login_wipe(&slot->hook->login);
    }
    rp_listen_abort(pool);
    rp_purse_abort(pool);
    explicit_bzero(&pool->keys, sizeof pool->keys);
    rp_hosts_wipe(pool);
}

static int set_up(struct pg_pool *pool, const struct pg_pool_config *config, struct pg_error *error)
{
    struct pg_budget *budget = NULL;
    int rc = apply_config(pool, config, &budget, error);
    if (rc) return rc;
    rc = rp_hosts_open(pool, error);
    if (!rc) rc = rp_secure_open(pool, error);
    if (!rc) rc = rp_catalog_init(&pool->catalog, pool->reactor, rp_statement_capacity(pool->reactor));
    if (!rc && keeps_texts(&pool->info))
        rc = rp_texts_init(&pool->kept, pool->reactor, pool->info.statement_cache_capacity,
                           pool->info.statement_cache_bytes);
    if (!rc) fill_config(pool);
    if (!rc) rp_hosts_log_in(pool);
    if (!rc) rc = rp_work_open(pool);
    if (!rc) rc = rp_pool_make_slots(pool, pool->info.pool_max_conns);
    if (!rc) rc = rp_purse_open(pool, budget, error); /* last: it would have to be left again */
    return rc;
}

int pg_pool_open(struct pg_pool **out, struct pg_reactor *reactor, const struct pg_pool_config *config,
                 struct pg_error *error)
{
    *out = NULL;
    if (rp_closing(reactor)) return rp_error_set(error, PG_E_CLOSED, "the reactor is closing");
    struct pg_pool *pool = rp_alloc(reactor, sizeof *pool);
    if (!pool) return rp_error_set(error, -ENOMEM, "%s", pg_error_text(-ENOMEM));
    pool->reactor = reactor;
    TAILQ_INIT(&pool->waiting);
    TAILQ_INIT(&pool->slow);
    TAILQ_INIT(&pool->urgent);
    TAILQ_INIT(&pool->ended);
    TAILQ_INIT(&pool->warming);
    STAILQ_INIT(&pool->retired);
    TAILQ_INIT(&pool->strays);
    for (int i = 0; i < RP_SLOT_STATES; i++) TAILQ_INIT(&pool->slots[i]);
    int rc = set_up(pool, config, error);
    if (rc) {
        if (rc == -ENOMEM) rp_error_set(error, rc, "%s", pg_error_text(rc));
        free_parts(pool);
        rp_free(reactor, pool, sizeof *pool);
        return rc;
    }
    pool->dispatch.run = rp_pool_dispatch;
    pool->tell.run = rp_pool_tell;
    pool->retry.fire = on_retry;
    pool->sweep.fire = rp_life_sweep;
    pool->drain.fire = on_drained;
    pool->member.close = member_close;
    pool->member.abort = member_abort;
    rp_listen_open(pool);
    rp_capacity_open(pool);
    rp_shed_open(pool);
    rp_stats_open(pool);
    rp_join(reactor, &pool->member);
    rp_pool_kick(pool);
    *out = pool;
    return 0;
}

/* ---- closing ---- */

/* Everything that is still wanted ends now. Leases stay held, on nothing, until they are returned. */
static void cut(struct pg_pool *pool)
{
    while (rp_first_waiter(pool)) rp_end_waiter(rp_first_waiter(pool), PG_E_CLOSED);
    for (uint32_t i = 0; i < rp_pool_all(pool); i++) {
        struct rp_slot *slot = rp_pool_slot(pool, i);
        if (slot->state == RP_SLOT_IDLE || slot->state == RP_SLOT_LISTENING) rp_slot_part(slot);
        else if (slot->state != RP_SLOT_FREE && slot->state != RP_SLOT_PARTING && slot->state != RP_SLOT_CLOSING)
            rp_slot_kill(slot, PG_E_CLOSED, PG_SENT_MAYBE, NULL);
    }
    rp_pool_kick(pool);
}

static void on_drained(struct rp_timer *timer) { cut(RP_CONTAINER(timer, struct pg_pool, drain)); }

void pg_pool_close(struct pg_pool *pool, uint64_t drain_until_ns, void (*on_closed)(void *arg), void *arg)
{
    if (pool->finished) return; /* from inside of on_closed */
    if (!pool->closing || drain_until_ns < pool->drain_until_ns) {
        pool->drain_until_ns = drain_until_ns;
        if (drain_until_ns <= rp_now(pool->reactor)) {
            pool->closing = true;
            rp_timer_stop(pool->reactor, &pool->drain);
            cut(pool);
        } else {
            rp_timer_start(pool->reactor, &pool->drain, drain_until_ns);
        }
    }
    pool->closing = true;
    rp_listen_close(pool);
    pg_pool_resume(pool); /* what is queued is to be served before the deadline */
    rp_life_warm_end(pool, PG_E_CLOSED);
    if (on_closed && !pool->on_closed) {
        pool->on_closed = on_closed;
        pool->closed_arg = arg;
    }
    rp_pool_kick(pool);
}

void rp_pool_return_lease(struct pg_pool *pool)
{
    pool->nleases_out--;
    if (!pool->finished || pool->nleases_out || !TAILQ_EMPTY(&pool->ended)) return; /* pool->tell looks again */
    rp_unqueue(pool->reactor, &pool->dispatch); /* a query on a lost lease may have queued them again */
    rp_unqueue(pool->reactor, &pool->tell);
    rp_unqueue(pool->reactor, &pool->seeing.publish);
    rp_free(pool->reactor, pool, sizeof *pool);
}

/* From a turn's queue only: it may free the pool. */
void rp_pool_close_if_done(struct pg_pool *pool)
{
    static const enum rp_slot_state unneeded[] = { RP_SLOT_ASKING, RP_SLOT_CONNECTING, RP_SLOT_PREPARING,
                                                   RP_SLOT_CHECKING };
    if (!pool->closing || pool->finished) return;
    bool listening = rp_listen_ends(pool);
    if (!rp_first_waiter(pool)) {
        struct rp_slot *slot;
        while ((slot = TAILQ_FIRST(&pool->slots[RP_SLOT_IDLE]))) rp_slot_part(slot);
        for (size_t i = 0; i < RP_COUNT(unneeded); i++)
            while ((slot = TAILQ_FIRST(&pool->slots[unneeded[i]]))) rp_slot_kill(slot, PG_E_CLOSED, PG_SENT_NO, NULL);
    }
    if (rp_pool_total(pool) || rp_first_waiter(pool) || !TAILQ_EMPTY(&pool->ended)) return;
    if (!TAILQ_EMPTY(&pool->warming) || !STAILQ_EMPTY(&pool->retired) || listening) return;
    if (RP_PLANT(close_hangs) && pool->nleases_out) return;
    if (!rp_purse_leave(pool)) {
        rp_pool_kick(pool);
        return;
    }
    pool->finished = true;
    rp_timer_stop(pool->reactor, &pool->retry);
    rp_timer_stop(pool->reactor, &pool->capacity.later);
    rp_timer_stop(pool->reactor, &pool->drain);
    rp_timer_stop(pool->reactor, &pool->sweep);
    rp_timer_stop(pool->reactor, &pool->doomed);
    rp_unqueue(pool->reactor, &pool->dispatch);
    rp_unqueue(pool->reactor, &pool->tell);
    rp_leave(pool->reactor, &pool->member);
    free_parts(pool);
    pool->info.pool_max_conns = 0;
    pool->slot = NULL;
    pool->nslots = pool->count[RP_SLOT_FREE] = 0;
    pool->nleases_out++; /* the callback may return the last lease */
    if (pool->on_closed) pool->on_closed(pool->closed_arg);
    rp_pool_return_lease(pool);
}

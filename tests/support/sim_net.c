/* support/sim_net.c - the network's half of the simulated host: connections, segments on their way, the peers,
 * timers, and the world that holds them. What a connection owes to TCP is here: data before FIN, data kept over a RST
 * that came behind it, a RST for whoever sends to a closed end. */
#include <stdlib.h>
#include <string.h>
#include "support/sim_private.h"

enum { TRACE_TO_PEER = 16, TRACE_TO_HOST, TRACE_TIMER, TRACE_CONNECTED };

/* ---- the life of a connection ---- */
static void to_peer_arrived(struct sim *sim, struct sim_event *event);
static void to_host_arrived(struct sim *sim, struct sim_event *event);

struct sim_conn *sim_conn_new(struct sim *sim)
{
    struct sim_conn *conn = calloc(1, sizeof *conn);
    if (!conn) sim_fail("out of memory");
    conn->sim = sim;
    conn->fd = -1;
    conn->peer_exists = true; /* the listener may send in its accept */
    conn->to_peer.arrival.run = to_peer_arrived;
    conn->to_host.arrival.run = to_host_arrived;
    conn->op[SIM_RECV].way = SIM_RECV;
    /* The time at which it will stand, before the listener is asked: what that sends comes later. */
    conn->to_peer.last_due_ns = conn->to_host.last_due_ns = sim->now_ns + sim_latency(sim);
    conn->next = sim->conns;
    conn->link = &sim->conns;
    if (conn->next) conn->next->link = &conn->next;
    sim->conns = conn;
    return conn;
}

static void timer_free(struct sim *sim, struct sim_timer *timer)
{
    sim_event_clear(sim, &timer->event);
    *timer->link = timer->next;
    if (timer->next) timer->next->link = timer->link;
    free(timer);
}

void sim_conn_end(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    if (conn->peer_exists && conn->peer.on_gone) conn->peer.on_gone(&conn->peer);
    while (conn->timers) timer_free(sim, conn->timers);
    sim_event_clear(sim, &conn->connected);
    sim_event_clear(sim, &conn->gone);
    sim_event_clear(sim, &conn->hole_end);
    sim_op_drop(sim, &conn->op[SIM_SEND]);
    sim_op_drop(sim, &conn->op[SIM_RECV]);
    free(conn->op[SIM_RECV].received);
    sim_pipe_free(sim, &conn->to_peer);
    sim_pipe_free(sim, &conn->to_host);
    sim_bytes_free(&conn->unread);
    *conn->link = conn->next;
    if (conn->next) conn->next->link = conn->link;
    free(conn);
}

static void gone(struct sim *sim, struct sim_event *event)
{
    (void)sim;
    sim_conn_end(SIM_CONTAINER(event, struct sim_conn, gone));
}

void sim_conn_release(struct sim_conn *conn)
{
    if (conn->fd >= 0 || (conn->peer_exists && !conn->peer_closed)) return;
    conn->gone.run = gone;
    sim_event_set(conn->sim, &conn->gone, conn->sim->now_ns);
}

void sim_conn_break(struct sim_conn *conn, int error)
{
    if (conn->state == SIM_BROKEN) return;
    conn->state = SIM_BROKEN;
    conn->error = error;
    sim_op_poke(conn->sim, &conn->op[SIM_SEND]);
    sim_op_poke(conn->sim, &conn->op[SIM_RECV]);
}

void sim_conn_lose(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    sim->counters.resets++;
    sim_pipe_free(sim, &conn->to_host);
    sim_bytes_free(&conn->unread);
    if (conn->peer_exists) sim_pipe_put(sim, &conn->to_peer, SIM_RST, NULL, 0);
    sim_conn_break(conn, -ECONNRESET);
}

static void connected(struct sim *sim, struct sim_event *event)
{
    struct sim_conn *conn = SIM_CONTAINER(event, struct sim_conn, connected);
    sim_trace(sim, TRACE_CONNECTED, conn->fd, 0);
    if (conn->state == SIM_CONNECTING) conn->state = SIM_CONNECTED;
    sim_op_poke(sim, &conn->op[SIM_SEND]);
    sim_op_poke(sim, &conn->op[SIM_RECV]);
}

static void refused(struct sim *sim, struct sim_event *event)
{
    struct sim_conn *conn = SIM_CONTAINER(event, struct sim_conn, connected);
    sim_trace(sim, TRACE_CONNECTED, conn->fd, -ECONNREFUSED);
    sim_conn_break(conn, -ECONNREFUSED);
}

static void unreachable(struct sim *sim, struct sim_event *event)
{
    struct sim_conn *conn = SIM_CONTAINER(event, struct sim_conn, connected);
    sim_trace(sim, TRACE_CONNECTED, conn->fd, -EHOSTUNREACH);
    sim_conn_break(conn, -EHOSTUNREACH);
}

void sim_conn_start(struct sim_conn *conn, enum sim_connect outcome)
{
    struct sim *sim = conn->sim;
    conn->peer_exists = outcome == SIM_ACCEPT;
    conn->state = outcome == SIM_HANG ? SIM_HANGING : SIM_CONNECTING;
    if (outcome == SIM_HANG) return;
    conn->connected.run = outcome == SIM_REFUSE ? refused : outcome == SIM_UNREACHABLE ? unreachable : connected;
    sim_event_set(sim, &conn->connected, conn->to_peer.last_due_ns);
}

/* ---- arrivals ---- */
void sim_conn_tell_peer(struct sim_conn *conn, bool reset)
{
    if (conn->peer_told || conn->peer_closed) return;
    conn->peer_told = true;
    conn->peer.reset = reset;
    if (conn->peer.on_eof) conn->peer.on_eof(&conn->peer);
}

static void data_to_peer(struct sim_conn *conn, size_t n)
{
    struct sim *sim = conn->sim;
    if (conn->peer_closed || !conn->peer.on_bytes) {
        sim_bytes_take(&conn->to_peer.bytes, NULL, n);
        if (conn->peer_closed && conn->fd >= 0) sim_pipe_put(sim, &conn->to_host, SIM_RST, NULL, 0);
    } else {
        const uint8_t *at = conn->to_peer.bytes.at + conn->to_peer.bytes.head;
        sim_trace(sim, TRACE_TO_PEER, conn->fd, (int64_t)sim_mix(n, at, n));
        conn->peer.on_bytes(&conn->peer, at, n); /* does not send in this direction */
        sim_bytes_take(&conn->to_peer.bytes, NULL, n);
    }
    sim_op_poke(sim, &conn->op[SIM_SEND]);
}

static bool due(const struct sim_pipe *pipe, uint64_t now_ns)
{
    return pipe->head < pipe->count && pipe->segments[pipe->head].due_ns <= now_ns;
}

/* The connection cannot end inside: its end is an event of its own. */
static void to_peer_arrived(struct sim *sim, struct sim_event *event)
{
    struct sim_pipe *pipe = SIM_CONTAINER(event, struct sim_pipe, arrival);
    struct sim_conn *conn = SIM_CONTAINER(pipe, struct sim_conn, to_peer);
    while (!conn->peer_paused && due(pipe, sim->now_ns)) {
        struct sim_segment segment = sim_pipe_take(pipe);
        if (conn->hole) sim_bytes_take(&pipe->bytes, NULL, segment.bytes);
        else if (segment.kind == SIM_DATA) data_to_peer(conn, segment.bytes);
        else sim_conn_tell_peer(conn, segment.kind == SIM_RST);
    }
    if (!conn->peer_paused) sim_pipe_again(sim, pipe);
}

static void to_host_arrived(struct sim *sim, struct sim_event *event)
{
    struct sim_pipe *pipe = SIM_CONTAINER(event, struct sim_pipe, arrival);
    struct sim_conn *conn = SIM_CONTAINER(pipe, struct sim_conn, to_host);
    while (due(pipe, sim->now_ns)) {
        struct sim_segment segment = sim_pipe_take(pipe);
        bool deaf = conn->fd < 0 || conn->shut_read || conn->state == SIM_BROKEN;
        sim_trace(sim, TRACE_TO_HOST, conn->fd, (int64_t)segment.bytes << 2 | segment.kind);
        if (conn->hole) {
            sim_bytes_take(&pipe->bytes, NULL, segment.bytes);
        } else if (segment.kind == SIM_DATA) {
            if (!deaf) sim_bytes_put(&conn->unread, pipe->bytes.at + pipe->bytes.head, segment.bytes);
            sim_bytes_take(&pipe->bytes, NULL, segment.bytes);
            if (conn->fd < 0) sim_pipe_put(sim, &conn->to_peer, SIM_RST, NULL, 0);
        } else if (segment.kind == SIM_FIN) {
            conn->eof = true;
        } else {
            sim_conn_break(conn, -ECONNRESET);
        }
        sim_op_poke(sim, &conn->op[SIM_RECV]);
    }
    sim_pipe_again(sim, pipe);
}

/* ---- the peer's calls ---- */
static struct sim_conn *conn_of_peer(const struct sim_peer *peer)
{
    return (struct sim_conn *)(uintptr_t)peer;
}

struct sim *sim_of(const struct sim_peer *peer)
{
    return conn_of_peer(peer)->sim;
}

bool sim_peer_open(const struct sim_peer *peer)
{
    return !conn_of_peer(peer)->peer_closed;
}

void sim_peer_send(struct sim_peer *peer, const void *at, size_t n)
{
    struct sim_conn *conn = conn_of_peer(peer);
    if (!conn->peer_closed && !conn->peer_shut && n) sim_pipe_put(conn->sim, &conn->to_host, SIM_DATA, at, n);
}

void sim_peer_shut(struct sim_peer *peer)
{
    struct sim_conn *conn = conn_of_peer(peer);
    if (conn->peer_closed || conn->peer_shut) return;
    conn->peer_shut = true;
    sim_pipe_put(conn->sim, &conn->to_host, SIM_FIN, NULL, 0);
    sim_peer_pause(peer, false);
}

static void peer_end(struct sim_peer *peer, enum sim_segment_kind how)
{
    struct sim_conn *conn = conn_of_peer(peer);
    if (conn->peer_closed) return;
    conn->peer_closed = true;
    while (conn->timers) timer_free(conn->sim, conn->timers);
    if (!conn->peer_shut || how == SIM_RST) sim_pipe_put(conn->sim, &conn->to_host, how, NULL, 0);
    sim_peer_pause(peer, false);
    sim_conn_release(conn);
}

void sim_peer_close(struct sim_peer *peer)
{
    peer_end(peer, SIM_FIN);
}

void sim_peer_reset(struct sim_peer *peer)
{
    peer_end(peer, SIM_RST);
}

void sim_peer_pause(struct sim_peer *peer, bool paused)
{
    struct sim_conn *conn = conn_of_peer(peer);
    conn->peer_paused = paused;
    if (!paused) sim_pipe_again(conn->sim, &conn->to_peer);
}

size_t sim_peer_unread(const struct sim_peer *peer)
{
    const struct sim_conn *conn = conn_of_peer(peer);
    return conn->to_host.bytes.size + conn->unread.size;
}

/* ---- timers ---- */
static void timer_fired(struct sim *sim, struct sim_event *event)
{
    struct sim_timer *timer = SIM_CONTAINER(event, struct sim_timer, event);
    struct sim_conn *conn = timer->conn;
    void (*peer_fn)(struct sim_peer *, void *) = timer->peer_fn;
    void (*fn)(void *) = timer->fn;
    void *arg = timer->arg;
    sim_trace(sim, TRACE_TIMER, conn ? conn->fd : -1, 0);
    timer_free(sim, timer);
    if (peer_fn) peer_fn(&conn->peer, arg);
    else fn(arg);
}

static struct sim_timer *timer_new(struct sim *sim, uint64_t ns, struct sim_timer **list)
{
    struct sim_timer *timer = calloc(1, sizeof *timer);
    if (!timer) sim_fail("out of memory");
    timer->event.run = timer_fired;
    timer->next = *list;
    timer->link = list;
    if (timer->next) timer->next->link = &timer->next;
    *list = timer;
    sim_event_set(sim, &timer->event, sim->now_ns + ns);
    return timer;
}

void sim_peer_after(struct sim_peer *peer, uint64_t ns, void (*fn)(struct sim_peer *, void *), void *arg)
{
    struct sim_conn *conn = conn_of_peer(peer);
    if (conn->peer_closed) return;
    struct sim_timer *timer = timer_new(conn->sim, ns, &conn->timers);
    timer->conn = conn;
    timer->peer_fn = fn;
    timer->arg = arg;
}

void sim_after(struct sim *sim, uint64_t ns, void (*fn)(void *), void *arg)
{
    struct sim_timer *timer = timer_new(sim, ns, &sim->timers);
    timer->fn = fn;
    timer->arg = arg;
}

/* ---- the world ---- */
static void seed(uint64_t state[4], uint64_t from) /* splitmix64 */
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = from += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        state[i] = z ^ (z >> 31);
    }
}

static uint32_t drawn(uint64_t state[4], uint32_t most)
{
    uint64_t r = sim_next(state);
    return r & 1 ? 0 : (uint32_t)((r >> 1) % most + 1);
}

struct sim_config sim_faults(uint64_t from)
{
    uint64_t state[4];
    seed(state, from ^ UINT64_C(0x5eed));
    return (struct sim_config){
        .seed = from,
        .short_send = drawn(state, 500),
        .short_recv = drawn(state, 500),
        .submit_again = drawn(state, 300),
        .retryable = drawn(state, 200),
        .cancel_late = drawn(state, 500),
        .burst = drawn(state, 500),
        .burst_ns = 10 * 1000 + drawn(state, 2 * 1000 * 1000),
        .latency_max_ns = drawn(state, 5 * 1000 * 1000),
        .completion_ns = drawn(state, 500 * 1000),
        .send_buffer_bytes = 512 + drawn(state, 64 * 1024),
        .backlog_full = drawn(state, 100),
    };
}

struct sim *sim_open(const struct sim_config *config)
{
    struct sim *sim = calloc(1, sizeof *sim);
    if (!sim) sim_fail("out of memory");
    sim->config = *config;
    seed(sim->random, config->seed);
    seed(sim->secret, ~config->seed);
    sim->now_ns = 1000 * 1000 * 1000; /* not 0: a deadline of 0 must not look like now */
    sim->hash = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < SIM_HOSTS; i++) {
        sim->hosts[i].host.ops = &sim_host_ops;
        sim->hosts[i].sim = sim;
    }
    return sim;
}

void sim_close_all(struct sim *sim)
{
    for (struct sim_conn *conn = sim->conns, *next; conn; conn = next) {
        next = conn->next;
        if (conn->fd >= 0) {
            sim->fds[conn->fd] = NULL;
            sim->counters.descriptors_now--;
        }
        sim_conn_end(conn);
    }
}

void sim_close(struct sim *sim)
{
    if (sim->counters.descriptors_now) sim_fail("close: %u descriptors are open", sim->counters.descriptors_now);
    if (sim->counters.in_flight) sim_fail("close: %u operations are in flight", sim->counters.in_flight);
    sim_close_all(sim);
    while (sim->timers) timer_free(sim, sim->timers);
    free(sim->heap.at);
    free(sim->fds);
    free(sim);
}

struct sim_config *sim_settings(struct sim *sim)
{
    return &sim->config;
}

struct pg_host *sim_host(struct sim *sim)
{
    return sim_host_at(sim, 0);
}

struct pg_host *sim_host_at(struct sim *sim, unsigned index)
{
    if (index >= SIM_HOSTS) sim_fail("host %u of %u", index, (unsigned)SIM_HOSTS);
    return &sim->hosts[index].host;
}

void sim_listen(struct sim *sim, sim_accept_fn *accept, void *arg)
{
    sim->accept = accept;
    sim->accept_arg = arg;
}

uint64_t sim_now(const struct sim *sim)
{
    return sim->now_ns;
}

uint64_t sim_hash(const struct sim *sim)
{
    return sim->hash;
}

const struct sim_counters *sim_counters(const struct sim *sim)
{
    struct sim *writable = (struct sim *)(uintptr_t)sim;
    writable->counters.wakes = atomic_load(&writable->wakes);
    return &sim->counters;
}

bool sim_host_woken(struct pg_host *host)
{
    struct sim_host_record *record = (struct sim_host_record *)host;
    bool wanted = record->wanted;
    if (!wanted && !atomic_load(&record->woken)) return false;
    record->wanted = false;
    return atomic_exchange(&record->woken, false) || wanted;
}

void sim_host_failed(struct pg_host *host)
{
    ((struct sim_host_record *)host)->failed = true;
}

/* ---- steps ---- */
bool sim_next_event(const struct sim *sim, uint64_t *at_ns)
{
    if (!sim->heap.count) return false;
    *at_ns = sim->heap.at[0]->at_ns > sim->now_ns ? sim->heap.at[0]->at_ns : sim->now_ns;
    return true;
}

/* Events queued while the step runs belong to the next one, so that a step ends. */
bool sim_step_until(struct sim *sim, uint64_t until_ns)
{
    uint64_t at;
    if (!sim_next_event(sim, &at) || at > until_ns) {
        if (until_ns > sim->now_ns) sim->now_ns = until_ns;
        return false;
    }
    sim->now_ns = at;
    sim->step++;
    while (sim->heap.count && sim->heap.at[0]->at_ns <= at && sim->heap.at[0]->step < sim->step) {
        struct sim_event *event = sim->heap.at[0];
        sim_event_clear(sim, event);
        sim->counters.events++;
        event->run(sim, event);
        if (sim->after_event) sim->after_event(sim->watcher);
    }
    return true;
}

void sim_watch(struct sim *sim, void (*after_event)(void *arg), void (*after_turn)(void *arg, struct pg_reactor *),
               void *arg)
{
    sim->after_event = after_event;
    sim->after_turn = after_turn;
    sim->watcher = arg;
}

bool sim_step(struct sim *sim)
{
    uint64_t at;
    return sim_next_event(sim, &at) && sim_step_until(sim, at);
}

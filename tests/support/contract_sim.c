/* support/contract_sim.c - the simulated host for the contract suite. Its time is virtual: a wait is a jump, and
 * whatever is due at once is delivered in steps without any time passing. The peer's bytes are kept here until the
 * test asks for them. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "support/contract.h"
#include "support/sim.h"

enum { PEER_BUFFER = 64 * 1024, UNREAD_MAX = 256 * 1024, STEPS = 8 };

struct end {
    struct sim_peer *peer; /* NULL: gone */
    unsigned char *bytes;
    size_t head, size, capacity;
    bool eof;
    bool dropped; /* the test needs it no more */
};
struct world {
    struct sim *sim;
    struct end *accepted; /* the last one */
};

static void free_if_done(struct end *end)
{
    if (end->peer || !end->dropped)
        return;
    free(end->bytes);
    free(end);
}

static void on_bytes(struct sim_peer *peer, const uint8_t *at, size_t n)
{
    struct end *end = peer->user;
    if (end->size + n > end->capacity) {
        end->capacity = 2 * (end->size + n);
        end->bytes = realloc(end->bytes, end->capacity);
        assert_non_null(end->bytes);
    }
    memcpy(end->bytes + end->size, at, n);
    end->size += n;
    if (end->size - end->head > PEER_BUFFER)
        sim_peer_pause(peer, true);
}

static void on_eof(struct sim_peer *peer)
{
    ((struct end *)peer->user)->eof = true;
}

static void on_gone(struct sim_peer *peer)
{
    struct end *end = peer->user;
    end->peer = NULL;
    free_if_done(end);
}

static enum sim_connect accept_any(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    struct world *world = arg;
    (void)address;
    struct end *end = calloc(1, sizeof *end);
    assert_non_null(end);
    end->peer = peer;
    *peer = (struct sim_peer){ .user = end, .on_bytes = on_bytes, .on_eof = on_eof, .on_gone = on_gone };
    world->accepted = end;
    return SIM_ACCEPT;
}

/* ---- the kind ---- */

static void world_open(struct contract *c)
{
    struct world *world = c->own = calloc(1, sizeof *world);
    struct sim_config config = { .seed = 1 };
    struct sockaddr_in address = { .sin_family = AF_INET };

    assert_non_null(world);
    world->sim = sim_open(&config);
    sim_listen(world->sim, accept_any, world);
    c->host = sim_host(world->sim);
    memcpy(&c->address, &address, sizeof address);
    c->address_size = sizeof address;
}

static void world_close(struct contract *c)
{
    struct world *world = c->own;
    sim_close_all(world->sim); /* what a failed clause has left, or its message would be lost */
    sim_close(world->sim);
    free(world);
}

static void world_wait(struct contract *c, int64_t wait_ns)
{
    struct world *world = c->own;
    uint64_t now_ns = sim_now(world->sim), at_ns;

    if (wait_ns > 0 && !sim_host_woken(c->host))
        sim_step_until(world->sim, now_ns + (uint64_t)wait_ns);
    for (int i = 0; i < STEPS && sim_next_event(world->sim, &at_ns) && at_ns <= sim_now(world->sim); i++)
        sim_step(world->sim);
}

static void world_accept(struct contract *c, struct contract_peer *peer)
{
    struct world *world = c->own;
    assert_non_null(world->accepted);
    peer->own = world->accepted;
    world->accepted = NULL;
}

static size_t world_write(struct contract *c, struct contract_peer *peer, const void *at, size_t n)
{
    struct end *end = peer->own;
    size_t unread = sim_peer_unread(end->peer), room = unread < UNREAD_MAX ? UNREAD_MAX - unread : 0;
    (void)c;
    n = n < room ? n : room;
    sim_peer_send(end->peer, at, n);
    return n;
}

static size_t world_read(struct contract *c, struct contract_peer *peer, void *at, size_t n)
{
    struct end *end = peer->own;
    size_t there = end->size - end->head;
    (void)c;
    n = n < there ? n : there;
    if (n)
        memcpy(at, end->bytes + end->head, n);
    end->head += n;
    if (end->head == end->size) {
        end->head = end->size = 0;
        sim_peer_pause(end->peer, false);
    }
    return n;
}

static bool world_at_eof(struct contract *c, struct contract_peer *peer)
{
    (void)c;
    return ((struct end *)peer->own)->eof;
}

static void world_hang_up(struct contract *c, struct contract_peer *peer, bool reset)
{
    struct end *end = peer->own;
    (void)c;
    end->dropped = true;
    if (reset)
        sim_peer_reset(end->peer);
    else
        sim_peer_close(end->peer);
}

static void world_refuse(struct contract *c)
{
    sim_listen(((struct world *)c->own)->sim, NULL, NULL);
}

const struct contract_kind contract_sim = {
    .name = "simulated", .can_reset = true, .virtual_time = true, .open = world_open, .close = world_close,
    .wait = world_wait, .accept = world_accept, .write = world_write, .read = world_read, .at_eof = world_at_eof,
    .hang_up = world_hang_up, .refuse = world_refuse,
};

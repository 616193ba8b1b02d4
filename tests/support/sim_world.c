/* support/sim_world.c - see the header. */
#include "support/sim_world.h"

static void on_bytes(struct sim_peer *peer, const uint8_t *at, size_t n)
{
    struct sim_world_server *server = peer->user;
    assert_true(server->n + n <= sizeof server->bytes);
    memcpy(server->bytes + server->n, at, n);
    server->n += n;
    if (server->echoes) sim_peer_send(peer, at, n);
}

static void on_eof(struct sim_peer *peer)
{
    struct sim_world_server *server = peer->user;
    server->eofs++;
    server->resets += peer->reset;
    server->eof_at_ns = sim_now(sim_of(peer));
    server->n_at_eof = server->n;
}

static void on_gone(struct sim_peer *peer)
{
    ((struct sim_world_server *)peer->user)->gone++;
}

static enum sim_connect on_accept(void *arg, struct sim_peer *peer, const struct sockaddr *address)
{
    struct sim_world_server *server = arg;
    assert_true(address->sa_family == AF_INET || address->sa_family == AF_UNIX);
    if (server->outcome != SIM_ACCEPT) return server->outcome;
    *peer = (struct sim_peer){ .user = server, .on_bytes = on_bytes, .on_eof = on_eof, .on_gone = on_gone };
    server->peer[server->peers++ % SIM_WORLD_PEERS] = peer;
    return SIM_ACCEPT;
}

struct sim_world *sim_world_open(struct sim_config config)
{
    struct sim_world *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->server = calloc(1, sizeof *f->server);
    assert_non_null(f->server);
    if (!config.seed) config.seed = 1;
    f->sim = sim_open(&config);
    sim_listen(f->sim, on_accept, f->server);
    return f;
}

struct sim_world *sim_world_connected(struct sim_config config)
{
    struct sim_world *f = sim_world_open(config);
    assert_int_equal(sim_socket_open(&f->s, f->sim, AF_INET), 0);
    return f;
}

void sim_world_close(struct sim_world *f)
{
    sim_settle(f->sim);
    sim_close(f->sim);
    free(f->server);
    free(f);
}

void sim_world_end(struct sim_world *f)
{
    sim_socket_close(&f->s);
    sim_world_close(f);
}

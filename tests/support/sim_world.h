/* support/sim_world.h - what the tests of the simulated host start from: a world, a listener whose peers the test
 * holds in its hands, and one socket. */
#ifndef SUPPORT_SIM_WORLD_H
#define SUPPORT_SIM_WORLD_H
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "support/sim_socket.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

enum { SIM_WORLD_PEERS = 8 };
struct sim_world_server {
    enum sim_connect outcome;
    bool echoes;
    unsigned peers, eofs, resets, gone;
    struct sim_peer *peer[SIM_WORLD_PEERS];
    uint8_t bytes[512 * 1024];
    size_t n;
    uint64_t eof_at_ns;
    size_t n_at_eof;
};

struct sim_world {
    struct sim *sim;
    struct sim_world_server *server;
    struct sim_socket s;
};

struct sim_world *sim_world_open(struct sim_config config);
struct sim_world *sim_world_connected(struct sim_config config); /* the socket is open, nothing is submitted */
void sim_world_end(struct sim_world *f);                         /* closes the socket and the world          */
void sim_world_close(struct sim_world *f);

#endif

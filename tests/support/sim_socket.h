/* support/sim_socket.h - one socket on the raw simulated host, for tests that need no library: it sends what it is
 * told, receives all that comes, and remembers every completion. */
#ifndef SUPPORT_SIM_SOCKET_H
#define SUPPORT_SIM_SOCKET_H
#include "support/sim.h"

enum { SIM_SOCKET_BUFFER = 4096, SIM_SOCKET_RESULTS = 64 };

struct sim_socket_results {
    int32_t result[SIM_SOCKET_RESULTS];
    uint64_t at_ns[SIM_SOCKET_RESULTS];
    unsigned count;
};
struct sim_socket {
    struct sim *sim;
    struct pg_host *host;
    struct pg_socket socket;
    struct pg_completion sent, received;
    struct sim_socket_results sends, recvs;
    bool sending, receiving, ended; /* ended: EOF or an error came      */
    bool once;                      /* does not go on receiving by itself */
    const uint8_t *out;             /* still to be sent                 */
    size_t out_bytes;
    uint8_t buffer[SIM_SOCKET_BUFFER];
    uint8_t *in;                    /* all that was received            */
    size_t in_bytes, in_capacity;
};

/* Opens and binds; the result of open. Nothing is submitted. */
int sim_socket_open(struct sim_socket *s, struct sim *sim, int family);
int sim_socket_receive(struct sim_socket *s);                         /* submits one receive: its result */
/* `at` stays until it is sent; short sends go on */
void sim_socket_send(struct sim_socket *s, const void *at, size_t n);
void sim_socket_shutdown(struct sim_socket *s, int how);
void sim_socket_cancel(struct sim_socket *s, struct pg_completion *c);
/* Ends what is in flight, unbinds and closes; frees what was received. */
void sim_socket_close(struct sim_socket *s);
void sim_settle(struct sim *sim); /* steps until no event is left */

#endif

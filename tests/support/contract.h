/* support/contract.h - what the contract suite of the hosts is written against: one host with its reactor, and
 * connections whose other end the test plays itself, without blocking and without sleeping.
 *
 * A kind of host brings `struct contract_kind`; everything else is the same for all. Nothing here knows which host it
 * is. */
#ifndef SUPPORT_CONTRACT_H
#define SUPPORT_CONTRACT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "reactor/reactor.h"

struct contract;

/* The other end of one connection. */
struct contract_peer {
    int fd;    /* real hosts */
    void *own; /* others */
};

struct contract_kind {
    const char *name;
    bool can_reset;    /* connections have an RST (TCP); otherwise a close with unread bytes stands for it */
    bool virtual_time; /* a wait is a jump: nothing can come from another thread while it lasts */
    void (*open)(struct contract *);  /* sets host, and address for a listener that accepts */
    void (*close)(struct contract *); /* after the reactor is gone */
    void (*wait)(struct contract *, int64_t wait_ns); /* submits, waits at most so long, delivers completions */
    void (*accept)(struct contract *, struct contract_peer *); /* the connection that was opened last */
    size_t (*write)(struct contract *, struct contract_peer *, const void *at, size_t n); /* what fits */
    size_t (*read)(struct contract *, struct contract_peer *, void *at, size_t n);        /* what is there */
    bool (*at_eof)(struct contract *, struct contract_peer *); /* after everything was read: did we shut down */
    void (*hang_up)(struct contract *, struct contract_peer *, bool reset);
    void (*refuse)(struct contract *); /* from now on connections to `address` are refused */
};
extern const struct contract_kind contract_real[]; /* ended by one without a name */
extern const struct contract_kind contract_sim;

struct contract {
    const struct contract_kind *kind;
    struct pg_host *host;
    struct pg_reactor *reactor;
    struct sockaddr_storage address;
    socklen_t address_size;
    void *own;       /* the kind's */
    bool submitting; /* no completion may come now */
};

/* One operation and everything that its callback saw. */
struct contract_op {
    struct pg_completion completion;
    struct contract *contract;
    unsigned calls;
    int32_t res;
    void (*then)(struct contract_op *); /* called by the callback; NULL is fine */
    void *arg;
};

/* A connected, bound socket and the test's end of it. */
struct contract_pair {
    struct pg_socket socket;
    struct contract_peer peer;
    bool hung_up;
};

struct contract *contract_open(const struct contract_kind *kind);
void contract_close(struct contract *c);

void contract_pair_open(struct contract *c, struct contract_pair *pair);
void contract_unbind_close(struct contract *c, struct contract_pair *pair); /* the library's end, idle */
void contract_pair_close(struct contract *c, struct contract_pair *pair);   /* both ends */
void contract_hang_up(struct contract *c, struct contract_pair *pair, bool reset);

int contract_send(struct contract *c, struct pg_socket *s, struct contract_op *op, const void *at, size_t n);
int contract_recv(struct contract *c, struct pg_socket *s, struct contract_op *op, void *at, size_t n);
void contract_cancel(struct contract *c, struct pg_socket *s, struct contract_op *op);

int64_t contract_begin(struct contract *c, int64_t wait_ns); /* a turn; the wait that it permits, wait_ns at the most */
void contract_turn(struct contract *c, int64_t wait_ns);     /* the same, and the wait */
void contract_settle(struct contract *c);                    /* turns that do not block, enough for all that is due */

/* Turns until the condition holds. A host that loses something fails here, after a time that no working host needs. */
#define CONTRACT_UNTIL(c, condition)                                                                  \
    do {                                                                                              \
        uint64_t give_up_ns_ = contract_clock() + CONTRACT_PATIENCE_NS;                               \
        while (!(condition)) {                                                                        \
            if (contract_clock() > give_up_ns_) fail_msg("never came: %s", #condition);               \
            int64_t wait_ns_ = contract_begin((c), CONTRACT_WAIT_NS);                                 \
            if (!(condition)) /* else the turn has brought it, and nothing may be left to wait for */ \
                (c)->kind->wait((c), wait_ns_);                                                       \
        }                                                                                             \
    } while (0)
#define CONTRACT_PATIENCE_NS 20000000000ull
#define CONTRACT_WAIT_NS 5000000000ll
uint64_t contract_clock(void);                   /* the world's */
uint64_t contract_now(const struct contract *c); /* the host's */

/* Moves exactly n bytes from or to the peer, turning the loop meanwhile. */
void contract_peer_read(struct contract *c, struct contract_pair *pair, void *at, size_t n);
void contract_peer_write(struct contract *c, struct contract_pair *pair, const void *at, size_t n);

/* All n bytes, however many operations it takes. */
void contract_send_all(struct contract *c, struct pg_socket *s, const char *at, size_t n);
void contract_recv_all(struct contract *c, struct pg_socket *s, char *at, size_t n);
/* The operation is in flight, ends exactly once, and after that nothing comes. */
void contract_expect_end(struct contract *c, struct contract_op *op);

/* Runs the clauses over every kind of host, each with a host of its own in *state. The number of failures. */
int contract_run(struct CMUnitTest *clauses, size_t count);
#define CONTRACT_CLAUSE(name_) { .name = #name_, .test_func = name_ }

#endif

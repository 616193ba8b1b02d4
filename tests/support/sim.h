/* support/sim.h - the simulated host: a kernel, a network and a clock in one process, decided by one seed.
 *
 * It implements every operation of struct pg_host_ops. Time is virtual and jumps from event to event; a run is a
 * function of its seed, so a failure is repeated by its number. What a kernel may do at its worst it does here on
 * demand: read send buffers late, write receive buffers late, move fewer bytes than asked, be out of room, interrupt,
 * reset, complete in bursts and in any order across descriptors. What a library must not do ends the program: two
 * operations in one direction, an unbind with something in flight, a buffer changed while the kernel has it, a
 * descriptor used after close.
 *
 * The other end of each connection is a struct sim_peer with callbacks: the server of a test. */
#ifndef SUPPORT_SIM_H
#define SUPPORT_SIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ringpg/host.h"
#include "ringpg/reactor.h"

struct sim;

/* Probabilities are per mille and zero by default, so that struct sim_config c = { .seed = 1 } is a host without
 * faults. */
struct sim_config {
    uint64_t seed;
    uint32_t short_send;       /* a send moves fewer bytes than there was room for, 0 included                       */
    uint32_t short_recv;       /* a receive takes fewer bytes than there are                                         */
    uint32_t submit_again;     /* a submit gives -EAGAIN: the submission queue is full                               */
    uint32_t retryable;        /* an operation ends with -EINTR, -EAGAIN or -ENOBUFS and has moved nothing           */
    uint32_t reset;            /* an operation finds its connection reset; what was unread is lost                   */
    uint32_t fatal;            /* an operation ends with another errno (sim_fault.c), and so does its connection        */
    uint32_t hole;             /* an operation finds that nothing comes through any more, in either direction; after
                                * hole_ns both ends are told so (-ETIMEDOUT)                                          */
    uint32_t jump;             /* after a turn the clock is up to jump_ns further on: the machine slept               */
    uint32_t cancel_late;      /* a cancel has no effect on an operation that has not ended                          */
    uint32_t burst;            /* a completion waits for the next multiple of burst_ns, together with others         */
    uint32_t refuse;           /* of a connect, before the listener is asked: SIM_REFUSE                             */
    uint32_t hang;             /* the same: SIM_HANG                                                                 */
    uint32_t backlog_full;     /* the same: SIM_BACKLOG_FULL                                                         */
    uint32_t idle_turn;        /* a reactor has a turn although nothing has happened to it: its loop has others, too */
    uint64_t burst_ns;         /* 1 ms if 0                                                                          */
    uint64_t hole_ns, jump_ns;
    uint64_t latency_min_ns;   /* of each segment, one way                                                           */
    uint64_t latency_max_ns;
    uint64_t completion_ns;    /* the longest time from an operation's end to its completion                         */
    uint64_t turn_ns;          /* how far the clock moves in a turn that did not wait; 1 us if 0                     */
    size_t send_buffer_bytes;  /* bytes that the peer has not taken yet and the kernel still accepts; 256 KiB if 0   */
    uint64_t fail_call;        /* the n-th host call that can fail (1: the first) fails for good; 0: none            */
    int first_fd;              /* the lowest descriptor                                                              */
};

/* Every fault of a kernel and of a slow network, each with a probability drawn from the seed and often with none.
 * Those that end connections (reset, refuse, hang) are the caller's to add, and so is fail_call. */
struct sim_config sim_faults(uint64_t seed);

struct sim *sim_open(const struct sim_config *config);
/* Aborts if a host still has an open descriptor or an operation in flight: call sim_close_all before, if that is
 * meant. */
void sim_close(struct sim *sim);
struct sim_config *sim_settings(struct sim *sim); /* may be changed at any time (seed, first_fd excepted) */

/* A host in this world. The first call gives the host of one reactor; sim_host_at gives further ones (index below
 * SIM_HOSTS) that share clock, network, descriptors and seed. */
enum { SIM_HOSTS = 8 };
struct pg_host *sim_host(struct sim *sim);
struct pg_host *sim_host_at(struct sim *sim, unsigned index);

/* ---- the clock, chance, and what happened ---- */
uint64_t sim_now(const struct sim *sim);
uint64_t sim_random(struct sim *sim, uint64_t below);             /* 0 .. below-1 */
bool sim_chance(struct sim *sim, uint32_t per_mille);
uint64_t sim_hash(const struct sim *sim);                         /* of everything that happened, its time included */
struct sim_counters {
    uint64_t events, turns, calls;                                /* calls: those that can fail */
    uint64_t opens, sends, recvs, cancels, cancelled, again, retryable, short_sends, short_recvs, resets, fatal, holes;
    uint64_t jumped_ns;
    uint64_t bytes_sent, bytes_received;
    uint32_t descriptors_now, descriptors_max, in_flight;
    uint64_t wakes, wanted_turns;
};
const struct sim_counters *sim_counters(const struct sim *sim);

/* ---- driving ---- */
/* Jumps to the next event and delivers all that is due then. False: there is none. */
bool sim_step(struct sim *sim);
/* The same, but time does not pass `until_ns`. True: events were delivered; false: none was due by then, and it is
 * then. */
bool sim_step_until(struct sim *sim, uint64_t until_ns);
bool sim_next_event(const struct sim *sim, uint64_t *at_ns);

enum sim_end {
    SIM_IDLE,   /* no event, no deadline: nothing would ever happen */
    SIM_TIME,   /* the time is up                                   */
    SIM_CLOSED, /* the reactor is closed and empty                  */
    SIM_DONE,   /* done() said so                                   */
};
/* Turns and events until nothing is left to do or `ns` virtual ns have passed. */
enum sim_end sim_run(struct sim *sim, struct pg_reactor *reactor, uint64_t ns);
enum sim_end sim_run_until(struct sim *sim, struct pg_reactor *reactor, bool (*done)(void *), void *arg,
                           uint64_t max_ns);
/* Several reactors of one world, turned in a random order: those whose loop would have a turn now, since a completion
 * came, a turn was asked for or the wait that the last one permitted is over. SIM_CLOSED: all of them are. */
enum sim_end sim_run_all(struct sim *sim, struct pg_reactor *const *reactors, unsigned n, bool (*done)(void *),
                         void *arg, uint64_t max_ns);

/* ---- the other end ---- */
enum sim_connect {
    SIM_ACCEPT,
    SIM_REFUSE,       /* -ECONNREFUSED: the result of the first operation, or of open itself on a Unix socket */
    SIM_HANG,         /* nothing completes until shutdown                                                     */
    SIM_BACKLOG_FULL, /* open gives -EAGAIN                                                                   */
    SIM_UNREACHABLE,  /* -EHOSTUNREACH: the result of the first operation                                     */
};

/* One accepted connection as its server sees it. Lives from the accept until on_gone has returned. */
struct sim_peer {
    void *user;
    void (*on_bytes)(struct sim_peer *, const uint8_t *at, size_t n);
    void (*on_eof)(struct sim_peer *);   /* the other side sent FIN or RST (`reset`); once              */
    void (*on_gone)(struct sim_peer *);  /* both sides have closed; optional; the last call              */
    bool reset;
};

/* The one listener, for any address. It is asked inside open() and must not call into the library; for SIM_ACCEPT it
 * sets the peer's callbacks and may already send. Without a listener connections are refused. */
typedef enum sim_connect sim_accept_fn(void *arg, struct sim_peer *peer, const struct sockaddr *address);
void sim_listen(struct sim *sim, sim_accept_fn *accept, void *arg);

struct sim *sim_of(const struct sim_peer *peer);
/* copied; no-op after close or reset */
void sim_peer_send(struct sim_peer *peer, const void *at, size_t n);
/* FIN behind the data; bytes that come now: RST */
void sim_peer_close(struct sim_peer *peer);
/* FIN behind the data, but what comes is still taken: ours is shut, theirs is not */
void sim_peer_shut(struct sim_peer *peer);
/* RST behind the data */
void sim_peer_reset(struct sim_peer *peer);
/* No on_bytes, no on_eof; the send buffer fills up */
void sim_peer_pause(struct sim_peer *peer, bool paused);
/* Bytes sent that the other side has not received */
size_t sim_peer_unread(const struct sim_peer *peer);
/* Neither closed nor reset from this side */
bool sim_peer_open(const struct sim_peer *peer);
/* Calls fn(arg) after ns; several at once are fine. A timer of a peer that closed in between is dropped. */
void sim_peer_after(struct sim_peer *peer, uint64_t ns, void (*fn)(struct sim_peer *, void *arg), void *arg);
/* The same without a peer. */
void sim_after(struct sim *sim, uint64_t ns, void (*fn)(void *arg), void *arg);

/* Calls after_event after each event and after_turn after each turn of a reactor that sim_run makes. Both must not call
 * into a library. */
void sim_watch(struct sim *sim, void (*after_event)(void *arg), void (*after_turn)(void *arg, struct pg_reactor *),
               void *arg);

/* ---- for tests of the host itself ---- */
bool sim_host_woken(struct pg_host *host);   /* wake or want_turn since the last call */
/* The loop of this host has failed: its reactor is freed early, and what is in flight is dropped with the close. */
void sim_host_failed(struct pg_host *host);
/* Ends what a test leaves behind on purpose: every operation in flight is dropped without a completion. */
void sim_close_all(struct sim *sim);

/* Says what was wrong and aborts: for the model's own complaints about the code under test. */
_Noreturn void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

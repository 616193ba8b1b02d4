/* pool/overload.h - two rules about a queue that is too long, each as arithmetic over plain structs: overload.c says
 * who has waited in vain, admission.c who would. Neither knows the pool, a clock or a waiter; shed.c applies them. */
#ifndef RP_POOL_OVERLOAD_H
#define RP_POOL_OVERLOAD_H
#include <stdbool.h>
#include <stdint.h>

struct rp_overload {
    uint64_t target_ns, interval_ns; /* target 0: off, and nobody is ever refused          */
    uint64_t above_ns;               /* no wait was below the target since; UINT64_MAX: it was */
    uint64_t seen_ns;                /* when somebody left the queue by the last two below */
    bool refused;                    /* by the last one of them                            */
};

void rp_overload_open(struct rp_overload *o, uint64_t target_ns, uint64_t interval_ns);
/* Somebody comes into an empty queue. */
void rp_overload_began(struct rp_overload *o, uint64_t now_ns);
/* When one who waits since `since_ns` is to be refused, as far as is known now; UINT64_MAX: not at all. */
uint64_t rp_overload_end(const struct rp_overload *o, uint64_t since_ns);
void rp_overload_refused(struct rp_overload *o, uint64_t now_ns);
/* Or is served, and so many go on waiting. */
void rp_overload_served(struct rp_overload *o, uint64_t now_ns, uint64_t since_ns, uint64_t behind);

struct rp_admission {
    uint64_t busy_ns;  /* somebody waited for so long, up to begun_ns ...     */
    uint32_t served;   /* ... and so many were served in that time            */
    uint64_t begun_ns; /* somebody waits, and the above counts up to here; UINT64_MAX: nobody does */
};

void rp_admission_open(struct rp_admission *a);
void rp_admission_began(struct rp_admission *a, uint64_t now_ns); /* somebody waits; no-op if somebody does already */
void rp_admission_served(struct rp_admission *a, uint64_t now_ns);
void rp_admission_emptied(struct rp_admission *a, uint64_t now_ns); /* nobody waits any more, whyever */
/* How long one will wait behind `ahead` others; 0: nobody knows. */
uint64_t rp_admission_wait(const struct rp_admission *a, uint64_t now_ns, uint64_t ahead);

#endif

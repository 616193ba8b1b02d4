/* pool/hosts.h - one host of a pool, and what the pool asks of all of them. */
#ifndef RP_POOL_HOSTS_H
#define RP_POOL_HOSTS_H
#include "config/conninfo.h"
#include "conn/conn.h"
#include "conn/tls.h"
#include "pool/circuit.h"

struct pg_pool;
struct rp_slot;

enum { RP_ADDRESSES_MAX = 8 };

struct rp_host {
    const struct rp_conninfo_host *info;
    struct rp_session_config session; /* the pool's with this host's own password, if it has one (info->password)  */
    struct rp_keys keys;         /* of that password, which no other host's salt is ever asked for with */
    const struct rp_security *security; /* of its connections; NULL: they are plain         */
    struct rp_security secured;
    struct rp_tls_peer tls;
    char where[160];             /* for messages: "host:port" or the socket's path          */
    struct rp_address address[RP_ADDRESSES_MAX];
    uint32_t naddresses;         /* 0: its name could not be resolved yet                   */
    uint32_t connecting;         /* connects to it that are under way                       */
    struct rp_circuit circuit;   /* can it be reached?                                      */
    struct rp_circuit role;      /* is it what target_session_attrs asks for? CLOSED: yes, or not known */
    uint64_t generation;         /* how often it ceased to be that: connections of a former one are retired */
    struct pg_error error;       /* its last word since a connection of the pool stood last; code 0: none */
    bool refuses;                /* which it will say again, however often it is asked      */
};
struct rp_hosts { struct rp_host *at; uint32_t count; };

/* Allocates and resolves; at least one name must be known. 0, -ENOMEM, PG_E_UNAVAILABLE, PG_E_CONFIG. */
int rp_hosts_open(struct pg_pool *pool, struct pg_error *error);
void rp_hosts_log_in(struct pg_pool *pool); /* once pool->config stands */
bool rp_host_is_socket(const struct rp_host *host);
void rp_hosts_free(struct pg_pool *pool);
void rp_hosts_wipe(struct pg_pool *pool); /* the keys */

/* The host of the next connect; NULL: none may be tried before rp_hosts_time (PG_NEVER: before a try has ended).
 * `*any`: what it is does not matter, since no other could be had. */
struct rp_host *rp_hosts_next(struct pg_pool *pool, bool *any);
uint64_t rp_hosts_time(const struct pg_pool *pool);
bool rp_hosts_other(const struct rp_slot *slot);     /* is there another one that may be what is asked for, now? */
bool rp_hosts_elsewhere(const struct rp_slot *slot); /* is there another one that may be tried now, whatever it is? */
const struct rp_host *rp_hosts_asked(const struct pg_pool *pool); /* for messages: one that is being connected to */
uint32_t rp_hosts_coming(const struct pg_pool *pool); /* connects under way that will probably succeed */

/* A slot's connect: it begins, and ends exactly once in one of the others. */
void rp_try_begin(struct rp_slot *slot, struct rp_host *host, bool any);
void rp_try_up(struct rp_slot *slot);
/* Writes pool->connect_error. True: the last word of every host is one that it will say again. */
bool rp_try_failed(struct rp_slot *slot, const struct pg_error *why);
/* It is up, and not what target_session_attrs asks for. Writes pool->connect_error. */
void rp_try_unfit(struct rp_slot *slot, const struct pg_error *why);
/* The server is there and takes no more connections for now (capacity.c sees to that). Writes pool->connect_error. */
void rp_try_full(struct rp_slot *slot, const struct pg_error *why);
void rp_try_given_up(struct rp_slot *slot); /* no-op if it has ended; the slot is free */
/* The try's new connection is of no use to anybody (prepare_conn): the next one is made after a delay, or elsewhere. */
void rp_host_blame(struct rp_slot *slot);

#endif

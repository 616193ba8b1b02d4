/* support/proxy.h - a byte proxy between a pool and a real server, that does to the bytes what bad networks do: it
 * delays them, cuts them into pieces, lets a connection fall silent, resets it, closes one half of it.
 *
 * One thread that polls, one seed for all of its choices. It listens on a port of 127.0.0.1 and passes each connection
 * on to a Unix socket. It knows nothing of PostgreSQL but how a cancel request begins.
 *
 * What it does to a connection it does to the client's end. The server's end is closed in good order and kept until
 * the server has closed it too, so that the proxy knows how many of the server's processes outlive their clients. */
#ifndef SUPPORT_PROXY_H
#define SUPPORT_PROXY_H
#include <stdint.h>

struct proxy;

/* Per mille of the chunks that are read, in either direction; refuse and mute: of the connects. */
struct proxy_rates {
    uint32_t delay, delay_ms; /* passed on later, at most that much                                               */
    uint32_t split;           /* passed on in pieces, with a pause between them                                   */
    uint32_t hole;            /* from here on nothing is passed in either direction, and the sockets stay open    */
    uint32_t reset;           /* the client gets a RST at once                                                    */
    uint32_t half_close;      /* the client gets a FIN, or the server does, and the other direction goes on       */
    uint32_t refuse;          /* a RST instead of a connection                                                    */
    uint32_t mute;            /* a hole from the beginning                                                        */
    uint32_t hole_ms;         /* such a connection ends after that much at the most, and 500 ms at least          */
};

struct proxy_counts {
    uint64_t links, refused, cancels, bytes;
    uint64_t delays, splits, holes, resets, half_closes;
    uint64_t orphaned; /* so far: the client's end was ended here before the server had let go             */
    uint32_t orphans;  /* of these, now: those whose server has not closed its end yet                     */
    uint32_t closing;  /* now: the client has closed its half, the server has not                          */
    uint32_t silent;   /* now: in a hole; what the client has done since is not known                      */
};

/* Ends the program when it cannot. `path`: of the server's Unix socket. */
struct proxy *proxy_open(const char *path, uint64_t seed);
uint16_t proxy_port(const struct proxy *proxy);
/* Any thread, at any time. */
void proxy_rates(struct proxy *proxy, const struct proxy_rates *rates);
void proxy_calm(struct proxy *proxy); /* no faults from now on, and silent connections end */
struct proxy_counts proxy_counts(struct proxy *proxy);
void proxy_close(struct proxy *proxy);

#endif

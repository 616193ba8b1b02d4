/* server.h - one reactor thread of the demo, from its ring to its end. */
#ifndef DEMO_SERVER_H
#define DEMO_SERVER_H
#include <pthread.h>
#include <semaphore.h>
#include "net.h"
#include "options.h"
#include "ringpg/budget.h"
#include "ringpg/reactor.h"
#include "stats.h"

enum server_state { SERVER_STARTING, SERVER_READY, SERVER_FAILED, SERVER_ENDED };
struct server { /* main's memory; the thread writes state and why before it posts */
    const struct options *options;
    const char *conninfo;
    struct stats *stats;
    struct pg_budget *budget;                        /* NULL: none */
    unsigned index;
    int listen_fd;                                   /* the thread's from the start on */
    sem_t *changed;                                  /* posted once, when it is ready or has failed to be */
    pthread_t thread;
    struct pg_reactor *reactor;                      /* for stop, from READY on until the thread was joined */
    struct pg_task stop;
    struct server_run *run;
    _Atomic int state;
    int status;                                      /* after the join; 0: ended as asked */
    char why[NET_WHY_BYTES];
};

/* The thread. One that fails after it was ready sends the process SIGTERM. */
void *server_main(void *server);
/* Any thread, once, after READY: no new clients, requests in work are answered, the pool is closed; bounded in time. */
void server_stop(struct server *server);

#endif

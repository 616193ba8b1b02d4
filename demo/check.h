/* check.h - what the parts of demo_check share: one client connection, and what it may ask. */
#ifndef DEMO_CHECK_H
#define DEMO_CHECK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reply { int status; bool retry_after; const char *body; size_t size; };

/* Looks for a whole reply at the start of `at`. Its size in bytes, 0: not whole yet, -1: no reply of HTTP/1.1. */
long reply_parse(const char *at, size_t size, struct reply *out);

enum ask_kind {
    ASK_ROOT, ASK_ITEM, ASK_ITEM_MISSING, ASK_ITEM_BAD, ASK_SLOW, ASK_TRANSFER, ASK_TRANSFER_MISSING, ASK_TRANSFER_BAD,
    ASK_UNKNOWN, ASK_METHOD, ASK_KINDS
};
struct ask { enum ask_kind kind; int64_t id; uint64_t sent_ns; };

extern const char *const ask_names[ASK_KINDS];
struct ask ask_draw(uint64_t *seed);                 /* by the weights of the mix */
size_t ask_write(const struct ask *ask, uint64_t *seed, char *out, size_t capacity);
/* NULL: the reply is right. `restarting`: 503 with Retry-After is right too. */
const char *ask_judge(const struct ask *ask, const struct reply *reply, bool restarting);
uint64_t check_random(uint64_t *seed);

struct check {
    unsigned short port;
    unsigned connections, pipeline;
    uint64_t requests, seconds;                      /* restarting: seconds, else requests */
    uint64_t answer_limit_ns;                        /* a request that waits longer counts as unanswered */
    int pid;                                         /* 0: not given */
    bool restarting;
};
struct load {                                        /* what was seen */
    uint64_t asked, answered, unavailable, wrong, lost, longest_ns;
    uint64_t last_second_good, last_second_unavailable;
    uint64_t by_kind[ASK_KINDS];
    uint64_t hangups;
    int threads_under_load;
};
/* The load from beginning to end. 0, or -1 when a connection could not be made. */
int load_run(const struct check *check, struct load *load);
int check_connect(unsigned short port, bool blocking);
int check_threads(int pid);                          /* of /proc/PID/status; -1: cannot be read */
uint64_t check_now(void);

#endif

/* pool/admission.c - how long one who comes now would wait. It owns what was measured of the queue's pace and must
 * never know who waits, for what, or what is done with the answer.
 *
 *      wait = (ahead + 1) x busy / served
 *
 * `busy` is the time during which somebody waited, `served` how many left the queue into service in that time: their
 * quotient is the mean time between two who are served. Connections, how long they are held, pipelining, both lanes
 * and the server's own speed are all in it, and none of them has to be known. Only time in which somebody waited
 * counts, since the pace of a queue that is empty is that of the arrivals. The time since the last one was served
 * counts as well: when nothing moves any more, the prediction grows by itself.
 *
 * Both are halved when 32 were served: so what is known is of the last 16 to 32 (a standard error of a fifth to a
 * quarter where service times are exponential), and a server that has recovered is believed after a few dozen. Below 8
 * there is no prediction. Whoever would be the first in the queue must be let in whatever the prediction is, by the
 * user of this: without anybody who waits nothing is ever learned again. */
#include "pool/overload.h"

#define NEVER UINT64_MAX
enum { ENOUGH = 8, WINDOW = 32 };

void rp_admission_open(struct rp_admission *a) { *a = (struct rp_admission){ .begun_ns = NEVER }; }

static void count(struct rp_admission *a, uint64_t now_ns, uint64_t next_ns)
{
    if (a->begun_ns != NEVER) a->busy_ns += now_ns - a->begun_ns;
    a->begun_ns = next_ns;
}

void rp_admission_began(struct rp_admission *a, uint64_t now_ns)
{
    if (a->begun_ns == NEVER) a->begun_ns = now_ns;
}

void rp_admission_served(struct rp_admission *a, uint64_t now_ns)
{
    count(a, now_ns, a->begun_ns == NEVER ? NEVER : now_ns);
    if (++a->served < WINDOW) return;
    a->served /= 2;
    a->busy_ns /= 2;
}

void rp_admission_emptied(struct rp_admission *a, uint64_t now_ns) { count(a, now_ns, NEVER); }

uint64_t rp_admission_wait(const struct rp_admission *a, uint64_t now_ns, uint64_t ahead)
{
    uint64_t busy_ns = a->busy_ns + (a->begun_ns == NEVER ? 0 : now_ns - a->begun_ns), wait_ns;
    if (a->served < ENOUGH) return 0;
    return __builtin_mul_overflow(busy_ns / a->served, ahead + 1, &wait_ns) ? NEVER : wait_ns;
}

/* When queries are due and how long they took: see the header. Knows no client. */
#include "latency.h"

static const double WARM_SHARE = 0.2;
static const uint64_t SECOND_NS = 1000000000;

/* Above 0, at most 1. */
static double chance(struct latency_load *load)
{
    return ((double)(bench_random(&load->random) >> 11) + 1) / 9007199254740992.0;
}

static void draw_next(struct latency_load *load)
{
    load->next_ns += (uint64_t)(-log(chance(load)) * load->gap_ns);
}

void latency_begin(struct latency_load *load, unsigned callers, double per_s, double seconds)
{
    uint64_t now = bench_now_ns();
    load->callers = callers;
    load->gap_ns = callers ? 0 : 1e9 / per_s;
    load->waiting = 0;
    load->answered = 0;
    load->random = 88172645463325252u;
    load->from_ns = now + (uint64_t)(seconds * WARM_SHARE * 1e9);
    load->end_ns = load->from_ns + (uint64_t)(seconds * 1e9);
    load->next_ns = now;
    if (!callers) draw_next(load);
}

bool latency_due(struct latency_load *load, uint64_t *due_ns)
{
    uint64_t now = bench_now_ns();
    if (load->callers ? load->waiting == load->callers || now >= load->end_ns
                      : load->next_ns > now || load->next_ns >= load->end_ns)
        return false;
    load->waiting++;
    *due_ns = load->callers ? now : load->next_ns;
    if (!load->callers) draw_next(load);
    return true;
}

void latency_answered(struct latency_load *load, uint64_t due_ns)
{
    load->waiting--;
    if (due_ns < load->from_ns) return;
    uint64_t took_ns = bench_now_ns() - due_ns;
    if (load->took_ns && load->answered < load->room)
        load->took_ns[load->answered] = took_ns < UINT32_MAX ? (uint32_t)took_ns : UINT32_MAX;
    load->answered++;
}

int64_t latency_wait(const struct latency_load *load)
{
    uint64_t now = bench_now_ns();
    if (load->callers || load->next_ns >= load->end_ns || load->next_ns > now + SECOND_NS) return (int64_t)SECOND_NS;
    return load->next_ns > now ? (int64_t)(load->next_ns - now) : 0;
}

bool latency_over(const struct latency_load *load)
{
    bool more = load->callers ? bench_now_ns() < load->end_ns : load->next_ns < load->end_ns;
    return !more && load->waiting == 0;
}

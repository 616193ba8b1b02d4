/* reactor/queue.c - what a turn runs beside deadlines: finished operations, the ready queue with its budget, the flush
 * queue.
 *
 * A node is taken out of its queue before it runs, and no iterator outlives a callback. Work that flushing makes, flush
 * or ready, is the next turn's, so that every turn ends. */
#include "state.h"

void rp_ask_for_turn(struct pg_reactor *r)
{
    if (r->in_turn || r->asked) return;
    r->asked = true;
    if (r->ops.want_turn && !RP_PLANT(turn_unasked)) r->ops.want_turn(r->host);
}

static void enqueue(struct pg_reactor *r, struct rp_nodes *queue, struct rp_node *node)
{
    rp_check_owner(r);
    node->queued = true;
    TAILQ_INSERT_TAIL(queue, node, link);
    rp_ask_for_turn(r);
}

void rp_queue_ready(struct pg_reactor *r, struct rp_node *node)
{
    enqueue(r, &r->ready, node);
}

void rp_queue_flush(struct pg_reactor *r, struct rp_node *node)
{
    enqueue(r, &r->flush, node);
}

/* Removal needs the head only for a queue's last node, and then the head's tail pointer tells which queue it is. */
void rp_unqueue(struct pg_reactor *r, struct rp_node *node)
{
    if (!node->queued) return;
    struct rp_nodes *const queues[] = { &r->ready, &r->flush, &r->flushing };
    struct rp_nodes *queue = queues[0];
    for (size_t i = 0; i < RP_COUNT(queues); i++)
        if (queues[i]->tqh_last == &node->link.tqe_next) queue = queues[i];
    TAILQ_REMOVE(queue, node, link);
    node->queued = false;
}

static void run_first(struct rp_nodes *queue)
{
    struct rp_node *node = TAILQ_FIRST(queue);
    TAILQ_REMOVE(queue, node, link);
    node->queued = false;
    node->run(node); /* may have freed the node */
}

bool rp_budget_take(struct pg_reactor *r)
{
    if (r->budget == 0) return RP_PLANT(turn_unbounded);
    r->budget--;
    return true;
}

/* However much the completions took, something of what they left behind moves on: two, since a node costs one itself
 * and may have nothing to run without another one. */
void rp_run_ready(struct pg_reactor *r)
{
    uint32_t least = r->config.resumes_per_turn / 16;
    if (least < 2) least = 2;
    if (r->budget < least) r->budget = least;
    while (!TAILQ_EMPTY(&r->ready) && rp_budget_take(r)) run_first(&r->ready);
}

void rp_run_flush(struct pg_reactor *r)
{
    RP_ASSERT(TAILQ_EMPTY(&r->flushing));
    TAILQ_CONCAT(&r->flushing, &r->flush, link);
    while (!TAILQ_EMPTY(&r->flushing)) run_first(&r->flushing);
}

void pg_host_finish(struct pg_host *host, struct pg_completion *completion, int32_t res)
{
    struct pg_reactor *r = host->reactor;
    RP_ASSERT(r != NULL);
    completion->host_priv[0] = 0;
    completion->host_priv[1] = (uint32_t)res;
    *r->finished_end = completion;
    /* The link is the word host_priv[0] itself; it is wide enough for a pointer on every machine that has io_uring. */
    _Static_assert(sizeof(struct pg_completion *) == sizeof(uint64_t), "a pointer fits host_priv exactly");
    r->finished_end = (struct pg_completion **)(void *)&completion->host_priv[0];
    rp_ask_for_turn(r);
}

/* Those that finish meanwhile are the next turn's, like on a ring. */
void rp_run_finished(struct pg_reactor *r)
{
    struct pg_completion *completion = r->finished;
    r->finished = NULL;
    r->finished_end = &r->finished;
    while (completion) {
        struct pg_completion *next = (struct pg_completion *)(uintptr_t)completion->host_priv[0];
        completion->complete(completion, (int32_t)(uint32_t)completion->host_priv[1]);
        completion = next;
    }
}

bool rp_anything_queued(struct pg_reactor *r)
{
    return r->finished || !TAILQ_EMPTY(&r->ready) || !TAILQ_EMPTY(&r->flush) || !rp_inbox_empty(&r->inbox);
}

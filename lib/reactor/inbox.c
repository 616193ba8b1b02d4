/* reactor/inbox.c - the one structure that other threads touch. Concurrency Kit's stack: pushed by compare-and-swap,
 * taken whole by one exchange. Nobody ever pops a single entry, so that an entry which comes back between a pusher's
 * load and its swap (ABA) is still the top that the pusher linked to.
 *
 * Compiled without ThreadSanitizer, which sees neither the inline assembly nor its fences; RP_TSAN says that the rest
 * of the program is under it and must be told what is ordered by what. */
#include "inbox.h"
#include <ck_pr.h>
#include "tsan.h"
#include "wire/check.h"

_Static_assert(sizeof(struct ck_stack_entry) == sizeof(struct pg_task *), "next_private is the stack's entry");

static struct ck_stack_entry *entry_of(struct pg_task *task)
{
    return (struct ck_stack_entry *)(void *)&task->next_private;
}

static struct pg_task *task_of(struct ck_stack_entry *entry)
{
    return RP_CONTAINER(entry, struct pg_task, next_private);
}

void rp_inbox_init(struct rp_inbox *inbox)
{
    ck_stack_init(&inbox->stack);
}

/* By hand and not by ck_stack_push_upmc: after the swap the entry is the reactor's, and whether the stack was empty can
 * no longer be read from it. */
bool rp_inbox_push(struct rp_inbox *inbox, struct pg_task *task)
{
    struct ck_stack_entry *entry = entry_of(task), *head = ck_pr_load_ptr(&inbox->stack.head);
    RP_RELEASE(inbox);
    do {
        entry->next = head;
        ck_pr_fence_store_atomic();
    } while (!ck_pr_cas_ptr_value(&inbox->stack.head, head, entry, &head));
    return head == NULL;
}

struct pg_task *rp_inbox_take(struct rp_inbox *inbox)
{
    if (rp_inbox_empty(inbox)) return NULL; /* the common case, without a locked instruction */
    struct ck_stack_entry *entry = ck_stack_batch_pop_upmc(&inbox->stack);
    struct pg_task *oldest = NULL;
    ck_pr_fence_acquire();
    RP_ACQUIRE(inbox);
    while (entry) {
        struct ck_stack_entry *older = entry->next;
        struct pg_task *task = task_of(entry);
        task->next_private = oldest;
        oldest = task;
        entry = older;
    }
    return oldest;
}

bool rp_inbox_empty(const struct rp_inbox *inbox)
{
    return ck_pr_load_ptr(&inbox->stack.head) == NULL;
}

/* reactor/inbox.h - tasks from any thread. An intrusive stack (ck_stack): pushed by many, taken as a batch by one and
 * turned into order. In a file of its own, since ThreadSanitizer cannot model Concurrency Kit's inline assembly:
 * inbox.c is compiled without it and annotated. */
#ifndef RP_REACTOR_INBOX_H
#define RP_REACTOR_INBOX_H
#include <ck_stack.h>
#include <stdbool.h>
#include "ringpg/reactor.h"

struct rp_inbox { ck_stack_t stack; };

void rp_inbox_init(struct rp_inbox *inbox);
/* Any thread. True: the inbox was empty, so that somebody must wake the reactor. */
bool rp_inbox_push(struct rp_inbox *inbox, struct pg_task *task);
/* The reactor's thread: everything pushed so far, oldest first, linked by next_private. */
struct pg_task *rp_inbox_take(struct rp_inbox *inbox);
/* Any thread; a push may follow at once, and then says true. */
bool rp_inbox_empty(const struct rp_inbox *inbox);

#endif

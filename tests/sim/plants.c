/* sim/plants.c - the planted bugs: what the simulator must be able to find. Each is a line in the library's code
 * (wire/plant.h) that only the second build of it has; pg_sim_planted runs that one, pg_sim hands over to it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "sim/plants.h"

#define PLANTS(P)                                                                                                      \
    P(again_taken_for_sent, "a full submission queue (-EAGAIN) counts as a submit")                                    \
    P(barging, "a statement joins a shared connection although others wait")                                           \
    P(buffer_freed_on_cancel, "large buffers are given back when the cancel is submitted, not at the completion")      \
    P(budget_exceeded, "a connection is begun without one of the budget in hand")                                      \
    P(budget_slot_leaked, "of what a pool gives back for another one's sake a connection is lost to the budget")       \
    P(callback_after_abandon, "an outcome that was decided is told although its caller has abandoned it")              \
    P(cancel_eof_unawaited, "the connection is used again before the end of the cancel request's socket was seen")     \
    P(cancel_hits_others, "a cancel request is sent while others have statements on the connection")                   \
    P(cancel_in_plain, "a cancel request does not pass the transform of its connection")                               \
    P(close_hangs, "a closed pool waits for leases that are held")                                                     \
    P(closed_in_flight, "a descriptor is unbound and closed while operations are in flight")                           \
    P(closing_uncounted, "a connection that is being closed leaves its place at once")                                 \
    P(connecting_unlimited, "one connect more than pool_connecting_limit")                                             \
    P(connects_for_nobody, "a closing pool connects for what would have been an improvement")                          \
    P(copy_buffer_lost, "the buffer of a COPY is not given back")                                                      \
    P(copy_cut_short, "a COPY that its caller gives up half-way is ended as if it was whole")                          \
    P(copy_unfenced, "what stands behind a COPY is written while it runs")                                             \
    P(dead_one_kept, "the loss of an idle connection goes unnoticed")                                                  \
    P(deadline_kept, "a waiter's deadline is not cancelled when it is granted")                                        \
    P(deadline_late, "deadlines of waiters come 5 ms late")                                                            \
    P(double_grant, "a connection that is granted stays idle")                                                         \
    P(discard_unseen, "statements count as prepared although DISCARD ALL or DEALLOCATE went over the connection")      \
    P(draining_forgotten, "a connection drained for a lease that went away is not given back")                         \
    P(evicted_in_flight, "a text that is kept gives way while requests in flight are about it")                        \
    P(evicted_unclosed, "a text that has given way stays prepared")                                                    \
    P(failed_parse_kept, "a statement counts as prepared although its Parse has failed")                               \
    P(foreign_connection, "a lease's query goes to a shared connection")                                               \
    P(freed_before_eof, "a slot is free before the server has let go of its connection")                               \
    P(generation_unchecked, "a connection of a former generation is used after a reset")                               \
    P(granted_unchecked, "a lease has its connection before prepare_conn has agreed")                                  \
    P(hook_unawaited, "the pool goes on with a connection before its hook has ended")                                  \
    P(heard_too_early, "a notification goes to listeners who were not told that they listen")                            \
    P(idle_too_early, "a connection is idle before its ReadyForQuery")                                                 \
    P(kept_rows_stay, "a query keeps its rows behind those of the one before")                                         \
    P(kick_lost, "a connection that became idle wakes nobody")                                                         \
    P(lifo, "waiters are served last in, first out")                                                                   \
    P(listener_uncounted, "the listeners' connection does not count in the budget")                                     \
    P(loss_untold, "listeners are not told that their connection was lost")                                            \
    P(memory_leaked, "the catalog is not freed with the pool")                                                         \
    P(miscounted, "the number of outcomes is too low")                                                                 \
    P(moved_under_pause, "the receive buffer is compacted under a row that is looked at")                              \
    P(old_primary_kept, "a server says that it is a standby now, and keeps the connections that want the primary")     \
    P(open_block_shared, "a transaction left open on a shared connection is not noticed")                              \
    P(outcome_at_complete, "an outcome is decided at CommandComplete")                                                 \
    P(piece_after_stop, "a row in pieces goes on after its caller wanted no more")                                     \
    P(piece_from_the_start, "every piece says that it is its value's first")                                           \
    P(pipeline_exceeded, "one request more than pool_max_pipeline")                                                    \
    P(queue_unbounded, "pool_max_waiters is not honoured")                                                             \
    P(receive_armed_twice, "a second receive is armed while one is in flight")                                         \
    P(record_left, "of what a receive brought through a transform one record is read before the next is armed")        \
    P(recursion, "a release grants to the next waiter inside of the call")                                             \
    P(repeated_though_sent, "a statement is sent again although the server may have executed it")                      \
    P(reset_skipped, "reset_sql is left out")                                                                          \
    P(resize_ignored, "shrinking a pool closes no connection")                                                         \
    P(retry_forgotten, "after a failed connect none is tried when its time has come")                                  \
    P(rollback_skipped, "a connection is given back with its transaction open")                                        \
    P(send_buffer_reused, "the send buffer is changed while the kernel has it")                                        \
    P(short_send_dropped, "what a short send has left over is not sent")                                               \
    P(stray_forgotten, "a hook that was given up keeps the handle that the next one gets")                             \
    P(suspension_ignored, "a suspended pool grants")                                                                   \
    P(timer_leaked, "the lifetime's deadline outlives its connection")                                                 \
    P(told_twice, "a query that timed out is told again when its answer comes")                                        \
    P(trials_unlimited, "a host that has failed is tried by any number of connects at a time")                         \
    P(turn_unasked, "work that is queued outside of a turn asks for none")                                             \
    P(turn_unbounded, "a turn runs all callbacks that there are")                                                      \
    P(waiters_lost_on_failure, "a failed connect empties the queue and tells nobody")                                  \
    P(wrong_member_blamed, "in a batch the member behind the culprit gets its error")

#ifdef RP_PLANTS
#define DEFINE(name, what) extern bool rp_plant_##name; bool rp_plant_##name;
PLANTS(DEFINE)
#define PLANT(name, what) { #name, what, &rp_plant_##name },
#else
#define PLANT(name, what) { #name, what, NULL },
#endif

static const struct plant {
    const char *name, *what;
    bool *on;
} plants[] = { PLANTS(PLANT) };

void plants_list(void)
{
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) printf("%-26s %s\n", plants[i].name, plants[i].what);
}

bool plants_switch_on(const char *name)
{
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        if (strcmp(plants[i].name, name)) continue;
        if (plants[i].on) *plants[i].on = true;
        return true;
    }
    return false;
}

#ifdef RP_PLANTS
void plants_hand_over(char **argv) { (void)argv; }
#else
void plants_hand_over(char **argv)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof "_planted");
    if (n > 0) {
        memcpy(path + n, "_planted", sizeof "_planted");
        execv(path, argv);
    }
    fprintf(stderr, "pg_sim: %s: %s\n", n > 0 ? path : "/proc/self/exe", strerror(errno));
    exit(2);
}
#endif

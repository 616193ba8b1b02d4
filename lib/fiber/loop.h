/* fiber/loop.h - the loop's choice of a host, for its own tests. */
#ifndef RP_FIBER_LOOP_H
#define RP_FIBER_LOOP_H
#include <stdbool.h>
#include "ringpg/loop.h"

int rp_loop_open(struct pg_loop **out, bool epoll_only, struct pg_error *error) PG_WARN_UNUSED; /* as pg_loop_open */
bool rp_loop_on_ring(const struct pg_loop *loop);

#endif

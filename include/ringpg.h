/* ringpg.h - everything that a program with handlers needs. A host's header (ringpg/uring.h, ringpg/epoll.h)
 * or ringpg/loop.h is included beside it by the one file that owns the loop. */
#ifndef RINGPG_H
#define RINGPG_H
#include "ringpg/error.h"
#include "ringpg/value.h"
#include "ringpg/query.h"
#include "ringpg/reactor.h"
#include "ringpg/stats.h"
#include "ringpg/budget.h"
#include "ringpg/pool.h"
#include "ringpg/copy.h"
#include "ringpg/listen.h"
#include "ringpg/fiber.h"
#endif

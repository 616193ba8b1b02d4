/* support/sim_fault.c - what ends a connection that stood: resets, the other errnos, silence; and the clock that
 * jumps. */
#include "support/sim_private.h"

static bool reset(struct sim *sim, struct sim_conn *conn, int32_t *result)
{
    if (!sim_chance(sim, sim->config.reset)) return false;
    sim_conn_lose(conn);
    conn->error = 0; /* it is reported here */
    *result = -ECONNRESET;
    return true;
}

static bool fatal(struct sim *sim, struct sim_conn *conn, int32_t *result)
{
    static const int any[] = { -ETIMEDOUT, -EHOSTUNREACH, -ENETUNREACH, -ENETDOWN, -ECONNABORTED, -EIO, -EPIPE };
    if (!sim_chance(sim, sim->config.fatal)) return false;
    sim->counters.fatal++;
    sim_conn_lose(conn);
    conn->error = 0;
    *result = any[sim_random(sim, sizeof any / sizeof *any)];
    return true;
}

/* The kernels' keepalive has given up, on both sides. */
static void hole_ends(struct sim *sim, struct sim_event *event)
{
    struct sim_conn *conn = SIM_CONTAINER(event, struct sim_conn, hole_end);
    (void)sim;
    sim_conn_break(conn, -ETIMEDOUT);
    if (conn->peer_exists) sim_conn_tell_peer(conn, true);
}

static void hole(struct sim *sim, struct sim_conn *conn)
{
    if (conn->hole || !sim_chance(sim, sim->config.hole)) return;
    sim->counters.holes++;
    conn->hole = true;
    conn->hole_end.run = hole_ends;
    sim_event_set(sim, &conn->hole_end, sim->now_ns + sim->config.hole_ns);
}

bool sim_fault(struct sim *sim, struct sim_conn *conn, int32_t *result)
{
    hole(sim, conn);
    return reset(sim, conn, result) || fatal(sim, conn, result);
}

void sim_jump(struct sim *sim)
{
    if (!sim_chance(sim, sim->config.jump)) return;
    uint64_t ns = sim_random(sim, sim->config.jump_ns);
    sim->now_ns += ns;
    sim->counters.jumped_ns += ns;
}

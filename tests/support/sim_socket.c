/* support/sim_socket.c - see the header. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include "support/sim_private.h"
#include "support/sim_socket.h"

static void note(struct sim_socket *s, struct sim_socket_results *results, int32_t result)
{
    unsigned at = results->count++ % SIM_SOCKET_RESULTS;
    results->result[at] = result;
    results->at_ns[at] = sim_now(s->sim);
}

static bool again(int result)
{
    return result == -EINTR || result == -EAGAIN || result == -ENOBUFS;
}

static void go_on_sending(struct sim_socket *s)
{
    if (!s->out_bytes || s->ended) return;
    int rc;
    do rc = s->host->ops->submit_send(s->host, &s->socket, s->out, s->out_bytes, &s->sent);
    while (rc == -EAGAIN);
    s->sending = rc == 0;
}

static void on_sent(struct pg_completion *c, int32_t result)
{
    struct sim_socket *s = SIM_CONTAINER(c, struct sim_socket, sent);
    s->sending = false;
    note(s, &s->sends, result);
    if (result < 0 && !again(result)) {
        s->out_bytes = 0;
        return;
    }
    if (result > 0) {
        s->out += result;
        s->out_bytes -= (size_t)result;
    }
    go_on_sending(s);
}

static void keep(struct sim_socket *s, size_t n)
{
    if (s->in_bytes + n > s->in_capacity) {
        s->in_capacity = (s->in_bytes + n) * 2;
        s->in = realloc(s->in, s->in_capacity);
        if (!s->in) sim_fail("out of memory");
    }
    memcpy(s->in + s->in_bytes, s->buffer, n);
    s->in_bytes += n;
}

static void on_received(struct pg_completion *c, int32_t result)
{
    struct sim_socket *s = SIM_CONTAINER(c, struct sim_socket, received);
    s->receiving = false;
    note(s, &s->recvs, result);
    if (result > 0) keep(s, (size_t)result);
    else if (!again(result)) s->ended = true;
    while (!s->once && !s->ended && !s->receiving)
        if (sim_socket_receive(s) != -EAGAIN) break;
}

int sim_socket_open(struct sim_socket *s, struct sim *sim, int family)
{
    struct sockaddr_in tcp = { .sin_family = AF_INET, .sin_port = htons(5432) };
    struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "/model" };
    bool unix_socket = family == AF_UNIX;
    *s = (struct sim_socket){ .sim = sim, .host = sim_host(sim) };
    s->sent.complete = on_sent;
    s->received.complete = on_received;
    int rc = s->host->ops->open(s->host, &s->socket, unix_socket ? (struct sockaddr *)&local : (struct sockaddr *)&tcp,
                                unix_socket ? sizeof local : sizeof tcp);
    return rc ? rc : s->host->ops->bind(s->host, &s->socket);
}

int sim_socket_receive(struct sim_socket *s)
{
    int rc = s->host->ops->submit_recv(s->host, &s->socket, s->buffer, sizeof s->buffer, &s->received);
    if (!rc) s->receiving = true;
    return rc;
}

void sim_socket_send(struct sim_socket *s, const void *at, size_t n)
{
    s->out = at;
    s->out_bytes = n;
    go_on_sending(s);
}

void sim_socket_shutdown(struct sim_socket *s, int how)
{
    s->host->ops->shutdown(s->host, &s->socket, how);
}

void sim_socket_cancel(struct sim_socket *s, struct pg_completion *c)
{
    s->host->ops->submit_cancel(s->host, &s->socket, c);
}

void sim_settle(struct sim *sim)
{
    while (sim_step(sim)) {}
}

void sim_socket_close(struct sim_socket *s)
{
    s->once = true;
    s->out_bytes = 0;
    sim_socket_shutdown(s, SHUT_RDWR);
    while (s->sending || s->receiving)
        if (!sim_step(s->sim)) sim_fail("an operation never completes");
    s->host->ops->unbind(s->host, &s->socket);
    s->host->ops->close(s->host, &s->socket);
    free(s->in);
    s->in = NULL;
}

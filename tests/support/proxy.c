/* support/proxy.c - see the header. */
#define _GNU_SOURCE /* accept4 */
#include "support/proxy.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { LINKS = 512, BUFFER = 16384, TICK_MS = 10, CANCEL_CODE = 80877102 };
static const uint64_t MS = 1000000;

enum end { CLIENT, SERVER };

/* One direction: what was read from an end and not yet written to the other. */
struct flow {
    uint8_t bytes[BUFFER];
    size_t first, size, piece; /* piece: how many of them go next */
    uint64_t due_ns;
    bool gone;     /* it has closed its half, or is dead                */
    bool cut;      /* what it still says is dropped                     */
    bool finished; /* a FIN was passed on for the one or the other      */
};

struct link {
    int fd[2];           /* by end; -1: closed                                */
    struct flow flow[2]; /* by the end that they come from                    */
    bool used, begun, cancel, hole, orphan;
    uint64_t hole_until_ns;
};

struct proxy {
    pthread_t thread;
    pthread_mutex_t lock; /* of rates, counts, heal and over */
    struct proxy_rates rates;
    struct proxy_counts counts;
    bool heal, over;

    struct sockaddr_un server;
    int listener;
    uint16_t port;
    uint64_t random, now_ns;
    struct proxy_rates now; /* the thread's own copies, of this round */
    struct proxy_counts counted;
    struct link link[LINKS];
    struct pollfd poll_set[1 + 2 * LINKS];
};

static void die(const char *what)
{
    fprintf(stderr, "proxy: %s: %s\n", what, strerror(errno));
    fflush(NULL);
    _exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t draw(struct proxy *p, uint64_t below)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return below ? p->random % below : 0;
}
static bool chance(struct proxy *p, uint32_t per_mille) { return per_mille && draw(p, 1000) < per_mille; }

/* ---- the end of a link ---- */

static void close_end(struct link *l, enum end end)
{
    if (l->fd[end] >= 0) close(l->fd[end]);
    l->fd[end] = -1;
}

/* From here on the client may take the connection for ended, while the server's process is still there. */
static void orphan(struct proxy *p, struct link *l)
{
    if (l->orphan || l->cancel || !l->begun || l->fd[SERVER] < 0 || l->flow[SERVER].gone) return;
    l->orphan = true;
    p->counted.orphaned++;
}

/* The server sees a FIN behind what was said to it so far; until it answers that, its process is there. */
static void close_client(struct link *l)
{
    close_end(l, CLIENT);
    l->hole = false;
    l->flow[CLIENT].cut = l->flow[SERVER].cut = l->flow[SERVER].finished = true;
    l->flow[SERVER].size = 0;
}

static void reset_client(struct proxy *p, struct link *l)
{
    struct linger at_once = { .l_onoff = 1 };
    orphan(p, l);
    if (l->fd[CLIENT] >= 0) setsockopt(l->fd[CLIENT], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close_client(l);
}

static void end_if_done(struct link *l)
{
    if (l->flow[SERVER].gone && !l->flow[SERVER].size && l->flow[SERVER].finished) close_end(l, SERVER);
    if (l->fd[SERVER] < 0) {
        l->flow[CLIENT].cut = true; /* nobody listens any more */
        l->flow[CLIENT].size = 0;
        l->orphan = false;
        if (l->flow[CLIENT].gone) close_client(l);
    }
    if (l->fd[CLIENT] < 0 && l->fd[SERVER] < 0) l->used = false;
}

/* ---- bytes ---- */

/* What is on its way is lost with it. */
static void begin_hole(struct proxy *p, struct link *l)
{
    l->hole = true;
    l->flow[CLIENT].size = l->flow[SERVER].size = 0;
    l->hole_until_ns = p->now_ns + (500 + draw(p, p->now.hole_ms > 500 ? p->now.hole_ms - 500 : 1)) * MS;
    p->counted.holes++;
}

/* When and how much of what is there goes next. */
static void schedule(struct proxy *p, struct flow *f)
{
    f->piece = f->size;
    f->due_ns = p->now_ns;
    if (chance(p, p->now.delay)) {
        f->due_ns += draw(p, p->now.delay_ms * MS);
        p->counted.delays++;
    }
    if (f->size > 1 && chance(p, p->now.split)) {
        f->piece = 1 + draw(p, f->size - 1);
        p->counted.splits++;
    }
}

/* What befalls a connection with the chunk that was just read. */
static void befall(struct proxy *p, struct link *l, enum end from)
{
    if (chance(p, p->now.reset)) {
        p->counted.resets++;
        reset_client(p, l);
    } else if (chance(p, p->now.hole)) {
        begin_hole(p, l);
    } else if (chance(p, p->now.half_close)) {
        p->counted.half_closes++;
        l->flow[from].cut = true; /* behind these bytes */
        if (from == SERVER) orphan(p, l);
    }
}

static void look_for_cancel(struct link *l)
{
    const struct flow *f = &l->flow[CLIENT];
    uint32_t word[2];
    l->begun = true;
    if (f->size < sizeof word) return;
    memcpy(word, f->bytes + f->first, sizeof word);
    l->cancel = ntohl(word[1]) == CANCEL_CODE;
}

/* That end says no more, in good order or not. */
static void lose(struct link *l, enum end from, bool in_order)
{
    l->flow[from].gone = true;
    if (!in_order && from == CLIENT) close_client(l);
    if (!in_order && from == SERVER) l->flow[CLIENT].finished = true; /* it takes no FIN any more */
}

static void read_from(struct proxy *p, struct link *l, enum end from)
{
    struct flow *f = &l->flow[from];
    if (f->size) memmove(f->bytes, f->bytes + f->first, f->size);
    f->first = 0;
    uint8_t waste[BUFFER], *at = f->cut ? waste : f->bytes + f->size;
    ssize_t n = recv(l->fd[from], at, f->cut ? BUFFER : BUFFER - f->size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) lose(l, from, n == 0);
    if (n <= 0 || f->cut) return;
    bool idle = f->size == 0;
    f->size += (size_t)n;
    p->counted.bytes += (uint64_t)n;
    if (from == CLIENT && !l->begun) {
        look_for_cancel(l);
        p->counted.cancels += l->cancel;
    }
    if (idle) schedule(p, f);
    befall(p, l, from);
}

static bool is_due(const struct proxy *p, const struct flow *f) { return f->size && f->due_ns <= p->now_ns; }
static bool owes_fin(const struct flow *f) { return (f->gone || f->cut) && !f->size && !f->finished; }

static void write_to(struct proxy *p, struct link *l, enum end to)
{
    struct flow *f = &l->flow[!to];
    if (is_due(p, f)) {
        size_t most = f->piece < f->size ? f->piece : f->size;
        ssize_t n = send(l->fd[to], f->bytes + f->first, most, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) { /* that end is dead; what it has said before is still to be read */
            f->size = 0;
            f->cut = f->finished = true;
            return;
        }
        f->first += (size_t)n;
        f->size -= (size_t)n;
        if (f->size) schedule(p, f);
        if (f->size && f->due_ns == p->now_ns) f->due_ns += MS; /* a piece of its own */
    }
    if (owes_fin(f)) {
        shutdown(l->fd[to], SHUT_WR);
        f->finished = true;
    }
}

/* ---- links ---- */

static int connect_server(const struct proxy *p)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (const struct sockaddr *)&p->server, sizeof p->server) == 0) return fd;
    close(fd);
    return -1;
}

static void take_client(struct proxy *p)
{
    struct linger at_once = { .l_onoff = 1 };
    struct link *l = NULL;
    int fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return;
    for (unsigned i = 0; i < LINKS && !l; i++)
        if (!p->link[i].used) l = &p->link[i];
    int server = l && !chance(p, p->now.refuse) ? connect_server(p) : -1;
    if (server < 0) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
        p->counted.refused++;
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    memset(l, 0, sizeof *l);
    l->used = true;
    l->fd[CLIENT] = fd;
    l->fd[SERVER] = server;
    p->counted.links++;
    if (chance(p, p->now.mute)) begin_hole(p, l);
}

/* What is waited for at one end. */
static short interest(const struct proxy *p, const struct link *l, enum end end)
{
    const struct flow *in = &l->flow[end], *out = &l->flow[!end];
    if (l->fd[end] < 0 || l->hole) return 0;
    bool wants = !in->gone && (in->cut || in->size < BUFFER);
    return (short)((wants ? POLLIN : 0) | (is_due(p, out) || owes_fin(out) ? POLLOUT : 0));
}

static void serve(struct proxy *p, struct link *l, const short *seen)
{
    if (l->hole && l->hole_until_ns <= p->now_ns) reset_client(p, l);
    for (enum end end = CLIENT; end <= SERVER; end++) {
        if (seen[end] & (POLLIN | POLLHUP | POLLERR) && interest(p, l, end) & POLLIN) read_from(p, l, end);
        if (l->fd[end] >= 0 && !l->hole) write_to(p, l, end);
    }
    end_if_done(l);
}

static void count_now(struct proxy *p)
{
    p->counted.orphans = p->counted.closing = p->counted.silent = 0;
    for (unsigned i = 0; i < LINKS; i++) {
        const struct link *l = &p->link[i];
        if (!l->used || l->cancel || !l->begun) continue;
        p->counted.orphans += l->orphan;
        p->counted.silent += !l->orphan && l->hole;
        p->counted.closing += !l->orphan && l->flow[CLIENT].gone;
    }
}

/* What was done is told before anything that follows from it can happen. */
static void publish(struct proxy *p)
{
    count_now(p);
    pthread_mutex_lock(&p->lock);
    p->counts = p->counted;
    pthread_mutex_unlock(&p->lock);
}

/* And what is wanted is heard before the bytes that were said after it. */
static bool take_orders(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    bool over = p->over, heal = p->heal;
    p->heal = false;
    p->now = p->rates;
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; heal && i < LINKS; i++)
        if (p->link[i].used && p->link[i].hole) p->link[i].hole_until_ns = 0;
    return !over;
}

static int wait_ms(const struct proxy *p)
{
    uint64_t most_ns = TICK_MS * MS;
    for (unsigned i = 0; i < LINKS; i++) {
        const struct link *l = &p->link[i];
        for (enum end end = CLIENT; l->used && !l->hole && end <= SERVER; end++) {
            const struct flow *f = &l->flow[end];
            if (f->size && f->due_ns > p->now_ns && f->due_ns - p->now_ns < most_ns) most_ns = f->due_ns - p->now_ns;
        }
    }
    return (int)((most_ns + MS - 1) / MS);
}

static void *run(void *arg)
{
    struct proxy *p = arg;
    struct pollfd *poll_set = p->poll_set;
    bool more;
    do {
        publish(p);
        p->now_ns = clock_ns();
        poll_set[0] = (struct pollfd){ .fd = p->listener, .events = POLLIN };
        for (unsigned i = 0; i < LINKS; i++) {
            struct link *l = &p->link[i];
            for (enum end end = CLIENT; end <= SERVER; end++) {
                short events = l->used ? interest(p, l, end) : 0;
                poll_set[1 + 2 * i + end] = (struct pollfd){ .fd = events ? l->fd[end] : -1, .events = events };
            }
        }
        if (poll(poll_set, 1 + 2 * LINKS, wait_ms(p)) < 0 && errno != EINTR) die("poll");
        p->now_ns = clock_ns();
        more = take_orders(p);
        for (unsigned i = 0; i < LINKS; i++) {
            short seen[2] = { poll_set[1 + 2 * i].revents, poll_set[2 + 2 * i].revents };
            if (p->link[i].used) serve(p, &p->link[i], seen);
        }
        if (poll_set[0].revents) take_client(p);
    } while (more); /* until proxy_close */
    return NULL;
}

/* ---- from outside ---- */

struct proxy *proxy_open(const char *path, uint64_t seed)
{
    struct proxy *p = calloc(1, sizeof *p);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    if (!p) die("calloc");
    p->random = seed * 2 + 1;
    p->server.sun_family = AF_UNIX;
    snprintf(p->server.sun_path, sizeof p->server.sun_path, "%s", path);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&address, size) || listen(p->listener, 128) ||
        getsockname(p->listener, (struct sockaddr *)&address, &size))
        die("listen");
    p->port = ntohs(address.sin_port);
    pthread_mutex_init(&p->lock, NULL);
    if (pthread_create(&p->thread, NULL, run, p)) die("thread");
    return p;
}

uint16_t proxy_port(const struct proxy *p) { return p->port; }

void proxy_rates(struct proxy *p, const struct proxy_rates *rates)
{
    pthread_mutex_lock(&p->lock);
    p->rates = *rates;
    pthread_mutex_unlock(&p->lock);
}

void proxy_calm(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->rates = (struct proxy_rates){ 0 };
    p->heal = true;
    pthread_mutex_unlock(&p->lock);
}

struct proxy_counts proxy_counts(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    struct proxy_counts counts = p->counts;
    pthread_mutex_unlock(&p->lock);
    return counts;
}

void proxy_close(struct proxy *p)
{
    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    for (unsigned i = 0; i < LINKS; i++)
        if (p->link[i].used) close_end(&p->link[i], CLIENT), close_end(&p->link[i], SERVER);
    close(p->listener);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

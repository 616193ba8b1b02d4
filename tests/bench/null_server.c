/* The tests' own server: one epoll loop that frames the client's messages and answers each from a table of canned
 * bytes, one send per read. It understands startup and the messages of prepared selects and runs nothing, but that a row
 * has the number of the id that was bound: what is measured against it is the client. Reads of a connection are bounded
 * by its buffer; whoever sends something else is disconnected. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "bench.h"

enum { INPUT_BYTES = 65536, OUTPUT_BYTES = 131072, REPLY_MAX = 512, DIGITS = 6 };

struct client {
    int fd;
    bool started, binary; /* binary: the result that Bind asked for */
    uint32_t number;       /* of the id in Bind */
    size_t size;
    unsigned char input[INPUT_BYTES];
};

struct reply {
    const char *bytes;
    size_t size;
};
/* clang-format off */
#define REPLY(text) {(text), sizeof(text) - 1}
#define ROW_TEXT "D\0\0\0\020\0\001\0\0\0\006" /* then the number */
#define ROW_BINARY "D\0\0\0\016\0\001\0\0\0\004"
#define COLUMNS(format) "T\0\0\0\037\0\001number\0\0\0\0\0\0\0\0\0\0\027\0\004\377\377\377\377\0" format
#define COMPLETE "C\0\0\0\015SELECT 1\0"
#define READY "Z\0\0\0\005I"
#define SETTING(length, name, value) "S\0\0\0" length name "\0" value "\0"

static const struct reply welcome = REPLY("R\0\0\0\010\0\0\0\0"
    SETTING("\030", "server_version", "15.0") SETTING("\031", "client_encoding", "UTF8")
    SETTING("\031", "server_encoding", "UTF8") SETTING("\031", "integer_datetimes", "on")
    SETTING("\043", "standard_conforming_strings", "on") SETTING("\027", "DateStyle", "ISO, MDY")
    "K\0\0\0\014\0\0\0\001\0\0\0\002" READY);
static const struct reply parsed = REPLY("1\0\0\0\004"), bound = REPLY("2\0\0\0\004"), closed = REPLY("3\0\0\0\004"),
    row_text = REPLY(ROW_TEXT "000000" COMPLETE), row_binary = REPLY(ROW_BINARY "\0\0\0\0" COMPLETE),
    ready = REPLY(READY), describe_statement = REPLY("t\0\0\0\012\0\001\0\0\0\027" COLUMNS("\0")),
    describe_text = REPLY(COLUMNS("\0")), describe_binary = REPLY(COLUMNS("\001")),
    simple = REPLY(COLUMNS("\0") ROW_TEXT "000000" COMPLETE READY), none = REPLY(""), unencrypted = REPLY("N");
/* clang-format on */

/* ---- the select ---- */

/* Behind the two names and the formats of the parameters; NULL: it ends before. */
static const unsigned char *params_of(const unsigned char *body, const unsigned char *end)
{
    for (int names = 0; names < 2; names++) {
        body = body < end ? memchr(body, 0, (size_t)(end - body)) : NULL;
        if (!body) return NULL;
        body++;
    }
    if (end - body < 2) return NULL;
    size_t formats = (size_t)body[0] << 8 | body[1];
    return (size_t)(end - body) < 4 + 2 * formats ? NULL : body + 2 + 2 * formats;
}

/* Bind: whether the result is to be binary, and of which id, which is four bytes or six digits. Without a parameter there
 * is no id, and the number is 0. False: it is not understood. */
static bool take_bind(struct client *client, const unsigned char *body, size_t size)
{
    const unsigned char *end = body + size, *at = params_of(body, end);
    if (!at) return false;
    client->binary = end[-1] == 1; /* it ends with the result formats: a one there is binary */
    client->number = 0;
    if (!at[0] && !at[1]) return true;
    if (end - at < 6) return false;
    uint32_t id = 0, length = at[5];
    at += 6;
    if (end - at < (long)length || (length != sizeof id && length != DIGITS)) return false;
    for (uint32_t i = 0; i < length; i++) id = length == DIGITS ? id * 10 + at[i] - '0' : id << 8 | at[i];
    client->number = id + BENCH_NUMBER_OVER;
    return true;
}

/* The number into a row that was just written. */
static void fill_in(const struct client *client, unsigned char *row)
{
    uint32_t left = client->number, value = htonl(left);
    if (client->binary) {
        memcpy(row + sizeof ROW_BINARY - 1, &value, sizeof value);
        return;
    }
    unsigned char *digits = row + sizeof ROW_TEXT - 1;
    for (int i = DIGITS - 1; i >= 0; i--, left /= 10) digits[i] = (unsigned char)('0' + left % 10);
}

/* ---- messages ---- */

/* The reply to one whole message; NULL: this client is not understood, or has said good-bye. */
static const struct reply *answer(struct client *client, unsigned char type, const unsigned char *body, size_t size)
{
    switch (type) {
    case 'P':
        return &parsed;
    case 'B':
        return take_bind(client, body, size) ? &bound : NULL;
    case 'D':
        return size && body[0] == 'S' ? &describe_statement : client->binary ? &describe_binary : &describe_text;
    case 'E':
        return client->binary ? &row_binary : &row_text;
    case 'S':
        return &ready;
    case 'C':
        return &closed;
    case 'Q':
        return &simple;
    case 'H':
        return &none;
    default:
        return NULL;
    }
}

/* Frames the input, collects the replies. Returns the bytes consumed, or -1 to end the connection. */
static long converse(struct client *client, unsigned char *output, size_t *produced)
{
    size_t at = 0;
    *produced = 0;
    while (*produced <= OUTPUT_BYTES - REPLY_MAX) {
        size_t header = client->started ? 5 : 4;
        const unsigned char *message = client->input + at;
        uint32_t length;
        if (client->size - at < header) break;
        memcpy(&length, message + header - 4, 4);
        length = ntohl(length);
        if (length < 4 || length > INPUT_BYTES - 1) return -1;
        if (client->size - at < header - 4 + length) break;

        const struct reply *reply;
        if (client->started) {
            reply = answer(client, message[0], message + header, length - 4);
        } else if (length == 8) {
            reply = &unencrypted; /* TLS or GSS asked for */
        } else {
            client->started = true;
            reply = &welcome;
        }
        if (!reply) return -1;
        memcpy(output + *produced, reply->bytes, reply->size);
        if (reply == &row_text || reply == &row_binary) fill_in(client, output + *produced);
        *produced += reply->size;
        at += header - 4 + length;
    }
    return (long)at;
}

static bool send_all(int fd, const unsigned char *at, size_t size)
{
    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* False: the connection is over. */
static bool serve(struct client *client)
{
    static unsigned char output[OUTPUT_BYTES];
    ssize_t n = recv(client->fd, client->input + client->size, INPUT_BYTES - client->size, MSG_DONTWAIT);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (!n) return false;
    client->size += (size_t)n;

    for (;;) { /* ends: each round consumes a message or is the last */
        size_t produced;
        long consumed = converse(client, output, &produced);
        if (consumed < 0) return false;
        if (!consumed) return true;
        client->size -= (size_t)consumed;
        memmove(client->input, client->input + consumed, client->size);
        if (!send_all(client->fd, output, produced)) return false;
    }
}

int null_server_listen(struct bench_target *target)
{
    struct sockaddr_storage address;
    socklen_t size = (socklen_t)bench_address(target, &address);
    int fd = size ? socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) || listen(fd, 128))
        bench_die("null server: %s port %u: %s", target->host, target->port, strerror(errno));
    if (!bench_is_unix(target)) {
        struct sockaddr_in bound_to;
        size = sizeof bound_to;
        if (getsockname(fd, (struct sockaddr *)&bound_to, &size))
            bench_die("null server: getsockname: %s", strerror(errno));
        target->port = ntohs(bound_to.sin_port);
    }
    return fd;
}

static void welcome_client(int epoll, int listener)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client) bench_die("null server: no memory");
    client->fd = accept(listener, NULL, NULL);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    if (client->fd >= 0)
        setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); /* a Unix socket has none */
    if (client->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event)) {
        if (client->fd >= 0) close(client->fd);
        free(client);
    }
}

void null_server_run(int listener)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        bench_die("null server: epoll: %s", strerror(errno));

    for (;;) { /* until its parent ends it, or dies */
        int count = epoll_wait(epoll, events, 64, -1);
        if (count < 0 && errno != EINTR) bench_die("null server: epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client) {
                welcome_client(epoll, listener);
            } else if (!serve(client)) {
                close(client->fd);
                free(client);
            }
        }
    }
}

int null_server_start(struct bench_target *target)
{
    int listener = null_server_listen(target);
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) bench_die("fork: %s", strerror(errno));
    if (!child) null_server_run(listener);
    close(listener);
    target->pid = (unsigned)child;
    return child;
}

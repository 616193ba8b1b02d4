/* The tests' own server: one epoll loop that frames the client's messages and answers each from a table of canned
 * bytes, one send per read. It understands startup and the messages of prepared selects and runs nothing: what is
 * measured against it is the client. Reads of a connection are bounded by its buffer; whoever sends something else is
 * disconnected. */
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

enum { INPUT_BYTES = 65536, OUTPUT_BYTES = 131072, REPLY_MAX = 512 };

struct client {
    int fd;
    bool started, binary;
    size_t size;
    unsigned char input[INPUT_BYTES];
};

struct reply {
    const char *bytes;
    size_t size;
};
/* clang-format off */
#define REPLY(text) {(text), sizeof(text) - 1}
#define ANSWER_TEXT "D\0\0\0\014\0\001\0\0\0\002" "42"
#define ANSWER_BINARY "D\0\0\0\016\0\001\0\0\0\004\0\0\0\052"
#define COLUMNS(format) "T\0\0\0\041\0\001?column?\0\0\0\0\0\0\0\0\0\0\027\0\004\377\377\377\377\0" format
#define COMPLETE "C\0\0\0\015SELECT 1\0"
#define READY "Z\0\0\0\005I"
#define SETTING(length, name, value) "S\0\0\0" length name "\0" value "\0"

static const struct reply welcome = REPLY("R\0\0\0\010\0\0\0\0"
    SETTING("\030", "server_version", "15.0") SETTING("\031", "client_encoding", "UTF8")
    SETTING("\031", "server_encoding", "UTF8") SETTING("\031", "integer_datetimes", "on")
    SETTING("\043", "standard_conforming_strings", "on") SETTING("\027", "DateStyle", "ISO, MDY")
    "K\0\0\0\014\0\0\0\001\0\0\0\002" READY);
static const struct reply parsed = REPLY("1\0\0\0\004"), bound = REPLY("2\0\0\0\004"), closed = REPLY("3\0\0\0\004"),
    row_text = REPLY(ANSWER_TEXT COMPLETE), row_binary = REPLY(ANSWER_BINARY COMPLETE), ready = REPLY(READY),
    describe_statement = REPLY("t\0\0\0\006\0\0" COLUMNS("\0")), describe_text = REPLY(COLUMNS("\0")),
    describe_binary = REPLY(COLUMNS("\001")), simple = REPLY(COLUMNS("\0") ANSWER_TEXT COMPLETE READY),
    none = REPLY(""), unencrypted = REPLY("N");
/* clang-format on */

/* The reply to one whole message; NULL: this client is not understood, or has said good-bye. */
static const struct reply *answer(struct client *client, unsigned char type, const unsigned char *body, size_t size)
{
    switch (type) {
    case 'P':
        return &parsed;
    case 'B': /* ends with the result formats: a one there is binary */
        client->binary = size && body[size - 1] == 1;
        return &bound;
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

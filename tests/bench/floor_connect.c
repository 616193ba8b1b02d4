/* The floor's beginning: a connection by hand, without a client library. Startup under trust authentication, one Parse,
 * and one execution whose answer is checked and measured, so that afterwards counting bytes is checking answers.
 * Blocking, with a time limit on the socket; never part of a measurement. */
#include <errno.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "bench.h"

#define STATEMENT "s1"

struct bytes {
    unsigned char at[512];
    size_t size, message; /* message: offset of the length field of the message being written */
};

static void put(struct bytes *out, const void *at, size_t size)
{
    if (size > sizeof out->at - out->size) bench_die("floor: the message is too long");
    memcpy(out->at + out->size, at, size);
    out->size += size;
}
static void put_text(struct bytes *out, const char *text)
{
    put(out, text, strlen(text) + 1);
}
static void put_i16(struct bytes *out, unsigned value)
{
    put(out, &(uint16_t){htons((uint16_t)value)}, 2);
}
static void put_i32(struct bytes *out, uint32_t value)
{
    put(out, &(uint32_t){htonl(value)}, 4);
}

static void begin(struct bytes *out, char type)
{
    if (type) put(out, &type, 1);
    out->message = out->size;
    put_i32(out, 0);
}
static void end(struct bytes *out)
{
    uint32_t length = htonl((uint32_t)(out->size - out->message));
    memcpy(out->at + out->message, &length, 4);
}

/* Bind (one parameter, binary as the result is), Execute (all rows), Sync: what a driver sends once it knows the columns. */
static void put_request(struct bytes *out)
{
    begin(out, 'B');
    put_text(out, "");
    put_text(out, STATEMENT);
    put_i16(out, 1);
    put_i16(out, 1);
    put_i16(out, 1);
    put_i32(out, 4);
    put_i32(out, (uint32_t)BENCH_ID_FIRST);
    put_i16(out, 1);
    put_i16(out, 1);
    end(out);
    begin(out, 'E');
    put_text(out, "");
    put_i32(out, 0);
    end(out);
    begin(out, 'S');
    end(out);
}

size_t floor_request(unsigned char *out)
{
    struct bytes request = {.size = 0};
    put_request(&request);
    if (request.size > FLOOR_REQUEST_MAX) bench_die("floor: the request is too long");
    memcpy(out, request.at, request.size);
    return request.size;
}

static void send_all(int fd, const struct bytes *out)
{
    if (send(fd, out->at, out->size, MSG_NOSIGNAL) != (ssize_t)out->size) bench_die("floor: send: %s", strerror(errno));
}

static void read_exactly(int fd, unsigned char *at, size_t size)
{
    while (size) {
        ssize_t n = recv(fd, at, size, 0);
        if (n <= 0) bench_die("floor: the server went away: %s", n ? strerror(errno) : "end of file");
        at += n;
        size -= (size_t)n;
    }
}

/* Reads messages up to and with ReadyForQuery. Returns their bytes; `row` gets the last DataRow's first value, -1 if
 * none. */
static size_t read_until_ready(int fd, int64_t *row)
{
    unsigned char header[5], body[4096];
    size_t total = 0;
    *row = -1;

    for (unsigned messages = 0; messages < 1000; messages++) {
        uint32_t length;
        read_exactly(fd, header, sizeof header);
        memcpy(&length, header + 1, 4);
        length = ntohl(length);
        if (length < 4 || length - 4 > sizeof body) bench_die("floor: a message of %u bytes", length);
        read_exactly(fd, body, length - 4);
        total += 1 + length;
        switch (header[0]) {
        case 'E':
            bench_die("floor: the server refused the startup or the statement");
        case 'R':
            if (length != 8 || memcmp(body, "\0\0\0", 4))
                bench_die("floor: the server wants a password, the floor has none");
            break;
        case 'D':
            if (length == 14 && !memcmp(body, "\0\1\0\0\0\4", 6)) {
                uint32_t value;
                memcpy(&value, body + 6, 4);
                *row = ntohl(value);
            }
            break;
        case 'Z':
            return total;
        }
    }
    bench_die("floor: no ReadyForQuery");
}

static int open_socket(const struct bench_target *target)
{
    struct sockaddr_storage address;
    struct timeval limit = {.tv_sec = 10};
    size_t size = bench_address(target, &address);
    if (!size) bench_die("floor: %s is neither a folder nor an address", target->host);

    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) bench_die("floor: socket: %s", strerror(errno));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit))
        bench_die("floor: setsockopt: %s", strerror(errno));
    if (!bench_is_unix(target) && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)))
        bench_die("floor: TCP_NODELAY: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&address, (socklen_t)size))
        bench_die("floor: %s port %u: %s", target->host, target->port, strerror(errno));
    return fd;
}

struct floor_session floor_connect(const struct bench_target *target)
{
    struct floor_session session = {.fd = open_socket(target)};
    struct bytes startup = {.size = 0}, prepare = {.size = 0}, request = {.size = 0};
    int64_t row;

    begin(&startup, 0);
    put_i32(&startup, 3 << 16);
    put_text(&startup, "user");
    put_text(&startup, target->user);
    put_text(&startup, "database");
    put_text(&startup, target->database);
    put(&startup, "", 1);
    end(&startup);
    send_all(session.fd, &startup);
    read_until_ready(session.fd, &row);

    begin(&prepare, 'P');
    put_text(&prepare, STATEMENT);
    put_text(&prepare, BENCH_SQL);
    put_i16(&prepare, 0);
    end(&prepare);
    begin(&prepare, 'S');
    end(&prepare);
    send_all(session.fd, &prepare);
    read_until_ready(session.fd, &row);

    put_request(&request);
    send_all(session.fd, &request);
    session.request_bytes = request.size;
    session.reply_bytes = read_until_ready(session.fd, &row);
    if (row != bench_number(BENCH_ID_FIRST)) bench_die("floor: the answer is not %d", bench_number(BENCH_ID_FIRST));
    return session;
}

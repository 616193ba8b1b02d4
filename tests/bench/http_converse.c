/* The benchmark's part http: a client of its own, which has a fixed conversation with a server, so that what two
 * servers answer can be compared. Knows nothing of who they are, and of time only that it is bounded. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http_part.h"

/* More requests at once than there are connections to PostgreSQL, so that some wait. */
enum { CONNECTIONS = 48, REQUESTS = 8, TARGET_BYTES = 64, ANSWER_SECONDS = 10 };

/* What the first connection asks: every route that can be compared, and what they refuse. */
static const char *const first_targets[REQUESTS] = {
    "/", "/sum", "/item/7", "/item/1000", "/item/999999999", "/item/x", "/item/", "/nothing",
};

static void name_target(char out[TARGET_BYTES], int connection, int request)
{
    if (connection == 0)
        snprintf(out, TARGET_BYTES, "%s", first_targets[request]);
    else
        snprintf(out, TARGET_BYTES, "/item/%d", connection * REQUESTS + request);
}

static int connect_to(unsigned port)
{
    struct timeval limit = {.tv_sec = ANSWER_SECONDS};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) &&
        !connect(fd, (struct sockaddr *)&address, sizeof address))
        return fd;
    if (fd >= 0) close(fd);
    return -1;
}

static bool send_requests(int fd, int connection)
{
    char text[REQUESTS * (TARGET_BYTES + 64)], target[TARGET_BYTES];
    int used = 0;
    for (int i = 0; i < REQUESTS; i++) {
        name_target(target, connection, i);
        used += snprintf(text + used, sizeof text - (size_t)used, "GET %s HTTP/1.1\r\nHost: bench\r\n%s\r\n", target,
                         i + 1 < REQUESTS ? "" : "Connection: close\r\n");
    }
    return send(fd, text, (size_t)used, MSG_NOSIGNAL) == used;
}

/* The bytes up to the server's end; 0: none, or too late or too many. */
static size_t receive(int fd, char *at, size_t room)
{
    size_t got = 0;
    while (got < room) {
        ssize_t n = recv(fd, at + got, room - got, 0);
        if (n < 0) return 0;
        if (n == 0) return got;
        got += (size_t)n;
    }
    return 0;
}

static void blank_dates(char *text)
{
    static const char header[] = "\r\nDate: ";
    for (char *at = text; (at = strstr(at, header));)
        for (at += strlen(header); *at && *at != '\r'; at++) *at = '-';
}

static unsigned count_answers(const char *text)
{
    unsigned count = 0;
    for (; (text = strstr(text, "HTTP/1.1 ")); text++) count++;
    return count;
}

size_t http_converse(unsigned port, char answers[HTTP_ANSWERS_BYTES])
{
    int fds[CONNECTIONS];
    size_t used = 0;
    bool good = true;
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = connect_to(port);
        good = good && fds[i] >= 0 && send_requests(fds[i], i);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        size_t got = good ? receive(fds[i], answers + used, HTTP_ANSWERS_BYTES - 1 - used) : 0;
        good = good && got > 0;
        used += got;
        if (fds[i] >= 0) close(fds[i]);
    }
    answers[used] = '\0';
    blank_dates(answers);
    return good && count_answers(answers) == CONNECTIONS * REQUESTS ? used : 0;
}

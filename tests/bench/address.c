/* Where a server of the benchmark listens: a folder names its Unix socket, anything else is an IPv4 address. */
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "bench.h"

bool bench_is_unix(const struct bench_target *target)
{
    return target->host[0] == '/';
}

size_t bench_address(const struct bench_target *target, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (bench_is_unix(target)) {
        struct sockaddr_un *address = (struct sockaddr_un *)out;
        address->sun_family = AF_UNIX;
        int length =
            snprintf(address->sun_path, sizeof address->sun_path, "%s/.s.PGSQL.%u", target->host, target->port);
        return length > 0 && (size_t)length < sizeof address->sun_path ? sizeof *address : 0;
    }
    struct sockaddr_in *address = (struct sockaddr_in *)out;
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)target->port);
    return inet_pton(AF_INET, target->host, &address->sin_addr) == 1 ? sizeof *address : 0;
}

/* conn/peer.c - requirepeer: who listens at the other end of a Unix socket, asked of the kernel before a byte is sent
 * there. Owns nothing. Source: unix(7), SO_PEERCRED; PostgreSQL, "requirepeer". */
#define _GNU_SOURCE /* struct ucred */
#include <pwd.h>
#include <stdio.h>
#include <sys/socket.h>
#include "conn/internal.h"

enum { NAME = 64 };
static const uid_t nobody_known = (uid_t)-1;

/* As the system has them; only for messages, so that a lookup that takes its time is paid where something is wrong. */
static void name_user(uid_t user, char name[NAME])
{
    char buffer[1024];
    struct passwd entry, *found = NULL;
    if (user == nobody_known) snprintf(name, NAME, "somebody unknown");
    else if (!getpwuid_r(user, &entry, buffer, sizeof buffer, &found) && found)
        snprintf(name, NAME, "%s", entry.pw_name);
    else snprintf(name, NAME, "user %ju", (uintmax_t)user);
}

int rp_conn_check_peer(const struct rp_conn_config *config, const struct pg_socket *socket, struct pg_error *why)
{
    struct ucred peer = { .uid = nobody_known };
    socklen_t size = sizeof peer;
    char name[NAME];
    if (!config->requirepeer || !(socket->flags & PG_SOCKET_UNIX)) return 0;
    if (getsockopt(socket->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size)) peer.uid = nobody_known;
    if (peer.uid == config->peer && peer.uid != nobody_known) return 0;
    name_user(peer.uid, name);
    return rp_error_set(why, PG_E_CONFIG, "requirepeer: the server must run as %s, and runs as %s", config->requirepeer,
                        name);
}

/* config/passfile.c - the password file: for each host that has no password by other means the first line that fits it.
 * Source: PostgreSQL, "The Password File". Owns the block in which the passwords of hosts stand; the file's own memory
 * is wiped before the function returns.
 *
 *      host:port:database:user:password    each but the last may be *; a backslash takes the next character as it is
 *
 * Invariant: a password goes to the host whose line it stands in, and to no other one. */
#include "config/piece.h"
#include "wire/check.h"
#include <errno.h>
#include <stdio.h>

/* What stands behind the field that matches; NULL: it does not. As in libpq a ":" ends the field only where the value
 * ends, too: so the colons of an IPv6 address need no backslash. */
static const char *match(const char *at, const char *value)
{
    if (at[0] == '*' && at[1] == ':') return at + 2;
    for (;; at++, value++) {
        bool escaped = *at == '\\';
        if (escaped) at++;
        if (*at == ':' && !escaped && !*value) return at + 1;
        if (!*at || *at != *value) return NULL;
    }
}

static const char *match_line(const char *line, const char *const fields[4])
{
    if (*line == '#') return NULL;
    for (size_t i = 0; i < 4 && line; i++) line = match(line, fields[i]);
    return line;
}

/* Up to the next colon; out NULL: only its size without a NUL. */
static size_t unescape(const char *at, char *out)
{
    size_t size = 0;
    for (; *at && *at != ':'; at++, size++) {
        if (*at == '\\' && at[1]) at++;
        if (out) out[size] = *at;
    }
    if (out) out[size] = '\0';
    return size;
}

static void strip(char *line)
{
    size_t size = strlen(line);
    while (size > 0 && (line[size - 1] == '\r' || line[size - 1] == '\n')) line[--size] = '\0';
}

/* Where in the file each host's password stands; `*bytes`: for all of them together. */
static void find(const struct rp_conninfo *c, char *text, const char *found[RP_HOSTS_MAX], size_t *bytes)
{
    char *line;
    *bytes = 0;
    while (rp_file_line(&text, &line)) {
        strip(line);
        for (uint32_t i = 0; i < c->nhosts; i++) {
            char port[8];
            const char *name = c->host[i].name;
            if (strcmp(name, RP_DEFAULT_SOCKETS) == 0) name = "localhost";
            snprintf(port, sizeof port, "%u", c->host[i].port);
            const char *const fields[4] = { name, port, c->dbname, c->user };
            if (!found[i] && (found[i] = match_line(line, fields))) *bytes += unescape(found[i], NULL) + 1;
        }
    }
}

static int keep(struct rp_conninfo *c, const char *const found[RP_HOSTS_MAX], size_t bytes,
                const struct rp_memory *memory)
{
    if (bytes == 0) return 0;
    c->secrets = memory->allocate(memory->arg, bytes);
    if (!c->secrets) return -ENOMEM;
    c->secrets_size = bytes;
    char *end = c->secrets;
    for (uint32_t i = 0; i < c->nhosts; i++) {
        if (!found[i]) continue;
        size_t size = unescape(found[i], end);
        if (size) c->host[i].password = end; /* an empty one is none, and no later line has another */
        end += size + 1;
    }
    RP_ASSERT(end == c->secrets + c->secrets_size);
    return 0;
}

int rp_passfile_apply(struct rp_conninfo *c, const struct rp_memory *memory)
{
    char home[1024];
    const char *path = c->passfile, *found[RP_HOSTS_MAX] = { NULL };
    struct rp_file file;
    size_t bytes;
    if (c->password) return 0;
    if (!path && !rp_environment_home(home, sizeof home, ".pgpass")) return 0;
    if (!path) path = home;
    enum rp_file_fault fault = rp_file_read(&file, path, true, memory);
    if (fault == RP_FILE_NO_MEMORY) return -ENOMEM;
    if (fault == RP_FILE_ABSENT && !c->passfile) return 0;
    if (fault) {
        snprintf(c->passfile_fault, sizeof c->passfile_fault, "%s", rp_file_fault_text(fault));
        return 0;
    }
    find(c, file.at, found, &bytes);
    int rc = keep(c, found, bytes, memory);
    rp_file_close(&file, memory);
    return rc;
}

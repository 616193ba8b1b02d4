/* config/service.c - a named service: the options of its section in a file, for what the string does not say. Source:
 * PostgreSQL, "The Connection Service File". Like libpq it looks into ~/.pg_service.conf (or PGSERVICEFILE), and if the
 * section is not there into pg_service.conf of the system's folder (or PGSYSCONFDIR). LDAP is not asked. Owns nothing:
 * the values stay in the file's memory, which is the caller's to close. */
#include "config/piece.h"
#include "wire/error.h"
#include <errno.h>
#include <stdio.h>

#ifndef RP_SYSCONFDIR
#define RP_SYSCONFDIR "/etc/postgresql-common"
#endif

enum { PATH_MOST = 1024, NAME_MOST = 256 };

struct search {
    struct rp_pieces *pieces;
    const struct rp_memory *memory;
    struct pg_error *error;
    const char *service;
    const char *path; /* of the file that is looked at */
    bool found;
};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static char *trim(char *line)
{
    size_t size = strlen(line);
    while (size > 0 && is_space(line[size - 1])) line[--size] = '\0';
    while (is_space(*line)) line++;
    return line;
}

static bool is_header_of(const char *line, const char *service)
{
    size_t size = strlen(service);
    return strncmp(line + 1, service, size) == 0 && line[1 + size] == ']';
}

/* name=value, nothing escaped and nothing around the "=". The first of two wins, and the string over both. */
static int take(struct search *s, const char *line, unsigned number)
{
    const char *equals = strchr(line, '='), *fault = NULL;
    int keyword = equals ? rp_keyword_find(line, (size_t)(equals - line)) : -1;
    if (strncmp(line, "ldap", 4) == 0) fault = "LDAP is not there yet";
    else if (!equals) fault = "missing \"=\" after an option's name";
    else if (keyword < 0) fault = "unknown option";
    else if (keyword == RP_KEY_SERVICE) fault = "a service cannot name another one";
    if (fault) return rp_error_set(s->error, PG_E_CONFIG, "service: %s, line %u: %s", s->path, number, fault);
    if (rp_piece_absent(s->pieces, keyword)) s->pieces->of[keyword] = rp_piece_of(equals + 1, RP_FROM_SERVICE);
    return 0;
}

static int read_section(struct search *s, char *text)
{
    char *line;
    int rc = 0;
    for (unsigned number = 1; !rc && rp_file_line(&text, &line); number++) {
        line = trim(line);
        if (!*line || *line == '#') continue;
        if (*line != '[') {
            if (s->found) rc = take(s, line, number);
        } else {
            if (s->found) break;
            s->found = is_header_of(line, s->service);
        }
    }
    return rc;
}

/* `must`: it was asked for by name. */
static int search_file(struct search *s, const char *path, bool must, struct rp_file *file)
{
    s->path = path;
    enum rp_file_fault fault = rp_file_read(file, path, false, s->memory);
    if (fault == RP_FILE_ABSENT && !must) return 0;
    if (fault == RP_FILE_NO_MEMORY) return rp_error_set(s->error, -ENOMEM, "no memory for the service file");
    if (fault)
        return rp_error_set(s->error, PG_E_CONFIG, "service: the file %s %s", path, rp_file_fault_text(fault));
    int rc = read_section(s, file->at);
    if (!s->found) rp_file_close(file, s->memory);
    return rc;
}

int rp_service_apply(struct rp_pieces *pieces, struct rp_file *file, const struct rp_memory *memory,
                     struct pg_error *error)
{
    char name[NAME_MOST], own[PATH_MOST] = "", shared[PATH_MOST];
    const char *variable = rp_environment("PGSERVICE"), *asked = rp_environment("PGSERVICEFILE");
    struct rp_piece piece = pieces->of[RP_KEY_SERVICE];
    if (rp_piece_absent(pieces, RP_KEY_SERVICE) && variable) piece = rp_piece_of(variable, RP_FROM_ENVIRONMENT);
    if (piece.size == 0) return 0;
    if (!rp_piece_copy(piece, name, sizeof name))
        return rp_keyword_refuse(pieces, RP_KEY_SERVICE, error, ": a name of %d bytes at the most", NAME_MOST - 1);

    struct search s = { .pieces = pieces, .memory = memory, .error = error, .service = name };
    if (asked) snprintf(own, sizeof own, "%s", asked);
    else if (!rp_environment_home(own, sizeof own, ".pg_service.conf")) own[0] = '\0';
    int rc = asked || *own ? search_file(&s, own, asked != NULL, file) : 0;
    if (rc || s.found) return rc;
    const char *folder = rp_environment("PGSYSCONFDIR");
    snprintf(shared, sizeof shared, "%s/pg_service.conf", folder ? folder : RP_SYSCONFDIR);
    rc = search_file(&s, shared, false, file);
    if (rc || s.found) return rc;
    return rp_error_set(error, PG_E_CONFIG, "service: its section is neither in %s nor in %s",
                        *own ? own : "a file of one's own", shared);
}

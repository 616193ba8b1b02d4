/* config/hosts.c - the lists host, hostaddr and port: elements checked, counted against each other, cut apart, by
 * libpq's rules (PostgreSQL, "Specifying Multiple Hosts"): as many addresses as names, as many ports or one for all, an
 * empty element is the default. Owns nothing; knows no keyword but these three. */
#include "config/piece.h"
#include "wire/check.h"
#include "wire/error.h"
#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

enum { DEFAULT_PORT = 5432 };

/* ---- elements ---- */

struct element {
    char text[128]; /* "?" if it is longer: nothing that is looked at is that long */
    size_t size;    /* of the whole */
    char first;
};

static uint32_t count(struct rp_piece list)
{
    uint32_t n = list.size > 0;
    char c;
    while (rp_piece_next(&list, &c)) n += c == ',';
    return n;
}

/* What stands before the next comma or the end. */
static void take(struct rp_piece *list, struct element *e)
{
    char c;
    e->size = 0;
    e->first = '\0';
    while (rp_piece_next(list, &c) && c != ',') {
        if (e->size == 0) e->first = c;
        if (e->size < sizeof e->text - 1) e->text[e->size] = c;
        e->size++;
    }
    if (e->size < sizeof e->text) e->text[e->size] = '\0';
    else strcpy(e->text, "?");
}

/* ---- one check for each list ---- */

static int check_address(const struct rp_pieces *p, const char *value, struct pg_error *error)
{
    struct in6_addr address;
    char bare[128];
    size_t size = strcspn(value, "%"); /* the scope of a link-local address */
    if (!*value || inet_pton(AF_INET, value, &address) == 1) return 0;
    memcpy(bare, value, size);
    bare[size] = '\0';
    if (inet_pton(AF_INET6, bare, &address) == 1) return 0;
    return rp_keyword_refuse(p, RP_KEY_HOSTADDR, error, ": not a numeric address");
}

static int check_port(const struct rp_pieces *p, const char *value, uint16_t *port, struct pg_error *error)
{
    int64_t n = 0;
    *port = DEFAULT_PORT;
    if (!*value) return 0;
    enum rp_number rc = rp_number_integer(value, &n);
    if (rc == RP_NUMBER_GARBAGE) return rp_keyword_refuse(p, RP_KEY_PORT, error, ": not a number");
    if (rc == RP_NUMBER_RANGE || n < 1 || n > UINT16_MAX)
        return rp_keyword_refuse(p, RP_KEY_PORT, error, ": must be 1 to 65535");
    *port = (uint16_t)n;
    return 0;
}

/* Nothing that shows a URI cut in the wrong place. */
static int check_names(const struct rp_pieces *p, struct pg_error *error)
{
    struct rp_piece list = p->of[RP_KEY_HOST];
    char c, first = '\0', before = ',';
    for (; rp_piece_next(&list, &c); before = c) {
        if (before == ',') first = c;
        else if (c == '@' && first != '/' && first != '@')
            return rp_keyword_refuse(p, RP_KEY_HOST, error,
                                     ": \"@\" in a name; in a URI those of user and password are percent-encoded");
    }
    return 0;
}

static int check_socket(const struct rp_pieces *p, const struct element *name, uint16_t port, struct pg_error *error)
{
    size_t file = sizeof ".s.PGSQL.";
    for (unsigned rest = port; rest > 0; rest /= 10) file++;
    size_t most = sizeof ((struct sockaddr_un *)0)->sun_path - 1 - file;
    if (name->size <= most) return 0;
    return rp_keyword_refuse(p, RP_KEY_HOST, error, ": a socket's directory of %zu bytes, %zu at the most", name->size,
                             most);
}

/* ---- all of them ---- */

static int check_counts(const struct rp_pieces *p, uint32_t names, uint32_t addresses, uint32_t ports,
                        struct pg_error *error)
{
    uint32_t n = addresses ? addresses : names ? names : 1;
    if (n > RP_HOSTS_MAX)
        return rp_keyword_refuse(p, addresses ? RP_KEY_HOSTADDR : RP_KEY_HOST, error, ": %u hosts, %d at the most", n,
                                 RP_HOSTS_MAX);
    if (names && names != n)
        return rp_keyword_refuse(p, RP_KEY_HOST, error, ": %u in the list do not match %u of hostaddr", names, n);
    if (ports > 1 && ports != n)
        return rp_keyword_refuse(p, RP_KEY_PORT, error, ": %u in the list do not match %u host%s", ports, n,
                                 n > 1 ? "s" : "");
    return 0;
}

struct lists {
    const struct rp_pieces *pieces;
    struct rp_piece names, addresses, ports;
    uint32_t nports;
    struct element name, address, port; /* of the host that is looked at; one port is everybody's */
};

static int apply_host(struct lists *l, uint32_t i, struct rp_conninfo *out, struct pg_error *error)
{
    uint16_t *port = &out->host[i].port;
    take(&l->names, &l->name);
    take(&l->addresses, &l->address);
    if (i == 0 || l->nports > 1) take(&l->ports, &l->port);
    int rc = check_address(l->pieces, l->address.text, error);
    if (!rc) rc = check_port(l->pieces, l->port.text, port, error);
    if (l->address.size || (l->name.size && l->name.first != '/' && l->name.first != '@')) return rc;
    out->sockets = true;
    return rc ? rc : check_socket(l->pieces, &l->name, *port, error);
}

int rp_hosts_apply(const struct rp_pieces *pieces, struct rp_conninfo *out, struct pg_error *error)
{
    struct lists l = { .pieces = pieces, .names = pieces->of[RP_KEY_HOST], .addresses = pieces->of[RP_KEY_HOSTADDR],
                       .ports = pieces->of[RP_KEY_PORT] };
    uint32_t names = count(l.names), addresses = count(l.addresses);
    l.nports = count(l.ports);
    int rc = check_names(pieces, error);
    if (!rc) rc = check_counts(pieces, names, addresses, l.nports, error);
    if (!rc) out->nhosts = addresses ? addresses : names ? names : 1;
    for (uint32_t i = 0; i < out->nhosts && !rc; i++) rc = apply_host(&l, i, out, error);
    explicit_bzero(&l, sizeof l); /* what a slip of the pen made of a password */
    return rc;
}

/* Ends the element at `*rest` where its comma stands; NULL: absent or empty. */
static const char *cut(char **rest)
{
    char *element = *rest;
    if (!element) return NULL;
    char *comma = strchr(element, ',');
    if (comma) *comma = '\0';
    *rest = comma ? comma + 1 : NULL;
    return *element ? element : NULL;
}

void rp_hosts_cut(struct rp_conninfo *c)
{
    char *names = c->hosts ? c->storage + (c->hosts - c->storage) : NULL;
    char *addresses = c->hostaddrs ? c->storage + (c->hostaddrs - c->storage) : NULL;
    for (uint32_t i = 0; i < c->nhosts; i++) {
        const char *name = cut(&names);
        c->host[i].hostaddr = cut(&addresses);
        c->host[i].name = name ? name : c->host[i].hostaddr ? c->host[i].hostaddr : RP_DEFAULT_SOCKETS;
    }
}

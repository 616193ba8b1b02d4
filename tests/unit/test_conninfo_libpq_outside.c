/* unit/test_conninfo_libpq_outside.c - libpq as the oracle of what stands outside of the string: environment, service
 * file and password file, all drawn from a seed. libpq is made to use them by a connect to where nobody listens; what
 * it used then must be what is read here, each host's password included. And what it says to a server that does
 * listen. */
#ifdef RINGPG_TEST_LIBPQ
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "libpq.h"

static char folder[] = "/tmp/ringpg-outside-XXXXXX";
static char said[16384]; /* everything of one round, for messages */

static void write_file(const char *name, const struct text *t, mode_t mode)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, t->at, t->size), (ssize_t)t->size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    snprintf(said + strlen(said), sizeof said - strlen(said), "\n--- %s (%o)\n%s", name, mode, t->at);
}

static void forget_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

/* ---- what is drawn ---- */

/* Nobody listens there, and that is known without asking a name server. */
static const char *const places[] = { "/nonexistent/a", "/nonexistent/b c", "@nothing-here", "" };
static const char *const users[] = { "ann", "b:b", "c\\c", "*", "", "d'd" };
static const char *const passwords[] = { "pw", "p:w", "p\\w", "x y", "", "#", "\\", "\xc3\xa4" };
static const char *const ports[] = { "1", "2", "3" };
static const struct { const char *name, *variable, *values[4]; } drawn[] = {
    { "user", "PGUSER", { "ann", "b:b", "", "c\\c" } },
    { "dbname", "PGDATABASE", { "d", "d:d", "", "*" } },
    { "password", "PGPASSWORD", { "", "secret", "x y", "p\\w" } },
    { "options", "PGOPTIONS", { "-cgeqo=off", "", "-c a=b", "x" } },
    { "application_name", "PGAPPNAME", { "app", "", "a b", "x" } },
    { "fallback_application_name", NULL, { "fall", "", "back", "y" } },
    { "client_encoding", "PGCLIENTENCODING", { "UTF8", "LATIN1", "", "SQL_ASCII" } },
    { "connect_timeout", "PGCONNECT_TIMEOUT", { "0", "1", "5", "30" } },
    { "sslmode", "PGSSLMODE", { "disable", "prefer", "require", "maybe" } },
    { "sslcert", "PGSSLCERT", { "/c", "", "/d", "/e" } },
    { "sslkey", "PGSSLKEY", { "/k", "", "/l", "/m" } },
    { "sslrootcert", "PGSSLROOTCERT", { "/r", "", "/s", "/t" } },
    { "sslcrl", "PGSSLCRL", { "/l", "", "/m", "/n" } },
    { "sslcrldir", "PGSSLCRLDIR", { "/f", "", "/g", "/h" } },
    { "sslsni", "PGSSLSNI", { "0", "1", "0", "1" } },
    { "ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", { "TLSv1", "TLSv1.2", "tlsv1.3", "SSLv3" } },
    { "ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", { "TLSv1.1", "TLSv1.2", "TLSv1.3", "TLSV1.3" } },
    { "channel_binding", "PGCHANNELBINDING", { "disable", "prefer", "require", "never" } },
    { "gssencmode", "PGGSSENCMODE", { "disable", "prefer", "disable", "x" } },
    { "krbsrvname", "PGKRBSRVNAME", { "postgres", "x", "", "y" } },
    { "requirepeer", "PGREQUIREPEER", { "root", "", "daemon", "root" } },
    { "target_session_attrs", "PGTARGETSESSIONATTRS", { "any", "standby", "read-write", "master" } },
};
/* The last value of some is wrong; that is drawn seldom, or nothing else would be seen. */
static const char *draw(size_t i) { return drawn[i].values[any(30) ? any(3) : 3]; }

/* A list of hosts and one of ports, as long or with one element; of a single host also an address. */
static void draw_hosts(char hosts[200], char addresses[40], char numbers[40])
{
    uint32_t n = 1 + any(3);
    hosts[0] = addresses[0] = numbers[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i) strcat(hosts, ",");
        strcat(hosts, PICK(places));
    }
    for (uint32_t i = 0, m = any(2) ? 1 : n; i < m; i++) {
        if (i) strcat(numbers, ",");
        strcat(numbers, PICK(ports));
    }
    if (n > 1 || any(3)) return;
    strcpy(addresses, "127.0.0.1");
    if (any(2)) strcpy(hosts, any(2) ? "db.example" : "");
}

static void put_option(struct text *t, const char *name, const char *value)
{
    put(t, name);
    put(t, "='");
    for (; *value; value++) put(t, *value == '\'' ? "\\'" : *value == '\\' ? "\\\\" : (char[2]){ *value, 0 });
    put(t, "' ");
}

/* Each value goes to one of the three sources, or to several, or to none. */
struct round { struct text string, section; };
static void set_value(struct round *r, const char *name, const char *variable, const char *values[3])
{
    if (any(3) == 0) put_option(&r->string, name, values[0]);
    if (any(4) == 0) put(&r->section, name), put(&r->section, "="), put(&r->section, values[1]), put(&r->section, "\n");
    if (any(4) == 0 && variable) {
        setenv(variable, values[2], 1);
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s=%s\n", variable, values[2]);
    }
}

static void draw_all_hosts(struct round *r)
{
    char hosts[3][200], addresses[3][40], numbers[3][40];
    for (int i = 0; i < 3; i++) draw_hosts(hosts[i], addresses[i], numbers[i]);
    int from = (int)any(3); /* lists that belong together come from one source, ports at least from there */
    if (from == 0) put_option(&r->string, "host", hosts[0]), put_option(&r->string, "port", numbers[0]);
    if (from == 0 && addresses[0][0]) put_option(&r->string, "hostaddr", addresses[0]);
    if (from <= 1) {
        put(&r->section, "host="), put(&r->section, hosts[1]), put(&r->section, "\nport=");
        put(&r->section, numbers[1]), put(&r->section, "\n");
        if (addresses[1][0]) put(&r->section, "hostaddr="), put(&r->section, addresses[1]), put(&r->section, "\n");
    }
    if (addresses[2][0] && from != 2) strcpy(hosts[2], places[0]); /* it may be used without its address */
    setenv("PGHOST", hosts[2], 1);
    setenv("PGPORT", numbers[2], 1);
    if (addresses[2][0] && from == 2) setenv("PGHOSTADDR", addresses[2], 1);
    snprintf(said + strlen(said), sizeof said - strlen(said), "PGHOST=%s\nPGHOSTADDR=%s\nPGPORT=%s\n", hosts[2],
             getenv("PGHOSTADDR") ? addresses[2] : "", numbers[2]);
}

static void draw_service(struct round *r)
{
    static const char *const noise[] = { "# host=no\n", "\n", "  \t\n", "[other]\nuser=other\nhost=/other\n", "[s\n" };
    struct text file = { .size = 0 }, none = { .size = 0 };
    char path[128];
    uint32_t where = any(5);
    for (uint32_t n = any(3); n > 0; n--) put(&file, PICK(noise));
    put(&file, any(8) ? "[s]\n" : any(2) ? "  [s] # mine\n" : "[t]\n");
    put(&file, r->section.at);
    if (any(15) == 0) put(&file, any(2) ? "nonsense\n" : any(2) ? "hots=x\n" : "service=t\n");
    if (any(2)) put(&file, "\r\n   user=late\n");
    if (any(3) == 0) put(&file, "[next]\nport=9\n");
    if (any(4)) put_option(&r->string, "service", "s");
    else if (any(2)) setenv("PGSERVICE", "s", 1);
    put(&none, "[none]\nuser=nobody\n");
    forget_file(".pg_service.conf"), forget_file("pg_service.conf");
    if (where == 0) write_file("elsewhere.conf", &file, 0644);
    if (where == 1) write_file(".pg_service.conf", &file, 0644);
    if (where >= 2) write_file("pg_service.conf", &file, 0644);
    if (where == 3) write_file(".pg_service.conf", &none, 0644);
    snprintf(path, sizeof path, "%s/elsewhere.conf", folder);
    if (where == 0) setenv("PGSERVICEFILE", path, 1);
    setenv("PGSYSCONFDIR", folder, 1);
}

/* A field as it is, escaped, or not as it should be. */
static void put_field(struct text *t, const char *value, uint32_t how)
{
    for (; *value; value++) {
        bool must = *value == ':' || *value == '\\';
        if (how == 0 ? must : how == 1 && any(4) == 0) put(t, "\\");
        put(t, (char[2]){ *value, 0 });
    }
}

static void draw_passfile(struct round *r)
{
    static const char *const hosts[] = {
        "localhost", "/nonexistent/a", "/nonexistent/b c", "@nothing-here", "db.example", "127.0.0.1", "*", "*", "*"
    };
    static const char *const dbnames[] = { "d", "d:d", "*", "*", "ann" };
    struct text file = { .size = 0 };
    char path[128];
    uint32_t where = any(4);
    for (uint32_t n = any(9); n > 0; n--) {
        uint32_t how = any(12) ? 0 : 1 + any(2);
        if (any(12) == 0) put(&file, any(2) ? "#" : "\n");
        put_field(&file, PICK(hosts), any(10) ? 2 : how), put(&file, ":");
        put_field(&file, any(2) ? "*" : PICK(ports), how), put(&file, ":");
        put_field(&file, PICK(dbnames), how), put(&file, ":");
        put_field(&file, any(2) ? "*" : PICK(users), how), put(&file, any(30) ? ":" : "");
        put_field(&file, PICK(passwords), how);
        if (any(10) == 0) put(&file, ":more");
        put(&file, n == 1 && any(2) ? "" : any(8) ? "\n" : "\r\n");
    }
    mode_t mode = any(12) ? any(2) ? 0600 : 0400 : any(2) ? 0640 : 0604;
    forget_file(".pgpass"), forget_file("passfile");
    if (where) write_file(where == 1 ? ".pgpass" : "passfile", &file, mode);
    snprintf(path, sizeof path, "%s/passfile", folder);
    if (where == 2) put_option(&r->string, "passfile", path);
    if (where == 3) setenv("PGPASSFILE", path, 1);
}

/* ---- libpq ---- */

/* NULL: it refuses the options. Else it has tried, in vain, every host up to the last. */
static PGconn *try_to_connect(const char *string)
{
    int kept = dup(2), nothing = open("/dev/null", O_WRONLY); /* its warnings about files */
    dup2(nothing, 2);
    PGconn *conn = PQconnectStart(string);
    dup2(kept, 2);
    close(kept), close(nothing);
    assert_non_null(conn);
    if (PQstatus(conn) != CONNECTION_BAD || strstr(PQerrorMessage(conn), "connection to server")) return conn;
    snprintf(said + strlen(said), sizeof said - strlen(said), "\nlibpq: %s", PQerrorMessage(conn));
    PQfinish(conn);
    return NULL;
}

static void compare_last_host(const struct rp_conninfo *c, PGconn *conn)
{
    const struct rp_conninfo_host *h = &c->host[c->nhosts - 1];
    const char *password = c->password ? c->password : h->password;
    char port[8];
    snprintf(port, sizeof port, "%u", h->port);
    check_text(said, "PQhost", h->name, PQhost(conn));
    check_text(said, "PQport", port, PQport(conn));
    check_text(said, "PQuser", c->user, PQuser(conn));
    check_text(said, "PQdb", c->dbname, PQdb(conn));
    check_text(said, "PQpass", password ? password : "", PQpass(conn));
}

/* passfile stands in libpq's options also if it is the default. */
static void hide_default_passfile(PQconninfoOption *options, const struct rp_conninfo *c)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, "passfile") == 0 && !c->passfile && options->val) options->val[0] = 0;
}

static void like_libpq(void **state)
{
    (void)state;
    size_t both = 0, neither = 0, from_file = 0;
    for (seed = 1; both < 4000;) {
        struct round r = { .string = { .size = 0 }, .section = { .size = 0 } };
        forget_environment();
        setenv("HOME", folder, 1);
        said[0] = 0;
        draw_all_hosts(&r);
        for (size_t i = 0; i < RP_COUNT(drawn); i++)
            set_value(&r, drawn[i].name, drawn[i].variable, (const char *[]){ draw(i), draw(i), draw(i) });
        draw_service(&r);
        draw_passfile(&r);
        snprintf(said + strlen(said), sizeof said - strlen(said), "\n--- %s\n", r.string.at);

        struct rp_conninfo c;
        struct pg_error error;
        int rc = rp_conninfo_parse(&c, r.string.at, RP_SOURCES_ALL, &memory, &error);
        if (!rc && rp_conninfo_check(&c, &error)) rp_conninfo_wipe(&c, &memory), rc = PG_E_CONFIG;
        PGconn *conn = try_to_connect(r.string.at);
        if (rc && conn &&
            strstr(pg_error_field(&error, 'M'), "needs TLS, and")) { /* libpq finds out when it connects */
            PQfinish(conn);
            continue;
        }
        if (!rc != !!conn) fail_msg("%s\n%s", said, rc ? pg_error_field(&error, 'M') : "libpq refuses it");
        neither += rc != 0;
        if (rc) continue;
        PQconninfoOption *options = PQconninfo(conn);
        hide_default_passfile(options, &c);
        compare(said, &c, options);
        compare_last_host(&c, conn);
        from_file += !c.password && c.host[c.nhosts - 1].password;
        both++;
        PQconninfoFree(options);
        PQfinish(conn);
        rp_conninfo_wipe(&c, &memory);
    }
    assert_true(neither > 300 && from_file > 250); /* else the draws test nothing */
}

/* ---- the startup message ---- */

/* What libpq says to a server that listens in `folder`; its size. */
static size_t startup_of(const char *string, char out[4096])
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof at.sun_path, "%s/.s.PGSQL.7", folder);
    unlink(at.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    PGconn *conn = PQconnectStart(string);
    for (int i = 0; i < 3; i++) (void)PQconnectPoll(conn);
    int peer = accept(listener, NULL, NULL);
    ssize_t size = recv(peer, out, 4096, 0);
    assert_true(size > 8);
    PQfinish(conn);
    close(peer), close(listener);
    unlink(at.sun_path);
    return (size_t)size;
}

static const char *parameter_of(const char *at, const char *end, const char *name)
{
    for (at += 8; at < end && *at; at += strlen(at) + 1) {
        const char *key = at;
        at += strlen(at) + 1;
        if (strcmp(key, name) == 0) return at;
    }
    return NULL;
}

static void startup_parameters(void **state)
{
    (void)state;
    static const char *const variables[] = { "PGDATESTYLE", "PGTZ", "PGGEQO", "PGAPPNAME", "PGOPTIONS", "PGUSER" };
    static const char *const values[] = { "x", "", "Default", "default", "a b" };
    seed = 3;
    for (int i = 0; i < 200; i++) {
        char string[300], sent[4096];
        struct rp_conninfo c;
        forget_environment();
        for (size_t v = 0; v < RP_COUNT(variables); v++)
            if (any(2)) setenv(variables[v], PICK(values), 1);
        snprintf(string, sizeof string, "host=%s port=7 password=p sslmode=disable gssencmode=disable%s%s", folder,
                 any(2) ? " fallback_application_name=fall" : "", any(4) ? "" : " application_name=''");
        size_t size = startup_of(string, sent);
        assert_int_equal(rp_conninfo_parse(&c, string, RP_SOURCES_ALL, &memory, NULL), 0);
        const struct { const char *name, *value; } pairs[] = {
            { "user", c.user },         { "database", c.dbname },       { "options", c.options },
            { "datestyle", c.datestyle }, { "timezone", c.timezone },   { "geqo", c.geqo },
            { "application_name", c.application_name },
        };
        for (size_t p = 0; p < RP_COUNT(pairs); p++) {
            const char *value = parameter_of(sent, sent + size, pairs[p].name);
            if (value && !*value) value = NULL;
            check_text(string, pairs[p].name, pairs[p].value, value);
        }
        rp_conninfo_wipe(&c, &memory);
    }
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const files[] = { ".pgpass", "passfile", ".pg_service.conf", "pg_service.conf",
                                         "elsewhere.conf" };
    (void)state;
    for (size_t i = 0; i < RP_COUNT(files); i++) forget_file(files[i]);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(like_libpq), cmocka_unit_test(startup_parameters) };
    return cmocka_run_group_tests_name("conninfo_libpq_outside", tests, setup, teardown);
}
#else
#include <stdio.h>

int main(void)
{
    puts("skipped: libpq is not here");
    return 77;
}
#endif

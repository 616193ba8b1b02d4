/* unit/test_conninfo_outside.c - what stands outside of the connection string, case by case: which source wins, which
 * lines of a password file fit which host, what is wrong with a file, and that no memory is left of any of them. */
#include "conninfo.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/ringpg-outside-XXXXXX";
static const char *const files[] = { ".pgpass", ".pg_service.conf", "pg_service.conf", "mine" };

static const char *path_of(const char *name)
{
    static char paths[2][64];
    static unsigned next;
    char *path = paths[next++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_bytes(const char *name, const char *bytes, size_t size, mode_t mode)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}
static void write_file(const char *name, const char *text) { write_bytes(name, text, strlen(text), 0600); }

static int begin(void **state)
{
    (void)state;
    forget_environment();
    setenv("HOME", folder, 1);
    setenv("PGSYSCONFDIR", folder, 1);
    for (size_t i = 0; i < RP_COUNT(files); i++) unlink(path_of(files[i]));
    return 0;
}

#define ALL RP_SOURCES_ALL

/* ---- which source wins ---- */

static void each_variable(void **state)
{
    (void)state;
    static const struct { const char *name, *value; size_t field; } texts[] = {
        { "PGDATABASE", "d", offsetof(struct rp_conninfo, dbname) },
        { "PGUSER", "u", offsetof(struct rp_conninfo, user) },
        { "PGPASSWORD", "p", offsetof(struct rp_conninfo, password) },
        { "PGPASSFILE", "/p", offsetof(struct rp_conninfo, passfile) },
        { "PGOPTIONS", "-cx=y", offsetof(struct rp_conninfo, options) },
        { "PGAPPNAME", "a", offsetof(struct rp_conninfo, application_name) },
        { "PGCLIENTENCODING", "LATIN1", offsetof(struct rp_conninfo, client_encoding) },
        { "PGSSLCERT", "/c", offsetof(struct rp_conninfo, sslcert) },
        { "PGSSLKEY", "/k", offsetof(struct rp_conninfo, sslkey) },
        { "PGSSLROOTCERT", "/r", offsetof(struct rp_conninfo, sslrootcert) },
        { "PGSSLCRL", "/l", offsetof(struct rp_conninfo, sslcrl) },
        { "PGSSLCRLDIR", "/f", offsetof(struct rp_conninfo, sslcrldir) },
        { "PGREQUIREPEER", "root", offsetof(struct rp_conninfo, requirepeer) },
        { "PGDATESTYLE", "ISO, DMY", offsetof(struct rp_conninfo, datestyle) },
        { "PGTZ", "UTC", offsetof(struct rp_conninfo, timezone) },
        { "PGGEQO", "off", offsetof(struct rp_conninfo, geqo) },
    };
    static const struct { const char *name, *value; size_t field; uint32_t expected; } words[] = {
        { "PGSSLMODE", "verify-ca", offsetof(struct rp_conninfo, sslmode), RP_SSLMODE_VERIFY_CA },
        { "PGSSLNEGOTIATION", "direct", offsetof(struct rp_conninfo, sslnegotiation), RP_SSLNEGOTIATION_DIRECT },
        { "PGSSLCERTMODE", "require", offsetof(struct rp_conninfo, sslcertmode), RP_SSLCERTMODE_REQUIRE },
        { "PGCHANNELBINDING", "disable", offsetof(struct rp_conninfo, channel_binding), RP_CHANNEL_BINDING_DISABLE },
        { "PGSSLMINPROTOCOLVERSION", "TLSv1", offsetof(struct rp_conninfo, ssl_min_protocol_version), RP_TLS_1_0 },
        { "PGSSLMAXPROTOCOLVERSION", "TLSv1.3", offsetof(struct rp_conninfo, ssl_max_protocol_version), RP_TLS_1_3 },
        { "PGREQUIREAUTH", "!md5", offsetof(struct rp_conninfo, auth_refused), 1 << RP_METHOD_MD5 },
        { "PGTARGETSESSIONATTRS", "standby", offsetof(struct rp_conninfo, target), RP_TARGET_STANDBY },
        { "PGLOADBALANCEHOSTS", "random", offsetof(struct rp_conninfo, load_balance_hosts), 1 },
        { "PGMINPROTOCOLVERSION", "3.2", offsetof(struct rp_conninfo, min_protocol_version), RP_PROTOCOL_3_2 },
        { "PGMAXPROTOCOLVERSION", "latest", offsetof(struct rp_conninfo, max_protocol_version), RP_PROTOCOL_3_2 },
    };
    struct rp_conninfo c;
    for (size_t i = 0; i < RP_COUNT(texts); i++) setenv(texts[i].name, texts[i].value, 1);
    for (size_t i = 0; i < RP_COUNT(words); i++) setenv(words[i].name, words[i].value, 1);
    static const char *const others[][2] = {
        { "PGHOST", "/a,b" }, { "PGPORT", "1,2" }, { "PGSSLSNI", "0" }, { "PGCONNECT_TIMEOUT", "7" },
        { "PGGSSENCMODE", "disable" }, { "PGKRBSRVNAME", "x" }, { "PGSSLCOMPRESSION", "0" },
    };
    for (size_t i = 0; i < RP_COUNT(others); i++) setenv(others[i][0], others[i][1], 1);
    must_parse(&c, "", ALL);
    for (size_t i = 0; i < RP_COUNT(texts); i++)
        check_text(texts[i].name, "the value", *(const char **)(void *)((char *)&c + texts[i].field), texts[i].value);
    for (size_t i = 0; i < RP_COUNT(words); i++)
        if (*(uint32_t *)(void *)((char *)&c + words[i].field) != words[i].expected) fail_msg("%s", words[i].name);
    assert_int_equal(c.nhosts, 2);
    assert_string_equal(c.host[0].name, "/a");
    assert_int_equal(c.host[1].port, 2);
    assert_false(c.sslsni);
    assert_true(c.outside);
    assert_int_equal(c.connect_timeout_ns, 7000000000);
    wipe(&c);
    setenv("PGHOSTADDR", "::1,::2", 1);
    must_parse(&c, "", ALL);
    assert_string_equal(c.host[1].hostaddr, "::2");
    wipe(&c);
    must_parse(&c, "user=me", RP_SOURCES_STRING); /* and nothing of it, if it is not to be */
    assert_string_equal(c.dbname, "me");
    assert_null(c.timezone);
    assert_int_equal(c.nhosts, 1);
    wipe(&c);
}

static void precedence(void **state)
{
    (void)state;
    const char *me = getpwuid(geteuid())->pw_name;
    const struct { const char *text, *user, *dbname; } table[] = {
        { "service=s user=string dbname=string", "string", "string" },
        { "service=s user=string", "string", "file" },
        { "service=s", "file", "file" },
        { "service=t", "env", "env" },
        { "", "env", "env" },
        { "user=''", me, "env" }, /* empty: the default, and nothing else */
        { "dbname=''", "env", "env" },
        { "service=s dbname='' user=''", me, me },
        { "service=e", me, "env" },
        { "postgresql://", "env", "env" },
        { "postgresql://@/", "env", "env" }, /* a part that is not there says nothing */
        { "postgresql://?user=", me, "env" },
        { "postgresql://?service=s", "file", "file" },
    };
    write_file(".pg_service.conf", "[s]\nuser=file\ndbname=file\nuser=later\n[t]\nport=7\n[e]\nuser=\n");
    setenv("PGUSER", "env", 1);
    setenv("PGDATABASE", "env", 1);
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_conninfo c;
        must_parse(&c, table[i].text, ALL);
        check_text(table[i].text, "user", c.user, table[i].user);
        check_text(table[i].text, "dbname", c.dbname, strstr(table[i].text, "dbname=''") ? c.user : table[i].dbname);
        wipe(&c);
    }
}

/* A URI that names a port alone leaves the host to the environment, and the other way round. */
static void halves_of_a_uri(void **state)
{
    (void)state;
    struct rp_conninfo c;
    setenv("PGHOST", "elsewhere", 1);
    setenv("PGPORT", "77", 1);
    must_parse(&c, "postgresql://:5/d", ALL);
    assert_string_equal(c.host[0].name, "elsewhere");
    assert_int_equal(c.host[0].port, 5);
    wipe(&c);
    must_parse(&c, "postgresql://h/d", ALL);
    assert_string_equal(c.host[0].name, "h");
    assert_int_equal(c.host[0].port, 77);
    wipe(&c);
    must_parse(&c, "postgresql://h/d?port=", ALL);
    assert_int_equal(c.host[0].port, 5432);
    wipe(&c);
}

static void older_and_special(void **state)
{
    (void)state;
    struct rp_conninfo c;
    setenv("PGREQUIRESSL", "1", 1);
    must_parse(&c, "", ALL);
    assert_int_equal(c.sslmode, RP_SSLMODE_REQUIRE);
    wipe(&c);
    setenv("PGSSLMODE", "disable", 1);
    must_parse(&c, "", ALL);
    assert_int_equal(c.sslmode, RP_SSLMODE_DISABLE);
    wipe(&c);
    setenv("PGTZ", "Default", 1);
    setenv("PGCLIENTENCODING", "auto", 1); /* the locale's: no program of the tests sets one */
    must_parse(&c, "", ALL);
    assert_null(c.timezone);
    assert_string_equal(c.client_encoding, "SQL_ASCII");
    wipe(&c);
    if (!setlocale(LC_CTYPE, "C.UTF-8")) return;
    must_parse(&c, "client_encoding=auto", RP_SOURCES_STRING);
    assert_string_equal(c.client_encoding, "UTF-8");
    wipe(&c);
    setlocale(LC_CTYPE, "C");
}

static void what_is_wrong_says_where(void **state)
{
    (void)state;
    static const struct { const char *name, *value, *error; } table[] = {
        { "PGPORT", "0", "port: must be 1 to 65535 (from PGPORT)" },
        { "PGPORT", "1,2", "port: 2 in the list do not match 1 host (from PGPORT)" },
        { "PGHOSTADDR", "localhost", "hostaddr: not a numeric address (from PGHOSTADDR)" },
        { "PGHOST", "a@b",
          "host: \"@\" in a name; in a URI those of user and password are percent-encoded (from PGHOST)" },
        { "PGSSLMODE", "on",
          "sslmode: must be one of disable, allow, prefer, require, verify-ca, verify-full (from PGSSLMODE)" },
        { "PGCONNECT_TIMEOUT", "soon", "connect_timeout: not a number (from PGCONNECT_TIMEOUT)" },
        { "PGGSSENCMODE", "require", "gssencmode=require: GSSAPI is not there yet (from PGGSSENCMODE)" },
        { "PGTZ", "a\nb", "timezone: a line break in it (from PGTZ)" },
        { "PGREQUIREAUTH", "x",
          "require_auth: the methods are none, password, md5, gss, sspi, scram-sha-256, oauth (from "
          "PGREQUIREAUTH)" },
        { "PGREQUIREPEER", "ringpg-nobody",
          "requirepeer: the operating system has no user of that name (from PGREQUIREPEER)" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        setenv(table[i].name, table[i].value, 1);
        must_fail("", ALL, table[i].error);
        unsetenv(table[i].name);
    }
    write_file(".pg_service.conf", "[s]\nport=x\n");
    must_fail("service=s", ALL, "port: not a number (from the service file)");
}

/* ---- service files ---- */

static void service_files(void **state)
{
    (void)state;
    static const struct { const char *text, *user; } table[] = {
        { "[s]\nuser=x\n", "x" },
        { "[s]\nuser=x", "x" },
        { "\r\n  [s]  \r\n\t user= x y \t\r\n", " x y" }, /* white space at the ends of lines alone is none */
        { "user=none\n[other]\nuser=o\nnonsense\n[s] # mine\n\n#user=c\nuser=x\n[s]\nuser=late\n", "x" },
        { "[s]\nuser=x=y\n", "x=y" },
        { "[s]\nuser='x'\n", "'x'" },
        { "[ss]\nuser=no\n[s]\nuser=x\n", "x" },
        { "[s]\nhost=/tmp\nport=5\npool_max_conns=7\nuser=x\n", "x" },
    };
    struct rp_conninfo c;
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        write_file(".pg_service.conf", table[i].text);
        must_parse(&c, "service=s", ALL);
        check_text(table[i].text, "user", c.user, table[i].user);
        wipe(&c);
    }
    assert_int_equal(unlink(path_of(".pg_service.conf")), 0);
    write_file("pg_service.conf", "[s]\nuser=system\n");
    must_parse(&c, "service=s", ALL);
    assert_string_equal(c.user, "system");
    wipe(&c);
    write_file(".pg_service.conf", "[t]\nuser=own\n"); /* without the section: the system's */
    setenv("PGSERVICE", "s", 1);
    must_parse(&c, "", ALL);
    assert_string_equal(c.user, "system");
    wipe(&c);
    must_parse(&c, "service=t", ALL);
    assert_string_equal(c.user, "own");
    wipe(&c);
    must_parse(&c, "service='' user=u", ALL); /* none */
    assert_string_equal(c.user, "u");
    wipe(&c);
    write_file("mine", "[s]\nuser=mine\n");
    setenv("PGSERVICEFILE", path_of("mine"), 1);
    must_parse(&c, "", ALL);
    assert_string_equal(c.user, "mine");
    wipe(&c);
}

static void bad_service_files(void **state)
{
    (void)state;
    static const struct { const char *text, *error; } table[] = {
        { "[s]\nnonsense\n", "line 2: missing \"=\" after an option's name" },
        { "\n[s]\n\nhots=x\n", "line 4: unknown option" },
        { "[s]\nuser =x\n", "line 2: unknown option" },
        { "[s]\ntimezone=UTC\n", "line 2: unknown option" },
        { "[s]\nservice=t\n", "line 2: a service cannot name another one" },
        { "[s]\nldap://h/dc=x\n", "line 2: LDAP is not there yet" },
    };
    char expected[300], name[300];
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        write_file(".pg_service.conf", table[i].text);
        snprintf(expected, sizeof expected, "service: %s, %s", path_of(".pg_service.conf"), table[i].error);
        must_fail("service=s", ALL, expected);
    }
    write_file(".pg_service.conf", "[t]\nuser=x\n");
    snprintf(expected, sizeof expected, "service: its section is neither in %s nor in %s", path_of(".pg_service.conf"),
             path_of("pg_service.conf"));
    must_fail("service=s", ALL, expected);
    setenv("PGSERVICEFILE", path_of("mine"), 1);
    snprintf(expected, sizeof expected, "service: the file %s is not there", path_of("mine"));
    must_fail("service=s", ALL, expected);
    setenv("PGSERVICEFILE", folder, 1);
    snprintf(expected, sizeof expected, "service: the file %s is not a plain file", folder);
    must_fail("service=s", ALL, expected);
    write_bytes("mine", "[s]\nuser=a\0b\n", 13, 0600);
    setenv("PGSERVICEFILE", path_of("mine"), 1);
    snprintf(expected, sizeof expected, "service: the file %s has a NUL in it", path_of("mine"));
    must_fail("service=s", ALL, expected);
    snprintf(name, sizeof name, "service=%0256d", 1);
    must_fail(name, ALL, "service: a name of 255 bytes at the most");
}

/* ---- password files ---- */

static void password_of_each_host(void **state)
{
    (void)state;
    static const struct { const char *text, *file, *passwords; } table[] = {
        { "host=h user=u dbname=d", "h:5432:d:u:pw\n", "pw" },
        { "host=h user=u dbname=d", "h:5432:d:u:pw", "pw" },
        { "host=h user=u dbname=d", "h:5432:d:u:pw\r\n", "pw" },
        { "host=h user=u dbname=d", "#h:5432:d:u:pw\n\n*:*:*:*:any\n", "any" },
        { "host=#h user=u dbname=d", "#h:5432:d:u:pw\n*:*:*:*:any\n", "any" },
        { "host=h user=u dbname=d", "h:5432:d:u:first\nh:5432:d:u:second\n", "first" },
        { "host=h user=u dbname=d", "h:5432:d:u:\nh:5432:d:u:second\n", "-" },
        { "host=h user=u dbname=d", "h:5432:d:u\nh:5432:d\n:\n", "-" },
        { "host=h user=u dbname=d", "h:5433:d:u:pw\nx:5432:d:u:pw\nh:5432:x:u:pw\nh:5432:d:x:pw\n", "-" },
        { "host=h user=u dbname=d", "h:5432:d:u:a\\:b\\\\c\\d:rest\n", "a:b\\cd" },
        { "host=h user=u dbname=d", "h:5432:d:u:pw\\\n", "pw\\" },
        { "host=h user=u:v dbname='d\\\\e'", "h:5432:d\\\\e:u\\:v:pw\n", "pw" },
        { "host=h user=u dbname=d", "\\h:54\\32:d:u:pw\n", "pw" },
        { "host=h user=u dbname=d", "**:*:*:*:no\n*h:*:*:*:no\nh*:*:*:*:no\n*:*:*:*:pw\n", "pw" },
        { "host=::1 user=u dbname=d", "\\:\\:1:5432:d:u:pw\n", "pw" },
        { "host=::1 user=u dbname=d", "::1:5432:d:u:pw\n", "pw" }, /* as libpq */
        { "host=h user=u", "h:5432:u:u:pw\n", "pw" },
        { "host=a,b,c user=u", "b:*:*:*:two\na:*:*:*:one\n", "one two -" },
        { "host=a,b port=1,2 user=u", "*:2:*:*:two\n*:1:*:*:one\n", "one two" },
        { "host=a,b user=u", "*:*:*:*:same\n", "same same" },
        { "host=a,b user=u password=mine", "*:*:*:*:same\n", "- -" },
        { "user=u", "localhost:5432:*:*:pw\n", "pw" },
        { "host=/var/run/postgresql user=u", "localhost:5432:*:*:pw\n", "pw" },
        { "host=/var/run/postgresql user=u", "/var/run/postgresql:5432:*:*:pw\n", "-" },
        { "host=/tmp,@a user=u", "localhost:*:*:*:no\n/tmp:*:*:*:one\n@a:*:*:*:two\n", "one two" },
        { "host=h hostaddr=::1 user=u", "\\:\\:1:*:*:*:no\nh:*:*:*:pw\n", "pw" },
        { "hostaddr=127.0.0.1 user=u", "localhost:*:*:*:no\n127.0.0.1:*:*:*:pw\n", "pw" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_conninfo c;
        char is[200] = "";
        write_file(".pgpass", table[i].file);
        must_parse(&c, table[i].text, ALL);
        for (uint32_t k = 0; k < c.nhosts; k++) {
            size_t size = strlen(is);
            snprintf(is + size, sizeof is - size, "%s%s", k ? " " : "", c.host[k].password ? c.host[k].password : "-");
        }
        check_text(table[i].text, table[i].file, is, table[i].passwords);
        assert_string_equal(c.passfile_fault, "");
        wipe(&c);
        must_parse(&c, table[i].text, RP_SOURCES_STRING);
        assert_null(c.host[0].password);
        wipe(&c);
    }
}

static void which_password_file(void **state)
{
    (void)state;
    struct rp_conninfo c;
    char text[200];
    write_file(".pgpass", "*:*:*:*:home\n");
    write_file("mine", "*:*:*:*:mine\n");
    setenv("PGPASSFILE", path_of("mine"), 1);
    must_parse(&c, "user=u", ALL);
    assert_string_equal(c.host[0].password, "mine");
    wipe(&c);
    snprintf(text, sizeof text, "user=u passfile=%s", path_of(".pgpass"));
    must_parse(&c, text, ALL);
    assert_string_equal(c.host[0].password, "home");
    wipe(&c);
    must_parse(&c, "user=u passfile=''", ALL);
    assert_string_equal(c.host[0].password, "home");
    wipe(&c);
    setenv("PGPASSWORD", "environment", 1);
    must_parse(&c, text, ALL);
    assert_null(c.host[0].password);
    assert_string_equal(c.password, "environment");
    wipe(&c);
    must_parse(&c, "password='' user=u", ALL); /* none of the environment's: so the file's */
    assert_null(c.password);
    assert_string_equal(c.host[0].password, "mine");
    wipe(&c);
}

static void bad_password_files(void **state)
{
    (void)state;
    struct rp_conninfo c;
    char text[200];
    static const mode_t others[] = { 0640, 0620, 0610, 0604, 0602, 0601, 0644 };
    for (size_t i = 0; i < RP_COUNT(others); i++) {
        write_bytes(".pgpass", "*:*:*:*:pw\n", 11, others[i]);
        must_parse(&c, "user=u", ALL);
        assert_null(c.host[0].password);
        assert_string_equal(c.passfile_fault, "has group or world access; its permissions must be u=rw (0600) or less");
        wipe(&c);
    }
    assert_int_equal(unlink(path_of(".pgpass")), 0);
    must_parse(&c, "user=u", ALL); /* none is no fault */
    assert_string_equal(c.passfile_fault, "");
    wipe(&c);
    must_parse(&c, "user=u passfile=/nonexistent/x", ALL); /* unless it was asked for */
    assert_string_equal(c.passfile_fault, "is not there");
    wipe(&c);
    snprintf(text, sizeof text, "user=u passfile=%s", folder);
    must_parse(&c, text, ALL);
    assert_string_equal(c.passfile_fault, "is not a plain file");
    wipe(&c);
    write_bytes(".pgpass", "*:*:*:*:p\0w\n", 12, 0600);
    must_parse(&c, "user=u", ALL);
    assert_null(c.host[0].password);
    assert_string_equal(c.passfile_fault, "has a NUL in it");
    wipe(&c);
    int fd = open(path_of(".pgpass"), O_WRONLY);
    assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
    close(fd);
    must_parse(&c, "user=u", ALL);
    assert_string_equal(c.passfile_fault, "is larger than 1 MiB");
    wipe(&c);
}

/* ---- memory ---- */

/* Each allocation fails once; whatever is given back was zeros (see blocks_deallocate), and nothing stays. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct rp_conninfo c;
    struct pg_error error;
    write_file(".pgpass", "*:*:*:*:pw\n");
    write_file(".pg_service.conf", "[t]\nuser=x\npassword=secret\n");
    write_file("pg_service.conf", "[s]\nuser=x\n");
    size_t fail_at = 1;
    for (;; fail_at++) {
        blocks = (struct blocks){ .fail_at = fail_at };
        int rc = rp_conninfo_parse(&c, "service=s", ALL, &memory, &error);
        if (!rc) break;
        assert_int_equal(rc, -ENOMEM);
        assert_int_equal(error.code, -ENOMEM);
        assert_int_equal(blocks.count, 0);
        assert_null(c.storage);
    }
    assert_int_equal(fail_at, 6); /* two service files, the strings, the password file, its passwords */
    assert_int_equal(blocks.count, 2);
    wipe(&c);
    blocks = (struct blocks){ 0 };
    setenv("PGPORT", "x", 1); /* refused with a service file in memory */
    must_fail("service=s", ALL, "port: not a number (from PGPORT)");
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}
static int teardown(void **state)
{
    begin(state);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(each_variable, begin),
        cmocka_unit_test_setup(precedence, begin),
        cmocka_unit_test_setup(halves_of_a_uri, begin),
        cmocka_unit_test_setup(older_and_special, begin),
        cmocka_unit_test_setup(what_is_wrong_says_where, begin),
        cmocka_unit_test_setup(service_files, begin),
        cmocka_unit_test_setup(bad_service_files, begin),
        cmocka_unit_test_setup(password_of_each_host, begin),
        cmocka_unit_test_setup(which_password_file, begin),
        cmocka_unit_test_setup(bad_password_files, begin),
        cmocka_unit_test_setup(every_allocation_may_fail, begin),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

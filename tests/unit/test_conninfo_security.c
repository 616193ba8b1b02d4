/* unit/test_conninfo_security.c - the options of TLS, of authentication and of the protocol's version: what each may
 * be, what they ask of each other, and what is refused as long as TLS is not there. libpq 17 and 18 are the models; the
 * libpq that is here to be asked may be older. */
#include "conninfo.h"
#include <pwd.h>
#include <unistd.h>

static void tls_defaults(void **state)
{
    (void)state;
    struct rp_conninfo c;
    must_parse(&c, "", RP_SOURCES_STRING);
    assert_int_equal(c.sslmode, RP_SSLMODE_PREFER);
    assert_int_equal(c.sslnegotiation, RP_SSLNEGOTIATION_POSTGRES);
    assert_int_equal(c.sslcertmode, RP_SSLCERTMODE_ALLOW);
    assert_int_equal(c.channel_binding, RP_CHANNEL_BINDING_PREFER);
    assert_int_equal(c.ssl_min_protocol_version, RP_TLS_1_2);
    assert_int_equal(c.ssl_max_protocol_version, RP_TLS_NEWEST);
    assert_true(c.sslsni);
    assert_false(c.outside);
    assert_int_equal(c.auth_refused, 0);
    assert_int_equal(c.min_protocol_version, RP_PROTOCOL_3_0);
    assert_int_equal(c.max_protocol_version, RP_PROTOCOL_3_0);
    assert_null(c.sslcert), assert_null(c.sslkey), assert_null(c.sslpassword), assert_null(c.sslrootcert);
    assert_null(c.sslcrl), assert_null(c.sslcrldir), assert_null(c.requirepeer);
    wipe(&c);
}

static void tls_values(void **state)
{
    (void)state;
    struct rp_conninfo c;
    must_parse(
        &c,
        "sslmode=verify-ca sslnegotiation=direct sslcertmode=require channel_binding=disable sslsni=0 sslcert=/c "
        "sslkey=/k sslpassword='p w' sslrootcert=/r sslcrl=/l sslcrldir=/d ssl_min_protocol_version=tlsv1.1 "
        "ssl_max_protocol_version=TLSv1.3 max_protocol_version=3.2",
        RP_SOURCES_STRING);
    assert_int_equal(c.sslmode, RP_SSLMODE_VERIFY_CA);
    assert_int_equal(c.sslnegotiation, RP_SSLNEGOTIATION_DIRECT);
    assert_int_equal(c.sslcertmode, RP_SSLCERTMODE_REQUIRE);
    assert_int_equal(c.channel_binding, RP_CHANNEL_BINDING_DISABLE);
    assert_int_equal(c.ssl_min_protocol_version, RP_TLS_1_1);
    assert_int_equal(c.ssl_max_protocol_version, RP_TLS_1_3);
    assert_int_equal(c.max_protocol_version, RP_PROTOCOL_3_2);
    assert_false(c.sslsni);
    assert_string_equal(c.sslcert, "/c");
    assert_string_equal(c.sslkey, "/k");
    assert_string_equal(c.sslpassword, "p w");
    assert_string_equal(c.sslrootcert, "/r");
    assert_string_equal(c.sslcrl, "/l");
    assert_string_equal(c.sslcrldir, "/d");
    wipe(&c);
    must_parse(&c, "sslrootcert=system", RP_SOURCES_STRING); /* and no mode: the only one that is good for it */
    assert_int_equal(c.sslmode, RP_SSLMODE_VERIFY_FULL);
    wipe(&c);
    must_parse(&c, "postgresql://h/d?ssl=true", RP_SOURCES_STRING);
    assert_int_equal(c.sslmode, RP_SSLMODE_REQUIRE);
    wipe(&c);
    must_parse(&c, "min_protocol_version=latest max_protocol_version=3.2", RP_SOURCES_STRING);
    assert_int_equal(c.min_protocol_version, RP_PROTOCOL_3_2);
    wipe(&c);
}

#define METHODS "require_auth: the methods are none, password, md5, gss, sspi, scram-sha-256, oauth"
#define MIXED "require_auth: either all of the methods have a \"!\", or none has"
#define WEAK " is too weak for "

static void contradictions(void **state)
{
    (void)state;
    static const struct { const char *text, *error; } table[] = {
        { "sslnegotiation=direct",
          "sslmode=prefer" WEAK "sslnegotiation=direct: use require, verify-ca or verify-full" },
        { "sslnegotiation=direct sslmode=disable",
          "sslmode=disable" WEAK "sslnegotiation=direct: use require, verify-ca or verify-full" },
        { "sslrootcert=system sslmode=require", "sslmode=require" WEAK "sslrootcert=system: use verify-full" },
        { "sslrootcert=system sslmode=verify-ca", "sslmode=verify-ca" WEAK "sslrootcert=system: use verify-full" },
        { "sslrootcert=system sslmode=''", "sslmode=prefer" WEAK "sslrootcert=system: use verify-full" },
        { "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
          "ssl_min_protocol_version: TLSv1.3 is above ssl_max_protocol_version, TLSv1.2" },
        { "ssl_max_protocol_version=TLSv1.1", /* the minimum's default is above it */
          "ssl_min_protocol_version: TLSv1.2 is above ssl_max_protocol_version, TLSv1.1" },
        { "channel_binding=require sslmode=disable",
          "channel_binding=require needs TLS, and sslmode=disable has none" },
        { "sslcertmode=require sslmode=disable", "sslcertmode=require needs TLS, and sslmode=disable has none" },
        { "channel_binding=require require_auth=md5",
          "channel_binding=require needs scram-sha-256, which require_auth excludes" },
        { "channel_binding=require require_auth=!scram-sha-256",
          "channel_binding=require needs scram-sha-256, which require_auth excludes" },
        { "min_protocol_version=3.2", "min_protocol_version: 3.2 is above max_protocol_version, 3.0" },
        { "min_protocol_version=latest max_protocol_version=3.0",
          "min_protocol_version: 3.2 is above max_protocol_version, 3.0" },
        { "min_protocol_version=3.1", "min_protocol_version: must be one of 3.0, 3.2, latest" },
        { "sslnegotiation=none", "sslnegotiation: must be one of postgres, direct" },
        { "sslcertmode=maybe", "sslcertmode: must be one of disable, allow, require" },
        { "sslsni=2", "sslsni: must be 0 or 1" },
        { "sslcompression=1", "sslcompression=1: compression under TLS is not offered" },
        { "ssl_min_protocol_version=SSLv3",
          "ssl_min_protocol_version: must be one of TLSv1, TLSv1.1, TLSv1.2, TLSv1.3" },
        { "gssencmode=require", "gssencmode=require: GSSAPI is not there yet" },
        { "gssdelegation=1", "gssdelegation=1: GSSAPI is not there yet" },
        { "require_auth=scram", METHODS },
        { "require_auth=md5,", METHODS },
        { "require_auth=','", METHODS },
        { "require_auth=!", METHODS },
        { "require_auth=!!md5", METHODS },
        { "require_auth='md5, none'", METHODS },
        { "require_auth=md5,!none", MIXED },
        { "require_auth=!md5,none", MIXED },
        { "require_auth=md5,none,md5", "require_auth: md5 stands there twice" },
        { "require_auth=!none,!none", "require_auth: none stands there twice" },
        { "requirepeer=ringpg-nobody", "requirepeer: the operating system has no user of that name" },
        { "user='a\nb'", "user: a line break in it" },
        { "dbname='a\rb'", "dbname: a line break in it" },
        { "options='a\nb'", "options: a line break in it" },
        { "application_name='a\nb'", "application_name: a line break in it" },
        { "fallback_application_name='a\nb'", "fallback_application_name: a line break in it" },
        { "client_encoding='a\nb'", "client_encoding: a line break in it" },
        { "postgresql://u%0Ax@h/d", "user: a line break in it" },
        { "postgresql://u@h/d%0d", "dbname: a line break in it" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) must_fail(table[i].text, RP_SOURCES_STRING, table[i].error);
}

static void required_methods(void **state)
{
    (void)state;
    enum {
        NONE = 1 << RP_METHOD_NONE, PASSWORD = 1 << RP_METHOD_PASSWORD, MD5 = 1 << RP_METHOD_MD5,
        GSS = 1 << RP_METHOD_GSS, SSPI = 1 << RP_METHOD_SSPI, SCRAM = 1 << RP_METHOD_SCRAM,
        OAUTH = 1 << RP_METHOD_OAUTH, ALL = (1 << RP_METHODS) - 1
    };
    static const struct { const char *text; uint32_t refused; } table[] = {
        { "", 0 },
        { "require_auth=''", 0 },
        { "require_auth=scram-sha-256", ALL & ~SCRAM },
        { "require_auth=none", ALL & ~NONE },
        { "require_auth=none,scram-sha-256", ALL & ~NONE & ~SCRAM },
        { "require_auth=password,md5,gss,sspi,oauth", NONE | SCRAM },
        { "require_auth=!password", PASSWORD },
        { "require_auth=!password,!md5", PASSWORD | MD5 },
        { "require_auth=!none", NONE },
        { "require_auth=!gss,!sspi,!oauth,!none", GSS | SSPI | OAUTH | NONE },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_conninfo c;
        must_parse(&c, table[i].text, RP_SOURCES_STRING);
        if (c.auth_refused != table[i].refused)
            fail_msg("%s: %#x, expected %#x", table[i].text, c.auth_refused, table[i].refused);
        wipe(&c);
    }
}

static void required_peer(void **state)
{
    (void)state;
    struct rp_conninfo c;
    char text[300];
    const char *me = getpwuid(geteuid())->pw_name;
    snprintf(text, sizeof text, "host=h,/tmp requirepeer='%s'", me);
    must_parse(&c, text, RP_SOURCES_STRING);
    assert_true(c.sockets);
    assert_string_equal(c.requirepeer, me);
    assert_int_equal(c.peer, geteuid());
    wipe(&c);
    must_parse(&c, "host=h requirepeer=ringpg-nobody", RP_SOURCES_STRING); /* it is about sockets alone, as in libpq */
    assert_false(c.sockets);
    wipe(&c);
    must_parse(&c, "host=/tmp hostaddr=::1", RP_SOURCES_STRING);
    assert_false(c.sockets);
    wipe(&c);
}

static void asks_for_nothing(void **state)
{
    (void)state;
    static const char *const table[] = {
        "krbsrvname=postgres gsslib=gssapi gssdelegation=0 gssencmode=prefer", "sslcompression=0",
        "replication=false", "sslnegotiation=postgres", "password='a\nb'", "sslcert='a\nb'",
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct rp_conninfo c;
        must_parse(&c, table[i], RP_SOURCES_STRING);
        wipe(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_defaults),     cmocka_unit_test(tls_values),       cmocka_unit_test(contradictions),
        cmocka_unit_test(required_methods), cmocka_unit_test(required_peer),
        cmocka_unit_test(asks_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

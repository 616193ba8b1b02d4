/* test_trace_lines.c - the wire trace, bytes in and lines out: every kind of message, cut anywhere; what is longer than
 * the room for it, what is malformed, and what must not be told. Beside libpq: server/test_trace.c. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "conn/trace.h"
#include "support/transcript.h"
#include "wire/check.h"

struct told { struct rp_trace_sink sink; struct rp_trace trace; struct blob text; };

static void keep(void *arg, uint64_t connection, const char *text, size_t size)
{
    struct told *t = arg;
    assert_int_equal(connection, t->trace.connection);
    assert_true(size > 0);
    blob_put(&t->text, text, size);
}

static void begin(struct told *t)
{
    *t = (struct told){ .sink = { .write = keep, .arg = t } };
    t->trace.sink = &t->sink;
    t->trace.whole = malloc(RP_TRACE_WHOLE);
    assert_non_null(t->trace.whole);
    rp_trace_begin(&t->trace);
    assert_int_equal(t->trace.connection, 1);
}

static void end(struct told *t)
{
    free(t->trace.whole);
    blob_free(&t->text);
}

/* The startup message, so that what follows has types. */
#define STARTUP "\0\0\0\x12\0\3\0\2user\0app\0\0"
static void client(struct told *t, const char *at, size_t size, size_t piece)
{
    for (size_t done = 0, n; done < size; done += n) {
        n = size - done < piece ? size - done : piece;
        rp_trace_client(&t->trace, (const uint8_t *)at + done, n);
    }
}

struct pair { const char *bytes; size_t size; const char *line; };
#define PAIR(bytes, line) { bytes, sizeof bytes - 1, line "\n" }

static void what_the_client_says(void **state)
{
    (void)state;
    static const struct pair table[] = {
        PAIR("\0\0\0\x08\4\322\26\57", "F\t8\tSSLRequest\t 1234 5679"),
        PAIR(STARTUP, "F\t18\tStartupMessage\t 3 2 \"user\" \"app\""),
        PAIR("Q\0\0\0\x0dSELECT 1\0", "F\t13\tQuery\t \"SELECT 1\""),
        PAIR("P\0\0\0\x17s1\0SELECT $1\0\0\1\0\0\0\x17", "F\t23\tParse\t \"s1\" \"SELECT $1\" 1 NNNN"),
        PAIR("B\0\0\0\x1c\0s1\0\0\1\0\1\0\2\0\0\0\2\0~\377\377\377\377\0\1\0\1",
             "F\t28\tBind\t \"\" \"s1\" 1 1 2 2 '\\x00~' -1 1 1"),
        PAIR("D\0\0\0\6P\0", "F\t6\tDescribe\t P \"\""),
        PAIR("E\0\0\0\x09\0\0\0\0\0", "F\t9\tExecute\t \"\" 0"),
        PAIR("C\0\0\0\x08Ss1\0", "F\t8\tClose\t S \"s1\""),
        PAIR("S\0\0\0\4", "F\t4\tSync"),
        PAIR("d\0\0\0\x08""1\tx\n", "F\t8\tCopyData"),
        PAIR("c\0\0\0\4", "F\t4\tCopyDone"),
        PAIR("f\0\0\0\x08why\0", "F\t8\tCopyFail\t \"why\""),
        PAIR("X\0\0\0\4", "F\t4\tTerminate"),
    };
    for (size_t piece = 1; piece < 40; piece++) {
        struct told t;
        begin(&t);
        for (size_t i = 0; i < RP_COUNT(table); i++) {
            t.text.size = 0;
            client(&t, table[i].bytes, table[i].size, piece);
            assert_string_equal(blob_text(&t.text), table[i].line);
        }
        end(&t);
    }
}

static void what_the_server_says(void **state)
{
    (void)state;
    static const struct { const char *words, *lines; } table[] = {
        { "v(3.0,_pq_.a,_pq_.b)", "B\t26\tNegotiateProtocolVersion\t 196608 2 \"_pq_.a\" \"_pq_.b\"\n" },
        { "R(0) K(7,*32) S(TimeZone,UTC) Z(I)",
          "B\t8\tAuthenticationOk\nB\t40\tBackendKeyData\t NNNN BBBB\nB\t17\tParameterStatus\t \"TimeZone\" \"UTC\"\n"
          "B\t5\tReadyForQuery\t I\n" },
        { "1 2 3 n I s c d(data)",
          "B\t4\tParseComplete\nB\t4\tBindComplete\nB\t4\tCloseComplete\nB\t4\tNoData\nB\t4\tEmptyQueryResponse\n"
          "B\t4\tPortalSuspended\nB\t4\tCopyDone\nB\t8\tCopyData\n" },
        { "T(id:23) D(one,~) C(SELECT 1)",
          "B\t27\tRowDescription\t 1 \"id\" NNNN 0 NNNN 65535 -1 1\nB\t17\tDataRow\t 2 3 'one' -1\n"
          "B\t13\tCommandComplete\t \"SELECT 1\"\n" },
        { "E(ERROR,42601,no)", "B\tNN\tErrorResponse\t S \"ERROR\" V \"ERROR\" C \"42601\" M \"no\" \\x00\n" },
        { "A(heard,text)", "B\t19\tNotificationResponse\t NNNN \"heard\" \"text\"\n" },
        { "G(t2) H(b1)", "B\t11\tCopyInResponse\t \\x00 2 0 0\nB\t9\tCopyOutResponse\t \\x01 1 1\n" },
        { "~(odd)", "B\t7\tUnknown message: 7e\n" },
        /* malformed: what there is */
        { "Z D C(x)", "B\t4\tReadyForQuery\t...\nB\t6\tDataRow\t 0\nB\t6\tCommandComplete\t \"x\"\n" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct told t;
        struct blob b = { 0 };
        begin(&t);
        blob_server(&b, table[i].words);
        rp_trace_server(&t.trace, b.at, b.size);
        assert_string_equal(blob_text(&t.text), table[i].lines);
        blob_free(&b);
        end(&t);
    }
}

static void the_answer_to_the_request_for_tls(void **state)
{
    (void)state;
    struct told t;
    begin(&t);
    client(&t, "\0\0\0\x08\4\322\26\57", 8, 8);
    rp_trace_server(&t.trace, (const uint8_t *)"S", 1);
    client(&t, STARTUP, sizeof STARTUP - 1, 100);
    rp_trace_server(&t.trace, (const uint8_t *)"Z\0\0\0\5T", 6);
    assert_string_equal(blob_text(&t.text), "F\t8\tSSLRequest\t 1234 5679\nB\t1\tSSLResponse\t S\n"
                                            "F\t18\tStartupMessage\t 3 2 \"user\" \"app\"\nB\t5\tReadyForQuery\t T\n");
    rp_trace_begin(&t.trace); /* another socket begins at the beginning */
    assert_int_equal(t.trace.connection, 2);
    t.text.size = 0;
    client(&t, STARTUP, sizeof STARTUP - 1, 100);
    assert_string_equal(blob_text(&t.text), "F\t18\tStartupMessage\t 3 2 \"user\" \"app\"\n");
    end(&t);
}

static bool holds(const void *at, size_t size, const char *secret)
{
    return memmem(at, size, secret, strlen(secret)) != NULL;
}

static void secrets(void **state)
{
    (void)state;
    static const struct { const char *asked; const char *said; size_t size; const char *line; } table[] = {
        { "R(3)", "p\0\0\0\x0bsecret\0", 12, "F\t11\tPasswordMessage\t BBBB\n" },
        { "R(5,salt)", "p\0\0\0\x0bsecret\0", 12, "F\t11\tPasswordMessage\t BBBB\n" },
        { "R(10,SCRAM-SHA-256)", "p\0\0\0\x1cSCRAM-SHA-256\0\0\0\0\6secret", 29,
          "F\t28\tSASLInitialResponse\t \"SCRAM-SHA-256\" BBBB\n" },
        { "R(11,secret)", "p\0\0\0\x0asecret", 11, "F\t10\tSASLResponse\t BBBB\n" },
    };
    for (size_t i = 0; i < RP_COUNT(table); i++) {
        struct told t;
        struct blob b = { 0 };
        begin(&t);
        client(&t, STARTUP, sizeof STARTUP - 1, 100);
        blob_server(&b, table[i].asked);
        rp_trace_server(&t.trace, b.at, b.size);
        assert_false(holds(t.text.at, t.text.size, "secret") || holds(t.text.at, t.text.size, "salt"));
        t.text.size = 0;
        client(&t, table[i].said, table[i].size, 3);
        assert_string_equal(blob_text(&t.text), table[i].line);
        assert_false(holds(t.trace.whole, RP_TRACE_WHOLE, "secret")); /* nor is it kept */
        blob_free(&b);
        end(&t);
    }
}

/* Longer than the room: its beginning is told once, the rest is passed over, and the next message is whole again. */
static void long_messages(void **state)
{
    (void)state;
    enum { SIZE = 3 * RP_TRACE_WHOLE };
    static const char sync[] = "S\0\0\0\4";
    static char query[SIZE];
    memset(query, 'x', sizeof query);
    memcpy(query, "Q\0\0\xbf\xff", 5);
    query[SIZE - 1] = 0;
    static const size_t pieces[] = { 1, 4096, RP_TRACE_WHOLE - 1, RP_TRACE_WHOLE, RP_TRACE_WHOLE + 1, SIZE };
    for (size_t i = 0; i < RP_COUNT(pieces); i++) {
        struct told t;
        begin(&t);
        client(&t, STARTUP, sizeof STARTUP - 1, 100);
        t.text.size = 0;
        client(&t, query, sizeof query, pieces[i]);
        client(&t, sync, 5, 5);
        const char *text = blob_text(&t.text);
        assert_int_equal(strncmp(text, "F\t49151\tQuery\t \"xxx", 19), 0);
        assert_string_equal(text + t.text.size - 15, "xx...\nF\t4\tSync\n");
        end(&t);
    }
    /* a row that the session passes over, and CopyData that it hands on as it comes */
    struct told t;
    begin(&t);
    rp_trace_server(&t.trace, (const uint8_t *)"D\0\0\xff\xff\0\1\0\0\xff\xf5", 11);
    for (size_t left = 65536 - 11; left;) {
        size_t n = left < 1000 ? left : 1000;
        rp_trace_server(&t.trace, (const uint8_t *)query, n);
        left -= n;
    }
    rp_trace_server(&t.trace, (const uint8_t *)"Z\0\0\0\5I", 6);
    assert_string_equal(blob_text(&t.text), "B\t65535\tDataRow\t 1 65525 '...\nB\t5\tReadyForQuery\t I\n");
    end(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_client_says), cmocka_unit_test(what_the_server_says),
        cmocka_unit_test(the_answer_to_the_request_for_tls), cmocka_unit_test(secrets),
        cmocka_unit_test(long_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

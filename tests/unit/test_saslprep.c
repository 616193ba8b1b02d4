/* unit/test_saslprep.c - what SASLprep makes of passwords, and which it leaves alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "conn/saslprep.h"

static void prepared(void **state)
{
    (void)state;
    static const struct { const char *in, *out; } table[] = { /* NULL: as it stands */
        { "", NULL },
        { "user", NULL },
        { "with blank, comma=and \x7f", NULL },
        { "I\xc2\xadX", "IX" },                 /* RFC 4013, section 3: a soft hyphen is mapped to nothing */
        { "\xc2\xaa", "a" },                    /* NFKC                                                    */
        { "\xe2\x85\xa8", "IX" },               /* ROMAN NUMERAL NINE                                      */
        { "a\xc2\xa0" "b", "a b" },             /* a no-break space is a space                             */
        { "\xc3\xa4", "\xc3\xa4" },             /* composed already                                        */
        { "a\xcc\x88", "\xc3\xa4" },            /* and not yet                                             */
        { "\xc2\x85", NULL },                   /* a control character is prohibited                       */
        { "\xee\x80\x80", NULL },               /* private use, too                                        */
        { "\xc3", NULL },                       /* no UTF-8                                                */
        { "\xff\xfe", NULL },
        { "\xf0\x9f\x98\x80", NULL },           /* not assigned in Unicode 3.2                             */
        { "\xd8\xa7" "1", NULL },               /* RandALCat must stand at both ends                       */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char *out = rp_saslprep(table[i].in);
        if (table[i].out) {
            if (!out) fail_msg("%zu: \"%s\" was left alone", i, table[i].in);
            assert_string_equal(out, table[i].out);
        } else if (out) {
            fail_msg("%zu: \"%s\" became \"%s\"", i, table[i].in, out);
        }
        rp_saslprep_free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(prepared) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

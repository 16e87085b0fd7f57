/* Text from outside stays text: what a terminal would obey is taken out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "text/plain_text.h"

static void assert_plain(const char *from, const char *to)
{
    char text[128];

    strcpy(text, from);
    dm_plain_text(text);
    assert_string_equal(text, to);
}

static void plain_text__control_characters(void **state)
{
    (void)state;
    assert_plain("a\033[31mb\x7f\r", "a?[31mb??");
    assert_plain("lines\n\tare kept", "lines\n\tare kept");
    assert_plain("k\xc2\x9b" "31mX", "k?31mX"); /* U+009B, CSI */
    assert_plain("\x9b" "31m", "?31m");           /* the same as a byte */
}

static void plain_text__directions(void **state)
{
    (void)state;
    assert_plain("a\xe2\x80\xae" "b", "a?b"); /* U+202E, right-to-left override */
    assert_plain("\xe2\x81\xa6x\xe2\x81\xa9", "?x?");
    assert_plain("\xe2\x80\x8f\xd8\x9c\xe2\x80\xa8", "???");
}

static void plain_text__other_text_stays(void **state)
{
    static const char text[] = "\xc3\xa4 \xd7\x90 \xe6\xbc\xa2 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x94\xac \xc2\xa0.";

    (void)state;
    assert_plain(text, text);
    assert_plain("\xc0\xaf \xed\xa0\x80 \xf8", "?? ??? ?"); /* no UTF-8 */
}

static void plain_text__errors_and_their_context(void **state)
{
    dm_err err;

    (void)state;
    dm_error(&err, DM_EINVAL, "key '%s'", "k\xc2\x9b");
    dm_error_prefix(&err, "%s: ", "f\033");
    assert_string_equal(err.msg, "f?: key 'k?'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_text__control_characters),
        cmocka_unit_test(plain_text__directions),
        cmocka_unit_test(plain_text__other_text_stays),
        cmocka_unit_test(plain_text__errors_and_their_context),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

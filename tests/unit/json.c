/* JSON that is cut off anywhere is damaged, and nothing behind its last byte is read. */
#define _DEFAULT_SOURCE
#include "scratch.h"

#include "base/json.h"

#include <sys/mman.h>

static dm_status count(void *user, const char *key, json_t *value, dm_err *err)
{
    (void)err;
    assert_true(key && value);
    ++*(int *)user;
    return DM_OK;
}

/* n bytes before memory that faults when it is read. */
static const char *at_the_end(const char *text, size_t n, char *page, size_t size)
{
    return memcpy(page + size - n, text, n);
}

static void json__is_not_read_beyond_its_end(void **state)
{
    static const char text[] = " {\"a\": \"\\\\x\\\"\", \"m\": {\"b\": [1, \"\\u00e9\"], \"c\": {}}, \"\\\"\": null} ";
    const size_t size = (size_t)sysconf(_SC_PAGESIZE), whole = sizeof text - 2;
    char *page = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(page != MAP_FAILED);
    assert_int_equal(mprotect(page + size, size, PROT_NONE), 0);
    for (size_t n = 0; n < sizeof text; n++) {
        const char *cut = at_the_end(text, n, page, size);
        const dm_status wanted = n < whole ? DM_ECORRUPT : DM_OK;
        int members = 0, within = 0;
        json_t *j;
        dm_err err = {0};

        assert_status(dm_json_read(cut, n, "text", &j, &err), wanted, &err);
        json_decref(j);
        assert_status(dm_json_members(cut, n, 100, "text", count, NULL, NULL, &members, &err), wanted, &err);
        assert_status(dm_json_members(cut, n, 100, "text", count, "m", count, &within, &err), wanted, &err);
        assert_true(wanted || (members == 3 && within == 4));
    }
    munmap(page, 2 * size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(json__is_not_read_beyond_its_end)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

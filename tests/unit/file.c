/* Files are there whole or not at all, also where threads write one file at once, as they do in a cache. */
#include "scratch.h"

#include "base/file.h"

#include <pthread.h>

enum { THREADS = 4, TIMES = 100 };

typedef struct writer { const char *path; char letter; int failed; dm_err err; } writer;

static void *write_often(void *user)
{
    writer *w = user;
    char text[4096];

    memset(text, w->letter, sizeof text);
    for (int i = 0; i < TIMES; i++)
        w->failed += dm_file_write_atomic(w->path, text, sizeof text, &w->err) != DM_OK;
    return NULL;
}

static void file__threads_write_one_file(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "entry");
    pthread_t thread[THREADS];
    writer w[THREADS];
    unsigned char *b;
    size_t n;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        w[i] = (writer){.path = path, .letter = (char)('a' + i)};
        assert_int_equal(pthread_create(&thread[i], NULL, write_often, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        if (w[i].failed)
            fail_msg("%d of %d writes failed: %s", w[i].failed, TIMES, w[i].err.msg);
    }
    b = scratch_read(path, &n);
    assert_int_equal(n, 4096);
    for (size_t i = 1; i < n; i++)
        assert_int_equal(b[i], b[0]);
    free(b);
    assert_int_equal(scratch_entries(dir.dir), 1);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(file__threads_write_one_file)};

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}

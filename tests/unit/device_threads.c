/* Devices opened by several threads at once, these being the process's first OpenCL calls: each finds the same. */
#include "device_setup.h"

#include <pthread.h>

enum { THREADS = 8 };

typedef struct seen { pthread_t thread; int n; dm_status rc; dm_err err; } seen;

static void *look(void *user)
{
    seen *s = user;
    dm_device_info *all = NULL;
    dm_device *d = NULL;

    if (!(s->rc = dm_device_list(&all, &s->n, &s->err)))
        s->rc = dm_device_open(test_device(), NULL, &d, &s->err);
    free(all);
    dm_device_close(d);
    return NULL;
}

static void threads__find_the_same_devices(void **state)
{
    seen s[THREADS] = {0};
    dm_device_info *all;
    dm_err err;
    int n;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&s[i].thread, NULL, look, &s[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(s[i].thread, NULL);
    must(dm_device_list(&all, &n, &err), &err);
    free(all);
    for (int i = 0; i < THREADS; i++) {
        must(s[i].rc, &s[i].err);
        assert_int_equal(s[i].n, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads__find_the_same_devices)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

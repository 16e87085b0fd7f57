/* Event files against bytes that TensorBoard's own writer made (tests/unit/data/events.bin: the
 * version, scalars at steps 1000, 2000 and 3000, an image at 3000). */
#include "scratch.h"

#include "run/tb_events.h"

#include <math.h>

enum { FIRST = 40 }; /* bytes of the first record: it holds the time of writing */

static void crc32c__known_answers(void **state)
{
    static const unsigned char zeros[32] = {0};

    (void)state;
    assert_int_equal(dm_crc32c("123456789", 9), 0xe3069283u); /* RFC 3720, B.4 and the usual check value */
    assert_int_equal(dm_crc32c(zeros, 32), 0x8a9136aau);
    assert_int_equal(dm_crc32c("", 0), 0);
}

static void put_steps(dm_tb *t, int from, int to)
{
    unsigned char png[200];
    dm_err err;

    for (int i = 0; i < 200; i++)
        png[i] = (unsigned char)i;
    for (int k = from; k <= to; k++) {
        const dm_field f[] = {{"loss", 0.1 * k}, {"lr", NAN}};

        assert_status(dm_tb_scalars(t, k * 1000, 1700000000.25 + k, f, 2, &err), DM_OK, &err);
    }
    if (to == 3)
        assert_status(dm_tb_image(t, 3000, 5, "samples", 7, 300, 3, png, 200, &err), DM_OK, &err);
}

/* The file is what TensorBoard wrote, but for the time in its first record. */
static void assert_same(const char *path)
{
    char data[1024];
    size_t na, nb;
    unsigned char *a = scratch_read(path, &na), *b = scratch_read(scratch_data(data, sizeof data, "events.bin"), &nb);

    assert_int_equal(na, nb);
    assert_memory_equal(a, b, 12);
    assert_memory_equal(a + FIRST, b + FIRST, na - FIRST);
    free(a);
    free(b);
}

static void write__same_bytes_as_tensorboard(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "tfevents");
    dm_err err;
    dm_tb *t;

    (void)state;
    assert_status(dm_tb_open(NULL, path, -1, &t, &err), DM_OK, &err);
    put_steps(t, 1, 3);
    dm_tb_close(t);
    assert_same(path);
    scratch_remove(dir.dir);
}

/* Torn at any byte and cut back to any step, what is written again makes the same file. */
static void open__cuts_back_and_goes_on(void **state)
{
    scratch dir = scratch_new();
    char data[1024];
    size_t n;
    unsigned char *b = scratch_read(scratch_data(data, sizeof data, "events.bin"), &n);
    dm_err err;
    dm_tb *t;

    (void)state;
    for (size_t torn = 0; torn <= n; torn += 7)
        for (int last = 0; last <= 2; last++) {
            const char *path = scratch_file(&dir, "tfevents", b, torn);
            size_t left;
            int whole = 0;

            assert_status(dm_tb_open(NULL, path, last * 1000, &t, &err), DM_OK, &err);
            free(scratch_read(path, &left));
            while (whole < last && left > FIRST + (size_t)(whole + 1) * 40) /* how many steps survived */
                whole++;
            put_steps(t, whole + 1, 3);
            dm_tb_close(t);
            assert_same(path);
        }
    free(b);
    scratch_remove(dir.dir);
}

/* Damage anywhere never makes more of the file than there is. */
static void open__survives_damage(void **state)
{
    scratch dir = scratch_new();
    char data[1024];
    size_t n, left;
    unsigned char *b = scratch_read(scratch_data(data, sizeof data, "events.bin"), &n);
    dm_err err;
    dm_tb *t;

    (void)state;
    for (size_t i = 0; i < n; i += 3) {
        const char *path;

        b[i] ^= 0x40;
        path = scratch_file(&dir, "tfevents", b, n);
        assert_status(dm_tb_open(NULL, path, 9000, &t, &err), DM_OK, &err);
        dm_tb_close(t);
        free(scratch_read(path, &left));
        assert_in_range(left, FIRST, n - 1);
        b[i] ^= 0x40;
    }
    free(b);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c__known_answers),
        cmocka_unit_test(write__same_bytes_as_tensorboard),
        cmocka_unit_test(open__cuts_back_and_goes_on),
        cmocka_unit_test(open__survives_damage),
    };

    return cmocka_run_group_tests_name("tb_events", tests, NULL, NULL);
}

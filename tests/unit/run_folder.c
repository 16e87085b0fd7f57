/* The run folder: its lock, what it refuses, its checkpoints. */
#include "scratch.h"

#include "run/run_folder.h"

#include <sys/wait.h>

static void open__modes(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "a/b/run");
    dm_err err;
    dm_run *r;

    (void)state;
    assert_fails(dm_run_open(path, DM_RUN_RESUME, &r, &err), DM_ENOENT, &err, "nothing to resume");
    assert_status(dm_run_open(path, DM_RUN_NEW, &r, &err), DM_OK, &err);
    dm_run_close(r); /* stopped before it was a run: a new one may begin */
    assert_fails(dm_run_open(path, DM_RUN_RESUME, &r, &err), DM_ENOENT, &err, "nothing to resume");
    assert_status(dm_run_open(path, DM_RUN_NEW, &r, &err), DM_OK, &err);
    assert_status(dm_run_write(r, DM_RUN_CONFIG, "name: x\n", 8, &err), DM_OK, &err);
    assert_status(dm_run_write(r, "checkpoints/step-00000001.safetensors", "x", 1, &err), DM_OK, &err);
    assert_status(dm_run_write(r, "mine.txt", "x", 1, &err), DM_OK, &err);
    dm_run_close(r);
    assert_fails(dm_run_open(path, DM_RUN_NEW, &r, &err), DM_EINVAL, &err, "already has a run");
    assert_status(dm_run_open(path, DM_RUN_RESUME, &r, &err), DM_OK, &err);
    dm_run_close(r);
    assert_status(dm_run_open(path, DM_RUN_OVERWRITE, &r, &err), DM_OK, &err);
    assert_int_equal(access(scratch_path(&dir, "a/b/run/" DM_RUN_CONFIG), F_OK), 0);
    assert_status(dm_run_clear(r, &err), DM_OK, &err);
    dm_run_close(r);
    assert_int_equal(access(scratch_path(&dir, "a/b/run/mine.txt"), F_OK), 0);
    assert_int_equal(access(scratch_path(&dir, "a/b/run/" DM_RUN_CONFIG), F_OK), -1);
    assert_int_equal(scratch_entries(scratch_path(&dir, "a/b/run/checkpoints")), 0);
    scratch_file(&dir, "file", "x", 1);
    assert_fails(dm_run_open(scratch_path(&dir, "file"), DM_RUN_NEW, &r, &err), DM_EINVAL, &err, "a file has that "
                                                                                                 "name");
    scratch_remove(dir.dir);
}

static void open__second_process_is_refused(void **state)
{
    scratch dir = scratch_new();
    char pid[32];
    dm_err err;
    dm_run *r, *q;
    int status;

    (void)state;
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_OK, &err);
    snprintf(pid, sizeof pid, "process, %ld;", (long)getpid());
    assert_fails(dm_run_open(dir.dir, DM_RUN_NEW, &q, &err), DM_EINVAL, &err, "in use by this process");
    const pid_t child = fork();
    if (child == 0)
        _exit(dm_run_open(dir.dir, DM_RUN_OVERWRITE, &q, &err) == DM_EINVAL && strstr(err.msg, pid) ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    dm_run_close(r);
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &q, &err), DM_OK, &err);
    dm_run_close(q);
    scratch_remove(dir.dir);
}

static void put_checkpoint(const char *dir, int64_t step)
{
    const float x = (float)step;
    const dm_st_source t = {.name = "x", .type = DM_ST_F32, .shape = {1, {1}}, .data = &x};
    char *path = dm_checkpoint_path(dir, step);
    dm_err err;

    assert_status(dm_st_write(path, &t, 1, &(dm_st_pair){DM_ST_CHECKSUM, ""}, 1, &err), DM_OK, &err);
    free(path);
}

static void flip_last_byte(const char *path)
{
    FILE *f = fopen(path, "r+");
    int c;

    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    assert_int_equal(fputc(c ^ 1, f), c ^ 1);
    assert_int_equal(fclose(f), 0);
}

static void latest__skips_what_is_damaged(void **state)
{
    scratch dir = scratch_new();
    dm_err err, skipped;
    int64_t step;
    dm_run *r;
    dm_st *f;

    (void)state;
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_OK, &err);
    assert_fails(dm_checkpoint_latest(dir.dir, &f, &step, &skipped, &err), DM_ENOENT, &err, "has no checkpoint");
    put_checkpoint(dir.dir, 5);
    put_checkpoint(dir.dir, 123456789);
    scratch_file(&dir, "checkpoints/step-9.safetensors", "x", 1); /* none of ours */
    scratch_file(&dir, "checkpoints/step-99999999999999999999.safetensors", "x", 1);
    assert_status(dm_checkpoint_latest(dir.dir, &f, &step, &skipped, &err), DM_OK, &err);
    assert_int_equal(step, 123456789);
    assert_string_equal(skipped.msg, "");
    dm_st_close(f);
    flip_last_byte(scratch_path(&dir, "checkpoints/step-123456789.safetensors"));
    assert_status(dm_checkpoint_latest(dir.dir, &f, &step, &skipped, &err), DM_OK, &err);
    assert_int_equal(step, 5);
    assert_non_null(strstr(skipped.msg, "CRC-32"));
    dm_st_close(f);
    assert_int_equal(truncate(scratch_path(&dir, "checkpoints/step-123456789.safetensors"), 20), 0);
    assert_status(dm_checkpoint_latest(dir.dir, &f, &step, &skipped, &err), DM_OK, &err);
    assert_int_equal(step, 5);
    assert_non_null(strstr(skipped.msg, "step-123456789"));
    dm_st_close(f);
    assert_int_equal(truncate(scratch_path(&dir, "checkpoints/step-00000005.safetensors"), 0), 0);
    assert_fails(dm_checkpoint_latest(dir.dir, &f, &step, NULL, &err), DM_ECORRUPT, &err, "no checkpoint in");
    dm_run_close(r);
    scratch_remove(dir.dir);
}

static void prune__keeps_the_newest(void **state)
{
    static const int64_t all[] = {1, 2, 3, 10, 20, 30}, spared = 2;
    scratch dir = scratch_new();
    dm_folder f;
    int64_t *steps;
    dm_err err;
    dm_run *r;
    int n;

    (void)state;
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_OK, &err);
    for (int i = 0; i < 6; i++)
        put_checkpoint(dir.dir, all[i]);
    assert_status(dm_folder_open(&f, dir.dir, &err), DM_OK, &err);
    assert_status(dm_checkpoint_prune(&f, 20, 2, &spared, 1, &err), DM_OK, &err);
    dm_folder_close(&f);
    assert_status(dm_checkpoint_list(dir.dir, &steps, &n, &err), DM_OK, &err);
    assert_int_equal(n, 4);
    assert_true(steps[0] == 30 && steps[1] == 20 && steps[2] == 10 && steps[3] == 2);
    free(steps);
    dm_run_close(r);
    scratch_remove(dir.dir);
}

/* Files of a run's names where no run is are somebody's own; others are never touched. */
static void open__keeps_what_is_not_a_run(void **state)
{
    scratch dir = scratch_new();
    dm_err err;
    dm_run *r;

    (void)state;
    scratch_file(&dir, "log.txt", "mine", 4);
    assert_fails(dm_run_open(dir.dir, DM_RUN_OVERWRITE, &r, &err), DM_EINVAL, &err,
                 "'log.txt' that a run would overwrite");
    assert_fails(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_EINVAL, &err, "it is not a run");
    assert_int_equal(unlink(scratch_path(&dir, "log.txt")), 0);
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_OK, &err);
    assert_status(dm_run_write(r, DM_RUN_CONFIG, "name: x\n", 8, &err), DM_OK, &err);
    scratch_file(&dir, "samples/mine.png", "x", 1);
    scratch_file(&dir, "samples/step-1.png", "x", 1);
    scratch_file(&dir, "mine.tmp", "x", 1);
    scratch_file(&dir, "mine.12.tmp", "x", 1);
    dm_run_close(r);
    assert_status(dm_run_open(dir.dir, DM_RUN_OVERWRITE, &r, &err), DM_OK, &err);
    assert_status(dm_run_clear(r, &err), DM_OK, &err);
    assert_int_equal(access(scratch_path(&dir, "samples/mine.png"), F_OK), 0);
    assert_int_equal(access(scratch_path(&dir, "samples/step-1.png"), F_OK), -1);
    assert_int_equal(access(scratch_path(&dir, "mine.tmp"), F_OK), 0);
    assert_int_equal(access(scratch_path(&dir, "mine.12.tmp"), F_OK), 0);
    assert_int_equal(access(scratch_path(&dir, DM_RUN_CONFIG), F_OK), -1);
    dm_run_close(r);
    scratch_remove(dir.dir);
}

/* What a killed process left is gone, and env.json is there and is JSON of a kind. */
static void open__removes_leftovers(void **state)
{
    static const char *const argv[] = {"demist", "train", "bad\xff.yaml"};
    scratch dir = scratch_new();
    dm_err err;
    dm_run *r;
    char *text;
    size_t n;

    (void)state;
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_OK, &err);
    dm_run_close(r);
    scratch_file(&dir, "checkpoints/step-00000001.safetensors.123.tmp", "x", 1);
    scratch_file(&dir, "env.json.77.tmp", "x", 1);
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_OK, &err);
    assert_int_equal(scratch_entries(scratch_path(&dir, "checkpoints")), 0);
    assert_int_equal(scratch_entries(dir.dir), 5);
    assert_status(dm_run_write_env(r, 3, argv, &(dm_pair){"device", "none \"at\" all"}, 1, NULL, &err), DM_OK, &err);
    text = (char *)scratch_read(scratch_path(&dir, "env.json"), &n);
    assert_non_null(strstr(text, "\"device\": \"none \\\"at\\\" all\""));
    assert_non_null(strstr(text, "\"train\",\n    null"));
    free(text);
    dm_run_close(r);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open__modes),
        cmocka_unit_test(open__second_process_is_refused),
        cmocka_unit_test(latest__skips_what_is_damaged),
        cmocka_unit_test(prune__keeps_the_newest),
        cmocka_unit_test(open__keeps_what_is_not_a_run),
        cmocka_unit_test(open__removes_leftovers),
    };

    return cmocka_run_group_tests_name("run_folder", tests, NULL, NULL);
}

/* A process that saves checkpoints is killed at any moment: every checkpoint that has its name is whole,
 * the lock is free, and a resumed log has each step once. */
#include "../unit/scratch.h"

#include "run/run_folder.h"
#include "run/run_log.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KILLS = 60, VALUES = 30000 };

/* Goes on from the newest checkpoint for ever: a line of the log, then the checkpoint, for each step. */
static void work(const char *dir)
{
    float *x = calloc(VALUES, sizeof *x);
    const dm_st_source t = {.name = "x", .type = DM_ST_F32, .shape = {1, {VALUES}}, .data = x};
    char *log = dm_run_path(dir, DM_RUN_LOG);
    int64_t step = 0;
    dm_folder folder;
    dm_run_log *l;
    dm_run *r;
    dm_st *f;

    if (dm_run_open(dir, DM_RUN_RESUME, &r, NULL) || dm_folder_open(&folder, dir, NULL))
        _exit(1);
    if (dm_checkpoint_latest(dir, &f, &step, NULL, NULL) == DM_OK)
        dm_st_close(f);
    if (dm_run_log_open(NULL, log, step, &l, NULL))
        _exit(2);
    for (step++;; step++) {
        char *path = dm_checkpoint_path(dir, step);

        for (int i = 0; i < VALUES; i++)
            x[i] = (float)step;
        if (dm_run_log_put(l, step, &(dm_field){"loss", 0.5}, 1, NULL) ||
            dm_st_write(path, &t, 1, &(dm_st_pair){DM_ST_CHECKSUM, ""}, 1, NULL) ||
            dm_checkpoint_prune(&folder, step, 3, NULL, 0, NULL))
            _exit(3);
        free(path);
    }
}

static int64_t newest_of(const char *dir)
{
    int64_t *steps, newest;
    dm_err err;
    int n;

    assert_status(dm_checkpoint_list(dir, &steps, &n, &err), DM_OK, &err);
    newest = n ? steps[0] : 0;
    free(steps);
    return newest;
}

static void check_checkpoints(const char *dir, int64_t *newest)
{
    int64_t *steps, before = *newest;
    dm_err err;
    int n;

    assert_status(dm_checkpoint_list(dir, &steps, &n, &err), DM_OK, &err);
    for (int i = 0; i < n; i++) {
        char *path = dm_checkpoint_path(dir, steps[i]);
        float x[2];
        dm_st *f;

        assert_status(dm_st_open(path, &f, &err), DM_OK, &err);
        assert_status(dm_st_read_f32(f, dm_st_at(f, 0), 0, 1, x, &err), DM_OK, &err);
        assert_status(dm_st_read_f32(f, dm_st_at(f, 0), VALUES - 1, 1, x + 1, &err), DM_OK, &err);
        assert_true(x[0] == (float)steps[i] && x[1] == x[0]);
        dm_st_close(f);
        free(path);
    }
    assert_true(n > 0 || before == 0);
    *newest = n ? steps[0] : 0;
    assert_true(*newest >= before);
    free(steps);
}

static void save__killed_at_any_moment(void **state)
{
    static const char *const names[] = {"step"};
    scratch dir = scratch_new();
    int64_t newest = 0, rows, *steps;
    double *v;
    dm_run_log *l;
    dm_run *r;
    dm_err err;
    int status, n;

    (void)state;
    assert_status(dm_run_open(dir.dir, DM_RUN_NEW, &r, &err), DM_OK, &err);
    assert_status(dm_run_write(r, DM_RUN_CONFIG, "", 0, &err), DM_OK, &err);
    dm_run_close(r);
    for (int k = 0; k < KILLS; k++) {
        const pid_t child = fork();

        if (child == 0)
            work(dir.dir);
        do { /* 1 to 21 ms, each tenth time until it has saved, however slow the disk */
            nanosleep(&(struct timespec){0, 1000000L + 337000L * (k * 7 % 61)}, NULL);
        } while (k % 10 == 9 && newest_of(dir.dir) == newest);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        check_checkpoints(dir.dir, &newest);
    }
    assert_true(newest >= KILLS / 10);
    assert_status(dm_run_open(dir.dir, DM_RUN_RESUME, &r, &err), DM_OK, &err);
    assert_status(dm_checkpoint_list(dir.dir, &steps, &n, &err), DM_OK, &err);
    assert_int_equal(scratch_entries(scratch_path(&dir, "checkpoints")), n); /* no leftovers */
    free(steps);
    assert_status(dm_run_log_open(NULL, scratch_path(&dir, DM_RUN_LOG), newest, &l, &err), DM_OK, &err);
    dm_run_log_close(l);
    assert_status(dm_run_log_read(NULL, scratch_path(&dir, DM_RUN_LOG), names, 1, &v, &rows, &err), DM_OK, &err);
    assert_int_equal(rows, newest);
    for (int64_t i = 0; i < rows; i++)
        assert_true(v[i] == (double)(i + 1));
    free(v);
    dm_run_close(r);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(save__killed_at_any_moment)};

    return cmocka_run_group_tests_name("save", tests, NULL, NULL);
}

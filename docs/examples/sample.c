/* Samples from C: sample RUN COUNT. Builds with
 *     cc -std=c11 sample.c $(pkg-config --cflags --libs demist) -o sample */
#include <stdio.h>
#include <stdlib.h>

#include <demist/demist.h>

static void on_log(void *user, dm_log_level level, const char *line)
{
    (void)user;
    if (level <= DM_LOG_WARNING)
        fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
    const dm_callbacks callbacks = {.size = sizeof callbacks, .log = on_log};
    const dm_model_options how = {.size = sizeof how, .callbacks = &callbacks};
    const dm_sample_options o = {.size = sizeof o, .count = argc > 2 ? atoi(argv[2]) : 1};
    dm_images im = {.size = sizeof im};
    dm_model *model = NULL;
    dm_err err = {DM_OK, ""};

    if (argc < 2 || dm_model_open(argv[1], &how, &model, &err) || dm_model_sample(model, &o, &im, &err)) {
        fprintf(stderr, "%s\n", argc < 2 ? "usage: sample RUN [COUNT]" : err.msg);
        dm_model_close(model);
        return 1;
    }
    printf("%lld images, the first value is %.6f (%s)\n", (long long)im.shape.dim[0], (double)im.x[0], im.about);
    dm_images_free(&im);
    dm_model_close(model);
    return 0;
}

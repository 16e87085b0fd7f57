/* libFuzzer's side of target.h: guided --parser=NAME [LIBFUZZER'S OPTIONS] [CORPUS...], for $DEMIST_FUZZ_SECONDS where
 * that is set. */
#include "target.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *b, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *b, size_t n, size_t most, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *b, size_t n, size_t most); /* libFuzzer's */

static const fuzz_target *target;

static const char *option(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++)
        if (!strncmp(argv[i], name, strlen(name)))
            return argv[i] + strlen(name);
    return "";
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *seconds = getenv("DEMIST_FUZZ_SECONDS"), *name = option(*argc, *argv, "--parser=");
    static char time[64], *all[64];

    if (!(target = fuzz_find(name)) || *argc >= (int)(sizeof all / sizeof all[0])) {
        fprintf(stderr, "usage: guided --parser=NAME [libFuzzer's options] [corpus...]; no parser is named '%s'\n",
                name);
        exit(2);
    }
    if (seconds) {
        memcpy(all, *argv, (size_t)*argc * sizeof *all);
        snprintf(time, sizeof time, "-max_total_time=%s", seconds);
        all[(*argc)++] = time;
        *argv = all;
    }
    fuzz_begin(target);
    atexit(fuzz_end);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *b, size_t n)
{
    fuzz_one(target, b, n);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *b, size_t n, size_t most, unsigned int seed)
{
    n = LLVMFuzzerMutate(b, n, most);
    if (target->mend && seed % 4)
        target->mend(b, n);
    return n;
}

/* Bytes changed at random: mutated PARSER SEED CORPUS [WORDS]. Each input begins as a file of the folder CORPUS, has
 * bytes, lengths, words and order changed, and goes to the parser, for $DEMIST_FUZZ_SECONDS (1). A sanitizer, a crash
 * or seconds of work on one input fail; what was at fault stays in the folder that the first line names. */
#include "target.h"

#include "base/clock.h"

#include <dirent.h>
#include <time.h>

enum { MOST_FILES = 512, MOST_WORDS = 256 };

typedef struct bytes { unsigned char *b; size_t n; } bytes;

static bytes corpus[MOST_FILES], words[MOST_WORDS];
static uint32_t n_corpus, n_words;
static uint64_t state;

static uint32_t below(uint32_t n) /* xorshift64*, Vigna 2016 */
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545f4914f6cdd1du) >> 33) % n;
}

static int hidden(const struct dirent *e) { return e->d_name[0] != '.'; }

static void take_corpus(const char *dir)
{
    struct dirent **list;
    const int n = scandir(dir, &list, hidden, alphasort); /* the same order everywhere, for the seed's sake */

    assert_true(n > 0 && n <= MOST_FILES);
    for (int i = 0; i < n; i++) {
        char path[2048];
        bytes *c = &corpus[n_corpus++];

        snprintf(path, sizeof path, "%s/%s", dir, list[i]->d_name);
        c->b = scratch_read(path, &c->n);
        assert_true(c->n <= FUZZ_MOST);
        free(list[i]);
    }
    free(list);
}

/* A line of libFuzzer's dictionaries: "text", with \xAB, \\ and \" in it. */
static void take_word(const char *line)
{
    bytes *w = &words[n_words];

    if (*line != '"' || n_words == MOST_WORDS)
        return;
    w->b = malloc(strlen(line));
    for (const char *p = line + 1; *p && *p != '"'; p++) {
        char digits[3] = "";

        if (*p == '\\' && p[1] == 'x') {
            memcpy(digits, p + 2, 2);
            p += 3;
        } else if (*p == '\\') {
            p++;
        }
        w->b[w->n++] = *digits ? (unsigned char)strtol(digits, NULL, 16) : (unsigned char)*p;
    }
    n_words++;
}

static void take_words(const char *file)
{
    FILE *f = fopen(file, "r");
    char line[256];

    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        take_word(line);
    fclose(f);
    assert_true(n_words > 0);
}

/* m bytes of `what` in place of those from `at` to `end`. */
static size_t put(unsigned char *b, size_t n, size_t at, size_t end, const unsigned char *what, size_t m)
{
    if (n - (end - at) + m > FUZZ_MOST)
        return n;
    memmove(b + at + m, b + end, n - end);
    memcpy(b + at, what, m);
    return n - (end - at) + m;
}

static size_t put_word(unsigned char *b, size_t n, size_t at)
{
    const bytes *w = &words[below(n_words)];
    size_t end = at;

    switch (below(3)) {
    case 0: break;
    case 1: end = at + w->n < n ? at + w->n : n; break;
    default: /* the value behind a colon */
        while (at < n && b[at] != ':')
            at++;
        at += at < n;
        for (end = at; end < n && b[end] != ',' && b[end] != '\n';)
            end++;
    }
    return put(b, n, at, end, w->b, w->n);
}

static size_t change(unsigned char *b, size_t n)
{
    static const unsigned char edges[] = {0, 1, 0x7f, 0x80, 0xff, ' ', '"', '{', '9', '-'};
    const size_t at = n ? below((uint32_t)n) : 0, len = n ? 1 + below((uint32_t)(n - at < 16 ? n - at : 16)) : 0;
    const bytes *from = &corpus[below(n_corpus)];
    unsigned char random[4];

    if (n_words && below(3))
        return put_word(b, n, at);
    switch (n ? below(8) : 5) {
    case 0: b[at] ^= (unsigned char)(1 << below(8)); break;
    case 1: b[at] = edges[below(sizeof edges)]; break;
    case 2: memset(b + at, edges[below(sizeof edges)], len); break;
    case 3: return put(b, n, at, at + len, b, 0);
    case 4: memmove(b + at, b + below((uint32_t)(n - len + 1)), len); break;
    case 5:
        for (size_t i = 0; i < sizeof random; i++)
            random[i] = (unsigned char)below(256);
        return put(b, n, at, at, random, sizeof random);
    case 6: return from->n >= len ? put(b, n, at, at, from->b + below((uint32_t)(from->n - len + 1)), len) : n;
    default: return below(8) ? n : at;
    }
    return n;
}

static void fuzz(const fuzz_target *t, double seconds)
{
    const double end = dm_seconds() + seconds;
    unsigned char *b = malloc(FUZZ_MOST);
    int64_t runs = 0, sound = 0;

    for (; dm_seconds() < end || runs < n_corpus; runs++) {
        const clock_t began = clock(); /* the processor's, which other work on the machine does not take */
        const bytes *c = &corpus[runs < n_corpus ? (uint32_t)runs : below(n_corpus)];
        size_t n = c->n;

        memcpy(b, c->b, n);
        for (uint32_t changes = below(6) + 1; runs >= n_corpus && changes--;)
            n = change(b, n);
        if (runs >= n_corpus && t->mend && below(4))
            t->mend(b, n);
        sound += fuzz_one(t, b, n) == DM_OK;
        assert_true(clock() - began < 2 * CLOCKS_PER_SEC);
    }
    printf("%lld inputs, %lld of them read\n", (long long)runs, (long long)sound);
    assert_true(sound > 0);
    free(b);
}

int main(int argc, char **argv)
{
    const char *seconds = getenv("DEMIST_FUZZ_SECONDS");
    const fuzz_target *t = argc > 3 ? fuzz_find(argv[1]) : NULL;

    if (!t) {
        fprintf(stderr, "usage: mutated PARSER SEED CORPUS [WORDS]\n");
        return 2;
    }
    state = strtoull(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
    take_corpus(argv[3]);
    if (argc > 4)
        take_words(argv[4]);
    fuzz_begin(t);
    fuzz(t, seconds ? strtod(seconds, NULL) : 1);
    fuzz_end();
    for (uint32_t i = 0; i < n_corpus; i++)
        free(corpus[i].b);
    for (uint32_t i = 0; i < n_words; i++)
        free(words[i].b);
    return 0;
}

/* What formats check first, made good after a change; see target.h. */
#include "target.h"

#include "run/tb_events.h"

#include <zlib.h>

static uint64_t take(const unsigned char *b, int n) /* least significant byte first */
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | b[n];
    return v;
}

static void put(unsigned char *b, int n, uint64_t v)
{
    for (int i = 0; i < n; i++)
        b[i] = (unsigned char)(v >> (8 * i));
}

void fuzz_mend_png(unsigned char *b, size_t n)
{
    for (size_t at = 8; at + 12 <= n;) {
        const size_t len = (size_t)b[at] << 24 | (size_t)b[at + 1] << 16 | (size_t)b[at + 2] << 8 | b[at + 3];

        if (len > n - at - 12)
            return;
        const uint32_t crc = (uint32_t)crc32(0, b + at + 4, (uInt)(len + 4));
        for (int i = 0; i < 4; i++)
            b[at + 8 + len + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
        at += len + 12;
    }
}

/* The header ends with the brace that closes it, and the spaces behind that. */
void fuzz_mend_safetensors(unsigned char *b, size_t n)
{
    bool in_string = false;
    int64_t depth = 0;
    size_t at = 8;

    for (; at < n; at++) {
        if (in_string) {
            at += b[at] == '\\';
            in_string = at >= n || b[at] != '"';
        } else if (b[at] == '"') {
            in_string = true;
        } else if (b[at] == '{') {
            depth++;
        } else if (b[at] == '}' && --depth <= 0) {
            break;
        }
    }
    if (at >= n)
        return;
    for (at++; at < n && b[at] == ' ';)
        at++;
    put(b, 8, at - 8);
}

void fuzz_mend_npy(unsigned char *b, size_t n)
{
    const int size = n > 6 && b[6] == 1 ? 2 : 4;
    const size_t head = 8 + (size_t)size;
    const unsigned char *end = n > head ? memchr(b + head, '\n', n - head) : NULL;

    if (end)
        put(b + 8, size, (uint64_t)(end + 1 - (b + head)));
}

void fuzz_mend_array(unsigned char *b, size_t n)
{
    if (n >= 6 && !memcmp(b, "\x93NUMPY", 6))
        fuzz_mend_npy(b, n);
    else
        fuzz_mend_safetensors(b, n);
}

static void put_masked(unsigned char *to, const unsigned char *b, size_t n)
{
    const uint32_t crc = dm_crc32c(b, n);

    put(to, 4, (uint32_t)((crc >> 15 | crc << 17) + 0xa282ead8u)); /* as TensorBoard masks it */
}

void fuzz_mend_events(unsigned char *b, size_t n)
{
    for (size_t at = 0; at + 16 <= n;) {
        const uint64_t len = take(b + at, 8);

        if (len > n - at - 16)
            return;
        put_masked(b + at + 8, b + at, 8);
        put_masked(b + at + 12 + len, b + at + 12, (size_t)len);
        at += (size_t)len + 16;
    }
}

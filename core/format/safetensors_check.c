/* The CRC-32 that demist's own checkpoints carry; see DM_ST_CHECKSUM in safetensors.h. */
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

enum { CHUNK = 1 << 20, DIGITS = 8 };

/* The sum of the bytes from `at` to the end, going on from crc. */
static dm_status sum_rest(int fd, const char *path, int64_t at, int64_t size, uLong *crc, dm_err *err)
{
    char *buf = malloc(CHUNK);
    dm_status rc = buf ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory to check '%s'", path);

    for (size_t n; !rc && at < size; at += (int64_t)n) {
        n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        if (!(rc = dm_file_read_at(fd, path, at, buf, n, err)))
            *crc = crc32(*crc, (const Bytef *)buf, (uInt)n);
    }
    free(buf);
    return rc;
}

/* The place of the sum in the header, which it counts as zeros. */
static char *find_sum(char *header, const char *sum)
{
    static const char key[] = "\"" DM_ST_CHECKSUM "\":\"";
    char *at = strstr(header, key);

    return at && !strncmp(at + sizeof key - 1, sum, DIGITS) ? at + sizeof key - 1 : NULL;
}

dm_status dm_st_verify(const dm_st *f, dm_err *err)
{
    const char *path = dm_st_path(f), *sum = dm_st_meta(f, DM_ST_CHECKSUM);
    unsigned char head[8];
    char *header = NULL, *digits;
    uint64_t n = 0;
    uLong crc = crc32(0, NULL, 0);
    const int fd = dm_st_fd(f);
    struct stat st;
    int64_t size;
    dm_status rc;

    if (!sum)
        return DM_OK;
    if (strlen(sum) != DIGITS || strspn(sum, "0123456789abcdef") != DIGITS)
        return dm_error(err, DM_ECORRUPT, "'%s': its checksum is not %d hexadecimal digits", path, DIGITS);
    if (fstat(fd, &st))
        return dm_file_error(err, "read", path);
    size = st.st_size;
    if (!(rc = dm_file_read_at(fd, path, 0, head, 8, err)))
        for (int i = 0; i < 8; i++)
            n |= (uint64_t)head[i] << 8 * i;
    if (!rc && (size < 8 || n > (uint64_t)size - 8 || n > 100000000))
        rc = dm_error(err, DM_ECORRUPT, "'%s' changed while it was read", path);
    if (!rc && !(header = calloc(1, (size_t)n + 1)))
        rc = dm_error(err, DM_ENOMEM, "out of memory to check '%s'", path);
    if (!rc && !(rc = dm_file_read_at(fd, path, 8, header, (size_t)n, err))) {
        if ((digits = find_sum(header, sum)))
            memset(digits, '0', DIGITS);
        crc = crc32(crc32(crc, head, 8), (const Bytef *)header, (uInt)n);
        if (!digits)
            rc = dm_error(err, DM_ECORRUPT, "'%s': its checksum is not where demist writes it", path);
        else
            rc = sum_rest(fd, path, 8 + (int64_t)n, size, &crc, err);
    }
    if (!rc && crc != strtoul(sum, NULL, 16))
        rc = dm_error(err, DM_ECORRUPT, "'%s' is damaged: its bytes have the CRC-32 %08lx, but were written with %s",
                      path, crc, sum);
    free(header);
    return rc;
}

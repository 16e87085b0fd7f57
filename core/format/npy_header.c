/* The header of an .npy file; see npy_header.h. */
#include "format/npy_header.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 8 };

/* What follows a key of the header's dictionary, or "". */
static const char *after(const char *head, const char *key)
{
    const char *p = strstr(head, key);

    return p ? p + strlen(key) + strspn(p + strlen(key), " :") : "";
}

dm_status dm_npy_header_parse(const char *path, const char *head, dm_npy_header *out, dm_err *err)
{
    static const struct { char name[3]; dm_st_type type; } types[] = {
        {"b1", DM_ST_BOOL}, {"u1", DM_ST_U8}, {"i1", DM_ST_I8}, {"u2", DM_ST_U16}, {"i2", DM_ST_I16}, {"u4", DM_ST_U32},
        {"i4", DM_ST_I32},
        {"u8", DM_ST_U64}, {"i8", DM_ST_I64}, {"f2", DM_ST_F16}, {"f4", DM_ST_F32}, {"f8", DM_ST_F64}};
    const char *type = after(head, "'descr'"), *p = after(head, "'shape'");
    size_t k = 0;

    while (k < sizeof types / sizeof types[0] && (strlen(type) < 5 || strncmp(type + 2, types[k].name, 2) ||
                                                  type[4] != '\''))
        k++;
    if (k == sizeof types / sizeof types[0] || *p != '(')
        return dm_error(err, DM_ECORRUPT, "'%s': not a known number type: %.100s", path, head);
    *out = (dm_npy_header){.type = types[k].type, .swap = type[1] == '>',
                           .fortran = !strncmp(after(head, "'fortran_order'"), "True", 4)};
    for (p++; *p != ')'; p += strspn(p, ", ")) {
        char *end = NULL;
        const long long d = *p >= '0' && *p <= '9' ? strtoll(p, &end, 10) : -1;

        if (d < 0 || d == INT64_MAX || out->shape.rank == MAX_RANK)
            return dm_error(err, DM_ECORRUPT, "'%s': the shape is malformed, or its rank is above %d: %.100s", path,
                            MAX_RANK, head);
        out->shape.dim[out->shape.rank++] = d;
        p = end;
    }
    return DM_OK;
}

void dm_npy_swap(unsigned char *b, int64_t n, size_t size)
{
    for (; n-- > 0; b += size)
        for (size_t i = 0; i < size / 2; i++) {
            const unsigned char t = b[i];

            b[i] = b[size - 1 - i];
            b[size - 1 - i] = t;
        }
}

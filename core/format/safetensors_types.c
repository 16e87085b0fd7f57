/* What the elements of safetensors files are as numbers; see safetensors.h. */
#include "format/safetensors.h"

#include <math.h>
#include <string.h>

static const struct { const char *name; size_t size; } types[DM_ST_TYPES] = {
    [DM_ST_BOOL] = {"BOOL", 1}, [DM_ST_U8] = {"U8", 1}, [DM_ST_I8] = {"I8", 1}, [DM_ST_F8_E5M2] = {"F8_E5M2", 1},
    [DM_ST_F8_E4M3] = {"F8_E4M3", 1}, [DM_ST_I16] = {"I16", 2}, [DM_ST_U16] = {"U16", 2}, [DM_ST_F16] = {"F16", 2},
    [DM_ST_BF16] = {"BF16", 2}, [DM_ST_I32] = {"I32", 4}, [DM_ST_U32] = {"U32", 4}, [DM_ST_F32] = {"F32", 4},
    [DM_ST_I64] = {"I64", 8}, [DM_ST_U64] = {"U64", 8}, [DM_ST_F64] = {"F64", 8},
};

const char *dm_st_type_name(dm_st_type t) { return types[t].name; }
size_t dm_st_type_size(dm_st_type t) { return types[t].size; }

dm_status dm_st_type_find(const char *name, dm_st_type *out)
{
    for (int i = 0; name && i < DM_ST_TYPES; i++)
        if (strcmp(types[i].name, name) == 0) {
            *out = (dm_st_type)i;
            return DM_OK;
        }
    return DM_EINVAL;
}

static double half(uint16_t h)
{
    const int e = h >> 10 & 31, m = h & 1023;
    const double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);

    return h >> 15 ? -v : v;
}

static double single(uint32_t bits)
{
    float v;

    memcpy(&v, &bits, 4);
    return (double)v;
}

static double wide(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, 8);
    return v;
}

static double element(dm_st_type t, uint64_t u)
{
    switch (t) {
    case DM_ST_BOOL: case DM_ST_U8: case DM_ST_U16: case DM_ST_U32: case DM_ST_U64: return (double)u;
    case DM_ST_I8: return (int8_t)u;
    case DM_ST_I16: return (int16_t)u;
    case DM_ST_I32: return (int32_t)u;
    case DM_ST_I64: return (double)(int64_t)u;
    case DM_ST_F16: return half((uint16_t)u);
    case DM_ST_BF16: return single((uint32_t)u << 16);
    case DM_ST_F32: return single((uint32_t)u);
    default: return wide(u);
    }
}

bool dm_st_to_f64(dm_st_type t, const void *bytes, int64_t n, double *to)
{
    const size_t size = dm_st_type_size(t);
    const unsigned char *b = bytes;

    if (t == DM_ST_F8_E4M3 || t == DM_ST_F8_E5M2)
        return false;
    for (int64_t i = 0; i < n; i++, b += size) {
        uint64_t u = 0;

        for (size_t k = size; k-- > 0;)
            u = u << 8 | b[k];
        to[i] = element(t, u);
    }
    return true;
}

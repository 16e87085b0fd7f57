/* An array in a file, of which parts are read: that of an .npy file, or a tensor of a .safetensors file. */
#ifndef DEMIST_CORE_ARRAY_FILE_H
#define DEMIST_CORE_ARRAY_FILE_H

#include "base/error.h"

typedef struct dm_array_file dm_array_file;

/* tensor: which of a .safetensors file; NULL: its only one, or x. DM_ENOENT where there is none of that name, as in any
 * .npy file. */
dm_status dm_array_file_open(const char *path, const char *tensor, dm_array_file **out, dm_err *err);
void dm_array_file_close(dm_array_file *f);
dm_shape dm_array_file_shape(const dm_array_file *f);
/* n values from `first` on, in C order; several threads may read. */
dm_status dm_array_file_read(const dm_array_file *f, int64_t first, int64_t n, float *to, dm_err *err);

#endif

/* TensorBoard event files: records of a length, its masked CRC-32C, a protobuf Event and its masked
 * CRC-32C. Scalars and images alone. The file's name must hold "tfevents" for TensorBoard to see it. */
#ifndef DEMIST_CORE_TB_EVENTS_H
#define DEMIST_CORE_TB_EVENTS_H

#include "run/run_log.h"

typedef struct dm_tb dm_tb;

/* Opens for appending, having dropped the events of steps above `last` and everything from the first
 * record that is torn or damaged; last = -1 begins anew. in may be NULL:
 * name is a path then. */
dm_status dm_tb_open(const dm_folder *in, const char *name, int64_t last, dm_tb **out, dm_err *err);
void dm_tb_close(dm_tb *t);
/* wall: seconds since 1970. */
dm_status dm_tb_scalars(dm_tb *t, int64_t step, double wall, const dm_field *f, int n, dm_err *err);
dm_status dm_tb_image(dm_tb *t, int64_t step, double wall, const char *tag, int32_t width, int32_t height,
                      int32_t channels, const void *png, size_t n, dm_err *err);

/* The checksum of records before it is masked. */
uint32_t dm_crc32c(const void *data, size_t n);

#endif

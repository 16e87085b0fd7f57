/* Files that are part of the program: the OpenCL C sources below kernels/, as they were when demist was built, and the
 * skeletons of tools/templates/. */
#ifndef DEMIST_EMBEDDED_H
#define DEMIST_EMBEDDED_H

#include <stddef.h>

typedef struct dm_embedded { const char *file, *source; size_t length; } dm_embedded; /* source ends in 0 */
extern const dm_embedded dm_embedded_kernels[]; /* the last of each has file NULL */
extern const dm_embedded dm_embedded_templates[];

#endif

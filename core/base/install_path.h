/* Files that lie at a fixed way from the program or library that demist's code is in, wherever that was put. */
#ifndef DEMIST_CORE_INSTALL_PATH_H
#define DEMIST_CORE_INSTALL_PATH_H

#include <limits.h>

/* path, which out holds where it is relative: it begins at the folder of the program, or of libdemist.so. NULL where
 * that folder cannot be told or the path is too long. */
const char *dm_install_path(const char *path, char out[PATH_MAX]);

#endif

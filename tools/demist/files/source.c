/* What a command is given; see source.h. */
#include "files/source.h"

#include "base/folder.h"
#include "files/output.h"

dm_status source_is_model(const char *path, bool *is, dm_err *err)
{
    dm_path_kind kind;
    const dm_status rc = dm_path_look(path, &kind, err);

    *is = !rc && (kind == DM_PATH_FOLDER || output_ends_in(path, ".safetensors"));
    return rc;
}

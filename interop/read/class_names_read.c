/* The classes' names, as a DiTPipeline's model_index.json has them. */
#include "interop/read/diffusers.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 20, NAME_ROOM = 80 };

/* The first of "great white shark, man-eater"; false where it cannot be asked for by name. */
static bool first_of(const char *names, char to[NAME_ROOM])
{
    size_t n;

    names += strspn(names, " ");
    n = strcspn(names, ",");
    if (!n || n >= NAME_ROOM || (*names >= '0' && *names <= '9'))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)names[i] < ' ' || names[i] == '/' || names[i] == 127)
            return false;
    memcpy(to, names, n);
    to[n] = '\0';
    return strcmp(to, "none") && strcmp(to, "all");
}

/* Where two have a name the first has it. Who has none has its number for one. */
static bool put(const json_t *ids, int64_t classes, json_t *seen, FILE *to)
{
    for (int64_t i = 0; i < classes; i++) {
        char name[NAME_ROOM], number[24];
        const char *names;

        snprintf(number, sizeof number, "%lld", (long long)i);
        names = json_string_value(json_object_get(ids, number));
        if (!names || !first_of(names, name) || json_object_get(seen, name))
            snprintf(name, sizeof name, "%s", number);
        else if (json_object_set_new(seen, name, json_true()))
            return false;
        fprintf(to, "%s%s", i ? "/" : "", name);
    }
    return true;
}

dm_status dm_class_names_read(const char *path, int64_t classes, FILE *to, dm_err *err)
{
    json_t *root, *ids, *seen;
    char *text;
    size_t n;
    dm_status rc = dm_file_slurp(path, LIMIT, &text, &n, err);

    if (rc)
        return rc;
    rc = dm_json_read(text, n, path, &root, err);
    free(text);
    if (rc)
        return rc;
    ids = json_object_get(root, "id2label");
    seen = json_object();
    if (!seen || (json_object_size(ids) && !put(ids, classes, seen, to)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the names of classes of '%s'", path);
    else if (ids && !json_is_null(ids) && !json_is_object(ids))
        rc = dm_error(err, DM_ECORRUPT, "'%s': id2label is not an object of classes and their names", path);
    json_decref(seen);
    json_decref(root);
    return rc;
}

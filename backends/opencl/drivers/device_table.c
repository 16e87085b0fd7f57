/* The devices of this machine as a table for people and as JSON for programs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "text/json_text.h"
#include "device/device.h"
#include "device/doctor.h"

static const char *type_name(const dm_device_info *o) { return o->gpu ? "GPU" : o->cpu ? "CPU" : "other"; }

static const struct { const char *name; size_t offset; } features[] = {
    {"fp16", offsetof(dm_device_info, fp16)},
    {"fp64", offsetof(dm_device_info, fp64)},
    {"subgroups", offsetof(dm_device_info, subgroups)},
    {"command_buffer", offsetof(dm_device_info, command_buffer)},
    {"emulated", offsetof(dm_device_info, emulated)},
};

static bool has_feature(const dm_device_info *o, size_t i)
{
    bool b;

    memcpy(&b, (const char *)o + features[i].offset, sizeof b);
    return b;
}

/* Whether it is the one that `device: auto` takes: the first GPU, or the first of all. */
static bool is_default(const dm_device_info *pick, const dm_device_info *o)
{
    return pick->platform == o->platform && pick->device == o->device;
}

static void print_row(FILE *out, const dm_device_info *pick, const dm_device_info *o)
{
    fprintf(out, "%d:%d  %-5s %s%s\n", o->platform, o->device, type_name(o), o->name,
            !is_default(pick, o) ? "" : o->gpu ? "  (auto: the first GPU)" : "  (auto: the first, as there is no GPU)");
    fprintf(out, "     platform  %s, %s, driver %s\n", o->platform_name, o->version, o->driver);
    fprintf(out, "     memory    %.1f GiB, %.1f GiB in one buffer, %" PRIu64 " KiB local\n",
            (double)o->global_mem / (1 << 30), (double)o->max_alloc / (1 << 30), o->local_mem / 1024);
    fprintf(out, "     units     %" PRIu32 ", native float vector of %" PRIu32 ", groups up to %zu\n", o->compute_units,
            o->native_float, o->max_group);
    fputs("     features ", out);
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (has_feature(o, i))
            fprintf(out, " %s", features[i].name);
    fputc('\n', out);
}

json_t *dm_device_json(const dm_device_info *o)
{
    char select[24];
    json_t *j;

    snprintf(select, sizeof select, "%d:%d", o->platform, o->device);
    j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "device", select,
                  "type", type_name(o), "platform", o->platform_name, "name", o->name,
                  "vendor", o->vendor, "driver", o->driver, "version", o->version, "compute_units",
                  (json_int_t)o->compute_units, "native_float", (json_int_t)o->native_float, "global_mem",
                  (json_int_t)o->global_mem, "max_alloc", (json_int_t)o->max_alloc, "local_mem",
                  (json_int_t)o->local_mem, "max_group", (json_int_t)o->max_group, "align", (json_int_t)o->align);
    for (size_t i = 0; j && i < sizeof features / sizeof features[0]; i++)
        if (json_object_set_new(j, features[i].name, json_boolean(has_feature(o, i))) != 0) {
            json_decref(j);
            return NULL;
        }
    return j;
}

static json_t *of_list(const dm_device_info *pick, const dm_device_info *o)
{
    json_t *j = dm_device_json(o);

    if (j && json_object_set_new(j, "default", json_boolean(is_default(pick, o))) != 0) {
        json_decref(j);
        return NULL;
    }
    return j;
}

static dm_status print_json(FILE *out, const dm_device_info *pick, const dm_device_info *all, int n, dm_err *err)
{
    json_t *list;
    bool made, written;

    dm_json_begin();
    made = (list = json_array()) != NULL;
    for (int i = 0; made && i < n; i++)
        made = json_array_append_new(list, of_list(pick, &all[i])) == 0;
    written = made && json_dumpf(list, out, JSON_INDENT(2)) == 0;
    json_decref(list);
    fputc('\n', out);
    if (!made || dm_json_lost())
        return dm_error(err, DM_ENOMEM, "out of memory while listing the OpenCL devices");
    return written ? DM_OK : dm_error(err, DM_EIO, "unable to write the devices as JSON");
}

dm_status dm_devices_print(FILE *out, bool json, dm_err *err)
{
    dm_device_info *all = NULL, pick = {.platform = -1};
    dm_err why = {0};
    int n = 0;
    dm_status s = dm_device_list(&all, &n, err);

    if (s != DM_OK)
        return s;
    if (n && dm_device_pick("auto", &pick, &why) == DM_ENOMEM)
        s = dm_error(err, DM_ENOMEM, "%s", why.msg);
    if (!s && json)
        s = print_json(out, &pick, all, n, err);
    for (int i = 0; !s && !json && i < n; i++)
        print_row(out, &pick, &all[i]);
    if (!json && !n)
        fputs("no OpenCL device found; `demist doctor` says what to install\n", out);
    free(all);
    return s;
}

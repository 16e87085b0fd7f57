/* Places of names by hash: open addressing, at most half full; see names.h. */
#include "base/names.h"

#include <stdlib.h>
#include <string.h>

uint64_t dm_name_hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

/* Where the name is, or would be; room is a power of two. */
static struct dm_names_slot *slot_of(struct dm_names_slot *slot, size_t room, const char *name)
{
    size_t i = (size_t)dm_name_hash(name) & (room - 1);

    while (slot[i].name && strcmp(slot[i].name, name))
        i = (i + 1) & (room - 1);
    return &slot[i];
}

static bool grow(dm_names *t)
{
    const size_t room = t->room ? 2 * t->room : 64;
    struct dm_names_slot *slot = calloc(room, sizeof *slot);

    if (!slot)
        return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->slot[i].name)
            *slot_of(slot, room, t->slot[i].name) = t->slot[i];
    free(t->slot);
    t->slot = slot;
    t->room = room;
    return true;
}

bool dm_names_add(dm_names *t, const char *name, int32_t place)
{
    if (2 * (t->n + 1) > t->room && !grow(t))
        return false;
    *slot_of(t->slot, t->room, name) = (struct dm_names_slot){name, place};
    t->n++;
    return true;
}

int32_t dm_names_find(const dm_names *t, const char *name)
{
    const struct dm_names_slot *s = t->room ? slot_of(t->slot, t->room, name) : NULL;

    return s && s->name ? s->place : -1;
}

void dm_names_free(dm_names *t)
{
    free(t->slot);
    *t = (dm_names){0};
}

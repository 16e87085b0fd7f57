/* Which files are the examples: those below a folder, what is left out of them, and their classes. */
#ifndef IMAGE_FOLDER_FOLDER_H
#define IMAGE_FOLDER_FOLDER_H

#include <demist/plugin.h>

typedef struct cfg {
    const char *folder, *test_folder, *background;
    bool labels, orient, webp;
    double split;
    int32_t on_error;
} cfg;
enum { ON_ERROR_STOP, ON_ERROR_SKIP };

typedef struct image { char *path; int32_t w, h, c, label; } image;
/* Files of other kinds, by the end of their name. */
typedef struct left_out { char end[12]; int64_t n; } left_out;
enum { MAX_LEFT_OUT = 12 };

typedef struct image_list {
    image *image;
    int64_t n, cap;
    left_out left[MAX_LEFT_OUT + 1]; /* the last: all other ends */
    int n_left;
} image_list;
typedef struct class_list { char **name; int32_t n; } class_list;

/* All images below dir, in the order of their names; hidden files and folders are not looked at. */
dm_status folder_list(dm_ctx *c, const char *dir, bool webp, image_list *out);
/* Those whose names, by their hash, are in the share that is held out, or all others. `below`: bytes of the folder's
 * name, which does not matter. */
void folder_split(image_list *l, size_t below, double share, bool held_out);
/* "3 .tiff, 1 .bmp"; "" where nothing was left out. */
void folder_left_out(const image_list *l, char *text, size_t n);
void folder_list_free(image_list *l);

/* The subfolders of dir, sorted. */
dm_status folder_classes(dm_ctx *c, const char *dir, class_list *out);
/* The class of an image whose path goes on with `below`. */
dm_status folder_find_class(dm_ctx *c, const class_list *l, const char *below, const char *path, int32_t *label);
void folder_classes_free(class_list *l);

#endif

/* Which files are the examples: those below a folder, and what is left out of them. */
#ifndef IMAGE_FOLDER_FOLDER_H
#define IMAGE_FOLDER_FOLDER_H

#include <demist/plugin.h>

typedef struct cfg {
    const char *folder, *test_folder, *table, *test_table, *columns, *paired_folder, *test_paired_folder, *background;
    bool labels, orient, webp, links;
    double split;
    int32_t on_error;
} cfg;
enum { ON_ERROR_STOP, ON_ERROR_SKIP };

/* at: where its entry begins, in an archive; class: as it is written, NULL without one; row: of the table; pair: of
 * the images that it is paired with. */
typedef struct image { char *path, *class; int64_t at, row, pair; int32_t w, h, c, label; } image;
/* Files of other kinds, by the end of their name. */
typedef struct left_out { char end[12]; int64_t n; } left_out;
enum { MAX_LEFT_OUT = 12 };

typedef struct image_list {
    image *image;
    int64_t n, cap;
    left_out left[MAX_LEFT_OUT + 1]; /* the last: all other ends */
    int n_left;
    int64_t folders;               /* that were walked, each as often as links lead to it */
    int64_t links;                 /* that were not followed */
} image_list;
/* webp: .webp files are images too; links: symbolic links are followed. */
typedef struct list_rules { bool webp, links; } list_rules;

/* All images below dir, in the order of their names; hidden files and folders are not looked at. */
dm_status folder_list(dm_ctx *c, const char *dir, const list_rules *rules, image_list *out);
/* "a/b"; on the heap, NULL where there is no memory. */
char *folder_join(const char *a, const char *b);
/* One more image, at the end; takes the path. */
dm_status folder_add(dm_ctx *c, image_list *l, char *path, int64_t at);
void folder_leave_out(image_list *l, const char *name);
/* By their names. */
void folder_sort(image_list *l);
/* Those whose names, by their hash, are in the share that is held out, or all others. `below`: bytes of the folder's
 * name, which does not matter. */
void folder_split(image_list *l, size_t below, double share, bool held_out);
/* "3 .tiff, 1 .bmp"; "" where nothing was left out. */
void folder_left_out(const image_list *l, char *text, size_t n);
void folder_forget(image *m);
void folder_list_free(image_list *l);
/* The names of the subfolders of dir, as paths of one part, sorted; with links, those that a link leads to too. */
dm_status folder_subfolders(dm_ctx *c, const char *dir, bool links, image_list *out);

#endif

/* What a file of columns says of each image: its class, and numbers. */
#ifndef IMAGE_FOLDER_TABLE_H
#define IMAGE_FOLDER_TABLE_H

#include <demist/plugin.h>

/* number: where its numbers are among those of all; line: where it is told, for messages. */
typedef struct row { char *file, *class; int64_t number, line; } row;
typedef struct table {
    const char *path;
    row *row;                      /* sorted by file */
    float *numbers;                /* width of each row */
    int64_t n, cap, used, room;
    int32_t width;
    bool classes;
} table;

/* A CSV file, its first line the names of its columns, or, by its end, .json of StyleGAN's kind. columns: the names of
 * those that are numbers, separated by commas; empty: all but the file and its class. path must outlive it. */
dm_status table_open(dm_ctx *c, const char *path, const char *columns, table *out);
/* Bytes of the mark that some programs put before UTF-8: 3 or 0. */
size_t table_mark(const void *text, size_t n);
/* The same of a text in memory, which is written over. */
dm_status table_parse_csv(dm_ctx *c, char *text, size_t n, const char *columns, table *t);
dm_status table_parse_json(dm_ctx *c, const char *text, size_t n, table *t);
void table_close(table *t);
/* The row of an image, or -1. */
int64_t table_find(const table *t, const char *file);
/* One more row, and one more number of the last. */
dm_status table_add(dm_ctx *c, table *t, const char *file, const char *class, int64_t line);
dm_status table_add_number(dm_ctx *c, table *t, double v);
/* Sorts, and says which file is there twice. */
dm_status table_end(dm_ctx *c, table *t);

#endif

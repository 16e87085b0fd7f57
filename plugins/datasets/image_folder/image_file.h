/* One image file: its extents as it is seen, or its pixels. */
#ifndef IMAGE_FILE_H
#define IMAGE_FILE_H

#include <setjmp.h>
#include <demist/plugin.h>

enum { MAX_SIDE = 16384, MAX_BYTES = 256 << 20 };

/* How a file is to be seen. */
typedef struct image_rules {
    bool orient;                   /* turned as its EXIF says */
    bool blend;                    /* over background, where it has alpha; else alpha is dropped */
    unsigned char background[3];
} image_rules;

/* A file being decoded. */
typedef struct image_file {
    const image_rules *rules;
    FILE *f;
    int64_t bytes;                 /* of the file */
    jmp_buf jump;                  /* out of libpng and libjpeg */
    char msg[200];                 /* why it cannot be read */
    bool no_memory, no_read;       /* the machine failed, which says nothing of the file */
    int32_t w, h, c;               /* of what comes out: 1 = grey, 3 = RGB */
    int32_t planes;                /* bytes of a pixel while it is decoded: alpha and CMYK too */
    int32_t turn;                  /* EXIF's orientation, 1..8 */
    unsigned char *pixels, **row;  /* channels last */
} image_file;

/* A file, or, where bytes is not NULL, what is called so and has these n bytes. */
typedef struct image_from { const char *path; unsigned char *bytes; size_t n; } image_from;
/* Extents, and pixels if wanted, which the caller frees. DM_ECORRUPT names the file and
 * says why, DM_EINVAL where it cannot be opened; DM_ENOMEM and DM_EIO say nothing of the file. */
dm_status image_open(dm_ctx *c, const image_from *from, const image_rules *rules, bool pixels, image_file *j);
/* Extents, and whether all of it seems to be there; what does not end as it should is decoded to know. */
dm_status image_check(dm_ctx *c, const image_from *from, const image_rules *rules, image_file *j);
/* Whether a name ends as that of an image does. */
bool image_has_name(const char *name, bool webp);

/* ---- for the formats ---- */

bool image_fail(image_file *j, const char *msg);
bool image_no_memory(image_file *j);
/* After a seek that failed; a stream that failed to read is known by itself. */
bool image_no_read(image_file *j);
/* False after an error where the file is shorter than what so many pixels take at least. Small pictures always pass. */
bool image_holds(image_file *j, double w, double h, double least_bytes);
/* Checks the extents and makes room, unless only they are wanted. c: of what comes out, planes: of what is decoded. */
bool image_begin(image_file *j, double w, double h, int32_t c, int32_t planes, bool pixels);
bool image_read_png(image_file *j, bool pixels);
bool image_read_jpeg(image_file *j, bool pixels);
bool image_read_webp(image_file *j, bool pixels);
/* EXIF data without the "Exif\0\0" that may stand before it. */
void image_take_exif(image_file *j, const unsigned char *data, size_t n);

#endif

/* The images of a second folder that are told with those of the first, by their names without the end. */
#ifndef IMAGE_FOLDER_PAIRS_H
#define IMAGE_FOLDER_PAIRS_H

#include "source.h"

/* Gives each image its pair. */
dm_status pairs_match(dm_ctx *c, source *images, source *pairs);
/* The header of one of them. */
dm_status pairs_check(dm_ctx *c, source *pairs, int64_t at, const image_rules *rules);
/* Those of the images that are left must be alike. */
dm_status pairs_same_size(dm_ctx *c, const source *pairs, const image_list *images);

#endif

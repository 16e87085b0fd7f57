/* What making a net and examining one have in common. */
#ifndef DEMIST_CORE_NET_MAKE_H
#define DEMIST_CORE_NET_MAKE_H

#include "model/net.h"

/* As dm_net_new; d may be NULL; *at is the section at fault. */
dm_status dm_net_make(const dm_experiment *e, const dm_noise *noise, dm_device *d, const dm_data_info *data,
                      int64_t label_width, dm_net **out, dm_section_id *at, dm_err *err);
/* Builds the network for n examples: the first time to learn its weights, then to see that they are the same. */
dm_status dm_net_find_weights(dm_net *m, int64_t n, dm_err *err);
/* The labels of n examples in a graph; DM_NONE where there are none. */
dm_val dm_net_label_input(const dm_net *m, dm_graph_core *g, int64_t n);
dm_device *dm_net_device(const dm_net *m);

#endif

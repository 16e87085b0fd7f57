/* The net of an experiment: its network and objective plugins at work, the layout of its weights, and the graphs that
 * run them: the network alone (sampling, prediction) and a training step. */
#ifndef DEMIST_CORE_NET_H
#define DEMIST_CORE_NET_H

#include "experiment/experiment.h"
#include "model/guiding.h"
#include "model/net_level.h"
#include "model/condition_batch.h"
#include "noise/noise.h"
#include "plan/plan.h"

typedef struct dm_net dm_net;

/* data: what the host's scaling gives (low -1, high 1 for pixels), from the data set or a run folder.
 * label_width: 0, or labels are vectors of so many elements (of a model that is predicted with alone).
 * noise may be NULL where the objective needs none. experiment, noise and device must outlive it. */
dm_status dm_net_new(const dm_experiment *e, const dm_noise *noise, dm_device *d, const dm_data_info *data,
                       int64_t label_width, dm_net **out, dm_err *err);
/* The weights that the loss does not train, and those that only stop_gradient keeps from it, which is how a network
 * freezes weights: how many, and the first. */
typedef struct dm_unreached { int32_t n, n_frozen; char first[DM_KEY_MAX + 1], frozen[DM_KEY_MAX + 1]; } dm_unreached;
/* The same without a device, for what its parts have to say: also the loss and its gradient are built. *at is the
 * section at fault. */
dm_status dm_net_examine(const dm_experiment *e, const dm_noise *noise, const dm_data_info *data, int64_t label_width,
                           dm_net **out, dm_unreached *unreached, dm_section_id *at, dm_err *err);
void dm_net_free(dm_net *m);
/* What plans of this model are made with from now on: choices of implementations (NULL = by rule), and how often the
 * next is expected to run. */
void dm_net_use(dm_net *m, dm_choices *choices);
dm_choices *dm_net_choices(const dm_net *m);
void dm_net_expect(dm_net *m, double runs);
double dm_net_expected(const dm_net *m);
/* Whether training steps made from now on compute again what is cheap; as train.recompute says unless set. */
void dm_net_recompute(dm_net *m, bool on);
bool dm_net_recomputes(const dm_net *m);
const dm_layout *dm_net_layout(const dm_net *m);
/* Lays the weights out anew, for devices of this alignment and `most` bytes in one allocation; none may be there. */
dm_status dm_net_lay_out(dm_net *m, size_t align, uint64_t most, dm_err *err);
/* Does it turn noise into data? A classifier does not. */
bool dm_net_diffuses(const dm_net *m);
/* Does the network read the classes of its examples? In training, is it kept from some of them? */
bool dm_net_reads_labels(const dm_net *m);
bool dm_net_drops_labels(const dm_net *m);
/* Is the noise of training assigned to the examples by the caller (objective.coupling)? */
bool dm_net_couples(const dm_net *m);
/* What else it is conditioned on. */
const dm_conditions *dm_net_conditions(const dm_net *m);
/* A step of random numbers that no training reaches, for what is derived outside of it. */
#define DM_STEP_OF_EVALUATION UINT32_C(0xfffffff0)
/* Fills t, of n examples or more, from the images x0 f32[n,...] that they are of, and from what the data tell of them
 * (dm_data_conditions); index of the first in its batch. */
void dm_net_derive(const dm_net *m, const float *x0, const float *given, int64_t n, uint64_t seed, uint32_t step,
                   uint32_t first_index, dm_condition_batch *t);
/* What guidance of it can have. */
dm_guiding_facts dm_net_can_be_guided(const dm_net *m);
/* Does the network tell the variance of a step? */
bool dm_net_learns_variance(const dm_net *m);
dm_instance *dm_net_objective(dm_net *m);
const dm_instance *dm_net_network(const dm_net *m);
const dm_data_info *dm_net_data(const dm_net *m);
int32_t dm_net_out_channels(const dm_net *m);

/* ---- the network alone ---------------------------------------------------------- */

typedef struct dm_forward dm_forward;
/* For n examples of this shape (C,H,W or D; NULL = the data's). name: for messages. */
dm_status dm_forward_new(dm_net *m, dm_wset *weights, int64_t n, const dm_shape *example, dm_forward **out,
                         dm_err *err);
/* The same, of the data's shape, whose runs also give the product of a vector with the derivative of F, of its channels
 * that are the data's, with respect to x: v' dF/dx, both f32[n,C,H,W]. */
dm_status dm_forward_new_product(dm_net *m, dm_wset *weights, int64_t n, dm_forward **out, dm_err *err);
dm_buf *dm_forward_vector(const dm_forward *f);
dm_buf *dm_forward_product(const dm_forward *f);
void dm_forward_free(dm_forward *f);
dm_buf *dm_forward_input(const dm_forward *f); /* x f32[n,C,H,W] */
dm_buf *
dm_forward_output(const dm_forward *f); /* F f32[n,out_channels,H,W], or [n,out_channels] of a network without pixels */
dm_shape dm_forward_shape(const dm_forward *f); /* of the output */
/* F = network(c_in x, c_noise, labels), each array of n; labels may be NULL where the data has none. */
dm_status dm_forward_run(dm_forward *f, const double *c_in, const double *c_noise, const int32_t *labels, dm_err *err);
/* The noise level of all n in the runs that follow, for networks that read it, without which these cannot run. */
dm_status dm_forward_level(dm_forward *f, const dm_point *p, const dm_affine *a, dm_err *err);
/* Labels that are vectors, f32[n,label_width], for the runs that follow. */
dm_status dm_forward_vectors(dm_forward *f, const float *vectors, dm_err *err);
/* The conditions of all n in the runs that follow, without which those of a network that has some fail; serial: above
 * 0, and the same where these were set just before. */
dm_status dm_forward_set_conditions(dm_forward *f, const dm_condition_batch *c, uint64_t serial, dm_err *err);
const dm_plan *dm_forward_plan(const dm_forward *f);

/* ---- a training step --------------------------------------------------------------- */

typedef struct dm_grad_step dm_grad_step;
/* n examples at once; grads: flat, laid out as the weights, added to; loss_sum f32[1], to which
 * sum(weight loss) is added. Both NULL: no training, the losses alone, without dropout.
 * alone: a step of training has no other micro-batch, so that gradients need not be added to. */
dm_status dm_grad_step_new(dm_net *m, dm_wset *weights, dm_buf *grads, dm_buf *loss_sum, int64_t n, bool alone,
                           dm_grad_step **out, dm_err *err);
/* Are gradients written, whatever grads had? */
bool dm_grad_step_writes(const dm_grad_step *s);
void dm_grad_step_free(dm_grad_step *s);
/* Can it be built, and does it train anything? Needs no device. */
dm_status dm_grad_step_examine(dm_net *m, dm_unreached *unreached, dm_err *err);
typedef struct dm_grad_batch {
    const float *x0;       /* f32[n,C,H,W], host */
    const int32_t *labels; /* i32[n]; NULL where the data has none */
    const int32_t *labels_read; /* as the network reads them, in training with dm_net_drops_labels; else NULL */
    const dm_condition_batch *conditions; /* as the network reads them; NULL where it has none */
    const dm_point *at;    /* n points; NULL without diffusion */
    const float *noise;    /* f32[n,C,H,W], in training with dm_net_couples; else drawn on the device */
    const double *weight;  /* n: importance / batch; 0 for padding */
    uint64_t seed;
    uint32_t step,
        first_index; /* of the random numbers: the optimizer step, and the first example's place in its batch */
    const dm_plan_watch *watch; /* whom the run tells how far it is; may be NULL */
} dm_grad_batch;
dm_status dm_grad_step_run(dm_grad_step *s, const dm_grad_batch *b, dm_err *err);
dm_plan *dm_grad_step_plan(dm_grad_step *s);
/* The loss of each example of the last run, f32[n], on the device; and on the host, which waits. */
dm_buf *dm_grad_step_loss(const dm_grad_step *s);
dm_status dm_grad_step_losses(dm_grad_step *s, float *loss, dm_err *err);

/* Equal parts of (0,1) whose losses are worth telling apart: the steps of a discrete schedule, or a hundred or so. */
int32_t dm_net_draw_parts(const dm_net *m);
/* The noise levels of a batch, from uniforms in (0,1); importance is 1 unless the objective says otherwise. */
dm_status dm_net_draw(dm_net *m, int32_t n, const double *u, dm_point *at, double *importance, dm_err *err);

/* The noise level that networks in this graph read; none unless it is set. */
void dm_net_set_level(dm_graph_core *g, const dm_net_level *l);
/* The conditions that they read; none unless they are set. */
void dm_net_set_conditions(dm_graph_core *g, const dm_condition_inputs *t);
/* Where an objective runs the network on `labels`, it reads these instead. */
void dm_net_set_labels_read(dm_graph_core *g, dm_val labels, dm_val labels_read);
/* Shared by both: the network plugin on these values. */
dm_val dm_net_build(dm_net *m, dm_graph_core *g, const dm_graph *api, dm_val x, dm_val noise, dm_val labels);
/* Precision as the experiment has it: before the gradient of a fused graph, and after. */
void dm_net_precision(const dm_net *m, dm_graph_core *g, const dm_val *results, int n);
void dm_net_insert_casts(const dm_net *m, dm_graph_core *g);
/* Sets up a fresh graph whose g->network is this model's. */
dm_status dm_net_graph(dm_net *m, bool training, dm_graph_core **g, const dm_graph **api, dm_err *err);
/* f32[n] of an example's shape with n in front. */
dm_shape dm_net_batch_shape(const dm_shape *example, int64_t n, int64_t channels);

#endif

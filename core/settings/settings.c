/* The parameter rows of the host's own keys; see settings.h. */
#include "settings/settings.h"

#include <string.h>

#include "settings/param.h"

#define S dm_set_run
static const dm_param run_rows[] = {
    DM_STRING(S, name, "run", "name of the experiment, and of its run folder below runs/"),
    DM_INT(S, seed, "0", 0, 9007199254740992.0, "", "every random number follows from it"),
    DM_TEXTS(S, device, "auto",
             "auto, cpu, gpu, part of a platform's or device's name, or i:j; with several ranks, each takes its own "
             "of those that match, or, from a list [A, B], the one at its place on its host"),
    DM_PATH(S, output, "", "run folder, relative to where the command is run; empty = runs/ and the name"),
    DM_STRING(S, plugin_path, "",
              "folders to search for plugins first, separated by ':', relative to the file that names them"),
    DM_ENUM(S, precision, "fp32", "fp32|bf16|fp16",
            "bf16 and fp16 store activations in 16 bits and multiply in that format, with weights in fp32; bf16 sums "
            "in fp32, best on CPUs with AMX; fp16 is for sampling and evaluation on devices with cl_khr_fp16"),
    DM_ENUM(S, matmul_precision, "high", "high|highest",
            "accuracy of fp32 products: high allows an error of 2e-5 of an op's largest result (Winograd's F(4x4, "
            "3x3); on CPUs with AMX three products of bf16 for one), highest only fp32 rounding; docs/kernels.md"),
    DM_BOOL(S, deterministic, "false", "bitwise the same results for any batch size and in every run on one device"),
    DM_ENUM(S, tune, "auto", "off|auto|on",
            "choose implementations by rule (off), by earlier measurements on the device and new ones where the work "
            "ahead is worth it (auto), or measure all that were not (on); $DEMIST_TUNE overrides it"),
    DM_BOOL(S, allow_nan, "false", "take weights that are not finite as they are, instead of refusing them"),
    DM_END,
};
#undef S
#define S dm_set_data
static const dm_param data_rows[] = {
    DM_INTS(S, size, "[]", 1, 16384, "pixels", "resize images to [side] or [height, width]; [] = as they are"),
    DM_ENUM(S, crop, "none", "none|center|random", "cut images to the aspect of size before resizing"),
    DM_BOOL(S, flip, "false", "mirror half of the training images left to right"),
    DM_INT(S, channels, "0", 0, 16, "channels", "convert images to grey (1) or colour (3); 0 = as in the data"),
    DM_INT(S, limit, "0", 0, 9007199254740992.0, "examples", "number of examples to use, from the first; 0 = all"),
    DM_INT(S, workers, "1", 1, 64, "threads", "threads that read and decode ahead of training"),
    DM_END,
};
#undef S
#define S dm_set_condition
static const dm_param condition_rows[] = {
    DM_ENUMS(S, derive, "[]", "downscale|mask|grey|noised",
             "conditions made from each image: a smaller one, one with holes, one without colours, one with noise; "
             "the network learns to draw the image from them"),
    DM_INT(S, factor, "4", 2, 64, "", "factor by which downscale shrinks it; each pixel is the mean of a square"),
    DM_REAL(S, hole, "0.5", 0.05, 1, "", "largest share of a side that a box of mask covers"),
    DM_REAL(S, noise, "0.5", 0, 100, "",
            "standard deviation of the noise that noised adds, in units of the data as the network sees it"),
    DM_PATH(S, vector, "",
            "a .npy file, or a .safetensors file with a tensor x, f32[N,D]: a vector for each training example, in "
            "the data's order; empty = none"),
    DM_PATH(S, test_vector, "", "the same for the test split; empty = no test split"),
    DM_PATH(S, sequence, "",
            "a sequence for each training example, f32[N,L,D]; a tensor `rows`, [N], gives the number of rows of "
            "each; empty = none"),
    DM_PATH(S, test_sequence, "", "the same for the test split"),
    DM_END,
};
#undef S
#define S dm_set_schedule
static const dm_param schedule_rows[] = {
    DM_INT(S, timesteps, "1000", 1, 1000000, "steps", "T, the steps of the forward process"),
    DM_BOOL(S, zero_terminal_snr, "false",
            "rescale a discrete schedule so that no signal is left at T (Lin et al. 2024, alg. 1)"),
    DM_END,
};
#undef S
#define S dm_set_objective
static const dm_param objective_rows[] = {
    DM_ENUM(S, draw, "uniform", "uniform|stratified|importance",
            "how the times of a batch are drawn: independently, one from each of equal parts, or in proportion to the "
            "root mean square of its last ten losses (Nichol & Dhariwal 2021, section 3.3)"),
    DM_ENUM(S, coupling, "independent", "independent|immiscible|ot",
            "how a batch's noise is assigned to its examples: at random, with the least total distance (Li et al. "
            "2024), or the least total squared distance, minibatch optimal transport (Pooladian et al. 2023, Tong et "
            "al. 2024); for batches up to 16384"),
    DM_END,
};
#undef S
#define S dm_set_sampler
static const dm_param sampler_rows[] = {
    DM_INT(S, steps, "50", 0, 1000000, "steps", "denoising steps, at most T of a discrete schedule; 0 = T"),
    DM_STRING(S, clip, "auto",
              "limit of |x0| in each prediction: auto (the data's range where it is fixed), off, a number, or dynamic "
              "(Saharia et al. 2022)"),
    DM_REAL(S, dynamic_ratio, "0.995", 0, 1, "", "quantile of |x0| that dynamic clipping takes"),
    DM_REAL(S, dynamic_max, "1", 1, 1000, "", "largest quantile that dynamic clipping allows"),
    DM_BOOL(S, clip_eps, "true", "derive eps from the clipped x0; false keeps it as predicted"),
    DM_INT(S, batch, "0", 0, 65536, "images", "images sampled at once; 0 = as many as fit, at most 64"),
    DM_END,
};
#undef S
#define S dm_set_guidance
static const dm_param guidance_rows[] = {
    DM_PATH(S, guide, "",
            "another model, for guidance that uses one: a run folder or a checkpoint with data of the same shape; "
            "empty = none"),
    DM_END,
};
#undef S
#define S dm_set_train
static const dm_param train_rows[] = {
    DM_INT(S, steps, "10000", 1, 9007199254740992.0, "steps", "number of optimizer steps"),
    DM_INT(S, batch, "64", 1, 1048576, "examples", "examples per optimizer step"),
    DM_INT(S, micro_batch, "0", 0, 1048576, "examples",
           "examples processed at once, their gradients added up; 0 = as many as fit"),
    DM_BOOL(S, recompute, "true",
            "recompute cheap ops (norms, activations, concatenations) in the backward pass instead of storing their "
            "results: the same numbers, less memory"),
    DM_REAL(S, lr, "2e-4", 0, 10, "", "learning rate"),
    DM_REAL(S, beta1, "0.9", 0, 0.999999, "", "decay of AdamW's first moment (Loshchilov & Hutter 2019)"),
    DM_REAL(S, beta2, "0.999", 0, 0.9999999, "", "decay of AdamW's second moment"),
    DM_REAL(S, eps, "1e-8", 0, 1, "", "added to the root of AdamW's second moment"),
    DM_REAL(S, weight_decay, "0", 0, 10, "", "decoupled weight decay, times the learning rate each step"),
    DM_REAL(S, clip, "1", 0, 1e9, "", "largest global norm of the gradient; 0 = no limit"),
    DM_INT(S, warmup, "0", 0, 9007199254740992.0, "steps", "steps over which the learning rate rises from 0"),
    DM_ENUM(S, decay, "constant", "constant|linear|cosine",
            "learning rate after the warm-up, to min_lr at the last step"),
    DM_REAL(S, min_lr, "0", 0, 10, "", "learning rate at the end of a decay"),
    DM_REALS(S, ema, "[0.9999]", 0, 0.99999999, "",
             "rates of the averaged weights; the first is sampled from; [] = none"),
    DM_BOOL(S, ema_warmup, "true", "use the rate (1 + s) / (10 + s) at step s while it is the smaller"),
    DM_INT(S, log_every, "10", 1, 1000000, "steps", "steps between two lines of the log"),
    DM_INT(S, save_every, "1000", 0, 9007199254740992.0, "steps", "steps between two checkpoints; 0 = only at the end"),
    DM_INT(S, keep, "3", 1, 100000, "checkpoints", "number of checkpoints to keep, the newest"),
    DM_INT(S, sample_every, "0", 0, 9007199254740992.0, "steps", "steps between two sample grids; 0 = none"),
    DM_INT(S, sample_count, "16", 1, 4096, "images", "images per sample grid"),
    DM_INT(S, validate_every, "0", 0, 9007199254740992.0, "steps",
           "steps between two measurements of the loss on held-out data, the test split; the best checkpoint is kept; "
           "0 = none"),
    DM_INT(S, validate_count, "1000", 0, 9007199254740992.0, "examples",
           "examples of the test split to measure on, from the first; 0 = all"),
    DM_ENUM(S, reduce_precision, "fp32", "fp32|bf16",
            "format in which ranks exchange gradients: bf16 halves the bytes and keeps 8 significant bits"),
    DM_BOOL(S, shard_optimizer, "false",
            "each rank updates a part of the weights and stores only the moments of that part (ZeRO-1): less memory, "
            "one more exchange per step"),
    DM_REALS(S, shares, "[]", 0.001, 1000, "",
             "each rank's share of the batch, in proportion, one number per rank; [1] = even; [] = by the measured "
             "speed of each, or even with deterministic"),
    DM_REALS(S, drop_condition, "[0]", 0, 0.999999, "",
             "probability of dropping an example's class and other conditions, so that the model can be sampled "
             "without them, and guided (Ho & Salimans 2022: 0.1 to 0.2); several numbers: one per condition, each "
             "dropped by itself"),
    DM_PATH(S, from, "",
            "weights to start from: a run folder, a checkpoint, or a folder in diffusers' layout; empty = fresh"),
    DM_END,
};
#undef S
static const dm_param no_rows[] = {DM_END};

const dm_settings_table dm_settings[DM_SEC_COUNT] = {
    [DM_SEC_RUN] = {"", run_rows, sizeof(dm_set_run), false, "the run as a whole", false},
    [DM_SEC_DATA] = {"data", data_rows, sizeof(dm_set_data), true, "what it learns from", false},
    [DM_SEC_CONDITION] = {"condition", condition_rows, sizeof(dm_set_condition), false,
                          "what the network is conditioned on", false},
    [DM_SEC_SCHEDULE] = {"schedule", schedule_rows, sizeof(dm_set_schedule), true, "how noise is added", false},
    [DM_SEC_NETWORK] = {"network", no_rows, 0, true, "the network that is trained", false},
    [DM_SEC_OBJECTIVE] = {"objective", objective_rows, sizeof(dm_set_objective), true,
                          "what the network predicts and its loss", false},
    [DM_SEC_SAMPLER] = {"sampler", sampler_rows, sizeof(dm_set_sampler), true, "how images are drawn", true},
    [DM_SEC_GRID] = {"grid", no_rows, 0, true, "where the sampler's steps lie", true},
    [DM_SEC_GUIDANCE] = {"guidance", guidance_rows, sizeof(dm_set_guidance), true,
                         "one prediction made of several", true},
    [DM_SEC_TRAIN] = {"train", train_rows, sizeof(dm_set_train), false, "the optimization", false},
};

bool dm_settings_of_sampling(const char *key)
{
    const size_t n = strcspn(key, ".=");

    for (int id = 0; id < DM_SEC_COUNT; id++)
        if (strlen(dm_settings[id].name) == n && !strncmp(dm_settings[id].name, key, n))
            return dm_settings[id].sampling;
    return false;
}

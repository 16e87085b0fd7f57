"""Plugins that load and then go wrong, each in one way: the message names the plugin, the callback and the remedy, and
the host does not crash. Those of 'host' are found before there is a device."""
import os
import re
import signal
import subprocess
import sys
import time

from cli import DEMIST, DEVICE, demist, path, run_tests

SHIPPED = {"data": "toy2d", "schedule": "linear", "network": "mlp", "objective": "simple", "sampler": "ddim",
           "grid": "uniform", "guidance": "none"}
SECTIONS = {"betas": "schedule", "curve": "schedule", "network": "network", "op": "network", "objective": "objective",
            "sampler": "sampler", "adaptive": "sampler", "grid": "grid", "guidance": "guidance", "data": "data"}
NO_REASON = r"gave no reason; `return dm_fail\(...\)` gives one"

# What goes wrong: plugin, behaviour, exit code, what is said (a regular expression).
HOST = [
    ("betas", "silent", 2, r"wrong_betas: fill\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("betas", "no_status", 2, r"fill\(\) returned 42, which is not a dm_status; return DM_OK, or `return dm_fail"),
    ("betas", "unwritten", 2, r"beta of step 1 of 20 is 0; it must lie in \(0, 1\]"),
    ("betas", "half", 2, r"beta of step 11 of 20 is 0"),
    ("betas", "nan_beta", 2, r"beta of step 1 of 20 is -?nan"),
    ("betas", "zero", 2, r"beta of step 1 of 20 is 0"),
    ("betas", "above_1", 2, r"beta of step 1 of 20 is 1\.5"),
    ("betas", "point", 2, r"point_at_t may be called in the callbacks of samplers, networks and objectives, a grid's fill\(\), .* alone, not in fill\(\)"),
    ("betas", "went_on", 2, r"wrong_betas'?: said, but went on"),
    ("curve", "silent", 1, r"wrong_curve: at\(\) failed \(DM_EIO\) and " + NO_REASON),
    ("curve", "nan_alpha", 2, r"at t = 10[.0-9]* it gives alpha -?nan"),
    ("curve", "negative", 2, r"it gives alpha -0\.\d+ and sigma"),
    ("curve", "rising", 2, r"their ratio must fall with t"),
    ("curve", "unwritten", 2, r"it gives alpha nan and sigma nan"),
    ("network", "silent", 2, r"wrong_network: build\(\) returned no value and " + NO_REASON),
    ("network", "no_value", 2, r"wrong_network: build\(\) returned no value and " + NO_REASON),
    ("network", "garbage", 2, r"build\(\) returned 9999, which is not a value of this graph"),
    ("network", "input_itself", 2, r"network 'wrong_network' declares no weights; there is nothing to train"),
    ("network", "null_name", 2, r"linear layer: its name is NULL; weights need one"),
    ("network", "long_name", 2, r"scope 'block_0\.block_1\..*\.\.\.': its name has \d+ bytes with the scopes around it; those of weights, which are longer, have at most 255"),
    ("network", "deep_scope", 2, r"scope '\.\.\.\..*': its name has 255 bytes with the scopes around it; those of weights, which are longer, have"),
    ("network", "null_scope", 2, r"scope was given no name"),
    ("network", "negative_dropout", 2, r"dropout of -1; it must be at least 0 and below 1"),
    ("network", "nan_dropout", 2, r"dropout of -?nan; it must be at least 0 and below 1"),
    ("network", "whole_dropout", 2, r"dropout of 1; it must be at least 0 and below 1"),
    ("network", "nan_weight", 2, r"weight 'a' is initialized to -?nan; it must be finite"),
    ("network", "infinite_weight", 2, r"weight 'deep\.a' is initialized to inf; it must be finite"),
    ("network", "nan_constant", 2, r"element 2 of a constant of 8 in scope 'deep\.' is NaN"),
    ("network", "failed_after_all", 2, r"wrong_network: said, but went on"),
    ("network", "unprintable_name", 2, r"the weight 'in.\[31m\.weight' has a name that is not printable UTF-8"),
    ("network", "twice", 2, r"weight 'in\.weight' is declared twice"),
    ("network", "batch_shape", 2, r"'wrong_network' declares weight 'a' with another shape for another batch or resolution"),
    ("network", "batch_name", 2, r"declares weight 'in_2\.weight' with another name for another batch or resolution"),
    ("network", "batch_count", 2, r"declares 6 weights for one batch or resolution and 4 for another"),
    ("network", "absent_input", 2, r"silu: input 0 is DM_NONE; a value is required"),
    ("network", "garbage_input", 2, r"add: input 1 is 9999, which is not a value of this graph"),
    ("network", "misfit", 2, r"add: sizes 8 and 5 of axis 1 do not broadcast"),
    ("network", "reshape_null", 2, r"reshape was given NULL for its shape"),
    ("network", "recursive", 2, r"a network cannot run a network"),
    ("network", "nan_scale", 2, r"scale by -?nan plus 0; both must be finite"),
    ("network", "channels", 2, r"network 'wrong_network' returns rank 2 with 3 channels for 2 outputs"),
    ("network", "sums", 2, r"sum may be called in begin\(\), step\(\) and guide\(\) alone, not in build\(\)"),
    ("op", "no_op", 2, r"custom was given NULL for its op"),
    ("op", "on_stack", 2, r"custom was given an op on the stack or heap; it is used after the call, make it static const"),
    ("op", "no_name", 2, r"custom was given an op without a name"),
    ("op", "small", 2, r"op 'early' has size 8 where the interface has \d+"),
    ("op", "many_inputs", 2, r"op 'wide' has 9 inputs and 1 outputs; 1 to 8 of each are allowed"),
    ("op", "no_shape", 2, r"op 'shapeless' has no function 'shape', which is required"),
    ("op", "no_forward", 2, r"op 'idle' has no function 'forward', which is required"),
    ("op", "absent", 2, r"op 'whole': input 0 is DM_NONE; a value is required"),
    ("op", "shape_silent", 2, r"op 'whole': plugin 'wrong_op': the op's shape\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("op", "shape_rank", 2, r"op 'whole': its shape\(\) gives output 0 the rank 9"),
    ("op", "shape_empty", 2, r"op 'whole': its shape\(\) gives output 0 the extent 0 at axis 0"),
    ("op", "shape_unwritten", 2, r"linear layer 'out' of 2 outputs is not possible on a value of rank 0"),
    ("op", "no_backward", 2, r"op 'one_way' of plugin 'wrong_op' has no backward, and its input needs a gradient; add one"),
    ("objective", "open_silent", 2, r"wrong_objective: open\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("objective", "open_predicts", 2, r"predict may be called in step\(\) alone, not in open\(\)"),
    ("objective", "no_channels", 2, r"wants 0 output channels; 1 to 1048576 are allowed"),
    ("objective", "affine_silent", 2, r"affine\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("objective", "affine_unwritten", 2, r"affine\(\) gives c_skip = nan at t = 20 .*; it must be finite"),
    ("objective", "nan_c_skip", 2, r"'wrong_objective': affine\(\) gives c_skip = -?nan at t = 20"),
    ("objective", "late_nan", 2, r"affine\(\) gives c_skip = -?nan at t = 8 "),
    ("objective", "infinite_c_noise", 2, r"affine\(\) gives c_noise = inf at t = 20"),
    ("objective", "vanishing", 2, r"affine\(\) gives c_out = 0 at every level, so the network's output means nothing"),
    ("objective", "absent_scalar", 2, r"mul: input 1 is DM_NONE; a value is required"),
    ("objective", "no_gradient", 2, r"no gradient of the loss of objective 'wrong_objective' reaches any weight; there is nothing"),
    ("objective", "stopped", 2, r"no gradient of the loss of objective 'wrong_objective' reaches any weight"),
    ("objective", "no_mean", 2, r"objective 'wrong_objective' returns a loss f32\[\d+ x 2\]; it must be f32\[N\]"),
    ("objective", "no_value", 2, r"wrong_objective: loss\(\) returned no value and " + NO_REASON),
    ("objective", "loss_silent", 2, r"wrong_objective: loss\(\) returned no value and " + NO_REASON),
    ("objective", "garbage", 2, r"loss\(\) returned 12345, which is not a value of this graph"),
    ("objective", "swapped", 2, r"plugin 'mlp': is for points"),
    ("objective", "launches", 2, r"launch may be called in begin\(\), step\(\), guide\(\) and an op's forward\(\) and backward\(\) alone, not in loss"),
    ("sampler", "check_silent", 2, r"wrong_sampler: check\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("sampler", "check_predicts", 2, r"predict may be called in step\(\) alone, not in check\(\)"),
    ("grid", "steps_silent", 2, r"grid\.use: wrong_grid: steps\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("grid", "steps_no_status", 2, r"wrong_grid: steps\(\) returned 42, which is not a dm_status"),
    ("grid", "steps_unwritten", 2, r"wrong_grid: steps\(\) gives 0 steps; it must be 1 to 1000000"),
    ("grid", "no_steps", 2, r"wrong_grid: steps\(\) gives 0 steps; it must be 1 to 1000000"),
    ("grid", "negative_steps", 2, r"wrong_grid: steps\(\) gives -3 steps; it must be 1 to 1000000"),
    ("grid", "many_steps", 2, r"wrong_grid: steps\(\) gives 2147483647 steps; it must be 1 to 1000000"),
    ("grid", "silent", 1, r"wrong_grid: fill\(\) failed \(DM_EIO\) and " + NO_REASON),
    ("grid", "no_status", 2, r"wrong_grid: fill\(\) returned 17, which is not a dm_status"),
    ("grid", "unwritten", 2, r"grid 'wrong_grid': point 0 is NaN, or fill\(\) did not write it; it must write 5 points"),
    ("grid", "half", 2, r"grid 'wrong_grid': point 3 is NaN, or fill\(\) did not write it"),
    ("grid", "nan_point", 2, r"grid 'wrong_grid': point 2 is NaN, or fill\(\) did not write it"),
    ("grid", "infinite", 2, r"grid 'wrong_grid': point 2 has t inf, which schedule 'linear' does not reach"),
    ("grid", "rising", 2, r"grid 'wrong_grid': point 1 of 4 has t 5 after 0; the noise must fall from point to point"),
    ("grid", "standing", 2, r"grid 'wrong_grid': point 2 of 4 has t 15 after 15; the noise must fall from point to point"),
    ("grid", "beyond", 2, r"grid 'wrong_grid': point 0 has t 1e\+06, which schedule 'linear' does not reach"),
    ("grid", "as_log_snr", 2, r"grid 'wrong_grid': point 1 of 4 has log-SNR 15 after 20; the noise must fall"),
    ("grid", "nan_t", 2, r"wrong_grid: point_at_t was given a t that is not a number"),
    ("grid", "sums", 2, r"wrong_grid: sum may be called in begin\(\), step\(\) and guide\(\) alone, not in fill\(\)"),
    ("grid", "predicts", 2, r"wrong_grid: predict may be called in step\(\) alone, not in fill\(\)"),
    ("guidance", "check_silent", 2, r"guidance\.use: wrong_guidance: check\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("guidance", "check_sums", 2, r"wrong_guidance: sum may be called in begin\(\), step\(\) and guide\(\) alone, not in check\(\)"),
    ("data", "open_silent", 2, r"wrong_data: open\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("data", "open_missing", 2, r"wrong_data: open\(\) failed \(DM_ENOENT\) and " + NO_REASON),
    ("data", "open_sums", 2, r"sum may be called in begin\(\), step\(\) and guide\(\) alone, not in open\(\)"),
    ("data", "unwritten", 2, r"data set 'wrong_data' has 0 examples"),
    ("data", "empty", 2, r"data set 'wrong_data' has 0 examples in its train split"),
    ("data", "negative_count", 3, r"-5 examples of rank 1"),
    ("data", "rank_2", 3, r"100 examples of rank 2; rank is 1 \(points\) or 3 \(images\)"),
    ("data", "no_extent", 2, r"extent 0 of an example is 0"),
    ("data", "one_level", 2, r"with 1 levels"),
    ("data", "range", 2, r"range -?nan to 0"),
]
# Each ends the program, by the signal that it would have died of.
CRASHES = [
    ("betas", "crashes", -signal.SIGSEGV, r"error: schedule plugin 'wrong_betas' crashed in fill\(\): segmentation fault\n"
                                          r"  its file: +\S+/wrong_betas\.so\n  its parameters: {wrong: crashes}\n"),
    ("network", "overflows", -signal.SIGSEGV, r"network plugin 'wrong_network' crashed in build\(\): segmentation fault"),
    ("grid", "crashes", -signal.SIGSEGV, r"grid plugin 'wrong_grid' crashed in fill\(\): segmentation fault"),
    ("objective", "aborts", -signal.SIGABRT, r"objective plugin 'wrong_objective' crashed in affine\(\): abort"),
]
LATE_CRASHES = [
    ("data", "crashes", -signal.SIGSEGV, r"dataset plugin 'wrong_data' crashed in read\(\): segmentation fault"),
    ("guidance", "crashes", -signal.SIGABRT, r"guidance plugin 'wrong_guidance' crashed in guide\(\): abort"),
]
PLAN = r"plan '\w+': op 'whole': (plugin 'wrong_op': )?"
TRAIN = [
    ("op", "forward_silent", 4, PLAN + r"the op's forward\(\) failed \(DM_EDEVICE\) and " + NO_REASON),
    ("op", "forward_sums", 2, PLAN + r"sum may be called in begin\(\), step\(\) and guide\(\) alone, not in the op's forward\(\); an op records"),
    ("op", "predicts", 2, PLAN + r"predict may be called in step\(\) alone, not in the op's forward\(\)"),
    ("op", "forward_empty", 2, PLAN + r"forward\(\) launches nothing, so its outputs are never written"),
    ("op", "backward_empty", 2, PLAN + r"backward\(\) launches nothing, so its gradients are 0"),
    ("op", "backward_silent", 2, PLAN + r"the op's backward\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("op", "few_arguments", 2, PLAN + r"kernel 'copy' of 'wrong_op': 1 arguments given where it has 2"),
    ("op", "wrong_argument", 2, PLAN + r"kernel 'copy' of 'wrong_op': argument 1 is DM_F32 where the kernel has 'float\*'"),
    ("op", "null_buffer", 2, PLAN + r"argument 1 of a launch is a NULL tensor"),
    ("op", "null_range", 2, PLAN + r"launch was given NULL for its range"),
    ("op", "no_kernel", 2, PLAN + r"kernel 'nothing' of 'wrong_op': there is no such kernel in it"),
    ("op", "null_source", 2, PLAN + r"kernel was given NULL for its source"),
    ("op", "syntax", 4, PLAN + r"unable to build 'wrong_op'"),
    ("op", "group", 2, PLAN + r"kernel 'copy' of 'wrong_op': range \[\d+ 1 1\] in groups of \[7 1 1\]"),
    ("op", "makes_nan", 7, r"diverged at step 1: the first tensor that is not finite is the result of op 'whole' of plugin "
                           r"'wrong_op' \[16x8\]"),
    ("op", "half_written", 7, r"the first tensor that is not finite is the result of op 'whole' of plugin 'wrong_op' \[16x8\], which "
                              r"does not write element 0 of output 0"),
    ("network", "labels_as_numbers", 2, r"scale: input 0 (holds labels, i32|is DM_NONE)"),
    ("objective", "nan_scalar", 2, r"objective 'wrong_objective': scalars\(\) gives -?nan as scalar 0 at t = \d+; it must be finite"),
    ("objective", "nan_loss", 7, r"diverged at step 1: the first tensor that is not finite is the result of log \[16x\d+\]"),
    ("objective", "scalars_silent", 2, r"scalars\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("objective", "draw_silent", 2, r"draw\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("objective", "draw_unwritten", 2, r"draw\(\) gives t = nan"),
    ("objective", "draw_outside", 2, r"draw\(\) gives t = 1e\+09, .*; t must lie in \[0, 20\]"),
    ("objective", "draw_negative", 2, r"draw\(\) gives t = \d+, .* importance -1"),
    ("data", "read_silent", 1, r"plugin 'wrong_data': read\(\) failed \(DM_EIO\) and " + NO_REASON),
    ("data", "read_no_status", 2, r"plugin 'wrong_data': read\(\) returned 1, which is not a dm_status"),
    ("data", "read_fails", 5, r"plugin 'wrong_data': example \d+ is damaged"),
    ("data", "high_label", 5, r"data set 'wrong_data': example \d+ has label 7; it has 3 classes"),
    ("data", "negative_label", 5, r"example \d+ has label -1; it has 3 classes"),
    ("data", "nan_value", 5, r"data set 'wrong_data': value 0 of example \d+ is not finite"),
]
SAMPLE = [
    ("begin_silent", 2, r"begin\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("begin_randn", 2, r"randn may be called in step\(\) alone, not in begin\(\)"),
    ("step_silent", 2, r"step\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("step_no_status", 2, r"step\(\) returned 7, which is not a dm_status"),
    ("no_prediction", 2, r"sampler 'wrong_sampler' took 4 steps without a prediction of the model"),
    ("reads_scratch", 2, r"term 1 of a sum is a tensor that was never written"),
    ("predicts_scratch", 2, r"predict reads a tensor that was never written"),
    ("kernel_reads_scratch", 7, r"image 0 is not finite after 4 steps of 'wrong_sampler'"),
    ("huge", 7, r"image 0 is not finite after 4 steps of 'wrong_sampler'"),
    ("nan_factor", 2, r"term 0 of a sum has the factor -?nan"),
    ("no_terms", 2, r"sum of 0 terms; 1 to 8 are allowed"),
    ("nine_terms", 2, r"sum of 9 terms; 1 to 8 are allowed"),
    ("null_term", 2, r"term 0 of a sum has no tensor: NULL, or one from before the last begin\(\)"),
    ("null_out", 2, r"sum was given no tensor to write to"),
    ("onto_x", 2, r"predict must write to tensors distinct from x and from each other"),
    ("one_for_both", 2, r"predict must write to tensors distinct from x and from each other"),
    ("null_point", 2, r"predict was given NULL for its point"),
    ("null_want", 2, r"predict was given NULL for its result"),
    ("no_noise", 2, r"a prediction needs noise"),
    ("no_variance", 2, r"objective 'simple' learns no variance"),
    ("draw_16", 2, r"randn was given draw 16 and 8 elements; draws are 0 to 15"),
    ("null_randn", 2, r"randn was given no tensor to write to"),
    ("tensor_in_step", 2, r"tensor_like may be called in begin\(\) alone, not in step\(\)"),
    ("null_like", 2, r"tensor_like was given no tensor"),
    ("null_kernel", 2, r"kernel was given NULL for its name"),
    ("null_buffer", 2, r"argument 0 of a launch is a NULL tensor"),
]
ADAPTIVE = [
    ("goes_back", 2, r"sampler 'wrong_adaptive': step\(\) goes from log-SNR \S+ to \S+; it must rise, to inf at the most"),
    ("stays", 2, r"it must rise, to inf at the most"),
    ("unwritten", 2, r"step\(\) goes from log-SNR \S+ to -?nan"),
    ("beyond", 2, r"it must rise, to inf at the most"),
    ("slow", 2, r"sampler 'wrong_adaptive' took all of its 4 steps \(sampler.steps\) and got to t = "),
    ("null_rms", 2, r"rms was given NULL for its result"),
    ("small_rms", 2, r"rms was given a result of another size; set it with sizeof"),
    ("rms_of_scratch", 2, r"rms reads a tensor that was never written"),
    ("rms_in_begin", 2, r"rms may be called in step\(\) and guide\(\) alone, not in begin\(\)"),
    ("small_span", 2, r"span was given a size of 8; set it with sizeof"),
]
GUIDANCE = [
    ("at_silent", 1, r"'wrong_guidance': at\(\) failed \(DM_EIO\) and " + NO_REASON),
    ("at_no_status", 2, r"'wrong_guidance': at\(\) returned 42, which is not a dm_status"),
    ("at_nan", 2, r"'wrong_guidance': point_at_t was given a t that is not a number"),
    ("at_sums", 2, r"'wrong_guidance': sum may be called in begin\(\), step\(\) and guide\(\) alone, not in at\(\)"),
    ("begin_silent", 2, r"'wrong_guidance': begin\(\) failed \(DM_EINVAL\) and " + NO_REASON),
    ("begin_predicts", 2, r"'wrong_guidance': predict may be called in step\(\) alone, not in begin\(\)"),
    ("guide_silent", 4, r"'wrong_guidance': guide\(\) failed \(DM_EDEVICE\) and " + NO_REASON),
    ("guide_no_status", 2, r"'wrong_guidance': guide\(\) returned 99, which is not a dm_status"),
    ("unwritten", 2, r"'wrong_guidance': guide\(\) did not write its result, out, as \.writes says"),
    ("null_out", 2, r"'wrong_guidance': sum was given no tensor to write to: NULL, or"),
    ("into_x0", 2, r"'wrong_guidance': sum was given no tensor to write to: NULL, or"),
    ("into_guess", 2, r"'wrong_guidance': guide\(\) did not write its result, out"),
    ("into_x", 2, r"'wrong_guidance': guide\(\) did not write its result, out"),
    ("reads_out", 2, r"'wrong_guidance': term 0 of a sum is a tensor that was never written"),
    ("reads_none", 2, r"'wrong_guidance': term 0 of a sum has no tensor: NULL, or"),
    ("reads_scratch", 2, r"'wrong_guidance': term 0 of a sum is a tensor that was never written"),
    ("predicts", 2, r"'wrong_guidance': predict may be called in step\(\) alone, not in guide\(\)"),
    ("draws", 2, r"'wrong_guidance': randn may be called in step\(\) alone, not in guide\(\)"),
    ("tensor_in_guide", 2, r"'wrong_guidance': tensor_like may be called in begin\(\) alone, not in guide\(\)"),
    ("null_rms", 2, r"'wrong_guidance': rms was given NULL for its result"),
    ("nan_factor", 2, r"'wrong_guidance': term 0 of a sum has the factor -?nan"),
    ("null_like", 2, r"'wrong_guidance': tensor_like was given no tensor: NULL, or"),
    ("makes_nan", 7, r"image 0 is not finite after 4 steps of 'ddim' \(guidance: wrong_guidance\)"),
]
# Of the lists above, what is called while sampling: the section that the plugin is of, and its behaviours.
SAMPLING = {"sampler": SAMPLE, "adaptive": ADAPTIVE, "guidance": GUIDANCE}


def experiment(plugin=None, behaviour=None, name="run"):
    file = path(f"{name}.yaml")
    lines = ["seed: 1", f"output: {path(name)}", f"device: {DEVICE}"]
    for section, use in SHIPPED.items():
        more = {"schedule": ", timesteps: 20", "sampler": ", steps: 4"}.get(section, "")
        wrong = plugin and SECTIONS[plugin] == section
        lines.append(f"{section}: {{use: {f'wrong_{plugin}, wrong: {behaviour}' if wrong else use}{more}}}")
    lines.append("train: {steps: 2, batch: 16}")
    with open(file, "w") as f:
        f.write("\n".join(lines) + "\n")
    return file


def all_of(cases, run):
    wrong = []
    for plugin, behaviour, code, says in cases:
        try:
            _, err = run(plugin, behaviour, code)
            assert re.search(says, err), err[-1500:]
            assert "failed without a reason" not in err and "error: DM_" not in err, err
        except AssertionError as e:
            wrong.append(f"{plugin} {behaviour}: {e}")
    assert not wrong, "\n".join(wrong)


def every_behaviour_is_run():
    here = os.path.join(os.environ["DEMIST_SOURCE"], "tests/plugins/misbehaving")
    table = {(c[0], c[1]) for c in HOST + TRAIN} | {(p, c[0]) for p, cases in SAMPLING.items() for c in cases}
    table |= {(p, "logs") for p in SECTIONS} | {(c[0], c[1]) for c in CRASHES + LATE_CRASHES}
    table |= {("network", "unused"), ("network", "patient"), ("network", "frozen"), ("betas", "loops"), ("data", "loops")}
    for plugin in SECTIONS:
        for name in re.findall(r"\bX\((\w+)\)", open(os.path.join(here, f"wrong_{plugin}.c")).read()):
            assert name == "X" or (plugin, name) in table, f"wrong_{plugin}.c: no test of {name}"


def found_without_a_device():
    all_of(HOST, lambda plugin, behaviour, code: demist("check", experiment(plugin, behaviour), code=code))


def found_in_training():
    all_of(TRAIN, lambda plugin, behaviour, code: demist("train", experiment(plugin, behaviour), "--overwrite", "--progress",
                                                         "none", code=code))


def sample(plugin, behaviour, code=0, steps=4):
    section = SECTIONS[plugin]
    return demist("sample", path("run"), "--count", "4", "--out", path("s.png"), "--force", f"{section}.use=wrong_{plugin}",
                  f"{section}.wrong={behaviour}", f"sampler.steps={steps}", code=code)


def found_in_sampling():
    demist("train", experiment(), "--overwrite", "--progress", "none")
    all_of([(plugin, *c) for plugin, cases in SAMPLING.items() for c in cases], sample)


def whole_ones_work():
    for plugin in SECTIONS:
        demist("train", experiment(plugin, "good"), "--overwrite", "--progress", "none")
    for plugin in ["sampler", "grid", "guidance"]:
        sample(plugin, "good")
    _, err = sample("adaptive", "good", steps=20)
    assert re.search(r", (\d+) evaluations \(.* steps=\1 ", err) and "steps=20" not in err, err


def log_lines_arrive():
    for plugin, callbacks in {"betas": ["fill"], "network": ["build"], "objective": ["open", "loss"], "data": ["open"]}.items():
        _, err = demist("train", experiment(plugin, "logs"), "--overwrite", "--progress", "none")
        for c in callbacks:
            assert f"wrong_{plugin}: hello from {c}" in err, err
    for plugin, callbacks in {"sampler": ["begin"], "grid": ["steps", "fill"], "guidance": ["begin"]}.items():
        _, err = sample(plugin, "logs")
        for c in callbacks:
            assert f"wrong_{plugin}: hello from {c}" in err, err


def weights_that_no_gradient_reaches():
    _, err = demist("train", experiment("network", "unused"), "--overwrite", "--progress", "none")
    assert "warning: no gradient reaches weight 'forgotten': training does not change it" in err, err
    # Behind stop_gradient they are meant to be, and named.
    _, err = demist("train", experiment("network", "frozen"), "--overwrite", "--progress", "none")
    assert "stop_gradient in the network freezes 2 weights, 'in.weight' and others: training does not change them" in err, err
    assert "no gradient reaches" not in err, err


def crashes_are_named():
    all_of(CRASHES, lambda plugin, behaviour, code: demist("check", experiment(plugin, behaviour), code=code))


def crashes_of_other_threads_are_named():
    all_of([LATE_CRASHES[0]], lambda plugin, behaviour, code: demist("train", experiment(plugin, behaviour), "--overwrite",
                                                                     code=code))


def crashes_in_sampling_are_named():
    demist("train", experiment(), "--overwrite", "--progress", "none")
    all_of([LATE_CRASHES[1]], sample)


def loops_are_named():
    """After 10 s, in the thread that called the plugin or in another; then, or before, the first Ctrl-C ends it."""
    cases = [("betas", 10.5, r"schedule plugin 'wrong_betas' is in fill\(\) with {wrong: loops}"),
             ("data", 10.5, r"dataset plugin 'wrong_data' is in read\(\) with {wrong: loops}"), ("betas", 2, r"is in fill\(\)")]
    running = [subprocess.Popen([DEMIST, "train", experiment(plugin, "loops", f"loop{i}"), "--progress", "none"],
                                stdout=subprocess.DEVNULL, stderr=open(path(f"err{i}"), "w"))
               for i, (plugin, _, _) in enumerate(cases)]
    since, sent, ended = time.monotonic(), set(), {}
    while len(ended) < len(cases) and time.monotonic() - since < 60:
        time.sleep(0.1)
        for i, (_, after, _) in enumerate(cases):
            said = "asked the host for nothing in 10 s; Ctrl-C ends demist at once" in open(path(f"err{i}")).read()
            if i not in sent and (time.monotonic() - since > after if after < 10 else said):
                running[i].send_signal(signal.SIGINT)
                sent.add(i)
            if running[i].poll() is not None:
                ended.setdefault(i, time.monotonic() - since)
    for p in running:
        p.kill()
    for i, (_, _, says) in enumerate(cases):
        err = open(path(f"err{i}")).read()
        assert i in ended and running[i].returncode == -signal.SIGINT, (i, ended, running[i].returncode, err)
        assert re.search(says, err), err


def calls_of_the_graph_are_progress():
    p = subprocess.Popen([DEMIST, "check", experiment("network", "patient", "patient")], stdout=subprocess.DEVNULL,
                         stderr=open(path("patient.err"), "w"))
    time.sleep(12.5)
    assert p.poll() is None, open(path("patient.err")).read()
    p.kill()
    p.wait()
    assert "asked the host for nothing" not in open(path("patient.err")).read()


SANITIZED = os.environ.get("DEMIST_TEST_SANITIZED")  # a sanitizer has handlers of its own, and says more
TESTS = {"host": [every_behaviour_is_run, found_without_a_device] + ([] if SANITIZED else [crashes_are_named]),
         "device": ([] if SANITIZED else [crashes_of_other_threads_are_named, crashes_in_sampling_are_named]) + [
             loops_are_named, calls_of_the_graph_are_progress, whole_ones_work, found_in_training, found_in_sampling, log_lines_arrive, weights_that_no_gradient_reaches]}
run_tests(TESTS[sys.argv[1]])

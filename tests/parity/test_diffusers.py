"""Models in diffusers' layout: what they predict against recorded outputs of diffusers, and what is refused.
tools/make_diffusers_fixtures.py makes the models, tools/compare_diffusers.py compares many more, live."""
import array
import json
import os
import shutil
import struct
import sys

sys.path.insert(0, os.path.join(os.environ["DEMIST_SOURCE"], "tests/cli"))
from cli import DEVICE, demist, floats, log_lines, path, read_safetensors, run_tests, write_safetensors  # noqa: E402

MODELS = os.path.join(os.environ["DEMIST_TEST_DATA"], "diffusers")
WEIGHTS = "diffusion_pytorch_model.safetensors"


def copy(model, name):
    shutil.copytree(os.path.join(MODELS, model), path(name))
    return path(name)


def predict(folder, out, *more, **kwargs):
    given = os.path.join(MODELS, "plain", "expected.safetensors") if not os.path.exists(f"{folder}/expected.safetensors") \
        else f"{folder}/expected.safetensors"
    return demist("predict", folder, f"device={DEVICE}", *more, "--in", given, "--out", path(out), "--force", **kwargs)


def distance(model, *more, **kwargs):
    predict(os.path.join(MODELS, model), f"{model}.st", *more, **kwargs)
    got = floats(read_safetensors(path(f"{model}.st"))[0]["out"])
    want = floats(read_safetensors(os.path.join(MODELS, model, "expected.safetensors"))[0]["out"])
    assert len(got) == len(want)
    return max(abs(a - b) for a, b in zip(got, want)) / max(map(abs, want))


def agrees(model, limit):
    most = distance(model)
    assert most <= limit, f"{model}: {most:.1e} of the largest output"


def predict_equals_unet2dmodel():
    agrees("plain", 1e-4)
    agrees("adm", 1e-4)
    agrees("fourier", 5e-4)


def half_precision_where_the_device_has_it():
    """tools/compare_half.py: PyTorch in half precision differs by 1.0e-3, 6.5e-3 and 3.1e-3 of the largest output, in bfloat16 by 7e-3 and more."""
    here = [d for d in json.loads(demist("devices", "--json")[0]) if d["device"] == DEVICE or (DEVICE == "auto" and d["default"])][0]
    if here["fp16"]:
        for model, limit in ("plain", 2e-3), ("adm", 5e-3), ("fourier", 4e-3):
            most = distance(model, "precision=fp16", env={"DEMIST_IMPL": "conv2d=fp16,matmul=fp16"})  # as GPUs do by themselves
            assert 1e-4 < most <= limit, f"{model}, fp16: {most:.1e} of the largest output"
        assert 1e-4 < distance("plain", "precision=fp16") <= 2e-3
    else:
        _, err = predict(os.path.join(MODELS, "plain"), "none.st", "precision=fp16", code=4)
        assert "cl_khr_fp16" in err and here["name"] in err and "bf16" in err and not os.path.exists(path("none.st")), err


def predict_reads_old_names_shards_and_bfloat16():
    agrees("old", 1e-4)


def predict_adds_labels_that_are_vectors():
    """What is taken from a bias and given as labels leaves the outputs as they are."""
    folder = copy("plain", "vectors")
    edit(folder, class_embed_type="identity")
    tensors, given = (read_safetensors(f"{folder}/{f}.safetensors")[0] for f in ("diffusion_pytorch_model", "expected"))
    key = "time_embedding.linear_2.bias"
    y = array.array("f", [0.25 * (i % 5) - 0.5 for i in range(16)])
    tensors[key] = ("F32", [16], array.array("f", [a - b for a, b in zip(floats(tensors[key]), y)]).tobytes())
    write_safetensors(f"{folder}/{WEIGHTS}", tensors)
    n = given["x"][1][0]
    for name, labels in ("in", ("F32", [n, 16], y.tobytes() * n)), ("short", ("F32", [n, 8], y.tobytes()[:32] * n)), \
            ("classes", ("I64", [n], bytes(8 * n))):
        write_safetensors(path(f"{name}.st"), {"x": given["x"], "t": given["t"], "y": labels})
    write_safetensors(path("none.st"), {"x": given["x"], "t": given["t"]})
    demist("predict", folder, f"device={DEVICE}", "--in", path("in.st"), "--out", path("vectors.st"))
    got, want = floats(read_safetensors(path("vectors.st"))[0]["out"]), floats(given["out"])
    assert max(abs(a - b) for a, b in zip(got, want)) <= 1e-4 * max(map(abs, want))
    for name, words in ("short", "another length"), ("classes", "none are given"), ("none", "none are given"):
        _, err = demist("predict", folder, f"device={DEVICE}", "--in", path(f"{name}.st"), "--out", path("no.st"), code=2)
        assert words in err and "f32[N,16]" in err, err
    _, err = demist("predict", os.path.join(MODELS, "plain"), f"device={DEVICE}", "--in", path("in.st"), "--out", path("no.st"), code=2)
    assert "labels y are vectors" in err, err
    _, err = demist("sample", folder, f"device={DEVICE}", "--tensors", path("no.st"), code=2)
    assert "vectors" in err, err


def predict_takes_labels_as_a_second_time():
    """A class's embedding that is what was taken from a bias, whatever the class, leaves the outputs as they are."""
    folder = copy("plain", "timestep")
    edit(folder, class_embed_type="timestep")
    tensors, given = (read_safetensors(f"{folder}/{f}.safetensors")[0] for f in ("diffusion_pytorch_model", "expected"))
    y = array.array("f", [0.25 * (i % 5) - 0.5 for i in range(16)])
    for layer in "linear_1", "linear_2":
        like = "time_embedding." + layer
        for part in "weight", "bias":
            dtype, shape, data = tensors[f"{like}.{part}"]
            tensors[f"class_embedding.{layer}.{part}"] = dtype, shape, bytes(len(data))
    tensors["class_embedding.linear_2.bias"] = "F32", [16], y.tobytes()
    bias = floats(tensors["time_embedding.linear_2.bias"])
    tensors["time_embedding.linear_2.bias"] = "F32", [16], array.array("f", [a - b for a, b in zip(bias, y)]).tobytes()
    write_safetensors(f"{folder}/{WEIGHTS}", tensors)
    n = given["x"][1][0]
    write_safetensors(path("in.st"), {"x": given["x"], "t": given["t"], "y": ("I64", [n], array.array("q", range(n)).tobytes())})
    demist("predict", folder, f"device={DEVICE}", "--in", path("in.st"), "--out", path("timestep.st"), "--force")
    got, want = floats(read_safetensors(path("timestep.st"))[0]["out"]), floats(given["out"])
    assert max(abs(a - b) for a, b in zip(got, want)) <= 1e-4 * max(map(abs, want))


def walk(model, name, *more):
    """x of each of 10 steps of demist, and of diffusers."""
    folder = os.path.join(MODELS, model)
    given = os.path.join(folder, f"{name}.safetensors")
    demist("sample", folder, f"device={DEVICE}", "sampler.steps=10", *more, "--noise", given, "--trace", path(f"{model}.safetensors"),
           "--tensors", path(f"{model}-x.st"), "--force")
    both = floats(read_safetensors(path(f"{model}.safetensors"))[0]["x"]), floats(read_safetensors(given)[0]["trace"])
    assert len(both[0]) == len(both[1])
    size = len(both[0]) // 11
    return [[x[i:i + size] for i in range(0, len(x), size)] for x in both]


def difference(a, b):
    return max(abs(p - q) for p, q in zip(a, b)) / (max(b) - min(b))


def walks_like(model, name="walk", *more):
    for i, (got, want) in enumerate(zip(*walk(model, name, *more))):
        most = difference(got, want)
        assert most <= 1e-4, f"{model}, step {i}: {most:.1e} of the range"


def sample_walks_like_ddpmscheduler():
    walks_like("plain")


def sample_walks_like_ddimscheduler():
    walks_like("adm")


def sample_walks_as_diffusers_does_where_asked_to():
    for model, spacing in ("plain", "trailing"), ("adm", "linspace"):
        told = f"sampler.spacing={spacing}", "sampler.compat=diffusers"
        walks_like(model, "compat", *told)
        got, want = walk(model, "compat", *told[:1])
        assert difference(got[-1], want[-1]) > 1e-3, f"{model}: the same without compat"


def sample_refuses_unknown_schedulers():
    given = ("--noise", os.path.join(MODELS, "plain", "walk.safetensors"), "--tensors", path("no.st"))
    for i, (change, words) in enumerate([
            (dict(_class_name="KDPM2DiscreteScheduler"), ["KDPM2DiscreteScheduler", "DDIMScheduler, DPMSolverMultistepScheduler"]),
            (dict(beta_schedule="laplace"), ["laplace", "squaredcos_cap_v2"]),
            (dict(prediction_type="flow"), ["prediction_type", "flow"]),
            (dict(variance_type="fixed"), ["variance_type", "fixed_large_log"]),
            (dict(variance_type="learned"), ["no learned variance"]),
            (dict(variance_type="learned_range"), ["no learned variance"]),
            (dict(timestep_spacing="karras"), ["karras"]),
            (dict(clip_sampel=True), ["clip_sampel", "clip_sample"]),
            (dict(trained_betas=[0.1, 0.2]), ["trained_betas", "2 entries"]),
            (dict(trained_betas=[0.1, -0.2], num_train_timesteps=2), ["trained_betas"]),
            (dict(num_train_timesteps=-4), ["num_train_timesteps"]),
            (dict(beta_start=None), ["beta_start", "number"]), (dict(clip_sample=None), ["clip_sample"]),
            (dict(thresholding=True, sample_max_value=0.5), ["dynamic_max", "[1, 1000]"]), (dict(beta_end=7), ["beta_end"])]):
        folder = copy("plain", f"scheduler{i}")
        edit(folder, "scheduler_config.json", **change)
        _, err = demist("sample", folder, f"device={DEVICE}", "sampler.steps=2", *given, code=2)
        for w in words:
            assert w in err, f"{change}: {w} is not in: {err}"
    _, err = demist("sample", os.path.join(MODELS, "old"), f"device={DEVICE}", *given, code=2)
    assert "scheduler_config.json" in err


def sample_walks_like_diffusers_solvers():
    """The folder of each scheduler, whole walks: what diffusers' own class made of the same noise (tools/compare_solvers.py)."""
    rows, (tensors, _) = json.load(open(f"{MODELS}/solvers.json")), read_safetensors(f"{MODELS}/solvers.safetensors")
    x = floats(tensors["x"])
    assert len(rows) > 60 and len({r["config"]["_class_name"] for r in rows}) == 14
    for i, r in enumerate(rows):
        if i % 4 and r["config"]["_class_name"][:3] in ("DPM", "Uni", "DEI", "Eul", "LMS", "Heu"):
            continue  # all of them: tools/compare_solvers.py
        folder = copy("plain", f"solver{i}")
        json.dump(r["config"], open(os.path.join(folder, "scheduler_config.json"), "w"))
        write_safetensors(path("solver.st"), {"x": (*tensors["x"][:2], array.array("f", [r["times"] * v for v in x]).tobytes()), "z": tensors["z"]})
        demist("sample", folder, f"device={DEVICE}", f"sampler.steps={r['steps']}", "--noise", path("solver.st"), "--tensors", path("y.safetensors"), "--force", "-q")
        got, want = floats(read_safetensors(path("y.safetensors"))[0]["x"]), floats(tensors[f"y{i}"])
        assert max(abs(a - b) for a, b in zip(got, want)) < 1e-3 * (max(want) - min(want)), r


def solvers_that_cannot_be_read_are_refused():
    given = ("--noise", os.path.join(MODELS, "plain", "walk.safetensors"), "--tensors", path("no.st"))
    dpm, euler = {"_class_name": "DPMSolverMultistepScheduler"}, {"_class_name": "EulerDiscreteScheduler"}
    sa = {"_class_name": "SASolverScheduler"}
    for i, (config, words) in enumerate([
            ({**dpm, "algorithm_type": "dpmsolver"}, ["algorithm_type", "dpmsolver++ and sde-dpmsolver++ are"]),
            ({**dpm, "lambda_min_clipped": -5.1}, ["lambda_min_clipped", "-Infinity"]), ({**dpm, "use_flow_sigmas": True}, ["use_flow_sigmas"]),
            ({**dpm, "use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}, ["final_sigmas_type"]),
            ({**dpm, "use_karras_sigmas": True, "use_lu_lambdas": True}, ["together with another"]), ({**dpm, "use_beta_sigmas": True}, ["use_beta_sigmas"]),
            ({**dpm, "solver_ordr": 2}, ["solver_ordr", "solver_order"]), ({**dpm, "solver_order": 4}, ["solver_order", "[1, 3]"]),
            ({"_class_name": "UniPCMultistepScheduler", "predict_x0": False}, ["predict_x0"]),
            ({**sa, "tau_func": "lambda t: 0"}, ["tau_func", "must be null"]), ({**sa, "algorithm_type": "noise_prediction"}, ["noise_prediction", "data_prediction is"]),
            ({**sa, "corrector_order": 0}, ["corrector_order", "[1, 4]"]), ({**sa, "use_exponential_sigmas": True}, ["repeats the least"]),
            ({**sa, "prediction_type": "flow_prediction"}, ["prediction_type", "v_prediction"]),
            ({"_class_name": "PNDMScheduler", "prediction_type": "v_prediction"}, ["mixes as they are"]),
            ({**euler, "interpolation_type": "log_linear"}, ["log_linear"]), ({**euler, "timestep_type": "continuous"}, ["continuous"]),
            ({**euler, "use_karras_sigmas": True, "timestep_spacing": "leading"}, ["timestep_spacing", "must be linspace"]),
            ({**euler, "sigma_min": 0.1}, ["sigma_min", "use_karras_sigmas"]),
            ({"_class_name": "DPMSolverSDEScheduler", "prediction_type": "sample"}, ["prediction_type", "itself does not step"]),
            ({"_class_name": "DPMSolverSDEScheduler", "use_beta_sigmas": True}, ["use_beta_sigmas"]),
            ({"_class_name": "DPMSolverSinglestepScheduler", "algorithm_type": "dpmsolver"}, ["algorithm_type", "dpmsolver++ and sde-dpmsolver++ are"]),
            ({"_class_name": "DPMSolverSinglestepScheduler", "lambda_min_clipped": -5.1}, ["lambda_min_clipped", "-Infinity"]),
            ({"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction"}, ["prediction_type"]),
            ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True}, ["use_dynamic_shifting"])]):
        folder = copy("plain", f"no_solver{i}")
        json.dump(config, open(os.path.join(folder, "scheduler_config.json"), "w"))
        _, err = demist("sample", folder, f"device={DEVICE}", "sampler.steps=2", *given, code=2)
        assert all(w in err for w in words) and "scheduler_config.json" in err, (config, err)
    folder = copy("plain", "infinite")  # as Python writes it
    json.dump({**dpm, "lambda_min_clipped": float("-inf")}, open(os.path.join(folder, "scheduler_config.json"), "w"))
    assert "-Infinity" in open(os.path.join(folder, "scheduler_config.json")).read()
    demist("sample", folder, f"device={DEVICE}", "sampler.steps=2", *given, "--force")


def same_folders(a, b):
    names = sorted(os.path.relpath(os.path.join(d, f), a) for d, _, files in os.walk(a) for f in files)
    assert names == sorted(os.path.relpath(os.path.join(d, f), b) for d, _, files in os.walk(b) for f in files)
    for f in names:
        assert open(f"{a}/{f}", "rb").read() == open(f"{b}/{f}", "rb").read(), f
    return names


def export_and_import_again():
    for model in "plain", "adm", "fourier":
        demist("export", os.path.join(MODELS, model), "--to", "diffusers", path(model, "1"))
        demist("export", path(model, "1"), "--to", "diffusers", path(model, "2"))
        assert same_folders(path(model, "1"), path(model, "2")) == [
            "model_index.json", "scheduler/scheduler_config.json", "unet/config.json", f"unet/{WEIGHTS}"]
        there, meta = read_safetensors(path(model, "1", "unet", WEIGHTS))
        assert there == read_safetensors(os.path.join(MODELS, model, WEIGHTS))[0] and meta == {"format": "pt"}
        for file in "unet/config.json", "scheduler/scheduler_config.json":
            ours = json.load(open(path(model, "1", file)))
            theirs = json.load(open(os.path.join(MODELS, model, os.path.basename(file))))
            for k, v in ours.items():
                assert theirs[k] == v or (k, v) == ("clip_sample", False), f"{model}: {k} is {v}, not {theirs[k]}"


def solvers_are_written_as_they_were_read():
    """All of them, by diffusers itself: tools/compare_export.py."""
    free = ("euler_at_final", "noise_sampler_seed")  # say nothing to demist
    whole = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler")  # on whole timesteps their steps are DDIM's
    for i, r in enumerate(json.load(open(f"{MODELS}/solvers.json"))[::3]):
        folder, given = copy("plain", f"written{i}"), r["config"]
        json.dump(given, open(os.path.join(folder, "scheduler_config.json"), "w"))
        for k, of in (1, folder), (2, path(f"again{i}-1")):
            demist("export", of, "--to", "diffusers", path(f"again{i}-{k}"))
        assert "model_index.json" not in same_folders(path(f"again{i}-1"), path(f"again{i}-2")) or given["_class_name"] in whole, given
        got = json.load(open(path(f"again{i}-1", "scheduler/scheduler_config.json")))
        if given["_class_name"] in whole and given.get("timestep_spacing", "linspace") != "linspace":
            given = {**given, "_class_name": "DDIMScheduler"}
        assert {k: got.get(k) for k in given if k not in free} == {k: v for k, v in given.items() if k not in free}, (got, given)


def what_a_solver_cannot_express_is_refused():
    for i, (config, keys, words) in enumerate([
            ("DPMSolverMultistepScheduler", ["sampler.eta=0.5"], ["this sampler.eta"]),
            ("DPMSolverMultistepScheduler", ["sampler.order=3", "sampler.compat=none"], ["sampler.compat=diffusers"]),
            ("DPMSolverSinglestepScheduler", ["grid.spacing=trailing", "grid.one_more=false"], ["grid.spacing=linspace"]),
            ("DPMSolverSinglestepScheduler", ["sampler.order=3", "sampler.solver=heun", "sampler.eta=1", "sampler.compat=none"], ["sampler.compat=diffusers"]),
            ("DPMSolverSDEScheduler", ["sampler.eta=0"], ["sampler.eta=1 sampler.order=2", "sampler.method=multistep"]),
            ("DPMSolverSDEScheduler", ["sampler.compat=none"], ["sampler.compat=diffusers"]),
            ("DPMSolverSDEScheduler", ["objective.predict=x0"], ["objective.predict=x0"]),
            ("EDMDPMSolverMultistepScheduler", ["sampler.method=singlestep_grid"], ["sampler.method=multistep"]),
            ("DPMSolverMultistepScheduler", ["sampler.clip=1"], ["sampler.clip=off or dynamic"]),
            ("DPMSolverMultistepScheduler", ["grid.one_more=false"], ["grid.one_more=true"]),
            ("DPMSolverMultistepScheduler", ["grid={use: karras, rho: 3}"], ["grid.rho=7"]),
            ("UniPCMultistepScheduler", ["sampler.corrector=false"], ["sampler.corrector=false", "disable_corrector"]),
            ("UniPCMultistepScheduler", ["grid.use=quadratic"], ["grid 'quadratic'", "grid.use=uniform"]),
            ("DEISMultistepScheduler", ["grid.last=data"], ["grid.last=first"]),
            ("DEISMultistepScheduler", ["sampler.clip=dynamic", "sampler.clip_eps=false"], ["sampler.clip_eps=true"]),
            ("DEISMultistepScheduler", ["schedule.zero_terminal_snr=true", "objective.predict=v"], ["zero_terminal_snr"]),
            ("SASolverScheduler", ["sampler.corrector_order=0"], ["sampler.corrector_order=1 to 4"]),
            ("SASolverScheduler", ["sampler.compat=none"], ["sampler.compat=diffusers"]),
            ("SASolverScheduler", ["sampler.tau=0"], ["tau_func", "sampler.tau=1 sampler.t_min=200"]),
            ("SASolverScheduler", ["sampler.s_max=1"], ["tau_func", "neither s_min nor s_max"]),
            ("SASolverScheduler", ["sampler.max_growth=4"], ["sampler.max_growth=0"]),
            ("SASolverScheduler", ["grid.last=data"], ["grid.last=first"]),
            ("PNDMScheduler", ["sampler.start=lower_order"], ["sampler.start=repeat or runge_kutta"]),
            ("HeunDiscreteScheduler", ["sampler.churn=4"], ["sampler.churn=0"]),
            ("HeunDiscreteScheduler", ["sampler.max_drop=4"], ["sampler.max_drop=0"]),
            ("UniPCMultistepScheduler", ["sampler.max_growth=4"], ["sampler.max_growth=0"]),
            ("LMSDiscreteScheduler", ["sampler.order=2"], ["sampler.order=4"]),
            ("LMSDiscreteScheduler", ["grid={use: karras, s_max: 20}"], ["grid.s_min and grid.s_max"]),
            ("EDMEulerScheduler", ["grid.use=uniform"], ["grid.use=karras or exponential"]),
            ("FlowMatchEulerDiscreteScheduler", ["grid.until=0.5"], ["grid.until=0.001"])]):
        folder = copy("plain", f"inexpressible{i}")
        json.dump({"_class_name": config}, open(os.path.join(folder, "scheduler_config.json"), "w"))
        _, err = demist("export", folder, *keys, path(f"no_export{i}"), "--to", "diffusers", code=2)
        assert all(w in err for w in [config, *words]), (config, keys, err)
        assert not os.path.exists(path(f"no_export{i}"))


def images(out, *more):
    """A short training run on a few images."""
    import random
    random.seed(1)
    x = array.array("B", [random.randrange(256) for _ in range(16 * 64)])
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (16, 1, 8, 8), }"
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    open(path("x.npy"), "wb").write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + x.tobytes())
    open(path("e.yaml"), "w").write(f"""
device: "{DEVICE}"
data: {{use: npy, file: {path("x.npy")}}}
schedule: {{use: sigmoid}}
network: {{use: unet, channels: [4, 8], attend: [0, 1], layers: 1, groups: 2, dropout: 0}}
objective: {{use: simple, predict: v}}
sampler: {{use: ddim, steps: 5}}
train: {{steps: 3, batch: 4, lr: 1.0e-2}}
""")
    demist("train", path("e.yaml"), f"output={path(out)}", *more)


def export_of_a_run():
    images("run")
    file = "checkpoints/step-00000003.safetensors"
    own = read_safetensors(path("run", file))[0]
    for raw, prefix in ((), "ema.0."), (("--raw",), "model."):
        name = prefix[:3]
        demist("export", path("run"), "--to", "diffusers", *raw, path(name))
        got = read_safetensors(path(name, "unet", WEIGHTS))[0]
        assert {prefix + k: v for k, v in got.items()} == {k: v for k, v in own.items() if k.startswith(prefix)}
        demist("export", path(name), "--to", "diffusers", path(name + "2"))
        same_folders(path(name), path(name + "2"))
    # Not a schedule of diffusers: its betas are given, and the noise process is the same.
    config = json.load(open(path("ema", "scheduler/scheduler_config.json")))
    assert config["_class_name"] == "DDIMScheduler" and len(config["trained_betas"]) == 1000 and config["prediction_type"] == "v_prediction"
    demist("sample", path("run"), "seed=3", "sampler.clip_eps=false", "sampler.clip=1", f"device={DEVICE}", "--tensors", path("a.st"))
    demist("sample", path("ema"), "seed=3", "sampler.steps=5", f"device={DEVICE}", "--tensors", path("b.st"))
    a, b = (floats(read_safetensors(path(f))[0]["x"]) for f in ("a.st", "b.st"))
    assert max(abs(p - q) for p, q in zip(a, b)) < 1e-4


def export_of_a_learned_variance():
    for name, objective, kind in ("range", ", predict: eps", "learned_range"), ("log", ", predict: v, variance: log", "learned"):
        images(name, "objective={use: hybrid%s}" % objective, "sampler={use: ddpm, variance: learned, steps: 3}", "schedule={use: linear}")
        _, err = demist("export", path(name), "--to", "diffusers", path(f"{name}1"))
        assert "adds noise to the final image" in err, err
        _, err = demist("export", path(name), "grid.spacing=leading", "--to", "diffusers", path(f"{name}3"))
        assert "adds noise" not in err, err
        demist("export", path(f"{name}1"), "--to", "diffusers", path(f"{name}2"))
        same_folders(path(f"{name}1"), path(f"{name}2"))
        assert json.load(open(path(f"{name}1", "unet/config.json")))["out_channels"] == 2
        config = json.load(open(path(f"{name}1", "scheduler/scheduler_config.json")))
        assert (config["variance_type"], config["prediction_type"]) == (kind, "v_prediction" if name == "log" else "epsilon"), config
        for model in name, f"{name}1":
            demist("sample", path(model), "seed=3", "sampler.clip=1", "sampler.steps=3", f"device={DEVICE}", "--tensors", path(f"{model}.st"))
        a, b = (floats(read_safetensors(path(f"{f}.st"))[0]["x"]) for f in (name, f"{name}1"))
        assert max(abs(p - q) for p, q in zip(a, b)) < 1e-5, name


def export_has_all_outputs_and_no_conditions():
    images("vlb", "objective={use: vlb, variance: range}", "sampler={use: ddpm, variance: learned, steps: 3}", "schedule={use: linear}")
    demist("export", path("vlb"), "--to", "diffusers", path("vlb1"))
    config = json.load(open(path("vlb1", "unet/config.json")))
    assert config["out_channels"] == read_safetensors(path("vlb1", "unet", WEIGHTS))[0]["conv_out.bias"][1][0] == 2, config
    write_safetensors(path("v.st"), {"vector": ("F32", [16, 3], bytes(16 * 3 * 4))})
    images("told", f"condition.vector={path('v.st')}")
    _, err = demist("export", path("told"), "--to", "diffusers", path("told1"), code=2)
    assert "no conditions but the class" in err and not os.path.exists(path("told1")), err


def train_from_an_export():
    images("more", f"train.from={path('ema')}", "train.lr=0")
    got = read_safetensors(path("more/checkpoints/step-00000003.safetensors"))[0]
    for k, v in read_safetensors(path("ema", "unet", WEIGHTS))[0].items():
        assert got["model." + k] == v and got["ema.0." + k] == v, k
    net = "network={use: unet, channels: [4, 8], attend: [0, 1], layers: 1, groups: 2, dropout: 0.2%s}"
    for name, more, warned in ("same", "", []), ("other", ", flip_sin_to_cos: true, head_dim: 4", ["flip_sin_to_cos is true; it was false", "head_dim is 4"]):
        _, err = demist("train", path("e.yaml"), f"output={path(name)}", f"train.from={path('ema')}", "train.steps=1", net % more)
        assert err.count("for the weights of") == len(warned) and all(w in err for w in warned), err


def step_from(name, weights, *more):
    """Loss and gradient of one training step from these weights, none of which moves."""
    write_safetensors(path(f"{name}.st"), {k: ("F32", shape, array.array("f", v).tobytes()) for k, (shape, v) in weights.items()})
    images(name, f"train.from={path(name + '.st')}", *more)
    saved = read_safetensors(path(name, "checkpoints/step-00000001.safetensors"))[0]
    return log_lines(path(name))[-1]["loss"], {k[7:]: floats(t) for k, t in saved.items() if k.startswith("adam.m.")}


def loss_rises_along_its_gradient(name, *change):
    more = [*change, "train.steps=1", "train.clip=0", "train.lr=0", "train.log_every=1"]
    images(name, *change, "train.lr=1e-2", *more[-4:-2], more[-1])
    saved = read_safetensors(path(name, "checkpoints/step-00000001.safetensors"))[0]
    weights = {k[6:]: (t[1], floats(t)) for k, t in saved.items() if k.startswith("model.")}
    _, m = step_from(f"{name}at", weights, *more)
    g = {k: [10 * x for x in v] for k, v in m.items()}  # beta1 is 0.9
    size = sum(x * x for v in g.values() for x in v)
    h = min(0.01 / size, 0.03 / size ** 0.5)
    losses = [step_from(f"{name}{side}", {k: (shape, [w + side * h * d for w, d in zip(v, g[k])]) for k, (shape, v) in weights.items()},
                        *more)[0] for side in (-1, 1)]
    rise = (losses[1] - losses[0]) / (2 * h * size)
    assert abs(rise - 1) < 0.02, f"{change}: the loss rises by {rise:.3f} of what the gradient says"


def gradients_of_what_unet_adds():
    """The loss along the gradient rises as the gradient says, for every activation and time embedding."""
    for i, net in enumerate(["attend: [0, 1], act: mish, time: learned", "attend: [0, 1], act: gelu, time: fourier",
                             "attend: [0, 1], act: relu, scale_shift: true, mid_scale: 1.5, heads: 2, time_scale: 0.25, time_in: 6",
                             "attend: [1, 1], head_dim: 4, down_resnet: [1, 0], up_resnet: [0, 1], center: true, mid_groups: 4"]):
        loss_rises_along_its_gradient(f"grad{i}", "network={use: unet, channels: [4, 8], layers: 1, groups: 2, dropout: 0, %s}" % net)


def gradients_of_hybrid():
    """Without the bound, whose mean is held, as its loss is then not along its gradient."""
    for predict in "eps", "x0", "v":
        loss_rises_along_its_gradient(f"hybrid-{predict}", "objective={use: hybrid, lambda: 0, predict: %s}" % predict)


def export_refuses():
    for i, (more, words, code) in enumerate([
            (["--to", "onnx"], "diffusers", 2), (["objective.use=simple", "sampler.use=ddpm", "sampler.variance=learned", "--to", "keras"], "keras", 2),
            (["network.attend=[1,1,1]", "network.channels=[4,8,8]", "network.down_resnet=[0,1,0]", "--to", "diffusers"], "down_resnet", 2)]):
        _, err = demist("export", path("run"), *more, path(f"refused{i}"), code=code)
        assert words in err, err
        assert not os.path.exists(path(f"refused{i}"))
    _, err = demist("export", path("run"), "--to", "diffusers", path("ema"), code=2)
    assert "already exists" in err
    demist("export", path("run"), "--to", "diffusers", "--force", path("ema"))
    _, err = demist("export", os.path.join(MODELS, "old"), "--to", "diffusers", path("refused"), code=2)
    assert "scheduler_config.json" in err


def edit(folder, name="config.json", **change):
    file = os.path.join(folder, name)
    config = {**json.load(open(file)), **change}
    json.dump(config, open(file, "w"))


def predict_refuses_unknown_config():
    for i, (change, words) in enumerate([
            (dict(down_block_types=["DownBlock2D", "SkipDownBlock2D"]), ["SkipDownBlock2D", "AttnDownBlock2D"]),
            (dict(up_block_types=["AttnSkipUpBlock2D", "UpBlock2D"]), ["AttnSkipUpBlock2D"]),
            (dict(down_block_types=["KDownBlock2D", "DownBlock2D"]), ["KDownBlock2D"]),
            (dict(down_block_types=["DownBlock2D"]), ["down_block_types", "1 entries"]),
            (dict(act_fn="softplus"), ["act_fn", "softplus"]),
            (dict(class_embed_type="simple_projection"), ["class_embed_type", "simple_projection"]),
            (dict(resnet_time_scale_shift="spatial"), ["spatial"]),
            (dict(norm_num_group=2), ["norm_num_group'", "norm_num_groups"]),
            (dict(cross_attention_dim=8), ["cross_attention_dim"]),
            (dict(_class_name="UNet2DConditionModel"), ["UNet2DConditionModel"]),
            (dict(layers_per_block="2"), ["layers_per_block", "integer"]),
            (dict(block_out_channels=[4, -8]), ["block_out_channels"]),
            (dict(in_channels=1e18), ["in_channels"]),
            (dict(out_channels=0), ["out_channels"]),
            (dict(time_embedding_type="learned"), ["num_train_timesteps"]),
            (dict(norm_num_groups=3), ["groups"]),
            (dict(norm_eps=None), ["norm_eps", "must be a number"]), (dict(layers_per_block=None), ["layers_per_block", "integer"]),
            (dict(down_block_types=None), ["down_block_types", "list"]), (dict(sample_size=[8]), ["sample_size", "[height, width]"]),
            ({"\x1b[31m": 1}, ["'?[31m'"])]):
        folder = copy("plain", f"config{i}")
        edit(folder, **change)
        _, err = predict(folder, "no.st", code=2)
        for w in words:
            assert w in err, f"{change}: {w} is not in: {err}"


def change_weights(name, change):
    folder = copy("plain", name)
    tensors, _ = read_safetensors(f"{folder}/{WEIGHTS}")
    change(tensors)
    write_safetensors(f"{folder}/{WEIGHTS}", tensors)
    return folder


def predict_lists_tensors_that_do_not_fit():
    def spoil(t):
        t["conv_im.weight"] = t.pop("conv_in.weight")
        del t["conv_out.bias"]
        t["extra.weight"] = ("F32", [1], b"\0" * 4)
        t["conv_norm_out.weight"] = ("F32", [2], t["conv_norm_out.weight"][2][:8])

    _, err = predict(change_weights("spoiled", spoil), "no.st", code=5)
    for words in (["has no tensor 'conv_in.weight'", "'conv_im.weight'"], ["has no tensor 'conv_out.bias'"], ["no tensor 'extra.weight'"],
                  ["'conv_norm_out.weight' is [2]; [4] is needed"], ["no tensor 'conv_im.weight'; it lacks 'conv_in.weight'"]):
        assert any(all(w in line for w in words) for line in err.splitlines()), f"{words}: {err}"


def nan_is_refused_unless_asked_for():
    def spoil(t):
        k = "conv_out.bias"
        t[k] = (t[k][0], t[k][1], struct.pack("<f", float("nan")) + t[k][2][4:])

    folder = change_weights("nan", spoil)
    exported = ("export", folder, "--to", "diffusers", path("nan-out"))
    sampled = ("sample", folder, f"device={DEVICE}", "sampler.steps=2", "--tensors", path("nan-x.st"))
    images("run-nan")
    saved = read_safetensors(path("run-nan/checkpoints/step-00000003.safetensors"))[0]
    weights = {k[6:]: t for k, t in saved.items() if k.startswith("model.")}
    write_safetensors(path("inf.safetensors"), {**weights, "conv_out.bias": ("F32", [1], struct.pack("<f", float("inf")))})
    train = ("train", path("e.yaml"), f"output={path('from-inf')}", f"train.from={path('inf.safetensors')}")
    for args in exported, sampled, train:
        _, err = demist(*args, code=5)
        assert "conv_out.bias" in err and "allow_nan" in err, err
    _, err = predict(folder, "no.st", code=5)
    assert "conv_out.bias" in err and "not finite" in err
    given = os.path.join(MODELS, "plain", "expected.safetensors")
    demist("predict", folder, "allow_nan=true", f"device={DEVICE}", "--in", given, "--out", path("nan.st"))
    assert all(x != x for x in floats(read_safetensors(path("nan.st"))[0]["out"]))
    demist("export", folder, "allow_nan=true", "--force", *exported[2:])
    assert read_safetensors(path("nan-out/unet", WEIGHTS))[0] == read_safetensors(f"{folder}/{WEIGHTS}")[0]
    _, err = demist(*sampled, "allow_nan=true", code=None)  # what comes of NaN is told as divergence, where a clip leaves it
    assert "conv_out.bias" not in err, err
    _, err = demist(*train, "allow_nan=true", "--overwrite", code=None)
    assert "diverged at step 1" in err, err


def predict_refuses_broken_files():
    folder = copy("plain", "short")
    data = open(f"{folder}/{WEIGHTS}", "rb").read()
    open(f"{folder}/{WEIGHTS}", "wb").write(data[:-100])
    predict(folder, "no.st", code=5)
    open(f"{folder}/{WEIGHTS}", "wb").write(struct.pack("<Q", 1 << 62) + data[8:])
    predict(folder, "no.st", code=5)
    os.rename(f"{folder}/{WEIGHTS}", f"{folder}/diffusion_pytorch_model.bin")
    _, err = predict(folder, "no.st", code=2)
    assert "pickle" in err and "safe_serialization" in err
    open(f"{folder}/config.json", "w").write("{")
    predict(folder, "no.st", code=5)


def predict_refuses_an_index_that_leaves_the_folder():
    for i, name in enumerate(["../plain/diffusion_pytorch_model.safetensors", "/etc/passwd.safetensors", "..safetensors.safetensors",
                              "sub/x.safetensors", "config.json", "missing-shard.safetensors"]):
        folder = copy("old", f"index{i}")
        file = f"{folder}/{WEIGHTS}.index.json"
        index = json.load(open(file))
        index["weight_map"]["conv_in.weight"] = name
        json.dump(index, open(file, "w"))
        _, err = predict(folder, "no.st", code=5)
        assert name in err, err
    folder = copy("old", "index_wrong")
    file = f"{folder}/{WEIGHTS}.index.json"
    index = json.load(open(file))
    index["weight_map"]["conv_up.weight"] = sorted(set(index["weight_map"].values()))[0]
    json.dump(index, open(file, "w"))
    _, err = predict(folder, "no.st", code=5)
    assert "conv_up.weight" in err


if __name__ == "__main__":
    run_tests([predict_equals_unet2dmodel, half_precision_where_the_device_has_it, predict_reads_old_names_shards_and_bfloat16,
           predict_adds_labels_that_are_vectors, predict_takes_labels_as_a_second_time, predict_refuses_unknown_config,
           predict_lists_tensors_that_do_not_fit, nan_is_refused_unless_asked_for, predict_refuses_broken_files,
           predict_refuses_an_index_that_leaves_the_folder, sample_walks_like_ddpmscheduler, sample_walks_like_ddimscheduler,
           sample_walks_as_diffusers_does_where_asked_to, sample_refuses_unknown_schedulers, sample_walks_like_diffusers_solvers,
           solvers_that_cannot_be_read_are_refused, solvers_are_written_as_they_were_read, what_a_solver_cannot_express_is_refused,
           export_and_import_again, export_of_a_run, export_of_a_learned_variance, export_has_all_outputs_and_no_conditions,
           train_from_an_export, gradients_of_what_unet_adds, gradients_of_hybrid, export_refuses])

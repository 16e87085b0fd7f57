"""Combinations that cannot work: each an error of check at its key, and without any device."""
import re

from cli import demist, path, run_tests

EXPERIMENT = """data: {use: toy2d}
schedule: {use: linear}
network: {use: mlp, width: 16, depth: 1}
objective: {use: simple}
sampler: {use: ddim, steps: 10}
train: {steps: 3, batch: 8}
"""
CLASSES = ["data.labels=true", "network.use=exact_gaussians", "network.classes=true", "network.means=[-1,1]",
           "network.deviations=[0.5,0.5]"]

# Overrides, and what is said (regular expressions).
CASES = [
    # a grid that the schedule does not reach
    (["grid.use=karras", "grid.s_max=1000"], r"grid\.use: karras: .*point 0 has log-SNR -13\.8155, which schedule 'linear' does not reach"),
    (["grid.use=list", "grid.timesteps=[2000, 5]"], r"grid\.timesteps: the schedule does not reach 2000; its noisiest is 999"),
    (["grid.use=list", "grid.sigmas=[500, 6]"], r"grid\.sigmas: the schedule does not reach 500; its noisiest is 157\."),
    (["grid.use=list", "grid.timesteps=[5, 500]"], r"grid\.timesteps: 500 comes after 5; the noise must fall"),
    # a grid that is not there, with which the sampler finds no fault too
    (["grid.use=nosuch"], r"grid\.use: there is no grid 'nosuch'; available: ays, "),
    # a grid that lists too few points, and lists that go together
    *[(["grid={use: list, " + points + "}"], r"grid\.timesteps: both timesteps and sigmas are empty; give the points where the steps begin in one of them, noisiest first")
      for points in ("timesteps: []", "sigmas: []", "last: data")],
    (["grid={use: list, timesteps: [], last: least}"], r"grid\.timesteps: both timesteps and sigmas are empty"),
    (["grid={use: list, sigmas: [3], last: least}"], r"grid\.sigmas: has 1 point, and with last: least the last one is where the last step goes; give 2 or more, or last: data"),
    (["grid={use: list, timesteps: [900, 5], sigmas: [3]}"], r"grid\.sigmas: timesteps are given too; give only one of them"),
    (["sampler.use=restart", "sampler.s_max=[]"], r"sampler\.s_max: has 0 values, s_min 1; each interval has one in every list: give s_max 1, or s_min 0"),
    # a network that needs labels, or images, and has none
    (["network.use=exact_gaussians", "network.classes=true"], r"network\.classes: the data has none"),
    (["network.use=unet"], r"network\.use: unet: is for images, f32\[N,C,H,W\]; for points use mlp"),
    (["train.drop_condition=0.1"], r"train\.drop_condition: the data has no classes to drop"),
    # an order above the number of steps
    *[([f"sampler.use={s}", f"sampler.order={order}", "sampler.steps=2"], rf"sampler\.order: {order} needs at least as many steps; the grid has 2")
      for s, order in (("dpmpp", 3), ("unipc", 3), ("deis", 3), ("pndm", 4), ("lms", 4))],
    (["sampler.use=sa", "sampler.steps=2"], r"sampler\.predictor_order: 3 needs at least as many steps; the grid has 2"),
    (["sampler.use=sa", "sampler.corrector_order=4", "sampler.steps=3"], r"sampler\.corrector_order: 4 needs at least as many steps; the grid has 3"),
    (["sampler.use=sa", "sampler.t_min=800", "sampler.t_max=200"], r"sampler\.t_min: 800 is above t_max, 200"),
    (["sampler.use=sa", "sampler.s_min=2", "sampler.s_max=1"], r"sampler\.s_min: 2 is above s_max, 1"),
    # guidance without a second prediction, or with a sampler that does not read what it gives
    (["guidance.use=cfg"], r"guidance\.use: cfg: needs a prediction without a class; the data has no classes"),
    (["guidance.use=cfg", *CLASSES], r"guidance\.use: cfg: needs a prediction without a class; the model is trained with train\.drop_condition = 0"),
    (["guidance.use=autoguidance"], r"guidance\.guide: guidance 'autoguidance' needs another model"),
    (["guidance.use=cfgpp", "sampler.use=dpmpp", "train.drop_condition=0.1", *CLASSES],
     r"guidance\.use: cfgpp: guides eps apart from x0, and sampler 'dpmpp' does not read eps"),
    # alpha_bar and beta outside their range, with the u where they are
    (["schedule.use=formula", "schedule.formula=1-2*u"], r"schedule\.formula: alpha_bar is -0\.002 at u = 0\.501; it must lie in \[0, 1\]"),
    (["schedule.use=formula", "schedule.formula=1-0.5*u+0.2*sin(40*u)"], r"schedule\.formula: alpha_bar is 1\.0075 at u = 0\.001"),
    (["schedule.use=formula", "schedule.formula=1-0.5*u-0.2*sin(40*u)"], r"schedule\.formula: .* at u = 0\.0\d+"),
    (["schedule.use=formula", "schedule.of=beta", "schedule.formula=2*u"], r"schedule\.formula: beta is 1\.002 at u = 0\.501; it must lie in \(0, 1\]"),
    (["schedule.use=formula", "schedule.of=beta", "schedule.formula=0.01-0.02*u"], r"schedule\.formula: beta is 0 at u = 0\.5; it must lie in \(0, 1\]"),
    (["schedule.use=formula", "schedule.formula=1-(u"], r"schedule\.formula: column 5: Missing parenthesis"),
    (["schedule.use=formula", "schedule.formula=1" + "!" * 3000], r"schedule\.formula: it has 3001 characters; 1000 are the most"),
    (["schedule.use=formula", "schedule.formula=1-\u00fc"], r"schedule\.formula: column 3: character 0xc3; formulas are printable ASCII"),
    # no tolerance; no bound of data without levels; no variance
    (["sampler.use=adaptive", "sampler.rtol=0", "sampler.atol=0"], r"sampler\.rtol: rtol and atol are both 0"),
    (["objective.use=hybrid"], r"objective\.use: hybrid: the bound needs pixels of known levels"),
    (["sampler.use=ddpm", "sampler.variance=learned"], r"sampler\.variance: this model has no learned variance"),
    (["schedule.use=flow"], r"objective\.predict: no signal is left at t = 1000"),
]


def each_is_said_at_its_key():
    with open(path("e.yaml"), "w") as f:
        f.write(EXPERIMENT + f"output: {path('run')}\n")
    wrong = []
    for overrides, says in CASES:
        _, err = demist("check", path("e.yaml"), *overrides, env={"OCL_ICD_VENDORS": "/nonexistent/"}, code=None)
        at_key = [line for line in err.splitlines() if re.search(r"^(command line: argument \d+|\S+:\d+:\d+): error: ", line)]
        if len(at_key) != 1 or not re.search("error: " + says, at_key[0]):
            wrong.append(f"{' '.join(overrides)}:\n{err}")
    assert not wrong, "\n".join(wrong)


def lists_of_unequal_length():
    """Each of restart's that is too short, at its own line."""
    open(path("r.yaml"), "w").write(EXPERIMENT.replace("{use: ddim, steps: 10}", "{use: restart, steps: 10,\n  s_min: [0.1, 0.06, 0.03],\n"
                                                       "  s_max: [1, 0.3],\n  inner_steps: [3, 3, 3],\n  restarts: [2]}"))
    err = demist("check", path("r.yaml"), env={"OCL_ICD_VENDORS": "/nonexistent/"}, code=2)[1]
    says = "has {}, s_min 3; each interval has one in every list: give {} 3, or s_min {}"
    assert re.findall(r":(\d+:\d+): error: sampler\.(.*)", err) == [("7:10", "s_max: " + says.format("2 values", "s_max", 2)),
                                                                   ("9:13", "restarts: " + says.format("1 value", "restarts", 1))], err


run_tests([each_is_said_at_its_key, lists_of_unequal_length])

"""Bridge sampling against the official FrameBridge code (golden/bridge): tables, training, trajectories, a Gaussian."""

import json
import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from pack.samplers.bridge import (
    SOLVERS,
    bridge_pull,
    bridge_sample,
    bridge_score,
    ode_step,
    sample_bridge,
    sde_step,
)
from pack.samplers.bridge_schedule import BridgeSchedule, trailing_times
from pack.samplers.snr_alignment import ddpm_input, head_target, head_to_z0, table_index

GMAX, VP = BridgeSchedule("gmax", 0.01, 50.0), BridgeSchedule("vp", 0.1, 20.0)
TABLE, SDE, LATTE_ODE, TARGET_AT_THE_ENDS = 1e-6, 1e-5, 1e-4, 5e-4  # tolerances of its README, relative
SAMPLERS = {solver: partial(sample_bridge, solver) for solver in SOLVERS}


def close(ours, official, tolerance):
    """Nothing is off by more than the tolerance of the largest number."""
    torch.testing.assert_close(ours, official, atol=tolerance * float(official.abs().max()), rtol=0)


@pytest.fixture(scope="module")
def data(golden):
    """The tensors of a file of golden/bridge, in float64."""
    loaded = {}

    def load(name):
        if name not in loaded:
            tensors = load_file(golden(f"bridge/{name}.safetensors")).items()
            loaded[name] = {key: value.double() if value.is_floating_point() else value for key, value in tensors}
        return loaded[name]

    return load


@pytest.fixture(scope="module")
def bases(data):
    """alpha / sigma of the base models' tables."""
    tables = data("tables")

    def ratio(name):
        return (tables[f"{name}.alphas_cumprod"] / (1 - tables[f"{name}.alphas_cumprod"])).sqrt()

    videocrafter = tables["vc.sqrt_alphas_cumprod"] / tables["vc.sqrt_one_minus_alphas_cumprod"]
    return {
        **{name: ratio(name) for name in ("cog2b", "cog5b", "latte")},
        "vc": videocrafter,
        "vc_dynrescale": videocrafter * tables["vc_dynrescale.scale_arr"][:1000],
    }


def toy(weights, axis, x, condition, level, context=None):
    """The stand-in for a network of golden/bridge: A tanh(B x + C p + d t / 1000 + e + K ctx) + g x over channels."""
    x, condition = x.movedim(axis, -1), condition.movedim(axis, -1)
    inner = x @ weights["toy.B"].T + condition @ weights["toy.C"].T + weights["toy.e"] + weights["toy.d"] * level / 1000
    if context is not None:
        inner = inner + weights["toy.K"] @ context.flatten()
    return (inner.tanh() @ weights["toy.A"].T + weights["toy.g"] * x).movedim(-1, axis)


def entry_times(indices):
    """Bridge times of entries of the official table, then 0."""
    return [(index + 1) / 1001 for index in indices.tolist()] + [0.0]


# tables


@pytest.mark.parametrize("name", ["alpha", "sigma", "a", "b", "c"])
def test_gmax(name, data):
    tables = data("tables")
    ours = getattr(GMAX, name)(tables["gmax.t"])
    torch.testing.assert_close(ours, tables[f"gmax.{name}"], atol=0, rtol=TABLE)
    latte = tables[f"gmax_latte.{name}"]
    torch.testing.assert_close(ours, latte, atol=1e-5 if name == "c" else TABLE, rtol=0)  # from t in float32
    torch.testing.assert_close(ours[:800], latte[:800], atol=0, rtol=TABLE)


def test_gmax_s_ratios(data):
    tables, t = data("tables"), data("tables")["gmax.t"]
    torch.testing.assert_close(GMAX.snr(t), tables["gmax.snr"], atol=0, rtol=TABLE)
    torch.testing.assert_close(GMAX.bridge_snr(t).sqrt(), tables["gmax.sqrt_snr_ac"], atol=0, rtol=TABLE)
    torch.testing.assert_close(GMAX.sigma(1.0), tables["gmax.sigma_T"][0], atol=0, rtol=1e-15)
    bar = (GMAX.variance(1.0) * GMAX.one_minus_r(t)).sqrt()
    torch.testing.assert_close(bar, tables["gmax.sigma_bar"], atol=0, rtol=TABLE)
    torch.testing.assert_close(bar, tables["gmax_latte.sigma_bar"], atol=1e-5, rtol=0)  # from t in float32
    a, c = GMAX.a(t), GMAX.c(t)
    weight = (GMAX.alpha(t) * c / GMAX.sigma(t)) ** 2 / (a**2 + c**2)
    torch.testing.assert_close(weight, tables["cog.training_weight"], atol=0, rtol=TABLE)


@pytest.mark.parametrize("name", ["alpha", "sigma", "a", "b", "c", "snr"])
def test_vp(name, data):
    tables = data("tables")
    assert tables["vp_closedform.beta01"].tolist() == [VP.beta_0, VP.beta_1]
    ours = getattr(VP, name)(tables["vp_closedform.t"])
    torch.testing.assert_close(ours, tables[f"vp_closedform.{name}"], atol=0, rtol=1e-12)
    end = torch.stack([VP.alpha(1.0), VP.sigma(1.0)])
    torch.testing.assert_close(end, tables["vp_closedform.alpha_sigma_T"], atol=0, rtol=1e-14)


@pytest.mark.parametrize("name", ["vc", "vc_dynrescale", "cog2b", "cog5b", "latte"])
def test_aligned_indices(name, data, bases):
    tables = data("tables")
    ratio = GMAX.bridge_snr(tables["gmax.t"]).sqrt()
    if name == "latte":
        ratio = tables["gmax_latte.a"] / tables["gmax_latte.c"]  # its own table, 4e-5 off near the prior
    index, clamped = table_index(ratio, bases[name], None if name == "latte" else float(ratio[0]))
    torch.testing.assert_close(index, tables[f"{name}.aligned_t"], atol=0, rtol=TABLE)
    assert clamped is (name == "latte")
    if name != "latte":
        z = torch.ones(1000, 1, dtype=torch.float64)
        fed = ddpm_input(z, z, tables["gmax.t"], GMAX, bases[name])
        torch.testing.assert_close(fed.level, index, atol=0, rtol=1e-12)
        assert not fed.clamped


# training


@pytest.mark.parametrize("prior", ["replicated", "neural"])
@pytest.mark.parametrize("head", ["eps_psi", "eps_psi_new"])
def test_training_of_videocrafter(head, prior, data, bases):
    official, tables = data("training"), bases["vc"]
    run = {key: official[f"vc.{head}.{prior}.{key}"] for key in ("z_t", "x_in", "t_in", "pred", "target")}
    z_0, noise, z_T = official["z0"], official["eps"], official[f"zT.{prior}"]
    t = (official["t"].double() + 1) / 1001
    z = bridge_sample(z_0, z_T, noise, t, GMAX)
    close(z, run["z_t"], SDE)
    fed = ddpm_input(z, z_T, t, GMAX, tables)
    close(fed.x, run["x_in"], SDE)
    close(fed.level, run["t_in"], TABLE)
    close(toy(official, 1, fed.x, z_T, fed.level.view(-1, 1, 1, 1, 1)), run["pred"], SDE)
    target = head_target(head, z_0, noise, z_T, t, GMAX)
    same_targets(target, run["target"], official["t"])
    losses = (run["pred"] - target).square().flatten(1).mean(1)
    close(losses, official[f"vc.{head}.{prior}.loss_per_sample"], SDE)
    close(losses.mean(), official[f"vc.{head}.{prior}.loss"][0], SDE)


def same_targets(ours, official, indices):
    """Float32 loses digits of targets at the first and the last entry."""
    for one, other, index in zip(ours, official, indices.tolist(), strict=True):
        close(one, other, TARGET_AT_THE_ENDS if index in (0, 999) else SDE)


@pytest.mark.parametrize("prior", ["replicated", "noisyprior"])
def test_training_of_cogvideox(prior, data, bases):
    official = data("training")
    run = {key.removeprefix(f"cog.{prior}."): value for key, value in official.items() if f"cog.{prior}." in key}
    z_0, noise, z_T, t = run["z0"], run["eps"], run["zT"], (official["t"].double() + 1) / 1001
    z = bridge_sample(z_0, z_T, noise, t, GMAX)
    close(z, run["z_t"], SDE)
    fed = ddpm_input(z, z_T, t, GMAX, bases["cog2b"])
    close(fed.x, run["x_in"], SDE)
    close(fed.x, run["x_in_from_z0_eps"], SDE)
    close(fed.level, run["t_in"], TABLE)
    close(toy(official, 2, fed.x, run["cond"], fed.level.view(-1, 1, 1, 1, 1)), run["pred"], SDE)
    target = head_target("v", z_0, noise, z_T, t, GMAX)
    same_targets(target, run["target"], official["t"])
    close(head_to_z0("v", run["pred"], z, z_T, t, GMAX), run["x0_from_pred"], SDE)
    close(head_to_z0("v", run["target"], z, z_T, t, GMAX), run["x0_from_target"], SDE)
    close((run["pred"] - target).square().mean(), run["loss"][0], SDE)


@pytest.mark.parametrize("aligned", ["saf", "nosaf"])
@pytest.mark.parametrize("prior", ["replicated", "neural"])
def test_training_of_latte(prior, aligned, data, bases):
    official = data("training")
    keys = ("z_t", "x_in", "t_in", "pred", "target", "loss_per_sample")
    run = {key: official[f"latte.{prior}.{aligned}.{key}"] for key in keys}
    z_0, noise, z_T = (official[key].transpose(1, 2) for key in ("z0", "eps", f"zT.{prior}"))
    t = (official["t"].double() + 1) / 1001
    z = bridge_sample(z_0, z_T, noise, t, GMAX)
    close(z, run["z_t"], SDE)
    x, level = z, official["t"].double()
    if aligned == "saf":
        fed = ddpm_input(z, z_T, t, GMAX, bases["latte"], extended=False)
        x, level = fed.x, fed.level
    close(x, run["x_in"], SDE)
    close(level, run["t_in"], SDE)  # its table is 4e-5 off near the prior
    close(toy(official, 2, x, z_T, level.view(-1, 1, 1, 1, 1)), run["pred"], SDE)
    target = head_target("eps_psi", z_0, noise, z_T, t, GMAX)
    same_targets(target, run["target"], official["t"])
    close((run["pred"] - target).square().flatten(1).mean(1), run["loss_per_sample"], SDE)


# trajectories


class Replay:
    """A denoiser made of the toy and a head; notes the network's inputs and levels.

    fed: (z, t) -> x, level. answer: (x, level) -> output of the network.
    """

    def __init__(self, fed, answer, head, prior):
        self.fed, self.answer, self.head, self.prior, self.asked = fed, answer, head, prior, []

    def __call__(self, z, t):
        x, level = self.fed(z, t)
        self.asked.append((x, torch.as_tensor(level, dtype=torch.float64)))
        return head_to_z0(self.head, self.answer(x, level), z, self.prior, t, GMAX)

    def inputs_are(self, run, tolerance, levels=TABLE):
        if "x_in" in run:
            close(torch.stack([x for x, _ in self.asked]), run["x_in"], tolerance)
        assert len(self.asked) == len(run["t_in"])
        close(torch.stack([level for _, level in self.asked]), run["t_in"].flatten(), levels)


def part(official, name):
    """The tensors of one run."""
    return {key.removeprefix(f"{name}."): value for key, value in official.items() if key.startswith(f"{name}.")}


def aligned(prior, table, extended=True):
    def fed(z, t):
        result = ddpm_input(z, prior, t, GMAX, table, extended)
        return result.x, result.level

    return fed


def replayed_sde(denoise, run, prior):
    """Begun on the prior itself, as the official code does; the run's own noises. States and estimates."""
    noises, seen = iter(run["noise"]), []
    times = entry_times(run["t_index"])
    end = SAMPLERS["sde"](denoise, prior, times, lambda t, s: next(noises), GMAX, seen.append, start=prior)
    assert next(noises, None) is None
    return torch.stack([item["x"] for item in seen] + [end]), torch.stack([item["denoised"] for item in seen])


def guided(official, axis, condition, scale):
    """The network with its context, resp. guided away from the empty one."""

    def answer(x, level):
        given = toy(official, axis, x, condition, level, official["ctx.cond"])
        if scale == 1:
            return given
        empty = toy(official, axis, x, condition, level, official["ctx.uncond"])
        return empty + scale * (given - empty)

    return answer


@pytest.mark.parametrize(
    ("name", "head", "prior", "scale"),
    [
        ("eps_psi.n5", "eps_psi", "replicated", 1),
        ("eps_psi.n20", "eps_psi", "replicated", 1),
        ("eps_psi.n50", "eps_psi", "replicated", 1),
        ("eps_psi.uniform.n5", "eps_psi", "replicated", 1),
        ("eps_psi.neural.n20", "eps_psi", "neural", 1),
        ("eps_psi.cfg7p5.n20", "eps_psi", "replicated", 7.5),
        ("eps_psi_new.n20", "eps_psi_new", "replicated", 1),
    ],
)
def test_trajectories_of_videocrafter(name, head, prior, scale, data, bases):
    official = data("traj_videocrafter_sde")
    run, z_T = part(official, name), official[f"zT.{prior}"]
    answer = guided(official, 1, official["zT.replicated"], scale)  # the picture is the network's condition
    denoise = Replay(aligned(z_T, bases["vc"]), answer, head, z_T)
    states, estimates = replayed_sde(denoise, run, z_T)
    close(states, run["z"], SDE)
    close(estimates, run["x0"], SDE)
    denoise.inputs_are(run, SDE)


@pytest.mark.parametrize(("name", "scale"), [("v.n5", 1), ("v.n20", 1), ("v.n50", 1), ("v.cfg6.n20", 6)])
def test_trajectories_of_cogvideox(name, scale, data, bases):
    official = data("traj_cogvideox_sde")
    run, z_T = part(official, name), official["zT"]
    denoise = Replay(aligned(z_T, bases["cog2b"]), guided(official, 2, z_T, scale), "v", z_T)
    states, estimates = replayed_sde(denoise, run, z_T)
    close(states, run["z"], SDE)
    close(estimates, run["x0"], SDE)
    denoise.inputs_are(run, SDE)


def test_our_trailing_times_are_those_of_the_recorded_runs(data):
    for file in ("traj_videocrafter_sde", "traj_cogvideox_sde"):
        official = data(file)
        names = [key.removesuffix(".t_index") for key in official if key.endswith(".t_index") and "uniform" not in key]
        assert len(names) > 3
        for name in names:
            indices = official[f"{name}.t_index"]
            assert entry_times(indices) == trailing_times(len(indices))


def latte(official, run, name, prior, table):
    """Latte's network; without alignment it is told the recorded level: its ODE gives the place in the grid."""
    z_T, told = official[f"zT.{prior}"], iter(run["t_in"].flatten())
    fed = (lambda z, t: (z, next(told))) if ".nosaf." in f"{name}." else aligned(z_T, table, extended=False)
    return Replay(fed, lambda x, level: toy(official, 2, x, z_T, level), "eps_psi", z_T)


@pytest.mark.parametrize(
    ("name", "prior"),
    [(f"sde.{kind}.n{steps}", "replicated") for kind in ("saf", "nosaf") for steps in (5, 20, 50)]
    + [("sde.saf.neural.n20", "neural")],
)
def test_sde_trajectories_of_latte(name, prior, data, bases):
    official = data("traj_latte")
    run = part(official, name)
    denoise = latte(official, run, name, prior, bases["latte"])
    states, _ = replayed_sde(denoise, run, official[f"zT.{prior}"])
    close(states, run["z"], SDE)
    denoise.inputs_are(run, SDE, levels=SDE)


def replayed_ode(denoise, run, start, prior):
    """Latte's ODE: an SDE step from the prior itself, then first-order steps. Its states."""
    times, seen = entry_times(run["t_index"]), []
    (noise,) = run["noise"]
    state = sde_step(start, denoise(start, times[0]), noise, *times[:2], GMAX)
    end = SAMPLERS["ode"](denoise, prior, times[1:], None, GMAX, seen.append, start=state)
    return torch.stack([start, *(item["x"] for item in seen), end])


@pytest.mark.parametrize("name", [f"ode1.{kind}.n{steps}" for kind in ("saf", "nosaf") for steps in (5, 20, 50)])
def test_ode_trajectories_of_latte(name, data, bases):
    official = data("traj_latte")
    run, z_T = part(official, name), official["zT.replicated"]
    denoise = latte(official, run, name, "replicated", bases["latte"])
    close(replayed_ode(denoise, run, z_T, z_T), run["z"], LATTE_ODE)
    denoise.inputs_are(run, LATTE_ODE, levels=SDE)


def test_latte_s_mistake_with_a_neural_prior_is_not_ours(data, bases):
    """Its ODE step takes the first frame for the prior: with that alone put in by hand the run is reproduced."""
    official, name = data("traj_latte"), "ode1.saf.neural_ASIS.n20"
    run, neural, replicated = part(official, name), official["zT.neural"], official["zT.replicated"]

    def states(prior):
        return replayed_ode(latte(official, run, name, "neural", bases["latte"]), run, neural, prior)

    close(states(replicated), run["z"], LATTE_ODE)
    assert (states(neural) - run["z"]).abs().max() > 0.1 * run["z"].abs().max()


@pytest.mark.parametrize("name", [f"ode2.{kind}.n{steps}" for kind in ("saf", "nosaf") for steps in (5, 20, 50)])
def test_latte_s_second_order_from_our_first_order_steps(name, data, bases):
    """It takes the mean slope of two steps that follow each other, which is not what ode_2 does."""
    official = data("traj_latte")
    run, prior = part(official, name), official["zT.replicated"]
    denoise, times = latte(official, run, name, "replicated", bases["latte"]), entry_times(run["t_index"])
    states = [prior, sde_step(prior, denoise(prior, times[0]), run["noise"][0], *times[:2], GMAX)]
    for t, s, after in zip(times[1:-2], times[2:-1], times[3:], strict=True):
        z = states[-1]
        ahead = ode_step(z, denoise(z, t), prior, t, s, GMAX)
        further = ode_step(ahead, denoise(ahead, s), prior, s, after, GMAX)
        slopes = (ahead - z) / (s - t), (further - ahead) / (after - s)
        states.append(z + (s - t) * (slopes[0] + slopes[1]) / 2)
    states.append(denoise(states[-1], times[-2]))
    close(torch.stack(states), run["z"], LATTE_ODE)
    denoise.inputs_are(run, LATTE_ODE, levels=SDE)
    last = SAMPLERS["ode_2"](
        latte(official, {**run, "t_in": run["t_in"].repeat(2, 1)}, name, "replicated", bases["latte"]),
        prior,
        times[1:],
        None,
        GMAX,
        start=states[1],
    )
    assert (last - run["z"][-1]).abs().max() > 0.01 * run["z"][-1].abs().max()


PAIRS = ["1_0", "40_39", "500_20", "700_699", "999_800", "999_998"]


@pytest.mark.parametrize("pair", PAIRS)
def test_vp_steps(pair, data):
    """The official functions with vp's numbers put in place of gmax's."""
    official = data("vp_steps_substituted")
    t, s = ((int(index) + 1) / 1001 for index in pair.split("_"))
    z, estimate, prior = official["z"], official["x0"], official["zT"]
    moved = sde_step(z, estimate, official[f"sde.{pair}.noise"], t, s, VP)
    close(moved, official[f"sde.{pair}.z_next"], SDE)
    close(ode_step(z, estimate, prior, t, s, VP), official[f"ode1.{pair}.z_next"], SDE)


# the Gaussian case


@pytest.fixture(scope="module")
def gaussian(data):
    return data("gaussian")


def exact_estimate(gaussian):
    """E[z_0 | z_t] for z_0 ~ N(mu, S0)."""
    mu, S0, prior = gaussian["mu"], gaussian["S0"], gaussian["zT"]

    def denoise(z, t):
        a, b, c = (float(value(t)) for value in (GMAX.a, GMAX.b, GMAX.c))
        covariance = a**2 * S0 + c**2 * torch.eye(2, dtype=torch.float64)
        return mu + a * (z - a * mu - b * prior) @ torch.linalg.solve(covariance, S0)

    return denoise


def outcome(gaussian, sample, times):
    """Mean and covariance of an affine sampler that begins on the prior: a row without noise, one for every draw."""
    rows = 2 * len(times) + 1
    draws, prior = iter(range(1, rows, 2)), gaussian["zT"].expand(rows, 2)

    def unit_noise(t, s):
        noise, row = torch.zeros(rows, 2, dtype=torch.float64), next(draws)
        noise[row : row + 2] = torch.eye(2, dtype=torch.float64)
        return noise

    result = sample(exact_estimate(gaussian), prior, times, unit_noise, GMAX, start=prior)
    spread = result[1:] - result[0]
    return result[0], spread.T @ spread


def latte_indices(steps):
    """The spacing of Latte's samplers, descending."""
    return torch.tensor([round(999 * index / (steps - 1)) for index in range(steps)][::-1])


def latte_ode_times(steps):
    """One step fewer than asked for, and 998 put in after 999."""
    return entry_times(torch.tensor([999, 998, *latte_indices(steps)[1:].tolist()]))


@pytest.mark.parametrize("steps", [5, 10, 20, 25, 50])
def test_the_spacing_of_latte_is_the_recorded_one(steps, data):
    tables = data("tables")
    assert latte_indices(steps).flip(0).tolist() == tables[f"grid.latte_sde.{steps}"].tolist()
    ascending = tables[f"grid.latte_ode.{steps}"]
    assert latte_ode_times(steps) == entry_times(ascending.flip(0))


def test_sample_points(gaussian):
    assert gaussian["mu"].tolist() == (gaussian["M"] @ gaussian["zT"] + gaussian["m0"]).tolist()
    assert [(index + 1) / 1001 for index in gaussian["pt.index"].tolist()] == gaussian["pt.t"].tolist()
    prior, denoise = gaussian["zT"], exact_estimate(gaussian)
    zero, eye = torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
    for row, t in enumerate(gaussian["pt.t"].tolist()):
        point = {key.removeprefix("pt."): value[row] for key, value in gaussian.items() if key.startswith("pt.")}
        z, estimate = point["z"], denoise(point["z"], t)
        close(estimate, point["z0_hat"], 1e-12)
        close(bridge_score(z, estimate, prior, t, GMAX), point["score"], 1e-10)
        close(bridge_pull(z, prior, t, GMAX), point["h"], 1e-12)
        noise = (z - bridge_sample(estimate, prior, zero, t, GMAX)) / GMAX.c(t)
        close(head_target("eps_psi", estimate, noise, prior, t, GMAX), point["eps_hat"], 1e-10)
        close(head_to_z0("eps_psi", point["eps_hat"], z, prior, t, GMAX), point["z0_hat"], 1e-12)
        close(bridge_sample(gaussian["mu"], prior, zero, t, GMAX), point["marginal_mean"], 1e-12)
        close(GMAX.a(t) ** 2 * gaussian["S0"] + GMAX.c(t) ** 2 * eye, point["marginal_cov"], 1e-12)


@pytest.mark.parametrize("steps", [5, 10, 20, 50, 100, 200])
@pytest.mark.parametrize("name", ["videocrafter_sde_trailing", "cogvideox_sde_trailing", "latte_sde"])
def test_sde_outcomes(name, steps, gaussian):
    times = entry_times(latte_indices(steps)) if name == "latte_sde" else trailing_times(steps)
    mean, covariance = outcome(gaussian, SAMPLERS["sde"], times)
    close(mean, gaussian[f"{name}.n{steps}.mean"], SDE)
    close(covariance, gaussian[f"{name}.n{steps}.cov"], SDE)


@pytest.mark.parametrize("steps", [500, 1000])
def test_sde_outcomes_of_many_steps(steps, gaussian):
    mean, covariance = outcome(gaussian, SAMPLERS["sde"], trailing_times(steps))
    for name in ("videocrafter_sde_trailing", "cogvideox_sde_trailing"):
        close(mean, gaussian[f"{name}.n{steps}.mean"], SDE)
        close(covariance, gaussian[f"{name}.n{steps}.cov"], SDE)


@pytest.mark.parametrize("steps", [5, 10, 20, 50, 100, 200, 500])
def test_ode_outcomes(steps, gaussian):
    """Latte's first-order ODE with its start, which leaves half of the variance out."""

    def official(denoise, prior, times, noise_sampler, schedule, start):
        state = sde_step(start, denoise(start, times[0]), noise_sampler(*times[:2]), *times[:2], schedule)
        return SAMPLERS["ode"](denoise, prior, times[1:], noise_sampler, schedule, start=state)

    mean, covariance = outcome(gaussian, official, latte_ode_times(steps))
    close(mean, gaussian[f"latte_ode1.n{steps}.mean"], LATTE_ODE)
    close(covariance, gaussian[f"latte_ode1.n{steps}.cov"], LATTE_ODE)
    assert float(covariance.trace() / gaussian["S0"].trace()) < 0.52


@pytest.mark.parametrize("steps", [5, 10, 20, 50, 100, 200, 500])
def test_pf_ode_ends(steps, gaussian, golden):
    """From points of the exact marginal at 999/1001; of order 2 as methods of exponential Heun type are."""
    errors = json.loads(golden("bridge/gaussian_convergence.json").read_text())["pf_ode_exact_start"]
    times, start, exact = latte_ode_times(steps)[1:], gaussian["pfode.z_start"], gaussian["pfode.z_end_exact"]
    assert times[0] == float(gaussian["pfode.t_start"])
    prior = gaussian["zT"].expand_as(start)
    first, second = (
        sample(exact_estimate(gaussian), prior, times, None, GMAX, start=start)
        for sample in (SAMPLERS["ode"], SAMPLERS["ode_2"])
    )
    close(first, gaussian[f"pfode.latte_ode1.n{steps}.z_end"], LATTE_ODE)
    (reference,) = (row for row in errors["ref_x0_averaged_exact_start_NOT_OFFICIAL"] if row["steps"] == steps)
    assert float((second - exact).abs().max()) == pytest.approx(reference["err_inf"], rel=1e-9)
    assert (gaussian[f"pfode.latte_ode2.n{steps}.z_end"] - exact).abs().max() > (second - exact).abs().max()


def test_orders_inside_the_bridge(gaussian, golden):
    """t from .95 to .05: errors and orders of the published study."""
    study = json.loads(golden("bridge/gaussian_convergence.json").read_text())["empirical_order_interior_grid"]
    assert study["ref_x0_averaged_exponential_heun"]["empirical_order"][-1] > 1.9
    assert study["official_ode2"]["empirical_order"][-1] < 1
    for name, sample, expected in (
        ("official_ode1", SAMPLERS["ode"], 1),
        ("ref_x0_averaged_exponential_heun", SAMPLERS["ode_2"], 2),
    ):
        counts = study[name]["steps"][2:5]
        errors = [interior_error(gaussian, sample, count) for count in counts]
        assert errors == pytest.approx(study[name]["err_inf"][2:5], rel=1e-9 if expected == 2 else LATTE_ODE)
        slopes = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
        assert all(abs(slope - expected) < 0.1 for slope in slopes)


def interior_error(gaussian, sample, count):
    """Largest error at .05 of the golden points, carried from 999/1001 to .95 by the exact flow, and on to .05."""
    mu, prior = gaussian["mu"], gaussian["zT"]
    values, vectors = torch.linalg.eigh(gaussian["S0"])

    def moments(t):
        a, b, c = (float(value(t)) for value in (GMAX.a, GMAX.b, GMAX.c))
        return a * mu + b * prior, (a**2 * values + c**2).sqrt()

    (drawn_mean, drawn_size), *places = (moments(t) for t in (999 / 1001, 0.95, 0.05))
    units = (gaussian["pfode.z_start"] - drawn_mean) @ vectors / drawn_size
    start, exact = (mean + (units * size) @ vectors.T for mean, size in places)
    times = [0.95 - 0.9 * index / count for index in range(count + 1)]
    ends = sample(exact_estimate(gaussian), prior.expand_as(start), times, None, GMAX, start=start)
    return float((ends - exact).abs().max())

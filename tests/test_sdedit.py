"""SDEdit: steps against naive formulas, exact Gaussians, order of convergence, ends, limits, refusals."""

import math
from itertools import pairwise

import pytest
import torch

from pack.samplers.bridge import SOLVERS
from pack.samplers.sdedit import Level, levels_of, noised, sample_sdedit, sdedit_step

FLOW = levels_of(torch.tensor([0.9, 0.6, 0.25, 0.0], dtype=torch.float64), flow=True)
EDM = levels_of(torch.tensor([12.0, 3.0, 0.4, 0.0], dtype=torch.float64), flow=False)
BASES = {"flow": FLOW, "edm": EDM}
SHAPE = (2, 3, 2, 2)
MEAN, VARIANCE = 0.7, 0.5  # of the exact Gaussian


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class LinearModel:
    """D = a x / (1 + s^2) + b; notes what it is asked."""

    def __init__(self):
        self.a, self.b, self.asked = random(*SHAPE, seed=1), random(*SHAPE, seed=2), []

    def __call__(self, x, level):
        self.asked.append((x.clone(), level))
        return self.a.to(x) * x / (1 + level**2) + self.b.to(x)


class Noise:
    """Unit noise from a seed; notes the levels it is asked for and what it gives."""

    def __init__(self, seed=3, dtype=torch.float64):
        self.generator, self.dtype, self.levels, self.given = torch.Generator().manual_seed(seed), dtype, [], []

    def __call__(self, now, then):
        self.levels.append((now, then))
        self.given.append(torch.randn(*SHAPE, dtype=torch.float64, generator=self.generator).to(self.dtype))
        return self.given[-1]


def sampled(levels, solver, model=None, noise=None, seed=4, **options):
    x = noised(random(*SHAPE, seed=seed), random(*SHAPE, seed=seed + 1), levels[0])
    return sample_sdedit(model or LinearModel(), x, levels, solver, noise or Noise(), **options)


def stepped(base, steps):
    """Levels in steps that an order of convergence can be read from: flow from 0.9, EDM from 9, both down to 0."""
    even = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    return levels_of(0.9 * even if base == "flow" else 9 * even**2, base == "flow")


# steps


@pytest.mark.parametrize("base", BASES)
def test_the_sde_step_is_the_posterior_of_ddpm(base):
    """By Bayes, from x' = alpha' x_0 + sigma' e and x given x'."""
    for now, then in zip(BASES[base], BASES[base][1:-1], strict=False):
        x, denoised, noise = (random(*SHAPE, seed=seed) for seed in (5, 6, 7))
        ratio = now.alpha / then.alpha
        spread = now.sigma**2 - ratio**2 * then.sigma**2
        precision = 1 / then.sigma**2 + ratio**2 / spread
        mean = (then.alpha * denoised / then.sigma**2 + ratio * x / spread) / precision
        made = sdedit_step(x, denoised, noise, now, then)
        torch.testing.assert_close(made, mean + noise / precision**0.5)


@pytest.mark.parametrize("base", BASES)
def test_the_sde_step_keeps_the_noise_level(base):
    """Of what is alpha x_0 + sigma e it makes alpha' x_0 + sigma' e', with the truth for its estimate."""
    for now, then in zip(BASES[base], BASES[base][1:-1], strict=False):
        zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
        from_e = sdedit_step(now.sigma * one, zero, zero, now, then)
        from_noise = sdedit_step(zero, zero, one, now, then)
        torch.testing.assert_close(from_e**2 + from_noise**2, then.sigma**2 * one)
        torch.testing.assert_close(sdedit_step(now.alpha * one, one, zero, now, then), then.alpha * one)


@pytest.mark.parametrize("base", BASES)
def test_ode_is_euler_s_method_as_the_host_has_it(base):
    levels, model = BASES[base], LinearModel()
    x = random(*SHAPE, seed=8)
    expected = x
    for now, then in pairwise(levels):
        d = (expected - model(expected, now.given)) / now.given
        expected = expected + d * (then.given - now.given)
    torch.testing.assert_close(sample_sdedit(model, x, levels, "ode", Noise()), expected)


@pytest.mark.parametrize("base", BASES)
def test_ode_2_takes_the_mean_of_the_estimates_at_both_ends(base):
    levels, model = BASES[base], LinearModel()
    x = random(*SHAPE, seed=8)
    expected = x
    for now, then in pairwise(levels):
        first = model(expected, now.given)
        if then.sigma == 0:
            expected = first
            continue
        ahead = expected + (then.given - now.given) * (expected - first) / now.given
        mean = (first + model(ahead, then.given)) / 2
        expected = expected + (then.given - now.given) * (expected - mean) / now.given
    torch.testing.assert_close(sample_sdedit(model, x, levels, "ode_2", Noise()), expected)


@pytest.mark.parametrize("base", BASES)
def test_euler_maruyama_puts_in_all_the_noise_of_a_step(base):
    """In y = x / alpha, whose noise is s = sigma / alpha: y' = y - (1 - s'^2 / s^2) (y - D) + sqrt(s^2 - s'^2) e."""
    levels, model, noise = BASES[base], LinearModel(), Noise()
    x = random(*SHAPE, seed=8)
    made = sample_sdedit(model, x, levels, "euler_maruyama", noise)
    y = x / levels[0].alpha
    for index, (now, then) in enumerate(pairwise(levels)):
        denoised = model(now.alpha * y, now.given)
        s, s_then = now.sigma / now.alpha, then.sigma / then.alpha
        y = y - (1 - s_then**2 / s**2) * (y - denoised)
        if then.sigma:
            y = y + (s**2 - s_then**2) ** 0.5 * noise.given[index]
    torch.testing.assert_close(made, y)


# a Gaussian, whose clean estimate is known


def exact(x, level, flow):
    alpha, sigma = (1 - level, level) if flow else (1.0, level)
    return MEAN + alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2) * (x - alpha * MEAN)


def on_the_gaussian(base, solver, levels, start, noise_sampler=None):
    """Every number of start by itself."""
    given = noise_sampler or (lambda now, then: torch.zeros_like(start))
    return sample_sdedit(lambda x, level: exact(x, level, base == "flow"), start, levels, solver, given)


@pytest.mark.parametrize(("solver", "order"), [("ode", 1), ("ode_2", 2)])
@pytest.mark.parametrize("base", BASES)
def test_the_odes_converge_to_the_exact_flow_with_their_order(base, solver, order):
    """The flow of a Gaussian keeps the distance to the mean, in standard deviations."""
    errors, steps = [], [40, 80, 160, 320]
    for count in steps:
        levels = stepped(base, count)
        first = levels[0]
        spread = (first.alpha**2 * VARIANCE + first.sigma**2) ** 0.5
        start = torch.tensor([first.alpha * MEAN + 1.3 * spread], dtype=torch.float64)
        errors.append(abs(float(on_the_gaussian(base, solver, levels, start)) - (MEAN + 1.3 * VARIANCE**0.5)))
    slope = -sum(math.log2(after / before) for before, after in pairwise(errors)) / 3
    assert errors[-1] < 0.02
    assert slope == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("solver", ["sde", "euler_maruyama"])
def test_with_noise_it_converges_to_the_exact_mean_and_variance(solver, base):
    """Everything is linear: in one run of many numbers each has another of the noises, the first two have none."""

    def end(steps):
        levels, place = stepped(base, steps), iter(range(2, steps + 1))
        first = levels[0]

        def only(number):
            return torch.zeros(steps + 1, dtype=torch.float64).index_fill_(0, torch.tensor([number]), 1.0)

        made = on_the_gaussian(base, solver, levels, only(1), lambda now, then: only(next(place)))
        still, kept, *noises = made.tolist()
        keep = kept - still
        variance = keep**2 * (first.alpha**2 * VARIANCE + first.sigma**2) + sum((end - still) ** 2 for end in noises)
        return still + keep * first.alpha * MEAN, variance

    (mean, coarse), (_, fine) = end(800), end(1600)
    assert mean == pytest.approx(MEAN, abs=1e-9)
    assert abs(fine - VARIANCE) < 0.01
    assert (fine - VARIANCE) / (coarse - VARIANCE) == pytest.approx(0.5, abs=0.03)
    assert fine < VARIANCE if solver == "sde" else fine > VARIANCE


# the run


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_it_ends_on_the_last_estimate_and_every_estimate_is_told(solver, base):
    told, model = [], LinearModel()
    made = sampled(BASES[base], solver, model, callback=lambda state: told.append(dict(state)))
    assert [state["i"] for state in told] == [0, 1, 2]
    assert torch.equal(made, told[-1]["denoised"])
    assert torch.equal(made, model(told[-1]["x"], BASES[base][-2].given))
    assert not torch.allclose(made, told[0]["denoised"], atol=0.1)


@pytest.mark.parametrize(("solver", "calls", "noises"), [("sde", 3, 2), ("ode", 3, 0), ("ode_2", 5, 0)])
def test_the_calls_of_the_model_and_of_the_noise(solver, calls, noises):
    model, noise = LinearModel(), Noise()
    sampled(EDM, solver, model, noise)
    levels = [level for _, level in model.asked]
    assert levels == ([12.0, 3.0, 3.0, 0.4, 0.4] if solver == "ode_2" else [12.0, 3.0, 0.4])
    assert len(levels) == calls
    assert noise.levels == [(12.0, 3.0), (3.0, 0.4)][:noises]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_pin_changes_every_estimate(solver):
    seen = []

    def pin(denoised):
        result = denoised.clone()
        result[:, :1] = 2.0
        seen.append(denoised.clone())
        return result

    made = sampled(FLOW, solver, pin=pin, callback=lambda state: seen.append(state["denoised"]))
    assert (made[:, 0] == 2).all()
    assert len(seen) == (8 if solver == "ode_2" else 6)
    pinned = [one for one in seen if (one[:, 0] == 2).all()]
    assert len(pinned) == 3
    assert not torch.allclose(made, sampled(FLOW, solver), atol=0.1)


def test_pinned_to_the_prior_the_ode_stays_on_its_noised_prior():
    prior, noise = random(*SHAPE, seed=8), random(*SHAPE, seed=9)
    states = []
    sample_sdedit(
        LinearModel(), noised(prior, noise, FLOW[0]), FLOW, "ode", Noise(), states.append, pin=lambda denoised: prior
    )
    for state, level in zip(states, FLOW, strict=False):
        torch.testing.assert_close(state["x"], noised(prior, noise, level))


@pytest.mark.parametrize("solver", SOLVERS)
def test_it_may_end_above_0_and_be_gone_on_with(solver):
    noise = Noise()
    half = sampled(FLOW[:3], solver, noise=noise)
    whole = sample_sdedit(LinearModel(), half, FLOW[2:], solver, noise)
    torch.testing.assert_close(whole, sampled(FLOW, solver))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("steps", [1, 2, 5, 50])
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_there_are_numbers_at_any_number_of_steps_in_any_precision(solver, base, steps, dtype):
    x = random(*SHAPE).to(dtype)
    made = sample_sdedit(LinearModel(), x, stepped(base, steps), solver, Noise(dtype=dtype))
    assert made.dtype == dtype
    assert made.isfinite().all()


@pytest.mark.parametrize("solver", ["sde", "ode", "ode_2"])
def test_from_pure_noise_nothing_of_the_prior_is_left(solver):
    levels, ends = levels_of(torch.tensor([1.0, 0.6, 0.0]), flow=True), []
    for seed in (1, 2):
        x = noised(random(*SHAPE, seed=seed), random(*SHAPE, seed=9), levels[0])
        ends.append(sample_sdedit(LinearModel(), x, levels, solver, Noise()))
    assert ends[0].isfinite().all()
    assert torch.equal(*ends)


def test_levels_are_the_share_of_the_video_and_of_the_noise():
    assert levels_of(torch.tensor([0.75, 0.5, 0.0]), flow=True) == [
        Level(0.25, 0.75, 0.75),
        Level(0.5, 0.5, 0.5),
        Level(1, 0, 0),
    ]
    assert levels_of(torch.tensor([14.0, 0.0]), flow=False) == [Level(1, 14, 14), Level(1, 0, 0)]
    assert float(noised(torch.tensor(8.0), torch.tensor(4.0), Level(0.25, 0.75, 0.75))) == 5


# refusals


def test_an_unknown_solver_is_named():
    with pytest.raises(ValueError, match="solver must be one of sde, ode, ode_2, euler_maruyama, got 'heun'"):
        sampled(FLOW, "heun")


def test_euler_maruyama_cannot_begin_on_pure_noise():
    levels, model = levels_of(torch.tensor([1.0, 0.5, 0.0]), flow=True), LinearModel()
    with pytest.raises(ValueError, match="cannot begin on pure noise .* take sde, or denoise below 1"):
        sampled(levels, "euler_maruyama", model)
    assert model.asked == []


def test_levels_above_1_are_refused_for_flow():
    with pytest.raises(ValueError, match=r"sigmas begin at 14.61, but this model's noise levels end at 1: take Basic"):
        levels_of(torch.tensor([14.61, 0.0]), flow=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(("solver", "calls"), [("sde", 1), ("ode", 1), ("euler_maruyama", 1), ("ode_2", 2)])
def test_values_that_are_no_numbers_stop_it_and_the_step_is_named(solver, calls, bad):
    """ode_2: in the second call of its first step."""
    model = LinearModel()

    def broken(x, level):
        denoised = model(x, level)
        denoised[0, 0, 0, 0] = bad if len(model.asked) == calls + (solver != "ode_2") else 0.0
        return denoised

    step = 1 if solver == "ode_2" else 2
    with pytest.raises(ValueError, match=rf"not numbers \(NaN or infinite\) in step {step} of 3"):
        sampled(FLOW, solver, broken)
    assert len(model.asked) == 2

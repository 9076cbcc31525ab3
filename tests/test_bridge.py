"""Bridge sampling: the process, naive steps, fine integration, an exact Gaussian case with its orders, ends, errors."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from pack.samplers.bridge import (
    SOLVERS,
    bridge_pull,
    bridge_sample,
    bridge_score,
    bridge_start,
    check_prior,
    check_solver,
    euler_maruyama_step,
    keyframe_pin,
    ode_step,
    sample_bridge,
    sde_step,
)
from pack.samplers.bridge_schedule import BridgeSchedule, bridge_times, trailing_times

SCHEDULES = [BridgeSchedule(), BridgeSchedule("vp", 0.1, 20.0), BridgeSchedule("gmax", 0.5, 8.0)]
IDS = ["gmax", "vp", "gmax_8"]
SHAPE = (2, 3, 5, 2, 2)  # [B, C, T, h, w]
STEPS = [(0.9, 0.6), (0.6, 0.05), (0.05, 0.01), (0.999, 0.998)]

both = pytest.mark.parametrize("schedule", SCHEDULES, ids=IDS)
solvers = pytest.mark.parametrize("solver", SOLVERS)
SAMPLERS = {solver: partial(sample_bridge, solver) for solver in SOLVERS}


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def points(count=4):
    """z, z0_hat, noise, prior."""
    return (random(*SHAPE, seed=seed) for seed in range(count))


class Toy:
    """A smooth estimate of z_0 that mixes channels and depends on time; notes what it is asked."""

    def __init__(self):
        self.mixing, self.asked = random(3, 3, seed=11) / 2, []

    def __call__(self, z, t):
        self.asked.append((z.clone(), t))
        return (torch.einsum("cd,bd...->bc...", self.mixing, z.double()).tanh() + t).to(z.dtype)


class Noise:
    """Unit noise from a seed; notes the times it is asked for and what it gives."""

    def __init__(self, seed=3, shape=SHAPE):
        self.generator, self.shape, self.times, self.given = torch.Generator().manual_seed(seed), shape, [], []

    def __call__(self, t, s):
        self.times.append((t, s))
        self.given.append(torch.randn(*self.shape, dtype=torch.float64, generator=self.generator))
        return self.given[-1]


def run(solver, steps=6, schedule=SCHEDULES[0], seed=3, dtype=torch.float64, times=None, **options):
    prior = random(*SHAPE, seed=9, dtype=dtype)
    times = bridge_times(steps) if times is None else times
    return sample_bridge(solver, Toy(), prior, times, Noise(seed), schedule, **options)


def value(schedule, name, t):
    return float(getattr(schedule, name)(t))


# the process


@both
def test_the_bridge_is_the_base_process_tied_to_its_end(schedule):
    """Mean and variance of z_t given z_0 and z_T, by conditioning the joint Gaussian of the base process."""
    z_0, prior = 0.7, -1.3
    for t in (0.05, 0.4, 0.95):
        (alpha, var), (alpha_T, var_T) = (
            (value(schedule, "alpha", time), value(schedule, "sigma", time) ** 2) for time in (t, 1.0)
        )
        covariance = alpha_T / alpha * var
        mean = alpha * z_0 + covariance / var_T * (prior - alpha_T * z_0)
        deviation = math.sqrt(var - covariance**2 / var_T)
        ends = (torch.tensor([end], dtype=torch.float64) for end in (z_0, prior))
        drawn = bridge_sample(*ends, torch.tensor([2.0], dtype=torch.float64), t, schedule)
        assert float(drawn) == pytest.approx(mean + 2 * deviation, rel=1e-9)


@both
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_ends_of_the_bridge_are_the_video_and_the_prior(schedule, dtype):
    """Identity 12."""
    z_0, prior, noise = (random(*SHAPE, seed=seed, dtype=dtype) for seed in range(3))
    assert torch.equal(bridge_sample(z_0, prior, noise, 0, schedule), z_0)
    assert torch.equal(bridge_sample(z_0, prior, noise, 1, schedule), prior)
    both_ends = bridge_sample(z_0, prior, noise, torch.tensor([0.0, 1.0]), schedule)
    assert torch.equal(both_ends, torch.stack([z_0[0], prior[1]]))
    assert both_ends.dtype == dtype


@both
def test_a_batch_of_times_is_drawn_sample_by_sample(schedule):
    z_0, prior, noise = points(3)
    times = torch.tensor([0.2, 0.9], dtype=torch.float64)
    drawn = bridge_sample(z_0, prior, noise, times, schedule)
    for row, t in enumerate(times.tolist()):
        expected = bridge_sample(z_0[row], prior[row], noise[row], t, schedule)
        torch.testing.assert_close(drawn[row], expected, atol=1e-14, rtol=0)


@both
def test_h_is_the_gradient_of_the_density_of_the_prior(schedule):
    for t in (0.0, 0.3, 0.99):
        z, prior = random(4), random(4, seed=1)
        z.requires_grad_()
        shrink = value(schedule, "alpha", 1.0) / value(schedule, "alpha", t)
        spread = value(schedule, "sigma", 1.0) ** 2 - shrink**2 * value(schedule, "sigma", t) ** 2
        (-((prior - shrink * z) ** 2).sum() / (2 * spread)).backward()
        torch.testing.assert_close(bridge_pull(z.detach(), prior, t, schedule), z.grad, atol=0, rtol=1e-9)


@both
def test_the_score_is_the_gradient_of_the_density_of_the_bridge(schedule):
    """For one video, whose estimate is the video."""
    z_0, prior, z = random(4), random(4, seed=1), random(4, seed=2)
    for t in (0.01, 0.3, 0.99):
        z = z.detach().requires_grad_()
        mean = bridge_sample(z_0, prior, torch.zeros(4, dtype=torch.float64), t, schedule)
        (-((z - mean) ** 2).sum() / (2 * value(schedule, "c", t) ** 2)).backward()
        torch.testing.assert_close(bridge_score(z.detach(), z_0, prior, t, schedule), z.grad, atol=0, rtol=1e-9)


@both
def test_score_less_h_is_the_noise_of_the_base_process(schedule):
    """Identity 11: s - h = -(z - alpha z0_hat) / sigma^2, so that the backward SDE does not know the prior."""
    z, denoised, _, prior = points()
    for t in (0.01, 0.3, 0.7, 0.99):
        difference = bridge_score(z, denoised, prior, t, schedule) - bridge_pull(z, prior, t, schedule)
        expected = -(z - value(schedule, "alpha", t) * denoised) / value(schedule, "sigma", t) ** 2
        torch.testing.assert_close(difference, expected, atol=1e-10, rtol=1e-10)


# steps


@both
@pytest.mark.parametrize(("t", "s"), STEPS)
def test_the_sde_step_is_the_ddpm_posterior(schedule, t, s):
    """Identity 11: z_s given z_t and z_0, by Bayes' rule for the base process."""
    z, denoised, noise, _ = points()
    (alpha_t, var_t), (alpha_s, var_s) = (
        (value(schedule, "alpha", time), value(schedule, "sigma", time) ** 2) for time in (t, s)
    )
    forward = alpha_t / alpha_s
    added = var_t - forward**2 * var_s
    posterior = 1 / (1 / var_s + forward**2 / added)
    mean = posterior * (alpha_s * denoised / var_s + forward * z / added)
    torch.testing.assert_close(
        sde_step(z, denoised, noise, t, s, schedule), mean + posterior**0.5 * noise, atol=1e-11, rtol=1e-9
    )


@both
def test_the_first_sde_step_from_the_prior_draws_from_the_bridge(schedule):
    _, denoised, noise, prior = points()
    for s in (0.999, 0.5, 0.02, 0.0):
        expected = bridge_sample(denoised, prior, noise, s, schedule)
        torch.testing.assert_close(sde_step(prior, denoised, noise, 1.0, s, schedule), expected, atol=1e-12, rtol=0)


@both
def test_sde_steps_with_the_true_video_stay_on_the_bridge(schedule):
    """From the bridge's mean and variance at t to those at s, whatever t."""
    z_0, prior, zero = random(6), random(6, seed=1), torch.zeros(6, dtype=torch.float64)
    for t, s in STEPS:
        moved = sde_step(bridge_sample(z_0, prior, zero, t, schedule), z_0, zero, t, s, schedule)
        torch.testing.assert_close(moved, bridge_sample(z_0, prior, zero, s, schedule), atol=1e-11, rtol=0)
        kept, drawn = (float(sde_step(*unit, t, s, schedule)) for unit in torch.eye(3, dtype=torch.float64)[[0, 2]])
        variance = (kept * value(schedule, "c", t)) ** 2 + drawn**2
        assert variance == pytest.approx(value(schedule, "c", s) ** 2, rel=1e-9)


def finely_integrated(z, denoised, prior, t, s, schedule, steps):
    """The probability-flow ODE dz = [f z - g^2 (s / 2 - h)] dt with a fixed estimate, by Runge-Kutta of order 4."""

    def slope(z, t):
        pull = bridge_score(z, denoised, prior, t, schedule) / 2 - bridge_pull(z, prior, t, schedule)
        return value(schedule, "drift", t) * z - value(schedule, "beta", t) * pull

    width = (s - t) / steps
    for index in range(steps):
        here = t + index * width
        first = slope(z, here)
        second = slope(z + width / 2 * first, here + width / 2)
        third = slope(z + width / 2 * second, here + width / 2)
        fourth = slope(z + width * third, here + width)
        z = z + width / 6 * (first + 2 * second + 2 * third + fourth)
    return z


@both
@pytest.mark.parametrize(("t", "s"), [(0.9, 0.4), (0.4, 0.1)])
def test_the_ode_step_matches_fine_integration(schedule, t, s):
    """Identity 11."""
    z, denoised, prior = random(3), random(3, seed=1), random(3, seed=2)
    fine = finely_integrated(z, denoised, prior, t, s, schedule, steps=100)
    torch.testing.assert_close(ode_step(z, denoised, prior, t, s, schedule), fine, atol=1e-8, rtol=1e-8)


@both
def test_ode_steps_with_the_true_video_keep_the_noise_of_the_bridge(schedule):
    """a z_0 + b z_T + c eps goes to the same with the same eps."""
    z_0, prior, noise = random(6), random(6, seed=1), random(6, seed=2)
    for t, s in [*STEPS, (0.3, 0.0)]:
        moved = ode_step(bridge_sample(z_0, prior, noise, t, schedule), z_0, prior, t, s, schedule)
        torch.testing.assert_close(moved, bridge_sample(z_0, prior, noise, s, schedule), atol=1e-10, rtol=0)


@both
@pytest.mark.parametrize(("t", "s"), STEPS)
def test_the_euler_maruyama_step_is_the_textbook_s(schedule, t, s):
    z, denoised, noise, _ = points()
    alpha, sigma, beta, drift = (value(schedule, name, t) for name in ("alpha", "sigma", "beta", "drift"))
    eps = (z - alpha * denoised) / sigma
    expected = z + (s - t) * (drift * z + beta * eps / sigma) + math.sqrt(beta * (t - s)) * noise
    ours = euler_maruyama_step(z, denoised, noise, t, s, schedule)
    torch.testing.assert_close(ours, expected, atol=1e-9, rtol=1e-9)


@both
def test_the_sde_and_euler_maruyama_steps_agree_for_short_ones(schedule):
    z, denoised, noise, _ = points()
    for t in (0.2, 0.6):
        gaps = [
            (sde_step(z, denoised, noise, t, t - width, schedule)
            - euler_maruyama_step(z, denoised, noise, t, t - width, schedule)).abs().max()
            for width in (1e-4, 1e-6)
        ]  # fmt: skip
        assert gaps[1] < gaps[0] / 500  # the noise differs by width^(3/2)


# an exact Gaussian case: z_0 ~ N(MEAN, COVARIANCE) given the prior


MEAN = torch.tensor([0.3, -0.8], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.9, 0.3], [0.3, 0.5]], dtype=torch.float64)
PRIOR = torch.tensor([-0.4, 0.6], dtype=torch.float64)
EYE = torch.eye(2, dtype=torch.float64)


def marginal(schedule, t):
    """Exact mean and covariance of z_t."""
    a, b, c = (value(schedule, name, t) for name in "abc")
    return a * MEAN + b * PRIOR, a**2 * COVARIANCE + c**2 * EYE


def exact_estimate(schedule):
    """E[z_0 | z_t]."""

    def denoise(z, t):
        if t == 1:
            return MEAN.expand_as(z)
        mean, covariance = marginal(schedule, t)
        return MEAN + value(schedule, "a", t) * (z - mean) @ torch.linalg.solve(covariance, COVARIANCE)

    return denoise


def outcome(sample, times, schedule=SCHEDULES[0], exact_start=True):
    """Mean and covariance of what an affine sampler makes, without chance: a row without noise, one for every draw.

    exact_start: from the exact marginal at times[0]; else from where the sampler starts by itself.
    """
    rows = 2 * (len(times) + 1) + 1
    draws = iter(range(1, rows, 2))

    def unit_noise(t=None, s=None):
        noise = torch.zeros(rows, 2, dtype=torch.float64)
        row = next(draws)
        noise[row : row + 2] = EYE
        return noise

    start = None
    if exact_start:
        mean, covariance = marginal(schedule, times[0])
        start = mean + unit_noise() @ torch.linalg.cholesky(covariance).T
    result = sample(exact_estimate(schedule), PRIOR.expand(rows, 2), times, unit_noise, schedule, start=start)
    spread = result[1:] - result[0]
    return result[0], spread.T @ spread


def distance(mean, covariance, true_mean, true_covariance):
    """2-Wasserstein distance of two Gaussians."""

    def root(matrix):
        values, vectors = torch.linalg.eigh(matrix)
        return vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T

    half = root(true_covariance)
    trace = (covariance + true_covariance - 2 * root(half @ covariance @ half)).trace()
    return math.sqrt(max(float((mean - true_mean).square().sum() + trace), 0))


def order(counts, errors):
    """Slope of log error over log steps, by least squares."""
    x, y = (torch.tensor(numbers, dtype=torch.float64).log() for numbers in (counts, errors))
    x, y = x - x.mean(), y - y.mean()
    return -float((x * y).sum() / x.square().sum())


ORDERS = [
    (SAMPLERS["sde"], 1, [80, 160, 320]),
    (SAMPLERS["ode"], 1, [40, 80, 160]),
    (SAMPLERS["ode_2"], 2, [40, 80, 160]),
    (SAMPLERS["euler_maruyama"], 1, [80, 160, 320]),
]


@pytest.mark.parametrize("schedule", SCHEDULES[:2], ids=IDS[:2])
@pytest.mark.parametrize(("sample", "expected", "counts"), ORDERS, ids=SOLVERS)
def test_solvers_converge_with_their_order(sample, expected, counts, schedule):
    """Inside the bridge, from .95 to .05, where nothing is singular; measured on mean and covariance together."""
    errors = []
    for count in counts:
        times = [0.95 - 0.9 * index / count for index in range(count + 1)]
        errors.append(distance(*outcome(sample, times, schedule), *marginal(schedule, times[-1])))
    assert expected - 0.2 < order(counts, errors) < expected + 0.2
    assert errors[-1] < 0.02


@pytest.mark.parametrize("schedule", SCHEDULES[:2], ids=IDS[:2])
@pytest.mark.parametrize(("sample", "largest"), list(zip(SAMPLERS.values(), [0.05, 0.02, 0.006, 0.006], strict=True)))
def test_whole_runs_come_to_the_exact_mean_and_covariance(sample, largest, schedule):
    """From the prior itself to the video."""
    coarse, fine = (
        distance(*outcome(sample, bridge_times(count, 1.0), schedule, exact_start=False), MEAN, COVARIANCE)
        for count in (50, 200)
    )
    assert fine < largest
    assert fine < coarse / 2


@pytest.mark.parametrize(
    ("sample", "largest"), [(SAMPLERS["sde"], 1e-4), (SAMPLERS["ode"], 0.01), (SAMPLERS["ode_2"], 0.01)]
)
def test_the_start_s_guess_of_the_video_is_all_but_forgotten(sample, largest):
    """The prior stands in for z_0 at 0.999: the SDE forgets it, the ODE keeps a trace."""
    shift = outcome(sample, bridge_times(50), exact_start=False)[0] - MEAN
    assert 1e-6 < shift.norm() / (PRIOR - MEAN).norm() < largest


@pytest.mark.parametrize("first", [0.999, 1.0])
@pytest.mark.parametrize("sample", [SAMPLERS["ode"], SAMPLERS["ode_2"]])
def test_the_ode_s_variance_is_whole(sample, first):
    """Begun on the prior itself at 1000/1001, as the official code does, half of it is missing at any step count."""
    _, covariance = outcome(sample, bridge_times(200, first), exact_start=False)
    assert float(covariance.trace() / COVARIANCE.trace()) == pytest.approx(1, abs=0.03)

    def official(denoise, prior, times, noise_sampler, schedule, start):
        state = sde_step(prior, denoise(prior, times[0]), noise_sampler(), times[0], 999 / 1001, schedule)
        return sample(denoise, prior, [999 / 1001, *times[1:]], noise_sampler, schedule, start=state)

    _, covariance = outcome(official, trailing_times(200), exact_start=False)
    assert float(covariance.trace() / COVARIANCE.trace()) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("sample", [SAMPLERS["ode"], SAMPLERS["ode_2"]])
def test_an_sde_step_from_the_prior_itself_starts_the_ode_without_bias(sample):
    mean, _ = outcome(sample, bridge_times(20, 1.0), exact_start=False)
    torch.testing.assert_close(mean, MEAN, atol=1e-12, rtol=0)


# sampling


def naive(solver, toy, prior, times, noises, schedule):
    """z before every step and at the end, by the step functions in a loop of our own."""
    noises = iter(noises)
    states = [bridge_start(prior, next(noises), times[0], schedule) if times[0] < 1 else prior]
    for t, s in pairwise(times):
        z = states[-1]
        denoised = toy(z, t)
        if s == 0:
            z = denoised
        elif solver == "sde" or (solver.startswith("ode") and t == 1):
            z = sde_step(z, denoised, next(noises), t, s, schedule)
        elif solver == "euler_maruyama":
            z = euler_maruyama_step(z, denoised, next(noises), t, s, schedule)
        elif solver == "ode":
            z = ode_step(z, denoised, prior, t, s, schedule)
        else:
            ahead = toy(ode_step(z, denoised, prior, t, s, schedule), s)
            z = ode_step(z, (denoised + ahead) / 2, prior, t, s, schedule)
        states.append(z)
    assert next(noises, None) is None
    return states


@both
@pytest.mark.parametrize("first", [0.999, 1.0])
@solvers
def test_every_step_is_the_naive_one(solver, first, schedule):
    noise, toy, prior, seen, times = Noise(), Toy(), random(*SHAPE, seed=9), [], bridge_times(4, first)
    result = sample_bridge(solver, toy, prior, times, noise, schedule, callback=seen.append)
    expected = naive(solver, Toy(), prior, times, noise.given, schedule)
    torch.testing.assert_close(torch.stack([item["x"] for item in seen] + [result]), torch.stack(expected))
    assert [(item["i"], item["level"]) for item in seen] == list(enumerate(times[:-1]))
    for item in seen:
        assert torch.equal(item["denoised"], Toy()(item["x"], item["level"]))


@solvers
def test_the_calls_and_draws_are_those_that_are_promised(solver):
    toy, noise, times = Toy(), Noise(), bridge_times(5)
    sample_bridge(solver, toy, random(*SHAPE), times, noise, SCHEDULES[0])
    asked = times[:-1]
    if solver == "ode_2":
        asked = [time for t, s in pairwise(times) for time in ((t, s) if s > 0 else (t,))]
    assert [t for _, t in toy.asked] == asked
    drawn = [] if solver.startswith("ode") else list(pairwise(times))[:-1]
    assert noise.times == [(1.0, times[0]), *drawn]


@solvers
def test_from_the_prior_s_own_time_sampling_begins_on_it(solver):
    toy, noise, prior = Toy(), Noise(), random(*SHAPE)
    sample_bridge(solver, toy, prior, bridge_times(3, 1.0), noise, SCHEDULES[0])
    assert torch.equal(toy.asked[0][0], prior)
    assert noise.times[0][0] == 1.0
    assert noise.times[0][1] == bridge_times(3, 1.0)[1]


@solvers
def test_a_given_start_is_where_sampling_begins(solver):
    toy, noise, start = Toy(), Noise(), random(*SHAPE, seed=5)
    sample_bridge(solver, toy, random(*SHAPE), bridge_times(3), noise, SCHEDULES[0], start=start)
    assert torch.equal(toy.asked[0][0], start)
    assert (1.0, 0.999) not in noise.times


def test_of_gmax_the_start_is_the_prior_with_noise():
    prior, noise = random(*SHAPE), random(*SHAPE, seed=1)
    start = bridge_start(prior, noise, 0.999, SCHEDULES[0])
    torch.testing.assert_close(start, prior + value(SCHEDULES[0], "c", 0.999) * noise, atol=1e-14, rtol=0)
    assert value(SCHEDULES[0], "c", 0.999) == pytest.approx(0.2232, abs=2e-4)


@solvers
def test_a_run_that_stops_early_is_the_longer_run_s_state(solver):
    seen, times = [], bridge_times(6)
    run(solver, times=times, callback=seen.append)
    torch.testing.assert_close(run(solver, times=times[:4]), seen[3]["x"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("steps", [1, 2, 5, 50])
@both
@solvers
def test_any_number_of_steps_ends_on_the_last_estimate(solver, schedule, steps, dtype):
    """In narrow types too; with vp and few steps Euler-Maruyama may be far off, but a number it is."""
    seen = []
    for first in (0.999, 1.0):
        result = run(solver, steps, schedule, dtype=dtype, times=bridge_times(steps, first), callback=seen.append)
        assert result.dtype == dtype
        assert torch.equal(result, seen[-1]["denoised"])
        assert all(item["x"].isfinite().all() and item["x"].dtype == dtype for item in seen)


@pytest.mark.parametrize("first", [0.999, 0.3])
@solvers
def test_betas_at_their_limits_give_numbers(solver, first):
    for schedule in (
        BridgeSchedule("gmax", 1e-3, 1e3),
        BridgeSchedule("vp", 1e-3, 1e3),
        BridgeSchedule("vp", 1e-9, 1e-6),
    ):
        for steps in (1, 2, 5, 50):
            seen = []
            times = bridge_times(steps, first)
            result = run(solver, schedule=schedule, dtype=torch.float32, times=times, callback=seen.append)
            assert result.isfinite().all()
            assert all(item["x"].isfinite().all() for item in seen)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
@solvers
def test_narrow_types_follow_the_wide_one(solver, dtype, tolerance):
    prior, noise, runs = random(*SHAPE, seed=9, dtype=dtype), Noise(), []
    sample_bridge(solver, Toy(), prior, bridge_times(20), noise, SCHEDULES[0])  # for its draws
    for wide in (prior.double(), prior):
        given = iter(noise.given)
        result = sample_bridge(
            solver,
            lambda z, t: z / 2 + t,
            wide,
            bridge_times(20),
            lambda t, s, given=given: next(given).to(dtype),
            SCHEDULES[0],
        )
        runs.append(result.double())
    assert (runs[1] - runs[0]).abs().max() < tolerance * runs[0].abs().max()


@solvers
def test_the_estimate_and_the_noise_may_come_in_another_type(solver):
    prior = random(*SHAPE, dtype=torch.float32)
    noise = Noise()  # float64
    result = sample_bridge(solver, lambda z, t: z.bfloat16(), prior, bridge_times(4), noise, SCHEDULES[0])
    assert result.dtype == torch.float32


@solvers
def test_two_runs_with_one_seed_are_equal(solver):
    assert torch.equal(run(solver), run(solver))
    assert not torch.equal(run(solver), run(solver, seed=4))


@solvers
def test_inputs_are_left_as_they_were_and_nothing_is_differentiated(solver):
    prior, noise, times = random(*SHAPE), Noise(), bridge_times(4, 1.0)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    pin = keyframe_pin({0: prior[:, :, :1]}, dim=2)
    result = sample_bridge(solver, lambda z, t: weight * z, prior, times, noise, SCHEDULES[0], pin=pin)
    assert not result.requires_grad
    assert torch.equal(prior, random(*SHAPE))
    assert times == bridge_times(4, 1.0)
    again = Noise()
    assert all(torch.equal(given, again(1, 0)) for given in noise.given)


@pytest.mark.parametrize("seed", range(5))
@solvers
def test_samples_of_a_batch_do_not_meet(solver, seed):
    """Exchanging them exchanges the results."""
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    noise = Noise(seed, (4, *SHAPE[1:]))
    prior = random(4, *SHAPE[1:], seed=seed)
    result = sample_bridge(solver, Toy(), prior, bridge_times(4), noise, SCHEDULES[0])
    given = iter(noise.given)
    exchanged = sample_bridge(
        solver, Toy(), prior[order], bridge_times(4), lambda t, s: next(given)[order], SCHEDULES[0]
    )
    torch.testing.assert_close(exchanged, result[order])


@pytest.mark.parametrize("seed", range(5))
@solvers
def test_of_gmax_a_still_scene_stays_where_it_is(solver, seed):
    """Estimates and prior alike: without noise nothing moves; shifting all of it shifts the result."""
    prior = random(*SHAPE, seed=seed)
    still = sample_bridge(
        solver, lambda z, t: prior, prior, bridge_times(5)[:-1], lambda t, s: torch.zeros(SHAPE), SCHEDULES[0]
    )
    torch.testing.assert_close(still, prior, atol=1e-12, rtol=0)
    noise, moved = Noise(seed), []
    for shift in (0.0, 3.0):
        left = iter(noise.given)
        moved.append(
            sample_bridge(
                solver,
                lambda z, t, shift=shift: (z - shift).sin() + shift,
                prior + shift,
                bridge_times(5)[:-1],
                (lambda t, s, left=left: next(left)) if shift else noise,
                SCHEDULES[0],
            )
        )
    torch.testing.assert_close(moved[1], moved[0] + 3.0, atol=1e-10, rtol=0)


# keyframes


@solvers
def test_pinned_frames_end_on_their_keyframes_and_the_others_do_not(solver):
    first, last = random(2, 3, 1, 2, 2, seed=1), random(2, 3, 1, 2, 2, seed=2)
    free, pinned = run(solver), run(solver, pin=keyframe_pin({0: first, -1: last}, dim=2))
    assert torch.equal(pinned[:, :, :1], first)
    assert torch.equal(pinned[:, :, -1:], last)
    assert torch.equal(pinned[:, :, 1:-1], free[:, :, 1:-1])  # the toy knows no neighbours
    assert (free[:, :, :1] - first).abs().max() > 0.01


@both
def test_a_pinned_frame_with_the_same_prior_follows_an_exact_bridge(schedule):
    """Mean a k + b k and variance c^2 of its keyframe k at every time, by the rows of `outcome`."""
    keyframe, times = PRIOR, bridge_times(7)
    rows = 2 * (len(times) + 1) + 1
    draws, seen = iter(range(1, rows, 2)), []

    def unit_noise(t, s):
        noise = torch.zeros(rows, 2, dtype=torch.float64)
        row = next(draws)
        noise[row : row + 2] = EYE
        return noise

    prior = keyframe.expand(rows, 2)
    pin = keyframe_pin({0: keyframe[:1], 1: keyframe[1:]}, dim=1)
    SAMPLERS["sde"](lambda z, t: 5 * z, prior, times, unit_noise, schedule, callback=seen.append, pin=pin)
    for item in seen:
        a, b, c = (value(schedule, name, item["level"]) for name in "abc")
        torch.testing.assert_close(item["x"][0], (a + b) * keyframe, atol=1e-12, rtol=0)
        spread = item["x"][1:] - item["x"][0]
        torch.testing.assert_close(spread.T @ spread, c**2 * EYE, atol=1e-12, rtol=0)
        assert torch.equal(item["denoised"], prior)


@both
@pytest.mark.parametrize("sample", [SAMPLERS["ode"], SAMPLERS["ode_2"]])
def test_of_the_ode_a_pinned_frame_keeps_the_noise_it_began_with(sample, schedule):
    """(a + b) k + c eps at every time, whatever the model makes of it."""
    keyframe, noise, seen = random(2, 3, 1, 2, 2, seed=1), Noise(), []
    prior, pin = keyframe.expand(SHAPE), keyframe_pin({1: keyframe}, dim=2)
    sample(Toy(), prior, bridge_times(7), noise, schedule, callback=seen.append, pin=pin)
    for item in seen:
        a, b, c = (value(schedule, name, item["level"]) for name in "abc")
        expected = (a + b) * keyframe + c * noise.given[0][:, :, 1:2]
        torch.testing.assert_close(item["x"][:, :, 1:2], expected, atol=1e-11, rtol=0)
    assert len(noise.given) == 1


def test_a_pin_takes_the_type_of_the_estimate_and_leaves_it_alone():
    denoised = random(1, 2, 4, 2, 2, dtype=torch.float32)
    before, keyframe = denoised.clone(), random(1, 2, 1, 2, 2, seed=1)
    pinned = keyframe_pin({3: keyframe}, dim=2)(denoised)
    assert torch.equal(denoised, before)
    assert torch.equal(pinned[:, :, 3:], keyframe.float())
    assert torch.equal(pinned[:, :, :3], before[:, :, :3])
    frames_first, picture = random(4, 2, 3, 3), random(1, 2, 3, 3, seed=1)
    assert torch.equal(keyframe_pin({-1: picture}, dim=0)(frames_first), torch.cat([frames_first[:3], picture]))


# errors


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@solvers
def test_a_model_that_breaks_stops_with_the_step(solver, bad):
    calls = []

    def denoise(z, t):
        calls.append(t)
        return z * bad if len(calls) == 3 else z

    with pytest.raises(ValueError, match=f"not numbers .* in step {2 if solver == 'ode_2' else 3} of 7"):
        sample_bridge(solver, denoise, random(*SHAPE), bridge_times(7), Noise(), SCHEDULES[0])


@solvers
def test_a_pin_does_not_hide_a_model_that_breaks(solver):
    pin = keyframe_pin({0: random(2, 3, 1, 2, 2)}, dim=2)

    def denoise(z, t):
        broken = z.clone()
        broken[:, :, 0] = math.nan
        return broken

    with pytest.raises(ValueError, match="in step 1 of 2"):
        sample_bridge(solver, denoise, random(*SHAPE), bridge_times(2), Noise(), SCHEDULES[0], pin=pin)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (torch.ones(1, 16, 5, 8, 8), r"prior has the shape \[1, 16, 5, 8, 8\], but the latent has \[2, 3, 5, 2, 2\]"),
        (torch.zeros(SHAPE), "prior is all zero, as an empty latent is, and holds no picture"),
        (torch.full(SHAPE, math.nan), "prior holds values that are not numbers"),
        (torch.full(SHAPE, math.inf), "prior holds values that are not numbers"),
    ],
)
@solvers
def test_bad_priors_are_named(solver, prior, message):
    with pytest.raises(ValueError, match=message):
        check_prior(prior, SHAPE)
    with pytest.raises(ValueError, match=message):
        sample_bridge(solver, Toy(), prior, bridge_times(2), Noise(), SCHEDULES[0], start=random(*SHAPE))
    check_prior(random(*SHAPE), SHAPE)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.5], "times has no step"),
        ([], "times has no step"),
        ([0.5, 0.5, 0.0], "from 0.5 to 0: they must fall at every step"),
        ([0.2, 0.5, 0.0], "must fall at every step"),
        ([1.5, 0.5, 0.0], "from 1.5 to 0"),
        ([0.5, -0.1], "from 0.5 to -0.1"),
        ([math.nan, 0.0], "from nan to 0"),
    ],
)
@solvers
def test_bad_times_are_named(solver, times, message):
    with pytest.raises(ValueError, match=message):
        sample_bridge(solver, Toy(), random(*SHAPE), times, Noise(), SCHEDULES[0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_solver("heun"), "solver must be one of sde, ode, ode_2, euler_maruyama, got 'heun'"),
        (lambda: keyframe_pin({}, dim=2), "pin_keyframes is on, but keyframes holds no picture"),
        (lambda: keyframe_pin({5: EYE}, 0)(EYE), "keyframes has a picture at latent frame 5, but there are 0 to 1"),
        (lambda: keyframe_pin({-3: EYE}, 0)(EYE), "latent frame -3"),
        (lambda: ode_step(EYE, EYE, EYE, 1.0, 0.5, SCHEDULES[0]), "a step of the ODE has no value at bridge time 1.0"),
        (lambda: bridge_pull(EYE, EYE, 1.0, SCHEDULES[0]), "h has no value at bridge time 1.0.*as at 0.999"),
        (lambda: bridge_score(EYE, EYE, EYE, 0.0, SCHEDULES[0]), "the score has no value at bridge time 0.0"),
        (lambda: bridge_score(EYE, EYE, EYE, torch.tensor([0.5, 1]), SCHEDULES[0]), r"the score .* \[0.5, 1.0\]"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

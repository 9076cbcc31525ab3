"""Schedules and times of a bridge: naive formulas, exact ends, inverses, errors."""

import math
import random as numbers
from decimal import Decimal, getcontext
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

from pack.samplers.bridge_schedule import (
    SCHEDULES,
    START,
    USUAL_BETAS,
    BridgeSchedule,
    bridge_times,
    per_sample,
    trailing_times,
)

USUAL = [BridgeSchedule(name, *betas) for name, betas in USUAL_BETAS.items()]
TIMES = (0.001, 0.1, 0.37, 0.5, 0.9, 0.999)


def random_schedules(count=20):
    """Both kinds with random betas of many sizes."""
    chance = numbers.Random(1)
    for _ in range(count):
        first, second = sorted(10 ** chance.uniform(-4, 3) for _ in range(2))
        for name in SCHEDULES:
            yield BridgeSchedule(name, first, second), chance.uniform(0.01, 0.99)


def naive(name, beta_0, beta_1, t):
    """alpha, sigma, a, b, c by the formulas of the paper, with Python's numbers."""

    def base(time):
        integral = (beta_1 - beta_0) * time**2 / 2 + beta_0 * time
        if name == "gmax":
            return 1.0, math.sqrt(integral)
        alpha = math.exp(-integral / 2)
        return alpha, math.sqrt(1 - alpha**2)

    (alpha, sigma), (alpha_T, sigma_T) = base(t), base(1)
    r = (alpha_T / sigma_T) ** 2 / (alpha / sigma) ** 2
    return alpha, sigma, alpha * (1 - r), r * alpha / alpha_T, sigma * math.sqrt(1 - r)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("name", SCHEDULES)
def test_the_coefficients_are_those_of_the_paper(name, t):
    betas = USUAL_BETAS[name]
    schedule = BridgeSchedule(name, *betas)
    ours = [float(value(t)) for value in (schedule.alpha, schedule.sigma, schedule.a, schedule.b, schedule.c)]
    assert ours == pytest.approx(naive(name, *betas, t), rel=1e-11)


def test_the_default_is_the_schedule_of_the_released_models():
    schedule = BridgeSchedule()
    assert (schedule.name, schedule.beta_0, schedule.beta_1) == ("gmax", 0.01, 50.0)
    assert float(schedule.variance(1.0)) == pytest.approx(25.005, rel=1e-15)
    assert float(schedule.sigma(1.0)) == pytest.approx(math.sqrt(25.005), rel=1e-15)


def test_of_gmax_the_shares_add_up_to_one_and_the_noise_is_largest_in_the_middle():
    schedule, t = BridgeSchedule(), torch.linspace(0, 1, 1001, dtype=torch.float64)
    torch.testing.assert_close(schedule.a(t) + schedule.b(t), torch.ones_like(t), atol=1e-15, rtol=0)
    assert float(schedule.c(t).max()) == pytest.approx(math.sqrt(25.005) / 2, rel=1e-6)
    middle = schedule.time_of_snr(2 * schedule.snr(1.0))  # r = 1/2
    assert float(schedule.c(middle)) == pytest.approx(math.sqrt(25.005) / 2, rel=1e-14)


def test_the_ends_are_the_video_and_the_prior_exactly():
    for schedule, inside in random_schedules():
        for t in (lambda end: end, lambda end: torch.full((9,), float(end), dtype=torch.float64)):
            for end, shares in ((0, (1, 0, 0)), (1, (0, 1, 0))):
                for value, share in zip((schedule.a, schedule.b, schedule.c), shares, strict=True):
                    assert (value(t(end)) == share).all()
        assert all(float(value(inside)) > 0 for value in (schedule.a, schedule.b, schedule.c))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("left", [1e-3, 1e-6, 1e-9])
def test_near_the_prior_nothing_is_lost_to_rounding(name, left):
    """a against 50 digits; 1 - r from float64's r would keep none of 1e-9's."""
    getcontext().prec = 50
    beta_0, beta_1 = (Decimal(beta) for beta in USUAL_BETAS[name])
    t = Decimal(1.0 - left)
    integral, whole = ((beta_1 - beta_0) * time * time / 2 + beta_0 * time for time in (t, Decimal(1)))
    if name == "gmax":
        exact = 1 - integral / whole
    else:
        exact = (-integral / 2).exp() * (1 - (integral.exp() - 1) / (whole.exp() - 1))
    ours = float(BridgeSchedule(name, *USUAL_BETAS[name]).a(1.0 - left))
    assert ours == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize("schedule", USUAL, ids=SCHEDULES)
def test_alpha_and_sigma_solve_the_base_process(schedule):
    """d alpha / dt = f alpha and d sigma^2 / dt = 2 f sigma^2 + g^2, by central differences."""
    t, width = torch.tensor(TIMES, dtype=torch.float64)[1:], 1e-5
    slopes = [
        (value(t + width) - value(t - width)) / (2 * width)
        for value in (schedule.alpha, lambda time: schedule.sigma(time) ** 2)
    ]
    torch.testing.assert_close(slopes[0], schedule.drift(t) * schedule.alpha(t), atol=1e-8, rtol=1e-8)
    growth = 2 * schedule.drift(t) * schedule.sigma(t) ** 2 + schedule.beta(t)
    torch.testing.assert_close(slopes[1], growth, atol=1e-8, rtol=1e-8)
    assert float(schedule.beta(0)) == schedule.beta_0
    assert float(schedule.beta(1)) == pytest.approx(schedule.beta_1, rel=1e-15)


def test_the_bridge_s_snr_is_the_base_s_less_the_prior_s():
    """Identity 11: for gmax a^2 / c^2 = 1 / sigma_t^2 - 1 / sigma_T^2."""
    for schedule, t in random_schedules():
        snr = float(schedule.bridge_snr(t))
        assert snr == pytest.approx(float(schedule.a(t) / schedule.c(t)) ** 2, rel=1e-12)
        difference = float(schedule.snr(t) - schedule.snr(1))
        assert difference == pytest.approx(snr, abs=1e-14 * float(schedule.snr(t)))
        if schedule.name == "gmax":
            inverse = 1 / float(schedule.sigma(t)) ** 2 - 1 / float(schedule.sigma(1)) ** 2
            assert snr == pytest.approx(inverse, abs=1e-14 * float(schedule.snr(t)))


def test_the_time_of_an_snr_is_its_inverse():
    for schedule, t in random_schedules():
        if float(schedule.variance(1.0)) > 1e6:  # the prior's SNR vanishes beside that of other times
            continue
        assert float(schedule.time_of_snr(schedule.snr(t))) == pytest.approx(t, rel=1e-10)
        assert float(schedule.time_of_bridge_snr(schedule.bridge_snr(t))) == pytest.approx(t, rel=1e-8)
        assert float(schedule.time_of_bridge_snr(0.0)) == pytest.approx(1, rel=1e-12)
        assert float(schedule.time_of_snr(schedule.snr(1.0) / 2)) > 1
        assert float(schedule.time_of_snr(math.inf)) == 0


def test_a_number_a_tensor_and_a_narrow_tensor_give_float64_in_their_shape():
    schedule, t = BridgeSchedule("vp", 0.1, 20.0), 0.1
    wide = schedule.c(torch.full((2, 3), t, dtype=torch.float64))
    assert (wide.shape, wide.dtype) == ((2, 3), torch.float64)
    assert float(schedule.c(t)) == pytest.approx(float(wide[0, 0]), rel=1e-15)  # 0.1 is not rounded to float32 first
    narrow = schedule.c(torch.full((2,), t, dtype=torch.float32))
    assert narrow.dtype == torch.float64
    assert narrow[0] == schedule.c(float(torch.tensor(t)))
    for value in (schedule.alpha, schedule.drift, schedule.beta, BridgeSchedule().alpha, BridgeSchedule().drift):
        assert value(torch.full((2, 3), t)).shape == (2, 3)
        assert value(t).dtype == torch.float64


def test_a_coefficient_is_a_number_or_one_for_every_sample():
    z = torch.zeros(2, 3, 4, dtype=torch.bfloat16)
    assert per_sample(torch.tensor(0.1, dtype=torch.float64), z) == 0.1
    batch = per_sample(torch.tensor([0.5, 2.0], dtype=torch.float64), z)
    assert (batch.shape, batch.dtype) == ((2, 1, 1), torch.bfloat16)
    assert batch.flatten().tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("gmax", 60.0, 50.0), "beta_0 is 60 and beta_1 is 50.*take beta_0 below 50, or beta_1 above 60"),
        (("gmax", 50.0, 50.0), "beta_0 must be the smaller"),
        (("gmax", 0.0, 50.0), "beta_0 is 0: use a number above 0; 0.01 is usual for gmax"),
        (("vp", -0.1, 20.0), "beta_0 is -0.1: use a number above 0; 0.1 is usual for vp"),
        (("gmax", math.nan, 50.0), "beta_0 is nan, which is no number: 0.01 is usual"),
        (("vp", 0.1, math.inf), "beta_1 is inf, which is no number: 20 is usual for vp"),
        (("vp", 0.1, 5000.0), "beta_1 is 5000: the nearest that works is 1000"),
        (("gmax", 1e-9, 1e-8), "beta_1 is 1e-08: the nearest that works is 1e-06"),
        (("linear", 0.01, 50.0), "schedule must be one of gmax, vp, got 'linear'"),
    ],
)
def test_bad_schedules_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        BridgeSchedule(*arguments)


# times


@pytest.mark.parametrize("steps", [1, 2, 5, 50])
def test_our_times_fall_evenly_from_just_before_the_prior_to_the_video(steps):
    times = bridge_times(steps)
    assert len(times) == steps + 1
    assert (times[0], times[-1]) == (START, 0.0)
    assert all(t - s == pytest.approx(START / steps, rel=1e-9) for t, s in pairwise(times))
    assert bridge_times(steps, 1.0)[0] == 1.0


@pytest.mark.parametrize("steps", [5, 10, 20, 25, 50])
def test_trailing_times_are_those_of_the_official_samplers(steps, golden):
    tables = load_file(golden("bridge/tables.safetensors"))
    descending = tables[f"grid.cog_trailing.{steps}"].tolist()
    assert tables[f"grid.vc_uniform_trailing.{steps}"].tolist() == descending[::-1]
    assert trailing_times(steps) == [float(tables["gmax.t"][index]) for index in descending] + [0.0]


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 999, 1000])
def test_trailing_times_begin_at_the_last_entry_and_never_stand_still(steps):
    times = trailing_times(steps)
    assert len(times) == steps + 1
    assert (times[0], times[-1]) == (1000 / 1001, 0.0)
    assert all(t > s for t, s in pairwise(times))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (lambda: bridge_times(0), "steps is 0: use 1 or more"),
        (lambda: bridge_times(5, 1.2), "start is 1.2: .* above 0 and at most 1"),
        (lambda: bridge_times(5, 0.0), "start is 0"),
        (lambda: trailing_times(0), "steps is 0: use 1 or more"),
        (lambda: trailing_times(1001), "steps is 1001: .* has 1000 entries"),
    ],
)
def test_bad_times_are_named(times, message):
    with pytest.raises(ValueError, match=message):
        times()

"""steps_until: where an early stop falls, and stops that no schedule has."""

import pytest
import torch

from pack.samplers.partial_schedule import steps_until


def flow_schedule(steps: int, shift: float) -> torch.Tensor:
    u = 1 - torch.arange(steps + 1, dtype=torch.float64) / steps
    return shift * u / (1 + (shift - 1) * u)


@pytest.mark.parametrize(("shift", "level"), [(3, 0.875), (5, 0.921), (16, 0.974)])
def test_step_fifteen_of_fifty_lies_at_the_documented_noise_level(shift, level):
    sigmas = flow_schedule(50, shift)
    assert float(sigmas[15]) == pytest.approx(level, abs=5e-4)
    assert steps_until(sigmas, 15, 0.0) == 15
    assert steps_until(sigmas, 3, level + 5e-4) == 15


def test_zero_runs_all_steps():
    assert steps_until(flow_schedule(50, 5), 0, 0.0) == 50
    assert steps_until(flow_schedule(1, 5), 1, 0.0) == 1


@pytest.mark.parametrize(
    ("steps", "chosen"), [(50, 15), (20, 6), (30, 9), (10, 3), (25, 8), (15, 5), (9, 3), (8, 8), (4, 4), (1, 1)]
)
def test_minus_one_runs_thirty_percent_and_all_of_a_few(steps, chosen):
    assert steps_until(flow_schedule(steps, 5), -1, 0.0) == chosen


def test_a_level_is_reached_in_the_first_or_the_last_step():
    sigmas = torch.tensor([1.0, 0.75, 0.5, 0.25])
    assert steps_until(sigmas, 0, 0.99) == 1
    assert steps_until(sigmas, 0, 0.75) == 1
    assert steps_until(sigmas, 0, 0.74) == 2
    assert steps_until(sigmas, 0, 0.26) == 3
    assert steps_until(sigmas, 0, 0.25) == 3
    assert steps_until(torch.tensor([1.0, 0.0]), 0, 0.5) == 1


def test_a_level_decides_over_auto():
    assert steps_until(flow_schedule(50, 5), -1, 0.5) == steps_until(flow_schedule(50, 5), 1, 0.5)


@pytest.mark.parametrize(
    ("step", "sigma", "message"),
    [
        (51, 0.0, "stop_step 51 is above the 50 steps of sigmas: use 1 to 50, 0 for all, or -1, which chooses 15 here"),
        (-2, 0.0, "stop_step -2 is outside the 50 steps"),
        (15, float("nan"), "stop_sigma must be a noise level of at least 0, got nan"),
        (15, -0.5, "stop_sigma must be a noise level of at least 0, got -0.5"),
        (15, float("inf"), "stop_sigma inf is outside"),
        (15, 1.0, "stop_sigma 1 is outside this schedule, which falls from 1 to 0"),
        (15, 2.0, "stop_sigma 2 is outside"),
    ],
)
def test_stops_outside_the_schedule_are_named(step, sigma, message):
    with pytest.raises(ValueError, match=message):
        steps_until(flow_schedule(50, 5), step, sigma)


def test_a_level_below_a_partial_schedule_is_named():
    with pytest.raises(ValueError, match="falls from 1 to 0.5"):
        steps_until(torch.tensor([1.0, 0.7, 0.5]), 1, 0.2)


@pytest.mark.parametrize("sigmas", [torch.zeros(0), torch.ones(1)])
def test_an_empty_schedule_is_named(sigmas):
    with pytest.raises(ValueError, match="sigmas has no step"):
        steps_until(sigmas, 0, 0.0)

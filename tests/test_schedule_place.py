"""The place of a step in its schedule: the official steps, samplers' in-between levels, parts of a whole schedule."""

import math
import re

import pytest
import torch
from safetensors.torch import load_file

from pack.patches.schedule_place import in_window, outside_window, places_in_whole, step_place

SHAPES = {
    "linear": lambda rest: rest,
    "shift 5": lambda rest: flow_level(5)(1 - rest),
    "shift 16": lambda rest: flow_level(16)(1 - rest),
    "cubic": lambda rest: rest**3,
}


def flow_level(shift):
    """Noise level of a flow model at a share of its schedule."""
    return lambda share: shift * (1 - share) / (1 + (shift - 1) * (1 - share))


def never(share):
    raise AssertionError("a whole schedule is not read by its levels")


def falling(steps, shape="linear"):
    return [SHAPES[shape](1 - step / steps) for step in range(steps + 1)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [4, 5, 8, 10, 20, 30, 50])
def test_the_steps_inside_the_window_are_the_official_ones(golden, steps, shape):
    table = load_file(golden("kab_retro/tables.safetensors"))[f"active/steps{steps}"]  # [steps, 40 blocks]
    schedule = falling(steps, shape)
    ours = [in_window(step_place(sigma, schedule, 1.0, never), 0.0, 0.4) for sigma in schedule[:-1]]
    assert ours == table.any(dim=1).tolist()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 50])
def test_the_place_of_a_step_is_its_number_over_the_steps(steps, shape):
    schedule = falling(steps, shape)
    for step, sigma in enumerate(schedule):
        assert step_place(sigma, schedule, 1.0, never) == step / steps


def test_a_level_of_another_precision_is_still_the_step_s_own():
    schedule = falling(50, "shift 16")
    for step, sigma in enumerate(schedule):
        assert step_place(float(torch.tensor(sigma, dtype=torch.float32)), schedule, 1.0, never) == step / 50


@pytest.mark.parametrize(
    ("sigma", "step"), [(1.5, 0), (0.85, 0), (0.75, 1), (0.6, 1), (0.41, 1), (0.39, 2), (0.15, 2), (0.05, 3), (0, 3)]
)
def test_a_level_between_two_steps_counts_as_the_nearest(sigma, step):
    assert step_place(sigma, [1.0, 0.6, 0.2, 0.0], 1.0, never) == step / 3


def test_levels_above_one_are_read_against_the_model_s_own_top():
    """A model whose noise level begins at 14.6, as SDXL's does."""
    schedule = [14.6, 5.0, 1.0, 0.0]
    assert step_place(5.0, schedule, 14.6, never) == 1 / 3
    rest = step_place(5.0, schedule[1:], 14.6, lambda share: 14.6 * (1 - share))
    assert rest == pytest.approx(1 - 5 / 14.6, abs=1e-4)


def test_a_schedule_that_begins_a_thousandth_below_the_top_is_whole_and_lower_it_is_not():
    level = flow_level(1)
    assert step_place(0.9992, [0.9992, 0.1, 0.0], 1.0, never) == 0
    assert step_place(0.1, [0.9992, 0.1, 0.0], 1.0, never) == 0.5
    assert step_place(0.1, [0.99, 0.1, 0.0], 1.0, level) == pytest.approx(0.9, abs=1e-4)
    assert step_place(0.99, [0.99, 0.1, 0.0], 1.0, level) == pytest.approx(0.01, abs=1e-4)


@pytest.mark.parametrize("shift", [1, 5, 16])
@pytest.mark.parametrize(
    ("first", "last"), [(0, 15), (0, 25), (0, 49), (25, 50), (10, 50), (12, 30)], ids=lambda number: str(number)
)
def test_a_part_of_a_schedule_has_the_places_of_the_whole(shift, first, last):
    """The first 15 of 50 steps, a split for two experts, a denoise below 1: by level, in single precision."""
    level = flow_level(shift)
    whole = torch.tensor([level(step / 50) for step in range(51)], dtype=torch.float32).tolist()
    part = whole[first : last + 1]
    for step in range(first, last):
        place = step_place(whole[step], part, 1.0, level)
        assert place == pytest.approx(step / 50, abs=1e-4)
        assert in_window(place, 0.0, 0.4) == in_window(step / 50, 0.0, 0.4)


@pytest.mark.parametrize("name", ["steps50/shift16.0", "steps50/shift5.0", "steps5/shift16.0"])
def test_the_official_schedule_read_by_level_has_its_steps_places(golden, name):
    sigmas = load_file(golden("kab_retro/tables.safetensors"))[f"sigmas/{name}"].tolist()
    level = flow_level(float(name.split("shift")[1]))
    for step, sigma in enumerate(sigmas):
        assert step_place(sigma, [], 1.0, level) == pytest.approx(step / len(sigmas), abs=1e-4)
        assert step_place(sigma, [*sigmas, 0.0], 1.0, never) == step / len(sigmas)


@pytest.mark.parametrize("schedule", [[], [1.0], [0.0]])
def test_a_schedule_that_is_not_known_is_read_by_level(schedule):
    level = flow_level(5)
    for share in (0.0, 0.001, 0.25, 0.4, 0.5, 0.999):
        assert step_place(level(share), schedule, 1.0, level) == pytest.approx(share, abs=1e-4)
    assert step_place(1.2, schedule, 1.0, level) == 0
    assert step_place(0.0, schedule, 1.0, level) == 1


def test_the_window_leaves_out_its_start_and_takes_its_end():
    assert [in_window(place, 0.2, 0.4) for place in (0.1, 0.2, 0.21, 0.4, 0.41)] == [False, False, True, True, False]
    assert not in_window(0.0, 0.0, 1.0)
    assert in_window(1.0, 0.0, 1.0)
    assert not in_window(0.3, 0.3, 0.3)


# parts whose whole is looked for


def bent(steps):
    """A schedule whose levels are not its shares, as kl_optimal's."""
    return [math.tan((1 - step / steps) * math.atan(1.0)) for step in range(steps)] + [0.0]


WHOLES = [shape(steps) for shape in (falling, bent) for steps in range(1, 31)]


@pytest.mark.parametrize("shape", [falling, bent])
@pytest.mark.parametrize(("first", "last"), [(0, 6), (0, 15), (6, 20), (15, 20), (4, 9)], ids=str)
def test_a_part_has_the_places_of_the_schedule_that_it_was_cut_from(shape, first, last):
    part = torch.tensor(shape(20)[first : last + 1]).tolist()  # single precision
    (places,) = places_in_whole(part, WHOLES, 1.0)
    assert places == pytest.approx([step / 20 for step in range(first, last + 1)])


@pytest.mark.parametrize(
    ("part", "wholes", "places"),
    [
        ([0.77, 0.5, 0.0], WHOLES, []),
        ([1.0, *[0.5] * 40], WHOLES, []),  # longer than all
        ([0.5, 0.0], [], []),
        ([0.5, 0.0], [[1.0, 0.8, 0.5, 0.0], [1.0, 0.5, 0.0], [0.9, 0.5, 0.0]], [(0.5, 1.0), (2 / 3, 1.0)]),
        ([1.0, 0.5], [[1.0, 0.5, 0.0]], [(0.0, 0.5)]),
    ],
)
def test_a_part_has_a_place_in_every_schedule_that_has_it(part, wholes, places):
    assert places_in_whole(part, wholes, 1.0) == places


@pytest.mark.parametrize(
    ("places", "start", "end", "said"),
    [
        ([0.0, 0.25, 0.5], 0.0, 0.4, ""),
        ([], 0.0, 0.4, ""),
        ([0.55, 0.5, 0.9], 0.0, 0.4, "at 0.50 to 0.90 of the schedule.* set end_percent to 0.5 or more"),
        ([0.0, 0.503], 0.0, 0.4, "set end_percent to 0.51 or more"),
        ([0.0], 0.0, 0.4, "at 0.00 of the schedule.* give this model two steps or more"),
        ([0.0, 0.1], 0.2, 0.4, "set start_percent to 0.09 or less"),
        ([0.1, 0.5], 0.2, 0.4, "set end_percent to 0.5 or more"),
        ([0.4], 0.4, 0.4, "set start_percent to 0.39 or less"),
    ],
)
def test_a_run_without_a_step_in_the_window_is_told_what_to_set(places, start, end, said):
    text = outside_window(places, start, end)
    assert re.search(said, text) if said else text == ""


def test_what_is_told_brings_a_step_into_the_window():
    for places in ([0.05, 0.1, 0.123], [0.8, 0.95], [0.0, 0.7501], [1.0], [0.29]):
        start, end = 0.3, 0.7
        name, value = re.search(r"(start|end)_percent to ([\d.]+)", outside_window(places, start, end)).groups()
        start, end = (float(value), end) if name == "start" else (start, float(value))
        assert outside_window(places, start, end) == "", places

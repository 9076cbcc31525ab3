"""Where in its schedule a step is. Pure.

Differences from the paper: of a schedule that is only a part of a whole one (a split for two experts, a stop after K
steps, a denoise below 1) the window means the same part of the whole. The whole is looked for among the schedules that
are known; a part of none is read by its noise levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

SAME = 2e-5  # of the highest level: two levels that are equal but for their precision


def step_place(sigma: float, schedule: Sequence[float], top: float, level: Callable[[float], float]) -> float:
    """Share of the sampling that lies before this step: step / steps, 0 for the first step.

    The step is the entry of the schedule nearest to sigma. In a schedule that is not whole the share is that of the
    whole schedule whose level at a share is `level`.

    Args:
        sigma: noise level of the call. schedule: [steps + 1] noise levels, falling; empty if it is not known.
        top: the model's highest noise level. level: noise level at a share 0..1, falling.
    Returns:
        0..1.
    """
    if not is_whole(schedule, top):
        return _share_of_level(sigma, level)
    return nearest_step(sigma, schedule) / (len(schedule) - 1)


def is_whole(schedule: Sequence[float], top: float) -> bool:
    """Whether a schedule begins at the model's highest noise level and ends at 0."""
    return len(schedule) > 1 and schedule[-1] == 0 and schedule[0] >= top * (1 - 1e-3)


def nearest_step(sigma: float, schedule: Sequence[float]) -> int:
    """Index of the level in a schedule that is nearest to sigma."""
    return min(range(len(schedule)), key=lambda index: abs(schedule[index] - sigma))


def places_in_whole(part: Sequence[float], wholes: Iterable[Sequence[float]], top: float) -> list[tuple[float, ...]]:
    """Places of a part's levels, step / steps, in every whole schedule that it may have been cut from.

    Source: ours.

    Args:
        part: noise levels, falling, two or more. wholes: schedules that it may be from. top: the highest level.
    Returns:
        For each that has the part, a place 0..1 for each of its levels; no two alike.
    """
    found = set()
    for whole in wholes:
        for offset in range(len(whole) - len(part) + 1):
            if all(abs(one - other) <= SAME * top for one, other in zip(part, whole[offset:], strict=False)):
                found.add(tuple((offset + step) / (len(whole) - 1) for step in range(len(part))))
    return sorted(found)


def _share_of_level(sigma: float, level: Callable[[float], float]) -> float:
    """The share at which a falling level is sigma, to 1e-4, by halving."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if level(middle) > sigma else (low, middle)
    return round((low + high) / 2, 4)


def in_window(place: float, start: float, end: float) -> bool:
    """Whether a patch works at a step: start < step / steps <= end. Source: TGI model_fn_wan_video (0 and 0.4)."""
    return start < place <= end


def outside_window(places: Iterable[float], start: float, end: float) -> str:
    """What to set so that a run has a step in the window, in sentences; "" if it has one, or if there was no step."""
    found = sorted(places)
    if not found or any(in_window(place, start, end) for place in found):
        return ""
    where = f"{found[0]:.2f}" if len(found) == 1 else f"{found[0]:.2f} to {found[-1]:.2f}"
    lead = f"no step of this run is biased: its steps lie at {where} of the schedule, the window is above {start:g} "
    later = [place for place in found if place > start]
    if later:
        remedy = f"set end_percent to {_hundredths(later[0]):g} or more to bias here"
    elif found[-1] > 0:
        remedy = f"set start_percent to {_hundredths(found[-1]) - 0.01:.2g} or less to bias here"
    else:
        remedy = "step 0 is never biased, so give this model two steps or more"
    return f"{lead}up to {end:g}; {remedy}."


def _hundredths(place: float) -> float:
    """The next hundredth that is not below a place, which a widget can be set to."""
    return math.ceil(round(100 * place, 6)) / 100

"""Where in its schedule a step is. Pure.

Differences from the paper: a schedule that is only a part of a whole one (a split for two experts, a stop after K
steps, a denoise below 1) is read by its noise levels, so that the window means the same part of the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


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
    whole = len(schedule) > 1 and schedule[-1] == 0 and schedule[0] >= top * (1 - 1e-3)
    if not whole:
        return _share_of_level(sigma, level)
    steps = len(schedule) - 1
    nearest = min(range(len(schedule)), key=lambda index: abs(schedule[index] - sigma))
    return nearest / steps


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

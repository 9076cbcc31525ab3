"""Sampling that goes back: Euler steps with noise put in again, one step or several at a time. Pure torch.

paper       here        unit
sigma_i     sigmas[i]   noise level, x = x_0 + sigma eps (SVD); falls to sigma_S, usually 0
D           --          clean estimate
("step", i)             evaluate at sigma_i and go to sigma_{i+1}: x <- D + (sigma_{i+1} / sigma_i) (x - D)
("back", i)             return from sigma_{i+1} to sigma_i: x <- x + sqrt(sigma_i^2 - sigma_{i+1}^2) s eps

Source: repeat: Generative Inbetweening, arXiv:2408.15239, noise injection, as in its code; jump: Time Reversal Fusion,
scheduling_euler_discrete_resampling.py, after RePaint, arXiv:2201.09865.
Differences: after a jump TRF's code scales the first input with a stale noise level; here every call uses its own. Each
return draws one noise, TRF's code draws two and drops one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

PATTERNS = ("repeat", "jump")
Entry = tuple[Literal["step", "back"], int]


def step_order(steps: int, pattern: str, repeats: int, until: float, jump_length: int) -> list[Entry]:
    """What is done in which order.

    repeat: every step of the first int(until * steps) is undone and made again `repeats` times.
    jump: after step i with steps - (i + 1) in range(int((1 - until) steps), steps - jump_length, jump_length), the last
    jump_length steps are undone and made again, `repeats` times (the paper's jump_n_sample - 1).

    Args:
        steps: S. repeats: >= 0, 0 is plain Euler. until: share of the steps, 0..1. jump_length: steps, >= 1.
    Raises:
        ValueError: see `check_order`; or a jump that is as long as the early steps.
    """
    check_order(pattern, repeats, until, jump_length)
    if pattern == "repeat":
        return _repeat_order(steps, repeats, int(round(until * steps, 6)))
    return _jump_order(steps, repeats, int(round((1 - until) * steps, 6)), jump_length)


def check_order(pattern: str, repeats: int, until: float, jump_length: int) -> None:
    """Raises ValueError for an unknown pattern or a number out of range, whatever the number of steps."""
    if pattern not in PATTERNS:
        raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, got {pattern!r}.")
    if repeats < 0:
        raise ValueError(f"repeats is {repeats}: use 0 (none) or more.")
    if not 0 <= until <= 1:
        raise ValueError(f"until is {until:g}: it is a share of the steps, 0 to 1.")
    if jump_length < 1:
        raise ValueError(f"jump_length is {jump_length}: use 1 step or more.")


def _repeat_order(steps: int, repeats: int, first: int) -> list[Entry]:
    order: list[Entry] = []
    for index in range(steps):
        order.append(("step", index))
        order += [("back", index), ("step", index)] * (repeats if index < first else 0)
    return order


def _jump_order(steps: int, repeats: int, left: int, length: int) -> list[Entry]:
    early = steps - left
    if repeats and 0 < early <= length:
        ways = [f"use {early - 1} at most"] if early > 1 else []
        ways += [f"set until above {length / steps:g}"] if length < steps else []
        raise ValueError(
            f"jump_length is {length}, but until covers the first {early} of {steps} steps, and a jump must be "
            f"shorter: {', or '.join(ways) or 'take more steps'}."
        )
    jumps = dict.fromkeys(range(left, steps - length, length), repeats)  # by steps that are left
    order: list[Entry] = []
    index = 0
    while index < steps:
        order.append(("step", index))
        index += 1
        if jumps.get(steps - index, 0) > 0:
            jumps[steps - index] -= 1
            order += [("back", place) for place in range(index - 1, index - 1 - length, -1)]
            index -= length
    return order


def evaluations(order: Sequence[Entry]) -> int:
    """Model evaluations in an order."""
    return sum(kind == "step" for kind, _ in order)


def check_schedule(sigmas: Tensor) -> None:
    """Raises ValueError unless the noise levels are numbers that fall at every step and only the last may be 0."""
    levels = sigmas.tolist()
    if len(levels) < 2:
        raise ValueError("sigmas has no step: set the scheduler to at least 1 step and denoise above 0.")
    if not (math.isfinite(levels[0]) and levels[-1] >= 0):
        raise ValueError(f"sigmas go from {levels[0]:.4g} to {levels[-1]:.4g}; noise levels are numbers from 0 up.")
    for place, (level, following) in enumerate(pairwise(levels)):
        if not level > following:
            raise ValueError(
                f"sigmas must fall at every step, but entry {place} is {level:.4g} and the next {following:.4g}."
            )


def euler_step(x: Tensor, denoised: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    """x <- D + (sigma' / sigma) (x - D)."""
    return denoised + (following / sigma) * (x - denoised)


def noised_again(x: Tensor, sigma: Tensor, following: Tensor, noise: Tensor) -> Tensor:
    """From sigma' back up to sigma: x + sqrt(sigma^2 - sigma'^2) eps, for models with x = x_0 + sigma eps."""
    return x + (sigma**2 - following**2).sqrt() * noise


@torch.no_grad()
def sample_recurrent(
    model: Callable[..., Tensor],
    x: Tensor,
    sigmas: Tensor,
    order: Sequence[Entry],
    noise_sampler: Callable[[Tensor, Tensor], Tensor],
    extra_args: dict[str, Any],
    callback: Callable[[dict[str, Any]], None] | None = None,
    noise_scale: float = 1.0,
) -> Tensor:
    """Runs an order of steps and returns.

    Args:
        model: clean estimate of x [N, C, h, w] at levels [N]; extra_args go to it.
        x: at sigmas[0]. sigmas: [S+1]. order: from `step_order`.
        noise_sampler: unit noise like x, from the two levels. noise_scale: s.
    Returns:
        x at sigmas[-1].
    Cost: `evaluations(order)` calls of model.
    """
    levels = x.new_ones(len(x))
    for kind, index in order:
        sigma, following = sigmas[index], sigmas[index + 1]
        if kind == "back":
            x = noised_again(x, sigma, following, noise_scale * noise_sampler(sigma, following))
            continue
        denoised = model(x, sigma * levels, **extra_args)
        if callback is not None:
            callback({"x": x, "i": index, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        x = euler_step(x, denoised, sigma, following)
    return x

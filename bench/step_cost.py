"""What single steps of the host's guiders cost, taken in turns so that a busy or a warm machine troubles all alike."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .measured import measured_once, tensor_peak


@dataclass(frozen=True)
class Step:
    """One step of a guider, at a place in its schedule."""

    guider: Any
    place: int = 0


@dataclass(frozen=True)
class StepCost:
    """seconds: the median. peak: bytes above what is held before a step, so without the model's weights."""

    seconds: float
    peak: int


def step_costs(
    steps: Mapping[str, Step], noise: Tensor, schedule: Tensor, repeats: int, budget: float = math.inf
) -> tuple[dict[str, StepCost], int]:
    """Cost of each step by its name, and how many runs of each counted. One more before them warms up.

    Args:
        noise: what the host's sampling starts from. schedule: [S+1] noise levels; a step is one model evaluation
            (with its conditionings) of the noise at a level.
        repeats: runs that count. budget: seconds that they may take together; fewer runs are made then, one at least.
    Raises:
        RuntimeError: a model gave numbers that are not finite, which some kernels are quicker with.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    peaks = dict.fromkeys(steps, 0)
    start, rounds, done = time.perf_counter(), repeats, -1
    while done < rounds:
        for name, step in steps.items():
            took, peak = _run(step, noise, schedule, warm=done >= 0)
            peaks[name] = max(peaks[name], peak)
            seconds[name] += [took] if done >= 0 else []
        if done < 0:
            rounds = max(1, int(min(repeats, budget / (time.perf_counter() - start))))
        done += 1
    return {name: StepCost(statistics.median(seconds[name]), peaks[name]) for name in steps}, rounds


def _run(step: Step, noise: Tensor, schedule: Tensor, warm: bool) -> tuple[float, int]:
    """Seconds and peak of a step. A cold run's peak is 0 on a GPU, a warm one's on a CPU, where it takes a record."""
    import comfy.samplers

    found: list[tuple[float, int]] = []

    def sampler(model: Callable, x: Tensor, sigmas: Tensor, extra_args: dict, **rest: Any) -> Tensor:
        def work() -> Tensor:
            return model(x, x.new_full((len(x),), float(sigmas[step.place])), **extra_args)

        if x.device.type == "cpu" and not warm:
            found.append((0.0, tensor_peak(work, x.device)))
            return x
        seconds, result, peak = measured_once(work, x.device)
        if not torch.isfinite(result).all():
            raise RuntimeError("the random model gives numbers that are not finite, so its speed would say little")
        found.append((seconds, peak if warm and x.is_cuda else 0))
        return x

    kernel = comfy.samplers.KSAMPLER(sampler)
    step.guider.sample(noise, torch.zeros_like(noise), kernel, schedule, disable_pbar=True, seed=0)
    return found[0]

"""How far a sampling run goes when it stops early. Pure torch.

symbol     here         shape   unit
sigma_k    sigmas[k]    [S+1]   noise level; flow models 1..0, others as their schedule
K          steps        --      model evaluations made: at sigma_0 .. sigma_{K-1}

Source: Anchor Frame Bridging (ICLR 2026), Design 1: "denoising can terminate at step K <= T".
Differences: the stop can also be given as a noise level, since one K is a different level under another flow shift
(K=15 of 50: 0.875 at shift 3, 0.921 at 5, 0.974 at 16). Without either, K is the paper's share of the steps, 15 of 50,
or all of few steps, where after a share nothing would be seen yet: ours.
"""

from __future__ import annotations

from torch import Tensor

AUTO = -1
FEW = 8  # steps, up to which auto makes all


def auto_steps(steps: int) -> int:
    """K where it is not given: 30 % of the steps, rounded half up; all of at most 8. Source: ours."""
    return steps if steps <= FEW else (3 * steps + 5) // 10


def steps_until(sigmas: Tensor, stop_step: int, stop_sigma: float) -> int:
    """K, the number of steps to run.

    Args:
        sigmas: [S+1], falling.
        stop_step: K in 1..S, 0 for all S, or -1 for `auto_steps`.
        stop_sigma: above 0 it decides instead: the first K with sigma_K <= stop_sigma.
    Raises:
        ValueError: there is no step, or the stop lies outside the schedule or is no number.
    """
    steps = len(sigmas) - 1
    if steps < 1:
        raise ValueError("sigmas has no step: set the scheduler to at least 1 step and denoise above 0.")
    if not stop_sigma >= 0:  # NaN too
        raise ValueError(f"stop_sigma must be a noise level of at least 0, got {stop_sigma:g}: 0 stops by step.")
    if stop_sigma > 0:
        start, end = float(sigmas[0]), float(sigmas[-1])
        if not end <= stop_sigma < start:
            raise ValueError(
                f"stop_sigma {stop_sigma:g} is outside this schedule, which falls from {start:.4g} to {end:.4g}: "
                f"use a level between them, or 0 to stop by step."
            )
        return next(k for k in range(1, steps + 1) if float(sigmas[k]) <= stop_sigma)
    if stop_step == AUTO:
        return auto_steps(steps)
    if not 0 <= stop_step <= steps:
        raise ValueError(
            f"stop_step {stop_step} is {'above' if stop_step > 0 else 'outside'} the {steps} steps of sigmas: use 1 to "
            f"{steps}, 0 for all, or -1, which chooses {auto_steps(steps)} here."
        )
    return stop_step or steps

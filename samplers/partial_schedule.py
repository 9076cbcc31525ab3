"""How far a sampling run goes when it stops early. Pure torch.

symbol     here         shape   unit
sigma_k    sigmas[k]    [S+1]   noise level; flow models 1..0, others as their schedule
K          steps        --      model evaluations made: at sigma_0 .. sigma_{K-1}

Source: Anchor Frame Bridging (ICLR 2026), Design 1: "denoising can terminate at step K <= T".
Differences: the stop can also be given as a noise level, since one K is a different level under another flow shift
(K=15 of 50: 0.875 at shift 3, 0.921 at 5, 0.974 at 16).
"""

from __future__ import annotations

from torch import Tensor


def steps_until(sigmas: Tensor, stop_step: int, stop_sigma: float) -> int:
    """K, the number of steps to run.

    Args:
        sigmas: [S+1], falling.
        stop_step: K in 1..S, or 0 for all S.
        stop_sigma: above 0 it decides instead: the first K with sigma_K <= stop_sigma.
    Raises:
        ValueError: there is no step, or the stop lies outside the schedule.
    """
    steps = len(sigmas) - 1
    if steps < 1:
        raise ValueError("sigmas has no step: set the scheduler to at least 1 step and denoise above 0.")
    if stop_sigma > 0:
        start, end = float(sigmas[0]), float(sigmas[-1])
        if not end <= stop_sigma < start:
            raise ValueError(
                f"stop_sigma {stop_sigma:g} is outside this schedule, which falls from {start:.4g} to {end:.4g}: "
                f"use a level between them, or 0 to stop by step."
            )
        return next(k for k in range(1, steps + 1) if float(sigmas[k]) <= stop_sigma)
    if not 0 <= stop_step <= steps:
        raise ValueError(
            f"stop_step {stop_step} is {'above' if stop_step > 0 else 'outside'} the {steps} steps of sigmas: use 1 to "
            f"{steps}, or 0 for all."
        )
    return stop_step or steps

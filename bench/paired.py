"""A method beside another on the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 9_999


@dataclass(frozen=True)
class Difference:
    """mean of method minus reference; low, high: its 95 % interval, None for one clip. better: of `clips` clips."""

    mean: float
    low: float | None
    high: float | None
    better: int
    clips: int


def difference(method: Sequence[float], reference: Sequence[float], higher_is_better: bool) -> Difference:
    """The paired difference of two rows of numbers of the same clips, in the same order.

    The interval is the percentile bootstrap's over clips; the same numbers give the same interval.
    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13, by scipy.

    Raises:
        ValueError: the rows differ in length, or have no number.
    """
    apart = np.subtract(method, reference) if len(method) == len(reference) else np.empty(0)
    if not len(apart):
        raise ValueError(f"{len(method)} and {len(reference)} numbers cannot be compared in pairs")
    better = int((apart > 0).sum() if higher_is_better else (apart < 0).sum())
    low = high = None
    if len(apart) > 1 and np.ptp(apart) > 0:
        found = bootstrap((apart,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0))
        low, high = map(float, found.confidence_interval)
    elif len(apart) > 1:
        low = high = float(apart[0])
    return Difference(float(apart.mean()), low, high, better, len(apart))

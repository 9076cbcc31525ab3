"""What can be said of a method from its scores on some clips: means with intervals, and comparisons clip by clip.

paper        here          what
x_1..x_n     values        the scores of n clips
theta*(b)    --            mean or median of n scores drawn with replacement, b = 1..RESAMPLES
[lo, hi]     low, high     2.5 % and 97.5 % quantiles of theta*

Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval), chapter 8 (pairs).
Scores that are no finite number (None, NaN, infinite) take no part and are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

RESAMPLES, LEVEL = 2000, 0.95
SEED = 0
DRAWN_AT_ONCE = 2**20  # scores; bounds the memory to 16 MB whatever the number of clips
FEWEST_TO_DIFFER = 6  # two-sided sign test: five clips that all agree have p = 2 / 2^5 = 0.06, six have 0.03

Scores = Sequence[float | None] | NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """value: mean or median, None without a score. low, high: 95 % interval, None below two scores.

    count: scores that took part. left_out: those that are no finite number.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int
    left_out: int


@dataclass(frozen=True)
class Paired:
    """A method beside the baseline on the clips that have a score of both.

    better: clips on which the method is better; equal scores count half. count: clips compared.
    difference: mean of method minus baseline; of a measure "near 1", of their distances from 1.
    """

    better: float
    count: int
    difference: Estimate

    @property
    def differs(self) -> bool:
        """The interval of the difference excludes 0, on FEWEST_TO_DIFFER clips or more.

        With fewer, all clips may agree by chance, and the bootstrap, which only knows these clips, would not notice.
        """
        low, high = self.difference.low, self.difference.high
        return self.count >= FEWEST_TO_DIFFER and low is not None and high is not None and (low > 0 or high < 0)


def estimate(values: Scores, better: str) -> Estimate:
    """The median for a measure that is best "near 1", a ratio whose mean one clip can carry away; else the mean."""
    return (median_estimate if better == "near 1" else mean_estimate)(values)


def goodness(values: Scores, better: str) -> NDArray[np.float64]:
    """Scores turned so that more is better: x, -x for "lower", -|x - 1| for "near 1"; NaN where there is none.

    Raises:
        ValueError: better is none of the three.
    """
    x = np.array(values, dtype=np.float64)
    turned = {"higher": x, "lower": -x, "near 1": -np.abs(x - 1)}
    if better not in turned:
        raise ValueError(f"better is {better!r}; it can be {', '.join(map(repr, turned))}.")
    return np.where(np.isfinite(x), turned[better], np.nan)


def paired(values: Scores, baseline: Scores, better: str) -> Paired:
    """A method beside the baseline, clip by clip.

    Args:
        values, baseline: [n] scores of the same clips in the same order.
        better: "higher", "lower" or "near 1".
    Raises:
        ValueError: the two differ in length, or better is none of the three.
    """
    if len(values) != len(baseline):
        raise ValueError(f"values has {len(values)} clips, baseline {len(baseline)}; they must be the same clips.")
    ours, theirs = goodness(values, better), goodness(baseline, better)
    gain = ours - theirs
    known = gain[np.isfinite(gain)]
    return Paired(
        better=float(np.count_nonzero(known > 0) + np.count_nonzero(known == 0) / 2),
        count=len(known),
        difference=mean_estimate(gain if better == "higher" else -gain),
    )


def mean_estimate(values: Scores, statistic: Callable[..., NDArray[np.float64]] = np.mean) -> Estimate:
    """Mean over clips, or another statistic, with its 95 % bootstrap interval; the order of the clips plays no part."""
    every = np.array(values, dtype=np.float64)
    known = np.sort(every[np.isfinite(every)])
    value, low, high = float(statistic(known)) if len(known) else None, None, None
    if len(known) > 1:
        batch = max(1, DRAWN_AT_ONCE // len(known))
        how = {"n_resamples": RESAMPLES, "confidence_level": LEVEL, "method": "percentile", "batch": batch}
        found = bootstrap((known,), statistic, rng=np.random.default_rng(SEED), **how).confidence_interval
        low, high = float(found.low), float(found.high)
    return Estimate(value, low, high, len(known), len(every) - len(known))


def median_estimate(values: Scores) -> Estimate:
    """The same of the median."""
    return mean_estimate(values, np.median)

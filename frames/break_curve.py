"""The curve on which a break is looked for: how bad every frame of a video is. Pure torch.

symbol    here             shape    unit
Q_n       quality          [N-2]    see breakpoint.py; 0 or less, the worst frame has the lowest
D_n       disagreement     [N-2]    distance of frame n of the forward video and of the mirrored candidates

Source: Anchor Frame Bridging (ICLR 2026, OpenReview isNjWnVsUR), Design 2. Differences from the paper: it leaves open
which video is scored. With a forward video that one is; without, the reverse video, whose break is taken to lie at the
same index (the paper's symmetry assumption). The disagreement of both and the rhythm are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from .breakpoint import LEAST_STEPS_PER_PHASE, continuity, without_rhythm
from .perceptual_distance import PerceptualMetric


@dataclass(frozen=True, eq=False)
class BreakCurve:
    """quality: [N-2], Q of frames 1..N-2. The rest is words for the plot and the report.

    value: what is told of a frame, such as "change around it". caption: of the plot. report: what was measured.
    """

    quality: Tensor
    value: str
    caption: str
    report: str

    def at(self, frame: int) -> float:
        """How bad a frame is, 0 or more."""
        return float(-self.quality[frame - 1])

    @property
    def median(self) -> float:
        """How bad the frames are as a rule."""
        return float(-self.quality.median())

    def against_median(self, frame: int) -> float:
        """How many times as bad as the median a frame is; infinite where only the median is 0, 0 where both are."""
        value, median = self.at(frame), self.median
        if median > 0:
            return value / median
        return math.inf if value > 0 else 0.0


def break_curve(
    scored: str, candidates: Tensor, forward: Tensor | None, metric: PerceptualMetric, rhythm: int = 1
) -> BreakCurve:
    """The curve of one video, or of the disagreement of both.

    Args:
        scored: forward, reverse or disagreement.
        candidates, forward: [N,H,W,3] float32 in 0..1, N >= 3; forward only where it is needed.
        metric: distance of pictures.
        rhythm: frames after which a rhythm repeats, to take it out of the steps of a video; 1 is off.
    Raises:
        ValueError: videos that are compared frame by frame and differ in size.
    Cost: one pass of the metric over N frames; for disagreement over N-2 pairs.
    """
    if scored == "reverse" or forward is None:
        return _change(candidates, "reverse candidates", metric, rhythm)
    if scored == "disagreement":
        return _disagreement(candidates, forward, metric)
    return _change(forward, "forward video", metric, rhythm)


def _change(video: Tensor, name: str, metric: PerceptualMetric, rhythm: int) -> BreakCurve:
    """Q of a video's frames, its rhythm taken out."""
    steps = metric.adjacent(video)
    even = without_rhythm(steps, rhythm)
    caption = f"{metric.name} on the {name}"
    measured = f"Measured with {caption} ({len(video)} frames)"
    if even is None:
        wanted = LEAST_STEPS_PER_PHASE * rhythm + 1
        measured += f"; fewer than {wanted} frames are too few to take out a rhythm of {rhythm}, so it is still in"
    elif rhythm > 1:
        measured += f", a rhythm of {rhythm} frames taken out"
        caption += f", rhythm of {rhythm} taken out"
    quality = continuity(steps if even is None else even)
    return BreakCurve(quality, "change around it", f"change around each frame: {caption}", f"{measured}.")


def _disagreement(candidates: Tensor, forward: Tensor, metric: PerceptualMetric) -> BreakCurve:
    """Q_n = -D_n. Source: ours; it has no steps, so no rhythm is taken out."""
    if forward.shape != candidates.shape:
        (rows, columns), (others, across) = forward.shape[1:3], candidates.shape[1:3]
        raise ValueError(
            f"forward is {columns}x{rows} pixels and candidates {across}x{others}: score_on 'disagreement' compares "
            f"them frame by frame, so make both at one size."
        )
    mirrored = candidates.flip(0)
    quality = -metric.between(forward[1:-1].to(candidates.device), mirrored[1:-1])
    of_what = "forward video and mirrored candidates"
    return BreakCurve(
        quality,
        "difference on it",
        f"difference on each frame: {metric.name} of {of_what}",
        f"Measured with {metric.name} how far {of_what} differ on each frame ({len(candidates)} frames).",
    )

"""Where a video breaks, and which frame of the reverse video mends it. Pure torch.

symbol   here        shape     unit
N        length      --        video frames
d_n      adjacent    [N-1]     perceptual distance of frames n and n+1
P        period      --        steps after which a rhythm repeats, 4 for a VAE that packs 4 frames into one
Q_n      quality     [N-2]     continuity of frame n = 1 .. N-2; quality[n-1] is Q_n, 0 = does not change
n_p      breakpoint  --        frame with the worst continuity; where the anchor is inserted
alpha    --          --        n_p / (N-1)
n_a      --          --        frame of the reverse video that shows time n_p, N-1-n_p

Source: Anchor Frame Bridging (ICLR 2026, OpenReview isNjWnVsUR), Design 2.
Differences from the paper: frames within a margin of any keyframe are left out, or the jump onto the last keyframe
always wins; so are those before `earliest`, where the reverse pass is the worn one. A rhythm of the steps can be taken
out before the search. Several anchors are chosen greedily, half of an even share of the searched part apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

LEAST_STEPS_PER_PHASE = 3  # for a median that one break does not move
STILL = 0.05  # a phase whose median is at most this share of the largest one; dividing by it would measure noise
NEARLY = 1e-6  # a place that rounding alone puts before `earliest` is not before it


def continuity(adjacent: Tensor) -> Tensor:
    """Q_n = -(d_{n-1} + d_n) / 2 for n = 1 .. N-2. Source: AFB Design 2.

    Args:
        adjacent: [N-1] distances of neighbours, N >= 3.
    Returns:
        [N-2], zero or less; entry n-1 belongs to frame n.
    """
    return -(adjacent[:-1] + adjacent[1:]) / 2


def without_rhythm(adjacent: Tensor, period: int) -> Tensor | None:
    """The steps with the rhythm of `period` taken out: each is measured by the median of its own phase n mod P.

    d'_n = d_n M / m_{n mod P}, with m_p the median of phase p and M that of all steps. Where some phase stands still
    (frames shown twice) a ratio would measure noise: d'_n = max(d_n - m_{n mod P} + M, 0). Either way a pure rhythm
    becomes M everywhere, and steps whose phases have one median stay as they are. Source: ours; a VAE with a time
    stride leaves such a rhythm, and it is no break.

    Args:
        adjacent: [N-1] distances of neighbours.
        period: P >= 1; 1 is off.
    Returns:
        [N-1], dtype and device of adjacent; None if a phase has fewer than 3 steps to take a median of.
    """
    if period == 1:
        return adjacent
    if len(adjacent) < LEAST_STEPS_PER_PHASE * period:
        return None
    phase = torch.arange(len(adjacent), device=adjacent.device) % period
    medians = torch.stack([adjacent[phase == p].quantile(0.5) for p in range(period)])  # [P]
    usual = adjacent.quantile(0.5)
    if medians.min() <= STILL * medians.max():
        return (adjacent - medians[phase] + usual).clamp(min=0)
    return adjacent * (usual / medians[phase])


def open_frames(length: int, margin: int, keyframes: Sequence[int] = (), earliest: float = 0.0) -> list[int]:
    """Frames 1..N-2 at least `margin` away from both ends and from every keyframe, and not before `earliest`.

    Args:
        earliest: share of the video, 0..1; a frame n with n / (N-1) below it is left out.
    Raises:
        ValueError: none is left.
    """
    fences = {0, length - 1, *keyframes}
    least = max(margin, 1)
    found = [n for n in range(1, length - 1) if all(abs(n - fence) >= least for fence in fences)]
    if not found:
        ends = sorted(fences)
        widest = max(((b - a) // 2 for a, b in pairwise(ends)), default=0)
        remedy = f"use a margin of at most {widest}" if widest >= 1 else "there is no frame between them"
        raise ValueError(
            f"margin {margin} leaves no frame for an anchor in a video of {length} frames between the fixed frames "
            f"{', '.join(map(str, ends))}: {remedy}."
        )
    late = [n for n in found if n >= earliest * (length - 1) - NEARLY]
    if not late:
        raise ValueError(
            f"earliest {earliest:g} leaves no frame for an anchor, since the last one that margin {margin} allows is "
            f"{found[-1]} of {length}: use an earliest of at most {_share_below(found[-1], length):g}."
        )
    return late


def breakpoints(
    quality: Tensor, count: int = 1, margin: int = 8, keyframes: Sequence[int] = (), earliest: float = 0.0
) -> list[int]:
    """The frames with the worst continuity, worst first.

    n_p = argmin Q_n over the open frames; each further one is the worst at least N (1 - earliest) / (2 count) frames
    from those before. Source: AFB Design 2; margin, earliest and distance: ours.

    Args:
        quality: [N-2], Q of frames 1..N-2, finite.
        count: anchors wanted, >= 1.
        margin: least distance from the ends and from `keyframes`, video frames.
        earliest: share of the video before which none is taken, 0..1.
    Raises:
        ValueError: no frame is left, for the first or for a later anchor.
    """
    length = len(quality) + 2
    candidates = open_frames(length, margin, keyframes, earliest)
    searched = length * (1 - earliest)
    found = _spaced_worst(quality, candidates, count, searched)
    if len(found) < count:
        fits = next(n for n in range(count - 1, 0, -1) if len(_spaced_worst(quality, candidates, n, searched)) == n)
        limits, remedy = f"margin {margin}", "a smaller margin"
        if earliest > 0:
            limits, remedy = f"{limits}, earliest {earliest:g}", f"{remedy} or earliest"
        raise ValueError(
            f"count {count} does not fit into {length} frames with {limits} and {searched / (2 * count):g} frames "
            f"between anchors: use count {fits} or {remedy}."
        )
    return found


def _spaced_worst(quality: Tensor, left: list[int], count: int, searched: float) -> list[int]:
    """Up to `count` frames out of `left`, worst first, searched/(2 count) apart; fewer where no more fit."""
    spacing = searched / (2 * count)
    found: list[int] = []
    while left and len(found) < count:
        worst = left[int(torch.argmin(quality[[n - 1 for n in left]]))]
        found.append(worst)
        left = [n for n in left if abs(n - worst) >= spacing]
    return found


def fixed_breakpoint(length: int, alpha: float, keyframes: Sequence[int] = ()) -> int:
    """n_p = round(alpha (N-1)), not measured. Source: AFB's code, which fixes alpha at about 0.75.

    Raises:
        ValueError: it falls on an end of the video or on a keyframe.
    """
    frame = round(alpha * (length - 1))
    if not 1 <= frame <= length - 2:
        raise ValueError(
            f"fixed_alpha {alpha:g} puts the anchor on frame {frame}, an end of the video: "
            f"use {math.ceil(1e4 / (length - 1)) / 1e4:g} to {_share_below(length - 2, length):g}."
        )
    if frame in keyframes:
        raise ValueError(f"fixed_alpha {alpha:g} puts the anchor on frame {frame}, which already holds a keyframe.")
    return frame


def _share_below(frame: int, length: int) -> float:
    """The largest share of the video, in four digits, that is not beyond a frame."""
    return math.floor(1e4 * frame / (length - 1)) / 1e4


def mirrored(frame: int, length: int) -> int:
    """n_a = N-1-n_p: the frame of the reverse video that shows the time of a forward frame. Its own inverse."""
    return length - 1 - frame

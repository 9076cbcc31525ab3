"""Where a video breaks, and which frame of the reverse video mends it. Pure torch.

symbol   here        shape     unit
N        length      --        video frames
d_n      adjacent    [N-1]     perceptual distance of frames n and n+1
Q_n      quality     [N-2]     continuity of frame n = 1 .. N-2; quality[n-1] is Q_n, 0 = does not change
n_p      breakpoint  --        frame with the worst continuity; where the anchor is inserted
alpha    --          --        n_p / (N-1)
n_a      --          --        frame of the reverse video that shows time n_p, N-1-n_p

Source: Anchor Frame Bridging (ICLR 2026, OpenReview isNjWnVsUR), Design 2.
Differences from the paper: frames within a margin of any keyframe are left out, or the jump onto the last keyframe
always wins; several anchors are chosen greedily with a least distance of N/(2 count).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor


def continuity(adjacent: Tensor) -> Tensor:
    """Q_n = -(d_{n-1} + d_n) / 2 for n = 1 .. N-2. Source: AFB Design 2.

    Args:
        adjacent: [N-1] distances of neighbours, N >= 3.
    Returns:
        [N-2], zero or less; entry n-1 belongs to frame n.
    """
    return -(adjacent[:-1] + adjacent[1:]) / 2


def open_frames(length: int, margin: int, keyframes: Sequence[int] = ()) -> list[int]:
    """Frames 1..N-2 at least `margin` away from both ends and from every keyframe.

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
    return found


def breakpoints(quality: Tensor, count: int = 1, margin: int = 8, keyframes: Sequence[int] = ()) -> list[int]:
    """The frames with the worst continuity, worst first.

    n_p = argmin Q_n over the open frames; each further one is the worst at least N/(2 count) frames from those before.
    Source: AFB Design 2; margin and distance: ours.

    Args:
        quality: [N-2], Q of frames 1..N-2, finite.
        count: anchors wanted, >= 1.
        margin: least distance from the ends and from `keyframes`, video frames.
    Raises:
        ValueError: no frame is left, for the first or for a later anchor.
    """
    candidates = open_frames(len(quality) + 2, margin, keyframes)
    found = _spaced_worst(quality, candidates, count)
    if len(found) < count:
        fits = next(n for n in range(count - 1, 0, -1) if len(_spaced_worst(quality, candidates, n)) == n)
        raise ValueError(
            f"count {count} does not fit into {len(quality) + 2} frames with margin {margin} and "
            f"{(len(quality) + 2) / (2 * count):g} frames between anchors: use count {fits} or a smaller margin."
        )
    return found


def _spaced_worst(quality: Tensor, left: list[int], count: int) -> list[int]:
    """Up to `count` frames out of `left`, worst first, N/(2 count) apart; fewer where no more fit."""
    spacing = (len(quality) + 2) / (2 * count)
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
            f"use {math.ceil(1e4 / (length - 1)) / 1e4:g} to {math.floor(1e4 * (length - 2) / (length - 1)) / 1e4:g}."
        )
    if frame in keyframes:
        raise ValueError(f"fixed_alpha {alpha:g} puts the anchor on frame {frame}, which already holds a keyframe.")
    return frame


def mirrored(frame: int, length: int) -> int:
    """n_a = N-1-n_p: the frame of the reverse video that shows the time of a forward frame. Its own inverse."""
    return length - 1 - frame

"""How far apart neighbouring frames of a video, or two pictures, look. Pure torch.

symbol            here          shape        unit
I_n               frames        [F,H,W,3]    colour 0..1
phi(I)            features      per layer    what a network sees of one frame, [n,C,h,w]
d(I_n, I_n+1)     adjacent      [F-1]        0 = equal; LPIPS about 0..1, 1-SSIM 0..2
d(I_n, J_n)       between       [n]          the same of pairs of pictures

Differences from the references: each frame passes the network once, F passes for F frames; the lpips package compares
pairs, 2 (F-1) passes. The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

# Told how many frames there are, gives what to call after each few of them: progress, and a chance to cancel.
Watch = Callable[[int], Callable[[int], None]]


class PerceptualMetric(Protocol):
    """A distance between pictures, as the INBETWEEN_METRIC socket carries it."""

    name: str

    def adjacent(self, frames: Tensor) -> Tensor:
        """[F,H,W,3] in 0..1 -> [F-1] distances of frames n and n+1, float32 on the CPU."""

    def between(self, these: Tensor, those: Tensor) -> Tensor:
        """[n,H,W,3] and [n,H,W,3] in 0..1 -> [n] distances of pictures with the same number, float32 on the CPU."""


def to_lpips_range(images: Tensor) -> Tensor:
    """[n,H,W,3] in 0..1 -> [n,3,H,W] in -1..1, the one place that knows both ranges. Source: lpips 0.1.4."""
    return 2 * images.movedim(-1, 1) - 1


def adjacent_distances(
    frames: Tensor,
    features: Callable[[Tensor], Sequence[Tensor]],
    distance: Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor],
    chunk: int,
) -> Tensor:
    """Distances of neighbouring frames, each frame seen once.

    Args:
        frames: [F,H,W,3], F >= 2.
        features: a chunk of frames [n,H,W,3] -> features per layer, each [n,...].
        distance: features of n frames, features of n other frames -> [n].
        chunk: frames per call of `features`, >= 1. It bounds memory and does not change the result.
    Returns:
        [F-1] float32 on the CPU.
    Cost: F frames through `features`; features of one chunk and of one frame before it are kept.
    """
    found: list[Tensor] = []
    before: list[Tensor] | None = None
    for start in range(0, len(frames), chunk):
        seen = features(frames[start : start + chunk])
        if before is not None:
            found.append(distance(before, [layer[:1] for layer in seen]))
        if len(seen[0]) > 1:
            found.append(distance([layer[:-1] for layer in seen], [layer[1:] for layer in seen]))
        before = [layer[-1:].clone() if len(layer) > 1 else layer for layer in seen]
    return torch.cat(found).float().cpu()

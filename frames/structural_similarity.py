"""1 - SSIM between pictures, by kornia: the distance that needs no weights.

symbol    here         shape        unit
SSIM      --           [n]          mean over pixels and channels, window 11, sigma 1.5, colours 0..1
1-SSIM    between      [n]          0 = equal, up to 2
1-SSIM    adjacent     [F-1]        the same of frames n and n+1

Source: Wang et al. 2004 (SSIM); used in place of LPIPS in Anchor Frame Bridging's Q: ours. Differences: windows at the
border see the picture mirrored, as in torchmetrics; Wang's code and scikit-image leave the outer five pixels out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .perceptual_distance import Watch

SMALLEST_SIDE = 6  # pixels: the window's half, mirrored


class SSIMMetric:
    """Structural distance, 1 - SSIM; computed where the frames are."""

    name = "1-SSIM"

    def __init__(self, watch: Watch | None = None) -> None:
        """watch: follows the frames, see `perceptual_distance.Watch`; None for nobody."""
        self._watch = watch

    def adjacent(self, frames: Tensor) -> Tensor:
        """1 - SSIM of frames n and n+1.

        Args:
            frames: [F,H,W,3] in 0..1, F >= 2, sides of at least 6 pixels.
        Returns:
            [F-1] float32 on the CPU.
        Cost: memory of a few frames.
        """
        return self.between(frames[:-1], frames[1:])

    def between(self, these: Tensor, those: Tensor) -> Tensor:
        """1 - SSIM of these[n] and those[n].

        Args:
            these, those: [n,H,W,3] in 0..1, on one device, sides of at least 6 pixels.
        Returns:
            [n] float32 on the CPU.
        Raises:
            ValueError: pictures that are smaller than what the window sees to one side.
        Cost: memory of a few frames. One pair at a time: several are no faster, on the CPU slower.
        """
        height, width = these.shape[1:3]
        if min(height, width) < SMALLEST_SIDE:
            raise ValueError(
                f"frames are {width}x{height} pixels, 1-SSIM needs at least {SMALLEST_SIDE}x{SMALLEST_SIDE}: make them "
                f"larger."
            )
        from kornia.metrics import ssim  # slow to import, and not every graph needs it

        done = self._watch(len(these)) if self._watch else None
        found = []
        for pair in zip(these, those, strict=True):
            left, right = (picture.movedim(-1, 0)[None].float().contiguous() for picture in pair)  # [1,3,H,W]
            found.append(1 - ssim(left, right, window_size=11).mean())
            if done:
                done(1)
        return torch.stack(found).cpu()

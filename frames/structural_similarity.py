"""1 - SSIM between neighbouring frames, by kornia: the distance that needs no weights.

symbol    here         shape        unit
SSIM      --           [F-1]        mean over pixels and channels, window 11, sigma 1.5, colours 0..1
1-SSIM    adjacent     [F-1]        0 = equal, up to 2

Source: Wang et al. 2004 (SSIM); used in place of LPIPS in Anchor Frame Bridging's Q: ours. Differences: none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .perceptual_distance import Watch

PAIRS_AT_ONCE = 8


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
        Cost: O(PAIRS_AT_ONCE H W) memory.
        """
        from kornia.metrics import ssim  # slow to import, and not every graph needs it

        images = frames.movedim(-1, 1).float()  # [F,H,W,3] -> [F,3,H,W]
        done = self._watch(len(images) - 1) if self._watch else None
        found = []
        for these, those in zip(images[:-1].split(PAIRS_AT_ONCE), images[1:].split(PAIRS_AT_ONCE), strict=True):
            found.append(1 - ssim(these, those, window_size=11).mean(dim=(1, 2, 3)))
            if done:
                done(len(these))
        return torch.cat(found).cpu()

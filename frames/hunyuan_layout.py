"""Where keyframes go in HunyuanVideo's condition: whole latent frames, and a mask of one channel. Pure torch.

symbol   here           shape            unit
N, T     length, --     --               video frames, latent frames (N-1)/4 + 1, as Wan's (wan_layout.py)
l(n)     latent         --               latent frame of video frame n: 0 for frame 0, else the one with 4l-3 .. 4l
z^i      stills         [1,C,h,w]        a keyframe's clean latent
Z_c      known_latents  [1,C,T',h,w]     z^i at l(n_i), 0 where nothing is known; T' <= T
M        --             [1,1,T,h,w]      1 = known (the model's sign)
--       known_mask     [1,1,T,h,w]      0 = known (ComfyUI's sign, 1 - M)

Source: HunyuanVideo-I2V and HunyuanVideo 1.5 I2V, as the host's nodes condition them on frame 0.
Differences: keyframes after frame 0 are ours. Anchor Frame Bridging's code for HunyuanVideo also holds whole latent
frames {0, m, T-1}, but on the checkpoint that replaces tokens, where it resets them in the noisy latent at every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .wan_layout import WanPlacement, place_keyframes


def place_in_latents(frames: Sequence[int], length: int) -> list[WanPlacement]:
    """Where each keyframe is held: on all frames of the latent frame l(n) that shows video frame n.

    Args:
        frames: distinct video frames, in order. length: N, 4n+1.
    Raises:
        ValueError: two keyframes land in one latent frame.
    """
    return place_keyframes(frames, length, "repeat4", whole_latents=True)


def known_latents(placed: Sequence[WanPlacement], stills: Sequence[Tensor], frames: int) -> Tensor:
    """Z_c [1,C,frames,h,w]: each keyframe's latent in its place, zeros elsewhere. Source: the host, for frame 0.

    Args:
        placed, stills: one each per keyframe; stills are [1,C,h,w]. frames: T', above the last place.
    """
    first = stills[0]
    latents = torch.zeros(*first.shape[:2], frames, *first.shape[2:], dtype=first.dtype, device=first.device)
    for item, still in zip(placed, stills, strict=True):
        latents[:, :, item.latent] = still
    return latents


def known_mask(
    placed: Sequence[WanPlacement], strengths: Sequence[float], frames: int, height: int, width: int
) -> Tensor:
    """ComfyUI's `concat_mask`: 1 - strength where a keyframe is known, 1 elsewhere.

    Args:
        placed, strengths: one each per keyframe; strength 1 is fully known.
        frames, height, width: T, h, w of the latent.
    Returns:
        [1,1,T,h,w] float32 on the CPU.
    """
    mask = torch.ones(1, 1, frames, height, width)
    for item, strength in zip(placed, strengths, strict=True):
        mask[:, :, item.latent] = 1.0 - strength
    return mask

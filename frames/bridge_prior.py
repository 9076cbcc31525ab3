"""What a bridge starts from: one latent for every latent frame, made from the keyframes' latents. Pure torch.

paper   here      shape         unit
z^i     stills    [K, ...]      a keyframe's clean latent, or its picture
l_i     places    K             frame that carries it, rising
phi     --        --            (l - l_i) / (l_{i+1} - l_i)
z_T     prior     [T, ...]      before the first and after the last keyframe it is held

Source: FrameBridge, arXiv:2410.15371, Section 4.1 (one keyframe: replicated). Two or more are ours:
  linear    (1 - phi) z^i + phi z^{i+1}
  nearest   z^i for phi <= 1/2, else z^{i+1}
  slerp     (sin((1 - phi) omega) z^i + sin(phi omega) z^{i+1}) / sin(omega), omega the angle between both
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

KINDS = ("linear", "nearest", "slerp", "pixel")
PARALLEL = 1e-4  # sin(omega) below which slerp is linear


def prior_between(stills: Tensor, places: Sequence[int], frames: int, kind: str = "linear") -> Tensor:
    """The prior [T, ...] from K keyframes [K, ...].

    Args:
        places: of the keyframes, 0 to T-1, rising. frames: T. kind: linear, nearest or slerp; pixel is linear.
    Raises:
        ValueError: no keyframe, places that do not rise, or an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    if not places:
        raise ValueError("keyframes is empty: connect first_image or last_image, or add a keyframe.")
    if sorted(set(places)) != list(places) or not 0 <= places[0] <= places[-1] < frames:
        raise ValueError(f"keyframes must rise from 0 to {frames - 1}, got {', '.join(map(str, places))}.")
    return torch.stack([_at(stills, places, frame, kind) for frame in range(frames)])


def _at(stills: Tensor, places: Sequence[int], frame: int, kind: str) -> Tensor:
    after = next((number for number, place in enumerate(places) if place >= frame), len(places) - 1)
    before = max(0, after - 1) if places[after] > frame else after
    if before == after:
        return stills[after]
    share = (frame - places[before]) / (places[after] - places[before])
    first, second = stills[before], stills[after]
    if kind == "nearest":
        return first if share <= 0.5 else second
    if kind == "slerp":
        return _slerp(first, second, share)
    return torch.lerp(first, second, share)


def _slerp(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Along the arc between two latents; along the line where they point the same way or one of them is zero."""
    lengths = first.double().norm() * second.double().norm()
    if lengths == 0:
        return torch.lerp(first, second, share)
    cosine = ((first.double() * second.double()).sum() / lengths).clamp(-1, 1)
    angle = torch.arccos(cosine)
    if torch.sin(angle) < PARALLEL:
        return torch.lerp(first, second, share)
    made = (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second) / torch.sin(angle)
    return made.to(first.dtype)

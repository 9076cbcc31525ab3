"""How a forward and a backward prediction of one video become one: guidance per frame and weights. Pure torch.

paper     here       shape   unit
g_n       ramp       [N]     guidance scale of frame n, 1 is none
w_n       weights    [N]     share of the forward prediction
D_f, D_b  --         [N,...] clean estimates; D_b in the order of the video played backwards
F         flip(0)    --      reverses time; frames lie on the first axis

Source: Generative Inbetweening, arXiv:2408.15239, and its code (weighted_average); Time Reversal Fusion,
HavenFeng/time_reversal pipeline_stable_video_diffusion_re.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCHEDULES = ("symmetric", "per_direction")
FUSIONS = ("mean", "linear")


def guidance_ramp(frames: int, min_cfg: float, max_cfg: float, schedule: str) -> Tensor:
    """Guidance scale of every frame, counted from the keyframe that a pass starts from.

    per_direction: g = linspace(min, max). symmetric: (g + F g) / 2, which for two frames or more is (min + max) / 2 in
    every frame, as the official code of Generative Inbetweening has it unless it averages with weights.

    Args:
        frames: N. min_cfg, max_cfg: min_cfg <= max_cfg. schedule: one of SCHEDULES.
    Returns:
        [N] float32.
    Raises:
        ValueError: min_cfg above max_cfg, or an unknown schedule.
    """
    if min_cfg > max_cfg:
        raise ValueError(f"min_cfg {min_cfg:g} is above max_cfg {max_cfg:g}: exchange them.")
    if schedule not in SCHEDULES:
        raise ValueError(f"cfg_schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}.")
    ramp = torch.linspace(min_cfg, max_cfg, frames)
    return (ramp + ramp.flip(0)) / 2 if schedule == "symmetric" else ramp


def fusion_weights(frames: int, fuse: str) -> Tensor:
    """Share of the forward prediction in every frame: 1/2, or 1 - n / (N - 1).

    Raises:
        ValueError: an unknown fusion.
    """
    if fuse not in FUSIONS:
        raise ValueError(f"fuse must be one of {', '.join(FUSIONS)}, got {fuse!r}.")
    return torch.full((frames,), 0.5) if fuse == "mean" else torch.linspace(1, 0, frames)


def fused(forward: Tensor, backward: Tensor, weights: Tensor) -> Tensor:
    """w D_f + (1 - w) F(D_b), frame by frame. Fusing v, D, or the Euler steps from one x is the same, being linear.

    Args:
        forward, backward: [N, ...], backward in its own order. weights: [N].
    """
    shape = (-1,) + (1,) * (forward.ndim - 1)
    weights = weights.to(forward).view(shape)
    return weights * forward + (1 - weights) * backward.flip(0)

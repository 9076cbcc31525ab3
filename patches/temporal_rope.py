"""Rescaled temporal rotary embedding (ReTRo): time runs at another scale at the ends of a video than in its middle.

paper     here         shape          unit
s_i       scales       [T]            1, below 1 in the middle, above 1 at the ends
w_edge    edge_frames  --             pixel frames at each end that count as an end
N         length       --             pixel frames
omega_m   --           [D_t / 2]      radians per latent frame, theta^(-2m / D_t)
p_i       positions    [T]            latent frames

Source: "Anchoring and Rescaling Attention", arXiv:2603.17651, and its code, teunchoi/TGI inference.py
build_retro_schedule and diffsynth/pipelines/wan_video_ours.py build_speed_vector, model_fn_wan_video.

Differences: the paper writes of a rescaled frequency, its code multiplies the rotation by s_i (an amplitude: the
temporal part of the logit of frames i and j becomes s_i s_j times as large). `amplitude` is the code; `phase` (angle
s_i i omega) and `warp` (angle p_i omega with steps of size s) are the other readings. Edge lengths for N outside the
paper's table, and the mid scale that makes the average 1, are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

MODES = ("amplitude", "phase", "warp")
EDGE_FRAMES = {25: 2, 33: 3, 65: 6, 81: 8}  # the paper's table, pixel frames


def pixel_length(frames: int) -> int:
    """Pixel frames N of T latent frames of a video VAE that compresses time four times: 4 (T - 1) + 1."""
    return 4 * (frames - 1) + 1


def edge_length(length: int) -> int:
    """Pixel frames at each end of a video of N: the paper's table, else N // 10 and at least 1 (ours, it fits)."""
    return EDGE_FRAMES.get(length, max(1, length // 10))


def frame_scales(frames: int, edge_scale: float, mid_scale: float, edge_frames: int = 0, radius: int = 2) -> Tensor:
    """Scale of every latent frame: edge_scale at the ends, mid_scale between, smoothed by a box of 2 radius + 1 frames.

    With tau_i = i / (T - 1) and r = edge_frames / N: s_i = edge_scale if tau_i < r or tau_i >= 1 - r, else mid_scale;
    the box repeats the end values. Source: TGI build_retro_schedule, build_speed_vector.

    Args:
        frames: T, latent frames, >= 1. One frame has no time and gets 1.
        edge_scale, mid_scale: 1 leaves time as it is.
        edge_frames: pixel frames at each end; 0 takes `edge_length`.
        radius: latent frames, >= 0.
    Returns:
        [T] float64.
    Raises:
        ValueError: edge_frames does not leave a middle.
    """
    if frames == 1:
        return torch.ones(1, dtype=torch.float64)
    edges = _smoothed(_edges(frames, edge_frames), radius)
    return mid_scale + (edge_scale - mid_scale) * edges


def balanced_mid_scale(frames: int, edge_scale: float, edge_frames: int = 0, radius: int = 2) -> float:
    """The mid scale that makes the scales of a video of T latent frames average 1, so that its time keeps its extent.

    Ours. Solves mean(s) = 1 for mid_scale; the answer depends on the length because the share of the ends does. 1 for a
    video that is all ends (T of 1 or 2), whose scales no mid scale can balance.
    """
    if frames == 1:
        return 1.0
    share = float(_smoothed(_edges(frames, edge_frames), radius).mean())
    if share == 1:
        return 1.0
    return (1 - edge_scale * share) / (1 - share)


def rescaled_positions(scales: Tensor, mode: str) -> Tensor:
    """Temporal position of every frame, in latent frames from the first.

    phase: p_i = s_i i. warp: p_i = p_{i-1} + (s_{i-1} + s_i) / 2, p_0 = 0, the same in both directions of time.
    amplitude does not move frames: p_i = i.

    Args:
        scales: [T], those of the frames of one call; positions start at 0 in every context window.
    Returns:
        [T] like scales.
    """
    index = torch.arange(len(scales), dtype=scales.dtype, device=scales.device)
    if mode == "phase":
        return scales * index
    if mode == "warp":
        steps = (scales[1:] + scales[:-1]) / 2
        return torch.cat([steps.new_zeros(1), steps.cumsum(0)])
    return index


def rotation_change(scales: Tensor, mode: str, axis: int, theta: float, spacing: float = 1.0) -> Tensor:
    """What every frame's temporal rotation is multiplied with, as 2 x 2 matrices.

    amplitude: s_i times the identity. phase, warp: the rotation by (p_i - i) spacing omega_m, so that the host's own
    rotation by i spacing omega_m becomes that of p_i, whatever shift or spacing another node has set.

    Args:
        scales: [T]. mode: one of MODES.
        axis: D_t, channels of a head that turn with time (44 of 128 in Wan). theta: base of the frequencies.
        spacing: distance of neighbouring frames in the host's table, in latent frames.
    Returns:
        [T, axis / 2, 2, 2] float64.
    Raises:
        ValueError: an unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")
    if mode == "amplitude":
        return (scales[:, None, None, None] * torch.eye(2, dtype=scales.dtype)).expand(-1, axis // 2, -1, -1)
    index = torch.arange(len(scales), dtype=scales.dtype)
    moved = (rescaled_positions(scales, mode) - index) * spacing
    omega = theta ** (-torch.arange(0, axis, 2, dtype=scales.dtype) / axis)
    angle = moved[:, None] * omega
    rows = [torch.stack([angle.cos(), -angle.sin()], -1), torch.stack([angle.sin(), angle.cos()], -1)]
    return torch.stack(rows, -2)


def changed_rotations(rotations: Tensor, change: Tensor) -> Tensor:
    """A table of rotations with its temporal pairs multiplied by the frames' change; the spatial pairs stay.

    Args:
        rotations: [..., L, D / 2, 2, 2], temporal pairs first, the video's tokens last (frame by frame) among L.
        change: [T * h * w, D_t / 2, 2, 2], one per video token.
    Returns:
        Like rotations, a new tensor.
    """
    tokens, pairs = change.shape[:2]
    new = rotations.clone()
    part = rotations[..., -tokens:, :pairs, :, :]
    new[..., -tokens:, :pairs, :, :] = (change[..., :, :1] * part[..., :1, :]) + (change[..., :, 1:] * part[..., 1:, :])
    return new


@dataclass(frozen=True)
class TemporalRoPE:
    """What the node was set to; see its tooltips. The defaults are the paper's code."""

    strength: float = 1.0
    mode: str = "amplitude"
    edge_scale: float = 1.06
    mid_scale: float = 0.94
    edge_frames: int = 0
    smooth_radius: int = 2
    blocks: str = ""
    balance: bool = False

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise ValueError(
                f"strength is {self.strength:g}; use 0 (off) or more. To exchange ends and middle, exchange "
                f"edge_scale and mid_scale."
            )
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}.")

    def scales(self, frames: int) -> Tensor:
        """Scale of every latent frame of the whole video, [T] float64.

        Raises:
            ValueError: edge_frames does not leave a middle, or a scale would not be above 0.
        """
        mid_scale = self.mid_scale
        if self.balance:
            mid_scale = balanced_mid_scale(frames, self.edge_scale, self.edge_frames, self.smooth_radius)
        scales = frame_scales(frames, self.edge_scale, mid_scale, self.edge_frames, self.smooth_radius)
        scales = 1 + self.strength * (scales - 1)
        if float(scales.min()) <= 0:
            raise ValueError(
                f"these settings give a scale of {float(scales.min()):.3g}, where time would stand still or run back: "
                f"lower strength or edge_scale, or raise mid_scale."
            )
        return scales


def _edges(frames: int, edge_frames: int) -> Tensor:
    """1 at the ends, 0 between, [T]."""
    length = pixel_length(frames)
    edge_frames = edge_frames or edge_length(length)
    if not 0 < 2 * edge_frames < length:
        raise ValueError(
            f"edge_frames is {edge_frames}, but a video of {length} frames has room for at most {(length - 1) // 2} at "
            f"each end: use 0 to choose from the length ({edge_length(length)})."
        )
    share = round(edge_frames / length, 6)
    place = torch.arange(frames, dtype=torch.float64) / (frames - 1)
    return ((place < share) | (place >= 1 - share)).double()


def _smoothed(values: Tensor, radius: int) -> Tensor:
    padded = pad(values[None, None], (radius, radius), mode="replicate")
    return avg_pool1d(padded, 2 * radius + 1, stride=1)[0, 0]

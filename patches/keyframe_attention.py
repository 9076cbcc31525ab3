"""Keyframe-anchored attention bias (KAB): every frame's cross-attention is led from the first keyframe's to the last's.

paper            here       shape        unit
f                frames     --           latent frames (T)
A_i              means      [B, T, K]    attention probability, mean over the heads and queries of latent frame i
A_first, A_last  anchors    [A]          latent frames whose own means are the targets (ends, and keyframes between)
t_i              weights    [T, A]       share of every anchor in a frame's target, rows sum to 1
M_i              target     [B, T, K]    attention probability
beta_i           taper      [T]          1, how much of the bias a frame gets; 0 at the anchors
beta_i * bias_i  bias       [B, T, K]    nats, added to the logits of every query and head of the frame

Source: "Anchoring and Rescaling Attention", arXiv:2603.17651 (CVPR 2026), and its code, teunchoi/TGI
diffsynth/models/wan_video_dit.py, which is followed where text and code disagree: the interpolated anchor is the target
and the frame's own mean is subtracted, epsilon is a floor (not an addition), means run over heads and queries.

Differences: frames are never held all at once; anchors between the ends and weights by position are ours, and
off by default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

MEANS_BYTES = 32 * 2**20  # largest piece of probabilities that frame_means holds, in float32


def anchor_weights(frames: int, anchors: Sequence[int]) -> Tensor:
    """Share of every anchor in every frame's target: linear between neighbouring anchors.

    With two anchors at the ends, row i is (1 - t_i, t_i) with t_i = i / (f - 1). Source: TGI CrossAttention.forward;
    more than two anchors: ours.

    Args:
        frames: T, latent frames, >= 2.
        anchors: [A] latent frames, ascending, the first 0 and the last T - 1.
    Returns:
        [T, A] float64 in 0..1, rows sum to 1.
    Raises:
        ValueError: anchors do not ascend from the first to the last frame.
    """
    _check_anchors(frames, anchors)
    weights = torch.zeros(frames, len(anchors), dtype=torch.float64)
    for number, (start, end) in enumerate(pairwise(anchors)):
        t = torch.linspace(0, 1, end - start + 1, dtype=torch.float64)
        weights[start : end + 1, number] = 1 - t
        weights[start : end + 1, number + 1] = t
    return weights


def cosine_taper(frames: int, anchors: Sequence[int], beta_end: float, beta_mid: float) -> Tensor:
    """How much of the bias every frame gets: beta_end beside an anchor, beta_mid half-way, 0 on the anchors.

    d = min(i - a, b - i), d_max = (b - a) // 2, u = (1 + cos(pi d / d_max)) / 2,
    beta_i = beta_mid + (beta_end - beta_mid) u, for frame i between neighbouring anchors a and b.
    Source: TGI _beta_taper_scalar.

    Args:
        frames: T, latent frames. anchors: as in `anchor_weights`.
        beta_end, beta_mid: 1, 0 is off, 1 leads the mean all the way to the target.
    Returns:
        [T] float64.
    """
    taper = torch.zeros(frames, dtype=torch.float64)
    for start, end in pairwise(anchors):
        furthest = (end - start) // 2
        for frame in range(start + 1, end):
            share = 0.5 * (1 + math.cos(math.pi * min(frame - start, end - frame) / furthest))
            taper[frame] = beta_mid + (beta_end - beta_mid) * share
    return taper


def frame_means(q: Tensor, k: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Mean attention of every latent frame over its heads and queries: A_i = mean softmax(q_i k^T / sqrt(D) + bias_i).

    Args:
        q: [B, T, h*w, heads * D]. k: [B, K, heads * D].
        bias: [B, T, K] nats from `anchored_bias`; None for the model's own attention.
    Returns:
        [B, T, K] float32, every row sums to 1.
    Cost: B T h w K heads D multiplications; at most 3 MEANS_BYTES beside the inputs.
    """
    batch, frames, queries, width = q.shape
    keys = k.shape[1]
    k = k.view(batch, keys, heads, width // heads)
    q = q.view(batch, frames, queries, heads, width // heads)
    share = max(1, MEANS_BYTES // (4 * queries * keys))  # heads at a time
    means = torch.zeros(batch, frames, keys, dtype=torch.float32, device=q.device)
    for row in range(batch):
        for frame in range(frames):
            for head in range(0, heads, share):
                some = slice(head, head + share)
                logits = torch.matmul(q[row, frame, :, some].transpose(0, 1), k[row, :, some].permute(1, 2, 0))
                logits = logits.float() * (width // heads) ** -0.5
                if bias is not None:
                    logits += bias[row, frame]
                means[row, frame] += logits.softmax(dim=-1).sum(dim=(0, 1))
    return means / (heads * queries)


def anchored_bias(means: Tensor, anchors: Sequence[int], taper: Tensor, epsilon: float) -> Tensor:
    """The bias of every frame's logits: beta_i (log max(M_i, epsilon) - log max(A_i, epsilon)), M_i = sum_a w_ia A_a.

    Adding it makes each query's probability proportional to P (M / A)^beta: the frame's mean moves to its target and
    the contrasts between queries stay. It is 0 where the mean is the target, and a constant over keys has no effect.
    Source: TGI _apply_logit_micro_bias_for_frame.

    Args:
        means: [B, T, K] from `frame_means`. anchors: as in `anchor_weights`.
        taper: [T], see `cosine_taper`. epsilon: probability below which keys are not told apart, > 0.
    Returns:
        [B, T, K] nats, dtype and device of means; 0 at the anchors.
    Raises:
        ValueError: as `anchor_weights`.
    """
    target = _target(means, anchors)
    return taper.to(means)[:, None] * (target.clamp(min=epsilon).log() - means.clamp(min=epsilon).log())


def place_between(means: Tensor) -> Tensor:
    """Where each frame's mean attention lies between the first frame's (0) and the last's (1). Ours, for the picture.

    <A_i - A_0, A_{T-1} - A_0> / |A_{T-1} - A_0|^2, the foot on the straight line; outside 0..1 beyond its ends.

    Args:
        means: [B, T, K] from `frame_means`, T >= 2.
    Returns:
        [B, T]; 0 if both ends attend alike.
    """
    way = means[:, -1:] - means[:, :1]
    return ((means - means[:, :1]) * way).sum(-1) / way.square().sum(-1).clamp(min=torch.finfo(means.dtype).tiny)


def distance_to_target(means: Tensor, anchors: Sequence[int]) -> Tensor:
    """Share of each frame's attention that lies elsewhere than in its target: sum_k |A_ik - M_ik| / 2. Ours.

    Args:
        means: [B, T, K] from `frame_means`. anchors: as in `anchor_weights`.
    Returns:
        [B, T] in 0..1, 0 at the anchors.
    """
    return (means - _target(means, anchors)).abs().sum(-1) / 2


def position_weights(places: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the first and the last picture's branch by a frame's place: 2 (1 - t) and 2 t. Ours.

    At either end the frame looks at its own picture with both branches' mass, half-way it is the paper's 1 and 1.

    Args:
        places: [T] t, 0 at the first frame and 1 at the last.
    """
    return 2 * (1 - places), 2 * places


def keyframe_anchors(frame_numbers: Sequence[int], keyframes: Sequence[int]) -> list[int]:
    """Anchors of the frames of one call: its two ends, and the keyframes between that are in it.

    The call's frames are the whole video's, or those of a context window.

    Args:
        frame_numbers: [T] the whole video's numbers of the call's latent frames.
        keyframes: latent frames of the whole video that hold a keyframe.
    Returns:
        Places in frame_numbers, ascending; the ends are always among them.
    """
    inner = {place for place, number in enumerate(frame_numbers) if number in keyframes}
    return sorted({0, len(frame_numbers) - 1} | inner)


def _target(means: Tensor, anchors: Sequence[int]) -> Tensor:
    """M_i, [B, T, K]."""
    return anchor_weights(means.shape[1], anchors).to(means) @ means[:, list(anchors)]


def _check_anchors(frames: int, anchors: Sequence[int]) -> None:
    ascending = list(anchors) == sorted({*anchors, 0, frames - 1})
    if frames < 2 or not ascending or anchors[0] != 0 or anchors[-1] != frames - 1:
        raise ValueError(f"anchors must ascend from 0 to {frames - 1}, the last latent frame, got {list(anchors)}.")

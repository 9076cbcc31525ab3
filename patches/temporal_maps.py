"""Temporal attention maps, turned by 180 degrees for a video that is played backwards. Pure torch.

paper     here       shape                   unit
A         maps       [rows, heads, N, N]     probability, rows sum to 1; rows are chunks * h * w
A~        turned     [rows, heads, N, N]     A~_ij = A_{N-1-i, N-1-j}
V         v          [rows, N, heads * D]    --

Source: Generative Inbetweening, arXiv:2408.15239, Section 5, and its code attn_ctrl/attention_control.py.
Differences: none; the maps are kept once, not twice.
"""

from __future__ import annotations

from torch import Tensor

FORMED_AT_ONCE = 2**24  # logits, 64 MB in float32


def temporal_maps(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """A = softmax(q k^T / sqrt(D)), [rows, heads, N, N] in q's dtype; formed in float32, a few rows at a time.

    Args:
        q, k: [rows, N, heads * D].
    Cost: rows heads N^2 numbers; 508 MB in half precision over all layers of SVD-XT at 1024 x 576.
    """
    rows, frames, width = q.shape
    maps = q.new_empty(rows, heads, frames, frames)
    few = max(1, FORMED_AT_ONCE // (heads * frames * max(frames, width // heads)))
    for part, these, those in zip(maps.split(few), q.split(few), k.split(few), strict=True):
        these, those = (item.unflatten(-1, (heads, -1)).transpose(1, 2).float() for item in (these, those))
        part.copy_((these @ those.transpose(-1, -2) * (width // heads) ** -0.5).softmax(dim=-1))
    return maps


def turned(maps: Tensor) -> Tensor:
    """A~, the maps of the same video played backwards: both axes of time reversed. Twice is nothing."""
    return maps.flip(-1, -2)


def attended(maps: Tensor, v: Tensor) -> Tensor:
    """A V, [rows, N, heads * D].

    Args:
        maps: [rows, heads, N, N]. v: [rows, N, heads * D].
    """
    heads = maps.shape[1]
    out = maps.to(v.dtype) @ v.unflatten(-1, (heads, -1)).transpose(1, 2)
    return out.transpose(1, 2).flatten(2)

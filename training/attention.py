"""The attention that the host's modules train with: differentiable on a CPU, short where there is little to see."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def attention(function: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Any = None, **_: Any) -> Tensor:
    """softmax(q k^T / sqrt(D)) v for each head, as the host's `optimized_attention_override`.

    Written out: at these lengths torch's fused kernel for CPUs takes three times as long backwards.

    Args:
        function: the host's own attention, not used.
        q, k, v: [B, L, heads*D], [B, K, heads*D] twice. No key gives zeros, one key its value.
        mask: None; these models have none.
    Returns:
        [B, L, heads*D].
    Raises:
        NotImplementedError: there is a mask.
    """
    if mask is not None:
        raise NotImplementedError("training attention takes no mask")
    if k.shape[1] == 0:
        return torch.zeros_like(q)
    if k.shape[1] == 1:
        return v.expand(-1, q.shape[1], -1)
    q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))  # [B, heads, L, D]
    weights = (q * q.shape[-1] ** -0.5 @ k.mT).softmax(dim=-1)
    return (weights.to(v) @ v).transpose(1, 2).flatten(2)

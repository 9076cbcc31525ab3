"""A model whose attention hardly reaches from the ends of a video to its middle. Constructed: nothing is trained."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

OVERRIDE = "optimized_attention_override"


def reach_limited(model: Any, reach: int) -> Any:
    """A clone of a host's Wan model in which latent frame i attends to frames up to i + `reach` alone."""
    limited = model.clone()
    options = limited.model_options.setdefault("transformer_options", {})
    options = limited.model_options["transformer_options"] = {**options}

    def attend(function: Any, q: Tensor, k: Tensor, v: Tensor, heads: int, **given: Any) -> Tensor:
        grid = given.get("transformer_options", {}).get("grid_sizes")
        if q.shape[1] != k.shape[1] or grid is None or q.shape[1] % grid[0]:
            return function(q, k, v, heads, **given)  # to the text or to pictures
        frames = torch.arange(grid[0], device=q.device).repeat_interleave(q.shape[1] // grid[0])
        seen = frames[None, :] <= frames[:, None] + reach  # [L, L]
        split = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
        return F.scaled_dot_product_attention(*split, attn_mask=seen).transpose(1, 2).flatten(2)

    options[OVERRIDE] = attend
    return limited

"""Which precision a machine trains fastest in, found by trying.

bf16 is twice as quick as fp32 on a CPU with bf16 units (avx512_bf16, amx_bf16) and on a GPU, and six to hundreds of
times slower on a CPU without. The two places where it counts are measured apart: the passes, under autocast, and the
optimiser's Newton-Schulz iteration.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .optimizer import orthogonal

log = logging.getLogger(__name__)

NAMES = {torch.bfloat16: "bf16", torch.float32: "no"}  # what accelerate calls them
TRIES = 3  # the first of which warms up
MATRIX = (384, 1024)  # a usual one
WORTH = 1.2  # how much quicker bf16 must be to be taken; below that its rounding buys nothing


@dataclass(frozen=True)
class Precision:
    """passes: of the forward and backward pass. optimizer: of Muon's iteration."""

    passes: torch.dtype
    optimizer: torch.dtype


def measured_precision(run: Callable[[torch.dtype], None], device: torch.device) -> Precision:
    """bf16 where it is at least WORTH times quicker than fp32, for the passes and for the optimiser.

    Args:
        run: does one forward and backward pass in this precision, and changes nothing.
    Cost: six passes.
    """
    matrix = torch.randn(MATRIX, device=device)
    passes = {dtype: _seconds(lambda dtype=dtype: run(dtype), device) for dtype in NAMES}
    iterations = {dtype: _seconds(lambda dtype=dtype: orthogonal(matrix, dtype), device) for dtype in NAMES}
    found = Precision(_quicker(passes), _quicker(iterations))
    log.info(
        "passes in %s (bf16 %.2f s, fp32 %.2f s); optimiser in %s (bf16 %.4f s, fp32 %.4f s a matrix)",
        *(_shown(found.passes), *passes.values(), _shown(found.optimizer), *iterations.values()),
    )
    return found


def _quicker(seconds: dict[torch.dtype, float]) -> torch.dtype:
    worth = seconds[torch.bfloat16] * WORTH < seconds[torch.float32]
    return torch.bfloat16 if worth else torch.float32


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """The quickest of some tries."""
    found = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        found.append(time.perf_counter() - began)
    return min(found[1:])


def _shown(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

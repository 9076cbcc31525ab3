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

TRIED = (torch.bfloat16, torch.float32)
TRIES = 3  # the first of which warms up
MATRIX = (384, 1024)  # a usual one
WORTH = 1.2  # how much quicker bf16 must be to be taken; below that its rounding buys nothing


@dataclass(frozen=True)
class Precision:
    """passes: of the forward and backward pass. optimizer: of Muon's iteration."""

    passes: torch.dtype
    optimizer: torch.dtype

    def autocast(self, device: torch.device) -> torch.autocast:
        """What the passes run under. Not accelerate's, whose choice holds for all of a process's stages."""
        return autocast_to(self.passes, device)


def autocast_to(dtype: torch.dtype, device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16)


def measured_precision(run: Callable[[], object], device: torch.device) -> Precision:
    """The quicker precision for the passes and for the optimiser.

    Args:
        run: does one forward and backward pass, and changes nothing.
    Cost: six passes.
    """
    matrix = torch.randn(MATRIX, device=device)
    passes = measured_passes(run, device)
    iterations = {dtype: _seconds(lambda dtype=dtype: orthogonal(matrix, dtype), device) for dtype in TRIED}
    optimizer = _quicker(iterations)
    log.info("optimiser in %s, %s a matrix", _shown(optimizer), _times(iterations))
    return Precision(passes, optimizer)


def measured_passes(run: Callable[[], object], device: torch.device) -> torch.dtype:
    """bf16 where the run is at least WORTH times quicker in it than in fp32."""

    def under(dtype: torch.dtype) -> None:
        with autocast_to(dtype, device):
            run()

    passes = {dtype: _seconds(lambda dtype=dtype: under(dtype), device) for dtype in TRIED}
    found = _quicker(passes)
    log.info("passes in %s, %s", _shown(found), _times(passes))
    return found


def _times(seconds: dict[torch.dtype, float]) -> str:
    return ", ".join(f"{_shown(dtype)} {value:.3g} s" for dtype, value in seconds.items())


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

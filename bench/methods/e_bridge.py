"""Bridges on the world's own weights: SDEdit at three strengths, and the unaligned bridge; each at 5 to 50 steps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..demo_world import DemoWorld, Pair
from . import method

STEPS = (5, 10, 20, 50)
DENOISE = (0.5, 0.7, 0.85)  # of the scheduler; at the world's shift of 3 the first noise level is .75, .88, .94


def _row(name: str, steps: int, **options: Any) -> None:
    """Registers Bridge Sampler at these options."""

    def make(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
        return world.bridge.video(pair, seed, steps, **options)

    method(f"{name}, {steps} steps")(make)


@method("cross-fade prior through the VAE")
def cross_fade_prior(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return world.decoded(world.bridge.prior(pair)["samples"])


for count in STEPS:
    for share in DENOISE:
        _row(f"SDEdit {share:g}", count, denoise=share, mode="sdedit", solver="ode")
    _row("bridge, unaligned", count, mode="unaligned")

"""Bridges: SDEdit at three strengths, the unaligned bridge, and adapters trained as bridges beside their counterpart.

Every row but the last two is made in 5 to 50 steps; the trained ones are alike in clips, steps and size, see
training/bridge.py.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..demo_bridge import ALIGNED, DIFFUSION, UNALIGNED
from ..demo_world import DemoWorld, Pair
from . import method

STEPS = (5, 10, 20, 50)
# of the scheduler; at the shift of 3 the first noise level is .75, .88, .94, and in 5 steps 1 for .85, which is rounded
DENOISE = (0.5, 0.7, 0.85)


def _row(name: str, steps: int, **options: Any) -> None:
    """Registers Bridge Sampler at these options."""

    def make(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
        return world.bridge.video(pair, seed, steps, **options)

    method(f"{name}, {steps} steps")(make)


def _trained_row(name: str, steps: int, adapter: str, mode: str, neural: bool = False) -> None:
    _row(name, steps, adapter=adapter, neural=neural, mode=mode, prior_as_condition=True)


def _counterpart(steps: int) -> None:
    """Registers the adapter trained on as a diffusion model, sampled from noise."""

    @method(f"bridge's counterpart, diffusion trained, {steps} steps")
    def make(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
        return world.bridge.plain(pair, seed, steps, DIFFUSION)


for count in STEPS:
    for share in DENOISE:
        _row(f"SDEdit {share:g}", count, denoise=share, mode="sdedit", solver="ode")
    _row("bridge, unaligned", count, mode="unaligned")
    _counterpart(count)
    _trained_row("bridge trained with SAF", count, ALIGNED, "saf")
    _trained_row("bridge trained without SAF", count, UNALIGNED, "unaligned")
    _trained_row("bridge trained with SAF, neural prior", count, ALIGNED, "saf", neural=True)


@method("neural prior alone")
def neural_prior(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return world.decoded(world.bridge.prior(pair, neural=True)["samples"])


@method("cross-fade prior through the VAE")
def cross_fade_prior(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return world.decoded(world.bridge.prior(pair)["samples"])

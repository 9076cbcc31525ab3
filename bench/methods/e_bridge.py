"""Bridges: SDEdit at three strengths, and adapters trained as bridges beside their counterpart, a diffusion.

In 5 to 50 steps each; the trained ones are alike in clips, steps and size, see training/bridge.py. A bridge is compared
with the counterpart of as many steps.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..demo_bridge import ALIGNED, DIFFUSION, UNALIGNED
from ..scene import Scene
from . import T2V, method

BASE = T2V  # whose adapters they are
STEPS = (5, 10, 20, 50)
# of the scheduler; at the shift of 3 the first noise level is .75, .88, .94, and in 5 steps 1 for .85, which is rounded
DENOISE = (0.5, 0.7, 0.85)


def counterpart(steps: int) -> str:
    return f"bridge's counterpart, diffusion, {steps} steps"


def row(name: str, steps: int, **options: Any) -> None:
    """Registers Bridge Sampler at these options."""

    def make(scene: Scene) -> Tensor:
        return scene.counted(lambda: scene.world.bridge.video(scene.pair, scene.seed, steps, **options))

    method(f"{name}, {steps} steps", BASE, counterpart(steps))(make)


def trained_row(name: str, steps: int, adapter: str, mode: str, neural: bool = False) -> None:
    row(name, steps, adapter=adapter, neural=neural, mode=mode, prior_as_condition=True)


def counterpart_row(steps: int) -> None:
    """Registers the adapter trained on as a diffusion model, sampled from noise."""

    @method(counterpart(steps), BASE, counterpart(steps))
    def make(scene: Scene) -> Tensor:
        return scene.counted(lambda: scene.world.bridge.plain(scene.pair, scene.seed, steps, DIFFUSION))


for count in STEPS:
    counterpart_row(count)
    trained_row("bridge trained with SAF", count, ALIGNED, "saf")
    trained_row("bridge trained without SAF", count, UNALIGNED, "unaligned")
    trained_row("bridge trained with SAF, neural prior", count, ALIGNED, "saf", neural=True)
    for share in DENOISE:
        row(f"SDEdit {share:g}", count, denoise=share, mode="sdedit", solver="ode")


@method("neural prior alone", BASE, counterpart(STEPS[-1]))
def neural_prior(scene: Scene) -> Tensor:
    return scene.counted(lambda: scene.world.decoded(scene.world.bridge.prior(scene.pair, neural=True)["samples"]))


@method("cross-fade prior through the VAE", BASE, counterpart(STEPS[-1]))
def cross_fade_prior(scene: Scene) -> Tensor:
    return scene.counted(lambda: scene.world.decoded(scene.world.bridge.prior(scene.pair)["samples"]))

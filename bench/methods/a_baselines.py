"""What needs no model, and what a base does alone."""

from __future__ import annotations

import torch
from torch import Tensor

from ..scene import Scene
from . import FIRST_LAST, FLF2V, I2V, REACH_LIMITED, method


@method("hold first")
def hold_first(scene: Scene) -> Tensor:
    return scene.pair.first.expand(scene.pair.length, -1, -1, -1)


@method("cross-fade")
def cross_fade(scene: Scene) -> Tensor:
    share = torch.linspace(0, 1, scene.pair.length)[:, None, None, None]
    return (1 - share) * scene.pair.first + share * scene.pair.last


@method("truth through the VAE", sees_truth=True)
def through_vae(scene: Scene) -> Tensor:
    """The ceiling: no method that decodes with this VAE can be expected to do better."""
    return scene.world.decoded(scene.world.encoded(scene.truth.frames))


for base in (FLF2V, I2V, REACH_LIMITED):
    method(FIRST_LAST, base)(Scene.forward)

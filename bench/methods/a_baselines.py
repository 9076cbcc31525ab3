"""What needs no model, and what the model does alone."""

from __future__ import annotations

import torch
from torch import Tensor

from ...demo.world import Clip
from ..demo_world import DemoWorld, Pair
from . import method


@method("hold first")
def hold_first(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return pair.first.expand(pair.length, -1, -1, -1)


@method("cross-fade")
def cross_fade(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    share = torch.linspace(0, 1, pair.length)[:, None, None, None]
    return (1 - share) * pair.first + share * pair.last


@method("truth through the VAE", sees_truth=True)
def through_vae(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    """The ceiling: no method that decodes with this VAE can be expected to do better."""
    return world.decoded(world.encoded(clip.frames))


@method("first-last only")
def first_last(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return world.video(world.track(pair), pair.caption, seed)

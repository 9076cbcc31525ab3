"""What needs no model, and what the model does alone."""

from __future__ import annotations

import torch
from torch import Tensor

from ...demo.world import Clip
from ..demo_world import DemoWorld
from . import method


@method("hold first")
def hold_first(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    return clip.frames[:1].expand_as(clip.frames)


@method("cross-fade")
def cross_fade(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    share = torch.linspace(0, 1, len(clip.frames))[:, None, None, None]
    return (1 - share) * clip.frames[:1] + share * clip.frames[-1:]


@method("truth through the VAE")
def through_vae(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    """The ceiling: no method that decodes with this VAE can be better."""
    return world.decoded(world.encoded(clip.frames))


@method("first-last only")
def first_last(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    return world.video(world.track(clip), clip.caption, seed)

"""Anchor Frame Bridging, with what its ablations vary: K, the place of the anchor, the number of anchors."""

from __future__ import annotations

from random import Random

from torch import Tensor

from ...demo.world import Clip, reversed_caption
from ..demo_world import DemoWorld
from . import method


@method("AFB K=30%")
def early_stop(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    return _bridged(world, clip, seed, share=0.3)


@method("AFB K=100%")
def all_steps(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    return _bridged(world, clip, seed, share=1.0)


@method("AFB K=30%, N_a=2")
def two_anchors(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    return _bridged(world, clip, seed, share=0.3, count=2)


@method("anchor at a random place, K=30%")
def random_place(world: DemoWorld, clip: Clip, seed: int) -> Tensor:
    """The control: the same candidates, but no search. Places are those that the search may choose."""
    last = len(clip.frames) - 1
    frame = Random(f"random anchor {seed}").randint(MARGIN + 1, last - MARGIN - 1)
    return _bridged(world, clip, seed, share=0.3, score_on="fixed", fixed_alpha=frame / last)


MARGIN = 8  # the node's default


def _bridged(world: DemoWorld, clip: Clip, seed: int, share: float, **options: object) -> Tensor:
    """share: of the steps, those that the reverse pass runs. options: of Select Anchors."""
    track = world.track(clip)
    candidates = world.reverse_candidates(track, reversed_caption(clip.caption), seed, share)
    return world.video(world.with_anchors(track, candidates, margin=MARGIN, **options), clip.caption, seed)

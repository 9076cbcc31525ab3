"""Anchor Frame Bridging, with what its ablations vary: K, the place of the anchor, the number of anchors."""

from __future__ import annotations

from random import Random
from typing import Any

from torch import Tensor

from ...demo.world import reversed_caption
from ...frames.breakpoint import open_frames
from ...frames.keyframe_track import KeyframeTrack
from ..demo_world import DemoWorld, Pair
from . import method

MARGIN = 8  # the node's default
TWO_ANCHOR_MARGIN = 7  # 8 leaves room for one only, where the worst frame is the middle one


@method("AFB K=30%")
def early_stop(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return _bridged(world, pair, seed, share=0.3)


@method("AFB K=100%")
def all_steps(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return _bridged(world, pair, seed, share=1.0)


@method("AFB K=30%, N_a=2, margin 7")
def two_anchors(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return _bridged(world, pair, seed, share=0.3, count=2, margin=TWO_ANCHOR_MARGIN)


@method("random anchor, K=30%")
def random_place(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    """The control: the same candidates, but no search. Places are those that the search may choose."""
    frame = Random(f"random anchor {seed}").choice(open_frames(pair.length, MARGIN, [0, pair.length - 1]))
    return _bridged(world, pair, seed, share=0.3, score_on="fixed", fixed_alpha=frame / (pair.length - 1))


def _bridged(world: DemoWorld, pair: Pair, seed: int, share: float, **options: object) -> Tensor:
    """share: of the steps, those that the reverse pass runs. options: of Select Anchors."""
    return world.video(anchored_track(world, pair, seed, share, **options), pair.caption, seed)


def anchored_track(
    world: DemoWorld, pair: Pair, seed: int, share: float, model: Any = None, **options: object
) -> KeyframeTrack:
    """The track with AFB's anchors. model: of the reverse pass, None for the world's own."""
    track = world.track(pair)
    candidates = world.reverse_candidates(track, reversed_caption(pair.caption), seed, share, model)
    return world.with_anchors(track, candidates, **{"margin": MARGIN, **options})

"""Keyframe-anchored attention and rescaled temporal RoPE, alone and together, and what goes beyond their paper.

The demo world's model is shallower than Wan 14B, so KAB's blocks are scaled with the depth (`blocks` left empty).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..demo_world import DemoWorld, Pair
from . import method
from .b_anchor_frame_bridging import anchored_track

BLOCKS = {"blocks": ""}


def _row(name: str, attention: dict[str, Any] | None, rope: dict[str, Any] | None) -> None:
    """Registers the plain graph with the two nodes at these options; None leaves a node out."""

    def make(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
        return world.video(world.track(pair), pair.caption, seed, world.patched(attention, rope))

    method(name)(make)


_row("isolation only", {**BLOCKS, "end_percent": 0.0}, None)
_row("KAB", BLOCKS, None)
_row("KAB, no isolation", {**BLOCKS, "isolate": False}, None)
_row("ReTRo amplitude", None, {"mode": "amplitude"})
_row("ReTRo phase", None, {"mode": "phase"})
_row("ReTRo warp", None, {"mode": "warp"})
_row("KAB + ReTRo", BLOCKS, {})
_row("KAB, weights by position", {**BLOCKS, "weights_by_position": True}, None)
_row("ReTRo amplitude, balanced", None, {"balance": True})


@method("AFB K=30% + KAB + ReTRo")
def bridged(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    model = world.patched(BLOCKS, {})
    return world.video(anchored_track(world, pair, seed, 0.3, model), pair.caption, seed, model)


@method("the same, AFB's anchor is KAB's")
def bridged_with_anchors(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    track = anchored_track(world, pair, seed, 0.3, world.patched(BLOCKS, {}))
    return world.video(track, pair.caption, seed, world.patched({**BLOCKS, "keyframes": track}, {}))

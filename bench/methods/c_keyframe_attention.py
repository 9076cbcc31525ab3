"""Keyframe-anchored attention and rescaled temporal RoPE, alone and together, at three lengths.

The demo world's model is shallower than Wan 14B, so KAB's blocks are scaled with the depth (`blocks` left empty).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..scene import Scene
from . import FIRST_LAST, FLF2V, method
from .b_anchor_frame_bridging import early, selected

BLOCKS = {"blocks": ""}
LENGTHS = (33, 49, 65)  # video frames


def row(name: str, length: int, attention: dict[str, Any] | None, rope: dict[str, Any] | None) -> None:
    """Registers the plain graph with the two nodes at these options; None leaves a node out."""

    def make(scene: Scene) -> Tensor:
        return scene.video(scene.track, scene.world.patched(attention, rope))

    method(name, FLF2V, length=length)(make)


for frames in LENGTHS:
    if frames != LENGTHS[0]:
        method(FIRST_LAST, FLF2V, length=frames)(Scene.forward)
    row("KAB", frames, BLOCKS, None)
    row("ReTRo", frames, None, {})
    row("KAB + ReTRo", frames, BLOCKS, {})

row("isolation only", LENGTHS[0], {**BLOCKS, "end_percent": 0.0}, None)
row("KAB, no isolation", LENGTHS[0], {**BLOCKS, "isolate": False}, None)
row("ReTRo phase", LENGTHS[0], None, {"mode": "phase"})
row("ReTRo warp", LENGTHS[0], None, {"mode": "warp"})


@method("AFB K=30% + KAB + ReTRo", FLF2V)
def bridged(scene: Scene) -> Tensor:
    return scene.video(selected(scene, early)[0], scene.world.patched(BLOCKS, {}))

"""Anchor Frame Bridging on each base, with what can be varied of it, and the controls that say where a gain comes from.

The video is sampled in 20 steps; K = 30 % are 6 of them. The search is the node's: in the later half, the rhythm taken
out, margin 8. Controls put another picture, or the same at another place, where the method puts its anchor.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from torch import Tensor

from ...frames.breakpoint import open_frames
from ..scene import Scene
from . import FLF2V, I2V, REACH_LIMITED, method

MARGIN, EARLIEST = 8, 0.5  # the node's defaults
EARLY_STOP = 6  # K = 30 % of 20 steps
SOFT = 0.5  # strength of an anchor that is not held fast
WORST = 1.5  # times the median change, below which min_break adds none

Passes = Callable[[Scene], dict[str, Tensor]]  # Select Anchors' pictures: candidates, and forward where it is wanted


def early(scene: Scene) -> dict[str, Tensor]:
    return {"candidates": scene.candidates(stop=EARLY_STOP)}


def whole(scene: Scene) -> dict[str, Tensor]:
    return {"candidates": scene.candidates()}


def own_steps(steps: int) -> Passes:
    return lambda scene: {"candidates": scene.candidates(steps=steps)}


def on_forward(scene: Scene) -> dict[str, Tensor]:
    return {**early(scene), "forward": scene.forward()}


def both_whole(scene: Scene) -> dict[str, Tensor]:
    return {**whole(scene), "forward": scene.forward()}


def both_early(scene: Scene) -> dict[str, Tensor]:
    return {**early(scene), "forward": scene.candidates(reverse=False, stop=EARLY_STOP)}


def both_own_steps(scene: Scene) -> dict[str, Tensor]:
    return {"candidates": scene.candidates(steps=4), "forward": scene.candidates(reverse=False, steps=4)}


def selected(scene: Scene, passes: Passes, **options: Any) -> tuple[Any, ...]:
    """What Select Anchors gives: track, anchors, place, ..."""
    return scene.world.selected(scene.track, **passes(scene), **{"margin": MARGIN, **options})


def row(base: str, name: str, passes: Passes, **options: Any) -> None:
    """Registers the video with the anchors of these passes. options: of Select Anchors."""

    def make(scene: Scene) -> Tensor:
        return scene.video(selected(scene, passes, **options)[0])

    method(name, base)(make)


def controls(base: str) -> None:
    """Registers what differs from a method in one thing."""

    def with_picture(scene: Scene, video: Tensor, place: int) -> Tensor:
        return scene.video(scene.world.with_keyframe(scene.track, video[place : place + 1], place))

    def random_place(scene: Scene, earliest: float) -> Tensor:
        places = open_frames(scene.pair.length, MARGIN, earliest=earliest)
        alpha = Random(f"random anchor {scene.seed}").choice(places) / (scene.pair.length - 1)
        return scene.video(selected(scene, early, score_on="fixed", fixed_alpha=alpha)[0])

    @method("K=30%, anchor of strength 0.5", base)
    def soft(scene: Scene) -> Tensor:
        _, anchors, place, *_ = selected(scene, early)
        return scene.video(scene.world.with_keyframe(scene.track, anchors, place, SOFT))

    @method("control: true picture at the place of K=30%", base, sees_truth=True)
    def true_there(scene: Scene) -> Tensor:
        return with_picture(scene, scene.truth.frames, selected(scene, early)[2])

    @method("control: true picture in the middle", base, sees_truth=True)
    def true_middle(scene: Scene) -> Tensor:
        return with_picture(scene, scene.truth.frames, scene.pair.length // 2)

    @method("control: the forward video's own picture", base)
    def own_picture(scene: Scene) -> Tensor:
        return with_picture(scene, scene.forward(), selected(scene, early)[2])

    @method("control: K=30%, random place", base)
    def anywhere(scene: Scene) -> Tensor:
        return random_place(scene, 0.0)

    @method("control: K=30%, random place in the later half", base)
    def later(scene: Scene) -> Tensor:
        return random_place(scene, EARLIEST)


for base in (FLF2V, I2V, REACH_LIMITED):
    row(base, "AFB K=30%", early)
    row(base, "AFB K=30%, break of the forward video", on_forward)
    row(base, "AFB K=100%", whole)
    for steps in (2, 4):
        row(base, f"AFB, candidates in {steps} steps of their own", own_steps(steps))
    row(base, "AFB K=30%, N_a=2", early, count=2)
    row(base, "AFB by disagreement, both K=100%", both_whole, score_on="disagreement")
    row(base, "AFB by disagreement, both K=30%", both_early, score_on="disagreement")
    row(base, "AFB by disagreement, both in 4 own steps", both_own_steps, score_on="disagreement")
    row(base, "AFB K=30%, min_break 1.5", early, min_break=WORST)
    row(base, "AFB K=30%, searched everywhere", early, earliest=0.0, rhythm=1)
    row(base, "control: K=30%, fixed 0.75", early, score_on="fixed", fixed_alpha=0.75)
    controls(base)

"""Both directions of SVD: Time Reversal Fusion, ViBiD, MPD, Generative Inbetweening. 14 frames of the same motion.

The demo world's SVD makes 14 frames, so these rows are judged on the clips' 14-frame form and have baselines of their
own. Steps are those of bench/demo_svd.py for every method; guidance and patterns are the papers'.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..demo_svd import LENGTH
from ..scene import Scene
from . import method

BASE, ALONE = "SVD", "first picture only"
SINGLE = {"min_cfg": 1.0, "max_cfg": 1.0, "rotate_attention": "none"}  # ViBiD's and MPD's guidance


@method(ALONE, BASE, ALONE, length=LENGTH)
def forward_only(scene: Scene) -> Tensor:
    return scene.counted(lambda: scene.world.svd.forward_only(scene.pair, scene.seed))


def row(name: str, node: str, sampler: dict[str, Any], guider: dict[str, Any]) -> None:
    """Registers a sampler node of the pack at these options, with a guider at these."""

    def make(scene: Scene) -> Tensor:
        svd = scene.world.svd
        return scene.counted(lambda: svd.video(scene.pair, scene.seed, svd.sampler(node, **sampler), **guider))

    method(name, BASE, ALONE, length=LENGTH)(make)


row(
    "TRF",
    "RecurrentSampler",
    {"pattern": "jump", "repeats": 1, "until": 0.2, "jump_length": 2},  # one jump, as in 50 steps
    {"cfg_schedule": "per_direction", "fuse": "linear", "rotate_attention": "none"},
)
row("ViBiD", "ViBiDSampler", {}, SINGLE)
row("MPD sequential", "MPDSampler", {"base": "sequential", "early": 0.2}, SINGLE)
row("MPD parallel", "MPDSampler", {"base": "parallel", "early": 0.1}, SINGLE)
row("GI without fine-tune", "RecurrentSampler", {"pattern": "repeat"}, {"rotate_attention": "up"})


@method("GI", BASE, ALONE, length=LENGTH)
def generative_inbetweening(scene: Scene) -> Tensor:
    svd = scene.world.svd
    sampler = svd.sampler("RecurrentSampler", pattern="repeat")
    return scene.counted(lambda: svd.video(scene.pair, scene.seed, sampler, backward_motion=svd.motion))

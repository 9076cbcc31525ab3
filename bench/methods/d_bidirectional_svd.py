"""Both directions of SVD: Time Reversal Fusion, ViBiD, MPD, Generative Inbetweening. 14 frames of the same motion.

The demo world's SVD makes 14 frames, so these rows are judged on the clips' 14-frame form and have baselines of their
own. Steps are those of bench/demo_svd.py for every method; guidance and patterns are the papers'.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..demo_svd import LENGTH
from ..demo_world import DemoWorld, Pair
from . import method
from .a_baselines import cross_fade

SINGLE = {"min_cfg": 1.0, "max_cfg": 1.0, "rotate_attention": "none"}  # ViBiD's and MPD's guidance

method("cross-fade, 14 frames", length=LENGTH)(cross_fade)


@method("SVD, first picture only", length=LENGTH)
def forward_only(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    return world.svd.forward_only(pair, seed)


def _row(name: str, node: str, sampler: dict[str, Any], guider: dict[str, Any]) -> None:
    """Registers a sampler node of the pack at these options, with a guider at these."""

    def make(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
        return world.svd.video(pair, seed, world.svd.sampler(node, **sampler), **guider)

    method(name, length=LENGTH)(make)


_row(
    "TRF",
    "RecurrentSampler",
    {"pattern": "jump", "repeats": 1, "until": 0.2, "jump_length": 2},  # one jump, as in 50 steps
    {"cfg_schedule": "per_direction", "fuse": "linear", "rotate_attention": "none"},
)
_row("ViBiD", "ViBiDSampler", {}, SINGLE)
_row("MPD sequential", "MPDSampler", {"base": "sequential", "early": 0.2}, SINGLE)
_row("MPD parallel", "MPDSampler", {"base": "parallel", "early": 0.1}, SINGLE)
_row("GI without fine-tune", "RecurrentSampler", {"pattern": "repeat"}, {"rotate_attention": "up"})


@method("GI", length=LENGTH)
def generative_inbetweening(world: DemoWorld, pair: Pair, seed: int) -> Tensor:
    svd = world.svd
    return svd.video(pair, seed, svd.sampler("RecurrentSampler", pattern="repeat"), backward_motion=svd.motion)

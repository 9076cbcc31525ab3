"""What a method may know of a clip."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..demo.world import Clip


@dataclass(frozen=True)
class Pair:
    """first, last: [1, H, W, 3] in 0..1. length: N, video frames. caption: in the world's words."""

    first: Tensor
    last: Tensor
    length: int
    caption: str

    @classmethod
    def of(cls, clip: Clip) -> Pair:
        return cls(clip.frames[:1], clip.frames[-1:], len(clip.frames), clip.caption)

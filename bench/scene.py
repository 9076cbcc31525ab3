"""One clip on one base: what several rows of a table have in common is made once and counted in each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..demo.world import Clip, reversed_caption
from ..demo.world_graphs import STEPS
from .demo_world import DemoWorld
from .pair import Pair

Made = tuple[Any, int, float]  # a part, its model calls, its seconds


@dataclass
class Scene:
    """What a row gets: the world's models, a pair of pictures, a seed for the noise.

    Attributes:
        truth: the clip, for rows that say that they see it.
        calls, seconds: what the row has cost so far, parts that another row made included.
    """

    world: DemoWorld
    truth: Clip
    seed: int
    calls: int = 0
    seconds: float = 0.0
    _parts: dict[Any, Made] = field(default_factory=dict)

    @property
    def pair(self) -> Pair:
        return Pair.of(self.truth)

    @property
    def track(self) -> Any:
        """The keyframe track of the two pictures."""
        return self.world.track(self.pair)

    def video(self, track: Any, model: Any = None) -> Tensor:
        """Frames [N, H, W, 3] of a track. model: a patched one, None for the base."""
        return self.counted(lambda: self.world.video(track, self.pair.caption, self.seed, model))

    def forward(self) -> Tensor:
        """The video from the first and the last picture alone."""
        return self._part("forward", lambda: self.world.video(self.track, self.pair.caption, self.seed))

    def candidates(self, reverse: bool = True, steps: int = STEPS, stop: int = 0) -> Tensor:
        """Frames [N, H, W, 3] of the clean estimate of a pass; a reverse one runs backwards.

        Args:
            steps: of its schedule. stop: steps that are run, 0 for all.
        """
        track = self.world.reversed_track(self.track) if reverse else self.track
        caption = reversed_caption(self.pair.caption) if reverse else self.pair.caption
        return self._part(
            ("candidates", reverse, steps, stop),
            lambda: self.world.candidates(track, caption, self.seed, steps, stop),
        )

    def counted(self, make: Callable[[], Any]) -> Any:
        """What `make` gives; its model calls and its time count for this row."""
        return self._add(self._measured(make))

    def begun(self) -> Scene:
        """The scene for another row, which has cost nothing yet."""
        return Scene(self.world, self.truth, self.seed, _parts=self._parts)

    def _part(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._parts:
            self._parts[key] = self._measured(make)
        return self._add(self._parts[key])

    def _measured(self, make: Callable[[], Any]) -> Made:
        before, began = self.world.calls, time.monotonic()
        made = make()
        return made, self.world.calls - before, time.monotonic() - began

    def _add(self, made: Made) -> Any:
        part, calls, seconds = made
        self.calls += calls
        self.seconds += seconds
        return part

"""The scores of all clips as arrays, eight bytes a number: 10,000 clips of four workflows are a few megabytes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .results import ClipScore, Results


class LengthScores:
    """The scores of all clips of one length; every array has an entry for every clip, in one order.

    Attributes:
        length: video frames.
        clips, kinds: name and kind of each clip.
    """

    def __init__(self, length: int, workflows: Sequence[str], keys: Sequence[str]) -> None:
        self.length = length
        self.clips: list[str] = []
        self.kinds: list[str] = []
        self._values = {workflow: {key: array("d") for key in keys} for workflow in workflows}
        self._made = {workflow: bytearray() for workflow in workflows}

    def add(self, score: ClipScore) -> None:
        """Takes one video in; the videos of a clip must follow each other."""
        if not self.clips or self.clips[-1] != score.clip:
            self.clips.append(score.clip)
            self.kinds.append(score.kind)
            for workflow, columns in self._values.items():
                self._made[workflow].append(0)
                for column in columns.values():
                    column.append(math.nan)
        self._made[score.workflow][-1] = 1
        for key, column in self._values[score.workflow].items():
            value = score.scores.get(key)
            column[-1] = math.nan if value is None else value

    def values(self, workflow: str, key: str, kind: str | None = None) -> NDArray[np.float64]:
        """One measure of one workflow, NaN where there is no number. kind: None for all kinds."""
        return np.array(self._values[workflow][key])[self._of_kind(kind)]

    def made(self, workflow: str, kind: str | None = None) -> NDArray[np.bool_]:
        """Whether the workflow made each clip."""
        return np.array(self._made[workflow], dtype=bool)[self._of_kind(kind)]

    def _of_kind(self, kind: str | None) -> NDArray[np.bool_]:
        return np.array([kind is None or one == kind for one in self.kinds], dtype=bool)


def score_arrays(results: Results) -> list[LengthScores]:
    """All scores in one pass, the shortest clips first."""
    keys = [measure.key for measure in results.measures if not measure.whole_set]
    found: dict[int, LengthScores] = {}
    for score in results.clips():
        if score.length not in found:
            found[score.length] = LengthScores(score.length, results.workflows, keys)
        found[score.length].add(score)
    return [found[length] for length in sorted(found)]

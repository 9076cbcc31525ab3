"""The picture of a comparison of two videos: one panel per score, over the frames. Drawn by PIL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .chart import FAINT, GRID, INK, Pen, blank, finished, frame_ticks, runs

WIDTH, TOP, PANEL, FOOT = 1000, 78, 210, 66
LEFT, RIGHT = 112, 970
LEAST_ROOM = 1e-3  # above and below a curve, so that rounding does not fill the panel
CURVE, MEAN, SAME = (28, 98, 168), (208, 60, 44), (64, 138, 84)


@dataclass(frozen=True, eq=False)
class ScoreCurve:
    """One score. meaning: unit and direction. values: [N], infinite where frames are identical. mean: of the finite.

    form: how its numbers are written.
    """

    name: str
    meaning: str
    values: Tensor
    mean: float | None
    form: str


def video_scores_plot(curves: Sequence[ScoreCurve], title: str) -> Tensor:
    """A panel per score, its mean as a red line; where it is infinite, the frames are green dots at the panel's top.

    Args:
        curves: at least one, each of N >= 1 frames.
        title: first line.
    Returns:
        [1,h,WIDTH,3] in 0..1, higher the more curves there are.
    """
    image = blank(WIDTH, TOP + PANEL * len(curves) + FOOT)
    pen = Pen(image)
    pen.text((LEFT, 20), title, 30, INK)
    for number, curve in enumerate(curves):
        _panel(pen, TOP + PANEL * number, curve)
    lower = TOP + PANEL * len(curves)
    for tick in frame_ticks(len(curves[0].values)):
        pen.text((_x(tick, len(curves[0].values)), lower), str(tick), 22, INK, "ma")
    pen.text((RIGHT, lower + 32), "video frame", 22, INK, "ra")
    pen.line([(LEFT, lower + 46), (LEFT + 26, lower + 46)], MEAN, 2)
    pen.text((LEFT + 36, lower + 46), "mean", 22, INK, "lm")
    pen.dot((LEFT + 140, lower + 46), 5, SAME)
    pen.text((LEFT + 154, lower + 46), "identical frame", 22, INK, "lm")
    return finished(image)


def _x(frame: float, length: int) -> float:
    return LEFT + (RIGHT - LEFT) * (frame / (length - 1) if length > 1 else 0.5)


def _panel(pen: Pen, top: float, curve: ScoreCurve) -> None:
    upper, lower = top + 46, top + PANEL - 14
    values = curve.values.tolist()
    known = [value for value in values if math.isfinite(value)]
    lowest, highest = (min(known), max(known)) if known else (0.0, 1.0)
    room = max(0.08 * (highest - lowest), LEAST_ROOM)

    def at(frame: int, value: float) -> tuple[float, float]:
        place = (value - lowest + room) / (highest - lowest + 2 * room)
        return _x(frame, len(values)), lower - (lower - upper) * place

    mean = "every frame identical" if curve.mean is None else f"mean {curve.mean:{curve.form}}"
    pen.text((LEFT, top + 6), f"{curve.name}, {curve.meaning}", 24, INK)
    pen.text((RIGHT, top + 6), mean, 24, MEAN, "ra")
    marks = {f"{value:{curve.form}}": value for value in (lowest, (lowest + highest) / 2, highest) if known}
    for words, value in marks.items():
        pen.line([(LEFT, at(0, value)[1]), (RIGHT, at(0, value)[1])], GRID, 1)
        pen.text((LEFT - 10, at(0, value)[1]), words, 22, FAINT, "rm")
    pen.line([(LEFT, upper), (LEFT, lower), (RIGHT, lower)], INK, 2)
    for tick in frame_ticks(len(values)):
        pen.line([(_x(tick, len(values)), lower), (_x(tick, len(values)), lower + 6)], INK, 1)
    if curve.mean is not None:
        pen.line([(LEFT, at(0, curve.mean)[1]), (RIGHT, at(0, curve.mean)[1])], MEAN, 2)
    identical = {frame for frame, value in enumerate(values) if math.isinf(value)}
    for first, last in runs([frame for frame in range(len(values)) if frame not in identical]):
        if first == last:
            pen.dot(at(first, values[first]), 4, CURVE)
        else:
            pen.line([at(frame, values[frame]) for frame in range(first, last + 1)], CURVE, 3)
    for frame in identical:
        pen.dot((_x(frame, len(values)), upper), 5, SAME)

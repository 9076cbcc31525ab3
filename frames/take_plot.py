"""The picture of several takes of one video: how much each changes from frame to frame, best first. Drawn by PIL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from .chart import FAINT, GRID, INK, Pen, blank, finished, frame_ticks

WIDTH, HEIGHT = 1000, 600
CHART = (92, 110, 716, 470)  # left, top, right, bottom
COLUMN = 744
BEST, KEY, SHADE = (28, 98, 168), (64, 138, 84), (232, 232, 228)
OTHERS = ((214, 126, 44), (140, 90, 170), (190, 70, 90), (60, 150, 160), (150, 120, 70), (110, 110, 116))


@dataclass(frozen=True, eq=False)
class TakeCurve:
    """name: the slot's. steps: [N-1], change onto frames 1..N-1, colour 0..1. score: in words."""

    name: str
    steps: Tensor
    score: str


def take_plot(curves: Sequence[TakeCurve], keyframes: Sequence[int], tail: int, title: str, rule: str) -> Tensor:
    """A curve per take, the first one bold on top; the takes' names and scores beside them in the same order.

    Heights are square roots, so that the curves of calm takes stay apart beside one that jumps.

    Args:
        curves: best first, at least one, each of N >= 3 frames.
        keyframes: frames that hold keyframes. tail: the frame after which the tail begins; the tail is shaded.
        title: first line. rule: last line, how the score is made.
    Returns:
        [1,HEIGHT,WIDTH,3] in 0..1.
    """
    image = blank(WIDTH, HEIGHT)
    pen = Pen(image)
    left, upper, right, lower = CHART
    length = len(curves[0].steps) + 1
    top = max(max(float(curve.steps.max()) for curve in curves), 1e-6) * 1.1

    def at(frame: float, value: float) -> tuple[float, float]:
        return left + (right - left) * frame / (length - 1), lower - (lower - upper) * (value / top) ** 0.5

    pen.text((left, 18), title, 32, INK)
    pen.text((left, 66), "change from frame to frame, % (square root)", 22, FAINT)
    pen.box((at(tail + 0.5, 0)[0], upper, right, lower), SHADE)
    for tick in range(5):
        value = top / 1.1 * (tick / 4) ** 2  # even on the paper; the last tick is the highest value
        pen.line([at(0, value), at(length - 1, value)], GRID, 1)
        pen.text((left - 10, at(0, value)[1]), f"{100 * value:.2g}", 22, FAINT, "rm")
    for tick in frame_ticks(length):
        pen.line([at(tick, 0), (at(tick, 0)[0], lower + 6)], INK, 1)
        pen.text((at(tick, 0)[0], lower + 10), str(tick), 22, INK, "ma")
    for frame in keyframes:
        pen.line([at(frame, 0), at(frame, top)], KEY, 3)
    pen.line([(left, upper), (left, lower), (right, lower)], INK, 2)
    colours = [BEST, *OTHERS]
    colours += [OTHERS[-1]] * len(curves)
    for place, (curve, colour) in reversed(list(enumerate(zip(curves, colours, strict=False)))):
        pen.line([at(n, step) for n, step in enumerate(curve.steps.tolist(), start=1)], colour, 5 if place == 0 else 2)
    _ranking(pen, curves, colours)
    _legend(pen, (left, lower + 62))
    pen.text((left, HEIGHT - 28), rule, 17, INK, "lm")
    return finished(image)


def _ranking(pen: Pen, curves: Sequence[TakeCurve], colours: Sequence[tuple[int, int, int]]) -> None:
    _, upper, _, _ = CHART
    shown = curves[: len(OTHERS) + 1]
    pen.text((COLUMN, 66), "best first, with score", 22, FAINT)
    for place, (curve, colour) in enumerate(zip(shown, colours, strict=False)):
        y = upper + 24 + 48 * place
        pen.line([(COLUMN, y), (COLUMN + 26, y)], colour, 5 if place == 0 else 3)
        pen.text((COLUMN + 36, y), curve.name, 24, INK, "lm")
        pen.text((WIDTH - 20, y), curve.score, 24, INK, "rm")
    if len(curves) > len(shown):
        pen.text((COLUMN, upper + 24 + 48 * len(shown)), f"and {len(curves) - len(shown)} more", 22, FAINT, "lm")


def _legend(pen: Pen, at: tuple[float, float]) -> None:
    x, y = at
    pen.line([(x, y), (x + 26, y)], KEY, 3)
    pen.text((x + 36, y), "keyframe", 22, INK, "lm")
    pen.box((x + 160, y - 9, x + 186, y + 9), SHADE)
    pen.text((x + 196, y), "tail", 22, INK, "lm")
    pen.text((CHART[2], y), "video frame", 22, INK, "rm")

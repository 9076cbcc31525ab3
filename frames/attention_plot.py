"""What Keyframe Attention did, as a picture: each frame's attention between the first's and the last's, before, after.

Drawn by PIL; one panel for the text, one for each picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from .chart import FAINT, GRID, INK, Pen, blank, finished, frame_ticks

PANEL, GAP, HEIGHT, MARGIN = 440, 80, 500, 84  # pixels; a panel's width has the gap in it
BEFORE, AFTER, TARGET = (168, 168, 174), (28, 98, 168), (64, 138, 84)
TITLES = {"text": "prompt", "first": "first picture", "last": "last picture", "image": "pictures"}


@dataclass(frozen=True, eq=False)
class AttentionCurve:
    """One branch. before, after: [T] place of each latent frame's attention between the first's (0) and the last's (1).

    away_before, away_after: [T] share of attention that lies elsewhere than in the interpolated one.
    """

    before: Tensor
    after: Tensor
    away_before: Tensor
    away_after: Tensor


def attention_plot(curves: Mapping[str, AttentionCurve], title: str) -> Tensor:
    """One panel per branch: grey before, blue after, green the straight way from the first to the last keyframe.

    Args:
        curves: by branch, at least one.
        title: first line.
    Returns:
        [1, HEIGHT, width, 3] in 0..1.
    """
    image = blank(MARGIN + PANEL * len(curves), HEIGHT)
    pen = Pen(image)
    pen.text((MARGIN, 20), title, 26, INK)
    pen.text((MARGIN, 56), "whose attention each frame's resembles", 20, FAINT)
    for number, (name, curve) in enumerate(curves.items()):
        _panel(pen, MARGIN + PANEL * number, TITLES.get(name, name), curve)
    x = MARGIN
    for colour, words, width in ((BEFORE, "before", 120), (AFTER, "after", 110), (TARGET, "even way", 130)):
        pen.line([(x, HEIGHT - 28), (x + 24, HEIGHT - 28)], colour, 3)
        pen.text((x + 32, HEIGHT - 28), words, 20, INK, "lm")
        x += width
    return finished(image)


def attention_report(curves: Mapping[str, AttentionCurve], title: str) -> str:
    """The same in words: per branch how much of the attention of the frames between the ends lies off the even way."""
    lines = [
        f"{TITLES.get(name, name)}: {_percent(curve.away_before)} of the attention lay off the even way between the "
        f"keyframes before, {_percent(curve.away_after)} after."
        for name, curve in curves.items()
    ]
    return "\n".join([f"{title}.", *lines])


def _percent(away: Tensor) -> str:
    """Mean over the frames between the ends."""
    return f"{100 * float(away[1:-1].mean()):.1f} %"


def _panel(pen: Pen, left: float, title: str, curve: AttentionCurve) -> None:
    right, upper, lower = left + PANEL - GAP, 136, 366
    frames = len(curve.before)
    lowest = min(-0.2, float(curve.before.min()), float(curve.after.min()))
    highest = max(1.2, float(curve.before.max()), float(curve.after.max()))

    def at(frame: int, place: float) -> tuple[float, float]:
        height = (place - lowest) / (highest - lowest)
        return left + (right - left) * frame / (frames - 1), lower - (lower - upper) * height

    pen.text((left, 96), title, 22, INK)
    away = f"off the way: {_percent(curve.away_before)} before, {_percent(curve.away_after)} after"
    pen.text((left, lower + 56), away, 17, INK)
    for place, name in ((0.0, "first"), (0.5, ""), (1.0, "last")):
        pen.line([at(0, place), at(frames - 1, place)], GRID, 1)
        pen.text((left - 10, at(0, place)[1]), name, 19, INK, "rm")
    for tick in frame_ticks(frames):
        pen.line([(at(tick, 0)[0], lower), (at(tick, 0)[0], lower + 6)], INK, 1)
        pen.text((at(tick, 0)[0], lower + 9), str(tick), 17, INK, "ma")
    pen.text(((left + right) / 2, lower + 30), "latent frame", 17, FAINT, "ma")
    pen.line([(left, upper), (left, lower), (right, lower)], INK, 2)
    pen.line([at(0, 0.0), at(frames - 1, 1.0)], TARGET, 2)
    for values, colour in ((curve.before, BEFORE), (curve.after, AFTER)):
        points = [at(frame, place) for frame, place in enumerate(values.tolist())]
        pen.line(points, colour, 3)
        for point in points:
            pen.dot(point, 3, colour)

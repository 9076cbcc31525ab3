"""The picture of a breakpoint search: the curve, what was left out, the breakpoints, the anchors. Drawn by PIL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from .anchor_search import AnchorSearch
from .chart import FAINT, GRID, INK, SCALE, Pen, blank, finished, frame_ticks, runs

WIDTH, HEIGHT = 1200, 600
MOST_THUMBNAILS = 4
SHADE = (232, 232, 228)
CURVE, BREAK, KEY, PASSED = (28, 98, 168), (208, 60, 44), (64, 138, 84), (120, 120, 126)
CHART = (96, 96, 830, 480)  # left, top, right, bottom
COLUMN = (862, 96, 1180, 480)


def breakpoint_plot(search: AnchorSearch, anchors: Tensor, keyframes: Sequence[int], has_earliest: bool) -> Tensor:
    """A chart of the curve over time with the places marked, the anchors' pictures beside it.

    A place without an anchor is marked in grey. Where the place was fixed there is no curve and no grey area.

    Args:
        search: what was measured and found.
        anchors: [A,H,W,3] in 0..1, pictures of search.added in the same order; A may be 0.
        keyframes: frames that hold keyframes. has_earliest: whether `earliest` left frames out, for the legend.
    Returns:
        [1,HEIGHT,WIDTH,3] in 0..1.
    """
    image = blank(WIDTH, HEIGHT)
    pen = Pen(image)
    left, upper, _, lower = CHART
    change = [] if search.curve is None else (-search.curve.quality).tolist()
    axes = _Axes(search.length, max([*change, 1e-6]) * 1.12)
    pen.text((left, 20), _title(search), 30, INK)
    pen.text((left, 60), search.curve.caption if search.curve else "nothing was measured: fixed_alpha", 20, FAINT)
    if search.curve is not None:
        _left_out_and_grid(pen, axes, search.searched)
    _time(pen, axes)
    for frame in keyframes:
        pen.line([(axes.x(frame), upper), (axes.x(frame), lower)], KEY, 3)
    if change:
        pen.line([(axes.x(n), axes.y(value)) for n, value in enumerate(change, start=1)], CURVE, 3)
    for rank, frame in enumerate(search.places, start=1):
        words = f"{rank}" if len(search.places) > 1 else f"frame {frame}"
        value = search.curve.at(frame) if search.curve else None
        _mark(pen, axes, frame, value, words, BREAK if frame in search.added else PASSED)
    _legend(pen, (left, lower + 92), search, "left out (margin, earliest)" if has_earliest else "left out (margin)")
    _thumbnails(image, pen, anchors, search.added, search.length)
    return finished(image)


@dataclass(frozen=True)
class _Axes:
    """Where in the chart a frame and a value are. length: N. top: the value at the upper edge."""

    length: int
    top: float

    def x(self, frame: float) -> float:
        left, _, right, _ = CHART
        return left + (right - left) * frame / (self.length - 1)

    def y(self, value: float) -> float:
        _, upper, _, lower = CHART
        return lower - (lower - upper) * value / self.top


def _left_out_and_grid(pen: Pen, axes: _Axes, searched: Sequence[int]) -> None:
    """Grey where nothing was searched, and the values."""
    left, upper, right, lower = CHART
    for first, last in runs(sorted(set(range(axes.length)) - set(searched))):
        box = axes.x(max(first - 0.5, 0)), upper, axes.x(min(last + 0.5, axes.length - 1)), lower
        pen.box(box, SHADE)
    for tick in range(5):
        value = axes.top * tick / 4.48  # the last tick is the highest value
        pen.line([(left, axes.y(value)), (right, axes.y(value))], GRID, 1)
        pen.text((left - 8, axes.y(value)), f"{value:.3g}", 19, FAINT, "rm")


def _time(pen: Pen, axes: _Axes) -> None:
    """The frame numbers below, and the frame of the chart."""
    left, upper, right, lower = CHART
    for tick in frame_ticks(axes.length):
        pen.line([(axes.x(tick), lower), (axes.x(tick), lower + 6)], INK, 1)
        pen.text((axes.x(tick), lower + 10), str(tick), 19, INK, "ma")
    pen.text(((left + right) / 2, lower + 36), "video frame", 20, INK, "ma")
    pen.line([(left, upper), (left, lower), (right, lower)], INK, 2)


def _mark(pen: Pen, axes: _Axes, frame: int, value: float | None, words: str, colour: tuple[int, int, int]) -> None:
    """A line at a place with words beside it, and a dot on the curve if there is one."""
    left, upper, right, lower = CHART
    pen.line([(axes.x(frame), upper), (axes.x(frame), lower)], colour, 2)
    if value is not None:
        pen.dot((axes.x(frame), axes.y(value)), 6, colour)
    to_the_left = axes.x(frame) > (left + right) / 2
    beside = axes.x(frame) + (-8 if to_the_left else 8)
    pen.text((beside, upper + 16), words, 22, colour, "rm" if to_the_left else "lm")


def _title(search: AnchorSearch) -> str:
    """What was decided, in one line."""
    shown = search.places[:6]
    named = ", ".join(map(str, shown)) + (" ..." if len(search.places) > len(shown) else "")
    if search.curve is None:
        return f"Fixed anchor: frame {named} of {search.length}"
    if not search.added:
        return f"No anchor: the worst place is frame {shown[0]} of {search.length}"
    return f"Breakpoint{'s' if len(search.places) > 1 else ''}: frame {named} of {search.length}"


def _legend(pen: Pen, at: tuple[float, float], search: AnchorSearch, left_out: str) -> None:
    """The colours that are in the chart."""
    x, y = at
    entries = [(KEY, "keyframe")]
    if search.added:
        entries.append((BREAK, "the anchor goes here" if search.curve is None else "breakpoint: the anchor goes here"))
    if search.passed_over:
        entries.append((PASSED, "below min_break: no anchor"))
    for colour, words in entries:
        pen.line([(x, y), (x + 22, y)], colour, 3)
        pen.text((x + 30, y), words, 20, INK, "lm")
        x += 70 + pen.width(words, 20)
    if search.curve is not None:
        pen.box((x, y - 8, x + 22, y + 8), SHADE)
        pen.text((x + 30, y), left_out, 20, INK, "lm")


def _thumbnails(image: Image.Image, pen: Pen, anchors: Tensor, breaks: Sequence[int], length: int) -> None:
    left, upper, right, lower = COLUMN
    if not breaks:
        pen.text((left, upper), "no anchor was added", 20, INK)
        return
    shown = min(len(breaks), MOST_THUMBNAILS)
    slot = (lower - upper) / shown
    if len(breaks) > shown:
        pen.text((left, lower + 6), f"and {len(breaks) - shown} more", 20, FAINT)
    for index, (frame, anchor) in enumerate(zip(breaks[:shown], anchors, strict=False)):
        picture = Image.fromarray((anchor.clamp(0, 1) * 255).round().byte().cpu().numpy())
        room = ((right - left) * SCALE, int((slot - 34) * SCALE))
        ratio = min(room[0] / picture.width, room[1] / picture.height)
        picture = picture.resize((max(1, int(picture.width * ratio)), max(1, int(picture.height * ratio))))
        top = upper + index * slot
        words = f"anchor {index + 1}" if len(breaks) > 1 else "anchor"
        pen.text((left, top), f"{words}: reverse frame {length - 1 - frame}", 20, INK)
        image.paste(picture, (left * SCALE, int((top + 30) * SCALE)))

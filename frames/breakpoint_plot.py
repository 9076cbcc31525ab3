"""The picture of a breakpoint search: the curve, what was left out, the breakpoint, the anchors. Drawn by PIL."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from .chart import FAINT, GRID, INK, SCALE, Pen, blank, finished, frame_ticks, runs

WIDTH, HEIGHT = 1200, 600
MOST_THUMBNAILS = 4
SHADE = (232, 232, 228)
CURVE, BREAK, KEY = (28, 98, 168), (208, 60, 44), (64, 138, 84)
CHART = (96, 96, 830, 480)  # left, top, right, bottom
COLUMN = (862, 96, 1180, 480)


def breakpoint_plot(
    quality: Tensor,
    breaks: Sequence[int],
    anchors: Tensor,
    keyframes: Sequence[int],
    open_to_anchors: Sequence[int],
    title: str,
    measure: str,
) -> Tensor:
    """A chart of -Q over time with the breakpoints marked, the anchors' pictures beside it.

    Args:
        quality: [N-2], Q of frames 1..N-2.
        breaks: chosen frames; anchors: [A,H,W,3] in 0..1, their pictures in the same order.
        keyframes: frames that hold keyframes. open_to_anchors: frames that were searched; the rest is shaded.
        title: first line. measure: the distance's name.
    Returns:
        [1,HEIGHT,WIDTH,3] in 0..1.
    """
    image = blank(WIDTH, HEIGHT)
    pen = Pen(image)
    length = len(quality) + 2
    change = (-quality).tolist()
    top = max([*change, 1e-6]) * 1.12
    left, upper, right, lower = CHART

    def x_of(frame: float) -> float:
        return left + (right - left) * frame / (length - 1)

    def y_of(value: float) -> float:
        return lower - (lower - upper) * value / top

    pen.text((left, 20), title, 30, INK)
    pen.text((left, 60), f"change around each frame: {measure}", 20, FAINT)
    for first, last in runs(sorted(set(range(length)) - set(open_to_anchors))):
        pen.box((x_of(max(first - 0.5, 0)), upper, x_of(min(last + 0.5, length - 1)), lower), SHADE)
    for tick in range(5):
        value = top * tick / 4.48  # the last tick is the highest value
        pen.line([(left, y_of(value)), (right, y_of(value))], GRID, 1)
        pen.text((left - 8, y_of(value)), f"{value:.3g}", 19, FAINT, "rm")
    for tick in frame_ticks(length):
        pen.line([(x_of(tick), lower), (x_of(tick), lower + 6)], INK, 1)
        pen.text((x_of(tick), lower + 10), str(tick), 19, INK, "ma")
    pen.text(((left + right) / 2, lower + 36), "video frame", 20, INK, "ma")
    pen.line([(left, upper), (left, lower), (right, lower)], INK, 2)
    for frame in keyframes:
        pen.line([(x_of(frame), upper), (x_of(frame), lower)], KEY, 3)
    pen.line([(x_of(n), y_of(value)) for n, value in enumerate(change, start=1)], CURVE, 3)
    for rank, frame in enumerate(breaks, start=1):
        pen.line([(x_of(frame), upper), (x_of(frame), lower)], BREAK, 2)
        pen.dot((x_of(frame), y_of(change[frame - 1])), 6, BREAK)
        words = f"{rank}" if len(breaks) > 1 else f"frame {frame}"
        to_the_left = x_of(frame) > (left + right) / 2
        beside = x_of(frame) + (-8 if to_the_left else 8)
        pen.text((beside, upper + 16), words, 22, BREAK, "rm" if to_the_left else "lm")
    _legend(pen, (left, lower + 92))
    _thumbnails(image, pen, anchors, breaks, length)
    return finished(image)


def _legend(pen: Pen, at: tuple[float, float]) -> None:
    x, y = at
    for colour, words, width in ((KEY, "keyframe", 160), (BREAK, "breakpoint: the anchor goes here", 390)):
        pen.line([(x, y), (x + 22, y)], colour, 3)
        pen.text((x + 30, y), words, 20, INK, "lm")
        x += width
    pen.box((x, y - 8, x + 22, y + 8), SHADE)
    pen.text((x + 30, y), "left out (margin)", 20, INK, "lm")


def _thumbnails(image: Image.Image, pen: Pen, anchors: Tensor, breaks: Sequence[int], length: int) -> None:
    left, upper, right, lower = COLUMN
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

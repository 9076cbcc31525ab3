"""The picture of a breakpoint search: the curve, what was left out, the breakpoint, the anchors. Drawn by PIL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

WIDTH, HEIGHT = 1200, 600
MOST_THUMBNAILS = 4
SCALE = 2  # drawn twice as large and reduced, so that lines are smooth
PAPER, INK, FAINT, SHADE = (250, 250, 248), (34, 34, 40), (150, 150, 156), (232, 232, 228)
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
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
    pen = _Pen(ImageDraw.Draw(image))
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
    for first, last in _runs(sorted(set(range(length)) - set(open_to_anchors))):
        pen.box((x_of(max(first - 0.5, 0)), upper, x_of(min(last + 0.5, length - 1)), lower), SHADE)
    for tick in range(5):
        value = top * tick / 4.48  # the last tick is the highest value
        pen.line([(left, y_of(value)), (right, y_of(value))], (222, 222, 220), 1)
        pen.text((left - 8, y_of(value)), f"{value:.3g}", 19, FAINT, "rm")
    for tick in _frame_ticks(length):
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
    reduced = image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(reduced).astype(np.float32) / 255).unsqueeze(0)


class _Pen:
    """Draws in the plot's own coordinates on the enlarged canvas."""

    def __init__(self, draw: ImageDraw.ImageDraw) -> None:
        self._draw = draw

    def line(self, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], width: int) -> None:
        self._draw.line([(x * SCALE, y * SCALE) for x, y in points], colour, width * SCALE, joint="curve")

    def box(self, corners: Sequence[float], colour: tuple[int, int, int]) -> None:
        self._draw.rectangle([value * SCALE for value in corners], fill=colour)

    def dot(self, centre: tuple[float, float], radius: float, colour: tuple[int, int, int]) -> None:
        x, y = centre
        self._draw.ellipse([value * SCALE for value in (x - radius, y - radius, x + radius, y + radius)], fill=colour)

    def text(
        self, at: tuple[float, float], words: str, size: int, colour: tuple[int, int, int], anchor: str = "la"
    ) -> None:
        font = ImageFont.load_default(size * SCALE)
        self._draw.text((at[0] * SCALE, at[1] * SCALE), words, fill=colour, font=font, anchor=anchor)


def _legend(pen: _Pen, at: tuple[float, float]) -> None:
    x, y = at
    for colour, words, width in ((KEY, "keyframe", 160), (BREAK, "breakpoint: the anchor goes here", 390)):
        pen.line([(x, y), (x + 22, y)], colour, 3)
        pen.text((x + 30, y), words, 20, INK, "lm")
        x += width
    pen.box((x, y - 8, x + 22, y + 8), SHADE)
    pen.text((x + 30, y), "left out (margin)", 20, INK, "lm")


def _thumbnails(image: Image.Image, pen: _Pen, anchors: Tensor, breaks: Sequence[int], length: int) -> None:
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


def _runs(frames: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as (first, last) pairs."""
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and frame == found[-1][1] + 1:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found


def _frame_ticks(length: int) -> list[int]:
    """About eight round frame numbers and the last one."""
    steps = (factor * 10**power for power in range(9) for factor in (1, 2, 4, 5, 8))
    step = next(step for step in steps if (length - 1) / step <= 10)
    ticks = [n for n in range(0, length, step) if length - 1 - n >= step / 2]
    return [*ticks, length - 1]

"""What the pack's charts are drawn with: a canvas twice as large, so that lines are smooth, and a pen. PIL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SCALE = 2
PAPER, INK, FAINT, GRID = (250, 250, 248), (34, 34, 40), (150, 150, 156), (222, 222, 220)


def blank(width: int, height: int) -> Image.Image:
    """An empty canvas for a chart of this size in pixels."""
    return Image.new("RGB", (width * SCALE, height * SCALE), PAPER)


def finished(image: Image.Image) -> Tensor:
    """The chart at its own size, [1, height, width, 3] in 0..1."""
    reduced = image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(reduced).astype(np.float32) / 255).unsqueeze(0)


class Pen:
    """Draws in the plot's own coordinates on the enlarged canvas."""

    def __init__(self, image: Image.Image) -> None:
        self._draw = ImageDraw.Draw(image)

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

    def width(self, words: str, size: int) -> float:
        """How wide words come out."""
        return self._draw.textlength(words, font=ImageFont.load_default(size * SCALE)) / SCALE


def frame_ticks(length: int) -> list[int]:
    """About eight round frame numbers and the last one."""
    steps = (factor * 10**power for power in range(9) for factor in (1, 2, 4, 5, 8))
    step = next(step for step in steps if (length - 1) / step <= 10)
    ticks = [n for n in range(0, length, step) if length - 1 - n >= step / 2]
    return [*ticks, length - 1]


def runs(frames: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive numbers as (first, last) pairs."""
    found: list[tuple[int, int]] = []
    for frame in frames:
        if found and frame == found[-1][1] + 1:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found

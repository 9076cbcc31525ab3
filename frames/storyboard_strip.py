"""The strip of a storyboard: its pictures over a ruler of frames, and where the model will hold each. Drawn by PIL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from .chart import FAINT, INK, SCALE, Pen, blank, finished, frame_ticks
from .keyframe_track import KeyframeTrack
from .wan_layout import place_keyframe

WIDTH, HEIGHT = 1000, 262
LEFT, RIGHT = 30, 970
TOP, RULER = 14, 198  # pixels: the upper edge of the pictures, the ruler
TALLEST, WIDEST, GAP = 118, 200, 6  # of a picture in the strip
HELD, CLASH = (28, 98, 168), (200, 60, 60)


def storyboard_strip(track: KeyframeTrack, pictures: Sequence[Tensor]) -> Tensor:
    """The pictures in order of time, each with a line to its frame; a dot where Wan's grid of 4 holds it.

    A dot is red where two pictures would be held on one frame. A length that is not 4n+1 is no length of Wan: no grid
    and no dots are drawn.

    Args:
        track: the keyframes. pictures: one for each of them in order of time, each [H,W,3] in 0..1, of one size.
    Returns:
        [1,HEIGHT,WIDTH,3] in 0..1.
    """
    image = blank(WIDTH, HEIGHT)
    pen = Pen(image)
    frames = [item.frame for item in track.keyframes]
    on_grid = (track.length - 1) % 4 == 0
    held = [place_keyframe(frame, track.length, "snap").pixel_frames[0] for frame in frames] if on_grid else frames

    def x(frame: float) -> float:
        return LEFT + (RIGHT - LEFT) * frame / max(1, track.length - 1)

    grid = range(0, track.length, 4) if on_grid and track.length <= 481 else ()
    for frame in grid:
        pen.line([(x(frame), RULER), (x(frame), RULER + 5)], FAINT, 1)
    for frame in frame_ticks(track.length):
        pen.line([(x(frame), RULER), (x(frame), RULER + 9)], INK, 1)
        pen.text((x(frame), RULER + 12), str(frame), 16, INK, "ma")
    pen.line([(LEFT, RULER), (RIGHT, RULER)], INK, 2)
    width, height = _picture_size(track, len(frames))
    for frame, on, centre, picture in zip(
        frames, held, _spread([x(frame) for frame in frames], width + GAP), pictures, strict=True
    ):
        bottom = TOP + TALLEST
        _paste(image, picture, (centre - width / 2, bottom - height, width, height))
        colour = CLASH if held.count(on) > 1 else HELD
        pen.line([(centre, bottom), (centre, bottom + 24), (x(frame), RULER - 8), (x(frame), RULER)], FAINT, 1)
        pen.text((centre, bottom + 4), _told(frame, on, width), 18 if width >= 60 else 11, INK, "ma")
        if on_grid:
            pen.dot((x(on), RULER), 5, colour)
    pen.text((LEFT - 12, HEIGHT - 8), _legend(track, on_grid), 15, FAINT, "lb")
    return finished(image)


def _legend(track: KeyframeTrack, on_grid: bool) -> str:
    size = f"{track.length} frames, {track.fps:g} fps, {track.seconds:.2f} s"
    if not on_grid:
        return f"{size}; the length is not 4n+1, so Wan and HunyuanVideo cannot make it"
    return f"{size}; dots: where Wan holds a picture (grid of 4, placement snap); red: two in one place"


def _picture_size(track: KeyframeTrack, count: int) -> tuple[float, float]:
    """Width and height of a picture in the strip: of the video's shape, and so that all fit side by side."""
    shape = track.width / track.height
    room = (WIDTH - 2 * GAP) / max(1, count) - GAP
    width = max(2.0, min(WIDEST, room, TALLEST * shape))
    return width, max(2.0, width / shape)


def _spread(centres: Sequence[float], apart: float) -> list[float]:
    """Centres in order, moved as little as keeps them so far apart and inside the strip."""
    placed: list[float] = []
    for centre in centres:
        placed.append(max(centre, placed[-1] + apart) if placed else max(centre, apart / 2))
    limit = WIDTH - apart / 2
    for place in range(len(placed) - 1, -1, -1):
        placed[place] = min(placed[place], limit)
        limit = placed[place] - apart
    return placed


def _told(frame: int, held: int, width: float) -> str:
    """The frame below a picture of this width, and where it is held if that is another one and there is room for it."""
    if held == frame or width < 50:
        return str(frame)
    return f"{frame}, held on {held}" if width >= 110 else f"{frame} > {held}"


def _paste(image: Image.Image, picture: Tensor, box: tuple[float, float, float, float]) -> None:
    """Puts a picture [H,W,3] into a box (left, top, width, height) of the canvas, in the canvas's own pixels."""
    left, top, width, height = (round(value * SCALE) for value in box)
    small = Image.fromarray((picture.clamp(0, 1) * 255).round().byte().cpu().numpy().astype(np.uint8))
    image.paste(small.resize((max(1, width), max(1, height)), Image.Resampling.LANCZOS), (left, top))

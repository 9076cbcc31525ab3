"""Videos beside each other: an animation to watch, and a sheet of still frames to read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .base_folder import picture

ZOOM, GAP, HEADER = 4, 8, 28  # the demo world's 64 pixels are small; gap and header in pixels
PAPER, INK = (250, 250, 248), (40, 40, 44)
SHEET_FRAMES, SHEET_ZOOM = 9, 2


def write_animation(path: Path, videos: Mapping[str, Tensor], fps: float) -> Path:
    """An endless WebP of videos in a row, each under its name; it rests on the last frame.

    Args:
        videos: name -> [N, H, W, 3] in 0..1, all of one shape.
        fps: frames per second.
    """
    length = len(next(iter(videos.values())))
    pages = [_row({name: video[n] for name, video in videos.items()}) for n in range(length)]
    durations = [round(1000 / fps)] * (length - 1) + [1000]
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=durations, loop=0, quality=90)
    return path


def write_sheet(path: Path, videos: Mapping[str, Tensor]) -> Path:
    """A PNG with a line per video: SHEET_FRAMES frames from the first to the last."""
    length, height, width, _ = next(iter(videos.values())).shape
    height, width = height * SHEET_ZOOM, width * SHEET_ZOOM
    label = 130
    size = (label + SHEET_FRAMES * (width + GAP), HEADER + len(videos) * (height + GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(16)
    moments = [round(index * (length - 1) / (SHEET_FRAMES - 1)) for index in range(SHEET_FRAMES)]
    for column, n in enumerate(moments):
        draw.text((label + column * (width + GAP), 6), f"frame {n}", INK, font)
    for line, (name, video) in enumerate(videos.items()):
        top = HEADER + line * (height + GAP)
        draw.text((GAP, top + height // 2 - 10), name, INK, font)
        for column, n in enumerate(moments):
            sheet.paste(_zoomed(video[n], SHEET_ZOOM), (label + column * (width + GAP), top))
    sheet.save(path)
    return path


def _row(frames: Mapping[str, Tensor]) -> Image.Image:
    height, width = (side * ZOOM for side in next(iter(frames.values())).shape[:2])
    page = Image.new("RGB", (GAP + len(frames) * (width + GAP), HEADER + height + GAP), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    for column, (name, frame) in enumerate(frames.items()):
        left = GAP + column * (width + GAP)
        draw.text((left, 5), name, INK, font)
        page.paste(_zoomed(frame, ZOOM), (left, HEADER))
    return page


def _zoomed(frame: Tensor, zoom: int) -> Image.Image:
    shown = picture(frame.clamp(0, 1))
    return shown.resize((shown.width * zoom, shown.height * zoom), Image.Resampling.BICUBIC)

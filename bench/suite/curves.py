"""The picture of how each workflow does over the video: the mean of a score at every frame. Drawn by PIL."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from ...frames.chart import FAINT, GRID, INK, Pen, blank, finished, frame_ticks, runs
from .results import LPIPS, PSNR, SSIM, Measure, Results
from .whole_files import whole_file

WIDTH, LEFT, RIGHT = 1200, 96, 1168
PANEL, FOOT, LEGEND_ROW = 268, 84, 34
TITLE_SIZE, TEXT_SIZE = 28, 21
MEASURES = (PSNR, SSIM, LPIPS)
# Okabe & Ito 2008, Color Universal Design: apart for all kinds of colour vision; without their yellow, faint on white
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0))
DASHES = ((), (12, 6), (3, 5), (18, 5, 3, 5), (8, 4, 2, 4, 2, 4))  # pixels on, off, on, ...; () is a whole line
MOVES = {"higher": "higher is better", "lower": "lower is better"}

Curves = Mapping[str, Mapping[str, NDArray[np.float64]]]  # measure -> workflow -> [N], NaN where no clip has a number


def frame_means(results: Results) -> dict[int, Curves]:
    """Mean over clips of every frame's scores, by length, measure and workflow; frames without a number are left out.

    One pass over the clips; keeps two numbers per frame and curve.
    """
    sums: dict[int, dict[str, dict[str, NDArray[np.float64]]]] = {}
    for score in results.clips():
        for key, numbers in score.per_frame.items():
            values = np.array(numbers, dtype=np.float64)
            known = np.isfinite(values)
            of_length = sums.setdefault(score.length, {}).setdefault(key, {})
            both = of_length.setdefault(score.workflow, np.zeros((2, len(values))))
            both += np.stack([np.where(known, values, 0), known])
    return {
        length: {
            measure.key: {
                name: np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
                for name, (total, count) in ((name, by_name[name]) for name in results.workflows if name in by_name)
            }
            for measure in MEASURES
            if (by_name := found.get(measure.key))
        }
        for length, found in sorted(sums.items())
    }


def write_curves(results: Results, folder: Path) -> dict[int, Path]:
    """curves_<length>.png in the folder, for every length that has scores per frame.

    Raises:
        OSError: a file cannot be written.
    """
    paths = {}
    for length, curves in frame_means(results).items():
        if curves:
            paths[length] = folder / f"curves_{length}.png"
            with whole_file(paths[length]) as new:
                curves_picture(curves, results.workflows, results.baseline, length).save(new, "PNG")
    return paths


def curves_picture(curves: Curves, workflows: Sequence[str], baseline: str, length: int) -> Image.Image:
    """A panel per measure with a line per workflow; the baseline is black, every other has a colour and dashes.

    Args:
        curves: at least one measure. workflows: in the order of the legend. length: N, video frames.
    """
    pens = line_styles(workflows, baseline)
    legend = _legend_places(workflows)
    top = 84 + LEGEND_ROW * (1 + max(row for _, row in legend.values()))
    measures = [measure for measure in MEASURES if measure.key in curves]
    canvas = blank(WIDTH, top + PANEL * len(measures) + FOOT)
    pen = Pen(canvas)
    pen.text((LEFT, 20), f"Mean over clips at every frame, {length} frames", TITLE_SIZE, INK)
    for name, (x, row) in legend.items():
        y = 78 + LEGEND_ROW * row
        _curve(pen, [(x, y), (x + 54, y)], *pens[name])
        pen.text((x + 66, y), _drawable(name), TEXT_SIZE, INK, "lm")
    for number, measure in enumerate(measures):
        _panel(pen, top + PANEL * number, measure, curves[measure.key], pens, length)
    lower = top + PANEL * len(measures)
    for tick in frame_ticks(length):
        pen.text((_x(tick, length), lower + 4), str(tick), TEXT_SIZE, INK, "ma")
    pen.text((RIGHT, lower + 36), "video frame", TEXT_SIZE, INK, "ra")
    pen.text((LEFT, lower + 36), "a frame identical to the truth has no PSNR, and is left out", 18, FAINT)
    pixels = (finished(canvas)[0] * 255).round().byte().numpy()
    return Image.fromarray(pixels)


def line_styles(workflows: Sequence[str], baseline: str) -> dict[str, tuple[tuple[int, int, int], tuple[int, ...]]]:
    """Colour and dashes of every workflow; no two are alike among the first 30."""
    others = [name for name in workflows if name != baseline]
    styles = {name: (COLOURS[n % len(COLOURS)], DASHES[(n + 1) % len(DASHES)]) for n, name in enumerate(others)}
    return {name: styles.get(name, (INK, ())) for name in workflows}


def value_ticks(lowest: float, highest: float) -> list[float]:
    """Three to six round numbers between the two."""
    span = max(highest - lowest, 1e-9)
    power = 10.0 ** math.floor(math.log10(span))
    step = next(s * power for s in (0.1, 0.2, 0.5, 1, 2, 5) if span / (s * power) <= 5)
    first, last = math.ceil(lowest / step - 1e-9), math.floor(highest / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _x(frame: float, length: int) -> float:
    return LEFT + (RIGHT - LEFT) * (frame / (length - 1) if length > 1 else 0.5)


def _legend_places(workflows: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Left edge and row of every name, as many to a row as there is room for."""
    font, places, x, row = ImageFont.load_default(TEXT_SIZE), {}, float(LEFT), 0
    for name in workflows:
        width = 66 + font.getlength(_drawable(name)) + 40
        if x > LEFT and x + width - 40 > RIGHT:
            x, row = float(LEFT), row + 1
        places[name] = (x, row)
        x += width
    return places


def _drawable(name: str, limit: int = 60) -> str:
    """The name on one line, shortened, with "?" for characters that the font lacks."""
    font = ImageFont.load_default(TEXT_SIZE)
    missing = bytes(font.getmask("\uffff"))
    words = " ".join(name.split())
    shown = "".join(sign if sign == " " or bytes(font.getmask(sign)) != missing else "?" for sign in words)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def _panel(
    pen: Pen,
    top: float,
    measure: Measure,
    lines: Mapping[str, NDArray[np.float64]],
    pens: Mapping[str, tuple[tuple[int, int, int], tuple[int, ...]]],
    length: int,
) -> None:
    upper, lower = top + 44, top + PANEL - 16
    known = np.concatenate([values[np.isfinite(values)] for values in lines.values()])
    lowest, highest = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    room = max(0.06 * (highest - lowest), 1e-3)

    def at(frame: int, value: float) -> tuple[float, float]:
        place = (value - lowest + room) / (highest - lowest + 2 * room)
        return _x(frame, length), lower - (lower - upper) * place

    unit = f"{measure.unit}, " if measure.unit else ""
    pen.text((LEFT, top + 8), f"{measure.title}, {unit}{MOVES[measure.better]}", 23, INK)
    ticks = value_ticks(lowest - room, highest + room)
    places = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else 2
    for value in ticks:
        y = at(0, value)[1]
        pen.line([(LEFT, y), (RIGHT, y)], GRID, 1)
        pen.text((LEFT - 12, y), f"{value:.{places}f}", TEXT_SIZE - 1, FAINT, "rm")
    for tick in frame_ticks(length):
        pen.line([(_x(tick, length), lower), (_x(tick, length), lower + 6)], INK, 1)
    pen.line([(LEFT, lower), (RIGHT, lower)], INK, 2)
    for name in reversed(list(lines)):  # the first workflow on top
        values = lines[name]
        for first, last in runs(np.flatnonzero(np.isfinite(values)).tolist()):
            points = [at(frame, float(values[frame])) for frame in range(first, last + 1)]
            _curve(pen, points, *pens[name]) if len(points) > 1 else pen.dot(points[0], 4, pens[name][0])


def _curve(
    pen: Pen, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], dashes: Sequence[int]
) -> None:
    for part in dashed(points, dashes) if dashes else [points]:
        pen.line(part, colour, 3)


def dashed(points: Sequence[tuple[float, float]], dashes: Sequence[int]) -> list[list[tuple[float, float]]]:
    """The parts of a line that are drawn. dashes: lengths on, off, on, ... along the line, in its own units."""
    parts: list[list[tuple[float, float]]] = [[points[0]]]
    place, left = 0, float(dashes[0])
    for (x, y), (x2, y2) in pairwise(points):
        whole = math.hypot(x2 - x, y2 - y)
        gone = 0.0
        while whole - gone > left:
            gone += left
            bend = (x + (x2 - x) * gone / whole, y + (y2 - y) * gone / whole)
            if place % 2 == 0:
                parts[-1].append(bend)
            else:
                parts.append([bend])
            place = (place + 1) % len(dashes)
            left = float(dashes[place])
        left -= whole - gone
        if place % 2 == 0:
            parts[-1].append((x2, y2))
    return [part for part in parts if len(part) > 1]

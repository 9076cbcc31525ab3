"""The picture of how each workflow does over the video: the mean of a score at every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .results import LPIPS, PSNR, SSIM, Results
from .whole_files import whole_file

MEASURES = (PSNR, SSIM, LPIPS)
# Okabe & Ito 2008, Color Universal Design: apart for all kinds of colour vision; without their yellow, faint on white
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ((0, (4, 2)), (0, (1, 1.6)), (0, (6, 1.6, 1, 1.6)), (0, (3, 1.2, 1, 1.2, 1, 1.2)), "solid")
LONGEST_NAME = 60

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
                curves_picture(curves, results.workflows, results.baseline, length).savefig(new, format="png")
    return paths


def curves_picture(curves: Curves, workflows: Sequence[str], baseline: str, length: int) -> Figure:
    """A panel per measure with a line per workflow; the baseline is black, every other has a colour and dashes.

    Args:
        curves: at least one measure. workflows: in the order of the legend. length: N, video frames.
    """
    styles, measures = line_styles(workflows, baseline), [one for one in MEASURES if one.key in curves]
    picture = Figure(figsize=(12, 1.3 + 2.7 * len(measures)), dpi=100, layout="constrained")
    panels = picture.subplots(len(measures), sharex=True, squeeze=False)[:, 0]
    for panel, measure in zip(panels, measures, strict=True):
        for place, name in enumerate(workflows):
            values = curves[measure.key].get(name, np.full(length, np.nan))
            colour, dashes = styles[name]
            above = {"zorder": 3 + len(workflows) - place}  # the first workflow on top
            marks = {"marker": "o", "markersize": 4} if np.isfinite(values).sum() < 2 else {}
            panel.plot(
                range(length), values, color=colour, linestyle=dashes, label=f" {drawable(name)}", **above, **marks
            )
        unit = f"{measure.unit}, " if measure.unit else ""
        panel.set_title(f"{measure.title}, {unit}{measure.better} is better", loc="left", fontsize="medium")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#dededc")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[-1].set_xlabel("video frame; a frame identical to the truth has no PSNR, and is left out", loc="left")
    lines, names = panels[0].get_legend_handles_labels()
    title = f"Mean over clips at every frame, {length} frames"
    placed = {"loc": "outside upper left", "alignment": "left", "ncols": 3, "frameon": False, "handlelength": 4}
    legend = picture.legend(lines, names, title=title, title_fontsize="large", **placed)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return picture


def line_styles(workflows: Sequence[str], baseline: str) -> dict[str, tuple[str, object]]:
    """Colour and dashes of every workflow; no two are alike among the first 30."""
    others = [name for name in workflows if name != baseline]
    styles = {name: (COLOURS[n % len(COLOURS)], DASHES[n % len(DASHES)]) for n, name in enumerate(others)}
    return {name: styles.get(name, ("black", "solid")) for name in workflows}


def drawable(name: str) -> str:
    """The name on one line, shortened, with "?" for characters that the font lacks."""
    font = get_font(findfont("DejaVu Sans"))
    shown = "".join(sign if font.get_char_index(ord(sign)) else "?" for sign in " ".join(name.split()))
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"

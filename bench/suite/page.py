"""The suite's page: tables, curves, and the clips side by side. It opens from disk and asks nothing of a network."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from .results import LPIPS, PSNR, SSIM, ClipScore, Measure, Results
from .statistics import goodness
from .tables import NONE, Section, column_head, counted, legend, written
from .whole_files import unwritable, whole_file

ROWS = 100  # clips on a page
SHOWN = 5  # measures below a video
OPEN_LIST = 12  # a longer list of what was left out starts closed
HERE = Path(__file__).parent
STYLE, SCRIPT = HERE / "page.css", HERE / "page.js"


@dataclass(frozen=True, order=True)
class RowPlace:
    """Where a clip's row lies in the file of rows; in the order of the page: most disagreement first."""

    rank: float
    length: int
    clip: str
    kind: str
    start: int


def write_pages(results: Results, tables: Sequence[Section], curves: Mapping[int, Path], folder: Path) -> list[Path]:
    """index.html, and page_2.html and so on where there are more than ROWS clips.

    What rows say is written to a file first and read back in their order, so that memory holds one place per row.

    Args:
        tables: `tables.sections`. curves: pictures in the folder, by length.
    Raises:
        OSError: a file cannot be written.
    """
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, keep_trailing_newline=True)
    environment.filters.update(address=_address, counted=counted)
    template = environment.get_template("page.html")
    with tempfile.TemporaryFile(dir=folder) as file:
        try:
            places = sorted(_write_rows(results, file))
            file.flush()
        except OSError as error:
            raise unwritable(folder, error) from error
        starts = range(0, max(len(places), 1), ROWS)
        names = [page_name(number) for number in range(1, len(starts) + 1)]
        for number in reversed(range(len(starts))):  # the first page last: what it links to is there
            shown = places[starts[number] : starts[number] + ROWS]
            said = {
                **{"results": results, "sections": tables, "curves": curves, "legend": legend(results)},
                **{"number": number + 1, "pages": names, "first": starts[number] + 1, "rows_in_all": len(places)},
                **{"shown": len(shown), "rows": (_row_at(file, place) for place in shown), "open_list": OPEN_LIST},
                **{"kinds": sorted({place.kind for place in shown}), "lengths": sorted({p.length for p in shown})},
                **{"measure": disagreement_measure(results.measures)},
                **{name: Markup(path.read_text("utf-8")) for name, path in (("style", STYLE), ("script", SCRIPT))},
            }
            with whole_file(folder / names[number]) as new:
                template.stream(said).dump(str(new), "utf-8", errors="backslashreplace")
    return [folder / name for name in names]


def page_name(number: int) -> str:
    """File name of a page, from 1."""
    return "index.html" if number == 1 else f"page_{number}.html"


def disagreement_measure(measures: Sequence[Measure]) -> Measure | None:
    """LPIPS, else SSIM, else PSNR, whichever is among the measures."""
    return next((measure for measure in (LPIPS, SSIM, PSNR) if measure in measures), None)


def disagreement(scores: Sequence[ClipScore], measure: Measure | None) -> float | None:
    """Standard deviation of one measure over the workflows that made this clip; None with fewer than two numbers."""
    if measure is None:
        return None
    values = np.array([score.scores.get(measure.key) for score in scores], dtype=np.float64)
    known = values[np.isfinite(values)]
    return float(known.std()) if len(known) > 1 else None


def _write_rows(results: Results, file: BinaryIO) -> Iterator[RowPlace]:
    for (length, clip), group in groupby(results.clips(), key=lambda score: (score.length, score.clip)):
        scores = list(group)
        row = _row(scores, results)
        start = file.tell()
        file.write(json.dumps(row).encode() + b"\n")
        yield RowPlace(1.0 if row["apart"] is None else -row["apart"], length, clip, row["kind"], start)


def _row_at(file: BinaryIO, place: RowPlace) -> dict[str, Any]:
    file.seek(place.start)
    return json.loads(file.readline())


def _address(path: str) -> str:
    """A file's relative path as an address; `./` so that a name with a colon is no scheme."""
    return "./" + quote(path.replace("\\", "/"), errors="surrogateescape")


def _row(scores: Sequence[ClipScore], results: Results) -> dict[str, Any]:
    """What the page says of a clip."""
    first, measure = scores[0], disagreement_measure(results.measures)
    apart = disagreement(scores, measure)
    of_workflow = {score.workflow: score for score in scores}
    best = _best_of(scores, results.measures)
    figures: list[dict[str, Any]] = [{"title": "truth", "video": first.truth, "numbers": []}]
    for workflow in results.workflows:
        score = of_workflow.get(workflow)
        numbers = _numbers(score, results.measures, best) if score else []
        figures.append({"title": workflow, "video": score and score.video, "numbers": numbers})
    return {
        **{"clip": first.clip, "kind": first.kind, "length": first.length, "caption": first.caption},
        **{"apart": apart, "apart_written": written(apart, measure) if measure else "", "figures": figures},
        **{"width": first.made[1], "height": first.made[2]},
    }


def _shown_measures(measures: Sequence[Measure]) -> list[Measure]:
    return [measure for measure in measures if not measure.whole_set][:SHOWN]


def _best_of(scores: Sequence[ClipScore], measures: Sequence[Measure]) -> dict[str, str]:
    """The best number of every measure in this row, as it is written; none where there is nothing to compare."""
    found = {}
    for measure in _shown_measures(measures):
        values = [score.scores.get(measure.key) for score in scores]
        order = goodness(values, measure.better)
        if np.isfinite(order).sum() > 1:
            found[measure.key] = written(values[int(np.nanargmax(order))], measure)
    return found


def _numbers(score: ClipScore, measures: Sequence[Measure], best: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """(what, number, whether it is the best) of every measure below a video."""
    lines = []
    for measure in _shown_measures(measures):
        number = written(score.scores.get(measure.key), measure)
        unit = f" {measure.unit}" if measure.unit and number != NONE else ""
        lines.append((column_head(replace(measure, unit="")), number + unit, number == best.get(measure.key)))
    return lines

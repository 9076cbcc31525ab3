"""The suite's page: tables, curves, and the clips side by side. It opens from disk and asks nothing of a network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import numpy as np

from .results import LPIPS, PSNR, SSIM, ClipScore, Measure, Results
from .statistics import goodness
from .tables import NONE, Cell, Section, Table, column_head, counted, legend, written
from .whole_files import unwritable, whole_file

ROWS = 100  # clips on a page
SHOWN = 5  # measures below a video
OPEN_LIST = 12  # a longer list of what was left out starts closed
ORDERS = {"apart": "disagreement", "name": "name", "kind": "kind"}
SPEEDS = {"1": "1 &times;", "0.5": "&frac12; &times;", "0.25": "&frac14; &times;"}
STYLE, SCRIPT = (Path(__file__).with_name(name) for name in ("page.css", "page.js"))

Caption = Callable[[str, int], str]  # of a clip at a length


@dataclass(frozen=True, order=True)
class RowPlace:
    """Where a clip's row lies in the file of rows; in the order of the page: most disagreement first."""

    rank: float
    length: int
    clip: str
    kind: str
    start: int
    size: int


def write_pages(
    results: Results,
    tables: Sequence[Section],
    curves: Mapping[int, Path],
    folder: Path,
    caption: Caption | None = None,
) -> list[Path]:
    """index.html, and page_2.html and so on where there are more than ROWS clips.

    The rows are written to a file first and read back in their order, so that memory holds one place per row.

    Args:
        tables: `tables.sections`. curves: pictures in the folder, by length. caption: of a clip; None: none are shown.
    Raises:
        OSError: a file cannot be written.
    """
    with tempfile.TemporaryFile(dir=folder) as rows:
        try:
            places = sorted(_write_rows(results, caption, rows))
            rows.flush()
        except OSError as error:
            raise unwritable(folder, error) from error
        starts = range(0, max(len(places), 1), ROWS)
        paths = [folder / page_name(number) for number in range(1, len(starts) + 1)]
        for number in reversed(range(len(starts))):  # the first page last: what it links to is there
            shown = places[starts[number] : starts[number] + ROWS]
            with whole_file(paths[number]) as new, new.open("wb") as file:
                head = _document_head(results, number + 1)
                whole = head + (_summary(results, tables, curves) if number == 0 else "")
                file.write(_encoded(whole + _clips_head(results.measures, shown, number + 1, len(places))))
                for place in shown:
                    rows.seek(place.start)
                    file.write(rows.read(place.size))
                file.write(_encoded(_document_foot(number + 1, len(places))))
    return paths


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


def _write_rows(results: Results, caption: Caption | None, file: BinaryIO) -> Iterator[RowPlace]:
    measure = disagreement_measure(results.measures)
    for (length, clip), group in groupby(results.clips(), key=lambda score: (score.length, score.clip)):
        scores = list(group)
        apart = disagreement(scores, measure)
        words = caption(clip, length) if caption else ""
        row = _encoded(_row(scores, results, words, apart))
        start = file.tell()
        file.write(row)
        yield RowPlace(1.0 if apart is None else -apart, length, clip, scores[0].kind, start, len(row))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")


def _address(path: str) -> str:
    """A file's relative path as an address; `./` so that a name with a colon is no scheme."""
    return escape("./" + quote(path.replace("\\", "/"), errors="surrogateescape"))


def _document_head(results: Results, number: int) -> str:
    title = escape(results.title) + (f", page {number}" if number > 1 else "")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{STYLE.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{escape(results.title)}</h1>
</header>
<main>
"""


def _summary(results: Results, tables: Sequence[Section], curves: Mapping[int, Path]) -> str:
    workflows = ", ".join(escape(name) for name in results.workflows)
    parts = [f'<p class="soft">Workflows: {workflows}. Baseline: {escape(results.baseline)}.</p>\n']
    parts.append(f"<p>{escape(legend(results))}</p>\n" if tables else "<p>No clip has been scored.</p>\n")
    for section in tables:
        parts.append(_section(section, curves.get(section.length), results))
    if results.notes:
        parts.append(f"<h2>Notes</h2>\n{_list(results.notes)}")
    if results.left_out:
        opened = " open" if len(results.left_out) <= OPEN_LIST else ""
        number = counted(len(results.left_out), "sentence")
        inner = f"<summary>{number}</summary>\n{_list(results.left_out)}"
        parts.append(f"<h2>Left out</h2>\n<details{opened}>{inner}</details>\n")
    return "".join(parts)


def _section(section: Section, curves: Path | None, results: Results) -> str:
    parts = [f"<h2>{section.length} frames, {counted(section.clips, 'clip')}</h2>\n", _table(section.means)]
    if section.kinds:
        inner = "".join(map(_table, section.kinds))
        parts.append(f'<details class="kinds"><summary>Each kind</summary>\n{inner}</details>\n')
    if section.wins:
        parts.append(_table(section.wins))
    if section.remarks:
        parts.append(_list(section.remarks))
    if curves is not None:
        names = escape(", ".join(results.workflows))
        alt = f"Mean scores at every frame of the videos of {section.length} frames, a line each for {names}."
        parts.append(f'<h3>Over the frames</h3>\n<img class="curves" src="{_address(curves.name)}" alt="{alt}">\n')
    return "".join(parts)


def _table(table: Table) -> str:
    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0].text)}</th>{"".join(map(_table_cell, row[1:]))}</tr>\n'
        for row in table.rows
    )
    inner = f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>"
    return f'<div class="wide" tabindex="0"><table>{caption}{inner}</table></div>\n'


def _table_cell(cell: Cell) -> str:
    text = f"<b>{escape(cell.text)}</b>" if cell.best else escape(cell.text)
    interval = f"<small>{escape(cell.interval)}</small>" if cell.interval else ""
    return f"<td>{text}{'*' if cell.differs else ''}{interval}</td>"


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>\n"


def _clips_head(measures: Sequence[Measure], shown: Sequence[RowPlace], number: int, rows: int) -> str:
    if not shown:
        return '<div id="rows">\n'
    measure, first = disagreement_measure(measures), ROWS * (number - 1) + 1
    rule = "The truth stands first; arrow keys on a slider move all videos of its row by one frame."
    if measure:
        rule += f" Clips come by disagreement: the standard deviation of {measure.title} over their workflows."
    if rows > ROWS:
        rule += f" Here are rows {first} to {first + len(shown) - 1} of {rows}; the lists below act on these."
    options = "".join(f'<option value="{key}">{word}</option>' for key, word in ORDERS.items())
    speeds = "".join(f'<option value="{value}">{word}</option>' for value, word in SPEEDS.items())
    return f"""<h2 id="clips">Clips side by side</h2>
<p class="soft">{escape(rule)}</p>
{_links(number, rows)}<div class="bar">
<label>Sort by <select id="order">{options}</select></label>
{_choice("kind", sorted({place.kind for place in shown}), "no kind")}
{_choice("length", sorted({place.length for place in shown}), "")}
<label>Speed <select id="speed">{speeds}</select></label>
<output id="count" aria-live="polite">{counted(len(shown), "row")}</output>
</div>
<div id="rows">
"""


def _choice(name: str, values: Sequence[str] | Sequence[int], empty: str) -> str:
    options = "".join(
        f'<option value="{escape(str(value))}">{escape(str(value)) or empty}</option>' for value in values
    )
    return f'<label>{name.title()} <select id="{name}"><option>all</option>{options}</select></label>'


def _links(number: int, rows: int) -> str:
    pages = -(-rows // ROWS)
    if pages < 2:
        return ""
    links = [
        f'<span aria-current="page">{n}</span>' if n == number else f'<a href="{page_name(n)}#clips">{n}</a>'
        for n in range(1, pages + 1)
    ]
    return f'<nav aria-label="Pages">Page {" ".join(links)}</nav>\n'


def _row(scores: Sequence[ClipScore], results: Results, caption: str, apart: float | None) -> str:
    first = scores[0]
    measure = disagreement_measure(results.measures)
    told = f'<span class="soft">disagreement {apart:{measure.form}}</span>' if measure and apart is not None else ""
    kind = f'<span class="tag">{escape(first.kind)}</span>' if first.kind else ""
    words = f'<p class="caption">{escape(caption)}</p>\n' if caption else ""
    name, frames = escape(first.clip), first.length
    of_workflow = {score.workflow: score for score in scores}
    best = _best_of(scores, results.measures)
    figures = [_figure("truth", first.truth, f"{first.clip}: truth", "")]
    for workflow in results.workflows:
        score = of_workflow.get(workflow)
        numbers = _numbers(score, results.measures, best) if score else ""
        figures.append(_figure(workflow, score and score.video, f"{first.clip}: {workflow}", numbers))
    _, width, height = first.made
    return f"""<article class="clip" data-clip="{name}" data-kind="{escape(first.kind)}" data-length="{frames}" \
data-apart="{"" if apart is None else repr(apart)}">
<div class="head"><h3>{name}</h3>{kind}<span class="soft">{frames} frames</span>{told}</div>
{words}<div class="videos" style="--shape: {width} / {height}">
{"".join(figures)}</div>
<div class="controls"><button type="button" aria-label="Play or pause {name}">Play</button>
<input type="range" min="0" max="{frames - 1}" value="0" aria-label="Frame of {name}"><output>{frames} frames</output>
</div>
</article>
"""


def _figure(title: str, video: str | None, label: str, numbers: str) -> str:
    shown = '<div class="hole">left out</div>'
    if video:
        source = f'src="{_address(video)}" aria-label="{escape(label)}"'
        shown = f'<video muted loop playsinline preload="none" {source}></video>'
    return f"<figure>{shown}<figcaption><strong>{escape(title)}</strong>{numbers}</figcaption></figure>\n"


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


def _numbers(score: ClipScore, measures: Sequence[Measure], best: Mapping[str, str]) -> str:
    lines = []
    for measure in _shown_measures(measures):
        number = written(score.scores.get(measure.key), measure)
        unit = f" {measure.unit}" if measure.unit and number != NONE else ""
        marked = f"<b>{number}{unit}</b>" if number == best.get(measure.key) else f"{number}{unit}"
        lines.append(f"<dt>{escape(column_head(replace(measure, unit='')))}</dt><dd>{marked}</dd>")
    return f"<dl>{''.join(lines)}</dl>"


def _document_foot(number: int, rows: int) -> str:
    script = f"<script>\n{SCRIPT.read_text(encoding='utf-8')}</script>\n" if rows else ""
    return f"""</div>
{_links(number, rows)}</main>
{script}</body>
</html>
"""

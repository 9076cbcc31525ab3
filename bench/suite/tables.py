"""The suite's numbers as files to read: all scores as CSV, and tables in Markdown.

A table is made once, as cells; `markdown_table` and the page (page.py) write the same cells.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader

from .results import Measure, Results, SetScore
from .score_arrays import LengthScores, score_arrays
from .statistics import FEWEST_TO_DIFFER, RESAMPLES, Estimate, estimate, goodness, paired
from .whole_files import whole_file

NONE = "—"  # where a number does not exist
ARROWS = {"higher": "↑", "lower": "↓", "near 1": "→ 1"}


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    text: the number or name, or on how many clips better. interval: "[low, high]", in the table of wins with the
    difference before it, or "". best, differs: as the table's legend says.
    """

    text: str
    interval: str = ""
    best: bool = False
    differs: bool = False


@dataclass(frozen=True)
class Table:
    """title: a line above it, "" for none. columns: their heads. rows: cells, the first is the row's name."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Section:
    """All tables of one length: of all its clips, of each kind where there are several, and clip by clip.

    clips: how many. wins: None without a workflow beside the baseline. remarks: sentences below the tables.
    """

    length: int
    clips: int
    means: Table
    kinds: Sequence[Table]
    wins: Table | None
    remarks: Sequence[str]


def write_scores_csv(results: Results, path: Path) -> None:
    """One line per clip and workflow, with every measure in full precision; an empty field where there is none.

    Raises:
        OSError: the file cannot be written.
    """
    keys = [measure.key for measure in results.measures if not measure.whole_set]
    head = ["length", "clip", "kind", "workflow", *keys]
    head += ["made_frames", "made_width", "made_height", "seconds", "video", "truth"]
    lines = (
        [
            *(score.length, score.clip, score.kind, score.workflow),
            *(score.scores.get(key) for key in keys),
            *(*score.made, score.seconds, score.video, score.truth),
        ]
        for score in results.clips()
    )
    _write_csv(path, head, lines)


def write_sets_csv(results: Results, path: Path) -> None:
    """One line per distance of two sets of videos. of: "all kinds" or "one kind", which `kind` names.

    Raises:
        OSError: the file cannot be written.
    """
    lines = (
        [
            *(item.length, item.workflow, "all kinds" if item.kind is None else "one kind", item.kind),
            *(item.measure, item.value, item.clips),
        ]
        for item in results.sets
    )
    _write_csv(path, ["length", "workflow", "of", "kind", "measure", "value", "clips"], lines)


def sections(results: Results) -> list[Section]:
    """The tables of every length, the shortest first: of all clips, of each kind, and clip by clip."""
    sets = {(item.length, item.kind, item.workflow, item.measure): item for item in results.sets}
    return [_section(results, scores, sets) for scores in score_arrays(results)]


def legend(results: Results) -> str:
    """How to read a table: one paragraph."""
    return (
        "Each number is a mean over clips; of a measure that is best near 1 it is the median. In brackets: its 95 % "
        f"bootstrap interval ({RESAMPLES} resamples of the clips). Bold: best on the clips that all rows have. "
        f"*: differs from {results.baseline}, since the 95 % interval of the differences clip by clip excludes 0, on "
        f"{FEWEST_TO_DIFFER} clips or more; among many such numbers about one in twenty is marked by chance."
    )


def markdown_table(results: Results, tables: Sequence[Section] | None = None) -> str:
    """The whole document: tables per length, notes, and what was left out. tables: `sections`, where already made."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(plain=markdown_text, cell=_markdown_cell, counted=counted)
    made = sections(results) if tables is None else tables
    return (
        environment.get_template("table.md").render(results=results, sections=made, legend=legend(results)).rstrip()
        + "\n"
    )


def markdown_text(words: str) -> str:
    """Words that a reader of Markdown shows as they are, on one line."""
    one_line = escape(" ".join(words.split()), quote=False)
    marked = re.sub(r"([\\`*\[\]|~$])|(?<!\w)_|_(?!\w)", r"\\\g<0>", one_line)
    return re.sub(r"^(\d*)([#+\-.)])(?= |$)", r"\1\\\2", marked)


def counted(number: int, noun: str) -> str:
    """ "1 clip", "2 clips"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def written(value: float | None, measure: Measure) -> str:
    """A number as its measure is written; a dash where there is none."""
    return NONE if value is None or not np.isfinite(value) else f"{value:{measure.form}}"


def column_head(measure: Measure) -> str:
    """Name, unit and direction of a measure."""
    unit = f", {measure.unit}" if measure.unit else ""
    return f"{measure.title}{unit} {ARROWS[measure.better]}"


def _write_csv(path: Path, head: Sequence[str], lines: Iterator[list[object]]) -> None:
    with (
        whole_file(path) as new,
        new.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(lines)


def _section(results: Results, scores: LengthScores, sets: dict[tuple, SetScore]) -> Section:
    kinds = {kind: counted(scores.kinds.count(kind), "clip") for kind in sorted(set(scores.kinds))}
    of_kinds = [_means(results, scores, sets, kind, f"{kind or 'no kind'}, {kinds[kind]}") for kind in kinds]
    return Section(
        length=scores.length,
        clips=len(scores.clips),
        means=_means(results, scores, sets, None, ""),
        kinds=of_kinds if len(kinds) > 1 else [],
        wins=_wins(results, scores),
        remarks=_remarks(results, scores),
    )


def _means(results: Results, scores: LengthScores, sets: dict[tuple, SetScore], kind: str | None, title: str) -> Table:
    columns = []
    for measure in results.measures:
        if measure.whole_set:
            found = [sets.get((scores.length, kind, workflow, measure.key)) for workflow in results.workflows]
            columns.append(_set_column(measure, found))
        else:
            columns.append(_column(measure, results, scores, kind))
    heads = [column_head(measure) for measure in results.measures]
    rows = [
        [Cell(_row_name(workflow, results)), Cell(str(scores.made(workflow, kind).sum())), *(c[n] for c in columns)]
        for n, workflow in enumerate(results.workflows)
    ]
    return Table(title, ["workflow", "clips", *heads], rows)


def _column(measure: Measure, results: Results, scores: LengthScores, kind: str | None) -> list[Cell]:
    values = {name: scores.values(name, measure.key, kind) for name in results.workflows}
    cells = [_cell(estimate(values[name], measure.better), measure) for name in results.workflows]
    for n, name in enumerate(results.workflows):
        if name != results.baseline:
            beside = paired(values[name], values[results.baseline], measure.better)
            cells[n] = replace(cells[n], differs=beside.differs)
    scored = [one for one in values.values() if np.isfinite(one).any()]
    if len(scored) < 2:
        return cells
    common = np.isfinite(scored).all(axis=0)
    middle = {n: estimate(values[name][common], measure.better) for n, name in enumerate(results.workflows)}
    return _best_marked(cells, {n: one.value for n, one in middle.items() if one.value is not None}, measure)


def _set_column(measure: Measure, found: Sequence[SetScore | None]) -> list[Cell]:
    cells = [Cell(written(item.value if item else None, measure)) for item in found]
    known = {n: item.value for n, item in enumerate(found) if item and cells[n].text != NONE}
    sizes = {item.clips for item in found if item}
    comparable = len(known) > 1 and len(sizes) == 1  # a distance of sets depends on their size
    return _best_marked(cells, known, measure) if comparable else cells


def _best_marked(cells: Sequence[Cell], values: dict[int, float], measure: Measure) -> list[Cell]:
    """The best of the values is bold, and with it those that are written alike."""
    if not values:
        return list(cells)
    order = goodness(list(values.values()), measure.better)
    best = written(list(values.values())[int(np.argmax(order))], measure)
    return [replace(cell, best=n in values and written(values[n], measure) == best) for n, cell in enumerate(cells)]


def _cell(middle: Estimate, measure: Measure) -> Cell:
    interval = "" if middle.low is None else f"[{written(middle.low, measure)}, {written(middle.high, measure)}]"
    return Cell(written(middle.value, measure), interval)


def _wins(results: Results, scores: LengthScores) -> Table | None:
    others = [name for name in results.workflows if name != results.baseline]
    measures = [measure for measure in results.measures if not measure.whole_set]
    if not others or not measures:
        return None
    title = (
        f"Clip by clip against {results.baseline}: on how many clips better (equal ones count half), and the mean "
        "difference with its 95 % interval"
    )
    rows = [[Cell(name), *(_win(results, scores, name, measure) for measure in measures)] for name in others]
    heads = [column_head(m) if m.better != "near 1" else f"{m.title}, distance from 1 ↓" for m in measures]
    return Table(title, ["workflow", *heads], rows)


def _win(results: Results, scores: LengthScores, name: str, measure: Measure) -> Cell:
    ours, theirs = (scores.values(one, measure.key) for one in (name, results.baseline))
    beside = paired(ours, theirs, measure.better)
    if not beside.count:
        return Cell(NONE)
    parts = (beside.difference.value, beside.difference.low, beside.difference.high)
    value, low, high = (None if part is None else f"{part:+{measure.form}}" for part in parts)
    interval = value if low is None else f"{value} [{low}, {high}]"
    return Cell(f"{beside.better:.10g} of {beside.count}", interval, differs=beside.differs)


def _remarks(results: Results, scores: LengthScores) -> list[str]:
    found = []
    made = {name: int(scores.made(name).sum()) for name in results.workflows}
    for name, number in made.items():
        if number < len(scores.clips):
            missing = counted(len(scores.clips) - number, "clip")
            found.append(f"{name} lacks {missing}: its means are over the other {number}, and bold leaves them out.")
    for measure in results.measures:
        for name in results.workflows if not measure.whole_set else ():
            known = int(np.isfinite(scores.values(name, measure.key)).sum())
            if known < made[name]:
                without = counted(made[name] - known, "clip")
                found.append(f"{measure.title} of {name} has no number on {without}, left out of the mean.")
    return found


def _row_name(workflow: str, results: Results) -> str:
    return f"{workflow} (baseline)" if workflow == results.baseline and len(results.workflows) > 1 else workflow


def _markdown_cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    marked = (f"**{text}**" if cell.best else text) + (r"\*" if cell.differs else "")
    joint = " " if cell.interval.startswith("[") else ", "
    return f"{marked}{joint}{cell.interval}" if cell.interval else marked

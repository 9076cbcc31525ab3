"""Everything that the suite writes from its scores, into one folder."""

from __future__ import annotations

import re
from pathlib import Path

from .curves import write_curves
from .page import write_pages
from .results import Results
from .tables import markdown_table, sections, write_scores_csv, write_sets_csv
from .whole_files import whole_file


def write_results(results: Results, folder: Path) -> list[Path]:
    """scores.csv, sets.csv where there are such, table.md, curves_<length>.png, index.html and its further pages.

    Every file is written beside its place and then put there in one step. Pages, curves and sets of an earlier writing
    that this one does not have are removed.

    Args:
        folder: is made where it is missing; the videos' paths are relative to it.
    Returns:
        The files, index.html and its pages last.
    Raises:
        OSError: a file cannot be written; the text names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores, sets, table = folder / "scores.csv", folder / "sets.csv", folder / "table.md"
    tables = sections(results)
    write_scores_csv(results, scores)
    if results.sets:
        write_sets_csv(results, sets)
    with whole_file(table) as new:
        new.write_text(markdown_table(results, tables), encoding="utf-8", errors="backslashreplace")
    curves = write_curves(results, folder)
    pages = write_pages(results, tables, curves, folder)
    files = [scores, *([sets] if results.sets else []), table, *curves.values(), *pages]
    _remove_others(folder, {path.name for path in files})
    return files


def _remove_others(folder: Path, written: set[str]) -> None:
    ours = re.compile(r"curves_\d+\.png|page_\d+\.html|sets\.csv")
    for path in folder.iterdir():
        if ours.fullmatch(path.name) and path.name not in written:
            path.unlink()

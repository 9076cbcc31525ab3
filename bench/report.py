"""A measurement's lines and tables, printed and written to a file as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class Report:
    """Lines that are printed and, all of them so far, written to a file."""

    def __init__(self, path: Path) -> None:
        self.path, self._lines = path, []
        path.parent.mkdir(parents=True, exist_ok=True)

    def say(self, *lines: str) -> None:
        """Prints lines and writes the file anew, so that a run that is stopped leaves what it has."""
        for line in lines:
            print(line, flush=True)
        self._lines += lines
        self.path.write_text("\n".join(self._lines).strip() + "\n")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """In Markdown, in columns that line up: the first to the left, numbers to the right."""
        widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
        rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
        for row in (head, rule, *rows):
            numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            self.say(f"| {' | '.join([row[0].ljust(widths[0]), *numbers])} |")

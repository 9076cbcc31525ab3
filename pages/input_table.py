"""The table of inputs on a node's page, `input | takes | meaning`: rows and `takes` are the schema's, never by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

TECHNICAL = 4096  # bounds from here on keep a number sane; nobody chooses by them, so they are not named
AUTOGROW = "COMFY_AUTOGROW_V3"
HEADER = ["| input | takes | meaning |", "|---|---|---|"]
# lists of files differ from machine to machine; the page names the folder
FOLDERS = {
    ("InbetweenLoadLPIPS", "backbone"): "models/lpips",
    ("InbetweenLoadBackwardMotion", "file"): "models/backward_motion",
    ("InbetweenExtractBackwardMotion", "finetuned_unet"): "models/diffusion_models or models/checkpoints",
    ("InbetweenExtractBackwardMotion", "base_unet"): "models/diffusion_models or models/checkpoints",
}


@dataclass(frozen=True)
class Row:
    """One input. takes: what it accepts, from the schema. meaning: hand-written."""

    name: str
    takes: str
    meaning: str


def takes(node_id: str, item: Any) -> str:
    """What one input of a schema accepts, in words: type, range, default, and whether it may stay open or is advanced.

    Args:
        item: an input of the host's V3 schema.
    """
    kind = item.get_io_type()
    if kind == AUTOGROW:
        return f"{item.template.input.get_io_type()}, as many as you like, at least {max(1, item.template.min)}"
    marks = [word for word in ("optional", "advanced") if getattr(item, word)]
    if (node_id, item.id) in FOLDERS:
        return ", ".join([f"a file in {FOLDERS[node_id, item.id]}", *marks])
    if kind == "COMBO":
        return "; ".join([f"one of {', '.join(item.options)}", f"default {item.default}", *marks])
    default = getattr(item, "default", None)
    words = [] if default is None else [f"default {_shown(default)}"]
    return ", ".join([f"{kind.replace(',', ' or ')}{_range(kind, item)}", *words, *marks])


def expected_rows(schema: Any) -> list[tuple[str, str]]:
    """Name and `takes` of every input of a schema, in its order."""
    return [(item.id, takes(schema.node_id, item)) for item in schema.inputs]


def section(page: str, name: str) -> str:
    """The text below the heading `## name` of a page, up to the next heading of its level; "" if there is none."""
    found = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    return found[1] if found else ""


def input_rows(page: str) -> list[Row]:
    """The rows of the page's table of inputs, as they stand; a table without a column has "" there."""
    lines = _table(section(page, "Inputs"))
    if not lines:
        return []
    columns = _cells(lines[0])
    found = []
    for line in lines[2:]:
        cells = dict(zip(columns, _cells(line), strict=False))
        found.append(Row(cells.get("input", ""), cells.get("takes", ""), cells.get("meaning", "")))
    return found


def with_input_table(page: str, rows: Sequence[tuple[str, str]]) -> str:
    """The page with exactly these inputs in its table; a meaning stays with its input, a new input has none yet.

    A row that names several inputs gives its meaning to each of them.

    Raises:
        ValueError: the page has no heading `## Inputs`.
    """
    place = re.search(r"^## Inputs\n", page, re.M)
    if place is None:
        raise ValueError("there is no heading '## Inputs'")
    meanings = {name.strip(): row.meaning for row in input_rows(page) for name in row.name.split(",")}
    table = [*HEADER, *(f"| {name} | {words} | {meanings.get(name, '')} |" for name, words in rows)]
    table = [re.sub(" +", " ", line) for line in table]
    old = "\n".join(_table(section(page, "Inputs")))
    if old:
        return page[: place.end()] + page[place.end() :].replace(old, "\n".join(table), 1)
    return page[: place.end()] + "\n".join(table) + "\n" + page[place.end() :]


def _table(text: str) -> list[str]:
    """The lines of the first table of a text."""
    found = re.search(r"(?:^\|.*\|\n?)+", text, re.M)
    return found[0].splitlines() if found else []


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _range(kind: str, item: Any) -> str:
    if kind not in ("INT", "FLOAT"):
        return ""
    low = item.min if item.min is not None and abs(item.min) < TECHNICAL else None
    high = item.max if item.max is not None and abs(item.max) < TECHNICAL else None
    if low is not None and high is not None:
        words = f" {_plain(low)} to {_plain(high)}"
    elif low is not None:
        words = f", at least {_plain(low)}"
    else:
        words = "" if high is None else f", at most {_plain(high)}"
    return f"{words}, in steps of {item.step}" if kind == "INT" and (item.step or 1) > 1 else words


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        plain = _plain(default)
        return plain if "." in plain else f"{plain}.0"
    return str(default) or "empty"


def _plain(number: float) -> str:
    """Without an exponent and without zeros at its end: 0.00001, 0.5, 50."""
    return format(Decimal(repr(number)).normalize(), "f")

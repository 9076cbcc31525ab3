"""Folders and text files of a data set, with one sentence for what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .clip_frames import natural_order
from .clips import ClipError


def read_json(file: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ClipError: it cannot be read, or is no JSON; the line is named.
    """
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ClipError(f"{file}, line {error.lineno}: no JSON ({error.msg}); correct it or fetch it again.") from error


def read_text(file: Path) -> str:
    """A text file.

    Raises:
        ClipError: it cannot be read, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClipError(f"{file} is not UTF-8 text; save it as UTF-8.") from error
    except OSError as error:
        raise _unreadable(file, error) from error


def listing(folder: Path) -> list[Path]:
    """What lies in a folder, in the order of the numbers in its names; hidden files left out.

    Raises:
        ClipError: it cannot be read.
    """
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=natural_order)
    except OSError as error:
        raise _unreadable(folder, error) from error


def _unreadable(path: Path, error: OSError) -> ClipError:
    return ClipError(f"{path} cannot be read ({error.strerror or error}); check it and its permissions.")


def has_ending(path: Path, endings: Sequence[str]) -> bool:
    """Whether a file's name ends in one of them, in capitals or not."""
    return path.suffix.lower() in endings


def listed(items: Sequence[Any]) -> str:
    """Some items in a sentence."""
    return ", ".join(str(item) for item in items)

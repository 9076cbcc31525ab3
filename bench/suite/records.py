"""What is kept of a video: its frames, and a record of what they and their scores depend on. There is no other truth.

    frames/<workflow>/<length>/<clip>.mkv     every frame; the key of what it was made from is in the file
    scores/<workflow>/<length>/<clip>.json    the record: made (of what, and how), source (state and digest of the
                                              clip's files), scores (by measure: of what, numbers)

Every file is written whole, the frames before the record. What is wanted now is done where the record says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .whole_files import whole_file

Record = dict[str, Any]
OWN = "suite"  # the measures of clip_scores.py


@dataclass(frozen=True)
class VideoFiles:
    """Where everything of one video lies. shown, truth: for the eye."""

    record: Path
    exact: Path
    shown: Path
    truth: Path


def key_of(parts: Any) -> str:
    """What a result is known by: equal for equal parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def made_key(record: Record) -> str:
    """Of the frames of a record."""
    return key_of(record["made"]["of"])


def read_record(path: Path) -> Record | None:
    """None where there is none, or one that is damaged: then it is made anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if {"made", "source", "scores"} <= found.keys() else None
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
        return None


def write_record(path: Path, record: Record) -> None:
    """Raises OSError, a sentence, where it cannot."""
    with whole_file(path) as new:
        new.write_text(json.dumps(record), encoding="utf-8")


def add_scores(path: Path, measure: str, of: str, numbers: Mapping[str, float | None], **more: Any) -> None:
    """Adds the numbers of a measure to a record that is there. of: the key of what they depend on."""
    record = read_record(path)
    if record is not None:
        record["scores"][measure] = {"of": of, "numbers": dict(numbers), **more}
        write_record(path, record)

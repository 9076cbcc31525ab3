"""TGI-Bench: the clips that its caption files describe; dataset.py says in which layouts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .clips import ClipError, SuiteClip
from .data_files import listing, read_json

CAPTION_FILE = re.compile(r"(\d+)_dataset_caption\.json")


def caption_files(folder: Path) -> dict[int, Path]:
    """Length -> caption file, by length: those directly in the folder, or else those one folder down.

    Raises:
        ClipError: two folders have one for the same length, or the folder cannot be read.
    """
    found = _caption_files_in(folder)
    if not found:
        for below in (path for path in listing(folder) if path.is_dir()):
            for length, path in _caption_files_in(below).items():
                if length in found:
                    raise ClipError(f"{path} and {found[length]} are for the same length; give the folder of one.")
                found[length] = path
    return dict(sorted(found.items()))


def _caption_files_in(folder: Path) -> dict[int, Path]:
    matches = ((CAPTION_FILE.fullmatch(path.name), path) for path in folder.glob("*_dataset_caption.json"))
    return {int(match[1]): path for match, path in matches if match and int(match[1]) > 1}


def described_clips(
    folder: Path, file: Path, length: int, caption: str | None, left_out: list[str]
) -> Iterator[SuiteClip]:
    """The clips of one caption file, in its order.

    Args:
        folder: that was given; `file` lies in it or one folder down.
        length: N of the file.
        caption: for entries without one; None leaves them out.
        left_out: gets a sentence for every entry that is no clip, and one if the file cannot be read.
    """
    try:
        entries = _entries(file)
    except ClipError as error:
        left_out.append(str(error))
        return
    places = _places(file.parent, folder, length)
    for label, entry in entries:
        try:
            clip = _described_clip(entry, places, length, caption)
        except ClipError as error:
            left_out.append(f"{file}: {label} {error}")
        else:
            yield clip


def _entries(file: Path) -> Iterator[tuple[str, Any]]:
    """(what to call it, entry) of a caption file.

    Raises:
        ClipError: it is no JSON, or neither a list nor {folder: entry}.
    """
    read = read_json(file)
    if isinstance(read, list):
        return ((f"entry {number}", entry) for number, entry in enumerate(read, 1))
    if isinstance(read, dict):
        named = ((name, {"folder": name, **one} if isinstance(one, dict) else one) for name, one in read.items())
        return ((f"entry {name!r}", entry) for name, entry in named)
    raise ClipError(f"{file} holds neither a list of entries nor an entry for each folder; fetch it again.")


def _described_clip(entry: Any, places: Sequence[Path], length: int, caption: str | None) -> SuiteClip:
    """The clip of an entry.

    Raises:
        ClipError: the end of a sentence that starts with the entry.
    """
    if not isinstance(entry, dict):
        raise ClipError('is not of the form {"folder": ..., "caption": ...}.')
    inside = _inside(entry.get("folder"))
    told = _text(entry, "caption") or caption
    if told is None:
        raise ClipError(f"({'/'.join(inside)}) has no caption; write one, or give --caption for those without.")
    candidates = [place.joinpath(*inside) for place in places]
    source = next((path for path in candidates if os.path.exists(path)), candidates[0])
    while len(inside) > 1 and inside[0] in _parents(length):
        inside = inside[1:]
    return SuiteClip(
        name="/".join(inside),
        kind=_text(entry, "challenge"),
        length=length,
        caption=told,
        reverse_caption=_text(entry, "reverse_caption"),
        source=source,
    )


def _inside(folder: Any) -> tuple[str, ...]:
    """The parts of an entry's folder, below the data folder."""
    text = str(folder) if isinstance(folder, int) and not isinstance(folder, bool) else folder
    if not isinstance(text, str) or "\0" in text:
        raise ClipError("has no folder; write the name of the clip's folder.")
    path = PurePosixPath(text.strip().replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(text).drive:
        raise ClipError(f"has the folder {text!r}, which leads out of the data folder; write it from there.")
    if not path.parts:
        raise ClipError("has no folder; write the name of the clip's folder.")
    return path.parts


def _places(beside: Path, given: Path, length: int) -> list[Path]:
    """The folders in which a clip's folder may lie, in the order they are tried."""
    places = []
    for base in dict.fromkeys((beside, given)):
        places += [base / str(length), base / f"{length}_frames", base, base / "frames"]
    return [place for place in places if place.is_dir()]


def _parents(length: int) -> tuple[str, ...]:
    return str(length), f"{length}_frames", "frames"


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ClipError(f"has a {name} that is not text; write it in quotes.")
    return value.strip()

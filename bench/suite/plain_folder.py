"""Any folder of clips: videos, folders of pictures, and folders of videos; dataset.py says where captions lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .clip_frames import PICTURES, VIDEOS
from .clips import ClipError, SuiteClip
from .data_files import has_ending, listing, read_json, read_text

CAPTIONS = "captions.json"


def found_clips(folder: Path, length: int, caption: str | None, left_out: list[str]) -> Iterator[SuiteClip]:
    """The clips of a folder, in the order of their names.

    Args:
        length: N that they are to have; whether they do is seen when their frames are read.
        caption: for clips without one; None leaves them out.
        left_out: gets a sentence for everything that is no clip.
    """
    captions = _captions(folder, left_out)
    for kind, path in _sources(folder, left_out):
        name = path.name if path.is_dir() else path.stem
        name = f"{kind}/{name}" if kind else name
        try:
            told = _beside(path) or _given(captions, name, path) or caption
        except ClipError as error:
            left_out.append(str(error))
            continue
        if told is not None:
            yield SuiteClip(name, kind, length, caption=told, reverse_caption="", source=path)
        else:
            left_out.append(
                f"{path} has no caption; write one into {_caption_path(path).name} beside it, or give --caption."
            )


def _sources(folder: Path, left_out: list[str]) -> Iterator[tuple[str, Path]]:
    """(kind, video or folder of pictures)."""
    for path in listing(folder):
        if not path.is_dir():
            if has_ending(path, VIDEOS):
                yield "", path
            continue
        try:
            inside = listing(path)
        except ClipError as error:
            left_out.append(str(error))
            continue
        videos = [below for below in inside if has_ending(below, VIDEOS)]
        if videos:
            yield from ((path.name, video) for video in videos)
        elif any(has_ending(below, PICTURES) for below in inside):
            yield "", path
        else:
            left_out.append(f"{path} holds neither pictures nor videos; clips lie at most one folder down.")


def _captions(folder: Path, left_out: list[str]) -> dict[str, Any]:
    file = folder / CAPTIONS
    if not file.exists():
        return {}
    try:
        read = read_json(file)
    except ClipError as error:
        left_out.append(str(error))
        return {}
    if isinstance(read, dict):
        return read
    left_out.append(f'{file} is not of the form {{"name": "caption"}}, so its captions are left out.')
    return {}


def _given(captions: Mapping[str, Any], name: str, path: Path) -> str:
    """What captions.json says of a clip, under its name, with its kind or without, with its ending or without."""
    ending = "" if path.is_dir() else path.suffix
    plain = name.rpartition("/")[2]
    key = next((key for key in (name, name + ending, plain, plain + ending) if key in captions), None)
    if key is None:
        return ""
    if not isinstance(captions[key], str):
        raise ClipError(f"{CAPTIONS}: the caption of {key!r} is not text; write it in quotes.")
    return captions[key].strip()


def _beside(path: Path) -> str:
    file = _caption_path(path)
    return read_text(file).strip() if file.is_file() else ""


def _caption_path(path: Path) -> Path:
    return path.with_name((path.name if path.is_dir() else path.stem) + ".txt")

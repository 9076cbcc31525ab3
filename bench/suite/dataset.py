"""The clips that workflows are judged on: TGI-Bench as its authors publish it, or any folder of clips.

TGI-Bench (Hugging Face: use08174/TGI-Benchmark), as its README shows it:

    25_dataset_caption.json, 33_..., 65_..., 81_...   a list of {folder, first_image_desc, last_image_desc, challenge,
                                                      caption} each; `reverse_caption` is ours and may be absent
    aerobatics/00000.jpg, 00001.jpg, ...              a clip, one picture a frame

The data itself was not at hand, so more than that is read: caption files may lie one folder down; they may hold
{folder: entry} in place of a list; and a clip's pictures are looked for, of length N, in <N>/folder, <N>_frames/folder,
folder and frames/folder, first beside the caption file and then in the folder that was given. The first that exists
counts. Whether TGI-Bench's lengths share their folders is not written there; a folder with more than N pictures gives
its first N, one after another in the order of their numbers.

A plain folder holds videos, folders of pictures (a clip each), or folders of videos, whose name is then their kind; a
folder with both videos and pictures counts as one of videos. Every clip gives its first N frames. Its caption is in
`<name>.txt` beside it, else in captions.json ({name: caption}) of the folder that was given, else it is the one that
was given for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from .clip_frames import PICTURES, VIDEOS
from .clips import ClipError, SuiteClip
from .data_files import has_ending, listed, listing
from .plain_folder import found_clips
from .tgi_bench import caption_files, described_clips

# Reads the clips of one length and adds to a list what could not become a clip, a sentence each.
Read = Callable[[int, list[str]], Iterator[SuiteClip]]


class Dataset:
    """Clips of some lengths.

    Attributes:
        name: of the folder.
        lengths: N, video frames, in the order they are read.
        left_out: what could not become a clip, a sentence each; complete once an iteration over `clips` has ended.
    """

    def __init__(self, name: str, lengths: Sequence[int], read: Read, absent: Sequence[str] = ()) -> None:
        """absent: sentences on what was asked for and is not there at all."""
        self.name, self.lengths, self.left_out = name, tuple(lengths), list(absent)
        self._read = read

    def clips(self) -> Iterator[SuiteClip]:
        """Every clip, length by length, in the data's own order; each iteration starts anew.

        A name may hold a slash: a plain folder's clips of a kind are called kind/name. No picture is opened, and no
        folder of TGI-Bench's frames is listed. Cost: one caption file at a time and the names in it.
        """
        for length in self.lengths:
            names: set[str] = set()
            for clip in self._read(length, self.left_out):
                if clip.name in names:
                    self.left_out.append(f"{clip.source} is left out: another clip is called {clip.name!r} too.")
                else:
                    names.add(clip.name)
                    yield clip
            self.left_out[:] = dict.fromkeys(self.left_out)  # what holds for every length, or was told before, once


def open_dataset(folder: Path, lengths: Sequence[int] | None, caption: str | None) -> Dataset:
    """The clips of a folder, whichever of the layouts above it has.

    Args:
        folder: with the data.
        lengths: N of the clips wanted; None for all that TGI-Bench's caption files name. A plain folder names none.
        caption: for the clips without one; None leaves them out.
    Raises:
        ClipError: there is no such folder, nothing in it is a clip, or none of the lengths can be had.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ClipError(f"{folder} is not a folder; give the folder that holds the clips.")
    wanted = tuple(dict.fromkeys(lengths or ()))
    if any(length < 2 for length in wanted):
        raise ClipError(f"A length of {min(wanted)} frames makes no video; give lengths of 2 or more.")
    files = caption_files(folder)
    return _tgi_bench(folder, files, wanted, caption) if files else _plain(folder, wanted, caption)


def _tgi_bench(folder: Path, files: Mapping[int, Path], wanted: Sequence[int], caption: str | None) -> Dataset:
    there = ", ".join(str(length) for length in files)
    absent = tuple(
        f"{folder} has no {length}_dataset_caption.json, so length {length} is left out; there are those of {there}."
        for length in wanted
        if length not in files
    )
    lengths = tuple(length for length in wanted or files if length in files)
    if not lengths:
        raise ClipError(f"{folder} has no captions for length {listed(wanted)}; there are those of {there}.")

    def read(length: int, left_out: list[str]) -> Iterator[SuiteClip]:
        return described_clips(folder, files[length], length, caption, left_out)

    return Dataset(folder.resolve().name, lengths, read, absent)


def _plain(folder: Path, wanted: Sequence[int], caption: str | None) -> Dataset:
    found = [path for path in listing(folder) if path.is_dir() or has_ending(path, VIDEOS)]
    if not found:
        above = any(has_ending(path, PICTURES) for path in listing(folder))
        hint = "it holds pictures itself: give the folder above it" if above else f"it needs {listed(VIDEOS)} files"
        raise ClipError(f"{folder} holds no clips; {hint}, or folders of pictures.")
    if not wanted:
        raise ClipError(f"{folder} has no caption files that name lengths; give --lengths, such as --lengths 33 81.")

    def read(length: int, left_out: list[str]) -> Iterator[SuiteClip]:
        return found_clips(folder, length, caption, left_out)

    return Dataset(folder.resolve().name, wanted, read)

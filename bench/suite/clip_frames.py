"""The true frames of a clip, read from its pictures or its video and brought to the size of all.

symbol   here       shape            unit
N        length     --               video frames
H, W     --         --               pixels
--       frames     [N, H, W, 3]     RGB, 0..255
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import SideData
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .clips import ClipError, SuiteClip

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
LAST_NUMBER = re.compile(r"\d+(?=\D*$)")


def truth_frames(clip: SuiteClip, width: int, height: int) -> NDArray[np.uint8]:
    """The first N frames of a clip, cropped about the centre to the aspect and scaled (Lanczos).

    Frames that have the size already are returned as they are. Pictures and videos that are to be turned for the eye
    (EXIF, a phone's display matrix) are turned; what is transparent lies over black.

    Args:
        clip: with its length and its source.
        width, height: pixels.
    Returns:
        [N, H, W, 3] RGB.
    Raises:
        ClipError: the source is missing, has fewer than N frames, a frame cannot be read, or their sizes differ.
    Cost: memory for the result and one frame.
    """
    frames = np.empty((clip.length, height, width, 3), np.uint8)
    sizes: list[tuple[str, tuple[int, int]]] = []
    try:
        with contextlib.closing(_frames(clip)) as shown:
            for place, (name, picture) in zip(range(clip.length), shown, strict=False):
                sizes.append((name, picture.size))
                if len(sizes) == 1 or picture.size == sizes[0][1]:
                    frames[place] = np.asarray(_fitted(picture, width, height))
    except OSError as error:
        raise ClipError(f"{clip.source} cannot be read ({error.strerror or error}); check its permissions.") from error
    if len(sizes) < clip.length:
        raise _too_short(clip, len(sizes))
    ((most, _), *others) = Counter(size for _, size in sizes).most_common()
    if others:
        name, odd = next((name, size) for name, size in sizes if size != most)
        told = "{}x{} pixels, most frames {}x{}".format(*odd, *most)
        raise ClipError(f"{name} has {told}; bring the frames of {clip.name} to one size.")
    return frames


def natural_order(path: Path) -> tuple[list[str | int], str]:
    """A key for sorting: numbers in a name count as numbers, so frame_2 comes before frame_10."""
    parts: list[str | int] = list(re.split(r"(\d+)", path.name.casefold()))
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, path.name


def source_state(clip: SuiteClip) -> str:
    """What tells quickly that the files of a clip are those of before: their names, sizes and times.

    Raises:
        ClipError: as `truth_frames`.
    """
    stats = [(path.name, path.stat()) for path in _files(clip)]
    told = [(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats]
    return hashlib.sha256(repr(told).encode()).hexdigest()[:32]


def source_digest(clip: SuiteClip) -> str:
    """What the frames of a clip are known by: the bytes of its files, whatever they are called and wherever they lie.

    Raises:
        ClipError: as `truth_frames`.
    """
    every = hashlib.sha256()
    for path in _files(clip):
        every.update(hashlib.sha256(path.read_bytes()).digest())
    return every.hexdigest()[:32]


def _files(clip: SuiteClip) -> list[Path]:
    """The video, or the pictures of the first N frames in their order."""
    try:
        if clip.source.is_dir():
            return _pictures(clip)
        if clip.source.is_file():
            return [clip.source]
    except OSError as error:
        raise ClipError(f"{clip.source} cannot be read ({error.strerror or error}); check its permissions.") from error
    raise ClipError(f"{clip.source}, the frames of {clip.name}, is missing; fetch the data again.")


def _pictures(clip: SuiteClip) -> list[Path]:
    """The first N of a sequence: names that differ in their last number alone, or, without numbers, in any way."""
    found = [path for path in clip.source.iterdir() if path.suffix.lower() in PICTURES]
    paths = sorted((path for path in found if not path.name.startswith(".")), key=natural_order)
    if len(paths) < clip.length:
        raise _too_short(clip, len(paths))
    chosen, counts = paths[: clip.length], Counter(map(_pattern, paths))
    sequence = max(counts, key=lambda pattern: (counts[pattern], "#" in pattern))
    if "#" not in sequence:
        return chosen
    ours = [path for path in paths if _pattern(path) == sequence]
    for path in chosen:
        if _pattern(path) != sequence:
            raise ClipError(
                f"{path} stands before the end of {clip.name} and is none of its frames by its name, unlike "
                f"{ours[0].name} to {ours[-1].name}; take it out of the folder."
            )
    for one, other in pairwise(chosen):
        if _number(one) == _number(other):
            raise ClipError(f"{one} and {other.name} are both frame {_number(one)} of {clip.name}; keep one of them.")
    return chosen


def _pattern(path: Path) -> str:
    """A picture's name with "#" for its last number, the frame's."""
    return LAST_NUMBER.sub("#", path.stem)


def _number(path: Path) -> int:
    return int(LAST_NUMBER.search(path.stem)[0])


def _frames(clip: SuiteClip) -> Iterator[tuple[str, Image.Image]]:
    """(what to call it, picture in RGB) of a clip's frames."""
    for path in _files(clip):
        if path == clip.source:
            yield from _decoded(path)
        else:
            yield str(path), _opened(path)


def _opened(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = "no picture" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise ClipError(f"{path} is broken ({reason}); fetch it again.") from error
    if upright.mode[0] in "IF":
        raise ClipError(f"{path} has more than 8 bits a pixel in one channel; save it as RGB.")
    return _over_black(upright)


def _decoded(path: Path) -> Iterator[tuple[str, Image.Image]]:
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError(f"{path} has no video in it; take it out of the folder.")
            for number, frame in enumerate(container.decode(video=0)):
                yield f"{path}, frame {number},", _picture(frame)
    except av.FFmpegError as error:
        raise ClipError(f"{path} cannot be decoded ({error.strerror or error}); fetch it again.") from error


def _picture(frame: av.VideoFrame) -> Image.Image:
    clear = frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)
    pixels = frame.to_ndarray(format="rgba" if clear else "rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return _over_black(Image.fromarray(_upright(pixels, matrix)))


def _upright(pixels: NDArray[np.uint8], matrix: SideData | None) -> NDArray[np.uint8]:
    """[H, W, C] as it is to be shown: turned by quarters and mirrored.

    matrix: a 3x3 display matrix of int32, by rows a b u, c d v, x y w; it takes (x, y) to (a x + c y, b x + d y).
    """
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5].tolist()
    if abs(b) > abs(a):  # columns become rows
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _over_black(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture)
    return picture.convert("RGB")


def _fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    if picture.size == (width, height):
        return picture
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS, centering=(0.5, 0.5))


def _too_short(clip: SuiteClip, count: int) -> ClipError:
    return ClipError(
        f"{clip.source} has {count} frames, and {clip.length} are asked for: the clip is shorter than asked; "
        "give a longer one or a smaller length."
    )

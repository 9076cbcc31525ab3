"""The true frames of a clip, read from its pictures or its video and brought to the size of all.

symbol   here       shape            unit
N        length     --               video frames
H, W     --         --               pixels
--       frames     [N, H, W, 3]     RGB, 0..255
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from .clips import ClipError, SuiteClip

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")


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
    size, count = None, 0
    try:
        with contextlib.closing(_shown(clip)) as shown:
            for place, (name, picture) in zip(range(clip.length), shown, strict=False):
                if size is not None and picture.size != size:
                    sizes = "{}x{} pixels, the frames before it {}x{}".format(*picture.size, *size)
                    raise ClipError(f"{name} has {sizes}; bring the frames of {clip.name} to one size.")
                size, count = picture.size, place + 1
                frames[place] = np.asarray(_fitted(picture, width, height))
    except OSError as error:
        raise ClipError(f"{clip.source} cannot be read ({error.strerror or error}); check its permissions.") from error
    if count < clip.length:
        raise _too_short(clip, count)
    return frames


def natural_order(path: Path) -> tuple[list[str | int], str]:
    """A key for sorting: numbers in a name count as numbers, so frame_2 comes before frame_10."""
    parts: list[str | int] = list(re.split(r"(\d+)", path.name.casefold()))
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, path.name


def _shown(clip: SuiteClip) -> Iterator[tuple[str, Image.Image]]:
    """(what to call it, picture in RGB) of a clip's frames."""
    if clip.source.is_dir():
        yield from _pictures(clip)
    elif clip.source.is_file():
        yield from _decoded(clip.source)
    else:
        raise ClipError(f"{clip.source}, the frames of {clip.name}, is missing; fetch the data again.")


def _pictures(clip: SuiteClip) -> Iterator[tuple[str, Image.Image]]:
    found = [path for path in clip.source.iterdir() if path.suffix.lower() in PICTURES]
    paths = sorted((path for path in found if not path.name.startswith(".")), key=natural_order)
    if len(paths) < clip.length:
        raise _too_short(clip, len(paths))
    for path in paths:
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
    return _over_black(Image.fromarray(np.rot90(pixels, frame.rotation // 90).copy()))


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

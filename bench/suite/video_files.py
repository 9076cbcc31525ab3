"""The suite's videos on disk: every frame exactly (FFV1 in .mkv) for scores, and H.264 (.mp4) for the eye.

A file is written beside its place and then renamed, so that what has the right name is whole, even after a power cut.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .whole_files import whole_file

Frames = NDArray[np.uint8]  # [N, H, W, 3], RGB


def decoded_pictures(pictures: Sequence[bytes]) -> Frames:
    """PNG files of one size as frames. Raises ValueError where there are none, one is broken, or sizes differ."""
    frames = [_decoded(number, one) for number, one in enumerate(pictures)]
    if len({frame.shape for frame in frames}) != 1:
        raise ValueError("the workflow gave no frames" if not frames else "the workflow gave frames of several sizes")
    return np.stack(frames)


def _decoded(number: int, picture: bytes) -> NDArray[np.uint8]:
    try:
        return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"frame {number} that the server handed over is broken ({error})") from None


def encoded_picture(frame: NDArray[np.uint8]) -> bytes:
    """[H, W, 3] as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    return file.getvalue()


def write_exactly(path: Path, frames: Frames, fps: float, key: str = "") -> None:
    """Every frame bit for bit, as FFV1. key: of what they depend on, kept in the file."""
    _write(path, frames, fps, "ffv1", "bgr0", {"level": "3", "slicecrc": "1"}, key)


def write_for_the_eye(path: Path, frames: Frames, fps: float, key: str = "") -> None:
    """H.264 that browsers play; sides are even."""
    _write(path, frames, fps, "libx264", "yuv420p", {"crf": "16", "preset": "veryfast", "movflags": "+faststart"}, key)


def write_as_rgb(path: Path, frames: Frames, fps: float) -> None:
    """Every frame bit for bit as H.264 in RGB, for readers that know .mp4 alone."""
    _write(path, frames, fps, "libx264rgb", "rgb24", {"crf": "0", "preset": "ultrafast"})


def kept_key(path: Path) -> str:
    """The key in a file, "" where there is no such file or none in it."""
    try:
        with av.open(str(path)) as file:
            return _key(file)
    except (FileNotFoundError, av.error.FFmpegError):
        return ""


def read_video(path: Path, key: str = "") -> Frames:
    """The frames of a file of `write_exactly`. Raises ValueError where it was not written with that key."""
    with av.open(str(path)) as file:
        if _key(file) != key:
            raise ValueError(f"{path} holds the frames of something else")
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def resampled(frames: Frames, length: int) -> Frames:
    """`length` frames spread evenly over a video, each the nearest there is; the first and last stay.

    The same rule for every method: frame round(n (M - 1) / (N - 1)) of M for frame n of N.
    """
    if len(frames) == length:
        return frames
    return frames[nearest_frames(len(frames), length)]


def nearest_frames(there: int, length: int) -> list[int]:
    """Which frames of `there` stand for each of `length` frames."""
    if length == 1:
        return [0]
    return [(2 * n * (there - 1) + length - 1) // (2 * (length - 1)) for n in range(length)]


def resized(frames: Frames, width: int, height: int) -> Frames:
    """Frames at another size, the aspect ignored, by Pillow's Lanczos filter; untouched at the right one."""
    if frames.shape[1:3] == (height, width):
        return frames
    size, how = (width, height), Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(frame).resize(size, how)) for frame in frames])


def file_name(name: str) -> str:
    """A name of a clip or workflow as a name that every file system takes; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80]
    return plain if plain and plain == name else f"{plain or 'clip'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Writes a file, and its folder, so that it is whole or not there. Raises OSError, a sentence, where it cannot."""
    with whole_file(path) as new:
        new.write_bytes(content)


def _key(file: av.container.InputContainer) -> str:
    return {name.lower(): value for name, value in file.metadata.items()}.get("comment", "")


def _write(
    path: Path, frames: Frames, fps: float, codec: str, layout: str, options: dict[str, str], key: str = ""
) -> None:
    file = io.BytesIO()
    kind = {".mkv": "matroska", ".mp4": "mp4"}[path.suffix]
    with av.open(file, "w", format=kind) as container:
        container.metadata["comment"] = key
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = layout
        stream.codec_context.thread_count = 1  # the same bytes on every machine
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    write_bytes(path, file.getbuffer())

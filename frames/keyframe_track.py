"""Keyframe track: which picture is asked for at which frame of the video. Pure torch, immutable.

symbol   here        shape        unit
N        length      --           video frames
n        frame       --           video frame, 0 is the first, N-1 the last
I_n      image       [1,H,W,3]    colour 0..1, at the picture's own size

Differences from the papers: none; AFB's first, last and anchor frames are keyframes like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

FITS = ("crop", "pad", "stretch")


@dataclass(frozen=True, eq=False)
class Keyframe:
    """One picture at one frame.

    frame: n, 0 to length-1. image: [1,H,W,3] in 0..1. strength: 0..1, how firmly the frame is held (1 = fixed).
    source: where it came from, for reports and errors. change: what was altered on the way in, empty if nothing was.
    """

    frame: int
    image: Tensor
    strength: float = 1.0
    source: str = "image"
    change: str = ""


@dataclass(frozen=True, eq=False)
class KeyframeTrack:
    """A video's size, length and rate, and its keyframes in order of time. Every change returns a new track."""

    width: int
    height: int
    length: int
    fps: float = 16.0
    fit: str = "crop"
    keyframes: tuple[Keyframe, ...] = ()

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length must be at least 1 frame, got {self.length}.")
        if not self.fps > 0:
            raise ValueError(f"fps must be above 0, got {self.fps:g}.")
        if self.fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {self.fit!r}.")

    def at(self, frame: int) -> Keyframe | None:
        """The keyframe on a frame (0 to length-1), or None."""
        return next((keyframe for keyframe in self.keyframes if keyframe.frame == frame), None)

    @property
    def seconds(self) -> float:
        """Duration, length / fps."""
        return self.length / self.fps

    @property
    def first(self) -> Keyframe | None:
        """The keyframe on frame 0, or None."""
        return self.at(0)

    @property
    def last(self) -> Keyframe | None:
        """The keyframe on the last frame, or None. A video of one frame has a first and no last."""
        return self.at(self.length - 1) if self.length > 1 else None

    def frame_index(self, frame: int) -> int:
        """The frame counted from the start: negative numbers count from the end, -1 is the last.

        Raises:
            ValueError: frame is outside the video.
        """
        if not -self.length <= frame < self.length:
            raise ValueError(
                f"frame {frame} is outside a video of {self.length} frames: use 0 to {self.length - 1}, "
                f"or -{self.length} to -1 to count from the end."
            )
        return frame % self.length

    def with_keyframe(self, keyframe: Keyframe) -> KeyframeTrack:
        """A track with one keyframe more; keyframe.frame may be negative to count from the end.

        Raises:
            ValueError: the frame is outside the video or already taken, or strength is outside 0..1.
        """
        frame = self.frame_index(keyframe.frame)
        if not 0.0 <= keyframe.strength <= 1.0:
            raise ValueError(f"strength of {keyframe.source} must be between 0 and 1, got {keyframe.strength}.")
        taken = self.at(frame)
        if taken is not None and self.length == 1:
            raise ValueError(
                f"length is 1, and {taken.source} is on its only frame, so {keyframe.source} has no place: set length "
                f"to 2 or more in Keyframes."
            )
        if taken is not None:
            free = [n for n in (frame - 1, frame + 1) if 0 <= n < self.length and self.at(n) is None]
            nearest = f"; the nearest free frames are {' and '.join(map(str, free))}" if free else ""
            raise ValueError(
                f"frame {frame} already holds {taken.source}, so {keyframe.source} cannot go there too{nearest}."
            )
        keyframes = sorted((*self.keyframes, replace(keyframe, frame=frame)), key=lambda item: item.frame)
        return replace(self, keyframes=tuple(keyframes))

    def reversed(self) -> KeyframeTrack:
        """The same pictures in reverse time: frame n becomes length-1-n."""
        mirrored = (replace(item, frame=self.length - 1 - item.frame) for item in reversed(self.keyframes))
        return replace(self, keyframes=tuple(mirrored))


def single_picture(image: Tensor, source: str) -> tuple[Tensor, str]:
    """One colour picture [1,H,W,3] in float32 and a note of what was changed ("" if nothing).

    A grey picture [1,H,W,1] is repeated to three channels, a fourth (alpha) channel is dropped.

    Args:
        image: [B,H,W,C] in 0..1, C of 1, 3 or 4.
        source: the node's input, named in errors.
    Raises:
        ValueError: a batch of several pictures, another number of channels, or values that are not numbers.
    """
    if image.ndim != 4:
        raise ValueError(f"{source} must be an image [1, height, width, channels], got shape {list(image.shape)}.")
    if image.shape[0] != 1:
        raise ValueError(
            f"{source} is a batch of {image.shape[0]} images, a keyframe is exactly 1: "
            f"pick one with 'ImageFromBatch' (length 1), or put all of them on the video with Storyboard."
        )
    colour, change = colour_frames(image, source)
    if not torch.isfinite(image).all():
        raise ValueError(f"{source} has pixels that are not numbers (NaN or infinite); load or make it again.")
    return colour, change


def colour_frames(images: Tensor, source: str) -> tuple[Tensor, str]:
    """Pictures [B,H,W,3] in float32 and a note of what was changed ("" if nothing): grey repeated, alpha dropped.

    Args:
        images: [B,H,W,C] in 0..1, C of 1, 3 or 4.
        source: the node's input, named in errors.
    Raises:
        ValueError: another number of channels.
    """
    channels = images.shape[-1]
    if channels not in (1, 3, 4):
        raise ValueError(f"{source} has {channels} channels; pictures have 1 (grey), 3 (RGB) or 4 (RGBA).")
    if channels == 1:
        return images.expand(-1, -1, -1, 3).float(), "grey, repeated to RGB"
    return images[..., :3].float(), "alpha dropped" if channels == 4 else ""

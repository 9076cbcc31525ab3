"""Several video segments as one video, with numbers for every seam. Pure torch.

symbol    here           shape      unit
n_i       --             --         frames of segment i
o         overlap        --         frames that two neighbours share: the last o of the one are the first o of the next
b         blend          --         of those, frames that are cross-faded, 0 <= b <= o
N         --             --         sum n_i - o (segments - 1)
--        steps          [N-1]      mean |I_n - I_n+1|, 1/255
--        rate           --         frames per second, an exact fraction

Source: ours. The shared frames are the earlier segment's. Of the last b of them, frame j = 1..b takes the share
j / (b + 1) from the later segment, so that it comes in evenly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from .finite_frames import finite_frames
from .keyframe_track import colour_frames
from .perceptual_distance import Watch
from .slot_order import Slots, slot_videos, still_picture

SEGMENTS = tuple(f"segment_{number}" for number in range(1, 51))
BROADCAST = (24, 30, 48, 60, 120)  # rates that also exist slower by 1000/1001
STILL = 0.25  # of the median step: a smaller jump is a frame shown twice


@dataclass(frozen=True, eq=False)
class JoinedVideo:
    """images: [N,H,W,3] float32 in 0..1. rate: frames per second. report: text."""

    images: Tensor
    rate: Fraction
    report: str


@dataclass(frozen=True)
class Seam:
    """Where a segment follows on another. frame: the first that is its alone. shared: mean difference, 1/255, of the
    frames that both show, or None if there are none.
    """

    before: str
    name: str
    frame: int
    shared: float | None


@torch.no_grad()
def join_segments(
    segments: Slots,
    overlap: int = 1,
    blend: int = 0,
    fps: float = 16.0,
    watch: Watch | None = None,
) -> JoinedVideo:
    """One video of the segments in their order, without the frames that they repeat.

    Args:
        segments: by names out of SEGMENTS, [n,H,W,C] in 0..1 or several of them, C of 1, 3 or 4; all of one size.
        overlap: o, frames that each segment repeats from the end of the one before, below the shortest n.
        blend: b, how many of them are cross-faded, 0 to overlap.
        fps: frames per second, see `exact_rate`.
        watch: follows the frames, see `perceptual_distance.Watch`.
    Returns:
        images on the first segment's device; a single segment is itself, not a copy.
    Raises:
        ValueError: no segment, sizes that differ, a segment too short, numbers out of range, or pixels that are none.
    Cost: memory for the result and two frames.
    """
    rate = exact_rate(fps)
    videos = {item.name: item.images for item in slot_videos(segments, SEGMENTS)}
    _check(videos, overlap, blend)
    total = _joined_length(videos, overlap)
    done = watch(sum(map(len, videos.values())) + total - 1) if watch else None
    images, seams = _joined(videos, overlap, blend, done)
    steps = _steps(images, done)
    return JoinedVideo(images, rate, _report(images, videos, seams, steps, overlap, blend, rate))


def exact_rate(fps: float) -> Fraction:
    """Frames per second as an exact fraction: 16 for 16, 24000/1001 for 23.976 and 23.98, 16/3 for 5.33333.

    Raises:
        ValueError: fps is below 0.01 or not a number.
    """
    if not 0.01 <= fps < math.inf:
        raise ValueError(f"fps must be at least 0.01, got {fps:g}.")
    for whole in BROADCAST:
        if abs(fps - whole * 1000 / 1001) < 0.005:
            return Fraction(whole * 1000, 1001)
    return Fraction(fps).limit_denominator(1001)


def _check(segments: Mapping[str, Tensor], overlap: int, blend: int) -> None:
    """Raises ValueError in one sentence if these cannot be joined so."""
    if not segments:
        raise ValueError("segments is empty: connect a video to segment_1, or turn on the nodes before it.")
    if overlap < 0:
        raise ValueError(f"overlap must be 0 or more frames, got {overlap}.")
    if not 0 <= blend <= overlap:
        raise ValueError(
            f"blend must be 0 to {overlap} with overlap {overlap}, got {blend}: lower blend or raise overlap, for only "
            f"frames that both segments have can be blended."
        )
    first_name, first = next(iter(segments.items()))
    for name, segment in segments.items():
        if len(segment) == 1 < len(segments) and (overlap > 0 or segment.shape[1:3] != _usual_size(segments)):
            raise ValueError(f"{still_picture(name)} Turn it on, or mute it to leave it out.")
    for name, segment in segments.items():
        colour_frames(segment[:1], name)
        if segment.shape[1:3] != first.shape[1:3]:
            raise ValueError(
                f"{name} is {_size(segment)}, {first_name} is {_size(first)}: scale one so that all are equally large."
            )
        if len(segment) <= overlap and (len(segments) > 1 or not len(segment)):
            remedy = f"lower overlap to {len(segment) - 1}, or make it longer" if len(segment) else "make it longer"
            raise ValueError(
                f"{name} has {len(segment)} frames, with overlap {overlap} it needs at least {overlap + 1}: {remedy}."
            )


def _usual_size(segments: Mapping[str, Tensor]) -> torch.Size:
    """Height and width of the longest segment."""
    return max(segments.values(), key=len).shape[1:3]


def _joined_length(segments: Mapping[str, Tensor], overlap: int) -> int:
    return sum(map(len, segments.values())) - overlap * (len(segments) - 1)


def _joined(
    segments: Mapping[str, Tensor], overlap: int, blend: int, done: Callable[[int], None] | None
) -> tuple[Tensor, list[Seam]]:
    """The joined frames, and the seams. Raises ValueError if a pixel is not a number."""
    names = list(segments)
    first = segments[names[0]]
    if len(names) == 1:
        if done:
            done(len(first))
        return finite_frames(names[0], first)[0], []
    made = torch.empty(_joined_length(segments, overlap), *first.shape[1:3], 3, device=first.device)
    seams, end = [], 0
    for place, name in enumerate(names):
        start = end - overlap if place else 0
        differences = _lay(made, start, end, blend, name, segments[name], done)
        if place:
            shared = sum(differences) / len(differences) if differences else None
            seams.append(Seam(names[place - 1], name, end, shared))
        end = start + len(segments[name])
    return made, seams


def _lay(
    made: Tensor, start: int, end: int, blend: int, name: str, segment: Tensor, done: Callable[[int], None] | None
) -> list[float]:
    """Writes a segment into the video from `start` on, of which frames below `end` are there already.

    Returns:
        The mean difference, 1/255, of each frame that was there already.
    """
    differences = []
    for number in range(len(segment)):
        frame = colour_frames(segment[number : number + 1], name)[0][0].to(made.device)
        if not math.isfinite(float(frame.sum())):  # much quicker than to look at every pixel
            finite_frames(name, segment)
        at = start + number
        if at >= end:
            made[at] = frame
        else:
            differences.append(_difference(made[at], frame))
        if end - blend <= at < end:
            made[at].lerp_(frame, (at - (end - blend) + 1) / (blend + 1))
        if done:
            done(1)
    return differences


def _difference(these: Tensor, those: Tensor) -> float:
    """Mean absolute difference of two frames, 1/255."""
    return 255 * float((these - those).abs_().mean())


def _steps(images: Tensor, done: Callable[[int], None] | None) -> list[float]:
    found = []
    for number in range(len(images) - 1):
        found.append(_difference(images[number], images[number + 1]))
        if done:
            done(1)
    return found


def _report(
    images: Tensor,
    segments: Mapping[str, Tensor],
    seams: list[Seam],
    steps: list[float],
    overlap: int,
    blend: int,
    rate: Fraction,
) -> str:
    usual = sorted(steps)[len(steps) // 2] if steps else 0.0
    exact = f" ({rate})" if rate.denominator > 1 else ""
    lines = [
        f"{len(segments)} segment{'' if len(segments) == 1 else 's'}, overlap {overlap}, blend {blend}: {len(images)} "
        f"frames of {_size(images)}, {float(rate):.6g} fps{exact}, {float(len(images) / rate):.2f} s. Median step "
        f"{usual:.2f}/255."
    ]
    for seam in seams:
        jump = max(steps[seam.frame - blend - 1 : seam.frame])
        ratio = f", {jump / usual:.1f} x the median" if usual >= 0.005 else ""
        frames = "frame differs" if overlap == 1 else "frames differ"
        shared = "" if seam.shared is None else f"; the shared {frames} by {seam.shared:.2f}/255"
        lines.append(f"{seam.before} to {seam.name} at frame {seam.frame}: jump {jump:.2f}/255{ratio}{shared}.")
        if seam.shared is not None and seam.shared > max(usual, 2.0):
            lines.append("  What should be equal differs by more than a step: is the overlap right?")
        elif jump < STILL * usual:
            lines.append(f"  The video stands still for a frame there: is the overlap more than {overlap}?")
    lines += [still_picture(name) for name, segment in segments.items() if len(segment) == 1]
    notes = {name: colour_frames(segment[:1], name)[1] for name, segment in segments.items()}
    return "\n".join([*lines, *(f"{name}: {note}." for name, note in notes.items() if note)])


def _size(images: Tensor) -> str:
    return f"{images.shape[2]}x{images.shape[1]}"

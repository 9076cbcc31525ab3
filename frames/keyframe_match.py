"""A video's colours matched to its keyframes near them, and the report of it. Torch; kornia for Lab.

symbol   here      shape     unit
N        --        --        video frames
k        frame     --        frame of a keyframe
w        --        --        0..1, `colour_drift.ramp_weight`
x        colours   [3,H,W]   RGB 0..1

Source: ours. Frame n becomes x plus the sum, over the keyframes that reach it, of strength w(|n - k|) change(x), with
change what undoes the drift of that side of the keyframe; frame k becomes x + strength change(x). See colour_drift.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from .colour_drift import ColourMap, KeyframeDrift, colour_steps, frame_cells, keyframe_drifts, lab_values, ramp_weight
from .finite_frames import finite_frames
from .keyframe_track import Keyframe, KeyframeTrack, colour_frames
from .perceptual_distance import Watch

JUMP_FRAMES = 8  # on each side of a keyframe, in which the report looks for a jump
AT_ONCE = 8  # frames


@torch.no_grad()
def match_keyframes(
    images: Tensor,
    track: KeyframeTrack,
    pictures: Mapping[int, Tensor],
    strength: float = 1.0,
    reach: int = 12,
    pin_keyframes: bool = False,
    watch: Watch | None = None,
) -> tuple[Tensor, str]:
    """The video with its colours brought to those of the keyframes near them, and a report.

    Args:
        images: [N,H,W,C] in 0..1, C of 1, 3 or 4; N, H and W are the track's.
        track: keyframes of strength 0 are passed over; those below 1 are matched by their strength and never pinned.
        pictures: frame -> [H,W,3], the picture of every keyframe at the track's size.
        strength: 0..1, share of the drift that is taken away; 0 is exactly off.
        reach: frames on each side of a keyframe that may change, >= 1.
        pin_keyframes: puts the pictures of the keyframes of strength 1 on their frames.
        watch: follows the frames, see `perceptual_distance.Watch`.
    Returns:
        [N,H,W,3] float32 in 0..1 on the device of images, or images itself where nothing changes.
    Raises:
        ValueError: what `check_video` refuses, or pixels that are not numbers.
    Cost: memory for the result and for some temporaries of one frame.
    """
    check_video(images, track, strength, reach)
    held = {item.frame: item for item in track.keyframes if item.strength > 0}
    cells = _video_cells(images, watch)
    seen = {frame: frame_cells(pictures[frame][None])[0].cpu() for frame in held}
    drifts = keyframe_drifts(cells, seen, reach)
    pinned = [frame for frame, item in held.items() if pin_keyframes and item.strength == 1]
    plan = _plan(drifts, held, strength, pinned, track.length)
    made, after = images, cells
    if plan or pinned or images.shape[-1] != 3:
        made = torch.empty(*images.shape[:3], 3, device=images.device)
        made.copy_(images[..., :3])  # one channel is repeated
        after = _correct(made, cells, plan, watch)
    for frame in pinned:
        made[frame], after[frame] = pictures[frame], seen[frame]
    steps = colour_steps(cells)
    usual = float(steps.median()) if len(steps) else 0.0
    lines = [_title(track, usual, strength, reach, len(plan))]
    for frame, drift in drifts.items():
        lines += _lines(held[frame], drift, cells, seen[frame], frame in pinned)
        lines += _jump_lines(frame, seen[frame], cells, after, list(drifts), usual)
    note = colour_frames(images[:1], "images")[1]
    return made, "\n".join([*lines, f"images: {note}."] if note else lines)


def check_video(images: Tensor, track: KeyframeTrack, strength: float, reach: int) -> None:
    """Raises ValueError if the video is not the track's, no keyframe counts, or a number is out of its range."""
    if not track.keyframes:
        raise ValueError("keyframes is empty: connect first_image or last_image of Keyframes, or add a keyframe.")
    if not any(item.strength > 0 for item in track.keyframes):
        raise ValueError("keyframes has only keyframes of strength 0: set one above 0 in Add Keyframe.")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1, got {strength:g}.")
    if reach < 1:
        raise ValueError(f"reach must be at least 1 frame, got {reach}.")
    if images.ndim != 4:
        raise ValueError(f"images must be a video [frames, height, width, channels], got shape {list(images.shape)}.")
    count, height, width = images.shape[:3]
    if count > track.length and not count % track.length:
        raise ValueError(
            f"images has {count} frames, {count // track.length} videos of the {track.length} in Keyframes: give one, "
            f"with 'ImageFromBatch' (length {track.length}), or set batch_size to 1."
        )
    if count != track.length:
        raise ValueError(
            f"images has {count} frames, the length in Keyframes is {track.length}: give the whole video, or set "
            f"length to {count} in Keyframes."
        )
    if (width, height) != (track.width, track.height):
        raise ValueError(
            f"images is {width}x{height}, the video in Keyframes {track.width}x{track.height}: give it at that size, "
            f"or set width to {width} and height to {height} in Keyframes."
        )
    colour_frames(images[:1], "images")


def _video_cells(images: Tensor, watch: Watch | None) -> Tensor:
    """[N,3,h,w] on the CPU. Raises ValueError if a pixel is not a number."""
    done = watch(len(images)) if watch else None
    found = []
    for first in range(0, len(images), AT_ONCE):
        some = images[first : first + AT_ONCE]
        if not some.sum(dtype=torch.float32).isfinite():  # much quicker than to look at every pixel
            finite_frames("images", images)
        found.append(frame_cells(colour_frames(some, "images")[0]).cpu())
        if done:
            done(len(some))
    return torch.cat(found)


def _plan(
    drifts: Mapping[int, KeyframeDrift],
    held: Mapping[int, Keyframe],
    strength: float,
    pinned: Sequence[int],
    length: int,
) -> dict[int, list[tuple[ColourMap, float]]]:
    """frame -> the drifts to take away from it and the share of each, of frames that change."""
    plan: dict[int, list[tuple[ColourMap, float]]] = {}
    for frame, drift in drifts.items():
        share = strength * held[frame].strength
        wanted = [] if frame in pinned else [(frame, drift.at, share)]
        for side, way in ((drift.before, -1), (drift.after, 1)):
            if side is not None:
                reached = ((frame + way * distance, distance) for distance in range(1, side.ramp))
                wanted += [(n, side.undo, share * ramp_weight(distance, side.ramp)) for n, distance in reached]
        for n, what, weight in wanted:
            if 0 <= n < length and what.changes and weight > 0:
                plan.setdefault(n, []).append((what, weight))
    return plan


def _correct(
    made: Tensor, cells: Tensor, plan: Mapping[int, Sequence[tuple[ColourMap, float]]], watch: Watch | None
) -> Tensor:
    """Takes the drift away from the frames of the plan, in place, and returns the cells of the result."""
    after = cells.clone()
    done = watch(len(plan)) if watch and plan else None
    for frame, changes in plan.items():
        made[frame] = _corrected(made[frame], changes)
        after[frame] = frame_cells(made[frame][None])[0].cpu()
        if done:
            done(1)
    return after


def _corrected(frame: Tensor, changes: Sequence[tuple[ColourMap, float]]) -> Tensor:
    """[H,W,3] without its drift, in 0..1."""
    colours = frame.movedim(-1, 0)
    change = torch.zeros_like(colours)
    for undo, share in changes:
        surface = interpolate(undo.surface[None].to(colours), size=colours.shape[1:], mode="bilinear")[0]
        change += share * undo.change(colours, surface)
    return (colours + change).clamp(0, 1).movedim(0, -1)


def _title(track: KeyframeTrack, usual: float, strength: float, reach: int, changed: int) -> str:
    return (
        f"{track.length} frames, {track.width}x{track.height}, median colour step {usual:.2f}/255. Strength "
        f"{strength:g}, reach {reach}: colours changed in {changed} frame{'' if changed == 1 else 's'}."
    )


def _lines(keyframe: Keyframe, drift: KeyframeDrift, cells: Tensor, picture: Tensor, pinned: bool) -> list[str]:
    """What was found at a keyframe and on its sides."""
    strength = "" if keyframe.strength == 1 else f", strength {keyframe.strength:g}"
    pin = ", pinned" if pinned else ""
    off = _off(cells[keyframe.frame], picture)
    lines = [f"frame {keyframe.frame} ({keyframe.source}{strength}{pin}): {off} of the keyframe's."]
    if drift.likeness == 0:
        lines.append("  It shows something else than the keyframe, so that is not taken for drift.")
    elif not drift.at.changes:
        lines.append("  No drift there.")
    for side, way, name in ((drift.before, -1, "before"), (drift.after, 1, "after")):
        if side is not None and side.undo.changes:
            near = cells[keyframe.frame + way]
            right = near + side.undo.change(near, side.undo.surface)
            lines.append(f"  {name} it: {_off(near, right.clamp(0, 1))} of what is right, over {side.ramp - 1} frames.")
    return lines


def _off(cells: Tensor, wanted: Tensor) -> str:
    (mean, deviation), (aim, right) = lab_values(cells), lab_values(wanted)
    off = ", ".join(f"{name} {value:+.1f}" for name, value in zip("Lab", (mean - aim).tolist(), strict=True))
    spread = ", ".join(f"{value:.2f}" for value in ((deviation + 1) / (right + 1)).tolist())
    return f"off by {off} (Lab); spread {spread}"


def _jump_lines(
    frame: int, picture: Tensor, before: Tensor, after: Tensor, keyframes: Sequence[int], usual: float
) -> list[str]:
    """The largest colour step on each side of a keyframe, with the step onto its picture: as it was and as it is."""
    lines = []
    for way, name in ((-1, "before"), (1, "after")):
        side = [n for n in range(frame + way, frame + way * (JUMP_FRAMES + 1), way) if 0 <= n < len(before)]
        others = [side.index(n) for n in side if n in keyframes]
        side = side[: others[0] + 1] if others else side
        if side:
            was, now = (
                float(colour_steps(torch.cat([picture[None], cells[[frame, *side]]])).max())
                for cells in (before, after)
            )
            line = f"  largest colour step {name} it: {_step(was, usual)}"
            lines.append(f"{line}, now {_step(now, usual)}." if now != was else f"{line}.")
    return lines


def _step(size: float, usual: float) -> str:
    return f"{size:.2f}/255" + (f" ({size / usual:.1f} x the median)" if usual >= 0.005 else "")

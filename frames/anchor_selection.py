"""From reverse candidates to anchors on the keyframe track.

Source: Anchor Frame Bridging (ICLR 2026, OpenReview isNjWnVsUR), Design 2. Symbols: see breakpoint.py.
Differences from the paper: it leaves open which video is scored. With a forward video that one is; without, the reverse
video, whose break is taken to lie at the same index (the paper's symmetry assumption).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .breakpoint import breakpoints, continuity, fixed_breakpoint, mirrored, open_frames
from .breakpoint_plot import breakpoint_plot
from .finite_frames import finite_frames
from .keyframe_track import Keyframe, KeyframeTrack
from .perceptual_distance import PerceptualMetric

SCORE_ON = ("auto", "forward", "reverse", "fixed")


@dataclass(frozen=True, eq=False)
class AnchorSelection:
    """track: anchors added. anchors: [A,H,W,3]. frames: n_p, worst first. alpha: of the worst. plot: [1,h,w,3]."""

    track: KeyframeTrack
    anchors: Tensor
    frames: tuple[int, ...]
    alpha: float
    plot: Tensor
    report: str


@torch.no_grad()
def select_anchors(
    track: KeyframeTrack,
    candidates: Tensor,
    metric: PerceptualMetric,
    forward: Tensor | None = None,
    score_on: str = "auto",
    count: int = 1,
    margin: int = 8,
    fixed_alpha: float = 0.75,
) -> AnchorSelection:
    """Finds the breakpoints and puts the reverse video's mirrored frames there as keyframes.

    Args:
        track: the forward keyframes.
        candidates: [N,H,W,3] in 0..1, generated from the reversed track; N is the track's length.
        metric: distance of neighbouring frames.
        forward: [N,H,W,3], a forward video to measure on, or None.
        score_on: auto (forward if there is one, else reverse), forward, reverse, or fixed (at fixed_alpha).
        count, margin: see `breakpoint.breakpoints`. fixed_alpha: place of a fixed anchor, 0..1 of the video.
    Raises:
        ValueError: lengths that differ, frames that are not numbers, or no place for an anchor.
    Cost: one pass of the metric over N frames.
    """
    if track.length < 3:
        raise ValueError(f"keyframes has a length of {track.length}: an anchor needs at least 3 frames.")
    if score_on not in SCORE_ON:
        raise ValueError(f"score_on must be one of {', '.join(SCORE_ON)}, got {score_on!r}.")
    if score_on == "forward" and forward is None:
        raise ValueError("score_on is 'forward' but forward is not connected: connect a forward video, or use 'auto'.")
    if score_on == "fixed" and count != 1:
        raise ValueError(f"score_on 'fixed' places 1 anchor, at fixed_alpha, but count is {count}: set count to 1.")
    candidates, change = _checked_frames("candidates", candidates, track.length)
    changes = [change]
    scored, on_forward = candidates, forward is not None and score_on != "reverse"
    if on_forward:
        scored, change = _checked_frames("forward", forward, track.length)
        changes.append(change)
    taken = [item.frame for item in track.keyframes]
    searched = open_frames(track.length, margin, taken) if score_on != "fixed" else list(range(1, track.length - 1))
    quality = continuity(metric.adjacent(scored))
    if score_on == "fixed":
        frames = [fixed_breakpoint(track.length, fixed_alpha, taken)]
    else:
        frames = breakpoints(quality, count, margin, taken)

    anchors = torch.stack([candidates[mirrored(n, track.length)] for n in frames])
    extended = track
    for rank, (frame, anchor) in enumerate(zip(frames, anchors, strict=True), start=1):
        name = "anchor" if count == 1 else f"anchor {rank}"
        extended = extended.with_keyframe(Keyframe(frame, anchor[None], 1.0, name))
    measured = "forward video" if on_forward else "reverse candidates"
    how = f"fixed at {fixed_alpha:g}" if score_on == "fixed" else f"worst continuity of the {measured}"
    named = ", ".join(map(str, frames[:6])) + (" ..." if count > 6 else "")
    title = f"Breakpoint{'s' if count > 1 else ''}: frame {named} of {track.length}"
    plot = breakpoint_plot(quality, frames, anchors, taken, searched, title, f"{metric.name} on the {measured}")
    return AnchorSelection(
        extended,
        anchors,
        tuple(frames),
        frames[0] / (track.length - 1),
        plot,
        "\n".join([_report(quality, frames, track.length, metric.name, measured, how, margin), *filter(None, changes)]),
    )


def _checked_frames(name: str, frames: Tensor, length: int) -> tuple[Tensor, str]:
    """A video as [N,H,W,3] float32 and a sentence on what was changed.

    Raises ValueError if it does not have the track's length or has values that are not numbers.
    """
    if len(frames) != length:
        raise ValueError(
            f"{name} has {len(frames)} frames, keyframes has a length of {length}: make both with the same length "
            f"and a batch size of 1."
        )
    return finite_frames(name, frames)


def _report(quality: Tensor, frames: list[int], length: int, metric: str, measured: str, how: str, margin: int) -> str:
    typical = float(-quality.median())
    lines = [f"Measured with {metric} on the {measured} ({length} frames), margin {margin}. Anchor place: {how}."]
    for rank, frame in enumerate(frames, start=1):
        change = float(-quality[frame - 1])
        against = f"{change / typical:.2f} times the median" if typical > 0 else "the median is 0"
        lines.append(
            f"anchor {rank}: frame {frame} (alpha {frame / (length - 1):.3f}), picture from reverse frame "
            f"{mirrored(frame, length)}; change around it {change:.4f}, {against}."
        )
    return "\n".join(lines)

"""From reverse candidates to anchors on the keyframe track.

Source: Anchor Frame Bridging (ICLR 2026, OpenReview isNjWnVsUR), Design 2. Symbols: see breakpoint.py.
Differences from the paper: see break_curve.py for what is measured, breakpoint.py for where is searched. A place that
is hardly worse than the rest may be left without an anchor; candidates that do not run backwards are refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .anchor_report import anchor_report
from .anchor_search import fixed_place, worst_places
from .anchor_settings import AnchorSettings
from .break_curve import break_curve
from .breakpoint import mirrored
from .breakpoint_plot import breakpoint_plot
from .candidate_order import check_reversed
from .finite_frames import finite_frames
from .keyframe_track import Keyframe, KeyframeTrack
from .perceptual_distance import PerceptualMetric


@dataclass(frozen=True, eq=False)
class AnchorSelection:
    """track: anchors added; where there are none, the very track that came.

    anchors: [A,H,W,3]; without an anchor one black picture of the track's size. frames: n_p, worst first; without an
    anchor the worst place. alpha: of the first of them. plot: [1,h,w,3].
    """

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
    settings: AnchorSettings,
    forward: Tensor | None = None,
    ends: tuple[Tensor | None, Tensor | None] = (None, None),
) -> AnchorSelection:
    """Finds the breakpoints and puts the reverse video's mirrored frames there as keyframes.

    Args:
        track: the forward keyframes.
        candidates: [N,H,W,3] in 0..1, generated from the reversed track; N is the track's length.
        metric: distance of pictures.
        settings: where to look, how many anchors, and how bad a break must be.
        forward: [N,H,W,3], a forward video to measure on, or None. Not looked at where it is not measured.
        ends: pictures [1,H,W,3] of the first and the last keyframe, None where there is none.
    Raises:
        ValueError: lengths that differ, frames that are not numbers, candidates that do not run backwards, or no place
            for an anchor.
    Cost: see `break_curve`; nothing of it for a fixed place. Five pairs of small pictures beside it.
    """
    if track.length < 3:
        raise ValueError(f"keyframes has a length of {track.length}: an anchor needs at least 3 frames.")
    scored = settings.scored(forward is not None)
    candidates, changes = _checked_frames("candidates", candidates, track.length)
    if scored in ("forward", "disagreement"):
        forward, change = _checked_frames("forward", forward, track.length)
        changes += change
    check_reversed(candidates, ends, metric)

    if scored == "fixed":
        search = fixed_place(track, settings)
    else:
        curve = break_curve(scored, candidates, forward, metric, settings.rhythm)
        search = worst_places(track, curve, settings)
    anchors = candidates[[mirrored(n, track.length) for n in search.added]]  # [A,H,W,3]
    frames = search.added or search.places[:1]
    return AnchorSelection(
        _with_anchors(track, search.added, anchors, settings.count),
        anchors if search.added else torch.zeros(1, track.height, track.width, 3, device=anchors.device),
        frames,
        frames[0] / (track.length - 1),
        breakpoint_plot(search, anchors, [item.frame for item in track.keyframes], settings.earliest > 0),
        "\n".join([*anchor_report(search, settings), *changes]),
    )


def _checked_frames(name: str, frames: Tensor, length: int) -> tuple[Tensor, list[str]]:
    """A video as [N,H,W,3] float32 and sentences on what was changed.

    Raises ValueError if it does not have the track's length or has values that are not numbers.
    """
    if len(frames) != length:
        raise ValueError(
            f"{name} has {len(frames)} frames, keyframes has a length of {length}: make both with the same length "
            f"and a batch size of 1."
        )
    frames, change = finite_frames(name, frames)
    return frames, [change] if change else []


def _with_anchors(track: KeyframeTrack, frames: tuple[int, ...], anchors: Tensor, asked: int) -> KeyframeTrack:
    """The track with an anchor on each frame; the track itself where there is no frame. asked: anchors wanted."""
    for rank, (frame, anchor) in enumerate(zip(frames, anchors, strict=True), start=1):
        name = "anchor" if asked == 1 else f"anchor {rank}"
        track = track.with_keyframe(Keyframe(frame, anchor[None], 1.0, name))
    return track

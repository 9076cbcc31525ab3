"""What Select Anchors says: what was measured, where anchors went or why none did, and what to doubt. Text only."""

from __future__ import annotations

from collections.abc import Sequence

from .anchor_search import AnchorSearch
from .anchor_settings import AnchorSettings
from .break_curve import BreakCurve
from .breakpoint import mirrored
from .chart import runs

WEAK = 1.5  # times the median; a place below it is hardly worse than the rest (ours)


def anchor_report(search: AnchorSearch, settings: AnchorSettings) -> list[str]:
    """Lines of plain text: what was measured, each anchor, places without one, weak and suspicious places."""
    if search.curve is None:
        measured = [f"Nothing was measured: the anchor is fixed at {settings.fixed_alpha:g} of the video."]
    else:
        measured = [f"{search.curve.report} {_searched(search.searched, settings)}"]
    anchors = [_anchor(rank, frame, search) for rank, frame in enumerate(search.added, start=1)]
    return [*measured, *anchors, *_passed_over(search, settings), *_weak(search), *_on_the_edge(search, settings)]


def _searched(frames: Sequence[int], settings: AnchorSettings) -> str:
    """Which frames were searched, and what left out the others."""
    spans = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in runs(frames))
    before = f", earliest {settings.earliest:g}" if settings.earliest > 0 else ""
    return f"Searched: frame{'s' if len(frames) > 1 else ''} {spans} (margin {settings.margin}{before})."


def _anchor(rank: int, frame: int, search: AnchorSearch) -> str:
    line = f"anchor {rank}: {_place(frame, search)}, picture from reverse frame {mirrored(frame, search.length)}"
    return f"{line}; {_how_bad(frame, search.curve)}." if search.curve else f"{line}."


def _passed_over(search: AnchorSearch, settings: AnchorSettings) -> list[str]:
    """What min_break left without an anchor."""
    curve = search.curve
    if curve is None or not search.passed_over:
        return []
    asked = f"min_break asks for at least {settings.min_break:g} times the median"
    told = "; ".join(f"{_place(frame, search)}, {_how_bad(frame, curve)}" for frame in search.passed_over)
    if search.added:
        return [f"No anchor at {told}: {asked}."]
    return [f"No anchor was added, and keyframes is the track as it came: {asked}. The worst: {told}."]


def _weak(search: AnchorSearch) -> list[str]:
    """What an anchor costs where the video is hardly worse than elsewhere."""
    curve = search.curve
    weak = [frame for frame in search.added if curve and curve.against_median(frame) < WEAK]
    if not weak:
        return []
    return [
        f"Weak break at frame {' and '.join(map(str, weak))}: hardly worse than the rest of the video. An anchor whose "
        f"picture is no better than the frame it replaces holds a mistake in place, which cost 0.3 dB in our "
        f"measurements. To add none at such places set min_break to {WEAK:g}."
    ]


def _on_the_edge(search: AnchorSearch, settings: AnchorSettings) -> list[str]:
    """A sentence for each place where a worse one may lie just outside of what was searched."""
    if len(search.searched) == 1:
        return [f"Frame {search.searched[0]} is the only one that was open to an anchor: there was no choice."]
    lines = []
    for frame in search.places if search.curve else ():
        outside = [n for n in (frame - 1, frame + 1) if n not in search.searched]
        if any(n in search.in_margin for n in outside):
            lines.append(
                f"Suspicious: frame {frame} is the first that earliest {settings.earliest:g} allows, so the real break "
                f"may lie before it. See in the plot whether the curve is higher there."
            )
        elif outside:
            lines.append(
                f"Suspicious: frame {frame} is as near a keyframe as margin {settings.margin} allows, so this may be "
                f"the jump at the keyframe and no break. If the curve in the plot rises on towards the keyframe, use a "
                f"larger margin."
            )
    return lines


def _place(frame: int, search: AnchorSearch) -> str:
    """A frame by its number and its share of the video."""
    return f"frame {frame} (alpha {frame / (search.length - 1):.3f})"


def _how_bad(frame: int, curve: BreakCurve) -> str:
    """A frame's value, and how it compares with the others."""
    against = f"{curve.against_median(frame):.2f} times the median" if curve.median > 0 else "the median is 0"
    return f"{curve.value} {curve.at(frame):.4f}, {against}"

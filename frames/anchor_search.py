"""Where the anchors go: at the worst places of a curve, or at a place that was fixed. Pure torch.

Source: Anchor Frame Bridging (ICLR 2026, OpenReview isNjWnVsUR), Design 2; symbols and differences: breakpoint.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from .anchor_settings import AnchorSettings
from .break_curve import BreakCurve
from .breakpoint import breakpoints, fixed_breakpoint, open_frames
from .keyframe_track import KeyframeTrack


@dataclass(frozen=True, eq=False)
class AnchorSearch:
    """What was found, in video frames.

    length: N. places: the worst ones, worst first. added: those of them that get an anchor.
    searched: all frames that were open, in order. in_margin: those that the margin alone would leave open.
    curve: what was measured. A fixed place has none, and nothing was searched.
    """

    length: int
    places: tuple[int, ...]
    added: tuple[int, ...]
    searched: tuple[int, ...] = ()
    in_margin: tuple[int, ...] = ()
    curve: BreakCurve | None = None

    @property
    def passed_over(self) -> tuple[int, ...]:
        """The places that get no anchor, worst first."""
        return tuple(n for n in self.places if n not in self.added)


def worst_places(track: KeyframeTrack, curve: BreakCurve, settings: AnchorSettings) -> AnchorSearch:
    """The worst places of a curve. With min_break a place gets an anchor only if it is that many times the median.

    Raises:
        ValueError: no place is left, for the first or for a later anchor.
    """
    taken = [item.frame for item in track.keyframes]
    places = breakpoints(curve.quality, settings.count, settings.margin, taken, settings.earliest)
    added = [n for n in places if settings.min_break == 0 or curve.against_median(n) >= settings.min_break]
    in_margin = open_frames(track.length, settings.margin, taken)
    searched = open_frames(track.length, settings.margin, taken, settings.earliest)
    return AnchorSearch(track.length, tuple(places), tuple(added), tuple(searched), tuple(in_margin), curve)


def fixed_place(track: KeyframeTrack, settings: AnchorSettings) -> AnchorSearch:
    """The place at fixed_alpha; margin, earliest and min_break have no say.

    Raises:
        ValueError: it falls on an end of the video or on a keyframe.
    """
    place = fixed_breakpoint(track.length, settings.fixed_alpha, [item.frame for item in track.keyframes])
    return AnchorSearch(track.length, (place,), (place,))

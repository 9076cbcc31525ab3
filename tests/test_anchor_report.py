"""anchor_report: what is said of weak and suspicious places, of places without an anchor, and of what was measured."""

import pytest
import torch

from pack.frames.anchor_report import anchor_report
from pack.frames.anchor_search import fixed_place, worst_places
from pack.frames.anchor_settings import AnchorSettings
from pack.frames.break_curve import BreakCurve
from pack.frames.keyframe_track import Keyframe, KeyframeTrack

LENGTH = 33


def report(values: dict[int, float], *taken: int, **settings) -> str:
    """The report on a curve that is 1 but for some frames. taken: keyframes beside the ends."""
    quality = -torch.ones(LENGTH - 2)
    for frame, value in values.items():
        quality[frame - 1] = -value
    made = AnchorSettings(**settings)
    curve = BreakCurve(quality, "change around it", "", "Measured.")
    return "\n".join(anchor_report(worst_places(track(*taken), curve, made), made))


def track(*taken: int) -> KeyframeTrack:
    made = KeyframeTrack(8, 8, LENGTH)
    for frame in (0, *taken, LENGTH - 1):
        made = made.with_keyframe(Keyframe(frame, torch.zeros(1, 8, 8, 3)))
    return made


def test_a_clear_break_inside_is_told_without_a_warning():
    assert report({20: 2.0}) == (
        "Measured. Searched: frames 16 to 24 (margin 8, earliest 0.5).\n"
        "anchor 1: frame 20 (alpha 0.625), picture from reverse frame 12; change around it 2.0000, 2.00 times the "
        "median."
    )


@pytest.mark.parametrize(("value", "weak"), [(1.49, True), (1.5, False), (1.0, True)])
def test_a_break_below_one_and_a_half_times_the_median_is_weak(value, weak):
    told = report({20: value, 21: 0.5, 19: 0.5})
    assert ("Weak break at frame" in told) is weak
    assert ("no better than the frame it replaces holds a mistake in place, which cost 0.3 dB" in told) is weak
    assert ("set min_break to 1.5" in told) is weak


def test_weak_breaks_share_a_sentence():
    assert "Weak break at frame 23 and 18: " in report({23: 1.3, 18: 1.2}, count=2, margin=4)


def test_nothing_is_called_weak_where_no_anchor_was_added():
    told = report({20: 1.3}, min_break=1.5)
    assert "Weak" not in told
    assert "No anchor was added" in told


@pytest.mark.parametrize(
    ("frame", "settings", "said"),
    [
        (16, {}, "frame 16 is the first that earliest 0.5 allows, so the real break may lie before it"),
        (24, {}, "frame 24 is as near a keyframe as margin 8 allows, so this may be the jump at the keyframe"),
        (8, {"earliest": 0.0}, "frame 8 is as near a keyframe as margin 8 allows"),
        (20, {}, None),
        (17, {}, None),
        (31, {"margin": 1}, "frame 31 is as near a keyframe as margin 1 allows"),
    ],
)
def test_a_place_on_the_edge_is_suspicious(frame, settings, said):
    told = report({frame: 3.0}, **settings)
    assert f"frame {frame} (alpha" in told
    assert ("Suspicious: " in told) is (said is not None)
    assert (said or "") in told


@pytest.mark.parametrize(("min_break", "added"), [(2.0, True), (2.01, False)])
def test_a_break_of_exactly_min_break_gets_its_anchor(min_break, added):
    assert ("anchor 1: frame 20" in report({20: 2.0}, min_break=min_break)) is added


def test_a_place_on_the_edge_is_suspicious_without_an_anchor_too():
    assert "Suspicious: frame 24" in report({24: 3.0}, min_break=5)


def test_a_place_beside_a_middle_keyframe_is_suspicious():
    assert "Suspicious: frame 18 is as near a keyframe" in report({18: 3.0}, 22, margin=4, earliest=0.0)


def test_one_open_frame_is_no_choice():
    told = report({24: 3.0}, earliest=0.75)
    assert "Searched: frame 24 (margin 8, earliest 0.75)." in told
    assert "Frame 24 is the only one that was open to an anchor: there was no choice." in told
    assert "Suspicious" not in told


def test_several_open_spans_are_named():
    assert "Searched: frames 4 to 12, 20 to 28 (margin 4)." in report({8: 3.0}, 16, margin=4, earliest=0.0)


def test_a_fixed_place_has_no_numbers_and_no_warnings():
    made = AnchorSettings("fixed", margin=40, earliest=1.0, min_break=9.0)
    assert anchor_report(fixed_place(track(), made), made) == [
        "Nothing was measured: the anchor is fixed at 0.75 of the video.",
        "anchor 1: frame 24 (alpha 0.750), picture from reverse frame 8.",
    ]

"""AnchorSettings: the ranges of the node hold for values over links too, and what is measured."""

import math

import pytest

from pack.frames.anchor_settings import RANGES, AnchorSettings


@pytest.mark.parametrize("name", RANGES)
def test_the_ends_of_a_range_are_legal_and_what_lies_beyond_is_named(name):
    low, high = RANGES[name]
    for value in (low, high):
        assert getattr(AnchorSettings(**{name: value}), name) == value
    for value in (low - 1, high + 1, math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match=f"^{name} must be .* from {low:g} to {high:g}, got {value}"):
            AnchorSettings(**{name: value})


@pytest.mark.parametrize("name", ["count", "margin", "rhythm"])
def test_half_a_frame_is_no_number_of_frames(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number from .* got 2.5"):
        AnchorSettings(**{name: 2.5})


@pytest.mark.parametrize(
    ("score_on", "has_forward", "scored"),
    [
        ("auto", True, "forward"),
        ("auto", False, "reverse"),
        ("forward", True, "forward"),
        ("reverse", True, "reverse"),
        ("disagreement", True, "disagreement"),
        ("fixed", True, "fixed"),
        ("fixed", False, "fixed"),
    ],
)
def test_what_is_measured(score_on, has_forward, scored):
    assert AnchorSettings(score_on).scored(has_forward) == scored


@pytest.mark.parametrize("score_on", ["forward", "disagreement"])
def test_a_forward_video_that_is_needed_is_asked_for(score_on):
    with pytest.raises(ValueError, match=f"'{score_on}' but forward is not connected: connect a forward video, or"):
        AnchorSettings(score_on).scored(False)

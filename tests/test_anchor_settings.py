"""AnchorSettings: what is measured."""

import pytest

from pack.frames.anchor_settings import AnchorSettings


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

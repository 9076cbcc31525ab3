"""select_anchors: which picture goes where, on which video it is measured, the plot, and refusals."""

import pytest
import torch

from pack.frames.anchor_selection import select_anchors
from pack.frames.anchor_settings import AnchorSettings
from pack.frames.keyframe_track import Keyframe, KeyframeTrack

LENGTH = 33
PAPER = {"earliest": 0.0, "rhythm": 1}  # its search: anywhere, and steps as they are


class Brightness:
    """A metric that a reader can predict: the difference of the means."""

    name = "brightness"

    def adjacent(self, frames):
        return self.between(frames[:-1], frames[1:])

    def between(self, these, those):
        return (these.mean(dim=(1, 2, 3)) - those.mean(dim=(1, 2, 3))).abs()


def select(track, candidates, metric=None, forward=None, ends=(None, None), **settings):
    """The paper's search but for `settings`."""
    return select_anchors(
        track, candidates, metric or Brightness(), AnchorSettings(**{**PAPER, **settings}), forward, ends
    )


def video(jump_at: int, length: int = LENGTH) -> torch.Tensor:
    """A slow ramp with a flash at one frame; the frame's number is readable as its first pixel's red."""
    frames = torch.linspace(0, 0.2, length)[:, None, None, None].repeat(1, 8, 8, 3)
    frames[jump_at] += 0.5
    frames[:, 0, 0, 0] = torch.arange(length) / 1000
    return frames


def track(*inner: int) -> KeyframeTrack:
    made = KeyframeTrack(8, 8, LENGTH)
    for frame in (0, *inner, LENGTH - 1):
        made = made.with_keyframe(Keyframe(frame, torch.zeros(1, 8, 8, 3)))
    return made


def frame_number(picture: torch.Tensor) -> int:
    return round(float(picture[..., 0, 0, 0]) * 1000)


def test_the_break_is_found_on_the_reverse_video_and_mended_with_the_mirrored_frame():
    found = select(track(), video(13))
    assert found.frames == (13,)
    assert found.alpha == 13 / 32
    assert frame_number(found.anchors[0]) == 19
    assert [item.frame for item in found.track.keyframes] == [0, 13, 32]
    assert frame_number(found.track.at(13).image[0]) == 19


def test_a_forward_video_is_measured_where_there_is_one():
    found = select(track(), video(13), forward=video(22))
    assert found.frames == (22,)
    assert frame_number(found.anchors[0]) == 10
    assert "forward video" in found.report
    reverse = select(track(), video(13), forward=video(22), score_on="reverse")
    assert reverse.frames == (13,)


class NeverAsked:
    """A metric that no picture may reach."""

    name = "never asked"


def test_a_fixed_anchor_is_not_measured():
    found = select(track(), video(13), NeverAsked(), score_on="fixed", fixed_alpha=0.75, forward=video(5, 29))
    assert found.frames == (24,)
    assert frame_number(found.anchors[0]) == 8
    assert "Nothing was measured: the anchor is fixed at 0.75" in found.report
    assert "anchor 1: frame 24 (alpha 0.750), picture from reverse frame 8." in found.report


def test_several_anchors_are_numbered_worst_first():
    both = video(13)
    both[24] += 0.3
    found = select(track(), both, count=2)
    assert found.frames == (13, 24)
    assert found.anchors.shape == (2, 8, 8, 3)
    assert [item.source for item in found.track.keyframes] == ["image", "anchor 1", "anchor 2", "image"]


def test_a_middle_keyframe_keeps_anchors_away():
    found = select(track(14), video(13), margin=4)
    assert all(abs(found.frames[0] - frame) >= 4 for frame in (0, 14, 32))


def test_inputs_are_left_as_found():
    candidates, before = video(13), track()
    copy = candidates.clone()
    select(before, candidates)
    assert torch.equal(candidates, copy)
    assert [item.frame for item in before.keyframes] == [0, 32]


def test_the_plot_is_a_picture_and_the_same_twice():
    first = select(track(), video(13))
    again = select(track(), video(13))
    assert first.plot.shape == (1, 600, 1200, 3)
    assert first.plot.min() >= 0
    assert first.plot.max() <= 1
    assert first.plot.std() > 0.05
    assert torch.equal(first.plot, again.plot)
    assert first.report == again.report


def test_a_video_that_does_not_change_has_a_breakpoint_all_the_same():
    found = select(track(), torch.zeros(LENGTH, 8, 8, 3))
    assert found.frames == (8,)
    assert "the median is 0" in found.report


@pytest.mark.parametrize("which", ["candidates", "forward"])
def test_alpha_and_grey_are_made_rgb_before_measuring_and_said(which):
    seen = []

    class Spy(Brightness):
        def adjacent(self, frames):
            seen.append(frames.shape[-1])
            return super().adjacent(frames)

    with_alpha = torch.cat([video(13), torch.ones(LENGTH, 8, 8, 1)], dim=-1)
    grey = video(13)[..., 1:2]
    for frames, note in ((with_alpha, "alpha dropped"), (grey, "grey, repeated to RGB")):
        arguments = {"candidates": video(13), which: frames}
        found = select(track(), metric=Spy(), **arguments)
        assert found.anchors.shape[-1] == 3
        assert found.frames == (13,)
        assert f"{which}: {note}." in found.report
    assert seen == [3, 3]


def test_anchors_are_fixed_and_float32_whatever_the_candidates_are():
    found = select(track(), video(13).half())
    assert found.anchors.dtype == torch.float32
    assert found.track.at(13).strength == 1.0


def test_a_forward_video_that_is_not_measured_is_not_checked():
    found = select(track(), video(13), forward=video(5, 29), score_on="reverse")
    assert found.frames == (13,)


def test_the_plot_shows_the_curve_the_breakpoint_and_the_anchor():
    from pack.frames.breakpoint_plot import BREAK, CHART, COLUMN, CURVE, KEY, SHADE

    candidates = video(13)
    candidates[19] = torch.tensor([0.25, 0.0, 0.25])  # the anchor: purple, which nothing else in the plot is
    left, upper, right, lower = CHART
    measured, fixed = (
        select(track(), candidates, **settings).plot[0]
        for settings in ({}, {"score_on": "fixed", "fixed_alpha": 13 / 32})
    )
    at = round(left + (right - left) * 13 / 32)
    for plot in (measured, fixed):
        assert any(abs(x - at) <= 2 for x in columns_of(plot, BREAK))
        assert any(abs(x - left) <= 2 for x in columns_of(plot, KEY))
        assert len(columns_of(plot, (64, 0, 64))) > 0.5 * (COLUMN[2] - COLUMN[0])
    assert len([x for x in columns_of(measured, CURVE) if left < x < right]) > 0.8 * (right - left)
    assert columns_of(fixed, CURVE) == []
    assert columns_of(measured[upper + 20 : lower - 20], SHADE, near=4)
    assert not columns_of(fixed[upper + 20 : lower - 20, left + 10 : right - 10], SHADE, near=4)


def columns_of(plot, colour, near=60):
    """Where a plot has a colour."""
    plot = (plot * 255).round()
    return (plot - torch.tensor(colour)).abs().sum(-1).lt(near).any(dim=0).nonzero().flatten().tolist()


def test_the_plot_shades_what_earliest_leaves_out():
    from pack.frames.breakpoint_plot import CHART, SHADE

    left, upper, right, lower = CHART
    inside = slice(upper + 20, lower - 20)
    for earliest, first in ((0.0, 8), (0.5, 16), (0.6, 20)):
        shaded = columns_of(select(track(), video(22), earliest=earliest).plot[0, inside], SHADE, near=4)
        edge = left + (right - left) * (first - 0.5) / 32
        assert max(x for x in shaded if x < (left + right) / 1.5) == pytest.approx(edge, abs=2)


def test_earliest_looks_in_the_later_part_only():
    both = video(13)
    both[24] += 0.3
    assert select(track(), both).frames == (13,)
    assert select(track(), both, earliest=0.5).frames == (24,)
    assert select(track(), both, earliest=0.5, score_on="fixed", fixed_alpha=0.25).frames == (8,)


def test_a_rhythm_is_no_break():
    """Every fourth step is three times as large; a break of twice a usual step is less than that."""
    steps = torch.full((LENGTH - 1,), 0.01, dtype=torch.float64)
    steps[3::4] = 0.03
    steps[21:23] *= 2  # both at frame 22, and none of the fourth ones
    candidates = torch.cat([torch.zeros(1), steps.cumsum(0)])[:, None, None, None].repeat(1, 8, 8, 3)
    assert select(track(), candidates, rhythm=1).frames != (22,)
    found = select(track(), candidates, rhythm=4)
    assert found.frames == (22,)
    assert "a rhythm of 4 frames taken out" in found.report
    assert "change around it 0.0200, 2.00 times the median" in found.report


def test_the_disagreement_of_both_videos_is_searched_at_the_time_they_show():
    """The candidates are the forward video backwards, but for the frame that shows time 22."""
    forward = video(13)
    candidates = forward.flip(0).clone()
    candidates[LENGTH - 1 - 22] += 0.4
    found = select(track(), candidates, forward=forward, score_on="disagreement")
    assert found.frames == (22,)
    assert torch.equal(found.anchors[0], candidates[10])
    assert "how far forward video and mirrored candidates differ on each frame" in found.report
    assert "difference on it 0.4000" in found.report


def test_a_break_below_min_break_gets_no_anchor():
    """The flash at 13 changes frame 13 by 0.5, 80 times the ramp's 0.2/32."""
    before = track()
    found = select(before, video(13), min_break=90)
    assert found.track is before
    assert torch.equal(found.anchors, torch.zeros(1, 8, 8, 3))
    assert (found.frames, found.alpha) == ((13,), 13 / 32)
    assert "No anchor was added, and keyframes is the track as it came" in found.report
    assert "min_break asks for at least 90 times the median. The worst: frame 13 (alpha 0.406)" in found.report
    assert found.plot.shape == (1, 600, 1200, 3)
    assert select(before, video(13), min_break=70).track is not before


def test_without_an_anchor_the_black_picture_has_the_track_s_size():
    wide = KeyframeTrack(12, 10, LENGTH)
    found = select(wide, video(13), min_break=100)
    assert found.anchors.shape == (1, 10, 12, 3)
    assert found.track is wide


def test_a_video_that_does_not_change_has_no_break():
    found = select(track(), torch.zeros(LENGTH, 8, 8, 3), min_break=0.1)
    assert [item.frame for item in found.track.keyframes] == [0, 32]


def test_of_several_places_those_that_are_bad_enough_get_an_anchor():
    both = video(13)
    both[24] += 0.02  # a break of about 3 times the median
    found = select(track(), both, count=2, min_break=10)
    assert found.frames == (13,)
    assert found.anchors.shape == (1, 8, 8, 3)
    assert [item.source for item in found.track.keyframes] == ["image", "anchor 1", "image"]
    assert "No anchor at frame 24 (alpha 0.750)" in found.report
    assert select(track(), both, count=2, min_break=2).frames == (13, 24)


def test_the_report_gives_the_change_as_it_is():
    """A flash of 0.5 on a ramp of 0.2 over 32 steps: up by 0.5 and a step, down by 0.5 less a step."""
    found = select(track(), plain(13), margin=4)
    assert "change around it 0.5000, 80.00 times the median" in found.report


def plain(jump_at: int) -> torch.Tensor:
    """`video` without its frame numbers."""
    frames = video(jump_at)
    frames[:, 0, 0, 0] = frames[:, 1, 1, 1]
    return frames


def test_candidates_that_were_not_reversed_are_refused():
    ends = torch.zeros(1, 8, 8, 3), torch.ones(1, 8, 8, 3)
    ramp = torch.linspace(0, 1, LENGTH)[:, None, None, None].repeat(1, 8, 8, 3)
    for score_on in ("reverse", "fixed"):
        assert len(select(track(), ramp.flip(0), ends=ends, score_on=score_on).frames) == 1
        with pytest.raises(ValueError, match="candidates begin like the first keyframe .* connect 'Reverse Keyframes'"):
            select(track(), ramp, ends=ends, score_on=score_on)


@pytest.mark.parametrize("count", [5, 12])
def test_many_anchors_still_make_a_plot(count):
    found = select(track(), video(13), count=count, margin=1)
    assert len(found.frames) == count
    assert found.plot.shape == (1, 600, 1200, 3)


def test_a_very_long_video_has_ticks():
    from pack.frames.chart import frame_ticks

    for length in (3, 81, 16385, 100001):
        assert 2 <= len(frame_ticks(length)) <= 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": video(5, 29)}, "candidates has 29 frames, keyframes has a length of 33"),
        ({"forward": video(5, 29)}, "forward has 29 frames, keyframes has a length of 33"),
        ({"score_on": "frward"}, "score_on must be one of auto, forward, reverse, disagreement, fixed, got 'frward'"),
        ({"score_on": "forward"}, "score_on is 'forward' but forward is not connected"),
        ({"score_on": "disagreement"}, "score_on is 'disagreement' but forward is not connected: connect a forward"),
        ({"score_on": "disagreement", "forward": torch.zeros(LENGTH, 8, 9, 3)}, "forward is 9x8 .* candidates 8x8"),
        ({"earliest": 0.9}, "earliest 0.9 leaves no frame .* 24 of 33: use an earliest of at most 0.75"),
        ({"score_on": "fixed", "count": 2}, "places 1 anchor, at fixed_alpha, but count is 2"),
        ({"margin": 17}, "margin 17 leaves no frame"),
        ({"count": 9}, "count 9 does not fit"),
        ({"track": KeyframeTrack(8, 8, 2)}, "an anchor needs at least 3 frames"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"track": track(), "candidates": video(13), **change}
    with pytest.raises(ValueError, match=message):
        select(**arguments)


def test_candidates_that_are_not_numbers_name_their_frames():
    broken = video(13)
    broken[4, 2, 2] = float("nan")
    broken[9, 1, 1] = float("inf")
    with pytest.raises(ValueError, match=r"candidates has pixels that are not numbers .* in frame 4, 9 of 33"):
        select(track(), broken)

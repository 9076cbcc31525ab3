"""select_anchors: which picture goes where, on which video it is measured, the plot, and refusals."""

import pytest
import torch

from pack.frames.anchor_selection import select_anchors
from pack.frames.keyframe_track import Keyframe, KeyframeTrack

LENGTH = 33


class Brightness:
    """A metric that a reader can predict: the change of the mean."""

    name = "brightness"

    def adjacent(self, frames):
        means = frames.mean(dim=(1, 2, 3))
        return (means[1:] - means[:-1]).abs()


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
    found = select_anchors(track(), video(13), Brightness())
    assert found.frames == (13,)
    assert found.alpha == 13 / 32
    assert frame_number(found.anchors[0]) == 19
    assert [item.frame for item in found.track.keyframes] == [0, 13, 32]
    assert frame_number(found.track.at(13).image[0]) == 19


def test_a_forward_video_is_measured_where_there_is_one():
    found = select_anchors(track(), video(13), Brightness(), forward=video(22))
    assert found.frames == (22,)
    assert frame_number(found.anchors[0]) == 10
    assert "forward video" in found.report
    reverse = select_anchors(track(), video(13), Brightness(), forward=video(22), score_on="reverse")
    assert reverse.frames == (13,)


def test_a_fixed_anchor_is_not_measured():
    found = select_anchors(track(), video(13), Brightness(), score_on="fixed", fixed_alpha=0.75)
    assert found.frames == (24,)
    assert frame_number(found.anchors[0]) == 8


def test_several_anchors_are_numbered_worst_first():
    both = video(13)
    both[24] += 0.3
    found = select_anchors(track(), both, Brightness(), count=2)
    assert found.frames == (13, 24)
    assert found.anchors.shape == (2, 8, 8, 3)
    assert [item.source for item in found.track.keyframes] == ["image", "anchor 1", "anchor 2", "image"]


def test_a_middle_keyframe_keeps_anchors_away():
    found = select_anchors(track(14), video(13), Brightness(), margin=4)
    assert all(abs(found.frames[0] - frame) >= 4 for frame in (0, 14, 32))


def test_inputs_are_left_as_found():
    candidates, before = video(13), track()
    copy = candidates.clone()
    select_anchors(before, candidates, Brightness())
    assert torch.equal(candidates, copy)
    assert [item.frame for item in before.keyframes] == [0, 32]


def test_the_plot_is_a_picture_and_the_same_twice():
    first = select_anchors(track(), video(13), Brightness())
    again = select_anchors(track(), video(13), Brightness())
    assert first.plot.shape == (1, 600, 1200, 3)
    assert first.plot.min() >= 0
    assert first.plot.max() <= 1
    assert first.plot.std() > 0.05
    assert torch.equal(first.plot, again.plot)
    assert first.report == again.report


def test_a_video_that_does_not_change_has_a_breakpoint_all_the_same():
    found = select_anchors(track(), torch.zeros(LENGTH, 8, 8, 3), Brightness())
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
        found = select_anchors(track(), metric=Spy(), **arguments)
        assert found.anchors.shape[-1] == 3
        assert found.frames == (13,)
        assert f"{which}: {note}." in found.report
    assert seen == [3, 3]


def test_anchors_are_fixed_and_float32_whatever_the_candidates_are():
    found = select_anchors(track(), video(13).half(), Brightness())
    assert found.anchors.dtype == torch.float32
    assert found.track.at(13).strength == 1.0


def test_a_forward_video_that_is_not_measured_is_not_checked():
    found = select_anchors(track(), video(13), Brightness(), forward=video(5, 29), score_on="reverse")
    assert found.frames == (13,)


def test_the_plot_shows_the_curve_the_breakpoint_and_the_anchor():
    from pack.frames.breakpoint_plot import BREAK, CHART, COLUMN, CURVE, KEY

    steps = torch.linspace(0.1, 0.3, LENGTH) * torch.tensor([1, -1]).repeat(17)[:LENGTH]
    candidates = (0.5 + steps)[:, None, None, None].repeat(1, 8, 8, 3)  # a change that rises from left to right
    candidates[19] = torch.tensor([1.0, 0.0, 1.0])  # the anchor: magenta, which nothing else in the plot is
    found = select_anchors(track(), candidates, Brightness(), score_on="fixed", fixed_alpha=13 / 32)
    plot = (found.plot[0] * 255).round()

    def columns_of(colour):
        return (plot - torch.tensor(colour)).abs().sum(-1).lt(60).any(dim=0).nonzero().flatten().tolist()

    left, _, right, _ = CHART
    assert len([x for x in columns_of(CURVE) if left < x < right]) > 0.8 * (right - left)
    at = round(left + (right - left) * 13 / 32)
    assert any(abs(x - at) <= 2 for x in columns_of(BREAK))
    assert any(abs(x - left) <= 2 for x in columns_of(KEY))
    assert len(columns_of((255, 0, 255))) > 0.5 * (COLUMN[2] - COLUMN[0])


@pytest.mark.parametrize("count", [5, 12])
def test_many_anchors_still_make_a_plot(count):
    found = select_anchors(track(), video(13), Brightness(), count=count, margin=1)
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
        ({"score_on": "frward"}, "score_on must be one of auto, forward, reverse, fixed, got 'frward'"),
        ({"score_on": "forward"}, "score_on is 'forward' but forward is not connected"),
        ({"score_on": "fixed", "count": 2}, "places 1 anchor, at fixed_alpha, but count is 2"),
        ({"margin": 17}, "margin 17 leaves no frame"),
        ({"count": 9}, "count 9 does not fit"),
        ({"track": KeyframeTrack(8, 8, 2)}, "an anchor needs at least 3 frames"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"track": track(), "candidates": video(13), "metric": Brightness(), **change}
    with pytest.raises(ValueError, match=message):
        select_anchors(**arguments)


def test_candidates_that_are_not_numbers_name_their_frames():
    broken = video(13)
    broken[4, 2, 2] = float("nan")
    broken[9, 1, 1] = float("inf")
    with pytest.raises(ValueError, match=r"candidates has pixels that are not numbers .* in frame 4, 9 of 33"):
        select_anchors(track(), broken, Brightness())

"""break_curve: the curve of one video, and of the disagreement of both."""

import math

import pytest
import torch

from pack.frames.break_curve import BreakCurve, break_curve


class Brightness:
    """The difference of the means."""

    name = "brightness"

    def adjacent(self, frames):
        return self.between(frames[:-1], frames[1:])

    def between(self, these, those):
        return (these.mean(dim=(1, 2, 3)) - those.mean(dim=(1, 2, 3))).abs()


def video(seed: int, length: int = 17) -> torch.Tensor:
    """Frames of one brightness each."""
    values = torch.rand(length, generator=torch.Generator().manual_seed(seed))
    return values[:, None, None, None].repeat(1, 4, 4, 3)


@pytest.mark.parametrize("scored", ["reverse", "forward"])
def test_a_video_s_curve_is_its_continuity(scored):
    videos = {"reverse": video(1), "forward": video(2)}
    means = videos[scored][:, 0, 0, 0].tolist()
    expected = [-(abs(means[n] - means[n - 1]) + abs(means[n + 1] - means[n])) / 2 for n in range(1, 16)]
    curve = break_curve(scored, videos["reverse"], videos["forward"], Brightness())
    torch.testing.assert_close(curve.quality, torch.tensor(expected))
    assert curve.at(1) == pytest.approx(-expected[0])


def test_the_disagreement_is_that_of_a_frame_and_the_candidate_of_its_time():
    forward, candidates = video(2)[:, 0, 0, 0].tolist(), video(1)[:, 0, 0, 0].tolist()
    expected = [-abs(forward[n] - candidates[16 - n]) for n in range(1, 16)]
    curve = break_curve("disagreement", video(1), video(2), Brightness(), rhythm=4)
    torch.testing.assert_close(curve.quality, torch.tensor(expected))
    assert "rhythm" not in curve.report + curve.caption


def test_the_disagreement_does_not_change_when_time_is_turned_around():
    there = break_curve("disagreement", video(1), video(2), Brightness())
    back = break_curve("disagreement", video(2), video(1), Brightness())
    torch.testing.assert_close(there.quality.flip(0), back.quality)


@pytest.mark.parametrize(
    ("length", "rhythm", "caption", "report"),
    [
        (13, 4, ", rhythm of 4 taken out", "(13 frames), a rhythm of 4 frames taken out."),
        (12, 4, "", "fewer than 13 frames are too few to take out a rhythm of 4, so it is still in."),
        (13, 1, "", "(13 frames)."),
    ],
)
def test_the_rhythm_is_told(length, rhythm, caption, report):
    curve = break_curve("reverse", video(1, length), None, Brightness(), rhythm)
    assert curve.caption == f"change around each frame: brightness on the reverse candidates{caption}"
    assert curve.report.endswith(report)


def test_a_short_video_is_measured_as_it_is():
    short = break_curve("reverse", video(1, 12), None, Brightness(), 4)
    assert torch.equal(short.quality, break_curve("reverse", video(1, 12), None, Brightness(), 1).quality)


@pytest.mark.parametrize(
    ("values", "median", "times"), [([1, 3, 2], 2, 1.5), ([0, 3, 0], 0, math.inf), ([0, 0, 0], 0, 0)]
)
def test_how_bad_a_frame_is_beside_the_median(values, median, times):
    curve = BreakCurve(-torch.tensor(values, dtype=torch.float64), "", "", "")
    assert (curve.at(2), curve.median, curve.against_median(2)) == (values[1], median, times)

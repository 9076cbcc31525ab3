"""The breakpoint search: golden clips, the paper's identities, margins, spacing, and refusals."""

import statistics

import pytest
import torch
from safetensors.torch import load_file

from pack.frames.breakpoint import (
    breakpoints,
    continuity,
    fixed_breakpoint,
    mirrored,
    open_frames,
    without_rhythm,
)


def test_continuity_is_minus_the_mean_change_to_both_neighbours():
    adjacent = torch.tensor([0.1, 0.4, 0.2, 0.0], dtype=torch.float64)
    expected = [-(adjacent[n - 1] + adjacent[n]) / 2 for n in range(1, 4)]
    torch.testing.assert_close(continuity(adjacent), torch.stack(expected))


@pytest.mark.parametrize("clip", ["A", "B", "C"])
@pytest.mark.parametrize("metric", ["ssim", "lpips"])
def test_quality_and_breakpoints_equal_the_golden_ones(golden, clip, metric):
    data = load_file(golden("lpips/breakpoint.safetensors"))
    quality = continuity(data[f"{clip}.{metric}.adjacent"])
    torch.testing.assert_close(quality, data[f"{clip}.{metric}.Q"], atol=1e-7, rtol=0)
    for margin in (0, 1, 8):
        n_p, n_a = data[f"{clip}.{metric}.argmin_margin{margin}"].tolist()
        assert breakpoints(quality, 1, margin) == [n_p]
        assert mirrored(n_p, 33) == n_a
    two = f"{clip}.{metric}.two_anchors_margin8"
    if two in data:
        assert breakpoints(quality, 2, 8) == data[two].tolist()


def test_mirror_is_its_own_inverse_and_sums_to_the_last_frame():
    for length in (3, 33, 81):
        for frame in range(length):
            assert mirrored(frame, length) + frame == length - 1
            assert mirrored(mirrored(frame, length), length) == frame


def test_time_reversal_mirrors_the_breakpoint():
    quality = continuity(torch.rand(32, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    assert breakpoints(quality.flip(0), margin=4) == [mirrored(breakpoints(quality, margin=4)[0], 33)]


def test_the_margin_also_guards_keyframes_inside_the_video():
    assert open_frames(33, 8, [0, 16, 32]) == [8, 24]
    assert open_frames(33, 0, [0, 32]) == list(range(1, 32))


def test_three_frames_have_one_place():
    assert breakpoints(torch.tensor([-0.5]), 1, 1) == [1]


@pytest.mark.parametrize(
    ("length", "margin", "taken", "message"),
    [
        (33, 17, [], "margin 17 leaves no frame for an anchor in a video of 33 frames .*: use a margin of at most 16"),
        (33, 9, [16], "between the fixed frames 0, 16, 32: use a margin of at most 8"),
        (3, 0, [1], "there is no frame between them"),
    ],
)
def test_a_margin_that_leaves_nothing_names_the_largest_legal_one(length, margin, taken, message):
    with pytest.raises(ValueError, match=message):
        open_frames(length, margin, taken)


def test_the_largest_margin_named_is_legal():
    assert open_frames(33, 16) == [16]
    assert open_frames(33, 8, [16]) == [8, 24]


def test_anchors_keep_half_of_an_even_share_between_them():
    """Five bad frames in a row: the second anchor is not the next of them but one at least N/(2 count) away."""
    quality = torch.zeros(31)
    quality[11:16] = torch.tensor([-1.0, -0.9, -0.8, -0.7, -0.6])  # frames 12 to 16
    quality[20] = -0.5  # frame 21, nine frames on
    assert breakpoints(quality, 2, 4) == [12, 21]
    assert breakpoints(quality, 3, 4)[:2] == [12, 21]
    quality[17] = -0.55  # frame 18, six frames on: within 33/4, beyond 33/6
    assert breakpoints(quality, 2, 4) == [12, 21]
    assert breakpoints(quality, 3, 4)[:2] == [12, 18]


def test_an_anchor_may_be_exactly_the_least_distance_away():
    """N = 32, two anchors: 8 frames."""
    quality = torch.zeros(30)
    quality[9], quality[16], quality[17] = -1.0, -0.9, -0.8  # frames 10, 17 and 18
    assert breakpoints(quality, 2, 4) == [10, 18]
    quality[9], quality[16], quality[17], quality[1] = -0.8, -0.9, -1.0, -0.7  # frames 18, then 17, 10
    assert breakpoints(quality, 2, 4) == [18, 10]


def test_a_place_exactly_on_the_margin_is_open():
    quality = torch.zeros(31)
    quality[7], quality[23] = -1.0, -0.9  # frames 8 and 24
    quality[6], quality[24] = -5.0, -5.0  # frames 7 and 25
    assert breakpoints(quality, 1, 8) == [8]
    assert breakpoints(quality, 2, 8) == [8, 24]


@pytest.mark.parametrize(
    ("length", "earliest", "first"),
    [(33, 0.0, 1), (33, 0.5, 16), (33, 0.51, 17), (81, 0.7, 56), (101, 0.55, 55), (3, 0.5, 1)],
)
def test_no_frame_before_earliest_is_open(length, earliest, first):
    """0.55 * 100 is 55.00000000000001 in floating point; frame 55 is at 0.55 all the same."""
    assert open_frames(length, 0, [], earliest)[0] == first
    assert open_frames(length, 0, [], 0.0) == list(range(1, length - 1))


@pytest.mark.parametrize(("length", "margin", "taken"), [(33, 8, []), (82, 8, []), (81, 5, [60]), (2001, 1, [])])
def test_an_earliest_that_leaves_nothing_names_the_largest_legal_one(length, margin, taken):
    with pytest.raises(ValueError, match="earliest 1 leaves no frame for an anchor") as error:
        open_frames(length, margin, taken, 1.0)
    named = float(str(error.value).rstrip(".").split("at most ")[1])
    last = open_frames(length, margin, taken)[-1]
    assert open_frames(length, margin, taken, named) == [last]
    with pytest.raises(ValueError, match="leaves no frame"):
        open_frames(length, margin, taken, named + 1.1 / (length - 1))


def test_a_margin_that_leaves_nothing_is_told_before_earliest():
    with pytest.raises(ValueError, match="margin 17 leaves no frame"):
        open_frames(33, 17, [], 1.0)


def test_anchors_keep_half_of_an_even_share_of_the_searched_part():
    """N = 81 from 0.5 on: two anchors are 81/2/4 = 10.1 frames apart, so one in the middle of it leaves room."""
    quality = torch.zeros(79)
    quality[55], quality[65], quality[66] = -1.0, -0.9, -0.8  # frames 56, 66 and 67
    assert breakpoints(quality, 2, 8, earliest=0.5) == [56, 67]
    assert breakpoints(quality, 2, 8) != [56, 67]


def steps(seed: int, count: int = 80) -> torch.Tensor:
    return 0.5 + torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("count", "period"), [(80, 4), (81, 4), (32, 4), (79, 3), (12, 4)])
def test_without_rhythm_is_each_step_over_its_phase_s_median_times_the_median(count, period):
    adjacent = steps(1, count)
    median = statistics.median(adjacent.tolist())
    expected = []
    for n, step in enumerate(adjacent.tolist()):
        phase = [adjacent[m].item() for m in range(count) if m % period == n % period]
        expected.append(step * median / statistics.median(phase))
    torch.testing.assert_close(without_rhythm(adjacent, period), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("rhythm", [(1, 1, 1, 4), (3, 1, 2, 1), (0, 0, 0, 4), (0, 0, 2, 4)])
def test_a_pure_rhythm_becomes_flat(rhythm):
    """Also where frames are shown twice, so that some steps are 0."""
    adjacent = torch.tensor(rhythm, dtype=torch.float64).repeat(8)
    flat = without_rhythm(adjacent, 4)
    torch.testing.assert_close(flat, torch.full_like(adjacent, statistics.median(adjacent.tolist())))


def test_a_period_of_one_and_an_even_video_are_left_as_they_are():
    adjacent = steps(2)
    assert without_rhythm(adjacent, 1) is adjacent
    assert torch.equal(without_rhythm(torch.full((32,), 0.3), 4), torch.full((32,), 0.3))
    assert torch.equal(without_rhythm(torch.zeros(32), 4), torch.zeros(32))


def test_a_video_without_a_rhythm_is_hardly_changed():
    adjacent = steps(3, 400)
    assert (without_rhythm(adjacent, 4) / adjacent - 1).abs().max() < 0.1


def test_steps_twice_as_large_stay_twice_as_large():
    adjacent = steps(4)
    torch.testing.assert_close(without_rhythm(2 * adjacent, 4), 2 * without_rhythm(adjacent, 4))


def test_noise_of_frames_that_stand_still_is_not_made_a_break():
    """Three of four steps are rounding noise; one of them ten times the others is still nothing."""
    adjacent = torch.tensor([1e-6, 1e-6, 1e-6, 0.4], dtype=torch.float64).repeat(8)
    adjacent[8] = 1e-5
    adjacent[19] = 0.6
    assert int(without_rhythm(adjacent, 4).argmax()) == 19


def test_a_step_smaller_than_its_rhythm_is_not_less_than_nothing():
    adjacent = torch.tensor([0.0, 0.0, 0.0, 4.0]).repeat(8)
    adjacent[3] = 1.0
    assert torch.equal(without_rhythm(adjacent, 4), torch.zeros(32))


def test_too_few_steps_for_a_median_are_told():
    assert without_rhythm(steps(5, 11), 4) is None
    assert without_rhythm(steps(5, 12), 4) is not None


@pytest.mark.parametrize(("length", "margin", "count"), [(33, 8, 16), (13, 4, 3), (17, 6, 2), (9, 3, 8)])
@pytest.mark.parametrize("earliest", [0.0, 0.5])
def test_too_many_anchors_name_a_count_that_fits(length, margin, count, earliest):
    generator = torch.Generator().manual_seed(length)
    quality = -torch.rand(length - 2, generator=generator)
    limits = f"margin {margin}" + (f", earliest {earliest:g}" if earliest else "")
    with pytest.raises(ValueError, match=f"count {count} does not fit into {length} frames with {limits} and") as error:
        breakpoints(quality, count, margin, earliest=earliest)
    assert ("or a smaller margin or earliest." in str(error.value)) is (earliest > 0)
    named = int(str(error.value).split("use count ")[1].split()[0])
    assert len(breakpoints(quality, named, margin, earliest=earliest)) == named
    with pytest.raises(ValueError, match="does not fit"):
        breakpoints(quality, named + 1, margin, earliest=earliest)


def test_a_fixed_anchor_sits_at_its_share_of_the_video():
    assert fixed_breakpoint(81, 0.75) == 60
    with pytest.raises(ValueError, match="fixed_alpha 1 puts the anchor on frame 80, an end of the video"):
        fixed_breakpoint(81, 1.0)
    for length in (33, 81, 2001):
        with pytest.raises(ValueError, match="use ") as error:
            fixed_breakpoint(length, 1.0)
        low, high = (float(number) for number in str(error.value).rstrip(".").split("use ")[1].split(" to "))
        assert 1 <= fixed_breakpoint(length, low) < fixed_breakpoint(length, high) <= length - 2
    with pytest.raises(ValueError, match="frame 60, which already holds a keyframe"):
        fixed_breakpoint(81, 0.75, [0, 60, 80])

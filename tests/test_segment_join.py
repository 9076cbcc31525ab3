"""join_segments: lengths and frames for many overlaps, blending, the numbers of a seam, rates, memory, refusals."""

import math
import re
from fractions import Fraction

import pytest
import torch

from pack.bench.measured import tensor_peak
from pack.frames.segment_join import SEGMENTS, exact_rate, join_segments


def video(frames, seed=0, height=6, width=10, channels=3):
    return torch.rand(frames, height, width, channels, generator=torch.Generator().manual_seed(seed))


def named(segments):
    return dict(zip(SEGMENTS, segments, strict=False))


def cut(whole, lengths, overlap):
    """Segments of a video, each of which repeats the last frames of the one before."""
    found, start = [], 0
    for length in lengths:
        found.append(whole[start : start + length])
        start += length - overlap
    return found


LENGTHS = [(5,), (5, 5), (7, 4, 9), (4, 5, 4, 6, 4), (81, 81), (4,) * 20, (9, 33, 5)]


@pytest.mark.parametrize("overlap", [0, 1, 2, 3])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_what_was_cut_is_whole_again(lengths, overlap):
    whole = video(sum(lengths) - overlap * (len(lengths) - 1))
    segments = named(cut(whole, lengths, overlap))
    joined = join_segments(segments, overlap).images
    assert torch.equal(joined, whole)
    for blend in range(1, overlap + 1):
        torch.testing.assert_close(join_segments(segments, overlap, blend).images, whole)


@pytest.mark.parametrize("overlap", [0, 1, 2, 3])
@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
def test_segments_that_differ_keep_the_earlier_one_s_shared_frames(lengths, overlap):
    segments = [video(length, seed) for seed, length in enumerate(lengths)]
    expected = list(segments[0])
    for segment in segments[1:]:
        expected += list(segment[overlap:])
    joined = join_segments(named(segments), overlap)
    assert len(joined.images) == sum(lengths) - overlap * (len(lengths) - 1)
    assert torch.equal(joined.images, torch.stack(expected))


@pytest.mark.parametrize(("overlap", "blend"), [(1, 1), (3, 1), (3, 2), (4, 4)])
def test_a_blend_comes_in_evenly_over_the_last_shared_frames(overlap, blend):
    segments = [video(n, seed) for seed, n in enumerate((6, 5, 8))]
    expected = list(segments[0])
    for segment in segments[1:]:
        for place in range(blend):
            later, earlier = segment[overlap - blend + place], expected[place - blend]
            share = (place + 1) / (blend + 1)
            expected[place - blend] = (1 - share) * earlier + share * later
        expected += list(segment[overlap:])
    torch.testing.assert_close(join_segments(named(segments), overlap, blend).images, torch.stack(expected))


def test_the_segments_are_left_as_they_were():
    segments = [video(6, 1), video(6, 2)]
    copies = [segment.clone() for segment in segments]
    joined = join_segments(named(segments), 3, 3).images
    joined.zero_()
    assert all(torch.equal(one, other) for one, other in zip(segments, copies, strict=True))


def test_a_single_segment_is_not_copied():
    only = video(5)
    joined = join_segments({"segment_1": only}, overlap=7)
    assert joined.images.data_ptr() == only.data_ptr()
    assert torch.equal(joined.images, only)
    assert joined.report.startswith("1 segment, overlap 7, blend 0: 5 frames of 10x6")


def test_grey_alpha_and_half_precision_become_rgb_and_are_reported():
    segments = {"segment_1": video(3, 1, channels=4).half(), "segment_4": video(3, 2, channels=1)}
    joined = join_segments(segments, 0)
    assert joined.images.shape == (6, 6, 10, 3)
    assert joined.images.dtype == torch.float32
    assert torch.equal(joined.images[:3], segments["segment_1"][..., :3].float())
    assert torch.equal(joined.images[3:], segments["segment_4"].expand(-1, -1, -1, 3))
    assert joined.report.splitlines()[-2:] == ["segment_1: alpha dropped.", "segment_4: grey, repeated to RGB."]


# seams


def drifting(frames, start=0.0, step=2 / 255):
    """A grey video that brightens by the same step with every frame."""
    return (start + step * torch.arange(frames)[:, None, None, None]).expand(-1, 6, 10, 3)


def seams(report):
    """(frame, jump, ratio, difference of the shared frames) of every seam."""
    pattern = (
        r"at frame (\d+): jump ([\d.]+)/255, ([\d.]+) x the median(?:; the shared frames? differs? by ([\d.]+)/255)?"
    )
    found = re.findall(pattern, report)
    return [(int(frame), *map(float, numbers), float(shared) if shared else None) for frame, *numbers, shared in found]


def test_a_seam_that_fits_jumps_by_a_usual_step():
    whole = drifting(30)
    report = join_segments(named(cut(whole, (10, 11, 11), 1))).report
    assert seams(report) == [(10, 2.0, 1.0, 0.0), (20, 2.0, 1.0, 0.0)]
    assert "Median step 2.00/255" in report
    assert len(report.splitlines()) == 3


@pytest.mark.parametrize(
    ("steps", "median"),
    [((1, 8, 2, 4, 16), "4.00"), ((16, 1, 2), "2.00"), ((3, 1), "3.00"), ((5,), "5.00"), ((), "0.00")],
)
def test_the_median_is_that_of_uneven_steps(steps, median):
    """Of an even number the larger of the two in the middle."""
    levels = torch.tensor([0.0, *steps]).cumsum(0)[:, None, None, None] / 255
    report = join_segments({"segment_1": levels.expand(-1, 6, 10, 3)}).report
    assert f"Median step {median}/255." in report


def test_a_jump_and_the_frame_that_should_be_equal_have_their_numbers():
    """The second segment is 10/255 brighter, the third as the second."""
    whole = drifting(30)
    first, second, third = cut(whole, (10, 11, 11), 1)
    report = join_segments(named([first, second + 10 / 255, third + 10 / 255])).report
    assert seams(report) == [(10, 12.0, 6.0, 10.0), (20, 2.0, 1.0, 0.0)]
    assert report.count("is the overlap right?") == 1


def test_a_blend_spreads_the_jump_and_the_largest_of_its_steps_counts():
    whole = drifting(30)
    first, second = cut(whole, (15, 19), 4)
    segments = named([first, second + 10 / 255])
    assert seams(join_segments(segments, 4, 0).report) == [(15, 12.0, 6.0, 10.0)]
    assert seams(join_segments(segments, 4, 4).report) == [(15, 4.0, 2.0, 10.0)]
    assert seams(join_segments(segments, 4, 1).report) == [(15, 7.0, 3.5, 10.0)]


def test_the_jump_counts_from_the_first_blended_frame_and_the_shared_frames_on_average():
    """Of two shared frames only the first differs, by 30/255: blended it is 10 brighter, the next one right again."""
    first, second = cut(drifting(20), (10, 12), 2)
    second = second.clone()
    second[0] += 30 / 255
    assert seams(join_segments(named([first, second]), 2, 2).report) == [(10, 12.0, 6.0, 15.0)]


def test_a_frame_that_is_shown_twice_is_noticed():
    segments = named(cut(drifting(20), (10, 11), 1))
    report = join_segments(segments, overlap=0).report
    assert seams(report) == [(10, 0.0, 0.0, None)]
    assert "The video stands still for a frame there: is the overlap more than 0?" in report


def test_the_report_s_lines_are_these():
    first, second = cut(drifting(20), (10, 11), 1)
    assert join_segments(named([first, second + 10 / 255])).report.splitlines() == [
        "2 segments, overlap 1, blend 0: 20 frames of 10x6, 16 fps, 1.25 s. Median step 2.00/255.",
        "segment_1 to segment_2 at frame 10: jump 12.00/255, 6.0 x the median; the shared frame differs by 10.00/255.",
        "  What should be equal differs by more than a step: is the overlap right?",
    ]
    assert join_segments(named([first, second]), overlap=0).report.splitlines()[1:] == [
        "segment_1 to segment_2 at frame 10: jump 0.00/255, 0.0 x the median.",
        "  The video stands still for a frame there: is the overlap more than 0?",
    ]


def test_a_result_is_not_changed_and_equal_to_itself_alone():
    one, other = (join_segments({"segment_1": drifting(3)}) for _ in range(2))
    assert one != other
    with pytest.raises(AttributeError, match="rate"):
        one.rate = 5


def test_segments_have_the_names_of_their_slots():
    report = join_segments({"segment_2": drifting(4), "segment_7": drifting(4, 6 / 255)}).report
    assert "segment_2 to segment_7 at frame 4:" in report


def test_a_still_video_has_no_ratio():
    report = join_segments(named([torch.zeros(4, 6, 10, 3)] * 2)).report
    assert "jump 0.00/255; the shared frame differs by 0.00/255." in report


# rates


@pytest.mark.parametrize(
    ("fps", "rate"),
    [
        (16.0, Fraction(16)),
        (7.0, Fraction(7)),
        (12.5, Fraction(25, 2)),
        (23.976, Fraction(24000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (24000 / 1001, Fraction(24000, 1001)),
        (24.0, Fraction(24)),
        (29.97, Fraction(30000, 1001)),
        (47.952, Fraction(48000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (25.0, Fraction(25)),
        (16 / 3, Fraction(16, 3)),
        (15.99, Fraction(1599, 100)),
        (0.5, Fraction(1, 2)),
        (0.01, Fraction(1, 100)),
    ],
)
def test_rates_are_exact(fps, rate):
    assert exact_rate(fps) == rate
    assert join_segments({"segment_1": video(2)}, fps=fps).rate == rate


def test_the_report_has_length_size_and_duration():
    report = join_segments(named([drifting(25), drifting(25)]), fps=23.976).report
    assert report.startswith("2 segments, overlap 1, blend 0: 49 frames of 10x6, 23.976 fps (24000/1001), 2.04 s.")


# memory and progress


def test_twenty_segments_take_hardly_more_memory_than_the_result():
    segments = named([video(9, seed, 32, 48) for seed in range(20)])
    result = (20 * 9 - 19 * 3) * 32 * 48 * 3 * 4
    assert result <= tensor_peak(lambda: join_segments(segments, 3, 2)) <= 1.1 * result


def test_every_frame_is_followed_and_a_cancel_comes_through():
    counts, totals = [], []

    def watch(total):
        totals.append(total)
        return counts.append

    join_segments(named([video(5), video(6)]), 2, watch=watch)
    assert totals == [sum(counts)]

    def cancel(frames):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join_segments(named([video(5), video(6)]), watch=lambda total: cancel)


# refusals


def broken(value, frame):
    made = video(7)
    made[frame, 5, 9, 2] = value
    return made


@pytest.mark.parametrize(
    ("segments", "settings", "message"),
    [
        ({}, {}, "segments is empty: connect a video to segment_1"),
        (named([video(5)] * 2), {"overlap": -1}, "overlap must be 0 or more frames, got -1"),
        (named([video(5)] * 2), {"overlap": 1, "blend": 3}, "blend must be 0 to 1 with overlap 1, got 3"),
        (named([video(5)] * 2), {"blend": -1}, "blend must be 0 to 1 with overlap 1, got -1"),
        (
            named([video(5), video(5), video(5, height=8)]),
            {},
            "segment_3 is 10x8, segment_1 is 10x6: scale one so that all are equally large",
        ),
        (
            named([video(9), video(4)]),
            {"overlap": 4},
            "segment_2 has 4 frames, with overlap 4 it needs at least 5: lower overlap to 3, or make it longer",
        ),
        (named([video(3), video(9)]), {"overlap": 5}, "segment_1 has 3 frames, with overlap 5 it needs at least 6"),
        (
            named([video(5), video(5)[:0]]),
            {"overlap": 0},
            "segment_2 has 0 frames, .* it needs at least 1: make it longer",
        ),
        (
            {"segment_1": video(5)[0]},
            {},
            r"segment_1 must be a video \[frames, height, width, channels\], got \[6, 10, 3\]",
        ),
        (named([video(5), video(5, channels=2)]), {}, "segment_2 has 2 channels"),
        (named([video(5), broken(math.nan, 3)]), {}, r"segment_2 has pixels that are not numbers .* in frame 3 of 7"),
        (named([broken(math.inf, 6), video(5)]), {}, r"segment_1 has pixels that are not numbers .* in frame 6 of 7"),
        (named([video(5), broken(math.nan, 0)]), {}, r"segment_2 has pixels that are not numbers .* in frame 0 of 7"),
        (named([video(5), broken(math.nan, 0)[:1]]), {"overlap": 0}, "segment_2 has pixels that are not numbers"),
        ({"segment_1": broken(math.nan, 0)}, {}, "segment_1 has pixels that are not numbers"),
        (named([video(5)]), {"fps": 0.0}, "fps must be at least 0.01, got 0"),
        (named([video(5)]), {"fps": math.nan}, "fps must be at least 0.01, got nan"),
        (named([video(5)]), {"fps": math.inf}, "fps must be at least 0.01, got inf"),
    ],
)
def test_bad_input_is_named(segments, settings, message):
    with pytest.raises(ValueError, match=message):
        join_segments(segments, **settings)

"""The breakpoint search: golden clips, the paper's identities, margins, spacing, and refusals."""

import pytest
import torch
from safetensors.torch import load_file

from pack.frames.breakpoint import breakpoints, continuity, fixed_breakpoint, mirrored, open_frames


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


@pytest.mark.parametrize(("length", "margin", "count"), [(33, 8, 16), (13, 4, 3), (17, 6, 2), (9, 3, 8)])
def test_too_many_anchors_name_a_count_that_fits(length, margin, count):
    generator = torch.Generator().manual_seed(length)
    quality = -torch.rand(length - 2, generator=generator)
    with pytest.raises(
        ValueError, match=f"count {count} does not fit into {length} frames with margin {margin}"
    ) as error:
        breakpoints(quality, count, margin)
    named = int(str(error.value).split("use count ")[1].split()[0])
    assert len(breakpoints(quality, named, margin)) == named
    with pytest.raises(ValueError, match="does not fit"):
        breakpoints(quality, named + 1, margin)


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

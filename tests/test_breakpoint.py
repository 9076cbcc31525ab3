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
        (33, 9, [16], "keyframes at 0, 16, 32: use a margin of at most 8"),
        (3, 0, [1], "the keyframes leave no frame between them"),
    ],
)
def test_a_margin_that_leaves_nothing_names_the_largest_legal_one(length, margin, taken, message):
    with pytest.raises(ValueError, match=message):
        open_frames(length, margin, taken)


def test_the_largest_margin_named_is_legal():
    assert open_frames(33, 16) == [16]
    assert open_frames(33, 8, [16]) == [8, 24]


def test_too_many_anchors_name_how_many_fit():
    with pytest.raises(ValueError, match=r"count 16 does not fit: \d+ anchors fit into 33 frames with margin 8"):
        breakpoints(torch.zeros(31), 16, 8)


def test_a_fixed_anchor_sits_at_its_share_of_the_video():
    assert fixed_breakpoint(81, 0.75) == 60
    with pytest.raises(ValueError, match="fixed_alpha 1 puts the anchor on frame 80, an end of the video"):
        fixed_breakpoint(81, 1.0)
    with pytest.raises(ValueError, match="frame 60, which already holds a keyframe"):
        fixed_breakpoint(81, 0.75, [0, 60, 80])

"""Colour drift: cells and steps of colour, ramps, what is drift and what is not, surfaces."""

import math

import pytest
import torch

from pack.frames.colour_drift import (
    SMALLEST,
    ColourMap,
    colour_steps,
    frame_cells,
    keyframe_drifts,
    lab_values,
    ramp_weight,
)

EYE = torch.eye(3)
TINT = torch.tensor([0.06, -0.02, -0.05])


def waves(frames=24, height=64, width=96):
    """[N,H,W,3]: a smooth scene that pans."""
    x = torch.arange(width)[None, None, :] - 0.7 * torch.arange(frames)[:, None, None]
    y = torch.arange(height)[None, :, None].expand(frames, -1, width)
    return torch.stack([0.5 + 0.2 * (x / 11 + phase).sin() * (y / (9 + phase)).cos() for phase in (0, 1, 2)], dim=-1)


def drifts(video, pictures, reach=6):
    seen = {frame: frame_cells(picture[None])[0] for frame, picture in pictures.items()}
    return keyframe_drifts(frame_cells(video), seen, reach)


# cells and steps


@pytest.mark.parametrize("size", [(480, 832), (64, 64), (37, 51), (16, 16), (5, 3), (1, 1), (2000, 1000)])
def test_cells_are_means_of_overlapping_windows(size):
    frames = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(0))
    cells = frame_cells(frames)
    assert cells.shape[:2] == (1, 3)
    assert max(cells.shape[2:]) <= 64
    tall, wide = (max(1, min(max(4, math.ceil(side / 64)), side // 2)) for side in size)
    torch.testing.assert_close(cells[0, :, 0, 0], frames[0, : 2 * tall, : 2 * wide].mean(dim=(0, 1)))
    if cells.shape[3] > 1:
        window = frames[0, : 2 * tall, wide : 3 * wide]
        torch.testing.assert_close(cells[0, :, 0, 1], window.mean(dim=(0, 1)))


def test_a_colour_step_is_a_tint_s_size_and_no_motion():
    cells = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(5)).repeat(4, 1, 1, 1)
    cells[1] = cells[1].flip(-1)
    cells[3] += TINT[:, None, None]
    steps = colour_steps(cells)
    torch.testing.assert_close(steps, torch.tensor([0.0, 0.0, 255 * float(TINT.abs().mean())]))


def test_lab_is_the_cie_s():
    """Red, from the CIE's own formula at D65: L 53.24, a 80.09, b 67.20."""
    mean, deviation = lab_values(torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(-1, 2, 2))
    torch.testing.assert_close(mean, torch.tensor([53.24, 80.09, 67.20]), atol=0.02, rtol=0)
    torch.testing.assert_close(deviation, torch.zeros(3))


# ramps


@pytest.mark.parametrize("ramp", [1, 2, 4, 13])
def test_a_ramp_falls_from_one_to_nothing_without_a_kink(ramp):
    weights = torch.tensor([ramp_weight(d, ramp) for d in range(ramp + 4)], dtype=torch.float64)
    assert weights[0] == 1
    assert torch.equal(weights[ramp:], torch.zeros(4, dtype=torch.float64))
    steps = torch.cat([weights[:1].new_zeros(1), weights.diff()])  # it is flat on the other side of the keyframe too
    assert float(steps.diff().abs().max()) <= (math.pi / ramp) ** 2 / 2 + 1e-9


def test_ramps_of_two_keyframes_make_one_between_them():
    assert [ramp_weight(d, 9) + ramp_weight(9 - d, 9) for d in range(10)] == pytest.approx([1.0] * 10)


@pytest.mark.parametrize(
    ("tinted", "expected"),
    [(range(24), 13), (range(12, 24), 13), (range(20, 23), range(4, 9)), (range(22, 23), 4)],
    ids=["all", "as far as the reach", "three frames", "one frame"],
)
def test_a_short_flash_has_a_short_ramp(tinted, expected):
    right = waves()
    video = right.clone()
    video[list(tinted)] += TINT
    found = drifts(video, {23: right[23]}, reach=12)[23].before.ramp
    assert found in ([expected] if isinstance(expected, int) else expected)


@pytest.mark.parametrize(("keyframes", "before", "after"), [((3, 7), 13, 4), ((0, 20), None, 13), ((10, 11), 13, None)])
def test_ramps_end_at_the_next_keyframe(keyframes, before, after):
    right = waves(1).expand(24, -1, -1, -1)
    found = drifts(right + TINT, {frame: right[frame] for frame in keyframes}, reach=12)[keyframes[0]]
    assert [side and side.ramp for side in (found.before, found.after)] == [before, after]


# what counts


def test_a_clip_that_lands_on_its_keyframes_has_no_drift():
    right = waves()
    for drift in drifts(right, {0: right[0], 12: right[12], 23: right[23]}).values():
        parts = [drift.at, *(side.undo for side in (drift.before, drift.after) if side)]
        assert not any(part.changes for part in parts)
        assert drift.likeness == 1


@pytest.mark.parametrize("size", [1.0, 1.9, 3.0, 12.0])
def test_small_differences_do_not_count_and_large_ones_do(size):
    """A still clip: what is no drift is SMALLEST alone."""
    right = waves(1).expand(9, -1, -1, -1)
    tint = size / 255
    found = drifts(right + tint, {8: right[8]})[8].at
    share = max(0.0, 1 - (SMALLEST / tint) ** 4)
    torch.testing.assert_close(found.shift, torch.full((3,), -tint * share), atol=1e-5, rtol=0)
    assert found.tints == (size > 1.5)


def brightening(frames=24, step=3 / 255):
    """A still scene that becomes lighter by the same step with every frame."""
    return 0.8 * waves(1) + step * torch.arange(frames)[:, None, None, None]


def test_a_difference_of_one_frame_s_motion_is_not_drift():
    video = brightening()
    assert not drifts(video, {23: video[23] + 3 / 255})[23].at.changes
    assert drifts(video, {23: video[23] + 9 / 255})[23].at.changes


def test_a_flash_is_told_from_the_way_that_the_video_is_going():
    video = brightening()
    right = video[23].clone()
    video[:23] += 8 / 255
    undo = drifts(video, {23: right})[23].before.undo
    torch.testing.assert_close(undo.shift, torch.full((3,), -8 / 255), atol=0.3 / 255, rtol=0)


def test_a_flash_of_one_frame_does_not_bend_the_way_that_the_video_is_going():
    video = brightening(step=0.0)
    video[22] += 16 / 255
    undo = drifts(video, {23: video[23]})[23].before.undo
    torch.testing.assert_close(undo.shift, torch.full((3,), -16 / 255), atol=0.3 / 255, rtol=0)


def test_another_picture_is_not_drift():
    right = waves()
    video = right.flip(2)  # mirrored, and darker
    found = drifts(video - 0.1, {23: right[23]})[23]
    assert found.likeness == 0
    assert not found.at.changes


def test_a_cut_before_the_last_frame_is_not_a_flash():
    right = waves()
    video = 0.8 * right.flip(2)
    video[23] = right[23]
    found = drifts(video, {23: right[23]})[23]
    assert not found.at.changes
    assert not found.before.undo.changes


def test_drift_at_the_keyframe_and_a_flash_before_it_are_undone_together():
    """All frames have half the contrast; those before the last are brighter too."""
    right = waves(1).expand(24, -1, -1, -1)
    video = 0.5 * right + 0.25
    video[:23] += 0.08
    undo = drifts(video, {23: right[23]})[23].before.undo
    near, wanted = frame_cells(video[22:23])[0], frame_cells(right[22:23])[0]
    made = near + undo.change(near, undo.surface)
    assert float((made - wanted).abs().mean()) < 0.05 * float((near - wanted).abs().mean())


@pytest.mark.parametrize("frames", [waves(), waves(1).repeat(24, 1, 1, 1)], ids=["moving", "still"])
def test_a_tint_of_the_last_frame_alone_is_not_that_of_the_frames_before_it(frames):
    video = frames.clone()
    video[23] += TINT
    found = drifts(video, {23: frames[23]})[23]
    torch.testing.assert_close(found.at.shift + found.at.matrix @ TINT, torch.zeros(3), atol=0.01, rtol=0)
    assert not found.before.undo.changes


def test_a_tint_from_left_to_right_is_the_surface():
    right = waves()
    tint = torch.linspace(-1, 1, 96)[:, None] * torch.tensor([0.05, 0.03, -0.04])
    found = drifts(right + tint, {23: right[23]})[23]
    surface = found.at.surface
    wanted = frame_cells((right + tint)[23:])[0] - frame_cells(right[23:])[0]
    left = wanted - surface
    assert float(left.square().mean().sqrt()) < 0.35 * float(wanted.square().mean().sqrt())
    torch.testing.assert_close(surface.mean(dim=(1, 2)), torch.zeros(3), atol=1e-6, rtol=0)
    assert float(surface.abs().max()) <= 10 / 255 + 1e-6


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, 2), (2, 2)])
def test_a_shifted_picture_is_not_a_surface(rows, columns):
    right = waves()
    found = drifts(torch.roll(right, (rows, columns), (1, 2)), {23: right[23]})[23]
    assert not found.at.surface.any()


def test_a_thing_in_another_place_is_not_a_surface():
    right = waves()
    video, wanted = right.clone(), right[23].clone()
    video[:, 20:40, 20:40] = torch.tensor([0.9, 0.2, 0.1])
    wanted[20:40, 50:70] = torch.tensor([0.9, 0.2, 0.1])
    assert not drifts(video, {23: wanted})[23].at.surface.any()


def test_played_backwards_the_sides_change_places():
    right = waves()
    video = right.clone()
    video[:12] += TINT
    forward = drifts(video, {12: right[12]})[12]
    backward = drifts(video.flip(0), {11: right[12]})[11]
    torch.testing.assert_close(forward.before.undo.shift, backward.after.undo.shift)
    assert forward.before.ramp == backward.after.ramp
    assert forward.before.undo.changes
    assert not forward.after.undo.changes


@pytest.mark.parametrize("frames", [1, 2, 3, 4])
def test_the_shortest_videos(frames):
    right = waves(frames)
    found = drifts(right + TINT, {frames - 1: right[-1]})[frames - 1]
    torch.testing.assert_close(found.at.shift + found.at.matrix @ TINT, torch.zeros(3), atol=0.01, rtol=0)
    assert (found.before is None) == (frames == 1)
    assert found.after is None


def test_a_map_adds_what_it_says():
    surface = torch.rand(3, 4, 5)
    undo = ColourMap(torch.diag(torch.tensor([2.0, 1.0, 0.5])), torch.tensor([0.1, 0.2, 0.3]), surface)
    x = torch.rand(3, 4, 5)
    expected = torch.stack([2 * x[0] + 0.1, x[1] + 0.2, 0.5 * x[2] + 0.3]) - surface
    torch.testing.assert_close(x + undo.change(x, surface), expected)
    assert undo.changes
    assert not ColourMap(EYE, torch.zeros(3), torch.zeros(3, 4, 5)).changes
    assert ColourMap(EYE, torch.zeros(3), surface).changes

"""Rescaled temporal RoPE: official scales and tables, the other two readings built directly, symmetry, short videos."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pack.patches.temporal_rope import (
    MODES,
    TemporalRoPE,
    balanced_mid_scale,
    changed_rotations,
    edge_length,
    frame_scales,
    pixel_length,
    rescaled_positions,
    rotation_change,
)

THETA = 1e4
HEAD, ROWS, COLUMNS = 24, 2, 3  # channels of a head, and a frame's grid, where a test needs just any
AXIS = 8  # of 24 channels, those that turn with time


def axes(size):
    return [size - 4 * (size // 6), 2 * (size // 6), 2 * (size // 6)]


def rotation_table(places, rows, columns, size):
    """A table [1, 1, L, D/2, 2, 2] of frames at temporal places, written out token by token."""
    tokens = []
    for place in places:
        for row in range(rows):
            for column in range(columns):
                angles = []
                for position, width in zip((place, row, column), axes(size), strict=True):
                    angles += [position * THETA ** (-2 * pair / width) for pair in range(width // 2)]
                tokens.append(angles)
    angle = torch.tensor(tokens, dtype=torch.float64)[None, None]
    return torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1).unflatten(-1, (2, 2))


def changed(table, scales, mode, tokens=ROWS * COLUMNS, size=HEAD, spacing=1.0):
    change = rotation_change(scales, mode, axes(size)[0], THETA, spacing)
    return changed_rotations(table, change.repeat_interleave(tokens, dim=0))


def rotated(x, table):
    """[B, heads, L, D] with every pair of neighbouring channels turned."""
    return (table @ x.unflatten(-1, (-1, 2))[..., None]).flatten(-3)


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some_scales(frames, seed=0):
    return 1 + 0.2 * random(frames, seed=seed)


# scales


@pytest.mark.parametrize("length", [25, 33, 65, 81])
def test_scales_are_the_official_ones(golden, length):
    stored = load_file(golden("kab_retro/retro.safetensors"))
    names = [name for name in stored if name.startswith(f"s/N{length}/")]
    assert len(names) == 3
    for name in names:
        numbers = [float(part.lstrip("Nwedgmisoth")) for part in name.split("/")[1:]]
        frames, edge_frames, edge, mid, radius = numbers
        assert (frames, pixel_length(len(stored[name]))) == (length, length)
        for chosen in (int(edge_frames), 0):  # 0 finds the paper's edge itself
            ours = frame_scales((length + 3) // 4, edge, mid, chosen, int(radius))
            torch.testing.assert_close(ours.float(), stored[name], atol=1e-6, rtol=0)


def test_scales_of_21_and_7_frames_are_those_of_the_paper_s_code():
    """methods.md 2.4."""
    end = [1.036, 1.012, 0.988, 0.964]
    assert frame_scales(21, 1.06, 0.94).tolist() == pytest.approx([*end, *[0.94] * 13, *end[::-1]], abs=1e-9)
    end = [1.012, 0.988, 0.964]
    assert frame_scales(7, 1.06, 0.94).tolist() == pytest.approx([*end, 0.94, *end[::-1]], abs=1e-9)


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
@pytest.mark.parametrize(("frames", "edge_frames"), [(2, 0), (3, 1), (4, 2), (9, 7), (14, 0), (21, 20), (30, 13)])
def test_scales_are_a_step_smoothed_by_a_box_that_repeats_its_ends(frames, edge_frames, radius):
    length = 4 * (frames - 1) + 1
    share = (edge_frames or max(1, length // 10)) / length
    step = [1.3 if i / (frames - 1) < share or i / (frames - 1) >= 1 - share else 0.8 for i in range(frames)]
    boxes = [[step[min(max(j, 0), frames - 1)] for j in range(i - radius, i + radius + 1)] for i in range(frames)]
    expected = [sum(box) / len(box) for box in boxes]
    assert frame_scales(frames, 1.3, 0.8, edge_frames, radius).tolist() == pytest.approx(expected, abs=1e-12)


def test_scales_of_one_everywhere_are_exactly_one():
    for frames in range(1, 40):
        assert torch.equal(frame_scales(frames, 1.0, 1.0), torch.ones(frames, dtype=torch.float64))


def test_time_reversal_leaves_the_scales():
    for frames in range(2, 50):
        scales = frame_scales(frames, 1.06, 0.94)
        torch.testing.assert_close(scales.flip(0), scales)


def test_one_frame_has_no_time_and_two_and_three_are_all_edge_or_evened_out():
    assert frame_scales(1, 1.06, 0.94).tolist() == [1]
    assert frame_scales(2, 1.06, 0.94).tolist() == pytest.approx([1.06, 1.06])
    assert frame_scales(3, 1.06, 0.94, radius=0).tolist() == pytest.approx([1.06, 0.94, 1.06])
    assert frame_scales(3, 1.06, 0.94).tolist() == pytest.approx([0.8 * 1.06 + 0.2 * 0.94] * 3)


@pytest.mark.parametrize(("length", "edge"), [(25, 2), (33, 3), (65, 6), (81, 8), (5, 1), (17, 1), (49, 4), (121, 12)])
def test_the_default_edge_is_the_paper_s_or_a_tenth(length, edge):
    assert edge_length(length) == edge
    assert frame_scales((length + 3) // 4, 1.06, 0.94, edge).equal(frame_scales((length + 3) // 4, 1.06, 0.94))


def test_the_default_edge_is_legal_at_every_length():
    for frames in range(2, 130):
        length = pixel_length(frames)
        assert length == 4 * frames - 3
        assert 0 < 2 * edge_length(length) < length
        if length not in (25, 33, 65, 81):
            assert edge_length(length) == max(1, length // 10)
        assert frame_scales(frames, 1.06, 0.94).shape == (frames,)


@pytest.mark.parametrize(("frames", "room", "default"), [(2, 2, 1), (7, 12, 2), (9, 16, 3), (21, 40, 8), (22, 42, 8)])
def test_an_edge_that_leaves_no_middle_names_the_longest_and_the_default(frames, room, default):
    assert frame_scales(frames, 1.06, 0.94, room).shape == (frames,)
    for edge_frames in (room + 1, 10 * room, -1):
        message = (
            f"edge_frames is {edge_frames}, but a video of {4 * frames - 3} frames has room for at most {room} at each "
            rf"end: use 0 to choose from the length \({default}\)"
        )
        with pytest.raises(ValueError, match=message):
            frame_scales(frames, 1.06, 0.94, edge_frames)
        with pytest.raises(ValueError, match=message):
            balanced_mid_scale(frames, 1.06, edge_frames)


@pytest.mark.parametrize("radius", [0, 2, 4])
@pytest.mark.parametrize("edge_scale", [1.06, 1.3, 0.9])
def test_the_balanced_middle_makes_the_average_one_at_every_length(edge_scale, radius):
    for frames in range(3, 60):
        for edge_frames in (0, 1):
            mid_scale = balanced_mid_scale(frames, edge_scale, edge_frames, radius)
            scales = frame_scales(frames, edge_scale, mid_scale, edge_frames, radius)
            assert float(scales.mean()) == pytest.approx(1, abs=1e-12)
            assert (mid_scale < 1) == (edge_scale > 1)


def test_a_video_without_a_middle_has_none_to_balance():
    assert [balanced_mid_scale(frames, 1.06) for frames in (1, 2)] == [1, 1]


@pytest.mark.parametrize("settings", [{}, {"edge_scale": 1.3, "edge_frames": 2, "smooth_radius": 1}])
def test_settings_balance_the_middle_in_place_of_the_one_they_name(settings):
    balanced = TemporalRoPE(mid_scale=0.5, balance=True, **settings).scales(9)
    assert float(balanced.mean()) == pytest.approx(1, abs=1e-12)
    plain = TemporalRoPE(mid_scale=0.5, **settings).scales(9)
    edge, radius = settings.get("edge_scale", 1.06), settings.get("smooth_radius", 2)
    torch.testing.assert_close(plain, frame_scales(9, edge, 0.5, settings.get("edge_frames", 0), radius))
    torch.testing.assert_close((balanced - edge) / (balanced[4] - edge), (plain - edge) / (plain[4] - edge))


def test_the_settings_that_are_not_named_are_the_paper_s_code():
    assert TemporalRoPE() == TemporalRoPE(1.0, "amplitude", 1.06, 0.94, 0, 2, "", balance=False)


def test_strength_is_the_distance_of_the_scales_from_1():
    scales = TemporalRoPE(strength=0.5).scales(9)
    torch.testing.assert_close(scales, 1 + (frame_scales(9, 1.06, 0.94) - 1) / 2)
    assert TemporalRoPE(strength=0).scales(9).tolist() == [1] * 9


def test_a_scale_that_is_not_above_0_is_refused():
    assert float(TemporalRoPE(mid_scale=0.5, strength=1.99, smooth_radius=0).scales(9).min()) == pytest.approx(0.005)
    for strength in (2, 3):
        with pytest.raises(ValueError, match=f"a scale of {1 - strength / 2:.3g}, where time would stand still"):
            TemporalRoPE(mid_scale=0.5, strength=strength, smooth_radius=0).scales(9)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"strength is -0.5; use 0 \(off\) or more"):
        TemporalRoPE(strength=-0.5)
    with pytest.raises(ValueError, match="mode must be one of amplitude, phase, warp, got 'frequency'"):
        TemporalRoPE(mode="frequency")


# positions


def test_positions_are_scaled_in_phase_summed_in_warp_and_kept_in_amplitude():
    scales = some_scales(9)
    warp = [0.0]
    for i in range(1, 9):
        warp.append(warp[-1] + (float(scales[i - 1]) + float(scales[i])) / 2)
    assert rescaled_positions(scales, "phase").tolist() == pytest.approx([float(scales[i]) * i for i in range(9)])
    assert rescaled_positions(scales, "warp").tolist() == pytest.approx(warp)
    assert rescaled_positions(scales, "amplitude").tolist() == list(range(9))


def test_warp_has_the_same_distances_in_both_directions_of_time():
    scales = some_scales(9)
    forwards, backwards = rescaled_positions(scales, "warp"), rescaled_positions(scales.flip(0), "warp")
    torch.testing.assert_close(backwards.diff(), forwards.diff().flip(0))
    steps = rescaled_positions(frame_scales(21, 1.06, 0.94), "warp").diff()
    torch.testing.assert_close(steps, steps.flip(0))


def test_phase_stretches_distances_more_the_later_they_are():
    """methods.md 2.4: the numbers for 21 frames."""
    steps = rescaled_positions(frame_scales(21, 1.06, 0.94), "phase").diff()
    assert [float(steps[i]) for i in (2, 3, 17)] == pytest.approx([0.92, 0.87, 1.40], abs=0.005)
    assert (steps - steps.flip(0)).abs().max() > 0.4


# rotations


@pytest.mark.parametrize(("case", "size"), [("wide/N25", 128), ("deep/N81", 24)])
def test_the_changed_table_and_the_rotated_q_and_k_are_the_official_ones(golden, case, size):
    data = load_file(golden("kab_retro/retro.safetensors"))
    grid = json.loads(golden("kab_retro/manifest.json").read_text())["grids"][case.split("/")[1]]
    frames, rows, columns = grid["f"], grid["h"] // 2, grid["w"] // 2  # a token is 2 x 2 of the latent
    scales = frame_scales(frames, 1.06, 0.94)
    torch.testing.assert_close(scales.float(), data[f"{case}/s"], atol=1e-6, rtol=0)
    stock = rotation_table(range(frames), rows, columns, size)
    table = changed(stock, scales, "amplitude", rows * columns, size)
    assert axes(size)[0] // 2 == data[f"{case}/n_temporal_pairs"]
    real, imaginary = data[f"{case}/freqs_real"], data[f"{case}/freqs_imag"]
    expected = torch.stack([real, -imaginary, imaginary, real], dim=-1).unflatten(-1, (2, 2))
    torch.testing.assert_close(table[0, 0], expected, atol=2e-6, rtol=0)
    for name, turns in (("q_rot", table), ("k_rot", table), ("q_rot_stock", stock)):
        given = data[f"{case}/{name[0]}_in"].unflatten(-1, (-1, size)).transpose(1, 2).double()
        ours = rotated(given, turns).transpose(1, 2).flatten(2).float()
        torch.testing.assert_close(ours, data[f"{case}/{name}"], atol=2e-6, rtol=0)


def test_amplitude_multiplies_the_temporal_part_of_a_logit_by_both_scales():
    scales, tokens = some_scales(5), ROWS * COLUMNS
    stock = rotation_table(range(5), ROWS, COLUMNS, HEAD)
    table = changed(stock, scales, "amplitude")
    q, k = random(1, 2, 5 * tokens, HEAD), random(1, 2, 5 * tokens, HEAD, seed=1)

    def logits(turns, part):
        return rotated(q, turns)[..., part] @ rotated(k, turns)[..., part].transpose(-1, -2)

    of_token = scales.repeat_interleave(tokens)
    temporal, spatial = slice(0, AXIS), slice(AXIS, None)
    expected = logits(stock, temporal) * of_token[:, None] * of_token
    torch.testing.assert_close(logits(table, temporal), expected)
    assert torch.equal(logits(table, spatial), logits(stock, spatial))


@pytest.mark.parametrize("spacing", [1.0, 0.5, 1.7])
@pytest.mark.parametrize("shift", [0.0, 3.0, -0.25])
@pytest.mark.parametrize("mode", ["phase", "warp"])
def test_moved_frames_have_the_table_of_their_new_positions(mode, shift, spacing):
    """Whatever spacing and shift another node has put into the host's table."""
    scales = some_scales(6)
    places = rescaled_positions(scales, mode)
    assert (places - torch.arange(6)).abs().max() > 0.1
    stock = rotation_table([i * spacing + shift for i in range(6)], ROWS, COLUMNS, HEAD)
    expected = rotation_table([float(p) * spacing + shift for p in places], ROWS, COLUMNS, HEAD)
    table = changed(stock, scales, mode, spacing=spacing)
    torch.testing.assert_close(table, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("mode", ["phase", "warp"])
def test_a_moved_frame_s_rotation_stays_a_rotation(mode):
    change = rotation_change(some_scales(6), mode, AXIS, THETA)
    identity = torch.eye(2, dtype=torch.float64).expand_as(change)
    torch.testing.assert_close(change @ change.transpose(-1, -2), identity)
    torch.testing.assert_close(torch.linalg.det(change), torch.ones(6, AXIS // 2, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("mode", MODES)
def test_scales_of_one_change_no_number_of_the_table(mode, dtype):
    stock = rotation_table(range(6), ROWS, COLUMNS, HEAD).to(dtype)
    table = changed(stock, torch.ones(6, dtype=torch.float64), mode, spacing=0.5)
    assert table.dtype == dtype
    assert torch.equal(table, stock)


@pytest.mark.parametrize("mode", MODES)
def test_tokens_before_the_video_and_spatial_pairs_stay(mode):
    stock = rotation_table(range(9), ROWS, COLUMNS, HEAD)
    before = stock.clone()
    ahead = 4 * ROWS * COLUMNS
    table = changed(stock, some_scales(5), mode)  # the last five of nine frames are the video
    alone = changed(stock[:, :, ahead:], some_scales(5), mode)
    assert torch.equal(stock, before)
    assert torch.equal(table[:, :, :ahead], stock[:, :, :ahead])
    assert torch.equal(table[:, :, ahead:], alone)
    assert torch.equal(table[..., AXIS // 2 :, :, :], stock[..., AXIS // 2 :, :, :])
    moved = (table != stock)[0, 0, ahead:, : AXIS // 2].flatten(1).any(dim=1)
    assert moved.unflatten(0, (5, -1))[1:].all()


@pytest.mark.parametrize("mode", MODES)
def test_a_window_s_positions_begin_at_its_own_first_frame(mode):
    scales = frame_scales(21, 1.06, 0.94)[14:21]
    stock = rotation_table(range(7), ROWS, COLUMNS, HEAD)
    table = changed(stock, scales, mode)
    first = stock[:, :, : ROWS * COLUMNS].clone()
    if mode == "amplitude":
        first[..., : AXIS // 2, :, :] *= scales[0]
    torch.testing.assert_close(table[:, :, : ROWS * COLUMNS], first)


@pytest.mark.parametrize("frames", [1, 2, 3])
@pytest.mark.parametrize("mode", MODES)
def test_the_shortest_videos_have_a_change_for_every_frame(mode, frames):
    scales = frame_scales(frames, 1.06, 0.94)
    change = rotation_change(scales, mode, AXIS, THETA)
    assert change.shape == (frames, AXIS // 2, 2, 2)
    assert change.dtype == torch.float64
    if frames == 1:
        assert torch.equal(change[0], torch.eye(2, dtype=torch.float64).expand(AXIS // 2, 2, 2))
    else:
        s, pair = float(scales[0]), change[1, 0]  # all scales are alike, so a step is s long
        angle = torch.tensor(0.0 if mode == "amplitude" else s - 1, dtype=torch.float64)
        size = s if mode == "amplitude" else 1.0
        expected = size * torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
        torch.testing.assert_close(pair, expected)


def test_an_unknown_mode_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="mode must be one of amplitude, phase, warp, got 'frequency'"):
        rotation_change(torch.ones(3), "frequency", AXIS, THETA)

"""Wan's layout: the mask map, every placement, AFB's own masks, and collisions."""

import json

import pytest
import torch
from safetensors.torch import load_file

from pack.frames.wan_layout import (
    PLACEMENTS,
    check_wan_grid,
    concat_mask,
    keyframe_clip,
    latent_frame_count,
    latent_of_frame,
    mask_channel,
    place_keyframe,
    place_keyframes,
)


def known(frames, length, placement="exact", strengths=None):
    """The model's mask M [T,4] (1 = known) of a 1x1 latent."""
    placed = place_keyframes(frames, length, placement)
    mask = concat_mask(placed, strengths or [1.0] * len(placed), length, 1, 1)
    return 1 - mask[0, :, :, 0, 0].T


@pytest.mark.parametrize("length", [5, 33, 81])
def test_every_inner_frame_lands_on_its_latent_and_channel_in_exact(length):
    for n in range(1, length - 1):
        mask = known([n], length)
        assert mask.sum() == 1
        assert mask[(n + 3) // 4, (n + 3) % 4] == 1
        assert (latent_of_frame(n), mask_channel(n)) == ((n + 3) // 4, (n + 3) % 4)


def test_mask_is_wan_s_own_for_first_and_last():
    """The oracle: Wan repeats the first of N entries four times and folds them by four."""
    for length in (5, 33, 81):
        entries = torch.zeros(length)
        entries[0] = entries[-1] = 1
        unfolded = torch.cat([entries[:1].repeat(4), entries[1:]])
        for placement in PLACEMENTS:
            torch.testing.assert_close(known([0, length - 1], length, placement), unfolded.view(-1, 4))


@pytest.mark.parametrize(("frame", "snapped"), [(2, 4), (3, 4), (4, 4), (5, 4), (6, 8), (40, 40), (41, 40), (78, 80)])
def test_snap_goes_to_the_nearest_frame_of_four(frame, snapped):
    placed = place_keyframe(frame, 85, "snap")
    assert placed.pixel_frames == (snapped,)
    assert (placed.latent, placed.mask_entries) == (snapped // 4, (snapped + 3,))
    full = place_keyframe(frame, 85, "snap_full")
    assert full.pixel_frames == (snapped,)
    assert full.mask_entries == tuple(range(snapped, snapped + 4))


def test_repeat4_shows_the_picture_on_the_whole_latent_and_own_latent_on_none():
    assert place_keyframe(22, 81, "repeat4").pixel_frames == (21, 22, 23, 24)
    assert place_keyframe(22, 81, "own_latent").pixel_frames == ()
    for placement in ("repeat4", "own_latent"):
        placed = place_keyframe(22, 81, placement)
        assert (placed.latent, placed.mask_entries) == (6, (24, 25, 26, 27))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_ends_stay_wan_s_own_in_every_placement(placement):
    assert place_keyframe(0, 81, placement).mask_entries == (0, 1, 2, 3)
    assert place_keyframe(80, 81, placement).mask_entries == (83,)
    assert place_keyframe(80, 81, placement).pixel_frames == (80,)


@pytest.mark.parametrize("name", ["k1_N81_m5", "k4_N81_m5-10"])
def test_masks_and_clip_equal_the_official_anchor_code(golden, name):
    """The runs of AFB's code whose layout is Wan's ordinary 81 frames; its 82 and 83 frame layouts are not offered."""
    runs = {run["name"]: run for run in json.loads(golden("kab_retro/afb.json").read_text())["wan"]}
    tensors = load_file(golden("kab_retro/afb.safetensors"))
    frames = [int(frame) for frame in runs[f"wan/{name}"]["pixel_frames_filled"]]
    expected = tensors[f"wan/{name}/mask"]  # [4,T,h,w], 1 = known
    placed = place_keyframes(frames, 81, "exact")
    mask = concat_mask(placed, [1.0] * len(frames), 81, *expected.shape[-2:])
    assert torch.equal(1 - mask[0], expected)

    pictures = [torch.full((1, 2, 2, 3), index + 1.0) for index in range(len(frames))]
    source = torch.full((81,), -1)
    clip = keyframe_clip(placed, pictures, 81)
    for frame in range(81):
        if clip[frame, 0, 0, 0] != 0.5:
            source[frame] = int(clip[frame, 0, 0, 0]) - 1
    assert torch.equal(source, tensors[f"wan/{name}/frame_source"])
    assert runs[f"wan/{name}"]["latent_frames"] == latent_frame_count(81)


def test_strength_makes_the_mask_soft_and_one_is_fixed():
    mask = known([0, 20, 32], 33, "snap", [1.0, 0.25, 1.0])
    assert mask[5, 3] == 0.25
    assert mask[0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("placement", "held"), [("snap", "24"), ("exact", "22"), ("repeat4", "21-24"), ("own_latent", "about 21-24")]
)
def test_the_frames_that_show_a_picture_are_told_to_a_reader(placement, held):
    placed = place_keyframe(22, 81, placement)
    assert placed.held == held
    with pytest.raises(AttributeError, match="latent"):
        placed.latent = 5


def test_every_keyframe_has_a_strength_and_a_picture():
    placed = place_keyframes([0, 32], 33, "snap")
    with pytest.raises(ValueError, match="shorter"):
        concat_mask(placed, [1.0], 33, 1, 1)
    with pytest.raises(ValueError, match="shorter"):
        keyframe_clip(placed, [torch.zeros(1, 2, 2, 3)], 33)


def test_whole_latents_hold_four_equal_frames():
    placed = place_keyframes([0, 5, 32], 33, "exact", whole_latents=True)
    assert [(item.latent, item.pixel_frames) for item in placed] == [
        (0, (0,)),
        (2, (5, 6, 7, 8)),
        (8, (29, 30, 31, 32)),
    ]
    assert [item.mask_entries for item in placed] == [(0, 1, 2, 3), (8, 9, 10, 11), (32, 33, 34, 35)]


@pytest.mark.parametrize(
    ("frames", "placement", "whole", "message"),
    [
        ([0, 1], "snap", False, "keyframes 0 and 1 both land on latent frame 0 .* or use placement 'exact'"),
        ([31, 32], "snap", False, "keyframes 31 and 32 both land on latent frame 8"),
        ([20, 21], "snap_full", False, "keyframes 20 and 21 both land on latent frame 5 .*at least 4 frames apart"),
        ([30, 32], "own_latent", False, "keyframes 30 and 32 both land"),
        ([5, 7], "exact", True, r"both land on latent frame 2 \(video frames 5-8\): keep them .* 4 frames apart\.$"),
        ([6, 9], "snap", True, r"both land on latent frame 2 \(video frames 5-8\): keep them .* 4 frames apart\.$"),
        ([20, 21], "snap", False, r"\(video frames 17-20\) with placement 'snap': .* or use placement 'exact'\.$"),
        ([21, 22], "repeat4", False, r"21 and 22 .*\(video frames 21-24\) with placement 'repeat4': .* apart\.$"),
    ],
)
def test_keyframes_that_land_together_are_named(frames, placement, whole, message):
    with pytest.raises(ValueError, match=message):
        place_keyframes(frames, 33, placement, whole)


def test_exact_keeps_neighbours_apart():
    assert known([5, 6, 7, 8], 33).sum() == 4


@pytest.mark.parametrize("placement", ["snap_full", "repeat4", "own_latent"])
def test_keyframes_on_neighbouring_latents_are_taken(placement):
    assert [item.latent for item in place_keyframes([20, 24], 33, placement)] == [5, 6]


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((832, 480, 80), "length 80 is not 4n[+]1 for Wan; the nearest are 77 and 81"),
        ((832, 480, 3), r"the nearest are 1 and 5\. Change it in the Keyframes node\.$"),
        ((500, 480, 81), "width 500 is not a multiple of 16; the nearest are 496 and 512"),
        ((-64, 480, 81), "width -64 is not a multiple of 16; the nearest is 16"),
        ((832, 480, -3), "length -3 is not 4n\\+1 for Wan; the nearest is 1"),
        ((832, 8, 81), "height 8 is not a multiple of 16; the nearest is 16"),
        ((500, 470, 80), "width 500 .*height 470 .*length 80"),
    ],
)
def test_sizes_off_the_grid_name_the_nearest_legal_ones(size, message):
    with pytest.raises(ValueError, match=message):
        check_wan_grid(*size)


@pytest.mark.parametrize("multiple", [16, 32])
def test_the_smallest_size_is_the_multiple_and_the_shortest_length_is_1(multiple):
    check_wan_grid(multiple, multiple, 1, multiple)
    for size in ((0, multiple), (multiple, 0)):
        with pytest.raises(ValueError, match=f"is not a multiple of {multiple}; the nearest is {multiple}"):
            check_wan_grid(*size, 1, multiple)


def test_the_5b_model_wants_multiples_of_32():
    check_wan_grid(832, 480, 81, 32)
    with pytest.raises(ValueError, match="width 848 is not a multiple of 32; the nearest are 832 and 864"):
        check_wan_grid(848, 480, 81, 32)


def test_unknown_placement_lists_the_known_ones():
    with pytest.raises(ValueError, match="snap, exact, snap_full, repeat4, own_latent, got 'middle'"):
        place_keyframe(3, 33, "middle")

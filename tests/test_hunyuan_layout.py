"""HunyuanVideo's layout: whole latent frames, latents in their places, a mask of one channel, collisions."""

import pytest
import torch

from pack.frames.hunyuan_layout import known_latents, known_mask, place_in_latents
from pack.frames.wan_layout import check_wan_grid


@pytest.mark.parametrize("length", [5, 33, 73])
def test_every_keyframe_is_held_on_the_frames_of_its_latent(length):
    """The oracle: a causal video VAE gives frame 0 a latent of its own, then one to every four frames."""
    groups = [(0,), *(tuple(range(start, start + 4)) for start in range(1, length, 4))]
    for n in range(length):
        (placed,) = place_in_latents([n], length)
        assert n in groups[placed.latent]
        assert placed.pixel_frames == groups[placed.latent]


def test_what_the_report_reads():
    first, middle, last = place_in_latents([0, 13, 32], 33)
    assert (first.held, middle.held, last.held) == ("0", "13-16", "29-32")
    assert [sorted(item.mask_entries) for item in (first, middle)] == [[0, 1, 2, 3], [16, 17, 18, 19]]


def test_latents_lie_in_their_places_and_the_gaps_are_zero():
    placed = place_in_latents([0, 13, 32], 33)
    stills = [torch.full((1, 2, 3, 4), value, dtype=torch.float64) for value in (1.0, 2.0, 3.0)]
    latents = known_latents(placed, stills, 9)
    assert latents.shape == (1, 2, 9, 3, 4)
    assert latents.dtype == torch.float64
    assert latents[0, 1, :, 2, 3].tolist() == [1, 0, 0, 0, 2, 0, 0, 0, 3]
    assert torch.equal(latents, latents[:, :1, :, :1, :1].expand_as(latents))
    assert known_latents(placed[:2], stills[:2], 5).shape == (1, 2, 5, 3, 4)


def test_the_mask_is_0_where_a_keyframe_is_held_and_soft_below_strength_1():
    placed = place_in_latents([0, 13, 32], 33)
    mask = known_mask(placed, [1.0, 0.25, 1.0], 9, 3, 4)
    assert mask.shape == (1, 1, 9, 3, 4)
    assert mask[0, 0, :, 2, 3].tolist() == [0, 1, 1, 1, 0.75, 1, 1, 1, 0]
    assert torch.equal(mask, mask[..., :1, :1].expand_as(mask))


@pytest.mark.parametrize(("frames", "latent"), [([30, 32], 8), ([5, 7], 2), ([1, 4], 1)])
def test_two_keyframes_in_one_latent_are_named(frames, latent):
    message = f"keyframes {frames[0]} and {frames[1]} both land on latent frame {latent} .*: keep them at least 4"
    with pytest.raises(ValueError, match=message) as error:
        place_in_latents(frames, 33)
    assert "placement" not in str(error.value)


def test_neighbouring_latents_are_apart():
    assert [item.latent for item in place_in_latents([0, 1, 5, 32], 33)] == [0, 1, 2, 8]


def test_the_grid_s_message_names_the_model():
    with pytest.raises(ValueError, match="length 72 is not 4n[+]1 for HunyuanVideo; the nearest are 69 and 73"):
        check_wan_grid(720, 720, 72, 16, "HunyuanVideo")

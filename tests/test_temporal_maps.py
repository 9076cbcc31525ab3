"""Temporal attention maps: a naive softmax, the official maps turned by 180 degrees, and one or two frames."""

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import scaled_dot_product_attention

from pack.patches.temporal_maps import attended, temporal_maps, turned

LAYERS = ("down_blocks.0.attentions.1", "mid_block.attentions.0", "up_blocks.2.attentions.0")
HEADS, SIZE = 3, 4


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def inputs(frames=5, rows=6, seed=0):
    """q, k, v, [rows, N, heads * D]."""
    return [random(rows, frames, HEADS * SIZE, seed=10 * seed + place) for place in range(3)]


def some_maps(frames=5, rows=6, seed=0):
    return random(rows, HEADS, frames, frames, seed=seed).softmax(dim=-1)


def test_maps_are_the_softmax_of_every_head_s_logits():
    q, k, _ = inputs()
    maps = temporal_maps(q, k, HEADS)
    assert maps.shape == (6, HEADS, 5, 5)
    for row in range(6):
        for head in range(HEADS):
            part = slice(head * SIZE, (head + 1) * SIZE)
            weights = (q[row, :, part] @ k[row, :, part].T / SIZE**0.5).exp()
            expected = weights / weights.sum(dim=1, keepdim=True)
            torch.testing.assert_close(maps[row, head], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("frames", [1, 2, 25])
def test_every_row_of_a_map_sums_to_one(frames):
    q, k, _ = inputs(frames)
    maps = temporal_maps(3 * q, k, HEADS)
    for item in (maps, turned(maps)):
        torch.testing.assert_close(item.sum(dim=-1), torch.ones(6, HEADS, frames, dtype=torch.float64))


def test_the_video_played_backwards_has_the_turned_maps():
    q, k, _ = inputs()
    torch.testing.assert_close(temporal_maps(q.flip(1), k.flip(1), HEADS), turned(temporal_maps(q, k, HEADS)))


def test_turning_moves_every_number_to_the_opposite_place():
    maps = some_maps()
    result = turned(maps)
    for i in range(5):
        for j in range(5):
            assert torch.equal(result[:, :, i, j], maps[:, :, 4 - i, 4 - j])


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_turned_twice_is_nothing_and_the_given_maps_stay(frames):
    maps = some_maps(frames)
    before = maps.clone()
    assert torch.equal(turned(turned(maps)), before)
    assert torch.equal(turned(maps), maps) == (frames == 1)
    assert torch.equal(maps, before)


def test_attention_adds_up_the_values_by_every_head_s_map():
    maps, v = some_maps(), inputs()[2]
    out = attended(maps, v)
    for head in range(HEADS):
        part = slice(head * SIZE, (head + 1) * SIZE)
        for i in range(5):
            expected = sum(maps[:, head, i, j, None] * v[:, j, part] for j in range(5))
            torch.testing.assert_close(out[:, i, part], expected)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_turned_maps_attend_to_the_reversed_values_as_the_maps_do_to_the_values(frames):
    """methods.md 8, identity 6."""
    maps, v = some_maps(frames), inputs(frames)[2]
    torch.testing.assert_close(attended(turned(maps), v.flip(1)), attended(maps, v).flip(1))


def test_a_model_s_own_maps_give_its_own_attention():
    q, k, v = inputs()
    own = (item.unflatten(-1, (HEADS, SIZE)).transpose(1, 2) for item in (q, k, v))
    expected = scaled_dot_product_attention(*own).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attended(temporal_maps(q, k, HEADS), v), expected, atol=1e-6, rtol=0)


def test_one_frame_attends_to_itself_alone():
    q, k, v = inputs(frames=1)
    maps = temporal_maps(q, k, HEADS)
    assert torch.equal(maps, torch.ones(6, HEADS, 1, 1, dtype=torch.float64))
    assert torch.equal(attended(turned(maps), v), v)


def test_two_frames_exchange_both_their_places():
    maps = torch.tensor([[[[0.9, 0.1], [0.3, 0.7]]]], dtype=torch.float64)
    assert turned(maps).tolist() == [[[[0.7, 0.3], [0.1, 0.9]]]]
    v = torch.tensor([[[1.0], [10.0]]], dtype=torch.float64)
    assert attended(turned(maps), v).flatten().tolist() == pytest.approx([3.7, 9.1])


def test_rows_do_not_mix():
    q, k, v = inputs()
    maps = temporal_maps(q, k, HEADS)
    torch.testing.assert_close(temporal_maps(q[2:3], k[2:3], HEADS), maps[2:3])
    torch.testing.assert_close(attended(maps[2:3], v[2:3]), attended(maps, v)[2:3])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_type_of_q_and_of_v_is_kept(dtype):
    q, k, v = inputs()
    maps = temporal_maps(q.to(dtype), k.to(dtype), HEADS)
    assert maps.dtype == dtype
    for kept in (torch.float16, torch.float32):
        assert attended(maps, v.to(kept)).dtype == kept


def test_logits_beyond_half_precision_do_not_spoil_a_map():
    """They differ by 50, but both are above 65504, the largest number of half precision."""
    q = torch.full((1, 2, 4), 400.0).half()
    k = torch.tensor([[[400.0] * 4, [400.0, 400.0, 400.0, 399.75]]]).half()
    maps = temporal_maps(q, k, 1)
    expected = torch.tensor([50.0, 0.0]).softmax(0).half()
    assert maps.isfinite().all()
    assert torch.equal(maps[0, 0, 0], expected)


def test_a_map_in_half_precision_is_the_rounded_map():
    q, k, _ = (item.half() for item in inputs())
    exact = temporal_maps(q.double(), k.double(), HEADS)
    torch.testing.assert_close(temporal_maps(q, k, HEADS).double(), exact, atol=1e-7, rtol=2**-11)


# the official maps


def test_the_official_backward_pass_used_the_forward_map_turned(golden):
    data = load_file(golden("svd/gi_step.safetensors"))
    name = "mid_block.attentions.0"
    forward, used = data[f"attn_fwd/{name}"], data[f"attn_bwd_used/{name}"]
    assert torch.equal(turned(forward), used)
    assert not torch.equal(forward, used)


@pytest.mark.parametrize("name", LAYERS)
def test_official_maps_come_back_from_their_logits_and_obey_time_reversal(golden, name):
    maps = load_file(golden("svd/gi_step.safetensors"))[f"attn_fwd/{name}"]
    rows, heads, frames, _ = maps.shape
    q = maps.log().mul(frames**0.5).transpose(1, 2).flatten(2)  # against these keys the logits are log A
    k = torch.eye(frames).repeat(rows, 1, heads)
    torch.testing.assert_close(temporal_maps(q, k, heads), maps, atol=1e-6, rtol=0)
    v = random(rows, frames, heads * 16).float()
    torch.testing.assert_close(attended(turned(maps), v.flip(1)), attended(maps, v).flip(1))

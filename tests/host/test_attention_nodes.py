"""Keyframe Attention and Temporal RoPE: off is off, twice is once, and every setting against its formula."""

import copy

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack
from pack.patches.temporal_rope import MODES, frame_scales

KAB = {"blocks": "0-1"}
UNBIASED = {"blocks": "0-1", "end_percent": 0.0}
STOCK = {"isolate": False, "end_percent": 0.0}
EARLY = torch.tensor([0.95])  # a noise level inside the window
KINDS = [("flf2v", 514), ("i2v", 257), ("i2v", 514), ("i2v_14b", 0), ("t2v", 0), ("ti2v_5b", 0)]


@pytest.fixture
def track(pictures):
    """A track of 17 video frames, 5 latent, with a keyframe in its middle."""
    made = KeyframeTrack(48, 32, 17)
    for frame in (0, 8, -1):
        made = made.with_keyframe(Keyframe(frame, pictures(1, 48, 32)))
    return made


def test_strength_0_returns_the_model_itself(load_wan, with_attention):
    model = load_wan("flf2v")
    assert with_attention(model, {"strength": 0.0, "isolate": True, "text_weight": 2.0}) is model
    assert with_attention(model, None, {"strength": 0.0, "edge_scale": 2.0}) is model


@pytest.mark.parametrize(("kind", "tokens"), KINDS)
def test_no_isolation_weights_of_1_and_an_empty_window_are_the_stock_model(
    load_wan, wan_inputs, with_attention, model_call, kind, tokens
):
    model, inputs = load_wan(kind), wan_inputs(kind, tokens=tokens)
    plain = model_call(model, sigma=EARLY, **inputs)
    assert torch.equal(model_call(with_attention(model, STOCK), sigma=EARLY, **inputs), plain)
    biased = model_call(with_attention(model, KAB), sigma=EARLY, **inputs)
    assert torch.isfinite(biased).all()
    assert not torch.allclose(biased, plain, atol=1e-4)


@pytest.mark.parametrize(("kind", "tokens"), KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_scales_of_1_are_the_stock_model(load_wan, wan_inputs, with_attention, model_call, kind, tokens, mode):
    model, inputs = load_wan(kind), wan_inputs(kind, tokens=tokens)
    plain = model_call(model, sigma=EARLY, **inputs)
    off = with_attention(model, None, {"mode": mode, "edge_scale": 1.0, "mid_scale": 1.0})
    assert torch.equal(model_call(off, sigma=EARLY, **inputs), plain)
    on = model_call(with_attention(model, None, {"mode": mode}), sigma=EARLY, **inputs)
    assert torch.isfinite(on).all()
    assert not torch.allclose(on, plain, atol=1e-4)


def test_the_input_model_is_left_as_found(load_wan, conditioned, sampled, with_attention):
    model, conditioning = load_wan("flf2v"), conditioned("flf2v")
    options = copy.deepcopy(model.model_options)
    wrappers = {kind: dict(named) for kind, named in model.wrappers.items()}
    patches = dict(model.object_patches)
    before = sampled(model, *conditioning)
    ours = sampled(with_attention(model, KAB, {}), *conditioning)
    assert not torch.equal(ours, before)
    assert torch.equal(sampled(model, *conditioning), before)
    assert model.model_options == options
    assert {kind: dict(named) for kind, named in model.wrappers.items()} == wrappers
    assert model.object_patches == patches


def test_keyframe_attention_twice_is_the_second_one(load_wan, wan_inputs, with_attention, model_call, watched):
    model, calls = watched(load_wan("flf2v"))
    inputs = wan_inputs("flf2v")
    once = model_call(with_attention(model, {**KAB, "beta_end": 0.2}), sigma=EARLY, **inputs)
    twice = with_attention(with_attention(model, {**KAB, "text_weight": 3.0}), {**KAB, "beta_end": 0.2})
    assert torch.equal(model_call(twice, sigma=EARLY, **inputs), once)
    assert len(calls[0].records) == len(calls[1].records) == 6  # two blocks, three branches


def test_temporal_rope_twice_is_the_second_one(load_wan, wan_inputs, with_attention, model_call):
    model, inputs = load_wan("t2v"), wan_inputs("t2v")
    once = model_call(with_attention(model, None, {"mode": "warp"}), sigma=EARLY, **inputs)
    twice = with_attention(with_attention(model, None, {"edge_scale": 1.5}), None, {"mode": "warp"})
    assert torch.equal(model_call(twice, sigma=EARLY, **inputs), once)


def test_both_orders_of_the_nodes_are_equal_and_so_are_two_runs(
    host, load_wan, conditioned, sampled, with_attention, watched
):
    model, conditioning = load_wan("flf2v"), conditioned("flf2v")
    first = with_attention(model, KAB, {})
    guider = host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(first, *conditioning, 3.0).args[0]
    one = sampled(first, *conditioning, guider=guider)
    assert torch.equal(sampled(first, *conditioning, guider=guider), one)
    other = with_attention(with_attention(model, None, {}), KAB)
    assert torch.equal(sampled(other, *conditioning), one)
    assert not torch.allclose(sampled(with_attention(model, KAB), *conditioning), one, atol=1e-4)
    assert not torch.allclose(sampled(with_attention(model, None, {}), *conditioning), one, atol=1e-4)


def test_a_run_that_fails_leaves_nothing_behind(host, load_wan, conditioned, sampled, with_attention):
    model, conditioning = with_attention(load_wan("t2v"), KAB, {}), conditioned("t2v")
    guider = host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(model, *conditioning, 3.0).args[0]
    expected = sampled(model, *conditioning, guider=guider)
    with pytest.raises(RuntimeError, match="size of tensor|shape|channels"):
        sampled(model, *conditioning, guider=guider, start={"samples": torch.ones(1, 5, 5, 4, 6)})
    assert not any(key.startswith("inbetween") for key in guider.model_options["transformer_options"])
    assert torch.equal(sampled(model, *conditioning, guider=guider), expected)


def plain_attention(q, k, v, bias=None, heads=2):
    """softmax(q k^T / sqrt(D) + bias) v, [B, L, C] float64; bias [L, K]. Also the mean over heads, [B, L, K]."""
    q, k, v = (item.unflatten(-1, (heads, -1)).transpose(1, 2).double() for item in (q, k, v))
    logits = q @ k.mT / q.shape[-1] ** 0.5
    share = (logits if bias is None else logits + bias).softmax(-1)
    return (share @ v).transpose(1, 2).flatten(2), share.mean(1)


@pytest.fixture
def image_call(load_wan, wan_inputs, with_attention, model_call, with_attentions):
    """q, k, v and result of the first block's image attention on a kind of Wan under some settings."""

    def make(settings, kind="flf2v", tokens=514):
        model, seen = with_attentions(with_attention(load_wan(kind), settings))
        model_call(model, sigma=EARLY, **wan_inputs(kind, tokens=tokens))
        return seen[1]

    return make


def test_isolation_gives_each_picture_its_own_softmax(image_call):
    q, k, v, result = image_call({**UNBIASED, "first_weight": 0.5, "last_weight": 2.0})
    first, last = (plain_attention(q, k[:, half], v[:, half])[0] for half in (slice(257), slice(257, None)))
    torch.testing.assert_close(result.double(), 0.5 * first + 2.0 * last, atol=1e-5, rtol=0)


def test_without_isolation_the_weights_are_those_of_the_joint_softmax(image_call):
    q, k, v, result = image_call({**UNBIASED, "isolate": False, "first_weight": 0.5, "last_weight": 2.0})
    weights = torch.cat([torch.full((257, 1), 0.5), torch.full((257, 1), 2.0)])
    torch.testing.assert_close(result.double(), plain_attention(q, k, v * weights)[0], atol=1e-5, rtol=0)


def test_weights_by_position_go_from_the_first_picture_to_the_last(image_call):
    q, k, v, result = image_call({**UNBIASED, "weights_by_position": True, "first_weight": 0.5})
    first, last = (plain_attention(q, k[:, half], v[:, half])[0] for half in (slice(257), slice(257, None)))
    t = torch.linspace(0, 1, 5, dtype=torch.float64).repeat_interleave(6)[:, None]
    torch.testing.assert_close(result.double(), 0.5 * 2 * (1 - t) * first + 2 * t * last, atol=1e-5, rtol=0)


def test_weights_by_position_have_an_effect_without_isolation_too(image_call):
    settings = {**UNBIASED, "isolate": False}
    plain = image_call(settings)[3]
    assert not torch.allclose(image_call({**settings, "weights_by_position": True})[3], plain, atol=1e-4)


def test_the_text_weight_multiplies_the_text_s_attention(
    load_wan, wan_inputs, with_attention, model_call, with_attentions
):
    model, seen = with_attentions(with_attention(load_wan("flf2v"), {**UNBIASED, "text_weight": 1.5}))
    model_call(model, sigma=EARLY, **wan_inputs("flf2v"))
    q, k, v, result = seen[2]
    assert k.shape[1] == 8
    torch.testing.assert_close(result.double(), 1.5 * plain_attention(q, k, v)[0], atol=1e-5, rtol=0)


def test_the_bias_leads_every_frame_from_the_first_frame_s_attention_to_the_last_s(image_call):
    """The paper's formulas on one branch: 7 lines, one frame after the other."""
    settings = {**KAB, "strength": 2.0, "beta_end": 0.6, "beta_mid": 0.2, "epsilon": 3e-3}
    q, k, v, result = image_call(settings, "i2v", 257)
    share = plain_attention(q, k, v)[1].unflatten(1, (5, 6)).mean(2)[0]  # [T, K]
    betas, expected = [0, 0.4, 0.2, 0.4, 0], []
    betas[1] = betas[3] = 0.2 + (0.6 - 0.2) * 0.5 * (1 + torch.cos(torch.tensor(torch.pi / 2)).item())
    for frame in range(5):
        target = (1 - frame / 4) * share[0] + frame / 4 * share[4]
        bias = 2.0 * betas[frame] * (target.clamp(min=3e-3).log() - share[frame].clamp(min=3e-3).log())
        expected.append(plain_attention(q[:, 6 * frame : 6 * frame + 6], k, v, bias)[0])
    torch.testing.assert_close(result.double(), torch.cat(expected, dim=1), atol=1e-5, rtol=0)
    assert not torch.allclose(result.double(), plain_attention(q, k, v)[0], atol=1e-4)


def test_a_track_s_inner_keyframe_is_an_anchor_without_bias(
    load_wan, wan_inputs, with_attention, model_call, watched, track
):
    model, calls = watched(load_wan("flf2v"))
    inputs = wan_inputs("flf2v")
    ends = model_call(with_attention(model, KAB), sigma=EARLY, **inputs)
    inner = model_call(with_attention(model, {**KAB, "keyframes": track}), sigma=EARLY, **inputs)
    assert not torch.allclose(inner, ends, atol=1e-5)
    assert calls[0].records[0].anchors == [0, 4]
    record = calls[1].records[0]
    assert record.anchors == [0, 2, 4]
    moved = (record.after - record.before).abs().amax(dim=(0, 2))
    torch.testing.assert_close(moved[[0, 2, 4]], torch.zeros(3), atol=1e-7, rtol=0)
    assert (moved[[1, 3]] > 1e-5).all()


@pytest.mark.parametrize(("frame", "latent"), [(4, 1), (5, 1), (6, 2), (7, 2), (8, 2), (9, 2), (13, 3)])
def test_an_inner_keyframe_is_an_anchor_where_the_conditioning_holds_it(
    load_wan, wan_inputs, with_attention, model_call, watched, pictures, frame, latent
):
    """Keyframes to Wan's default placement, snap, puts frame 5 on frame 4 and its latent."""
    track = KeyframeTrack(48, 32, 17).with_keyframe(Keyframe(frame, pictures(1, 48, 32)))
    model, calls = watched(load_wan("t2v"))
    model_call(with_attention(model, {**KAB, "keyframes": track}), sigma=EARLY, **wan_inputs("t2v"))
    assert calls[0].records[0].anchors == [0, latent, 4]


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_temporal_rope_s_strength_is_the_distance_of_the_scales_from_1(
    load_wan, wan_inputs, with_attention, model_call, strength
):
    model, inputs = load_wan("t2v"), wan_inputs("t2v", frames=7)
    stretched = model_call(with_attention(model, None, {"strength": strength}), sigma=EARLY, **inputs)
    scales = {"edge_scale": 1 + strength * 0.06, "mid_scale": 1 - strength * 0.06}
    expected = model_call(with_attention(model, None, scales), sigma=EARLY, **inputs)
    torch.testing.assert_close(stretched, expected, atol=1e-5, rtol=0)
    paper = model_call(with_attention(model, None, {}), sigma=EARLY, **inputs)
    assert not torch.allclose(stretched, paper, atol=1e-4)


def test_the_blocks_of_each_node_are_the_only_ones_changed(
    load_wan, wan_inputs, with_attention, model_call, with_attentions, watched
):
    model, calls = watched(load_wan("t2v"))
    inputs = wan_inputs("t2v")
    model_call(with_attention(model, {"blocks": "1"}), sigma=EARLY, **inputs)
    assert [record.block for record in calls[0].records] == [1]
    plain, seen = with_attentions(model)
    model_call(plain, sigma=EARLY, **inputs)
    rope, changed = with_attentions(with_attention(model, None, {"blocks": "1"}))
    model_call(rope, sigma=EARLY, **inputs)
    assert torch.equal(changed[0][0], seen[0][0])  # the first block's q, after the rotation
    assert not torch.allclose(changed[2][0], seen[2][0], atol=1e-4)


def test_balanced_scales_average_1(load_wan, wan_inputs, with_attention, model_call):
    model, inputs = load_wan("t2v"), wan_inputs("t2v", frames=7)
    balanced = model_call(with_attention(model, None, {"balance": True, "mid_scale": 3.0}), sigma=EARLY, **inputs)
    low, high = 0.5, 1.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if frame_scales(7, 1.06, middle).mean() < 1 else (low, middle)
    expected = model_call(with_attention(model, None, {"mid_scale": low}), sigma=EARLY, **inputs)
    torch.testing.assert_close(balanced, expected, atol=1e-5, rtol=0)

"""Keyframe attention bias: official tapers, means and branches; naive softmax; symmetries; anchors between the ends."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import gelu, layer_norm, linear, rms_norm
from torch.overrides import TorchFunctionMode

from pack.patches import keyframe_attention
from pack.patches.keyframe_attention import (
    anchor_weights,
    anchored_bias,
    cosine_taper,
    distance_to_target,
    frame_means,
    keyframe_anchors,
    place_between,
    position_weights,
)

PROBES = {"deep/N81/block12": (21, "blocks.12.cross_attn"), "wide/N25/block5": (7, "blocks.5.cross_attn")}
KEYS = {"img1": slice(0, 257), "img2": slice(257, 514), "text": slice(514, None)}
HEADS, EPSILON = 2, 5e-4


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_means(frames, keys=12, batch=2, seed=0):
    return random(batch, frames, keys, seed=seed).softmax(dim=-1)


def naive_attention(q, k, heads, bias=None):
    """Probabilities of every frame, head and query, [B, T, heads, h*w, K]."""
    size = q.shape[-1] // heads
    logits = torch.einsum("btqhd,bkhd->bthqk", q.unflatten(-1, (heads, size)), k.unflatten(-1, (heads, size)))
    logits = logits / size**0.5 + (0 if bias is None else bias[:, :, None, None])
    return logits.exp() / logits.exp().sum(dim=-1, keepdim=True)


# anchors: weights and taper


def test_two_anchors_share_every_frame_by_its_place():
    weights = anchor_weights(21, [0, 20])
    for i in range(21):
        assert weights[i].tolist() == pytest.approx([1 - i / 20, i / 20], abs=1e-12)


@pytest.mark.parametrize("anchors", [[0, 12], [0, 5, 12], [0, 1, 2, 11, 12], list(range(13))])
def test_every_frame_s_shares_sum_to_one_and_an_anchor_is_its_own(anchors):
    weights = anchor_weights(13, anchors)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(13, dtype=torch.float64))
    assert torch.equal(weights[anchors], torch.eye(len(anchors), dtype=torch.float64))
    assert ((weights >= 0) & (weights <= 1)).all()


def test_time_reversal_mirrors_the_shares():
    mirrored = anchor_weights(13, [0, 7, 12]).flip(0).flip(1)
    torch.testing.assert_close(mirrored, anchor_weights(13, [0, 5, 12]))


def test_two_frames_are_their_own_anchors_and_three_have_one_in_the_middle():
    assert anchor_weights(2, [0, 1]).tolist() == [[1, 0], [0, 1]]
    assert anchor_weights(3, [0, 2]).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
    assert cosine_taper(2, [0, 1], 0.7, 0.3).tolist() == [0, 0]
    assert cosine_taper(3, [0, 2], 0.7, 0.3).tolist() == [0, pytest.approx(0.3), 0]


@pytest.mark.parametrize(
    ("frames", "anchors"),
    [
        (5, [1, 4]),
        (5, [0, 3]),
        (5, [0, 2, 1, 4]),
        (5, [0, 0, 4]),
        (5, [0, 3, 2]),
        (5, []),
        (1, [0]),
        (5, [0, 4, 5]),
        (5, [-1, 0, 4]),
    ],
)
def test_anchors_that_do_not_span_the_video_are_refused(frames, anchors):
    message = rf"anchors must ascend from 0 to {frames - 1}, the last latent frame, got \[{str(anchors)[1:-1]}\]"
    with pytest.raises(ValueError, match=message):
        anchor_weights(frames, anchors)
    with pytest.raises(ValueError, match=message):
        anchored_bias(random_means(frames), anchors, torch.ones(frames), EPSILON)


@pytest.mark.parametrize("frames", range(1, 34))
@pytest.mark.parametrize(("kind", "ends", "middle"), [("default", 0.7, 0.3), ("variant", 0.9, 0.1)])
def test_the_taper_is_the_official_one(golden, frames, kind, ends, middle):
    """One frame is its own only anchor, as keyframe_anchors has it; there and for two frames nothing is biased."""
    table = load_file(golden("kab_retro/tables.safetensors"))[f"beta/{kind}/f{frames}"]
    taper = cosine_taper(frames, sorted({0, frames - 1}), ends, middle)
    torch.testing.assert_close(taper, table, atol=1e-6, rtol=0)


def test_the_taper_of_21_and_of_7_frames_is_that_of_the_paper_s_code():
    """methods.md 2.3."""
    half = [0, 0.690, 0.662, 0.618, 0.562, 0.500, 0.438, 0.382, 0.338, 0.310, 0.300]
    assert cosine_taper(21, [0, 20], 0.7, 0.3).tolist() == pytest.approx(half + half[-2::-1], abs=6e-4)
    assert cosine_taper(7, [0, 6], 0.7, 0.3).tolist() == pytest.approx([0, 0.6, 0.4, 0.3, 0.4, 0.6, 0])


def test_equal_ends_and_middle_are_one_constant_between_anchors():
    taper = cosine_taper(9, [0, 3, 8], 0.4, 0.4)
    assert taper[[0, 3, 8]].tolist() == [0, 0, 0]
    assert taper[[1, 2, 4, 5, 6, 7]].tolist() == pytest.approx([0.4] * 6)


def test_zero_beta_is_exactly_off():
    taper = cosine_taper(9, [0, 8], 0.0, 0.0)
    assert taper.count_nonzero() == 0
    assert anchored_bias(random_means(9), [0, 8], taper, EPSILON).count_nonzero() == 0


def test_each_segment_between_anchors_has_the_taper_of_its_own_two():
    taper = cosine_taper(15, [0, 4, 5, 14], 0.9, 0.1)
    for start, end in [(0, 4), (4, 5), (5, 14)]:
        alone = cosine_taper(end - start + 1, [0, end - start], 0.9, 0.1)
        assert torch.equal(taper[start : end + 1], alone)


# means


@pytest.mark.parametrize("biased", [False, True])
def test_frame_means_are_the_means_of_a_naive_softmax(biased):
    q, k = random(2, 4, 5, 3 * 8), random(2, 11, 3 * 8, seed=1)
    bias = random(2, 4, 11, seed=2) if biased else None
    expected = naive_attention(q, k, 3, bias).mean(dim=(2, 3))
    torch.testing.assert_close(frame_means(q, k, 3, bias), expected.float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("together", [1, 2, 3])
def test_heads_taken_a_few_at_a_time_give_the_same_means_and_stay_in_the_limit(monkeypatch, together, biased):
    queries, keys, heads = 20, 40, 4

    class Largest(TorchFunctionMode):
        elements = 0

        def __torch_function__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                self.elements = max(self.elements, out.numel())
            return out

    q, k = random(1, 2, queries, heads * 2).float(), random(1, keys, heads * 2, seed=1).float()
    bias = random(1, 2, keys, seed=2).float() if biased else None
    whole = frame_means(q, k, heads, bias)
    piece = 1 if together == 1 else 4 * together * queries * keys  # less than a head's share means one head
    monkeypatch.setattr(keyframe_attention, "MEANS_BYTES", piece)
    with Largest() as largest:
        means = frame_means(q, k, heads, bias)
    torch.testing.assert_close(means, whole, atol=1e-7, rtol=1e-6)
    assert largest.elements == together * queries * keys


def test_every_frame_s_mean_attention_sums_to_one():
    q, k, bias = 4 * random(2, 3, 5, 16), random(2, 9, 16, seed=1), 3 * random(2, 3, 9, seed=2)
    for means in (frame_means(q, k, 2), frame_means(q, k, 2, bias)):
        assert means.shape == (2, 3, 9)
        assert means.dtype == torch.float32
        torch.testing.assert_close(means.sum(dim=-1), torch.ones(2, 3))


def test_a_shift_that_all_keys_share_has_no_effect():
    q, k, bias = random(1, 3, 5, 16), random(1, 9, 16, seed=1), random(1, 3, 9, seed=2)
    means = frame_means(q, k, 2, bias)
    torch.testing.assert_close(frame_means(q, k, 2, bias + random(1, 3, 1, seed=3)), means)
    torch.testing.assert_close(frame_means(q, k + random(1, 1, 16, seed=4), 2, bias), means)


def test_rows_of_the_batch_and_frames_do_not_mix():
    q, k, bias = random(3, 4, 5, 16), random(3, 9, 16, seed=1), random(3, 4, 9, seed=2)
    means = frame_means(q, k, 2, bias)
    alone = frame_means(q[1:2, 2:3], k[1:2], 2, bias[1:2, 2:3])
    torch.testing.assert_close(means[1:2, 2:3], alone)


def test_inputs_are_left_as_they_were():
    q, k, bias = random(1, 3, 5, 16), random(1, 9, 16, seed=1), random(1, 3, 9, seed=2)
    copies = [item.clone() for item in (q, k, bias)]
    means = frame_means(q, k, 2, bias)
    before = means.clone()
    anchored_bias(means, [0, 2], torch.ones(3), EPSILON)
    assert all(torch.equal(*pair) for pair in zip([q, k, bias, means], [*copies, before], strict=True))


# bias


def test_the_bias_is_the_taper_times_the_log_of_target_over_mean():
    means, taper = random_means(7), random(7, seed=5)
    bias = anchored_bias(means, [0, 6], taper, 0.05)
    for row in range(2):
        for i in range(7):
            target = (1 - i / 6) * means[row, 0] + i / 6 * means[row, 6]
            for key in range(12):
                a, m = max(float(means[row, i, key]), 0.05), max(float(target[key]), 0.05)
                assert float(bias[row, i, key]) == pytest.approx(float(taper[i]) * math.log(m / a), abs=1e-12)


def test_keys_below_epsilon_in_mean_and_target_are_not_told_apart():
    means = torch.tensor([[[0.9, 0.06, 0.04], [0.9, 0.01, 0.09], [0.9, 0.07, 0.03]]], dtype=torch.float64)
    bias = anchored_bias(means, [0, 2], torch.ones(3), 0.08)
    assert bias[0, 1, 1] == 0
    assert float(bias[0, 1, 2]) == pytest.approx(math.log(0.08 / 0.09))


@pytest.mark.parametrize("anchors", [[0, 10], [0, 4, 10], [0, 1, 9, 10]])
def test_the_bias_is_zero_at_the_anchors_even_with_a_constant_taper(anchors):
    bias = anchored_bias(random_means(11), anchors, torch.ones(11), 1e-6)
    between = [frame for frame in range(11) if frame not in anchors]
    torch.testing.assert_close(bias[:, anchors], torch.zeros_like(bias[:, anchors]), atol=1e-12, rtol=0)
    assert (bias[:, between].abs().amax(dim=2) > 0.01).all()


def test_the_taper_makes_the_anchors_exactly_zero():
    taper = cosine_taper(11, [0, 4, 10], 0.7, 0.3)
    assert anchored_bias(random_means(11), [0, 4, 10], taper, EPSILON)[:, [0, 4, 10]].count_nonzero() == 0


def test_frames_that_agree_are_not_biased():
    means = random_means(1).expand(-1, 9, -1)
    bias = anchored_bias(means, [0, 8], torch.ones(9), EPSILON)
    torch.testing.assert_close(bias, torch.zeros_like(bias), atol=1e-12, rtol=0)


def test_time_reversal_mirrors_the_bias():
    means = random_means(11)
    bias = anchored_bias(means, [0, 3, 10], cosine_taper(11, [0, 3, 10], 0.7, 0.3), EPSILON)
    taper = cosine_taper(11, [0, 7, 10], 0.7, 0.3)
    torch.testing.assert_close(anchored_bias(means.flip(1), [0, 7, 10], taper, EPSILON), bias.flip(1))


def test_each_segment_between_anchors_is_its_own_problem_of_two():
    means, anchors = random_means(15), [0, 4, 5, 14]
    bias = anchored_bias(means, anchors, cosine_taper(15, anchors, 0.7, 0.3), EPSILON)
    for start, end in [(0, 4), (4, 5), (5, 14)]:
        part, ends = slice(start, end + 1), [0, end - start]
        taper = cosine_taper(end - start + 1, ends, 0.7, 0.3)
        torch.testing.assert_close(bias[:, part], anchored_bias(means[:, part], ends, taper, EPSILON))


def test_a_bias_of_the_other_frames_does_not_reach_the_bias_of_one():
    means = random_means(9)
    changed = means.clone()
    changed[:, 3] = random_means(1, seed=9)[:, 0]
    bias, other = (anchored_bias(item, [0, 8], torch.ones(9), EPSILON) for item in (means, changed))
    same = [frame for frame in range(9) if frame != 3]
    assert torch.equal(bias[:, same], other[:, same])


def test_full_beta_leads_the_mean_to_its_target():
    """Not exactly: a mean of P M/A, normalised by query. Total variation of the frames between, before and after."""
    q, k = random(1, 7, 60, 2 * 16), random(1, 24, 2 * 16, seed=1)
    q = q + 0.8 * random(1, 7, 1, 2 * 16, seed=2)  # every frame looks elsewhere
    means = frame_means(q, k, 2)
    target = anchor_weights(7, [0, 6]).float() @ means[:, [0, 6]]

    def distance(strength):
        led = frame_means(q, k, 2, anchored_bias(means, [0, 6], strength * torch.ones(7), EPSILON))
        return (led - target).abs().sum(dim=-1)[0, 1:-1] / 2

    assert (distance(0) > 0.05).all()
    assert (distance(1) < 0.2 * distance(0)).all()
    assert (distance(0.5) < distance(0)).all()
    assert (distance(-1) > distance(0)).all()


def test_three_frames_are_biased_in_the_middle_alone_and_two_in_none():
    means = random_means(3)
    bias = anchored_bias(means, [0, 2], cosine_taper(3, [0, 2], 0.7, 0.3), 1e-9)
    expected = 0.3 * ((means[:, 0] + means[:, 2]) / 2 / means[:, 1]).log()
    torch.testing.assert_close(bias[:, 1], expected)
    assert bias[:, ::2].count_nonzero() == 0
    assert anchored_bias(random_means(2), [0, 1], cosine_taper(2, [0, 1], 0.7, 0.3), EPSILON).count_nonzero() == 0


# what the picture of a run shows


def test_the_place_between_the_ends_is_the_foot_on_the_straight_line():
    means = random_means(9)
    for t in (0.0, 0.25, 1.0, -0.5, 1.5):
        way = means[:, -1] - means[:, 0]
        across = random(2, 12, seed=7)
        across -= (across * way).sum(-1, keepdim=True) / way.square().sum(-1, keepdim=True) * way  # a step off the line
        means[:, 4] = means[:, 0] + t * way + across
        torch.testing.assert_close(place_between(means)[:, 4], torch.full((2,), t, dtype=torch.float64))


def test_the_place_of_targets_is_their_time_and_reversal_counts_it_from_the_other_end():
    means = random_means(9)
    line = anchor_weights(9, [0, 8]) @ means[:, [0, 8]]
    expected = torch.linspace(0, 1, 9, dtype=torch.float64).expand(2, -1)
    torch.testing.assert_close(place_between(line), expected)
    torch.testing.assert_close(place_between(means.flip(1)), 1 - place_between(means).flip(1))


def test_ends_that_attend_alike_have_no_way_between_them():
    for frames in (2, 5):
        means = random_means(frames)
        means[:, -1] = means[:, 0]
        assert place_between(means).count_nonzero() == 0
        assert place_between(means.float()).count_nonzero() == 0


@pytest.mark.parametrize("anchors", [[0, 8], [0, 3, 8]])
def test_the_distance_to_the_target_is_half_the_sum_of_differences(anchors):
    means = random_means(9)
    target = anchor_weights(9, anchors) @ means[:, anchors]
    expected = torch.zeros(2, 9, dtype=torch.float64)
    for row in range(2):
        for i in range(9):
            expected[row, i] = sum(max(0.0, float(means[row, i, key] - target[row, i, key])) for key in range(12))
    distance = distance_to_target(means, anchors)
    torch.testing.assert_close(distance, expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(distance[:, anchors], torch.zeros(2, len(anchors), dtype=torch.float64))
    torch.testing.assert_close(distance_to_target(target, anchors), torch.zeros_like(expected), atol=1e-12, rtol=0)


def test_attention_to_wholly_other_keys_is_at_distance_one():
    means = torch.tensor([[[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]]])
    assert distance_to_target(means, [0, 2]).tolist() == [[0, 1, 0]]


# the official module


def embedded_context(golden, weights):
    """The host's embedding of CLIP features and text, [1, 514 + 512, C]; stored for one of the probes only."""
    inputs = load_file(golden("kab_retro/inputs.safetensors"))
    shared = load_file(golden("kab_retro/weights_shared.safetensors"))
    w = {key: value.float() for key, value in {**weights, **shared}.items()}

    def layer(x, name):
        return linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def norm(x, name):
        return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    image = norm(inputs["clip_fea"].float() + w["img_emb.emb_pos"], "img_emb.proj.0")
    image = norm(layer(gelu(layer(image, "img_emb.proj.1")), "img_emb.proj.3"), "img_emb.proj.4")
    text = layer(gelu(layer(inputs["context_pos"], "text_embedding.0"), approximate="tanh"), "text_embedding.2")
    return torch.cat([image, text], dim=1)


@pytest.fixture(scope="module", params=PROBES)
def probe(request, golden):
    """One block of the official run: its intermediates, the queries by frame, and keys and values of every branch."""
    frames, module = PROBES[request.param]
    stored = load_file(golden("kab_retro/block_probe.safetensors"))
    data = {key.rsplit("/", 1)[1]: value for key, value in stored.items() if key.startswith(f"{request.param}/")}
    weights = load_file(golden(f"kab_retro/weights_{request.param.split('/')[0]}.safetensors"))
    context = data["context_embedded"] if "context_embedded" in data else embedded_context(golden, weights)
    weights = {key[len(module) + 1 :]: value.float() for key, value in weights.items() if key.startswith(f"{module}.")}
    branches = {}
    for name, part in KEYS.items():
        tokens, image = context[:, part], "" if name == "text" else "_img"
        k = linear(tokens, weights[f"k{image}.weight"], weights[f"k{image}.bias"])
        k = rms_norm(k, k.shape[-1:], weights[f"norm_k{image}.weight"], 1e-6)
        branches[name] = (k, linear(tokens, weights[f"v{image}.weight"], weights[f"v{image}.bias"]))
    return frames, data, data["q"].unflatten(1, (frames, -1)), branches


@pytest.mark.parametrize("name", KEYS)
def test_means_targets_and_bias_are_the_official_ones(probe, name):
    frames, data, q, branches = probe
    means = frame_means(q, branches[name][0], HEADS)
    target = anchor_weights(frames, [0, frames - 1]).float() @ means[:, [0, -1]]
    bias = anchored_bias(means, [0, frames - 1], torch.ones(frames), EPSILON)
    pairs = {"A_first": means[:, 0], "A_last": means[:, -1], "A": means[:, 1:-1], "M": target, "bias": bias[:, 1:-1]}
    for key, ours in pairs.items():
        torch.testing.assert_close(ours, data[f"{key}_{name}"], atol=1e-5, rtol=0, msg=lambda text, key=key: key + text)


@pytest.mark.parametrize("name", KEYS)
def test_branches_with_and_without_the_bias_are_the_official_ones(probe, name):
    frames, data, q, branches = probe
    k, v = branches[name]
    ends = [0, frames - 1]
    taper = cosine_taper(frames, ends, 0.7, 0.3)
    torch.testing.assert_close(taper, data["beta"], atol=1e-6, rtol=0)
    bias = anchored_bias(frame_means(q, k, HEADS), ends, taper, EPSILON)
    for key, added in (("branch", bias), ("iso_branch", None)):
        values = v.unflatten(-1, (HEADS, -1))
        out = torch.einsum("bthqk,bkhd->btqhd", naive_attention(q, k, HEADS, added), values)
        torch.testing.assert_close(out.flatten(3).flatten(1, 2), data[f"{key}_{name}"], atol=1e-4, rtol=0)
    assert (data[f"branch_{name}"] - data[f"iso_branch_{name}"]).abs().max() > 1e-2


# weights by position, anchors of a call


def test_the_two_pictures_weights_always_sum_to_two():
    places = torch.linspace(0, 1, 21, dtype=torch.float64)
    first, last = position_weights(places)
    torch.testing.assert_close(first + last, torch.full_like(places, 2))
    assert (first[0], last[0]) == (2, 0)
    assert (first[10], last[10]) == (1, 1)
    torch.testing.assert_close(position_weights(1 - places)[0], last)


@pytest.mark.parametrize(
    ("numbers", "keyframes", "anchors"),
    [
        (range(21), [], [0, 20]),
        (range(21), [0, 20], [0, 20]),
        (range(21), [5, 12], [0, 5, 12, 20]),
        (range(21), [12, 5, 12], [0, 5, 12, 20]),
        (range(8, 16), [0, 10, 20], [0, 2, 7]),  # a window; keyframes outside it do not count
        (range(8, 16), [8, 15], [0, 7]),
        ([18, 19, 20, 0, 1, 2], [0, 20], [0, 2, 3, 5]),  # a window around a loop's end
        (range(0, 21, 4), [8, 9], [0, 2, 5]),  # a window of every fourth frame
        (range(2), [], [0, 1]),
        ([7], [7], [0]),
    ],
)
def test_the_anchors_of_a_call_are_its_ends_and_the_keyframes_in_it(numbers, keyframes, anchors):
    assert keyframe_anchors(list(numbers), keyframes) == anchors
    if len(numbers) > 1:
        assert anchor_weights(len(numbers), anchors).shape == (len(numbers), len(anchors))

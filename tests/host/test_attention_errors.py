"""Keyframe Attention and Temporal RoPE: what they refuse, and how they say it."""

from types import SimpleNamespace

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack

KAB = {"blocks": "0-1"}
EARLY = torch.tensor([0.95])  # a noise level inside the window


def stand_in(base, network=None):
    """A model patcher of a model family, without its weights."""
    model = base.__new__(base)
    return SimpleNamespace(model=model, model_options={}, get_model_object=lambda name: network)


def test_keyframe_attention_on_another_model_is_named(hunyuan, with_attention):
    with pytest.raises(ValueError, match="Keyframe Attention: model is HunyuanVideo, not Wan. Connect Wan 2.1 or"):
        with_attention(hunyuan, KAB)


@pytest.mark.parametrize("family", ["SDXL", "HunyuanImage21"])
def test_temporal_rope_on_another_model_is_named(host, with_attention, family):
    import comfy.model_base

    with pytest.raises(ValueError, match=f"Temporal RoPE: model is {family}, not Wan"):
        with_attention(stand_in(getattr(comfy.model_base, family)), None, {})


def test_temporal_rope_on_a_hunyuan_network_without_time_is_named(host, with_attention):
    import comfy.model_base

    model = stand_in(comfy.model_base.HunyuanVideo, SimpleNamespace(patch_size=[2, 2]))
    with pytest.raises(ValueError, match="Temporal RoPE: model is HunyuanVideo, which makes pictures and has no time"):
        with_attention(model, None, {})


@pytest.mark.parametrize("family", ["WAN21_Vace", "WAN21_Camera", "WAN21_HuMo", "WAN22_S2V", "WAN22_Animate"])
def test_a_wan_with_streams_of_its_own_is_named(host, with_attention, family):
    import comfy.model_base

    model = stand_in(getattr(comfy.model_base, family))
    with pytest.raises(ValueError, match=f"Keyframe Attention: model is {family}. VACE, Camera, .*connect Wan 2.1"):
        with_attention(model, KAB)
    with pytest.raises(ValueError, match=f"Temporal RoPE: model is {family}. VACE, Camera, .*connect Wan 2.1"):
        with_attention(model, None, {})


def test_a_wan_with_another_network_is_named(host, with_attention):
    """A family that the host adds as a plain Wan with a network of its own."""
    import comfy.model_base

    model = stand_in(comfy.model_base.WAN21, torch.nn.Identity())
    with pytest.raises(ValueError, match="model is WAN21. VACE, Camera"):
        with_attention(model, KAB)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "blocks has 'x', which is no block or range: write for instance 5-12"),
        ("0,1-", "blocks has '1-', which is no block or range"),
        ("12-5", "blocks has '12-5', which runs backwards: write 5-12"),
        ("0-99", "blocks has '0-99', but this model's blocks are 0 to 1"),
        ("2", "blocks has '2', but this model's blocks are 0 to 1"),
    ],
)
def test_blocks_that_are_none_are_named(load_wan, with_attention, text, message):
    with pytest.raises(ValueError, match=message):
        with_attention(load_wan("t2v"), {"blocks": text})
    with pytest.raises(ValueError, match=message):
        with_attention(load_wan("t2v"), None, {"blocks": text})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": -0.5}, "strength is -0.5: use a number from 0 to 4; the nearest is 0."),
        ({"start_percent": 0.5, "end_percent": 0.25}, "start_percent 0.5 is above end_percent 0.25"),
        ({"epsilon": 0.0}, "epsilon is 0: use a number from 1e-05 to 0.1; the nearest is 1e-05."),
        ({"branches": "both"}, "branches is 'both', which it does not know: use all, text or image."),
        ({"branches": "image"}, "branches is image, but this Wan has no image attention .T2V, Wan 2.2.: use all or"),
    ],
)
def test_settings_of_keyframe_attention_that_cannot_be_are_named(load_wan, with_attention, settings, message):
    with pytest.raises(ValueError, match=message):
        with_attention(load_wan("t2v"), {**KAB, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strength": -0.5}, "strength is -0.5: use a number from 0 to"),
        ({"mode": "bend"}, "mode is 'bend', which it does not know: use amplitude, phase or warp."),
    ],
)
def test_settings_of_temporal_rope_that_cannot_be_are_named(load_wan, with_attention, settings, message):
    with pytest.raises(ValueError, match=message):
        with_attention(load_wan("t2v"), None, settings)


def test_ends_longer_than_half_the_video_are_named_before_the_model_is_called(
    load_wan, conditioned, sampled, with_attention, watched
):
    """17 video frames: 8 at each end leave one between."""
    model, calls = watched(load_wan("t2v"))
    with pytest.raises(ValueError, match="edge_frames is 9, but a video of 17 frames has room for at most 8 at each"):
        sampled(with_attention(model, None, {"edge_frames": 9}), *conditioned("t2v"))
    assert calls == []
    sampled(with_attention(model, None, {"edge_frames": 8}), *conditioned("t2v"), steps=1)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"strength": 4.0, "mid_scale": 0.1, "smooth_radius": 0}, "-2.6"),
        ({"edge_scale": 4.0, "smooth_radius": 0, "balance": True}, "-1"),
    ],
)
def test_time_that_would_stand_or_run_back_is_named(load_wan, conditioned, sampled, with_attention, settings, scale):
    message = f"Temporal RoPE: these settings give a scale of {scale}, where time would stand still or run back: lower"
    with pytest.raises(ValueError, match=message):
        sampled(with_attention(load_wan("t2v"), None, settings), *conditioned("t2v"))


def test_temporal_rope_on_none_of_the_model_s_blocks_says_so(load_wan, conditioned, sampled, with_attention, caplog):
    caplog.set_level("INFO")
    ours = sampled(with_attention(load_wan("t2v"), None, {"blocks": "5-12"}), *conditioned("t2v"))
    assert "Temporal RoPE: this model has none of the blocks 5-12, so nothing is changed." in caplog.text
    assert torch.equal(ours, sampled(load_wan("t2v"), *conditioned("t2v")))


def test_a_track_of_another_length_is_named_before_the_model_is_called(
    load_wan, conditioned, sampled, with_attention, pictures, watched
):
    track = KeyframeTrack(48, 32, 33).with_keyframe(Keyframe(16, pictures(1, 48, 32)))
    model, calls = watched(load_wan("t2v"))
    model = with_attention(model, {**KAB, "keyframes": track})
    message = (
        "Keyframe Attention: keyframes is a track of 33 video frames .9 latent., but this run has 5 latent frames: "
        "connect the track"
    )
    with pytest.raises(ValueError, match=message):
        sampled(model, *conditioned("t2v"))
    assert calls == []


@pytest.mark.parametrize("kind", ["i2v", "flf2v"])
def test_a_conditioning_without_image_tokens_is_named_before_the_model_is_called(
    load_wan, conditioned, sampled, with_attention, watched, kind
):
    model, calls = watched(load_wan(kind))
    model = with_attention(model, KAB)
    positive, negative = conditioned(kind)
    bare, other = conditioned(kind, tokens=0)
    message = (
        "Keyframe Attention: this Wan reads pictures through CLIP vision, but the conditioning has no image tokens"
    )
    with pytest.raises(ValueError, match=message):
        sampled(model, bare, other)
    with pytest.raises(ValueError, match=message):
        sampled(model, positive, other)
    with pytest.raises(ValueError, match=message):
        sampled(model, bare, negative)
    assert calls == []


def test_a_call_without_image_tokens_is_named(load_wan, wan_inputs, with_attention, model_call):
    inputs = wan_inputs("i2v")
    del inputs["clip_fea"]
    with pytest.raises(ValueError, match="Keyframe Attention: .* the conditioning has no image tokens. Connect clip_"):
        model_call(with_attention(load_wan("i2v"), KAB), sigma=EARLY, **inputs)


@pytest.mark.parametrize("tokens", [1, 256, 513, 771])
def test_another_number_of_image_tokens_is_named(load_wan, conditioned, sampled, with_attention, tokens):
    with pytest.raises(
        ValueError, match=f"has {tokens} image tokens; one picture of clip_vision_h has 257, two .* 514"
    ):
        sampled(with_attention(load_wan("i2v"), KAB), *conditioned("i2v", tokens=tokens))


@pytest.mark.parametrize("known", ["first", "last"])
@pytest.mark.parametrize("isolate", [True, False])
def test_one_picture_gets_the_weight_of_the_end_that_is_given(
    load_wan, conditioned, sampled, with_attention, known, isolate
):
    conditioning = conditioned("i2v", tokens=257, known=(known,))

    def made(first, last):
        settings = {**KAB, "isolate": isolate, "first_weight": first, "last_weight": last}
        return sampled(with_attention(load_wan("i2v"), settings), *conditioning, steps=3)

    own, others = ((1.0, 0.0), (0.0, 1.0)) if known == "first" else ((0.0, 1.0), (1.0, 0.0))
    whole, nothing = made(1.0, 1.0), made(0.0, 0.0)
    assert torch.equal(made(*own), whole)
    torch.testing.assert_close(made(*others), nothing, atol=1e-5, rtol=0)
    assert not torch.allclose(whole, nothing, atol=1e-3)


@pytest.mark.parametrize("known", ["first", "last"])
def test_one_picture_s_weight_by_position_is_that_of_its_end(
    load_wan, conditioned, sampled, with_attention, with_attentions, known
):
    """1 at its own end is 2, half-way 1, at the other end 0."""
    found = []
    for by_position in (False, True):
        settings = {**KAB, "end_percent": 0.0, "weights_by_position": by_position}
        model, seen = with_attentions(with_attention(load_wan("i2v"), settings))
        sampled(model, *conditioned("i2v", tokens=257, known=(known,)), steps=1)
        found.append(seen[1][3].unflatten(1, (5, 6)))
    weights = torch.linspace(0, 2, 5)
    weights = weights if known == "last" else weights.flip(0)
    torch.testing.assert_close(found[1], found[0] * weights[:, None, None], atol=1e-6, rtol=0)


@pytest.mark.parametrize("known", [None, (), ("first", "last")])
@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, False),
        ({"first_weight": 0.5, "last_weight": 0.5}, False),
        ({"first_weight": 0.5}, True),
        ({"last_weight": 2.0}, True),
        ({"weights_by_position": True}, True),
    ],
)
def test_a_picture_of_unknown_place_is_refused_where_its_place_counts(
    load_wan, conditioned, sampled, with_attention, watched, known, settings, refused
):
    model, calls = watched(load_wan("i2v"))
    model, conditioning = with_attention(model, {**KAB, **settings}), conditioned("i2v", tokens=257, known=known)
    if refused:
        with pytest.raises(ValueError, match="the image tokens show one picture, and nothing tells whether it is the"):
            sampled(model, *conditioning, steps=1)
        assert calls == []
    else:
        assert torch.isfinite(sampled(model, *conditioning, steps=1)).all()


def test_two_pictures_need_no_mask(load_wan, conditioned, sampled, with_attention):
    model = with_attention(load_wan("flf2v"), {**KAB, "first_weight": 0.5})
    assert torch.isfinite(sampled(model, *conditioned("flf2v", known=None), steps=1)).all()

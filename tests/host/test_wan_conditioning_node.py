"""InbetweenWanConditioning: equal to the host's node at the ends, every placement between, 5B, and refusals."""

from types import SimpleNamespace

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack
from pack.frames.wan_layout import PLACEMENTS


@pytest.fixture(scope="module")
def node(host):
    from pack.nodes.conditioning import WanConditioning

    return WanConditioning


def track_of(pictures, width=64, height=48, length=33, inner=(), strength=1.0):
    track = KeyframeTrack(width, height, length)
    track = track.with_keyframe(Keyframe(0, pictures(1, width, height), 1.0, "first_image"))
    track = track.with_keyframe(Keyframe(-1, pictures(2, width, height), 1.0, "last_image"))
    for frame in inner:
        track = track.with_keyframe(Keyframe(frame, pictures(10 + frame, width, height), strength, f"picture {frame}"))
    return track


def values(conditioning):
    return conditioning[0][1]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(
    ("length", "width", "height"), [(5, 64, 48), (33, 64, 48), (81, 32, 32), (33, 80, 48), (5, 112, 80)]
)
def test_first_and_last_equal_the_host_s_node_bit_for_bit(
    node, host, wan_vae, clip_vision, prompts, pictures, placement, length, width, height
):
    sizes = {"first": (width, height), "last": (width, height)}
    if (width, height) == (112, 80):  # pictures of odd sizes that both nodes have to fit
        sizes = {"first": (173, 91), "last": (61, 127)}
    first, last = pictures(1, *sizes["first"]), pictures(2, *sizes["last"])
    track = KeyframeTrack(width, height, length)
    track = track.with_keyframe(Keyframe(0, first)).with_keyframe(Keyframe(-1, last))
    ours = node.execute(
        prompts.positive, prompts.negative, wan_vae, track, placement, batch_size=2, clip_vision=clip_vision
    ).args

    encode = host.NODE_CLASS_MAPPINGS["CLIPVisionEncode"]().encode
    theirs = (
        host.NODE_CLASS_MAPPINGS["WanFirstLastFrameToVideo"]
        .execute(
            prompts.positive,
            prompts.negative,
            wan_vae,
            width,
            height,
            length,
            2,
            start_image=first,
            end_image=last,
            clip_vision_start_image=encode(clip_vision, first, "none")[0],
            clip_vision_end_image=encode(clip_vision, last, "none")[0],
        )
        .args
    )
    for index in (0, 1):
        mine, other = values(ours[index]), values(theirs[index])
        assert set(mine) == set(other)
        assert torch.equal(mine["concat_latent_image"], other["concat_latent_image"])
        assert torch.equal(mine["concat_mask"], other["concat_mask"])
        tokens = [item["clip_vision_output"].penultimate_hidden_states for item in (mine, other)]
        assert tokens[0].shape == (1, 514, 1280)
        assert torch.equal(*tokens)
        assert torch.equal(ours[index][0][0], theirs[index][0][0])
    assert torch.equal(ours[2]["samples"], theirs[2]["samples"])
    assert set(ours[2]) == set(theirs[2])


@pytest.mark.parametrize("which", ["first", "last"])
def test_one_end_alone_equals_the_host_s_node(node, host, wan_vae, prompts, pictures, which):
    track = KeyframeTrack(64, 48, 33).with_keyframe(Keyframe(0 if which == "first" else -1, pictures(1)))
    ours = node.execute(prompts.positive, prompts.negative, wan_vae, track).args
    image = {"start_image" if which == "first" else "end_image": pictures(1)}
    theirs = (
        host.NODE_CLASS_MAPPINGS["WanFirstLastFrameToVideo"]
        .execute(prompts.positive, prompts.negative, wan_vae, 64, 48, 33, 1, **image)
        .args
    )
    for key in ("concat_latent_image", "concat_mask"):
        assert torch.equal(values(ours[0])[key], values(theirs[0])[key])


@pytest.mark.parametrize("frame", range(1, 32))
def test_an_exact_anchor_is_encoded_at_its_own_frame_and_marked_there(node, wan_vae, prompts, pictures, frame):
    track = track_of(pictures, 32, 32, inner=[frame])
    made = values(node.execute(prompts.positive, prompts.negative, wan_vae, track, "exact").args[0])
    known = 1 - made["concat_mask"][0, :, :, 0, 0]  # [4,T]
    expected = torch.zeros(4, 9)
    expected[:, 0] = expected[3, 8] = expected[(frame + 3) % 4, (frame + 3) // 4] = 1
    assert torch.equal(known, expected)
    clip = torch.ones(33, 32, 32, 3) * 0.5
    for item in track.keyframes:
        clip[item.frame] = item.image[0]
    assert torch.equal(made["concat_latent_image"], wan_vae.encode(clip))


def test_own_latent_replaces_only_its_latent(node, wan_vae, prompts, pictures):
    plain = values(node.execute(prompts.positive, prompts.negative, wan_vae, track_of(pictures)).args[0])
    track = track_of(pictures, inner=[14])
    made = values(node.execute(prompts.positive, prompts.negative, wan_vae, track, "own_latent").args[0])
    own, rest = made["concat_latent_image"], [0, 1, 2, 3, 5, 6, 7, 8]
    assert torch.equal(own[:, :, rest], plain["concat_latent_image"][:, :, rest])
    assert torch.equal(own[:, :, 4], wan_vae.encode(pictures(24))[:, :, 0])
    assert torch.equal(1 - made["concat_mask"][0, :, 4, 0, 0], torch.ones(4))


def test_the_report_says_where_each_keyframe_landed_and_what_was_changed(node, wan_vae, prompts, pictures):
    from pack.nodes.keyframes import AddKeyframe

    track = track_of(pictures, inner=[9])
    track = AddKeyframe.execute(track, pictures(5, 30, 20, 4), 20, 0.5).args[0]
    report = node.execute(prompts.positive, prompts.negative, wan_vae, track).args[3]
    assert "33 frames, 64x48, 16 fps (2.06 s), 9 latent frames. Placement: snap." in report
    assert "frame 0: first_image (whole latent 0)" in report
    assert "frame 9, held on 8: picture 9 (latent 2, mask channel 3)" in report
    assert "frame 20: added image, strength 0.5, 30x20 scaled and cropped to fill the video, alpha dropped" in report
    assert "frame 32: last_image (latent 8, mask channel 3)" in report
    assert "No clip_vision" in report
    assert "Cost: one model call a step, which does the work of two where cfg is above 1" in report


def test_the_5b_model_gets_clean_latents_and_a_noise_mask(node, host, vae_5b, prompts, pictures):
    track = track_of(pictures, 64, 32, inner=[13])
    positive, negative, latent, report = node.execute(
        prompts.positive, prompts.negative, vae_5b, track, batch_size=2
    ).args
    assert positive is prompts.positive
    assert negative is prompts.negative
    assert latent["samples"].shape == (2, 48, 9, 2, 4)
    assert latent["noise_mask"].shape == (2, 1, 9, 2, 4)
    assert latent["noise_mask"][0, 0, :, 0, 0].tolist() == [0, 1, 1, 0, 1, 1, 1, 1, 0]
    theirs = host.NODE_CLASS_MAPPINGS["Wan22ImageToVideoLatent"].execute(vae_5b, 64, 32, 33, 2, pictures(1, 64, 32))
    expected = theirs.args[0]
    unknown = [1, 2, 4, 5, 6, 7]
    assert torch.equal(latent["samples"][:, :, [0, *unknown]], expected["samples"][:, :, [0, *unknown]])
    held = vae_5b.encode(pictures(23, 64, 32).expand(5, -1, -1, -1))[:, :, 1]
    assert torch.equal(latent["samples"][0, :, 3], held[0])
    single = vae_5b.encode(pictures(23, 64, 32))[:, :, 0]
    assert not torch.allclose(held, single)  # this VAE can tell four equal frames from one
    own = node.execute(prompts.positive, prompts.negative, vae_5b, track, "own_latent").args[2]["samples"]
    assert torch.equal(own[0, :, 4], single[0])
    soft = track_of(pictures, 64, 32, inner=[13], strength=0.25)
    mask = node.execute(prompts.positive, prompts.negative, vae_5b, soft).args[2]["noise_mask"]
    assert mask[0, 0, :, 0, 0].tolist() == [0, 1, 1, 0.75, 1, 1, 1, 1, 0]
    assert "frame 13, held on 9-12: picture 13 (whole latent 3)" in report


def test_the_5b_model_keeps_its_keyframes_through_sampling(node, host, load_wan, vae_5b, prompts, pictures):
    track = track_of(pictures, 64, 32, inner=[13])
    model = load_wan("ti2v_5b")
    positive, negative, latent, _ = node.execute(prompts.positive, prompts.negative, vae_5b, track, model=model).args
    sampled = host.common_ksampler(model, 7, 2, 3.0, "euler", "simple", positive, negative, latent)[0]["samples"]
    known = [0, 3, 8]
    torch.testing.assert_close(sampled[:, :, known], latent["samples"][:, :, known], atol=1e-5, rtol=0)
    assert not torch.allclose(sampled[:, :, 5], latent["samples"][:, :, 5], atol=1e-2)


@pytest.mark.parametrize("kind", ["i2v", "flf2v", "i2v_14b"])
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_wan_with_condition_channels_samples(
    node, host, load_wan, wan_vae, clip_vision, prompts, pictures, kind, placement
):
    model, clip = load_wan(kind), None if kind == "i2v_14b" else clip_vision
    track = track_of(pictures, 32, 32, length=17, inner=[7])
    positive, negative, latent, _ = node.execute(
        prompts.positive, prompts.negative, wan_vae, track, placement, clip_vision=clip, model=model
    ).args
    sampled = host.common_ksampler(model, 7, 1, 3.0, "euler", "simple", positive, negative, latent)[0]["samples"]
    assert sampled.shape == (1, 16, 5, 4, 4)
    assert torch.isfinite(sampled).all()


def test_inputs_are_left_as_found_and_two_runs_are_equal(node, wan_vae, clip_vision, prompts, pictures):
    track = track_of(pictures, inner=[13])
    copies = [item.image.clone() for item in track.keyframes]
    texts = [prompts.positive[0][0].clone(), prompts.negative[0][0].clone()]
    runs = [
        node.execute(prompts.positive, prompts.negative, wan_vae, track, clip_vision=clip_vision).args for _ in range(2)
    ]
    assert prompts.positive[0][1] == {}
    assert prompts.negative[0][1] == {}
    assert torch.equal(prompts.positive[0][0], texts[0])
    assert torch.equal(prompts.negative[0][0], texts[1])
    assert all(torch.equal(item.image, copy) for item, copy in zip(track.keyframes, copies, strict=True))
    for key in ("concat_latent_image", "concat_mask"):
        assert torch.equal(values(runs[0][0])[key], values(runs[1][0])[key])
    assert runs[0][3] == runs[1][3]


class ForeignVAE:
    latent_channels = 4
    latent_dim = 2
    first_stage_model = torch.nn.Identity()


def test_a_vae_of_another_family_is_named(node, host, prompts, pictures):
    with pytest.raises(ValueError, match="vae is not a Wan VAE .*4 channels.*: load wan_2.1_vae"):
        node.execute(prompts.positive, prompts.negative, ForeignVAE(), track_of(pictures))


def test_a_video_vae_of_another_family_with_the_same_shape_is_named(node, host, prompts, pictures):
    """HunyuanVideo's VAE also has 16 channels, 8x and 4x: only its network tells it apart."""
    from comfy.ldm.models.autoencoder import AutoencoderKL

    class HunyuanVAE:
        latent_channels = 16
        latent_dim = 3
        first_stage_model = AutoencoderKL.__new__(AutoencoderKL)  # the network's type, without its 246 M weights

    with pytest.raises(ValueError, match="vae is not a Wan VAE .AutoencoderKL, 16 channels, 3-D"):
        node.execute(prompts.positive, prompts.negative, HunyuanVAE(), track_of(pictures))


def test_an_empty_track_is_named(node, wan_vae, prompts):
    with pytest.raises(ValueError, match="keyframes is empty: connect first_image or last_image"):
        node.execute(prompts.positive, prompts.negative, wan_vae, KeyframeTrack(64, 48, 33))


@pytest.mark.parametrize(
    ("size", "message"),
    [((64, 48, 32), "length 32 is not 4n[+]1 .* 29 and 33"), ((60, 48, 33), "width 60 is not a multiple of 16")],
)
def test_sizes_off_the_grid_are_named(node, wan_vae, prompts, pictures, size, message):
    track = KeyframeTrack(*size).with_keyframe(Keyframe(0, pictures(1)))
    with pytest.raises(ValueError, match=message):
        node.execute(prompts.positive, prompts.negative, wan_vae, track)


def test_the_5b_grid_is_coarser(node, vae_5b, prompts, pictures):
    with pytest.raises(ValueError, match="height 48 is not a multiple of 32; the nearest are 32 and 64"):
        node.execute(prompts.positive, prompts.negative, vae_5b, track_of(pictures))


@pytest.mark.parametrize("kind", ["i2v", "flf2v"])
def test_clip_vision_missing_where_the_model_needs_it(node, load_wan, wan_vae, prompts, pictures, kind):
    with pytest.raises(ValueError, match="clip_vision is missing: Wan 2.1 I2V and FLF2V"):
        node.execute(prompts.positive, prompts.negative, wan_vae, track_of(pictures), model=load_wan(kind))


def test_a_wan_without_condition_channels_is_named(node, load_wan, wan_vae, prompts, pictures):
    with pytest.raises(ValueError, match="this Wan model takes 0 condition channels, keyframes need 20"):
        node.execute(prompts.positive, prompts.negative, wan_vae, track_of(pictures), model=load_wan("t2v"))


def test_model_and_vae_of_different_wans_are_named(node, load_wan, wan_vae, vae_5b, prompts, pictures):
    with pytest.raises(ValueError, match="vae has 16 latent channels, this model needs 48: load wan2.2_vae"):
        node.execute(prompts.positive, prompts.negative, wan_vae, track_of(pictures), model=load_wan("ti2v_5b"))
    with pytest.raises(ValueError, match="vae has 48 latent channels, this model needs 16: load wan_2.1_vae"):
        node.execute(prompts.positive, prompts.negative, vae_5b, track_of(pictures), model=load_wan("i2v_14b"))


def test_a_model_that_is_not_wan_is_named(node, wan_vae, prompts, pictures):
    class Patcher:
        model, model_options = torch.nn.Identity(), None

    with pytest.raises(ValueError, match="model is Identity, not Wan"):
        node.execute(prompts.positive, prompts.negative, wan_vae, track_of(pictures), model=Patcher())


def test_keyframes_that_land_together_are_named(node, wan_vae, prompts, pictures):
    with pytest.raises(ValueError, match="keyframes 31 and 32 both land on latent frame 8"):
        node.execute(prompts.positive, prompts.negative, wan_vae, track_of(pictures, inner=[31]))


def test_a_track_without_ends_shows_its_first_keyframe_to_clip_vision(node, wan_vae, clip_vision, prompts, pictures):
    track = KeyframeTrack(64, 48, 33).with_keyframe(Keyframe(12, pictures(4), 1.0, "middle"))
    made = node.execute(prompts.positive, prompts.negative, wan_vae, track, clip_vision=clip_vision).args
    assert values(made[0])["clip_vision_output"].penultimate_hidden_states.shape == (1, 257, 1280)
    assert "clip_vision reads middle at frame 12: there is no keyframe at either end." in made[3]


@pytest.mark.parametrize("size", [1024, 768])
def test_an_encoder_of_another_kind_is_named(node, wan_vae, prompts, pictures, size):
    class Encoder:
        def encode_image(self, image, crop):
            return SimpleNamespace(penultimate_hidden_states=torch.ones(1, 257, size))

    with pytest.raises(ValueError, match=f"clip_vision gives {size} numbers per image token, Wan reads 1280: load cl"):
        node.execute(prompts.positive, prompts.negative, wan_vae, track_of(pictures), clip_vision=Encoder())


@pytest.mark.parametrize(("width", "height"), [(1, 500), (500, 1)])
def test_a_picture_so_narrow_that_the_crop_takes_all_of_it_is_named(width, height):
    from pack.frames.fit_host import fitted_picture

    sliver = Keyframe(0, torch.rand(1, height, width, 3), source="first_image")
    with pytest.raises(ValueError, match=f"first_image is {width}x{height}, so narrow that fit 'crop' leaves nothing"):
        fitted_picture(sliver, KeyframeTrack(64, 64, 9))
    for fit in ("pad", "stretch"):
        assert fitted_picture(sliver, KeyframeTrack(64, 64, 9, fit=fit)).shape == (1, 64, 64, 3)
    for side in range(2, 70):  # whatever has a pixel left is cropped
        narrow = Keyframe(0, torch.rand(1, 64, side, 3))
        assert fitted_picture(narrow, KeyframeTrack(64, 64, 9)).shape == (1, 64, 64, 3)

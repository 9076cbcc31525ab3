"""InbetweenHunyuanConditioning: equal to the host's nodes at the start, later keyframes, the AFB chain, refusals."""

from types import SimpleNamespace

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack

VERSIONS = ("v1", "1.5")
KINDS = {"v1": "i2v", "1.5": "i2v_15"}
CHANNELS = {"v1": 16, "1.5": 32}
SCALE = {"v1": 0.476986, "1.5": 1.03682}  # of the host's latent formats


@pytest.fixture(scope="module")
def node(host):
    from pack.nodes.conditioning import HunyuanConditioning

    return HunyuanConditioning


@pytest.fixture
def texts():
    """A prompt and a negative one, with the pooled text that HunyuanVideo I2V v1 also reads."""
    generator = torch.Generator().manual_seed(1)

    def drawn():
        pooled = {"pooled_output": torch.randn(1, 768, generator=generator)}
        return [[torch.randn(1, 8, 16, generator=generator), pooled]]

    return drawn(), drawn()


def track_of(pictures, width=64, height=48, length=33, last=True, inner=(), strength=1.0):
    track = KeyframeTrack(width, height, length, 24.0)
    track = track.with_keyframe(Keyframe(0, pictures(1, width, height), 1.0, "first_image"))
    if last:
        track = track.with_keyframe(Keyframe(-1, pictures(2, width, height), 1.0, "last_image"))
    for frame in inner:
        track = track.with_keyframe(Keyframe(frame, pictures(10 + frame, width, height), strength, f"picture {frame}"))
    return track


def values(conditioning):
    return conditioning[0][1]


def host_node(host, version, texts, vae, width, height, length, batch, picture, tokens=None):
    """What the host's own node makes of a first picture: positive, negative (1.5), latent."""
    nodes = host.NODE_CLASS_MAPPINGS
    size = (width, height, length, batch)
    if version == "v1":
        made = nodes["HunyuanImageToVideo"].execute(texts[0], vae, *size, "v1 (concat)", start_image=picture).args
        return made[0], made[0], made[1]
    made = nodes["HunyuanVideo15ImageToVideo"]
    return made.execute(*texts, vae, *size, start_image=picture, clip_vision_output=tokens).args


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("width", "height", "length", "batch"), [(64, 48, 33, 1), (32, 32, 81, 2), (80, 48, 1, 1), (112, 80, 5, 3)]
)
def test_a_first_keyframe_alone_equals_the_host_s_node_bit_for_bit(
    node, host, hunyuan_vaes, siglip, texts, pictures, version, width, height, length, batch
):
    vae = hunyuan_vaes[version]
    # a picture of odd size has to be fitted; it is not as wide as the video
    picture = pictures(1, 173, 91) if (width, height) == (112, 80) else pictures(1, width, height)
    track = KeyframeTrack(width, height, length).with_keyframe(Keyframe(0, picture))
    encoder = siglip if version == "1.5" else None
    ours = node.execute(*texts, vae, track, batch, encoder).args
    tokens = host.NODE_CLASS_MAPPINGS["CLIPVisionEncode"]().encode(siglip, picture, "center")[0]
    theirs = host_node(host, version, texts, vae, width, height, length, batch, picture, tokens)
    for index in (0, 1):
        mine, other = values(ours[index]), values(theirs[index])
        assert set(mine) == set(other)
        for key in ("concat_latent_image", "concat_mask"):
            assert mine[key].dtype == other[key].dtype
            assert torch.equal(mine[key], other[key])
    if version == "1.5":
        seen = [values(made[0])["clip_vision_output"].last_hidden_state for made in (ours, theirs)]
        assert seen[0].shape == (1, 729, 1152)
        assert torch.equal(*seen)
    assert torch.equal(ours[0][0][0], texts[0][0][0])
    assert torch.equal(ours[1][0][0], texts[1][0][0])
    assert torch.equal(ours[2]["samples"], theirs[2]["samples"])
    assert set(ours[2]) == set(theirs[2])


@pytest.mark.parametrize("version", VERSIONS)
def test_without_clip_vision_it_is_the_host_s_node_without_it(node, host, hunyuan_vaes, texts, pictures, version):
    vae = hunyuan_vaes[version]
    made = node.execute(*texts, vae, track_of(pictures, last=False)).args
    theirs = host_node(host, version, texts, vae, 64, 48, 33, 1, pictures(1))
    assert set(values(made[0])) == set(values(theirs[0]))
    assert ("No clip_vision: HunyuanVideo 1.5 I2V was trained with it" in made[3]) == (version == "1.5")


@pytest.mark.parametrize("version", VERSIONS)
def test_later_keyframes_are_the_latents_of_four_equal_frames_in_their_places(
    node, hunyuan_vaes, texts, pictures, version
):
    vae = hunyuan_vaes[version]
    made = node.execute(*texts, vae, track_of(pictures, inner=[13]), 2).args
    latents, mask = values(made[0])["concat_latent_image"], values(made[0])["concat_mask"]
    step = 8 if version == "v1" else 16
    assert latents.shape == (2 if version == "1.5" else 1, CHANNELS[version], 9, 48 // step, 64 // step)
    assert mask.shape == (1, 1, 9, *latents.shape[-2:])
    assert mask[0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 0, 1, 1, 1, 0]
    assert mask.amin(dim=(0, 1, 3, 4)).tolist() == mask.amax(dim=(0, 1, 3, 4)).tolist()
    for batch in latents:
        assert torch.equal(batch[:, 0], vae.encode(pictures(1))[0, :, 0])
        assert torch.equal(batch[:, 4], vae.encode(pictures(23).repeat(5, 1, 1, 1))[0, :, 1])
        assert torch.equal(batch[:, 8], vae.encode(pictures(2).repeat(5, 1, 1, 1))[0, :, 1])
        assert not batch[:, [1, 2, 3, 5, 6, 7]].any()
    assert made[2]["samples"].shape == (2, CHANNELS[version], 9, 48 // step, 64 // step)
    assert values(made[0])["concat_latent_image"] is values(made[1])["concat_latent_image"]


def test_hunyuan_s_own_vae_gives_a_still_picture_one_latent_wherever_it_is_and_that_of_1_5_does_not(
    hunyuan_vaes, pictures
):
    for version, same in (("v1", True), ("1.5", False)):
        vae = hunyuan_vaes[version]
        alone = vae.encode(pictures(1))[:, :, 0]
        still = vae.encode(pictures(1).repeat(5, 1, 1, 1))[:, :, 1]
        assert torch.allclose(alone, still, atol=1e-5) == same


@pytest.mark.parametrize("version", VERSIONS)
def test_the_model_sees_scaled_keyframes_zeros_between_and_a_mask_of_ones_where_they_are(
    node, host, load_hunyuan, watched, hunyuan_vaes, siglip, texts, pictures, version
):
    model, calls = watched(load_hunyuan(KINDS[version]))
    vae = hunyuan_vaes[version]
    made = node.execute(*texts, vae, track_of(pictures, inner=[13]), 1, siglip, model).args
    before = {key: values(made[0])[key].clone() for key in ("concat_latent_image", "concat_mask")}
    for _ in range(2):
        sampled = host.common_ksampler(model, 7, 1, 3.0, "euler", "simple", *made[:3])[0]["samples"]
    assert sampled.shape == made[2]["samples"].shape
    assert torch.isfinite(sampled).all()
    for call in calls:
        for row in call.c_concat:
            condition, mask = row[:-1], row[-1:]
            assert mask.amin(dim=(0, 2, 3)).tolist() == [1, 0, 0, 0, 1, 0, 0, 0, 1]
            assert torch.equal(mask.amin(dim=(0, 2, 3)), mask.amax(dim=(0, 2, 3)))
            torch.testing.assert_close(condition, before["concat_latent_image"][0] * SCALE[version])
    assert len(calls) >= 2
    for key, value in before.items():
        assert torch.equal(values(made[0])[key], value)  # the host scales what it was given: a copy, not ours
    seen = [call.clip_fea for call in calls if getattr(call, "clip_fea", None) is not None]
    assert len(seen) == (len(calls) if version == "1.5" else 0)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("place", ["first", "last", "middle"])
def test_every_keyframe_changes_the_video(node, load_hunyuan, sampled, hunyuan_vaes, texts, pictures, version, place):
    model, vae = load_hunyuan(KINDS[version]), hunyuan_vaes[version]
    track = track_of(pictures, 32, 32, 17, inner=[7])
    frame = {"first": 0, "last": 16, "middle": 7}[place]
    other = KeyframeTrack(32, 32, 17, 24.0)
    for item in track.keyframes:
        other = other.with_keyframe(Keyframe(item.frame, pictures(99, 32, 32)) if item.frame == frame else item)
    videos = []
    for of in (track, other, track):
        positive, negative, latent, _ = node.execute(*texts, vae, of).args
        videos.append(sampled(model, positive, negative, steps=2, shape=latent["samples"].shape))
    assert torch.equal(videos[0], videos[2])
    assert not torch.allclose(videos[0], videos[1], atol=1e-4)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_in_bf16_samples_with_it(
    node, host, load_hunyuan, hunyuan_vaes, texts, pictures, version, models_folder
):
    import comfy.sd

    load_hunyuan(KINDS[version])
    path = models_folder / "diffusion_models" / f"hunyuan_{KINDS[version]}.safetensors"
    model = comfy.sd.load_diffusion_model(str(path), {"dtype": torch.bfloat16})
    assert model.model.get_dtype() == torch.bfloat16
    track = track_of(pictures, 32, 32, 17, inner=[7])
    positive, negative, latent, _ = node.execute(*texts, hunyuan_vaes[version], track, model=model).args
    made = host.common_ksampler(model, 7, 2, 3.0, "euler", "simple", positive, negative, latent)[0]["samples"]
    assert made.shape == latent["samples"].shape
    assert torch.isfinite(made).all()


@pytest.mark.parametrize("version", VERSIONS)
def test_anchor_frame_bridging_from_end_to_end(
    node, host, load_hunyuan, watched, hunyuan_vaes, siglip, texts, pictures, version
):
    from pack.nodes.anchors import ReverseCandidates, SelectAnchors
    from pack.nodes.keyframes import ReverseKeyframes

    nodes, vae = host.NODE_CLASS_MAPPINGS, hunyuan_vaes[version]
    model, calls = watched(load_hunyuan(KINDS[version]))
    track = track_of(pictures, 32, 32, 17)
    noise = nodes["RandomNoise"].execute(11).args[0]
    sampler = nodes["KSamplerSelect"].execute("euler").args[0]
    sigmas = nodes["BasicScheduler"].execute(model, "simple", 6, 1.0).args[0]

    def conditioned(of):
        positive, _, latent, report = node.execute(*texts, vae, of, 1, siglip, model).args
        guided = nodes["FluxGuidance"].execute(positive, 6.0).args[0]
        return nodes["BasicGuider"].execute(model, guided).args[0], latent, report

    backwards = ReverseKeyframes.execute(track).args[0]
    guider, latent, _ = conditioned(backwards)
    candidates = ReverseCandidates.execute(noise, guider, sampler, sigmas, latent, vae, 2).args[0]
    assert candidates.shape == (17, 32, 32, 3)
    assert len(calls) == 2
    first = vae.encode(pictures(2, 32, 32))[0, :, 0] * SCALE[version]  # the last picture starts the reverse pass
    torch.testing.assert_close(calls[0].c_concat[0, :-1, 0], first)

    anchored, _, where = SelectAnchors.execute(track, candidates, margin=4).args[:3]
    guider, latent, report = conditioned(anchored)
    assert f"frame {where}" in report
    assert f": anchor (whole latent {-(-where // 4)})" in report
    made = nodes["SamplerCustomAdvanced"].execute(noise, guider, sampler, sigmas, latent).args[0]
    assert len(calls) == 2 + 6
    expected = [1.0 if place in (0, -(-where // 4), 4) else 0.0 for place in range(5)]
    assert calls[-1].c_concat[0, -1, :, 0, 0].tolist() == expected
    assert nodes["VAEDecode"]().decode(vae, made)[0].shape == (17, 32, 32, 3)


@pytest.mark.parametrize("kind", ["t2v", "skyreels"])
def test_reverse_candidates_refuses_a_model_that_would_not_see_the_keyframes(
    node, host, load_hunyuan, hunyuan_vaes, texts, pictures, kind
):
    from pack.nodes.anchors import ReverseCandidates

    nodes, model, vae = host.NODE_CLASS_MAPPINGS, load_hunyuan(kind), hunyuan_vaes["v1"]
    positive, negative, latent, _ = node.execute(*texts, vae, track_of(pictures, 32, 32, 17)).args
    noise = nodes["RandomNoise"].execute(11).args[0]
    sampler = nodes["KSamplerSelect"].execute("euler").args[0]
    sigmas = nodes["BasicScheduler"].execute(model, "simple", 2, 1.0).args[0]
    guider = nodes["CFGGuider"].execute(model, positive, negative, 3.0).args[0]
    channels = {"t2v": 0, "skyreels": 16}[kind]
    message = f"the guider's model is a HunyuanVideo with {channels} condition channels, keyframes need 17"
    with pytest.raises(ValueError, match=message):
        ReverseCandidates.execute(noise, guider, sampler, sigmas, latent, vae, 1)


@pytest.mark.parametrize("kind", ["t2v", "skyreels"])
def test_reverse_candidates_lets_conditionings_of_other_ways_through(
    node, host, load_hunyuan, hunyuan_vaes, texts, pictures, kind
):
    import node_helpers

    from pack.nodes.anchors import ReverseCandidates

    nodes, model, vae = host.NODE_CLASS_MAPPINGS, load_hunyuan(kind), hunyuan_vaes["v1"]
    first = pictures(1, 32, 32)
    if kind == "t2v":  # I2V v2 has the same layout: its first frame's tokens are replaced
        made = nodes["HunyuanImageToVideo"].execute(texts[0], vae, 32, 32, 17, 1, "v2 (replace)", start_image=first)
        positive, latent = made.args
    else:
        known = {"concat_latent_image": vae.encode(first)}
        positive, latent = (
            node_helpers.conditioning_set_values(texts[0], known),
            {"samples": torch.zeros(1, 16, 5, 4, 4)},
        )
    guider = nodes["BasicGuider"].execute(model, positive).args[0]
    noise = nodes["RandomNoise"].execute(11).args[0]
    sampler = nodes["KSamplerSelect"].execute("euler").args[0]
    sigmas = nodes["BasicScheduler"].execute(model, "simple", 2, 1.0).args[0]
    assert ReverseCandidates.execute(noise, guider, sampler, sigmas, latent, vae, 1).args[0].shape == (17, 32, 32, 3)


def test_the_report_says_where_each_keyframe_is_held_and_what_the_model_has_not_learned(
    node, hunyuan_vaes, texts, pictures
):
    from pack.nodes.keyframes import AddKeyframe

    track = AddKeyframe.execute(track_of(pictures), pictures(5, 30, 20, 4), 9).args[0]
    report = node.execute(*texts, hunyuan_vaes["v1"], track).args[3].splitlines()
    assert report[:4] == [
        "HunyuanVideo I2V v1 (condition latents and mask): 33 frames, 64x48, 24 fps (1.38 s), 9 latent frames. "
        "Placement: whole latent frames.",
        "frame 0: first_image (whole latent 0)",
        "frame 9, held on 9-12: added image, 30x20 scaled and cropped to fill the video, alpha dropped "
        "(whole latent 3)",
        "frame 32, held on 29-32: last_image (whole latent 8)",
    ]
    assert report[4].startswith("HunyuanVideo I2V v1 was trained with a picture on frame 0 alone.")
    assert "I2V v2 'replace' and T2V do not see keyframes" in report[5]
    assert len(report) == 6


def test_the_report_of_the_host_s_own_case_has_no_caution(node, load_hunyuan, hunyuan_vaes, siglip, texts, pictures):
    track = track_of(pictures, last=False)
    report = node.execute(*texts, hunyuan_vaes["1.5"], track, 1, siglip, load_hunyuan("i2v_15")).args[3]
    assert report.splitlines()[1:] == ["frame 0: first_image (whole latent 0)", "clip_vision reads first_image."]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_track_without_a_first_keyframe_runs_and_is_told(
    node, host, load_hunyuan, hunyuan_vaes, siglip, texts, pictures, version
):
    track = KeyframeTrack(32, 32, 17).with_keyframe(Keyframe(-1, pictures(1, 32, 32)))
    model = load_hunyuan(KINDS[version])
    made = node.execute(*texts, hunyuan_vaes[version], track, 1, siglip, model).args
    assert values(made[0])["concat_mask"][0, 0, :, 0, 0].tolist() == [1, 1, 1, 1, 0]
    assert "There is no keyframe on frame 0: the model was trained to start from one." in made[3]
    assert "clip_vision_output" not in values(made[0])
    assert ("clip_vision is not used: it reads the first keyframe" in made[3]) == (version == "1.5")
    assert torch.isfinite(host.common_ksampler(model, 7, 1, 3.0, "euler", "simple", *made[:3])[0]["samples"]).all()


def test_a_part_strength_makes_the_mask_of_1_5_soft_and_is_refused_for_v1(node, hunyuan_vaes, texts, pictures):
    from pack.nodes.keyframes import AddKeyframe

    track = AddKeyframe.execute(track_of(pictures), pictures(5), 13, 0.25).args[0]
    mask = values(node.execute(*texts, hunyuan_vaes["1.5"], track).args[0])["concat_mask"]
    assert mask[0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 0.75, 1, 1, 1, 0]
    with pytest.raises(ValueError, match="strength of added image on frame 13 is 0.25; .* set strength to 1, or to 0"):
        node.execute(*texts, hunyuan_vaes["v1"], track)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_strength_of_0_is_no_keyframe(node, hunyuan_vaes, texts, pictures, version):
    without, off = track_of(pictures), track_of(pictures, inner=[13], strength=0.0)
    made = [node.execute(*texts, hunyuan_vaes[version], track).args for track in (without, off)]
    for key in ("concat_latent_image", "concat_mask"):
        assert torch.equal(values(made[0][0])[key], values(made[1][0])[key])
    assert made[0][3] == made[1][3]


def test_inputs_are_left_as_found_and_two_runs_are_equal(node, hunyuan_vaes, siglip, texts, pictures):
    track = track_of(pictures, inner=[13])
    copies = [item.image.clone() for item in track.keyframes]
    prompts = [text[0][0].clone() for text in texts]
    runs = [node.execute(*texts, hunyuan_vaes["1.5"], track, 1, siglip).args for _ in range(2)]
    assert [set(text[0][1]) for text in texts] == [{"pooled_output"}, {"pooled_output"}]
    assert all(torch.equal(text[0][0], copy) for text, copy in zip(texts, prompts, strict=True))
    assert all(torch.equal(item.image, copy) for item, copy in zip(track.keyframes, copies, strict=True))
    for key in ("concat_latent_image", "concat_mask"):
        assert torch.equal(values(runs[0][0])[key], values(runs[1][0])[key])
    assert runs[0][3] == runs[1][3]


@pytest.mark.parametrize("channels", [16, 32])
def test_the_tiny_vae_of_each_is_taken_too(node, host, texts, pictures, channels):
    import comfy.sd
    from comfy.taesd.taehv import TAEHV

    from pack.demo.tiny_models import filled

    vae = comfy.sd.VAE(sd={key: value.half() for key, value in filled(TAEHV(latent_channels=channels)).items()})
    made = node.execute(*texts, vae, track_of(pictures)).args
    assert made[2]["samples"].shape[1] == channels
    assert torch.isfinite(values(made[0])["concat_latent_image"]).all()


def test_a_wan_vae_is_named(node, wan_vae, texts, pictures):
    message = "vae is not a HunyuanVideo VAE .WanVAE, 16 channels, 3-D.: load hunyuan_video_vae_bf16 .*hunyuanvideo15"
    with pytest.raises(ValueError, match=message):
        node.execute(*texts, wan_vae, track_of(pictures))


def test_the_vaes_of_svd_and_wan_2_2_are_named(node, svd_vae, vae_5b, texts, pictures):
    with pytest.raises(ValueError, match="vae is not a HunyuanVideo VAE .*4 channels, 2-D"):
        node.execute(*texts, svd_vae, track_of(pictures))
    with pytest.raises(ValueError, match="vae is not a HunyuanVideo VAE .*48 channels, 3-D"):
        node.execute(*texts, vae_5b, track_of(pictures))


@pytest.mark.parametrize(
    ("channels", "dimensions", "image_only"),
    [(16, 2, False), (32, 3, True)],
    ids=["Flux", "the refiner of HunyuanImage"],
)
def test_picture_vaes_with_the_same_channels_and_class_are_named(
    node, hunyuan_vaes, texts, pictures, channels, dimensions, image_only
):
    class PictureVAE:
        latent_channels, latent_dim, not_video = channels, dimensions, image_only
        first_stage_model = hunyuan_vaes["1.5"].first_stage_model

    message = f"vae is not a HunyuanVideo VAE .AutoencodingEngine, {channels} channels, {dimensions}-D"
    with pytest.raises(ValueError, match=message):
        node.execute(*texts, PictureVAE(), track_of(pictures))


def test_an_empty_track_is_named(node, hunyuan_vaes, texts):
    with pytest.raises(ValueError, match="keyframes is empty: connect first_image or last_image"):
        node.execute(*texts, hunyuan_vaes["v1"], KeyframeTrack(64, 48, 33))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((64, 48, 32), "length 32 is not 4n[+]1 for HunyuanVideo; the nearest are 29 and 33"),
        ((72, 48, 33), "width 72 is not a multiple of 16; the nearest are 64 and 80"),
        ((64, 40, 33), "height 40 is not a multiple of 16; the nearest are 32 and 48"),
    ],
)
def test_sizes_off_the_grid_are_named(node, hunyuan_vaes, texts, pictures, version, size, message):
    track = KeyframeTrack(*size).with_keyframe(Keyframe(0, pictures(1)))
    with pytest.raises(ValueError, match=message):
        node.execute(*texts, hunyuan_vaes[version], track)


def test_keyframes_in_one_latent_frame_are_named(node, hunyuan_vaes, texts, pictures):
    message = r"keyframes 30 and 32 both land on latent frame 8 \(video frames 29-32\): keep them at least 4 frames"
    with pytest.raises(ValueError, match=message):
        node.execute(*texts, hunyuan_vaes["v1"], track_of(pictures, inner=[30]))


def test_a_clip_vision_of_another_kind_is_named(node, hunyuan_vaes, clip_vision, texts, pictures):
    with pytest.raises(ValueError, match="clip_vision gives 1280 numbers per image token, .*: load sigclip_vision"):
        node.execute(*texts, hunyuan_vaes["1.5"], track_of(pictures), clip_vision=clip_vision)


def test_clip_vision_is_not_run_for_v1_and_that_is_told(node, hunyuan_vaes, texts, pictures):
    made = node.execute(
        *texts, hunyuan_vaes["v1"], track_of(pictures), clip_vision=SimpleNamespace(encode_image=None)
    ).args
    assert "clip_vision is not used by HunyuanVideo I2V v1" in made[3]


@pytest.mark.parametrize(
    ("kind", "version", "message"),
    [
        ("t2v", "v1", "model is a HunyuanVideo with 0 condition channels, keyframes need 17: use HunyuanVideo I2V v1"),
        ("skyreels", "v1", "model is a HunyuanVideo with 16 condition channels, keyframes need 17"),
        ("sr_15", "1.5", "model is a HunyuanVideo with 66 condition channels, keyframes need 33: use HunyuanVideo 1.5"),
        ("i2v", "1.5", "vae has 32 latent channels, this model needs 16: load hunyuan_video_vae_bf16"),
        ("i2v_15", "v1", "vae has 16 latent channels, this model needs 32: load hunyuanvideo15_vae_fp16"),
    ],
)
def test_a_model_that_does_not_fit_is_named(node, load_hunyuan, hunyuan_vaes, texts, pictures, kind, version, message):
    with pytest.raises(ValueError, match=message):
        node.execute(*texts, hunyuan_vaes[version], track_of(pictures), model=load_hunyuan(kind))


def test_a_model_of_another_family_is_named(node, load_wan, hunyuan_vaes, texts, pictures):
    with pytest.raises(ValueError, match="model is WAN21, not HunyuanVideo: connect HunyuanVideo I2V v1"):
        node.execute(*texts, hunyuan_vaes["v1"], track_of(pictures), model=load_wan("i2v_14b"))

"""InbetweenSVDConditioning: each direction equal to the host's node, one noise for both pictures, and refusals."""

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack

NAMES = ("forward_positive", "forward_negative", "backward_positive", "backward_negative")
HOST_KEYS = {"motion_bucket_id", "fps", "augmentation_level", "concat_latent_image"}


@pytest.fixture(scope="module")
def node(host):
    from pack.nodes.conditioning import SVDConditioning

    return SVDConditioning


@pytest.fixture
def made(node, svd_vae, picture_encoder):
    """Conditionings by name, and the latent."""

    def make(track, augmentation_level=0.0, **settings):
        *conditionings, latent = node.execute(
            picture_encoder, svd_vae, track, augmentation_level=augmentation_level, **settings
        ).args
        return dict(zip(NAMES, conditionings, strict=True)), latent

    return make


@pytest.fixture
def track_of(pictures):
    """A track with pictures of odd sizes on the given frames."""

    def make(frames=(0, -1), width=48, height=32, length=5, fps=7.0, fit="crop"):
        track = KeyframeTrack(width, height, length, fps, fit)
        for seed, frame in enumerate(frames):
            track = track.with_keyframe(Keyframe(frame, pictures(30 + seed, 173 - 50 * seed, 91), 1.0, f"image {seed}"))
        return track

    return make


@pytest.fixture
def host_node(host, svd_vae, picture_encoder):
    def make(picture, track, augmentation_level=0.0, bucket=127, fps=7):
        size = (track.width, track.height, track.length)
        encode = host.NODE_CLASS_MAPPINGS["SVD_img2vid_Conditioning"]().encode
        return encode(picture_encoder, picture, svd_vae, *size, bucket, fps, augmentation_level)

    return make


def only(conditioning):
    assert len(conditioning) == 1
    return conditioning[0]


# the host's node


@pytest.mark.parametrize(("length", "width", "height"), [(2, 48, 32), (14, 48, 32), (25, 40, 64)])
def test_each_direction_equals_the_host_s_node_bit_for_bit(made, track_of, host_node, length, width, height):
    track = track_of(width=width, height=height, length=length)
    ours, latent = made(track)
    for side, keyframe in zip(("forward", "backward"), track.keyframes, strict=True):
        *theirs, empty = host_node(keyframe.image, track)
        for end, conditioning in zip(("positive", "negative"), theirs, strict=True):
            token, values = only(ours[f"{side}_{end}"])
            expected, wanted = only(conditioning)
            assert token.shape == (1, 1, 256)
            assert torch.equal(token, expected)
            extra = {"inbetween_frames", "inbetween_keyframe"} if end == "positive" else {"inbetween_frames"}
            assert set(values) == HOST_KEYS | extra
            assert set(wanted) == HOST_KEYS
            assert torch.equal(values["concat_latent_image"], wanted["concat_latent_image"])
            assert [values[key] for key in ("motion_bucket_id", "fps", "augmentation_level")] == [127, 7, 0]
            assert values["inbetween_frames"] == length
        assert torch.equal(latent["samples"], empty["samples"])
        assert latent.keys() == empty.keys()
    assert latent["samples"].shape == (length, 4, height // 8, width // 8)


def test_the_two_directions_show_the_two_pictures_and_the_negatives_none(made, track_of):
    ours, _ = made(track_of())
    for key in ("concat_latent_image", "inbetween_keyframe"):
        first, last = (only(ours[f"{side}_positive"])[1][key] for side in ("forward", "backward"))
        assert not torch.allclose(first, last, atol=0.1)
    tokens = [only(ours[f"{side}_positive"])[0] for side in ("forward", "backward")]
    assert not torch.allclose(*tokens, atol=0.1)
    for side in ("forward", "backward"):
        token, values = only(ours[f"{side}_negative"])
        assert token.count_nonzero() == values["concat_latent_image"].count_nonzero() == 0


def test_the_model_makes_the_same_of_it_as_of_the_host_s(host, svd, made, track_of, host_node, estimate):
    guider = host.NODE_CLASS_MAPPINGS["CFGGuider"]
    track = track_of()
    theirs = guider.execute(svd, *host_node(track.first.image, track)[:2], 2.0).args[0]
    ours, _ = made(track)
    mine = guider.execute(svd, ours["forward_positive"], ours["forward_negative"], 2.0).args[0]
    assert torch.equal(estimate(mine), estimate(theirs))


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_the_track_s_fit_is_the_conditioning_s(made, track_of, svd_vae, fit):
    from pack.frames.fit_host import fitted_picture

    track = track_of(fit=fit)
    values = only(made(track)[0]["forward_positive"])[1]
    assert torch.equal(values["concat_latent_image"], svd_vae.encode(fitted_picture(track.first, track)))


def test_fps_and_motion_bucket_travel_to_all_four(made, track_of):
    ours, _ = made(track_of(fps=12.5), motion_bucket_id=40)
    for name in NAMES:
        values = only(ours[name])[1]
        assert (values["fps"], values["motion_bucket_id"]) == (12.5, 40)


def test_the_track_s_pictures_are_left_alone(made, track_of):
    track = track_of()
    copies = [keyframe.image.clone() for keyframe in track.keyframes]
    made(track, augmentation_level=0.5)
    for keyframe, copy in zip(track.keyframes, copies, strict=True):
        assert torch.equal(keyframe.image, copy)


# noise on the pictures


def test_both_pictures_get_the_same_noise_from_the_seed(node, made, track_of, svd_vae, picture_encoder, monkeypatch):
    from pack.frames.fit_host import fitted_picture

    seen, encode = [], svd_vae.encode
    monkeypatch.setattr(svd_vae, "encode", lambda pixels: (seen.append(pixels.clone()), encode(pixels))[1])
    track = track_of()
    ours, _ = made(track, augmentation_level=0.25, seed=9)
    noise = torch.randn(1, 32, 48, 3, generator=torch.Generator().manual_seed(9))
    assert len(seen) == 4
    for place, (side, keyframe) in enumerate(zip(("forward", "backward"), track.keyframes, strict=True)):
        clean = fitted_picture(keyframe, track)
        assert torch.equal(seen[2 * place], clean)
        torch.testing.assert_close(seen[2 * place + 1], clean + 0.25 * noise)
        values = only(ours[f"{side}_positive"])[1]
        assert torch.equal(values["inbetween_keyframe"], encode(clean))
        assert torch.equal(values["concat_latent_image"], encode(seen[2 * place + 1]))
        assert values["augmentation_level"] == only(ours[f"{side}_negative"])[1]["augmentation_level"] == 0.25


def test_the_same_seed_gives_the_same_again_and_another_does_not(made, track_of):
    def latents(seed):
        ours, _ = made(track_of(), augmentation_level=0.1, seed=seed)
        return [only(ours[f"{side}_positive"])[1]["concat_latent_image"] for side in ("forward", "backward")]

    torch.manual_seed(1)
    first = latents(3)
    state = torch.get_rng_state()
    again, other = latents(3), latents(4)
    assert torch.equal(torch.get_rng_state(), state)
    for one, same, different in zip(first, again, other, strict=True):
        assert torch.equal(one, same)
        assert not torch.allclose(one, different, atol=1e-3)


def test_the_largest_seed_is_taken(made, track_of):
    assert torch.isfinite(
        only(made(track_of(), 0.1, seed=2**64 - 1)[0]["forward_positive"])[1]["concat_latent_image"]
    ).all()


# refusals


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        ([0], "keyframes has no picture on the last frame: connect last_image of Keyframes"),
        ([-1], "keyframes has no picture on the first frame: connect first_image of Keyframes"),
        ([0, 2], "keyframes has no picture on the last frame: connect last_image"),
        ([], "keyframes has no picture on the first frame: connect first_image"),
        (
            [0, 2, -1],
            "keyframes has 3 pictures; SVD takes a first and a last one. Take the one on frame 2 out, or make",
        ),
        ([0, 1, 3, -1], "keyframes has 4 pictures; .* Take .* on frames? 1, 3 out, or make one video per gap"),
    ],
)
def test_any_other_keyframes_than_a_first_and_a_last_are_refused(made, track_of, frames, message):
    with pytest.raises(ValueError, match=message):
        made(track_of(frames))


def test_a_picture_of_less_than_full_strength_is_refused(made, track_of, pictures):
    track = track_of([0]).with_keyframe(Keyframe(-1, pictures(1, 48, 32), 0.5, "added image"))
    with pytest.raises(ValueError, match="strength of the picture on frame 4 is 0.5; SVD holds a picture whole: set"):
        made(track)


@pytest.mark.parametrize(("width", "height"), [(44, 32), (48, 36), (45, 33)])
def test_a_size_that_is_no_multiple_of_8_is_refused(made, track_of, width, height):
    with pytest.raises(ValueError, match=f"keyframes is {width}x{height}; SVD needs sides that are multiples of 8"):
        made(track_of(width=width, height=height))


def test_a_vae_of_16_channels_is_refused_before_it_encodes(node, track_of, wan_vae, picture_encoder, monkeypatch):
    monkeypatch.setattr(wan_vae, "encode", None)
    with pytest.raises(ValueError, match="vae has 16 latent channels, SVD needs 4: use the VAE of the SVD checkpoint"):
        node.execute(picture_encoder, wan_vae, track_of())


def test_a_video_of_one_frame_is_refused(made, track_of):
    with pytest.raises(
        ValueError, match="keyframes has a length of 1; SVD makes 2 frames or more, best 14 .SVD. or 25"
    ):
        made(track_of([0], length=1))


def test_a_video_unlike_those_of_the_training_is_told_in_the_log(track_of, caplog):
    from pack.frames.svd_conditioning_host import _tell_what_is_unusual

    for told in ((track_of(width=1024, height=576, length=25)), (track_of(width=576, height=1024, length=14))):
        _tell_what_is_unusual(told)
    assert not caplog.records
    _tell_what_is_unusual(track_of(width=96, height=64, length=9, fps=16.0))
    assert "the track says 9 frames, 96x64, 16 fps; SVD was trained for 14 (SVD) or 25 (SVD-XT) frames" in caplog.text


def test_a_token_of_another_encoder_is_refused_by_the_guider(svd, svd_inputs, bidirectional):
    inputs = svd_inputs()
    token, values = inputs.conditionings["backward_negative"][0]
    inputs.conditionings["backward_negative"] = [[torch.ones(1, 1, token.shape[-1] + 1), values]]
    with pytest.raises(ValueError, match="backward_negative has .* numbers per picture, this model reads .*SVD check"):
        bidirectional(svd, inputs)

"""InbetweenBridgePrior with VAEs of video and of pictures: passages, still clips, frames by others, refusals."""

from dataclasses import replace

import pytest
import torch

from pack.frames.bridge_prior import KINDS, prior_between
from pack.frames.keyframe_track import Keyframe, KeyframeTrack

PLACES = "inbetween_keyframes"
VIDEO = {"wan": (16, 8), "hunyuan": (16, 8), "wan_5b": (48, 16)}  # channels, pixels in a latent's side


@pytest.fixture(scope="module")
def node(host):
    from pack.nodes.bridge import BridgePrior

    return BridgePrior


@pytest.fixture(scope="module")
def hunyuan_vae(host):
    """TAEHV with HunyuanVideo's layout, which stands for its VAE of 246 M."""
    import comfy.sd
    from comfy.taesd.taehv import TAEHV

    from pack.demo.tiny_models import filled

    return comfy.sd.VAE(sd=filled(TAEHV(latent_channels=16)))


@pytest.fixture
def vaes(wan_vae, hunyuan_vae, vae_5b, svd_vae):
    return {"wan": wan_vae, "hunyuan": hunyuan_vae, "wan_5b": vae_5b, "svd": svd_vae}


@pytest.fixture
def track_of(pictures):
    """A track of 64x48 with pictures of other sizes on the given frames."""

    def make(frames=(0, -1), length=9, width=64, height=48, fit="crop"):
        track = KeyframeTrack(width, height, length, 16.0, fit)
        for seed, frame in enumerate(frames):
            track = track.with_keyframe(Keyframe(frame, pictures(30 + seed, 90 - 20 * seed, 70), 1.0, f"image {seed}"))
        return track

    return make


def encoded(vae, track):
    """Of every keyframe: its picture's latent, and that of a still clip."""
    from pack.frames.fit_host import fitted_picture

    pictures = [fitted_picture(item, track) for item in track.keyframes]
    own = [vae.encode(picture)[0, :, 0] for picture in pictures]
    still = [vae.encode(picture.repeat(5, 1, 1, 1))[0, :, 1] for picture in pictures]
    return own, still


# shapes and passages


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", VIDEO)
def test_a_video_vae_gives_a_latent_for_every_four_frames(node, vaes, track_of, name, kind):
    channels, side = VIDEO[name]
    made = node.execute(track_of(), vaes[name], kind).args[0]
    assert set(made) == {"samples", PLACES, "inbetween_vae"}
    assert made["samples"].shape == (1, channels, 3, 48 // side, 64 // side)
    assert made["samples"].isfinite().all()
    assert made[PLACES] == (0, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_vae_gives_a_latent_for_every_frame(node, svd_vae, track_of, kind):
    from pack.frames.fit_host import fitted_pictures

    track = track_of((0, 3, -1), length=6)
    made = node.execute(track, svd_vae, kind).args[0]
    assert made["samples"].shape == (6, 4, 6, 8)
    assert made[PLACES] == (0, 3, 5)
    if kind == "pixel":
        expected = svd_vae.encode(prior_between(fitted_pictures(track), [0, 3, 5], 6))
    else:
        latents = torch.cat([svd_vae.encode(picture[None]) for picture in fitted_pictures(track)])
        expected = prior_between(latents, [0, 3, 5], 6, kind)
    assert torch.equal(made["samples"], expected)


def test_latent_0_is_the_picture_s_own_and_the_others_are_those_of_still_clips(node, wan_vae, track_of):
    track = track_of()
    made = node.execute(track, wan_vae, "linear").args[0]["samples"][0].movedim(1, 0)
    own, still = encoded(wan_vae, track)
    assert torch.equal(made[0], own[0])
    torch.testing.assert_close(made[1], (still[0] + still[1]) / 2)
    assert torch.equal(made[2], still[1])
    assert not torch.allclose(still[0], own[0], atol=0.05)


@pytest.mark.parametrize("kind", ["linear", "nearest", "slerp"])
def test_a_passage_leaves_from_the_still_clip_s_latent(node, wan_vae, track_of, kind):
    track = track_of(length=17)
    made = node.execute(track, wan_vae, kind).args[0]["samples"][0].movedim(1, 0)
    _, still = encoded(wan_vae, track)
    expected = prior_between(torch.stack(still), [0, 4], 5, kind)
    torch.testing.assert_close(made[1:], expected[1:])


@pytest.mark.parametrize("kind", ["linear", "nearest", "slerp"])
@pytest.mark.parametrize("frame", [0, 4, -1])
def test_one_keyframe_is_held_from_the_first_latent_to_the_last(node, wan_vae, track_of, frame, kind):
    track = track_of((frame,))
    made = node.execute(track, wan_vae, kind).args[0]["samples"][0].movedim(1, 0)
    (own,), (still,) = encoded(wan_vae, track)
    assert torch.equal(made[0], own)
    assert torch.equal(made[1], still)
    assert torch.equal(made[2], still)


def test_pixel_is_the_video_of_the_cross_fade(node, wan_vae, track_of):
    from pack.frames.fit_host import fitted_pictures

    track = track_of()
    first, last = fitted_pictures(track)
    shares = torch.linspace(0, 1, 9)[:, None, None, None]
    expected = wan_vae.encode((1 - shares) * first + shares * last)
    made = node.execute(track, wan_vae, "pixel").args[0]["samples"]
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(made, node.execute(track, wan_vae, "linear").args[0]["samples"], atol=0.05)


def test_a_video_of_one_frame_is_its_picture(node, wan_vae, track_of):
    track = track_of((0,), length=1)
    (own,), _ = encoded(wan_vae, track)
    made = node.execute(track, wan_vae).args[0]
    assert torch.equal(made["samples"], own[None, :, None])
    assert made[PLACES] == (0,)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_the_track_s_fit_is_the_prior_s(node, svd_vae, track_of, fit):
    from pack.frames.fit_host import fitted_picture

    track = track_of(fit=fit)
    made = node.execute(track, svd_vae).args[0]["samples"]
    assert torch.equal(made[:1], svd_vae.encode(fitted_picture(track.first, track)))


# places


@pytest.mark.parametrize(
    ("frames", "length", "places"),
    [((0, 8, -1), 17, (0, 2, 4)), ((1, 5), 9, (1, 2)), ((3, 6), 9, (1, 2)), ((0, 13), 17, (0, 4)), ((7,), 9, (2,))],
)
def test_a_keyframe_is_in_the_latent_of_its_frame(node, wan_vae, track_of, frames, length, places):
    """Frame 0 in latent 0, frames 4 l - 3 to 4 l in latent l."""
    track = track_of(frames, length)
    made = node.execute(track, wan_vae, "nearest").args[0]
    assert made[PLACES] == places
    _, still = encoded(wan_vae, track)
    for number, place in enumerate(places):
        if place:
            assert torch.equal(made["samples"][0, :, place], still[number])


def test_a_keyframe_of_less_than_full_strength_is_in_the_prior_but_not_among_the_pinned(node, wan_vae, track_of):
    track = track_of((0, 8, -1), 17)
    soft = replace(
        track, keyframes=tuple(replace(item, strength=0.5 if item.frame == 8 else 1.0) for item in track.keyframes)
    )
    made, firm = (node.execute(one, wan_vae).args[0] for one in (soft, track))
    assert made[PLACES] == (0, 4)
    assert torch.equal(made["samples"], firm["samples"])


# an interpolator's frames


@pytest.mark.parametrize("name", ["wan", "svd"])
def test_frames_are_the_prior_whatever_the_kind(node, vaes, track_of, name):
    frames = torch.rand(9, 48, 64, 3, generator=torch.Generator().manual_seed(1))
    copy = frames.clone()
    track = track_of()
    for kind in KINDS:
        made = node.execute(track, vaes[name], kind, frames).args[0]
        assert torch.equal(made["samples"], vaes[name].encode(frames))
        assert made[PLACES] == ((0, 2) if name == "wan" else (0, 8))
    assert torch.equal(frames, copy)


def test_frames_of_another_size_are_fitted_as_keyframes_are(node, svd_vae, track_of):
    import comfy.utils

    frames = torch.rand(9, 70, 90, 3, generator=torch.Generator().manual_seed(1))
    fitted = comfy.utils.common_upscale(frames.movedim(-1, 1), 64, 48, "bilinear", "center").movedim(1, -1)
    made = node.execute(track_of(), svd_vae, "linear", frames).args[0]["samples"]
    torch.testing.assert_close(made, svd_vae.encode(fitted))


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_frames_become_colour(node, svd_vae, track_of, channels):
    frames = torch.rand(9, 48, 64, channels, generator=torch.Generator().manual_seed(1))
    colour = frames.repeat(1, 1, 1, 3) if channels == 1 else frames[..., :3]
    made = node.execute(track_of(), svd_vae, "linear", frames).args[0]["samples"]
    torch.testing.assert_close(made, svd_vae.encode(colour), atol=1e-3, rtol=1e-3)


def test_frames_need_no_keyframe(node, wan_vae, track_of):
    frames = torch.rand(9, 48, 64, 3, generator=torch.Generator().manual_seed(1))
    made = node.execute(track_of(()), wan_vae, "linear", frames).args[0]
    assert made[PLACES] == ()
    assert torch.equal(made["samples"], wan_vae.encode(frames))


# what it leaves alone, and refusals


@pytest.mark.parametrize("kind", KINDS)
def test_the_track_s_pictures_are_left_alone(node, wan_vae, track_of, kind):
    track = track_of()
    copies = [item.image.clone() for item in track.keyframes]
    node.execute(track, wan_vae, kind)
    for item, copy in zip(track.keyframes, copies, strict=True):
        assert torch.equal(item.image, copy)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("wan", {"length": 10}, "length 10 is not 4n.1; the nearest are 9 and 13. Change it in the Keyframes node"),
        ("wan", {"width": 60}, "width 60 is not a multiple of 8, as this vae needs; the nearest are 56 and 64"),
        ("wan_5b", {"height": 40}, "height 40 is not a multiple of 16, as this vae needs; the nearest are 32 and 48"),
        ("svd", {"height": 50}, "height 50 is not a multiple of 8, as this vae needs; the nearest are 48 and 56"),
        ("wan", {"width": 60, "height": 50, "length": 8}, r"width 60 .* height 50 .* length 8 .* nearest are 5 and 9"),
    ],
)
@pytest.mark.parametrize("kind", ["linear", "pixel"])
def test_a_size_or_length_off_the_grid_is_told_with_the_nearest(node, vaes, track_of, name, size, message, kind):
    with pytest.raises(ValueError, match=message):
        node.execute(track_of(**size), vaes[name], kind)


def test_a_picture_vae_takes_any_length(node, svd_vae, track_of):
    assert len(node.execute(track_of(length=10), svd_vae).args[0]["samples"]) == 10


@pytest.mark.parametrize("kind", KINDS)
def test_two_keyframes_in_one_latent_frame_are_refused(node, wan_vae, svd_vae, track_of, kind):
    track = track_of((0, 5, 7))
    message = "keyframes on frames 5 and 7 fall into one latent frame of 4 frames: put them at least 4 apart"
    with pytest.raises(ValueError, match=message):
        node.execute(track, wan_vae, kind)
    assert node.execute(track, svd_vae, kind).args[0][PLACES] == (0, 5, 7)


@pytest.mark.parametrize(
    ("name", "count", "message"),
    [
        ("wan", 17, r"frames has 17 pictures, the length in Keyframes is 9: make as many, or set length to 17 in Keyf"),
        ("wan", 8, r"frames has 8 pictures, the length in Keyframes is 9: make as many\.$"),
        ("svd", 8, r"frames has 8 pictures, the length in Keyframes is 9: make as many, or set length to 8 in Keyf"),
    ],
)
def test_another_number_of_frames_than_the_track_s_is_refused(node, vaes, track_of, name, count, message):
    """A length that the VAE could not take is not proposed."""
    with pytest.raises(ValueError, match=message):
        node.execute(track_of(), vaes[name], "linear", torch.zeros(count, 48, 64, 3))


def test_frames_that_are_no_pictures_are_refused(node, svd_vae, track_of):
    with pytest.raises(ValueError, match="frames has 2 channels; pictures have 1"):
        node.execute(track_of(), svd_vae, "linear", torch.zeros(9, 48, 64, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_no_keyframe_and_no_frames_is_refused(node, wan_vae, track_of, kind):
    message = "keyframes is empty and frames is open: connect first_image or last_image of Keyframes, or frames"
    with pytest.raises(ValueError, match=message):
        node.execute(track_of(()), wan_vae, kind)


def test_an_unknown_kind_is_named(node, wan_vae, track_of):
    with pytest.raises(ValueError, match="kind is 'warp', which it does not know: use linear, nearest, slerp or pixel"):
        node.execute(track_of(), wan_vae, "warp")

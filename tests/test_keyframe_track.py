"""KeyframeTrack: order, ends, reversal, and every way to ask for an impossible keyframe."""

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack, colour_frames, single_picture


def picture(value: float = 0.5, width: int = 4, height: int = 3) -> torch.Tensor:
    return torch.full((1, height, width, 3), value)


def track(length: int = 33, *frames: int) -> KeyframeTrack:
    made = KeyframeTrack(64, 48, length)
    for frame in frames:
        made = made.with_keyframe(Keyframe(frame, picture(), 1.0, f"picture {frame}"))
    return made


def test_keyframes_are_kept_in_order_of_time():
    assert [item.frame for item in track(33, 20, 0, 32, 7).keyframes] == [0, 7, 20, 32]


def test_negative_frames_count_from_the_end():
    made = track(33, -1, -33)
    assert made.first.source == "picture -33"
    assert made.last.source == "picture -1"


def test_a_new_keyframe_leaves_the_old_track_as_it_was():
    before = track(33, 0)
    before.with_keyframe(Keyframe(5, picture()))
    assert [item.frame for item in before.keyframes] == [0]


def test_reversal_mirrors_every_frame_and_is_its_own_inverse():
    made = track(33, 0, 5, 32)
    backwards = made.reversed()
    assert [(item.frame, item.source) for item in backwards.keyframes] == [
        (0, "picture 32"),
        (27, "picture 5"),
        (32, "picture 0"),
    ]
    assert [item.frame for item in backwards.reversed().keyframes] == [0, 5, 32]


def test_reversal_keeps_strength_source_and_picture():
    made = KeyframeTrack(64, 48, 33).with_keyframe(Keyframe(5, picture(0.2), 0.25, "mine", "alpha dropped"))
    back = made.reversed().keyframes[0]
    assert (back.frame, back.strength, back.source, back.change) == (27, 0.25, "mine", "alpha dropped")
    assert back.image is made.keyframes[0].image


def test_one_frame_has_a_first_and_no_last_keyframe():
    made = track(1, 0)
    assert made.first is not None
    assert made.last is None


@pytest.mark.parametrize("frame", [33, 100, -34])
def test_a_frame_outside_the_video_is_named_with_the_legal_range(frame):
    with pytest.raises(ValueError, match=rf"frame {frame} is outside a video of 33 frames: use 0 to 32, or -33 to -1"):
        track(33, frame)


def test_two_keyframes_on_one_frame_name_each_other_and_the_free_frames():
    with pytest.raises(
        ValueError, match=r"frame 32 already holds picture -1, so picture 32 .* nearest free frames are 31"
    ):
        track(33, -1, 32)


@pytest.mark.parametrize(
    ("frames", "taken", "free"),
    [
        ((5,), 5, "; the nearest free frames are 4 and 6"),
        ((4, 5), 5, "; the nearest free frames are 6"),
        ((1,), 1, "; the nearest free frames are 0 and 2"),
        ((0,), 0, "; the nearest free frames are 1"),
        ((32,), 32, "; the nearest free frames are 31"),
        ((4, 5, 6), 5, ""),
        ((0, 1), 0, ""),
        ((31, 32), 32, ""),
    ],
)
def test_the_free_frames_beside_a_taken_one_are_named_if_there_are_any(frames, taken, free):
    with pytest.raises(ValueError, match=rf"so picture {taken} cannot go there too{free}\.$"):
        track(33, *frames, taken)


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_strength_may_be_zero_or_one(strength):
    assert track().with_keyframe(Keyframe(3, picture(), strength)).keyframes[0].strength == strength


def test_of_two_pictures_for_one_frame_the_length_is_at_fault():
    track = KeyframeTrack(8, 8, 1).with_keyframe(Keyframe(0, torch.rand(1, 8, 8, 3), source="first_image"))
    with pytest.raises(ValueError, match="length is 1, and first_image is on its only frame, so last_image has no pl"):
        track.with_keyframe(Keyframe(-1, torch.rand(1, 8, 8, 3), source="last_image"))


def test_a_keyframe_is_what_it_was_made_and_equal_to_itself_alone():
    one = Keyframe(3, picture())
    assert (one.strength, one.source, one.change) == (1.0, "image", "")
    assert one != Keyframe(3, one.image) and track(33) != track(33)
    for made, name in ((one, "frame"), (track(33), "length")):
        with pytest.raises(AttributeError, match=name):
            setattr(made, name, 5)


def test_a_video_lasts_its_length_over_its_rate():
    assert KeyframeTrack(64, 48, 33, fps=16).seconds == 33 / 16
    assert KeyframeTrack(64, 48, 1).seconds == 1 / 16
    assert KeyframeTrack(64, 48, 3, fps=0.5).seconds == 6


@pytest.mark.parametrize("strength", [-0.1, 1.5])
def test_strength_outside_zero_to_one_is_refused(strength):
    with pytest.raises(ValueError, match="strength of image must be between 0 and 1"):
        track().with_keyframe(Keyframe(3, picture(), strength))


def test_length_and_fit_are_checked():
    with pytest.raises(ValueError, match="at least 1 frame, got 0"):
        KeyframeTrack(64, 48, 0)
    with pytest.raises(ValueError, match="fps must be above 0, got 0"):
        KeyframeTrack(64, 48, 33, fps=0)
    with pytest.raises(ValueError, match="crop, pad, stretch, got 'zoom'"):
        KeyframeTrack(64, 48, 33, fit="zoom")


def test_grey_and_alpha_pictures_become_rgb_and_say_so():
    grey, note = single_picture(torch.rand(1, 3, 4, 1), "image")
    assert grey.shape == (1, 3, 4, 3)
    assert note == "grey, repeated to RGB"
    source = torch.rand(1, 3, 4, 4)
    colour, note = single_picture(source, "image")
    torch.testing.assert_close(colour, source[..., :3])
    assert note == "alpha dropped"
    assert single_picture(picture(), "image")[1] == ""
    several = torch.rand(2, 3, 4, 1)
    torch.testing.assert_close(colour_frames(several, "images")[0], torch.cat([several] * 3, dim=-1))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 4, 4, 3), "first_image is a batch of 3 images, a keyframe is exactly 1"),
        (torch.zeros(0, 4, 4, 3), "first_image is a batch of 0 images"),
        (torch.zeros(1, 4, 4, 2), "first_image has 2 channels"),
        (torch.zeros(4, 4, 3), r"shape \[4, 4, 3\]"),
        (torch.full((1, 4, 4, 3), float("nan")), "first_image has pixels that are not numbers"),
    ],
)
def test_bad_pictures_are_named(image, message):
    with pytest.raises(ValueError, match=message):
        single_picture(image, "first_image")

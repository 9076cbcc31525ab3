"""Match Keyframes and Join Segments on the host: through its executor, its video, with progress and cancel."""

import asyncio
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
TINT = torch.tensor([0.06, -0.02, -0.05])


@pytest.fixture(scope="module")
def finish(host):
    """The module of both nodes."""
    from pack.nodes import finish

    return finish


@pytest.fixture
def track(host, pictures):
    """64x48, 30 frames; the keyframes are larger than the video and are cropped to it."""
    from pack.nodes.keyframes import Keyframes

    return Keyframes.execute(64, 48, 30, 16.0, "crop", pictures(1, 96, 64), pictures(2, 96, 64)).args[0]


@pytest.fixture
def right(track):
    """The first fitted keyframe for 20 frames, then a way to the last one."""
    from pack.frames.fit_host import fitted_pictures

    first, last = fitted_pictures(track)
    return torch.stack([torch.lerp(first, last, max(0, n - 19) / 10) for n in range(30)])


@pytest.fixture
def progress(host):
    """What the host's progress bars show from now on: (value, total)."""
    import comfy.utils

    seen = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, **options: seen.append((value, total)))
    yield seen
    comfy.utils.set_progress_bar_global_hook(None)


@pytest.fixture
def cancelled(host):
    """Presses cancel; the request does not outlive the test."""
    import comfy.model_management as management

    yield management.interrupt_current_processing
    management.interrupt_current_processing(False)


# Match Keyframes


def test_a_video_that_shows_the_fitted_keyframes_comes_out_as_it_is(finish, track, right):
    images, report = finish.MatchKeyframes.execute(right, track).args
    assert images is right
    assert "frame 0 (first_image): off by L +0.0" in report
    assert "frame 29 (last_image): off by L +0.0" in report


def test_the_tint_of_the_frames_at_the_first_keyframe_falls(finish, track, right):
    images, report = finish.MatchKeyframes.execute((right + TINT).clamp(0, 1), track, reach=6).args
    error = (images - right).abs().mean(dim=(1, 2, 3))
    before = ((right + TINT).clamp(0, 1) - right).abs().mean(dim=(1, 2, 3))
    assert (error[[0, 1, 29]] < 0.2 * before[[0, 1, 29]]).all()
    assert torch.equal(images[7:23], (right + TINT).clamp(0, 1)[7:23])
    assert "frame 0 (first_image): off by" in report


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_pins_are_the_keyframes_as_the_track_fits_them(finish, track, right, fit):
    from dataclasses import replace

    from pack.frames.fit_host import fitted_picture

    other = replace(track, fit=fit)
    images, report = finish.MatchKeyframes.execute(right, other, 0.0, 12, True).args
    for keyframe in other.keyframes:
        assert torch.equal(images[keyframe.frame], fitted_picture(keyframe, other)[0])
    assert torch.equal(images[1:29], right[1:29])
    assert "frame 29 (last_image, pinned)" in report


def test_strength_0_is_off(finish, track, right):
    video = (right + TINT).clamp(0, 1)
    assert finish.MatchKeyframes.execute(video, track, strength=0.0).args[0] is video


def test_matching_shows_progress_and_can_be_cancelled(finish, track, right, progress, cancelled):
    import comfy.model_management as management

    video = (right + TINT).clamp(0, 1)
    finish.MatchKeyframes.execute(video, track, reach=3)
    assert (30, 30) in progress
    assert progress[-1] == (8, 8)
    cancelled()
    with pytest.raises(management.InterruptProcessingException):
        finish.MatchKeyframes.execute(video, track)


def test_a_video_of_another_length_is_refused(finish, track, right):
    with pytest.raises(ValueError, match="images has 29 frames, the length in Keyframes is 30"):
        finish.MatchKeyframes.execute(right[1:], track)


# Join Segments


def test_joined_segments_are_images_a_video_and_their_number(finish, right):
    segments = {"segment_1": right[:12], "segment_2": right[11:]}
    images, video, count, report = finish.JoinSegments.execute(segments, 1, 0, 23.976).args
    assert torch.equal(images, right)
    assert count == 30
    components = video.get_components()
    assert components.images is images
    assert components.audio is None
    assert components.frame_rate == Fraction(24000, 1001)
    assert report.startswith("2 segments, overlap 1, blend 0: 30 frames of 64x48, 23.976 fps (24000/1001)")


def test_the_video_is_written_as_the_host_writes_its_own(finish, host, right):
    import av

    segments = {"segment_1": right[:12], "segment_2": right[11:]}
    own = host.NODE_CLASS_MAPPINGS["CreateVideo"].execute(right, 16.0).args[0]
    decoded = []
    for video in (finish.JoinSegments.execute(segments).args[1], own):
        file = BytesIO()
        video.save_to(file)
        file.seek(0)
        with av.open(file) as opened:
            assert opened.streams.video[0].average_rate == 16
            decoded.append([frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)])
    assert len(decoded[0]) == 30
    assert all((one == other).all() for one, other in zip(*decoded, strict=True))


@pytest.mark.parametrize(("height", "width", "even"), [(47, 64, "64x46"), (48, 63, "62x48")])
def test_a_side_of_odd_length_is_told_when_the_video_is_saved(finish, right, height, width, even):
    cut = right[:, :height, :width]
    images, video, *_ = finish.JoinSegments.execute({"segment_1": cut}).args
    assert torch.equal(images, cut)
    with pytest.raises(ValueError, match=f"the joined video is {width}x{height}, and a video file needs even .*{even}"):
        video.save_to(BytesIO())


def test_joining_shows_progress_and_can_be_cancelled(finish, right, progress, cancelled):
    import comfy.model_management as management

    segments = {"segment_1": right, "segment_2": right}
    finish.JoinSegments.execute(segments, overlap=2)
    assert progress[-1] == (60 + 57, 60 + 57)  # frames that are written, then steps of the result
    cancelled()
    with pytest.raises(management.InterruptProcessingException):
        finish.JoinSegments.execute(segments)


def test_segments_of_other_sizes_are_refused(finish, right):
    with pytest.raises(ValueError, match="segment_2 is 48x48, segment_1 is 64x48"):
        finish.JoinSegments.execute({"segment_1": right, "segment_2": right[:, :, :48]})


def test_slots_are_numbered_from_one_and_open_one_by_one(finish):
    kind, options = finish.JoinSegments.INPUT_TYPES()["required"]["segments"]
    assert kind == "COMFY_AUTOGROW_V3"
    assert options["template"]["names"] == [f"segment_{number}" for number in range(1, 51)]
    assert options["template"]["min"] == 0  # else the first could not be muted


def test_two_runs_give_the_same(finish, track, right):
    video = (right + TINT).clamp(0, 1)
    first, again = (finish.MatchKeyframes.execute(video, track, pin_keyframes=True).args for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert first[1] == again[1]
    segments = {"segment_1": right, "segment_2": video}
    first, again = (finish.JoinSegments.execute(segments, 3, 2).args for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert first[2:] == again[2:]


# through the host's executor


@pytest.fixture
def run(host, monkeypatch):
    """The texts that a prompt's PreviewAny nodes show, as the host's own validation and executor give them."""
    import execution
    from server import PromptServer

    monkeypatch.setattr(host, "NODE_CLASS_MAPPINGS", dict(host.NODE_CLASS_MAPPINGS))
    assert asyncio.run(host.load_custom_node(str(ROOT)))

    def texts(prompt):
        valid, _, outputs, node_errors = asyncio.run(execution.validate_prompt("test", prompt, None))
        if not valid:
            return node_errors
        with torch.inference_mode(False):
            executor = execution.PromptExecutor(
                PromptServer.instance, cache_args={"lru": 0, "ram": 0.0, "ram_inactive": 0.0}
            )
            executor.execute(prompt, "test", {}, outputs)
        if not executor.success:
            return executor.status_messages[-1][1]["exception_message"]
        return {name: shown["text"][0] for name, shown in executor.history_result["outputs"].items()}

    return texts


def prompt_for(segments: dict[str, str]) -> dict:
    """Segments of one colour and of 2, 3 and 4 frames, joined, and the result matched to a black first frame."""
    images = {
        name: {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 48, "batch_size": frames, "color": colour},
        }
        for name, frames, colour in (("one", 1, 0), ("two", 2, 0), ("three", 3, 0x808080), ("four", 4, 0xFFFFFF))
    }
    join = {
        "class_type": "InbetweenJoinSegments",
        "inputs": {"overlap": 0, "blend": 0, "fps": 16.0}
        | {f"segments.{slot}": [name, 0] for slot, name in segments.items()},
    }
    track = {"width": 64, "height": 48, "length": ["join", 2], "fps": 16.0, "fit": "crop", "first_image": ["one", 0]}
    match = {"images": ["join", 0], "keyframes": ["keyframes", 0], "strength": 1.0, "reach": 12, "pin_keyframes": False}
    parts = {
        "join": join,
        "keyframes": {"class_type": "InbetweenKeyframes", "inputs": track},
        "match": {"class_type": "InbetweenMatchKeyframes", "inputs": match},
    }
    shown = {
        name: {"class_type": "PreviewAny", "inputs": {"source": source}}
        for name, source in (("count", ["join", 2]), ("joined", ["join", 3]), ("matched", ["match", 1]))
    }
    return images | parts | shown


def test_segments_arrive_in_the_order_of_their_slots_whatever_the_order_in_the_prompt(run):
    found = run(prompt_for({"segment_10": "four", "segment_3": "three", "segment_1": "two"}))
    assert found["count"] == "9"
    lines = found["joined"].splitlines()
    assert lines[0].startswith("3 segments, overlap 0, blend 0: 9 frames of 64x48, 16 fps")
    assert lines[1].startswith("segment_1 to segment_3 at frame 2: jump 128.00/255")
    assert lines[2].startswith("segment_3 to segment_10 at frame 5: jump 127.00/255")
    assert found["matched"].startswith("9 frames, 64x48")
    assert "frame 0 (first_image): off by L +0.0" in found["matched"]


def test_the_first_segment_may_be_muted(run):
    found = run(prompt_for({"segment_2": "two", "segment_4": "three"}))
    assert found["count"] == "5"
    assert found["joined"].splitlines()[1].startswith("segment_2 to segment_4 at frame 2: jump 128.00/255")


def test_without_a_segment_the_node_says_so(run):
    assert "segments is empty: connect a video to segment_1, or turn on the nodes before it" in run(prompt_for({}))


def test_a_list_from_a_loop_in_one_slot_is_as_many_segments(run):
    """A batch of four and three frames, split by the host's node into a list of four and three."""
    prompt = prompt_for({"segment_1": "two", "segment_2": "loop"})
    names = {"images.image0": ["four", 0], "images.image1": ["three", 0]}
    prompt |= {
        "both": {"class_type": "BatchImagesNode", "inputs": names},
        "loop": {"class_type": "RebatchImages", "inputs": {"images": ["both", 0], "batch_size": 4}},
    }
    found = run(prompt)
    assert found["count"] == "9"
    lines = found["joined"].splitlines()
    assert lines[0].startswith("3 segments, overlap 0, blend 0: 9 frames")
    assert lines[1].startswith("segment_1 to segment_2 (1) at frame 2: jump 255.00/255")
    assert lines[2].startswith("segment_2 (1) to segment_2 (2) at frame 6: jump 127.00/255")


def test_a_bypassed_segment_is_asked_about(run):
    """Its picture goes through: of its own size, and with an overlap too short as well."""
    prompt = prompt_for({"segment_1": "picture", "segment_2": "three"})
    prompt["picture"] = {"class_type": "EmptyImage", "inputs": {"width": 90, "height": 60, "batch_size": 1, "color": 0}}
    assert "segment_1 has one frame; is it bypassed? Turn it on, or mute it to leave it out." in run(prompt)
    prompt["picture"]["inputs"] |= {"width": 64, "height": 48}
    assert "segment_1 has one frame; is it bypassed?" in run(prompt)["joined"]
    prompt["join"]["inputs"]["overlap"] = 1
    assert "segment_1 has one frame; is it bypassed? Turn it on" in run(prompt)


def test_settings_of_a_loop_that_agree_are_one_and_others_are_refused(finish, right):
    segments = {"segment_1": [right[:12], right[11:]]}
    assert torch.equal(finish.JoinSegments.execute(segments, [1, 1], [0], [16.0, 16.0]).args[0], right)
    with pytest.raises(ValueError, match="overlap is a list of 2 different values: connect one, which holds for all"):
        finish.JoinSegments.execute(segments, [1, 2])

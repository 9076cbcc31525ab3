"""Pick Best Take and Compare Videos on the host: through its executor, with LPIPS, with progress and cancel."""

import asyncio
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def evaluate(host):
    """The module of both nodes."""
    from pack.nodes import evaluate

    return evaluate


@pytest.fixture
def track(host, pictures):
    """64x48, 9 frames; the keyframes are larger than the video and are cropped to it."""
    from pack.nodes.keyframes import Keyframes

    return Keyframes.execute(64, 48, 9, 16.0, "crop", pictures(1, 96, 64), pictures(2, 96, 64)).args[0]


@pytest.fixture
def take(track):
    """A way between the fitted keyframes, with a flash on a frame."""
    from pack.frames.fit_host import fitted_pictures

    def make(flash=None, size=0.3):
        first, last = fitted_pictures(track)
        frames = torch.stack([torch.lerp(first, last, n / 8) for n in range(9)])
        if flash is not None:
            frames[flash] = (frames[flash] + size).clamp(0, 1)
        return frames

    return make


@pytest.fixture(scope="module")
def lpips(host, models_folder):
    """LPIPS with random weights of SqueezeNet, through its node."""
    from pack.frames.lpips_host import random_network
    from pack.nodes.anchors import LoadLPIPS

    torch.manual_seed(4)
    weights = {
        "features" + key[key.index(".") :]: value for key, value in random_network("squeeze").net.state_dict().items()
    }
    folder = models_folder / "lpips"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "evaluate.safetensors")
    return LoadLPIPS.execute("evaluate.safetensors").args[0]


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


# Pick Best Take


def test_the_best_take_is_the_very_tensor_that_came(evaluate, track, take):
    takes = {"take_1": take(flash=7), "take_2": take(), "take_3": take(flash=3)}
    images, index, plot, report = evaluate.PickBest.execute(takes, track).args
    assert images is takes["take_2"]
    assert index == 2
    assert plot.shape == (1, 600, 1000, 3)
    assert report.startswith("Best: take_2 of 3 takes")
    assert "1-SSIM, mean over 2 keyframes" in report


def test_keyframes_are_fitted_as_the_track_says(evaluate, track, take):
    """A take that shows the cropped keyframes is at no distance from them."""
    report = evaluate.PickBest.execute({"take_1": take()}, track).args[3]
    assert "keyframe distance 0.0000" in report


def test_lpips_measures_the_keyframes(evaluate, track, take, lpips):
    from pack.frames.fit_host import fitted_pictures

    made = take(flash=8)
    report = evaluate.PickBest.execute({"take_1": made}, track, lpips).args[3]
    first, last = (
        float(lpips.adjacent(torch.stack([made[frame], picture])))
        for frame, picture in zip((0, 8), fitted_pictures(track), strict=True)
    )
    assert "LPIPS (SqueezeNet 1.1), mean over 2 keyframes" in report
    assert f"keyframe distance {(first + last) / 2:.4f}" in report
    assert last > 0


def test_takes_show_progress_and_can_be_cancelled(evaluate, track, take, progress, cancelled):
    import comfy.model_management as management

    takes = {"take_1": take(), "take_2": take(flash=7)}
    evaluate.PickBest.execute(takes, track)
    assert (18, 18) in progress  # frames of both takes
    assert progress[-1] == (4, 4)  # frames on keyframes
    cancelled()
    with pytest.raises(management.InterruptProcessingException):
        evaluate.PickBest.execute(takes, track)


def test_a_track_without_keyframes_is_refused(evaluate, take):
    from pack.frames.keyframe_track import KeyframeTrack

    with pytest.raises(ValueError, match="keyframes is empty"):
        evaluate.PickBest.execute({"take_1": take()}, KeyframeTrack(64, 48, 9))


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


def picture(colour: int, frames: int = 1) -> dict:
    return {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 48, "batch_size": frames, "color": colour},
    }


def prompt_for(takes: dict[str, list]) -> dict:
    """Black to white in three frames, and takes from 'grey' (half-way between) and 'white' (there at once)."""
    inputs = {"width": 64, "height": 48, "length": 3, "fps": 16.0, "fit": "crop"}
    images = {"black": picture(0), "half": picture(0x808080), "full": picture(0xFFFFFF)}
    grey, white = (
        {"class_type": "BatchImagesNode", "inputs": {f"images.image{n}": [name, 0] for n, name in enumerate(names)}}
        for names in (("black", "half", "full"), ("black", "full", "full"))
    )
    keyframes = {
        "class_type": "InbetweenKeyframes",
        "inputs": inputs | {"first_image": ["black", 0], "last_image": ["full", 0]},
    }
    pick = {"class_type": "InbetweenPickBest", "inputs": {"keyframes": ["keyframes", 0], **takes}}
    shown = {
        name: {"class_type": "PreviewAny", "inputs": {"source": ["pick", slot]}}
        for name, slot in (("index", 1), ("report", 3))
    }
    return images | {"grey": grey, "white": white, "keyframes": keyframes, "pick": pick} | shown


def test_takes_arrive_from_the_host_with_the_numbers_of_their_slots(run):
    found = run(prompt_for({"takes.take_1": ["white", 0], "takes.take_3": ["grey", 0]}))
    assert found["index"] == "3"
    assert found["report"].startswith("Best: take_3")
    assert "take_2" not in found["report"]


def test_the_first_take_may_be_muted(run):
    found = run(prompt_for({"takes.take_2": ["white", 0], "takes.take_4": ["grey", 0]}))
    assert found["index"] == "4"
    assert found["report"].startswith("Best: take_4 of 2 takes")


def test_without_a_take_the_node_says_so(run):
    assert "takes is empty: connect at least one take, or turn on the nodes before it" in run(prompt_for({}))


def test_a_list_from_a_loop_in_one_slot_is_as_many_takes(run):
    """Two takes of three frames in one batch, split by the host's node into a list of two."""
    prompt = prompt_for({"takes.take_1": ["loop", 0]})
    names = {"images.image0": ["white", 0], "images.image1": ["grey", 0]}
    prompt |= {
        "both": {"class_type": "BatchImagesNode", "inputs": names},
        "loop": {"class_type": "RebatchImages", "inputs": {"images": ["both", 0], "batch_size": 3}},
    }
    found = run(prompt)
    assert found["index"] == "2"
    assert found["report"].startswith("Best: take_1 (2) of 2 takes")


def test_tracks_that_differ_are_refused(evaluate, track, take):
    from pack.frames.keyframe_track import KeyframeTrack

    assert evaluate.PickBest.execute({"take_1": [take()]}, [track, track], [None]).args[1] == 1
    with pytest.raises(ValueError, match="keyframes is a list of 2 different values: connect one"):
        evaluate.PickBest.execute({"take_1": [take()]}, [track, KeyframeTrack(64, 48, 9)], [None])


def test_slots_are_numbered_from_one_and_open_one_by_one(evaluate):
    kind, options = evaluate.PickBest.INPUT_TYPES()["required"]["takes"]
    assert kind == "COMFY_AUTOGROW_V3"
    assert options["template"]["names"][:2] == ["take_1", "take_2"]
    assert options["template"]["min"] == 0  # else the first could not be muted
    assert len(options["template"]["names"]) == 50


def test_a_comparison_runs_on_the_host(run):
    compare = {"class_type": "InbetweenCompareVideos", "inputs": {"images": ["grey", 0], "reference": ["white", 0]}}
    scores = {"class_type": "PreviewAny", "inputs": {"source": ["compare", 2]}}
    prompt = prompt_for({"takes.take_1": ["grey", 0]}) | {"compare": compare, "scores": scores}
    found = json.loads(run(prompt)["scores"])
    assert (found["frames"], found["width"], found["height"]) == (3, 64, 48)
    assert found["identical_frames"] == [0, 2]
    assert found["psnr"]["mean"] == pytest.approx(-20 * torch.tensor(1 - 128 / 255).log10().item(), abs=1e-4)


# Compare Videos


def test_lpips_is_in_the_scores_and_the_same_whatever_fits_at_once(evaluate, lpips):
    images, reference = torch.rand(2, 11, 48, 64, 3, generator=torch.Generator().manual_seed(5))
    plot, report, scores = evaluate.CompareVideos.execute(images, reference, lpips).args
    found = json.loads(scores)
    single = [float(lpips.between(images[n, None], reference[n, None])) for n in range(11)]
    assert found["lpips"]["network"] == "LPIPS (SqueezeNet 1.1)"
    assert found["lpips"]["per_frame"] == pytest.approx(single, abs=2e-6)
    assert plot.shape[0] == 1
    assert "LPIPS (SqueezeNet 1.1) (0 is identical): mean" in report


def test_a_comparison_shows_progress_and_can_be_cancelled(evaluate, lpips, progress, cancelled):
    import comfy.model_management as management

    images, reference = torch.rand(2, 9, 48, 64, 3)
    evaluate.CompareVideos.execute(images, reference, lpips)
    assert progress.count((9, 9)) == 3
    cancelled()
    with pytest.raises(management.InterruptProcessingException):
        evaluate.CompareVideos.execute(images, reference)


def test_videos_of_other_sizes_are_refused(evaluate):
    with pytest.raises(ValueError, match="images is 64x48, reference is 48x64"):
        evaluate.CompareVideos.execute(torch.rand(2, 48, 64, 3), torch.rand(2, 64, 48, 3))


def test_two_runs_give_the_same(evaluate, track, take):
    for node, inputs in (
        (evaluate.PickBest, ({"take_1": take(), "take_2": take(7)}, track)),
        (evaluate.CompareVideos, (take(), take(7))),
    ):
        first, again = node.execute(*inputs).args, node.execute(*inputs).args
        for one, other in zip(first, again, strict=True):
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other

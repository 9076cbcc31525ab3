"""InbetweenReverseCandidates: equal to the host's own nodes, early stops, cancel, cost, and refusals."""

import pytest
import torch

from pack.frames.keyframe_track import Keyframe, KeyframeTrack


@pytest.fixture(scope="module")
def node(host):
    from pack.nodes.anchors import ReverseCandidates

    return ReverseCandidates


@pytest.fixture
def parts(host, load_wan, wan_vae, prompts, pictures):
    """What a graph connects: noise, guider, sampler, latent of a reversed track; sigmas of any length."""
    from pack.nodes.conditioning import WanConditioning

    track = KeyframeTrack(32, 32, 17).with_keyframe(Keyframe(0, pictures(1, 32, 32)))
    track = track.with_keyframe(Keyframe(-1, pictures(2, 32, 32))).reversed()
    model = load_wan("i2v_14b")
    positive, negative, latent, _ = WanConditioning.execute(prompts.positive, prompts.negative, wan_vae, track).args
    mappings = host.NODE_CLASS_MAPPINGS
    return {
        "noise": mappings["RandomNoise"].execute(5).args[0],
        "guider": mappings["CFGGuider"].execute(model, positive, negative, 3.0).args[0],
        "sampler": mappings["KSamplerSelect"].execute("euler").args[0],
        "sigmas": mappings["BasicScheduler"].execute(model, "simple", 10, 1.0).args[0],
        "latent_image": latent,
        "vae": wan_vae,
    }


class Calls:
    """Counts evaluations of the diffusion model through the host's own wrapper hook; may act during one of them."""

    def __init__(self, guider, at_call=0, do=None):
        import comfy.patcher_extension

        self.count, self._at_call, self._do = 0, at_call, do
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        guider.model_patcher.add_wrapper_with_key(kind, "test.calls", self._count)

    def _count(self, executor, *arguments, **options):
        self.count += 1
        if self.count == self._at_call:
            self._do()
        return executor(*arguments, **options)


@pytest.mark.parametrize("stop", [1, 3, 10, 0])
def test_equals_split_sigmas_then_the_sampler_s_clean_output_then_decode(node, host, parts, stop):
    frames, latent, report = node.execute(**parts, stop_step=stop).args
    expected, clean = chained(host, parts, stop or 10)
    assert torch.equal(frames, expected)
    assert torch.equal(latent["samples"], clean["samples"])
    assert set(latent) == set(clean)
    assert frames.shape == (17, 32, 32, 3)
    assert f"17 candidate frames, 32x32, after {stop or 10} of 10 steps" in report


@pytest.mark.parametrize(("steps", "stop", "share"), [(10, 3, "30 %"), (4, 4, "all")])
def test_minus_one_is_the_default_and_says_what_it_chose(node, host, parts, steps, stop, share):
    schedule = host.NODE_CLASS_MAPPINGS["BasicScheduler"]
    sigmas = schedule.execute(parts["guider"].model_patcher, "simple", steps, 1.0).args[0]
    calls = Calls(parts["guider"])
    frames, _, report = node.execute(**{**parts, "sigmas": sigmas}).args
    assert calls.count == stop
    assert f"after {stop} of {steps} steps ({share}, as stop_step -1 chooses). Noise level" in report
    assert f"Cost: {stop} model calls, each doing the work of two (prompt and negative prompt), and one" in report
    assert f"a run of all {steps} steps behind it, {1 + stop / steps:.3g} times that run." in report
    explicit = node.execute(**{**parts, "sigmas": sigmas}, stop_step=stop).args
    assert torch.equal(frames, explicit[0])
    assert f"after {stop} of {steps} steps. Noise level" in explicit[2]


def chained(host, parts, stop):
    """The host's own nodes for the same thing: (frames, clean latent)."""
    mappings = host.NODE_CLASS_MAPPINGS
    high = mappings["SplitSigmas"].execute(parts["sigmas"], stop).args[0]
    arguments = {key: value for key, value in parts.items() if key not in ("vae", "sigmas")}
    clean = mappings["SamplerCustomAdvanced"].execute(**arguments, sigmas=high).args[1]
    return mappings["VAEDecode"]().decode(parts["vae"], clean)[0], clean


def test_a_batch_of_two_equals_the_host_s(node, host, parts):
    two = {**parts, "latent_image": {"samples": parts["latent_image"]["samples"].repeat(2, 1, 1, 1, 1)}}
    frames = node.execute(**two, stop_step=2).args[0]
    expected, _ = chained(host, two, 2)
    assert frames.shape == (34, 32, 32, 3)
    assert torch.equal(frames, expected)


def test_the_5b_model_s_noise_mask_is_kept(node, host, load_wan, vae_5b, prompts, pictures, parts):
    from pack.nodes.conditioning import WanConditioning

    track = KeyframeTrack(64, 32, 17).with_keyframe(Keyframe(0, pictures(1, 64, 32)))
    track = track.with_keyframe(Keyframe(-1, pictures(2, 64, 32))).reversed()
    model = load_wan("ti2v_5b")
    positive, negative, latent, _ = WanConditioning.execute(prompts.positive, prompts.negative, vae_5b, track).args
    guider = host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(model, positive, negative, 3.0).args[0]
    masked = {**parts, "guider": guider, "latent_image": latent, "vae": vae_5b}
    frames, clean, _ = node.execute(**masked, stop_step=2).args
    expected, theirs = chained(host, masked, 2)
    assert torch.equal(frames, expected)
    assert torch.equal(clean["noise_mask"], theirs["noise_mask"])
    torch.testing.assert_close(clean["samples"][:, :, [0, 4]], latent["samples"][:, :, [0, 4]], atol=1e-5, rtol=0)


def test_a_sampler_that_never_calls_back_equals_the_host_s(node, host, parts):
    import comfy.samplers

    class Silent(comfy.samplers.Sampler):
        def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, *rest, **options):
            return noise * 0.1

    silent = {**parts, "sampler": Silent()}
    frames = node.execute(**silent, stop_step=2).args[0]
    expected, _ = chained(host, silent, 2)
    assert torch.equal(frames, expected)


def test_a_wan_that_would_not_see_the_keyframes_is_named(node, host, load_wan, parts):
    """Told here as well as in Keyframes to Wan, where the model is an optional input."""
    conds = parts["guider"].original_conds
    plain = [[entry["cross_attn"], dict(entry)] for entry in conds["positive"]]
    for kind, message in (("t2v", "a Wan without condition channels"), ("i2v", "clip_vision is missing")):
        guider = host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(load_wan(kind), plain, plain, 3.0).args[0]
        with pytest.raises(ValueError, match=message):
            node.execute(**{**parts, "guider": guider}, stop_step=2)


def test_a_level_decides_over_the_step(node, parts):
    level = float(parts["sigmas"][4])
    by_level = node.execute(**parts, stop_step=1, stop_sigma=level).args
    by_step = node.execute(**parts, stop_step=4).args
    assert torch.equal(by_level[0], by_step[0])
    assert by_level[2] == by_step[2]


def test_two_runs_are_equal_and_inputs_are_left_as_found(node, parts):
    latent = parts["latent_image"]
    before = {key: value.clone() for key, value in latent.items()}
    first, again = (node.execute(**parts, stop_step=3).args for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1]["samples"], again[1]["samples"])
    assert first[2] == again[2]
    assert latent.keys() == before.keys()
    assert all(torch.equal(latent[key], before[key]) for key in before)


def test_the_model_is_called_once_per_step_and_no_more(node, parts):
    calls = Calls(parts["guider"])
    node.execute(**parts, stop_step=3)
    assert calls.count == 3


def test_progress_is_reported_for_every_step(node, parts):
    import comfy.utils

    seen = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, **options: seen.append((value, total)))
    try:
        node.execute(**parts, stop_step=3)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert [item for item in seen if item[1] == 3][-1] == (3, 3)


def test_cancel_stops_within_one_model_call_and_the_next_run_is_whole(node, parts):
    import comfy.model_management as management

    expected = node.execute(**parts, stop_step=3).args[0]
    calls = Calls(parts["guider"], at_call=2, do=management.interrupt_current_processing)
    with pytest.raises(management.InterruptProcessingException):
        node.execute(**parts, stop_step=8)
    assert calls.count == 2  # the cancel came during the second call; a third was not made
    assert not management.processing_interrupted()
    assert torch.equal(node.execute(**parts, stop_step=3).args[0], expected)


def test_after_a_run_that_ran_out_of_memory_the_next_is_whole(node, parts, host):
    import comfy.model_management as management

    expected = node.execute(**parts, stop_step=3).args[0]

    def fail():
        raise management.OOM_EXCEPTION("out of memory")

    calls = Calls(parts["guider"], at_call=2, do=fail)
    with pytest.raises(management.OOM_EXCEPTION):
        node.execute(**parts, stop_step=8)
    assert calls.count == 2
    assert torch.equal(node.execute(**parts, stop_step=3).args[0], expected)


def test_a_latent_of_another_length_or_size_than_the_conditioning_is_named(node, parts):
    calls = Calls(parts["guider"])
    for shape, given in (((1, 16, 4, 4, 4), "4 latent frames of 4x4"), ((1, 16, 5, 4, 6), "5 latent frames of 6x4")):
        with pytest.raises(
            ValueError, match=f"latent_image has {given}, the conditioning was made for 5 latent frames of 4x4: connect"
        ):
            node.execute(**{**parts, "latent_image": {"samples": torch.zeros(shape)}}, stop_step=3)
    assert calls.count == 0


def test_a_vae_of_hunyuanvideo_with_as_many_channels_is_named_before_sampling(node, parts):
    from comfy.ldm.models.autoencoder import AutoencodingEngine

    class HunyuanVAE:
        latent_channels, latent_dim = 16, 3
        first_stage_model = AutoencodingEngine.__new__(AutoencodingEngine)

    calls = Calls(parts["guider"])
    with pytest.raises(ValueError, match="vae is of HunyuanVideo, the model is Wan: .* load wan_2.1_vae or wan2.2_vae"):
        node.execute(**{**parts, "vae": HunyuanVAE()}, stop_step=3)
    assert calls.count == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stop_step": 11}, "stop_step 11 is above the 10 steps of sigmas: use 1 to 10, 0 for all, or -1"),
        ({"sigmas": torch.ones(1)}, "sigmas has no step"),
        ({"stop_step": -2}, "stop_step is -2: use a whole number from -1"),
        ({"stop_sigma": float("nan")}, "stop_sigma is NaN, which is no number"),
        ({"stop_sigma": 1.5}, "stop_sigma 1.5 is outside this schedule"),
        ({"latent_image": {"samples": torch.ones(1, 48, 5, 2, 2)}}, "latent_image has 48 channels, .* latents have 16"),
        ({"latent_image": {"samples": torch.ones(1, 16, 8, 8)}}, r"latent_image is a picture's latent \(1x16x8x8\)"),
    ],
)
def test_bad_input_is_named(node, parts, change, message):
    with pytest.raises(ValueError, match=message):
        node.execute(**{**parts, "stop_step": 3, **change})


def test_a_vae_of_another_family_is_named_before_sampling(node, parts, vae_5b):
    calls = Calls(parts["guider"])
    with pytest.raises(ValueError, match="vae has 48 latent channels, this model makes 16"):
        node.execute(**{**parts, "vae": vae_5b}, stop_step=3)
    assert calls.count == 0


def test_a_model_that_is_not_a_video_model_is_named(node, parts):
    class Guider:
        class model_patcher:  # noqa: N801
            model = torch.nn.Identity()

    with pytest.raises(ValueError, match="the guider's model is Identity; reverse candidates need Wan"):
        node.execute(**{**parts, "guider": Guider()}, stop_step=3)

"""Anchor Frame Bridging from end to end on a random Wan, node after node, and what it costs."""

import pytest
import torch

STEPS, STOP, LENGTH = 50, 15, 17


@pytest.fixture
def graph(host, load_wan, wan_vae, prompts, pictures):
    """Runs the plain graph or the AFB graph and returns its outputs and the number of model calls."""
    import comfy.patcher_extension

    from pack.nodes import anchors, conditioning, keyframes

    mappings = host.NODE_CLASS_MAPPINGS

    def run(bridge: bool):
        model = load_wan("i2v_14b").clone()
        calls = []
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL

        def count(executor, *arguments, **options):
            calls.append(1)
            return executor(*arguments, **options)

        model.add_wrapper_with_key(kind, "test.calls", count)
        first, last = pictures(1, 32, 32), pictures(2, 32, 32)
        track = keyframes.Keyframes.execute(32, 32, LENGTH, 16.0, "crop", first, last).args[0]
        noise = mappings["RandomNoise"].execute(11).args[0]
        sampler = mappings["KSamplerSelect"].execute("euler").args[0]
        sigmas = mappings["BasicScheduler"].execute(model, "simple", STEPS, 1.0).args[0]

        def condition(of_track):
            made = conditioning.WanConditioning.execute(prompts.positive, prompts.negative, wan_vae, of_track).args
            return mappings["CFGGuider"].execute(model, made[0], made[1], 5.0).args[0], made[2]

        selected = None
        if bridge:
            backwards = keyframes.ReverseKeyframes.execute(track).args[0]
            guider, latent = condition(backwards)
            found = anchors.ReverseCandidates.execute(noise, guider, sampler, sigmas, latent, wan_vae, STOP).args
            selected = anchors.SelectAnchors.execute(track, found[0], margin=4).args
            track = selected[0]
        guider, latent = condition(track)
        video = mappings["SamplerCustomAdvanced"].execute(noise, guider, sampler, sigmas, latent).args[0]
        return mappings["VAEDecode"]().decode(wan_vae, video)[0], selected, len(calls)

    return run


def test_fifteen_of_fifty_steps_cost_thirty_percent_more_model_calls(graph):
    _, _, plain = graph(bridge=False)
    frames, selected, bridged = graph(bridge=True)
    assert plain == STEPS
    assert bridged / plain == pytest.approx(1.30)
    assert frames.shape == (LENGTH, 32, 32, 3)
    track, pictures, where, alpha, plot, report = selected
    assert [item.frame for item in track.keyframes] == [0, where, LENGTH - 1]
    assert 4 <= where <= LENGTH - 5
    assert alpha == where / (LENGTH - 1)
    assert pictures.shape == (1, 32, 32, 3)
    assert plot.shape == (1, 600, 1200, 3)
    assert f"frame {where}" in report


def test_scoring_without_weights_shows_progress_and_can_be_cancelled(host, pictures):
    import comfy.model_management as management
    import comfy.utils

    from pack.frames.structural_similarity import SSIMMetric
    from pack.frames.watch_host import watch_frames

    frames = torch.cat([pictures(seed, 32, 32) for seed in range(20)])
    seen = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, **options: seen.append((value, total)))
    try:
        SSIMMetric(watch_frames).adjacent(frames)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    assert seen[-1] == (19, 19)
    management.interrupt_current_processing()
    with pytest.raises(management.InterruptProcessingException):
        SSIMMetric(watch_frames).adjacent(frames)


def test_nodes_keep_no_graph_when_called_outside_the_host_s_inference_mode(wan_vae, pictures):
    from pack.nodes import anchors, conditioning, keyframes

    with torch.inference_mode(False):
        first = torch.rand(1, 32, 32, 3)
        candidates = torch.rand(LENGTH, 32, 32, 3, requires_grad=True)
        track = keyframes.Keyframes.execute(32, 32, LENGTH, first_image=first, last_image=first.clone()).args[0]
        found = anchors.SelectAnchors.execute(keyframes=track, candidates=candidates, margin=4).args
        text = [[torch.rand(1, 8, 16), {}]]
        made = conditioning.WanConditioning.execute(text, text, wan_vae, found[0]).args
    assert not found[1].requires_grad
    assert not made[0][0][1]["concat_latent_image"].requires_grad


def test_two_runs_with_one_seed_give_the_same_video(graph):
    first, again = graph(bridge=True), graph(bridge=True)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1][1], again[1][1])
    assert first[1][2:4] == again[1][2:4]
    assert torch.equal(first[1][4], again[1][4])
    assert first[1][5] == again[1][5]

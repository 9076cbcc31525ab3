"""Recurrent, ViBiD and MPD Sampler on a small SVD: Euler, seeds, previews, cancel, pictures put in place, refusals."""

import logging
from types import SimpleNamespace

import pytest
import torch

SIGMAS = (20.0, 3.0, 0.5, 0.0)
SAMPLERS = {
    "repeat": ("RecurrentSampler", {"repeats": 1, "until": 0.67}),
    "jump": ("RecurrentSampler", {"pattern": "jump", "repeats": 1, "until": 1.0, "jump_length": 1}),
    "vibid": ("ViBiDSampler", {}),
    "mpd_sequential": ("MPDSampler", {"early": 0.34, "repeats": 1}),
    "mpd_parallel": ("MPDSampler", {"base": "parallel", "early": 0.34, "repeats": 1}),
}
ALONE = ["vibid", "mpd_sequential", "mpd_parallel"]  # samplers that ask for one direction at a time
ZERO = {"min_cfg": 1.0, "max_cfg": 1.0}


@pytest.fixture
def sampler(host):
    """A sampler of SAMPLERS through its node."""
    import pack.nodes.bidirectional as nodes

    def make(name, **options):
        node, given = SAMPLERS[name]
        return getattr(nodes, node).execute(**{**given, **options}).args[0]

    return make


@pytest.fixture
def run(host):
    """Samples seeded noise; the evaluations that the preview sees, and the result in the model's scale."""

    def sample(guider, sampler, sigmas=SIGMAS, seed=5, start=6, on_preview=None):
        noise = torch.randn(5, 4, 4, 6, generator=torch.Generator().manual_seed(start))
        seen = []

        def preview(step, x0, x, total):
            seen.append(SimpleNamespace(step=step, x0=x0.clone(), x=x.clone(), total=total))
            if on_preview is not None:
                on_preview(len(seen))

        options = {"callback": preview, "disable_pbar": True, "seed": seed}
        final = guider.sample(noise, torch.zeros_like(noise), sampler, torch.tensor(sigmas), **options)
        return seen, final * 0.18215

    return sample


@pytest.fixture
def guider(bidirectional, svd, svd_inputs):
    """The guider at cfg 1, where only ViBiD and MPD need the negatives; model: instead of the small SVD."""
    return lambda model=None, **options: bidirectional(model or svd, svd_inputs(), **{**ZERO, **options})


# Euler


@pytest.mark.parametrize("name", ["repeat", "jump"])
def test_without_repeats_it_is_the_host_s_euler(name, guider, sampler, run):
    import comfy.samplers

    seen, final = run(guider(), sampler(name, repeats=0))
    expected, theirs = run(guider(), comfy.samplers.sampler_object("euler"))
    torch.testing.assert_close(final, theirs, atol=1e-5, rtol=1e-5)
    assert len(seen) == len(expected) == 3
    for ours, other in zip(seen, expected, strict=True):
        assert ours.step == other.step
        torch.testing.assert_close(ours.x, other.x, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.x0, other.x0, atol=1e-5, rtol=1e-5)


def test_it_goes_back_with_any_guider_of_svd(host, svd, svd_inputs, sampler, run):
    given = svd_inputs().conditionings
    conds = given["forward_positive"], given["forward_negative"]
    seen, final = run(
        host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(svd, *conds, 1.0).args[0], sampler("repeat", repeats=2)
    )
    assert [one.step for one in seen] == [0, 0, 0, 1, 1, 1, 2]
    assert torch.isfinite(final).all()


# noise


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_gives_the_same_frames_again_and_another_gives_others(name, guider, sampler, run):
    """From the same first noise, so that what is put back makes the difference; torch's own numbers are left alone."""
    one, used = guider(), sampler(name)
    torch.manual_seed(1)
    _, first = run(one, used)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    _, again = run(one, used)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    _, other = run(one, used, seed=6)
    assert not torch.allclose(first, other, atol=1e-3)


def test_the_noise_that_is_put_back_is_the_host_s_for_the_run_s_seed(guider, sampler, run):
    import comfy.k_diffusion.sampling

    seen, _ = run(guider(), sampler("repeat", noise_scale=0.7), seed=8)
    assert [one.step for one in seen] == [0, 0, 1, 1, 2]
    noise = comfy.k_diffusion.sampling.default_noise_sampler(seen[0].x, seed=8)
    for before, after in ((0, 1), (2, 3)):
        level, following = SIGMAS[seen[before].step], SIGMAS[seen[before].step + 1]
        down = seen[before].x0 + following / level * (seen[before].x - seen[before].x0)
        expected = down + 0.7 * (level**2 - following**2) ** 0.5 * noise(None, None)
        torch.testing.assert_close(seen[after].x, expected, atol=1e-4, rtol=1e-5)


# preview and cancel


@pytest.mark.parametrize("name", ["repeat", "jump"])
def test_the_preview_sees_the_fused_estimate_of_every_evaluation(
    name, svd, svd_inputs, bidirectional, motion, sampler, run, estimate, watched, caplog
):
    caplog.set_level("INFO")
    model, calls = watched(svd)
    one = bidirectional(model, svd_inputs(), backward_motion=motion, **ZERO)
    seen, final = run(one, sampler(name))
    assert [item.step for item in seen] == ([0, 0, 1, 1, 2] if name == "repeat" else [0, 1, 1, 2, 2])
    assert {item.total for item in seen} == {3}
    assert len(calls) == 2 * len(seen)
    assert f"Recurrent Sampler: {len(calls)} model calls in 3 steps, 1.67 times a plain sampler's 6" in caplog.text
    for place, item in enumerate(seen):
        ahead, back = (call.result for call in calls[2 * place : 2 * place + 2])
        torch.testing.assert_close(item.x0, (ahead + back.flip(0)) / 2, atol=1e-6, rtol=1e-6)
        assert torch.equal(item.x, calls[2 * place].x)
    torch.testing.assert_close(seen[-1].x0, final, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ALONE)
def test_the_preview_sees_every_step_of_the_other_samplers(name, guider, sampler, run):
    seen, final = run(guider(), sampler(name))
    assert [(item.step, item.total) for item in seen] == [(0, 3), (1, 3), (2, 3)]
    torch.testing.assert_close(seen[-1].x0, final, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "passes"), [("vibid", 6), ("mpd_sequential", 8), ("mpd_parallel", 10)])
def test_every_pass_is_one_call_with_both_conditionings(name, passes, svd, guider, sampler, run, watched, caplog):
    """MPD: of 3 steps 2 are early (0.34); its distilled steps are one pass, its parallel ones two, each made twice."""
    caplog.set_level("INFO")
    model, calls = watched(svd)
    run(guider(model), sampler(name))
    assert len(calls) == passes
    assert f"Sampler: {passes} model calls in 3 steps, " in caplog.text
    assert {tuple(call.transformer_options["cond_or_uncond"]) for call in calls} == {(1, 0)}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_run_that_is_cancelled_ends_at_the_next_model_call(name, svd, guider, sampler, run, watched):
    """By the host's button, which a preview stands for here; of a recurrence within it."""
    import comfy.model_management

    model, calls = watched(svd)
    one, used, made = guider(model), sampler(name), []

    def cancel(count):
        made.append(len(calls))
        if count == 2:
            comfy.model_management.interrupt_current_processing()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        run(one, used, on_preview=cancel)
    assert len(made) == 2
    assert len(calls) == made[1] + 1
    assert not hasattr(calls[-1], "result")
    assert not comfy.model_management.processing_interrupted()
    assert torch.equal(run(one, used)[1], run(guider(), sampler(name))[1])


@pytest.mark.parametrize("name", SAMPLERS)
def test_after_a_run_that_ran_out_of_memory_the_next_is_as_ever(name, svd, guider, sampler, run, out_of_memory):
    import comfy.model_management

    one, used = guider(out_of_memory(svd, at_call=3)), sampler(name)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION):
        run(one, used)
    assert torch.equal(run(one, used)[1], run(guider(), sampler(name))[1])


def test_out_of_memory_within_a_recurrence_leaves_no_map(svd, svd_inputs, gi, sampler, run, live_maps, out_of_memory):
    import comfy.model_management

    one, used = gi(svd_inputs(), out_of_memory(svd, at_call=4), cfg=1.0), sampler("repeat")
    with pytest.raises(comfy.model_management.OOM_EXCEPTION):
        run(one, used)
    assert live_maps() == 0
    assert torch.equal(run(one, used)[1], run(gi(svd_inputs(), cfg=1.0), sampler("repeat"))[1])


def test_a_cancel_within_a_recurrence_leaves_no_map(svd, svd_inputs, gi, sampler, run, live_maps, watched):
    import comfy.model_management

    model, calls = watched(svd)
    one, used = gi(svd_inputs(), model, cfg=1.0), sampler("repeat")

    def cancel(count):
        if count == 2:
            comfy.model_management.interrupt_current_processing()

    with pytest.raises(comfy.model_management.InterruptProcessingException) as held:
        run(one, used, on_preview=cancel)
    assert len(calls) == 5
    assert live_maps() == 0
    assert held.value is not None
    assert torch.equal(run(one, used)[1], run(gi(svd_inputs(), cfg=1.0), sampler("repeat"))[1])


# pictures


@pytest.mark.parametrize("name", ALONE[:2])
def test_the_video_begins_with_the_first_picture_s_clean_latent(name, svd_inputs, guider, sampler, run):
    """The last pass runs backward and ends on it."""
    inputs = svd_inputs()
    first = inputs.conditionings["forward_positive"][0][1]["inbetween_keyframe"] * 0.18215
    _, final = run(guider(), sampler(name))
    torch.testing.assert_close(final[:1], first, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(final[1:2], first, atol=0.1)


def test_end_strength_0_leaves_the_pictures_out(svd_inputs, guider, sampler, run):
    first = svd_inputs().conditionings["forward_positive"][0][1]["inbetween_keyframe"] * 0.18215
    _, final = run(guider(), sampler("vibid", end_strength=0.0))
    assert not torch.allclose(final[:1], first, atol=0.1)


def test_the_host_s_conditionings_give_their_own_picture_and_the_log_says_so(
    host, svd, svd_vae, picture_encoder, pictures, bidirectional, sampler, run, caplog
):
    node, names = host.NODE_CLASS_MAPPINGS["SVD_img2vid_Conditioning"]().encode, ("forward", "backward")
    given = {}
    for seed, side in enumerate(names):
        made = node(picture_encoder, pictures(seed, 48, 32), svd_vae, 48, 32, 5, 127, 6, 0.0)
        given |= {f"{side}_positive": made[0], f"{side}_negative": made[1]}
    with caplog.at_level(logging.INFO):
        _, final = run(bidirectional(svd, SimpleNamespace(conditionings=given), **ZERO), sampler("vibid"))
    first = given["forward_positive"][0][1]["concat_latent_image"] * 0.18215
    torch.testing.assert_close(final[:1], first, atol=1e-4, rtol=1e-4)
    told = [text for text in caplog.messages if "has only its noised picture, which is used as the keyframe" in text]
    assert len(told) == 2


@pytest.mark.parametrize("name", ALONE)
def test_a_conditioning_without_a_picture_is_named(name, svd, svd_inputs, bidirectional, sampler, run, watched):
    inputs, (model, calls) = svd_inputs(), watched(svd)
    token, values = inputs.conditionings["backward_positive"][0]
    bare = {key: value for key, value in values.items() if key not in ("inbetween_keyframe", "concat_latent_image")}
    inputs.conditionings["backward_positive"] = [[token, bare]]
    with pytest.raises(ValueError, match="Bidirectional Guider: backward_positive carries no picture: use 'Keyframes"):
        run(bidirectional(model, inputs, **ZERO), sampler(name))
    assert calls == []


# refusals


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ((3.0,), "sigmas has no step: set the scheduler to at least 1 step and denoise above 0"),
        ((3.0, 0.0, 0.5, 0.0), "sigmas must fall at every step, but entry 1 is 0 and the next 0.5"),
        ((3.0, 0.0, 0.0), "sigmas must fall at every step, but entry 1 is 0 and the next 0"),
        ((3.0, 5.0, 0.0), "sigmas must fall at every step, but entry 0 is 3 and the next 5"),
        ((3.0, 0.5, -1.0), "sigmas .*-1"),
    ],
)
@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_levels_that_do_not_fall_are_refused_before_the_model_is_called(
    name, sigmas, message, svd, guider, sampler, run, watched
):
    model, calls = watched(svd)
    with pytest.raises(ValueError, match=message):
        run(guider(model), sampler(name), sigmas)
    assert calls == []


@pytest.mark.parametrize("name", ALONE)
def test_a_guider_of_one_direction_is_refused(name, host, svd, svd_inputs, sampler, run):
    given = svd_inputs().conditionings
    conds = given["forward_positive"], given["forward_negative"]
    plain = host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(svd, *conds, 1.0).args[0]
    who = "ViBiD Sampler" if name == "vibid" else "MPD Sampler"
    with pytest.raises(
        ValueError, match=f"{who} needs the Bidirectional Guider; this guider predicts in one direction"
    ):
        run(plain, sampler(name))


@pytest.mark.parametrize("moved", [True, False])
@pytest.mark.parametrize("name", ALONE)
def test_carried_attention_is_refused_by_samplers_of_one_direction(name, moved, guider, motion, sampler, run):
    options = {"backward_motion": motion, "rotate_attention": "none"} if moved else {"rotate_attention": "up"}
    message = "one direction at a time, .* disconnect backward_motion and, if rotate_attention is up, set it to none"
    with pytest.raises(ValueError, match=message):
        run(guider(**options), sampler(name))


def test_a_flow_model_is_refused_by_the_recurrent_sampler(host, load_wan, prompts, sampler, watched):
    model, calls = watched(load_wan("t2v"))
    plain = host.NODE_CLASS_MAPPINGS["CFGGuider"].execute(model, prompts.positive, prompts.negative, 1.0).args[0]
    noise = torch.zeros(1, 16, 2, 4, 6)
    with pytest.raises(ValueError, match=r"Recurrent Sampler is for SVD; this model's noise levels end at 1 \(flow\)"):
        plain.sample(noise, noise, sampler("repeat"), torch.tensor([1.0, 0.5, 0.0]), disable_pbar=True, seed=0)
    assert calls == []


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vibid", {"end_strength": 1.5}, "end_strength is 1.5: use a number from 0 to 1; the nearest is 1."),
        ("vibid", {"end_strength": -0.1}, "end_strength is -0.1: use a number from 0 to 1; the nearest is 0."),
        ("repeat", {"pattern": "zigzag"}, "pattern is 'zigzag', which it does not know: use repeat or jump."),
        ("repeat", {"repeats": -1}, "repeats is -1: use a whole number from 0 to"),
        ("repeat", {"until": 1.5}, "until is 1.5: use a number from 0 to 1; the nearest is 1."),
        ("jump", {"jump_length": 0}, "jump_length is 0: use a whole number from 1 to 1000; the nearest is 1."),
        ("mpd_parallel", {"base": "both"}, "base is 'both', which it does not know: use sequential or parallel."),
        ("mpd_sequential", {"repeats": -1}, "repeats is -1: use a whole number from 0 to"),
        ("mpd_sequential", {"early": 1.5}, "early is 1.5: use a number from 0 to 1; the nearest is 1."),
    ],
)
def test_settings_that_cannot_be_are_named_when_the_sampler_is_made(name, options, message, sampler):
    with pytest.raises(ValueError, match=message):
        sampler(name, **options)

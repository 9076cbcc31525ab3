"""InbetweenBridgeSampler in a run: keyframes, noise masks, previews, cancel, seeds, batches, the prior as condition."""

import pytest
import torch

PLACES = "inbetween_keyframes"
MODES = ("saf", "partial", "unaligned", "sdedit")
SOLVERS = ("sde", "ode", "ode_2", "euler_maruyama")
FLOW = (0.9, 0.6, 0.25, 0.0)  # of the flow models' runs


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def guided(call, cfg=2.0):
    """The clean estimate at a cfg from a call with both conditionings."""
    results = dict(zip(call.transformer_options["cond_or_uncond"], call.result.chunk(2), strict=True))
    return results[1] + cfg * (results[0] - results[1])


# keyframes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["t2v", "svd"])
def test_pin_keyframes_holds_every_keyframe_and_off_it_holds_none(bridge_parts, bridge_sampler, bridged, kind, mode):
    of = bridge_parts(kind, places=(0, 2, 4))
    made, free = (bridged(of, bridge_sampler(of.prior, mode, pin_keyframes=pin)) for pin in (True, False))
    for place in range(5):
        held = of.frame(of.prior["samples"], place)
        if place in (0, 2, 4):
            torch.testing.assert_close(of.frame(made, place), held, atol=1e-4, rtol=1e-4)
        else:
            assert not torch.allclose(of.frame(made, place), held, atol=0.1)
        assert not torch.allclose(of.frame(free, place), held, atol=0.1)


def test_without_pins_no_keyframe_needs_to_be_named(bridge_parts, bridge_sampler, bridged):
    of = bridge_parts("t2v")
    plain = {"samples": of.prior["samples"]}
    made = bridged(of, bridge_sampler(plain, pin_keyframes=False))
    assert torch.equal(made, bridged(of, bridge_sampler(of.prior, pin_keyframes=False)))


def test_a_pinned_frame_is_a_noised_keyframe_in_every_input(bridge_parts, bridge_sampler, bridged, watched):
    of = bridge_parts("t2v")
    model, calls = watched(of.model)
    bridged(of, bridge_sampler(of.prior, solver="ode"), model)
    prior, noise = of.inside(of.prior["samples"]), random(*of.shape, seed=6)
    for call, level in zip(calls, FLOW, strict=False):
        expected = (1 - level) * prior + level * noise
        torch.testing.assert_close(call.x[:1, :, [0, 4]], expected[:, :, [0, 4]], atol=1e-4, rtol=1e-4)


# noise masks


@pytest.fixture
def left_half():
    """A mask that keeps the left half of every picture."""

    def make(of):
        mask = torch.ones(of.shape)
        mask[..., :3] = 0
        return mask

    return make


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["t2v", "ti2v_5b", "hunyuan", "svd"])
def test_what_a_mask_keeps_stays_the_latent_image(bridge_parts, bridge_sampler, bridged, left_half, kind, mode):
    of = bridge_parts(kind)
    latent = random(*of.shape, seed=12)
    made = bridged(of, bridge_sampler(of.prior, mode, centring=0.5), latent=latent, mask=left_half(of))
    torch.testing.assert_close(made[..., :3], latent[..., :3], atol=1e-4, rtol=1e-4)
    for place in (0, 4):
        held = of.frame(of.prior["samples"], place)[..., 3:]
        torch.testing.assert_close(of.frame(made, place)[..., 3:], held, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(made[..., 3:], latent[..., 3:], atol=0.1)
    other = bridged(
        of, bridge_sampler(of.prior, mode, centring=0.5), latent=random(*of.shape, seed=13), mask=left_half(of)
    )
    assert not torch.allclose(made[..., 3:], other[..., 3:], atol=1e-3)


@pytest.mark.parametrize("kind", ["t2v", "ti2v_5b", "svd"])
def test_with_a_mask_sdedit_with_ode_is_the_host_s_euler(bridge_parts, bridge_sampler, bridged, left_half, kind):
    import comfy.samplers

    of = bridge_parts(kind)
    given = {"latent": of.prior["samples"], "mask": left_half(of)}
    theirs = bridged(of, comfy.samplers.sampler_object("euler"), **given)
    ours = bridged(of, bridge_sampler(of.prior, solver="ode", pin_keyframes=False), **given)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_the_kept_part_is_shown_to_wan_noised_and_to_wan_2_2_5b_clean(
    bridge_parts, bridge_sampler, bridged, watched, left_half, mode
):
    """The 5B is told that its kept part has no noise, and so must not be given any."""
    for kind in ("t2v", "ti2v_5b"):
        of = bridge_parts(kind)
        model, calls = watched(of.model)
        latent = random(*of.shape, seed=12)
        bridged(of, bridge_sampler(of.prior, mode, centring=0.5), model, latent=latent, mask=left_half(of))
        assert len(calls) == 3
        kept, noise = of.inside(latent), random(*of.shape, seed=6)
        for call in calls:
            level = 0.0 if kind == "ti2v_5b" else call.sigma[0].item()
            expected = (1 - level) * kept + level * noise
            torch.testing.assert_close(call.x[:1, ..., :3], expected[..., :3], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_a_mask_that_changes_with_the_noise_level_is_asked_for_at_every_call(
    bridge_parts, bridge_sampler, bridged, left_half, mode
):
    """As Differential Diffusion does; here it lets everything go."""
    of = bridge_parts("t2v")
    model, asked = of.model.clone(), []

    def function(sigma, mask, extra_options):
        asked.append((sigma.tolist(), extra_options["sigmas"].tolist()))
        return torch.ones_like(mask)

    model.set_model_denoise_mask_function(function)
    latent = random(*of.shape, seed=12)
    made = bridged(of, bridge_sampler(of.prior, mode), model, latent=latent, mask=left_half(of))
    schedules = [schedule for _, schedule in asked]
    assert schedules == 3 * [[*(level for (level,), _ in asked), 0.0]]
    assert (schedules[0] == pytest.approx(FLOW)) == (mode == "sdedit")
    assert not torch.allclose(made[..., :3], latent[..., :3], atol=0.1)


@pytest.mark.parametrize("kind", ["t2v", "svd"])
@pytest.mark.parametrize("mode", MODES)
def test_what_reads_the_schedule_finds_the_levels_at_which_the_model_is_asked(
    bridge_parts, bridge_sampler, bridged, watched, kind, mode
):
    of = bridge_parts(kind)
    model, calls = watched(of.model)
    bridged(of, bridge_sampler(of.prior, mode), model)
    assert len(calls) == 3
    for place, call in enumerate(calls):
        schedule = call.transformer_options["sample_sigmas"]
        assert len(schedule) == 4
        assert schedule[-1] == 0
        torch.testing.assert_close(call.sigma, schedule[place].expand(len(call.sigma)))


@pytest.mark.parametrize("mode", MODES)
def test_without_a_mask_the_latent_image_has_no_say(bridge_parts, bridge_sampler, bridged, mode):
    of = bridge_parts("t2v")
    made = bridged(of, bridge_sampler(of.prior, mode), latent=random(*of.shape, seed=12))
    assert torch.equal(made, bridged(of, bridge_sampler(of.prior, mode)))


# preview and cancel


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("mode", MODES)
def test_the_preview_sees_the_estimate_of_every_step(
    bridge_parts, bridge_sampler, bridged, watched, mode, solver, caplog
):
    of, seen = bridge_parts("t2v"), []
    caplog.set_level("INFO")
    model, calls = watched(of.model)
    made = bridged(of, bridge_sampler(of.prior, mode, solver=solver), model, seen=seen)
    assert [(one.step, one.total) for one in seen] == [(0, 3), (1, 3), (2, 3)]
    assert len(calls) == (5 if solver == "ode_2" else 3)
    assert f"Bridge Sampler: {len(calls)} model calls in 3 steps, " in caplog.text
    torch.testing.assert_close(seen[-1].x0, of.inside(made), atol=1e-4, rtol=1e-4)
    ends = of.inside(of.prior["samples"])[:, :, [0, 4]]
    for one in seen:
        torch.testing.assert_close(one.x0[:, :, [0, 4]], ends, atol=1e-5, rtol=1e-5)
    if mode == "sdedit":
        torch.testing.assert_close(seen[0].x, calls[0].x[:1])
        torch.testing.assert_close(seen[0].x0[:, :, 1:4], guided(calls[0])[:, :, 1:4])


@pytest.mark.parametrize("solver", ["sde", "ode_2"])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_that_is_cancelled_ends_at_the_next_model_call(
    bridge_parts, bridge_sampler, bridged, watched, mode, solver
):
    """By the host's button, which a preview stands for here."""
    import comfy.model_management

    of, made = bridge_parts("t2v"), []
    model, calls = watched(of.model)
    used = bridge_sampler(of.prior, mode, solver=solver)

    def cancel(step):
        made.append(len(calls))
        if step == 1:
            comfy.model_management.interrupt_current_processing()

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        bridged(of, used, model, seen=cancel)
    assert len(made) == 2
    assert len(calls) == made[1] + 1
    assert not hasattr(calls[-1], "result")
    assert not comfy.model_management.processing_interrupted()
    assert torch.equal(bridged(of, used, model), bridged(of, bridge_sampler(of.prior, mode, solver=solver)))


@pytest.mark.parametrize("mode", MODES)
def test_after_a_run_that_ran_out_of_memory_the_next_is_as_ever(
    bridge_parts, bridge_sampler, bridged, out_of_memory, mode
):
    import comfy.model_management

    of = bridge_parts("t2v")
    model, used = out_of_memory(of.model), bridge_sampler(of.prior, mode)
    with pytest.raises(comfy.model_management.OOM_EXCEPTION):
        bridged(of, used, model)
    assert torch.equal(bridged(of, used, model), bridged(of, bridge_sampler(of.prior, mode)))


# noise and batches


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("mode", MODES)
def test_a_seed_gives_the_same_video_again_and_another_gives_another(
    bridge_parts, bridge_sampler, bridged, mode, solver
):
    """From the same first noise, so that the noise of the steps makes the difference; an ODE has none."""
    of = bridge_parts("t2v")
    used = bridge_sampler(of.prior, mode, solver=solver)
    torch.manual_seed(1)
    first = bridged(of, used)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(bridged(of, used), first)
    assert torch.equal(torch.get_rng_state(), state)
    other = bridged(of, used, seed=9)
    assert torch.allclose(first, other, atol=1e-3) == (solver in ("ode", "ode_2"))
    assert not torch.allclose(bridged(of, used, start=9), first, atol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_the_run_s_noise_is_the_first_and_the_seed_s_are_the_others(bridge_parts, bridge_sampler, bridged, mode):
    """The first two states of SVD, written out."""
    import comfy.k_diffusion.sampling

    of, seen = bridge_parts("svd"), []
    bridged(of, bridge_sampler(of.prior, mode, pin_keyframes=False), seen=seen)
    prior, noise = of.inside(of.prior["samples"]), random(*of.shape, seed=6)
    put_in = comfy.k_diffusion.sampling.default_noise_sampler(noise, seed=5)(None, None)
    if mode == "sdedit":
        torch.testing.assert_close(seen[0].x, prior + 12 * noise, atol=1e-4, rtol=1e-4)
        down = seen[0].x0 + (3 / 12) ** 2 * (seen[0].x - seen[0].x0)
        expected = down + 3 * (1 - (3 / 12) ** 2) ** 0.5 * put_in
    else:
        t, s = 0.999, 0.666
        variances = [0.01 * time + 49.99 * time * time / 2 for time in (t, s, 1.0)]
        c = (variances[0] * (1 - variances[0] / variances[2])) ** 0.5
        torch.testing.assert_close(seen[0].x, prior + c * noise, atol=1e-4, rtol=1e-4)
        ratio = variances[1] / variances[0]
        expected = seen[0].x * ratio + seen[0].x0 * (1 - ratio) + (variances[1] * (1 - ratio)) ** 0.5 * put_in
    torch.testing.assert_close(seen[1].x, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_two_videos_from_one_prior_and_from_two(bridge_parts, bridge_sampler, bridged, mode):
    of, other = bridge_parts("flf2v"), bridge_parts("flf2v", seed=8)
    noise = torch.cat([random(*of.shape, seed=seed) for seed in (6, 9)])
    alone = [
        bridged(one, bridge_sampler(one.prior, mode, solver="ode"), start=seed)
        for one, seed in ((of, 6), (of, 9), (other, 9))
    ]
    made = bridged(of, bridge_sampler(of.prior, mode, solver="ode"), noise=noise)
    torch.testing.assert_close(made, torch.cat(alone[:2]), atol=1e-3, rtol=1e-3)
    both = {"samples": torch.cat([of.prior["samples"], other.prior["samples"]]), PLACES: (0, 4)}
    made = bridged(of, bridge_sampler(both, mode, solver="ode"), noise=noise)
    torch.testing.assert_close(made, torch.cat([alone[0], alone[2]]), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_what_it_is_given_is_left_alone_and_nothing_stays_on_the_model(
    bridge_parts, bridge_sampler, bridged, left_half, mode
):
    of = bridge_parts("flf2v")
    given = [of.prior["samples"], of.conds[0][0][1]["concat_latent_image"], random(*of.shape, seed=12), left_half(of)]
    copies, noise = [one.clone() for one in given], random(*of.shape, seed=6)
    options = str(of.model.model_options)
    used = bridge_sampler(of.prior, mode, prior_as_condition=True)
    first = bridged(of, used, latent=given[2], mask=given[3], noise=noise)
    assert all(torch.equal(one, copy) for one, copy in zip(given, copies, strict=True))
    assert torch.equal(noise, random(*of.shape, seed=6))
    assert set(of.prior) == {"samples", PLACES}
    assert str(of.model.model_options) == options
    assert "inbetween" not in options
    assert torch.equal(bridged(of, used, latent=given[2], mask=given[3]), first)


# the prior as condition


@pytest.fixture
def with_conditions(host):
    """A clone of a model and the list of the conditions [B, 20, ...] that reach its network."""
    from comfy.patcher_extension import WrappersMP

    def make(model):
        seen, clone = [], model.clone()

        def watch(executor, x, *args, **kwargs):
            seen.append(x[:, 16:].clone())
            return executor(x, *args, **kwargs)

        clone.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test.conditions", watch)
        return clone, seen

    return make


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["i2v", "flf2v", "i2v_14b"])
def test_the_model_is_shown_the_prior_in_place_of_the_condition_s_pictures(
    bridge_parts, bridge_sampler, bridged, watched, with_conditions, kind, mode
):
    of = bridge_parts(kind)
    watched_model, calls = watched(of.model)
    model, seen = with_conditions(watched_model)
    shown = bridged(of, bridge_sampler(of.prior, mode, prior_as_condition=True), model)
    plain = bridged(of, bridge_sampler(of.prior, mode), model)
    prior = of.inside(of.prior["samples"])
    pictures = of.inside(of.conds[0][0][1]["concat_latent_image"])
    mask = (1 - of.conds[0][0][1]["concat_mask"]).repeat(2, 1, 1, 1, 1)
    assert [one.shape for one in seen] == 6 * [(2, 20, 5, 4, 6)]
    for place, one in enumerate(seen):
        expected = prior if place < 3 else pictures
        torch.testing.assert_close(one[:, 4:], expected.repeat(2, 1, 1, 1, 1))
        assert torch.equal(one[:, :4], mask)
        torch.testing.assert_close(calls[place].c_concat[:, 4:], pictures.repeat(2, 1, 1, 1, 1))  # it has a copy
    assert not torch.allclose(shown, plain, atol=1e-3)


def test_every_video_of_a_batch_is_shown_its_own_prior(bridge_parts, bridge_sampler, bridged, with_conditions):
    of, other = bridge_parts("flf2v"), bridge_parts("flf2v", seed=8)
    model, seen = with_conditions(of.model)
    both = {"samples": torch.cat([of.prior["samples"], other.prior["samples"]]), PLACES: (0, 4)}
    noise = torch.cat([random(*of.shape, seed=seed) for seed in (6, 9)])
    bridged(of, bridge_sampler(both, "saf", prior_as_condition=True), model, noise=noise)
    assert len(seen) == 3
    for one in seen:
        torch.testing.assert_close(one[:, 4:], of.inside(both["samples"]).repeat(2, 1, 1, 1, 1))

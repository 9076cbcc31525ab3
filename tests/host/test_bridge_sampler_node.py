"""InbetweenBridgeSampler on small models: every mode and solver, equal to the host's samplers where it should be."""

import logging
from itertools import pairwise

import pytest
import torch

MODES = ("saf", "partial", "unaligned", "sdedit")
SOLVERS = ("sde", "ode", "ode_2", "euler_maruyama")
MODELS = ("t2v", "i2v", "flf2v", "i2v_14b", "ti2v_5b", "hunyuan", "svd")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def check_ends(of, made):
    assert made.shape == of.shape
    assert made.isfinite().all()
    for place in (0, 4):
        torch.testing.assert_close(of.frame(made, place), of.frame(of.prior["samples"], place), atol=1e-4, rtol=1e-4)
    for place in (1, 2, 3):
        assert not torch.allclose(of.frame(made, place), of.frame(of.prior["samples"], place), atol=0.1)


# every way on every model


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", MODELS)
def test_every_mode_makes_a_video_between_its_keyframes(bridge_parts, bridge_sampler, bridged, kind, mode):
    of = bridge_parts(kind)
    check_ends(of, bridged(of, bridge_sampler(of.prior, mode, centring=0.5)))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "schedule"), [("flf2v", "gmax"), ("flf2v", "vp"), ("svd", "gmax")])
def test_every_solver_in_every_mode(bridge_parts, bridge_sampler, bridged, kind, mode, solver, schedule):
    of, betas = bridge_parts(kind), {"beta_0": 0.1, "beta_1": 20.0} if schedule == "vp" else {}
    check_ends(of, bridged(of, bridge_sampler(of.prior, mode, schedule, solver, **betas)))


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_steps(bridge_parts, bridge_sampler, bridged, mode, solver, steps):
    of = bridge_parts("t2v")
    sigmas = torch.linspace(0.9, 0, steps + 1).tolist()
    check_ends(of, bridged(of, bridge_sampler(of.prior, mode, solver=solver), sigmas=sigmas))


@pytest.mark.parametrize("mode", MODES)
def test_fifty_steps(bridge_parts, bridge_sampler, bridged, mode):
    of = bridge_parts("t2v")
    check_ends(of, bridged(of, bridge_sampler(of.prior, mode), sigmas=torch.linspace(0.97, 0, 51).tolist()))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("mode", MODES)
def test_a_model_in_bf16(bridge_parts, models_folder, bridge_sampler, bridged, mode, solver):
    import comfy.sd

    of = bridge_parts("t2v")
    path = models_folder / "diffusion_models" / "t2v.safetensors"
    model = comfy.sd.load_diffusion_model(str(path), {"dtype": torch.bfloat16})
    assert model.model.get_dtype() == torch.bfloat16
    made = bridged(of, bridge_sampler(of.prior, mode, solver=solver), model)
    check_ends(of, made)
    full = bridged(of, bridge_sampler(of.prior, mode, solver=solver))
    assert not torch.equal(made, full)
    assert (made - full).norm() < 0.1 * full.norm()


# sdedit and the host's samplers


@pytest.mark.parametrize("kind", MODELS)
def test_sdedit_with_ode_is_the_host_s_euler_on_the_prior(host, bridge_parts, bridge_sampler, kind):
    """From one latent through the host's own nodes, where it noises the prior by itself."""
    nodes, of = host.NODE_CLASS_MAPPINGS, bridge_parts(kind)
    guider = nodes["CFGGuider"].execute(of.model, *of.conds, 3.0).args[0]
    noise, sigmas = nodes["RandomNoise"].execute(5).args[0], torch.tensor(of.sigmas)
    euler, ours = (
        nodes["KSamplerSelect"].execute("euler").args[0],
        bridge_sampler(of.prior, pin_keyframes=False, solver="ode"),
    )
    empty = {"samples": torch.zeros(of.shape)}
    ends = [
        nodes["SamplerCustomAdvanced"].execute(noise, guider, one, sigmas, latent).args[0]["samples"]
        for one, latent in ((euler, {"samples": of.prior["samples"]}), (ours, empty))
    ]
    torch.testing.assert_close(*ends, atol=1e-4, rtol=1e-4)


def test_sdedit_with_sde_is_the_host_s_euler_ancestral_of_svd(bridge_parts, bridge_sampler, bridged):
    import comfy.samplers

    of = bridge_parts("svd")
    theirs = bridged(of, comfy.samplers.sampler_object("euler_ancestral"), latent=of.prior["samples"])
    torch.testing.assert_close(bridged(of, bridge_sampler(of.prior, pin_keyframes=False)), theirs, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(
        bridged(of, bridge_sampler(of.prior, pin_keyframes=False, solver="ode")), theirs, atol=0.1
    )


@pytest.mark.parametrize("kind", ["t2v", "svd"])
def test_sdedit_can_be_gone_on_with_by_another_sampler(host, bridge_parts, bridge_sampler, kind):
    """As with two models, of which the second takes over below a noise level."""
    nodes, of = host.NODE_CLASS_MAPPINGS, bridge_parts(kind)
    guider = nodes["CFGGuider"].execute(of.model, *of.conds, 3.0).args[0]
    high, low = nodes["SplitSigmas"].execute(torch.tensor(of.sigmas), 2).args
    noise, none = nodes["RandomNoise"].execute(5).args[0], nodes["DisableNoise"].execute().args[0]
    ours, euler = (
        bridge_sampler(of.prior, pin_keyframes=False, solver="ode"),
        nodes["KSamplerSelect"].execute("euler").args[0],
    )
    node, empty = nodes["SamplerCustomAdvanced"], {"samples": torch.zeros(of.shape)}
    half = node.execute(noise, guider, ours, high, empty).args[0]
    made = node.execute(none, guider, euler, low, half).args[0]["samples"]
    whole = node.execute(noise, guider, ours, torch.tensor(of.sigmas), empty).args[0]["samples"]
    torch.testing.assert_close(made, whole, atol=1e-4, rtol=1e-4)


def test_the_log_says_where_next_to_nothing_is_left_of_the_prior(bridge_parts, bridge_sampler, bridged, monkeypatch):
    told, of = [], bridge_parts("t2v")
    monkeypatch.setattr(logging, "warning", told.append)
    for first, count in ((1.0, 1), (0.995, 1), (0.98, 0)):
        told.clear()
        bridged(of, bridge_sampler(of.prior), sigmas=(first, 0.5, 0.0))
        assert len(told) == count
        if count:
            assert f"at noise level {first:g}, where sampling begins, next to nothing is left of the prior" in told[0]
    told.clear()
    bridged(of, bridge_sampler(of.prior, "saf"), sigmas=(1.0, 0.5, 0.0))
    assert told == []


def test_the_log_says_where_the_bridge_is_noisier_than_the_model_knows(
    bridge_parts, bridge_sampler, bridged, monkeypatch
):
    told, of, sigmas = [], bridge_parts("t2v"), (1.0, 0.5, 0.0)
    monkeypatch.setattr(logging, "warning", told.append)
    bridged(of, bridge_sampler(of.prior, "saf"), sigmas=sigmas)
    assert told == []
    bridged(of, bridge_sampler(of.prior, "saf", schedule="vp", beta_0=0.1, beta_1=20.0), sigmas=sigmas)
    (line,) = told
    assert "vp, beta_0 0.1 and beta_1 20, 1 of 2 steps are noisier than this model knows" in line
    assert "its highest noise level, 0.999" in line


# saf without trained weights


def bridge_levels(steps):
    """c / a of the bridge at every time but the last; gmax with the paper's betas, written out."""
    levels = []
    for index in range(steps):
        t = 0.999 * (steps - index) / steps
        variance, whole = 0.01 * t + 49.99 * t * t / 2, 0.01 + 49.99 / 2
        levels.append((1 / (1 / variance - 1 / whole)) ** 0.5)
    return levels


def test_saf_is_the_host_s_euler_ancestral_of_svd_on_the_bridge_s_levels(bridge_parts, bridge_sampler, bridged):
    """Begun on the noised prior, one part in a hundred of it; after that it does not occur."""
    import comfy.samplers

    of, theirs = bridge_parts("svd"), comfy.samplers.sampler_object("euler_ancestral")
    expected = bridged(of, theirs, sigmas=[*bridge_levels(4), 0.0], latent=of.prior["samples"])
    ours = bridged(of, bridge_sampler(of.prior, "saf", pin_keyframes=False), sigmas=(4.0, 3.0, 2.0, 1.0, 0.0))
    torch.testing.assert_close(ours, expected, atol=1e-3, rtol=1e-3)


def test_saf_is_ancestral_sampling_of_wan_on_the_bridge_s_levels(bridge_parts, bridge_sampler, bridged, watched):
    """By Bayes, x' = (1 - s') x_0 + s' e given x and x_0; the clean estimates are the model's own."""
    import comfy.k_diffusion.sampling

    of = bridge_parts("t2v")
    model, calls = watched(of.model)
    ours = bridged(of, bridge_sampler(of.prior, "saf", pin_keyframes=False), model, sigmas=(4.0, 3.0, 2.0, 1.0, 0.0))
    levels = [level / (1 + level) for level in bridge_levels(4)]
    noise = comfy.k_diffusion.sampling.default_noise_sampler(torch.zeros(of.shape), seed=5)
    x = (1 - levels[0]) * of.inside(of.prior["samples"]) + levels[0] * random(*of.shape, seed=6)
    assert len(calls) == 4
    for index, (now, then) in enumerate(pairwise([*levels, 0.0])):
        torch.testing.assert_close(calls[index].x[:1], x, atol=1e-4, rtol=1e-4)
        assert calls[index].sigma.tolist() == pytest.approx([now, now], rel=1e-5)
        denoised = guided(calls[index])
        if then == 0:
            torch.testing.assert_close(of.inside(ours), denoised, atol=1e-4, rtol=1e-4)
            return
        ratio = (1 - now) / (1 - then)
        spread = now**2 - ratio**2 * then**2
        precision = 1 / then**2 + ratio**2 / spread
        mean = ((1 - then) * denoised / then**2 + ratio * x / spread) / precision
        x = mean + noise(now, then) / precision**0.5


def guided(call, cfg=2.0):
    """The clean estimate at a cfg from a call with both conditionings."""
    results = dict(zip(call.transformer_options["cond_or_uncond"], call.result.chunk(2), strict=True))
    return results[1] + cfg * (results[0] - results[1])


@pytest.mark.parametrize("kind", ["t2v", "flf2v", "svd"])
def test_in_saf_the_prior_has_no_say_beyond_the_pinned_frames_and_in_sdedit_it_has(
    bridge_parts, bridge_sampler, bridged, kind
):
    one, other = bridge_parts(kind, seed=7), bridge_parts(kind, seed=8)
    for place in (0, 4):
        other.frame(other.prior["samples"], place).copy_(one.frame(one.prior["samples"], place))
    apart = (one.prior["samples"] - other.prior["samples"]).norm()
    for mode, pinned in (("saf", True), ("saf", False)):
        ends = [
            bridged(of, bridge_sampler(of.prior, mode, pin_keyframes=pinned), sigmas=(4.0, 3.0, 2.0, 1.0, 0.0))
            for of in (one, other)
        ]
        assert (ends[0] - ends[1]).norm() < 0.05 * apart
    sigmas = (1.0, 0.3, 0.0) if kind == "svd" else (0.5, 0.2, 0.0)
    ends = [bridged(of, bridge_sampler(of.prior), sigmas=sigmas) for of in (one, other)]
    assert (ends[0] - ends[1]).norm() > 0.2 * apart


# the other modes


@pytest.mark.parametrize("kind", ["t2v", "svd"])
def test_partial_goes_from_unaligned_to_saf(bridge_parts, bridge_sampler, bridged, kind):
    of = bridge_parts(kind)
    made = {mode: bridged(of, bridge_sampler(of.prior, mode)) for mode in ("saf", "unaligned")}
    assert torch.equal(bridged(of, bridge_sampler(of.prior, "partial", centring=1.0)), made["saf"])
    assert torch.equal(bridged(of, bridge_sampler(of.prior, "partial", centring=0.0)), made["unaligned"])
    half = bridged(of, bridge_sampler(of.prior, "partial", centring=0.5))
    assert not torch.allclose(half, made["saf"], atol=0.01)
    assert not torch.allclose(half, made["unaligned"], atol=0.01)


@pytest.mark.parametrize("kind", ["t2v", "svd"])
def test_in_unaligned_the_model_sees_the_bridge_s_mixture_at_its_own_noise(
    bridge_parts, bridge_sampler, bridged, watched, kind
):
    of = bridge_parts(kind)
    model, calls = watched(of.model)
    bridged(of, bridge_sampler(of.prior, "unaligned"), model)
    variance, whole = 0.01 * 0.999 + 49.99 * 0.999**2 / 2, 0.01 + 49.99 / 2
    c = (variance * (1 - variance / whole)) ** 0.5
    mixture = of.inside(of.prior["samples"]) + c * random(*of.shape, seed=6)
    seen, level = (mixture, c) if kind == "svd" else (mixture / (1 + c), c / (1 + c))
    torch.testing.assert_close(calls[0].x[: of.shape[0]], seen, atol=1e-4, rtol=1e-4)
    assert calls[0].sigma[0].item() == pytest.approx(level, rel=1e-4)


@pytest.mark.parametrize("mode", MODES[:3])
def test_only_the_number_of_steps_counts_on_a_bridge(bridge_parts, bridge_sampler, bridged, mode):
    of = bridge_parts("t2v")
    made = bridged(of, bridge_sampler(of.prior, mode))
    assert torch.equal(bridged(of, bridge_sampler(of.prior, mode), sigmas=(1.0, 0.8, 0.1, 0.0)), made)
    assert not torch.allclose(
        bridged(of, bridge_sampler(of.prior, mode), sigmas=(1.0, 0.8, 0.5, 0.1, 0.0)), made, atol=0.01
    )


@pytest.mark.parametrize("mode", MODES)
def test_schedule_and_betas_are_the_bridge_s_and_not_sdedit_s(bridge_parts, bridge_sampler, bridged, mode):
    of = bridge_parts("t2v")
    made = bridged(of, bridge_sampler(of.prior, mode))
    for options in ({"schedule": "vp"}, {"beta_0": 0.5}, {"beta_1": 10.0}):
        assert torch.equal(bridged(of, bridge_sampler(of.prior, mode, **options)), made) == (mode == "sdedit")

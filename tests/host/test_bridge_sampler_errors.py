"""InbetweenBridgeSampler on what it cannot take: settings, priors, noise levels, models, each with its sentence."""

import math

import pytest
import torch

PLACES = "inbetween_keyframes"
MODES = ("saf", "partial", "unaligned", "sdedit")
FLOW, EDM = (0.9, 0.6, 0.25, 0.0), (12.0, 3.0, 0.4, 0.0)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# settings and priors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "full"}, "mode is 'full', which it does not know: use saf, partial, unaligned or sdedit"),
        ({"solver": "heun"}, "solver is 'heun', which it does not know: use sde, ode, ode_2 or euler_maruyama"),
        ({"schedule": "cosine"}, "schedule is 'cosine', which it does not know: use gmax or vp"),
        ({"centring": 1.5}, "centring is 1.5: use a number from 0 to 1; the nearest is 1"),
        ({"centring": -0.1}, "centring is -0.1: use a number from 0 to 1; the nearest is 0"),
        ({"beta_0": 50.0}, "beta_0 is 50 and beta_1 is 50, but beta_0 must be the smaller: take beta_0 below 50, or"),
        ({"beta_0": 60.0}, "beta_0 is 60 and beta_1 is 50, but beta_0 must be the smaller: take beta_0 below 50, or"),
        ({"beta_0": 0.0}, "beta_0 is 0: use a number from 1e-06 to 1000"),
        ({"beta_1": 2000.0}, "beta_1 is 2000: use a number from 1e-06 to 1000; the nearest is 1000"),
        ({"beta_1": math.nan}, "beta_1 is NaN, which is no number"),
    ],
)
@pytest.mark.parametrize("mode", ["saf", "sdedit"])
def test_settings_that_cannot_be_are_named_when_the_sampler_is_made(
    bridge_parts, bridge_sampler, mode, options, message
):
    with pytest.raises(ValueError, match=message):
        bridge_sampler(bridge_parts("t2v").prior, **{"mode": mode, **options})


@pytest.mark.parametrize("mode", MODES)
def test_a_prior_that_is_no_prior_is_refused_when_the_sampler_is_made(bridge_parts, bridge_sampler, mode):
    prior = bridge_parts("t2v").prior
    with pytest.raises(ValueError, match="prior is all zero, as an empty latent is, and holds no picture: connect Bri"):
        bridge_sampler({**prior, "samples": torch.zeros(1, 16, 5, 4, 6)}, mode)
    with pytest.raises(ValueError, match=r"prior has values that are no numbers .NaN or infinite.: make it again"):
        bridge_sampler({**prior, "samples": prior["samples"].index_fill(2, torch.tensor([1]), math.nan)}, mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prior", [{}, {PLACES: ()}])
def test_pin_keyframes_without_keyframes_is_refused_when_the_sampler_is_made(bridge_sampler, mode, prior):
    message = (
        "pin_keyframes is on, but prior does not say where its keyframes are: take it from Bridge Prior with a keyf"
    )
    with pytest.raises(ValueError, match=message):
        bridge_sampler({"samples": torch.ones(1, 16, 5, 4, 6), **prior}, mode)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 16, 4, 4, 6),
            r"prior has the shape \[1, 16, 4, 4, 6\], but the latent has \[1, 16, 5, 4, 6\]: give both the",
        ),
        ((1, 16, 5, 4, 8), r"prior has the shape \[1, 16, 5, 4, 8\], but the latent has \[1, 16, 5, 4, 6\]"),
        ((2, 16, 5, 4, 6), r"prior has the shape \[2, 16, 5, 4, 6\], but the latent has \[1, 16, 5, 4, 6\]"),
        ((5, 16, 4, 6), r"prior has the shape \[5, 16, 4, 6\], but the latent has \[1, 16, 5, 4, 6\]"),
        (
            (1, 48, 5, 4, 6),
            "Bridge Sampler: prior has 48 latent channels, this model's latents have 16: make it with the",
        ),
        (
            (5, 4, 4, 6),
            "Bridge Sampler: prior has 4 latent channels, this model's latents have 16: make it with the VAE",
        ),
    ],
)
@pytest.mark.parametrize("mode", ["saf", "sdedit"])
def test_a_prior_of_another_shape_is_refused_before_the_model_is_called(
    bridge_parts, bridge_sampler, bridged, watched, mode, shape, message
):
    of = bridge_parts("t2v")
    model, calls = watched(of.model)
    with pytest.raises(ValueError, match=message):
        bridged(of, bridge_sampler({"samples": random(*shape), PLACES: (0,)}, mode), model)
    assert calls == []


def test_a_keyframe_outside_of_a_prior_that_was_cut_is_told(bridge_parts, bridge_sampler, bridged):
    of = bridge_parts("t2v", places=(0, 8))
    message = "prior has a keyframe at latent frame 8, but only 5 latent frames: it was cut after it was made"
    with pytest.raises(ValueError, match=message):
        bridged(of, bridge_sampler(of.prior))


@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ((0.9,), "sigmas has no step: set the scheduler to at least 1 step and denoise above 0"),
        ((0.9, 0.0, 0.5, 0.0), "sigmas must fall at every step, but entry 1 is 0 and the next 0.5"),
        ((0.9, 0.5, 0.5), "sigmas must fall at every step, but entry 1 is 0.5 and the next 0.5"),
        ((0.9, math.nan, 0.0), "sigmas must fall at every step"),
        ((math.nan, 0.5, 0.0), "sigmas go from nan to 0"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_noise_levels_that_do_not_fall_are_refused_before_the_model_is_called(
    bridge_parts, bridge_sampler, bridged, watched, mode, sigmas, message
):
    of = bridge_parts("t2v")
    model, calls = watched(of.model)
    with pytest.raises(ValueError, match=message):
        bridged(of, bridge_sampler(of.prior, mode), model, sigmas=sigmas)
    assert calls == []


@pytest.mark.parametrize("mode", MODES[:3])
def test_a_bridge_that_is_to_end_half_way_is_refused(bridge_parts, bridge_sampler, bridged, watched, mode):
    of = bridge_parts("t2v")
    model, calls = watched(of.model)
    message = f"mode {mode} walks the whole bridge in one run, but sigmas end at 0.25: connect all of the scheduler's"
    with pytest.raises(ValueError, match=message):
        bridged(of, bridge_sampler(of.prior, mode), model, sigmas=(0.9, 0.6, 0.25))
    assert calls == []


@pytest.mark.parametrize("mode", MODES)
def test_a_run_without_noise_is_refused(host, bridge_parts, bridge_sampler, mode):
    nodes, of = host.NODE_CLASS_MAPPINGS, bridge_parts("t2v")
    guider = nodes["CFGGuider"].execute(of.model, *of.conds, 1.0).args[0]
    none, empty = nodes["DisableNoise"].execute().args[0], {"samples": torch.zeros(of.shape)}
    message = "the run has no noise. Connect RandomNoise in place of DisableNoise; what another sampler began cannot"
    with pytest.raises(ValueError, match=message):
        nodes["SamplerCustomAdvanced"].execute(none, guider, bridge_sampler(of.prior, mode), torch.tensor(FLOW), empty)


def test_levels_of_another_kind_of_model_are_refused_in_sdedit(bridge_parts, bridge_sampler, bridged):
    of = bridge_parts("t2v")
    with pytest.raises(
        ValueError, match=r"sigmas begin at 12, but this model's noise levels end at 1: take BasicSched"
    ):
        bridged(of, bridge_sampler(of.prior), sigmas=EDM)


def test_euler_maruyama_from_pure_noise_is_refused(bridge_parts, bridge_sampler, bridged):
    of = bridge_parts("t2v")
    with pytest.raises(ValueError, match="solver euler_maruyama cannot begin on pure noise .noise level 1.: take sde"):
        bridged(of, bridge_sampler(of.prior, solver="euler_maruyama"), sigmas=(1.0, 0.5, 0.0))


@pytest.mark.parametrize("kind", ["COSMOS_RFLOW", "IMG_TO_IMG", "IMG_TO_IMG_FLOW"])
@pytest.mark.parametrize("mode", MODES)
def test_a_model_whose_way_with_noise_is_not_known_is_refused(
    bridge_parts, bridge_sampler, bridged, watched, mode, kind
):
    import comfy.model_sampling as sampling

    of = bridge_parts("t2v")
    model, calls = watched(of.model)
    known = type("ModelSampling", (sampling.ModelSamplingDiscreteFlow, getattr(sampling, kind)), {})
    model.add_object_patch("model_sampling", known(model.model.model_config))
    message = f"how this model takes its noise is not known .*{kind}.*. Connect Wan, HunyuanVideo or SVD"
    with pytest.raises(ValueError, match=message):
        bridged(of, bridge_sampler(of.prior, mode), model)
    assert calls == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("mode", MODES)
def test_values_that_are_no_numbers_stop_it_and_the_step_is_named(bridge_parts, bridge_sampler, bridged, mode, bad):
    of, calls = bridge_parts("t2v"), []
    model = of.model.clone()

    def wrapper(apply, args):
        calls.append(args["timestep"])
        return apply(args["input"], args["timestep"], **args["c"]) * (bad if len(calls) == 2 else 1.0)

    model.set_model_unet_function_wrapper(wrapper)
    with pytest.raises(ValueError, match=r"values that are not numbers .NaN or infinite. in step 2 of 3"):
        bridged(of, bridge_sampler(of.prior, mode), model)
    assert len(calls) == 2


# the prior as condition


@pytest.mark.parametrize(("kind", "channels"), [("t2v", 0), ("ti2v_5b", 0), ("hunyuan", 0), ("svd", 4)])
def test_a_model_without_wan_s_condition_is_refused(bridge_parts, bridge_sampler, bridged, watched, kind, channels):
    of = bridge_parts(kind)
    model, calls = watched(of.model)
    message = (
        f"prior_as_condition needs a Wan I2V or FLF2V model with its 20 condition channels, this one has {channels}"
    )
    with pytest.raises(
        ValueError, match=f"Bridge Sampler: {message}: switch it off, or condition with Keyframes to Wan"
    ):
        bridged(of, bridge_sampler(of.prior, prior_as_condition=True), model)
    assert not any(hasattr(call, "result") for call in calls)


def test_context_windows_are_refused_with_the_prior_as_condition_and_taken_without(
    host, bridge_parts, bridge_sampler, bridged
):
    of = bridge_parts("flf2v")
    windows = host.NODE_CLASS_MAPPINGS["WanContextWindowsManual"]
    model = windows.execute(of.model, 9, 1, "standard_static", 1, False, "flat", False).args[0]
    assert bridged(of, bridge_sampler(of.prior, "saf"), model).isfinite().all()
    message = (
        r"shows the whole prior, but the model is given a part of the video, 3 latent frames of 6x4 of 5 latent frames"
    )
    with pytest.raises(ValueError, match=message):
        bridged(of, bridge_sampler(of.prior, "saf", prior_as_condition=True), model)

"""Both directions of SVD through the host's guider and samplers, against runs of the official codes (golden/svd)."""

import json
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file

MPD = {"sequential": {"early": 0.2}, "parallel": {"early": 0.1}}
NEUTRAL = {"min_cfg": 1.0, "max_cfg": 1.0, "cfg_schedule": "symmetric", "fuse": "mean"}
GI = {"min_cfg": 1.0, "max_cfg": 3.0}


@pytest.fixture(scope="module")
def data(golden):
    folder = golden("svd/cond.safetensors").parent
    names = ("cond", "gi_runs", "gi_step", "trf_runs", "vibid_mpd_runs", "gi_delta_comfy")
    return {"folder": folder, **{name: load_file(folder / f"{name}.safetensors") for name in names}}


@pytest.fixture(scope="module")
def svd(host, data):
    """The small SVD of the golden data in the host's own classes, as a model patcher."""
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models

    config = comfy.supported_models.SVD_img2vid(json.loads((data["folder"] / "unet_config.json").read_text()))
    sizes = {"num_heads": -1, "num_head_channels": 16, "attn_precision": torch.float32, "dtype": torch.float32}
    config.unet_config.update(sizes)
    config.set_inference_dtype(torch.float32, None)
    model = comfy.model_base.SVD_img2vid(config, device="cpu")
    weights = load_file(data["folder"] / "unet_comfy.safetensors")
    model.diffusion_model.load_state_dict({key: value.float() for key, value in weights.items()})
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model.eval(), cpu, cpu)


@pytest.fixture(scope="module")
def guided(svd, data):
    """The guider on the golden pictures. motion: backward-motion deltas; turn: rotated layers."""
    from pack.patches.temporal_maps_host import MirroredAttention
    from pack.samplers.bidirectional_guider_host import KEYFRAME, BidirectionalGuider

    pictures = data["cond"]

    def conditionings(end: str) -> tuple[list, list]:
        values = {"motion_bucket_id": 127, "fps": 7, "augmentation_level": 0.02}
        token, concat = pictures[f"clip_{end}"], pictures[f"concat_{end}"]
        clean = {KEYFRAME: pictures[f"latent_{end}_clean_unscaled"]}
        positive = [[token, {**values, **clean, "concat_latent_image": concat}]]
        return positive, [[torch.zeros_like(token), {**values, "concat_latent_image": torch.zeros_like(concat)}]]

    def make(turn="none", motion=None, **options):
        guider = BidirectionalGuider(svd, MirroredAttention(turn, motion), **options)
        guider.set_directions(conditionings("start"), conditionings("end"))
        return guider

    return make


@pytest.fixture
def run(data, monkeypatch):
    """Samples with the saved noise; returns the estimates that the host's preview saw, and the final latent."""
    import comfy.k_diffusion.sampling

    def sample(guider, sampler, sigmas, noises=()):
        left = iter(noises)
        monkeypatch.setattr(
            comfy.k_diffusion.sampling, "default_noise_sampler", lambda x, seed=None: lambda *levels: next(left).to(x)
        )
        start = data["cond"]["noise_init_unit"] * (1 + sigmas[0] ** 2).sqrt()
        highest = float(guider.model_patcher.get_model_object("model_sampling").sigma_max)
        scale = (1 + sigmas[0] ** 2).sqrt() if float(sigmas[0]) >= highest * (1 - 1e-3) else sigmas[0]
        seen = []
        final = guider.sample(
            start / scale,
            torch.zeros_like(start),
            sampler,
            sigmas,
            callback=lambda step, x0, x, total: seen.append(x0.clone()),
            disable_pbar=True,
            seed=0,
        )
        assert next(left, None) is None, "not all of the saved noise was used"
        return seen, final * 0.18215

    return sample


@pytest.mark.parametrize("name", ["avg_norec", "wavg_norec", "avg_rec", "wavg_rec", "noft_up_avg_norec"])
def test_generative_inbetweening(name, data, guided, run):
    from pack.samplers.bidirectional_samplers_host import recurrent_sampler

    runs = data["gi_runs"]
    weighted = name.startswith("wavg")
    turn, motion = ("up", None) if name.startswith("noft") else ("all", deltas(data))
    how = (
        {"cfg_schedule": "per_direction", "fuse": "linear"}
        if weighted
        else {"cfg_schedule": "symmetric", "fuse": "mean"}
    )
    sampler = recurrent_sampler("repeat", repeats=2 if name.endswith("_rec") else 0, until=0.5)
    seen, final = run(guided(turn, motion, **GI, **how), sampler, runs["sigmas"], runs.get(f"{name}/noise", ()))
    assert len(seen) == len(runs[f"{name}/eval_step_index"])
    if f"{name}/denoised" in runs:
        torch.testing.assert_close(torch.stack(seen), runs[f"{name}/denoised"], atol=2e-4, rtol=0)
    torch.testing.assert_close(final, runs[f"{name}/x_step_end"][-1], atol=2e-4, rtol=0)


def test_time_reversal_fusion(data, guided, run):
    from pack.samplers.bidirectional_samplers_host import recurrent_sampler

    runs = data["trf_runs"]
    guider = guided(**GI, cfg_schedule="per_direction", fuse="linear")
    sampler = recurrent_sampler("jump", repeats=1, until=0.5, jump_length=2)
    seen, final = run(guider, sampler, runs["sigmas"], runs["noise"])
    assert len(seen) == int((runs["entry_kind"] == 0).sum())
    torch.testing.assert_close(final, runs["fixed_cin/x_after_entry"][-1], atol=2e-4, rtol=0)


@pytest.mark.parametrize(("name", "cfg"), [("vibid_cfg1", 1.0), ("vibid_cfg", 2.0)])
def test_vibid(name, cfg, data, guided, run):
    from pack.samplers.bidirectional_samplers_host import vibid_sampler

    runs = data["vibid_mpd_runs"]
    guider = guided(**{**NEUTRAL, "min_cfg": cfg, "max_cfg": cfg})
    _, final = run(guider, vibid_sampler(), runs[f"{name}/sigmas"], runs["noise"][:5])
    torch.testing.assert_close(final, runs[f"{name}/x_after_step"][-1], atol=2e-4, rtol=0)


def official_vibid(scales):
    """The official loop with one scale for each direction (cfg_scale, cfg_scale_flip), written out as a SAMPLER.

    x_u + s (x_c - x_u), the other keyframe in the last frame, the step along the unguided estimate, noise between.
    """
    import comfy.k_diffusion.sampling
    import comfy.samplers

    def sample(model, x, sigmas, extra_args, callback, disable):
        noise = comfy.k_diffusion.sampling.default_noise_sampler(x, seed=0)
        directions = model.inner_model.directions(extra_args)
        for sigma, following in pairwise(sigmas):
            for backward in (False, True):
                conditioned, unguided = directions.predict(x, sigma, backward)
                denoised = unguided + scales[backward] * (conditioned - unguided)
                denoised[-1:] = directions.keyframes[0 if backward else 1]
                x = denoised + following * (x - unguided) / sigma
                if not backward:
                    x = x + (sigma**2 - following**2).sqrt() * noise(sigma, following)
                x = x.flip(0)
        return x

    return comfy.samplers.KSAMPLER(sample)


def test_the_official_loop_written_out_is_that_of_the_golden_run(data, guided, run):
    runs = data["vibid_mpd_runs"]
    _, final = run(guided(**NEUTRAL), official_vibid((2.0, 2.0)), runs["vibid_cfg/sigmas"], runs["noise"][:5])
    torch.testing.assert_close(final, runs["vibid_cfg/x_after_step"][-1], atol=2e-4, rtol=0)


def test_each_direction_of_vibid_has_a_scale_of_its_own(data, guided, run):
    from pack.samplers.bidirectional_samplers_host import vibid_sampler

    runs, forward, backward = data["vibid_mpd_runs"], 1.7, 1.3
    sigmas, noise = runs["vibid_cfg/sigmas"], runs["noise"][:5]
    _, expected = run(guided(**NEUTRAL), official_vibid((forward, backward)), sigmas, noise)
    options = {"min_cfg": forward, "max_cfg": forward, "cfg_schedule": "symmetric", "fuse": "mean"}
    _, final = run(guided(**options, backward_cfg_scale=backward / forward), vibid_sampler(), sigmas, noise)
    torch.testing.assert_close(final, expected, atol=2e-4, rtol=0)
    _, alike = run(guided(**options), vibid_sampler(), sigmas, noise)
    assert not torch.allclose(alike, expected, atol=1e-2)


@pytest.mark.parametrize("level", ["", "_lowsig"])
@pytest.mark.parametrize(("base", "name", "noises"), [("sequential", "mpd_seq", 12), ("parallel", "mpd_par", 14)])
def test_motion_prior_distillation(base, name, noises, level, data, guided, run):
    from pack.samplers.bidirectional_samplers_host import mpd_sampler

    runs = data["vibid_mpd_runs"]
    sampler = mpd_sampler(base, repeats=3, **MPD[base])
    _, final = run(guided(**NEUTRAL), sampler, runs[f"{name}{level}/sigmas"], runs["noise"][:noises])
    torch.testing.assert_close(final, runs[f"{name}{level}/x_after_step"][-1], atol=2e-4, rtol=0)


def deltas(data):
    """The 32 deltas of the golden fine-tune, by the host's names."""
    return {key.removeprefix("delta/"): value for key, value in data["gi_delta_comfy"].items() if "delta/" in key}

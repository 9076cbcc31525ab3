"""Anchor candidates: a sampling run that stops early and decodes the clean estimate of its last step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import comfy.model_base  # to tell the video models this was made for from others
import comfy.model_management
import comfy.sample  # fix_empty_latent_channels, as the host's own samplers call it
import comfy.utils
import latent_preview  # the host's preview and progress callback
import torch
from torch import Tensor

from .conditioned_video import check_guided_video
from .partial_schedule import AUTO, steps_until

FAMILIES = (comfy.model_base.WAN21, comfy.model_base.HunyuanVideo)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Frames [N,H,W,3] in 0..1, the latent they were decoded from, and the report."""

    frames: Tensor
    latent: dict[str, Any]
    report: str


@torch.no_grad()
def sample_candidates(
    noise: Any,
    guider: Any,
    sampler: Any,
    sigmas: Tensor,
    latent_image: dict[str, Any],
    vae: Any,
    stop_step: int = AUTO,
    stop_sigma: float = 0.0,
) -> Candidates:
    """The clean estimate x0_hat at the last of K evaluated steps, decoded.

    x0_hat = x_t - sigma v for flow models (the host's `denoised`). Equals the host's SplitSigmas at K, then
    SamplerCustomAdvanced's second output, then VAEDecode. Source: AFB Design 1.
    Differences: the paper writes x0_hat in DDPM form; K may be given as a noise level.

    Args:
        noise, guider, sampler, sigmas, latent_image: as SamplerCustomAdvanced; sigmas [S+1].
        vae: decodes the estimate; its latent channels must be the model's.
        stop_step: K, 0 for all steps, -1 for 30 % of them. stop_sigma: noise level to stop at, 0 to stop by step.
    Raises:
        ValueError: the stop is outside the schedule, or model, latent and VAE do not belong together.
    Cost: K model evaluations (each with its conditionings) and one VAE decode.
    """
    patcher = guider.model_patcher
    steps = steps_until(sigmas, stop_step, stop_sigma)
    _check_family(patcher)
    _check_video(latent_image["samples"])
    samples = comfy.sample.fix_empty_latent_channels(patcher, latent_image["samples"])
    _check_channels(patcher, samples, vae)
    check_guided_video("latent_image", samples, guider)
    start = {**latent_image, "samples": samples}
    found: dict[str, Tensor] = {}
    sampled = guider.sample(
        noise.generate_noise(start),
        samples,
        sampler,
        sigmas[: steps + 1],
        denoise_mask=start.get("noise_mask"),
        callback=latent_preview.prepare_callback(patcher, steps, found),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=noise.seed,
    )
    # a sampler that never calls back has no estimate; like the host, take what it returned
    device = comfy.model_management.intermediate_device()
    estimate = patcher.model.process_latent_out(found["x0"].cpu()) if "x0" in found else sampled.to(device)
    comfy.model_management.throw_exception_if_processing_interrupted()
    frames = vae.decode(estimate)
    frames = frames.reshape(-1, *frames.shape[-3:])  # [B,N,H,W,3] -> [B*N,H,W,3]
    share = "all" if steps == len(sigmas) - 1 else "30 %"
    chosen = f" ({share}, as stop_step -1 chooses)" if stop_step == AUTO and stop_sigma == 0 else ""
    report = (
        f"{len(frames)} candidate frames, {frames.shape[2]}x{frames.shape[1]}, after {steps} of {len(sigmas) - 1} "
        f"steps{chosen}. Noise level {float(sigmas[0]):.4g} -> {float(sigmas[steps]):.4g}; the clean estimate is the "
        f"one made at {float(sigmas[steps - 1]):.4g}. {_cost(guider, steps, len(sigmas) - 1)}"
    )
    return Candidates(frames, {**start, "samples": estimate}, report)


def _cost(guider: Any, steps: int, whole: int) -> str:
    """What the early stop costs beside a whole run, in a sentence; for a sampler of one evaluation a step."""
    twice = "negative" in getattr(guider, "original_conds", {}) and not math.isclose(getattr(guider, "cfg", 1.0), 1.0)
    double = ", each doing the work of two (prompt and negative prompt)" if twice else ""
    return (
        f"Cost: {steps} model call{'s' if steps > 1 else ''}{double}, and one decode: with a run of all {whole} steps "
        f"behind it, {1 + steps / whole:.3g} times that run."
    )


def _check_family(patcher: Any) -> None:
    """Raises ValueError if the model is of a family that anchors were not made for."""
    if not isinstance(patcher.model, FAMILIES):
        raise ValueError(
            f"the guider's model is {type(patcher.model).__name__}; reverse candidates need Wan 2.1, Wan 2.2 or "
            f"HunyuanVideo."
        )


def _check_video(samples: Tensor) -> None:
    """Raises ValueError for a latent that is no video's."""
    if samples.ndim != 5:
        raise ValueError(
            f"latent_image is a picture's latent ({'x'.join(map(str, samples.shape))}), this model needs a video's: "
            f"connect the latent of the conditioning node."
        )


def _check_channels(patcher: Any, samples: Tensor, vae: Any) -> None:
    """Raises ValueError if model, latent and VAE do not belong together."""
    wanted = patcher.model.latent_format.latent_channels
    if samples.shape[1] != wanted:
        raise ValueError(
            f"latent_image has {samples.shape[1]} channels, this model's latents have {wanted}: connect the latent of "
            f"the conditioning node."
        )
    if vae.latent_channels != wanted:
        raise ValueError(f"vae has {vae.latent_channels} latent channels, this model makes {wanted}: load its own VAE.")

"""A prior by one call of a model that was trained to guess the video from its keyframes.

z_T = F(z^i, c): the model's clean estimate of the replicated (or interpolated) keyframes, taken as they are for a noisy
video at the noise level LEVEL, the only one that such a model knows.
Source: FrameBridge, Section 4.3. Differences: the paper leaves the network's time input out; here it is held fixed, so
that the host's models and weights patches serve as they are. The keyframes' own latents are put back into the estimate,
which Bridge Sampler pins. See training/neural_prior.py.
"""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.sample  # fix_empty_latent_channels, as the host's own samplers call it
import comfy.samplers
import torch
from torch import Tensor

from .bridge import PLACES, VAE_FAMILY, prior_pin
from .conditioned_video import check_conditioned_video, check_family

LEVEL = 1.0  # inside every model's range: flow 0..1, SVD up to 700


@torch.no_grad()
def neural_prior(model: Any, positive: list, latent: dict[str, Any]) -> dict[str, Any]:
    """The host's latent with the estimate; what else the latent carries travels on.

    Args:
        model: a host model with weights trained as a prior. latent: a prior that is not learned, see `bridge_prior`.
    Raises:
        ValueError: a latent of another model, one that is all zero, or an estimate that is no number.
    Cost: one model call for each positive conditioning.
    """
    samples, size = latent["samples"], "x".join(map(str, latent["samples"].shape))
    video = model.model.latent_format.latent_dimensions == 3
    if samples.ndim != (5 if video else 4):
        raise ValueError(
            f"latent is {size}, this model's latents are those of {'videos' if video else 'pictures'}: make it with "
            f"Bridge Prior and the model's own VAE."
        )
    check_conditioned_video("latent", samples, (entry for _, entry, *_ in positive))
    check_family(latent.get(VAE_FAMILY, ""), type(model.model.latent_format).__name__)
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    channels = model.model.latent_format.latent_channels
    if samples.shape[1] != channels:
        raise ValueError(
            f"latent has {samples.shape[1]} channels, this model's latents have {channels}: make it with the model's "
            f"own VAE."
        )
    if not samples.any():
        raise ValueError("latent is all zero: connect the prior of Bridge Prior, which holds the keyframes.")
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(positive, [])
    guider.set_cfg(1.0)
    levels = torch.tensor([LEVEL, 0.0])
    made = guider.sample(torch.zeros_like(samples), samples, _OneCall(), levels, disable_pbar=True, seed=0)
    made = made.to(comfy.model_management.intermediate_device())
    if not torch.isfinite(made).all():
        raise ValueError("model gave values that are no numbers: is it trained as a prior, in a precision it can take?")
    places = latent.get(PLACES)
    return {**latent, "samples": prior_pin(samples, places)(made) if places else made}


class _OneCall(comfy.samplers.Sampler):
    """The clean estimate of the latent image as it is."""

    def sample(
        self,
        model_wrap: Any,
        sigmas: Tensor,
        extra_args: dict[str, Any],
        callback: Any,
        noise: Tensor,
        latent_image: Tensor,
        denoise_mask: Tensor | None = None,
        disable_pbar: bool = False,
    ) -> Tensor:
        return model_wrap(latent_image, sigmas[:1].expand(len(latent_image)), **extra_args)

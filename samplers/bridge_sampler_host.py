"""The bridge as a host SAMPLER: from a prior to a video, with the host's noise, preview, masks, progress and cancel."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import comfy.k_diffusion.sampling  # default_noise_sampler, the host's own seeded noise
import comfy.model_sampling  # to tell flow models from those that add noise
import comfy.samplers
import torch
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .bridge import (
    PLACES,
    VAE_FAMILY,
    Pin,
    check_prior,
    check_solver,
    frame_axis,
    prior_pin,
    sample_bridge,
)
from .bridge_schedule import BridgeSchedule, bridge_times
from .call_count import call_count
from .conditioned_video import check_family, check_guided_video
from .recurrence import check_schedule
from .sdedit import Level, levels_of, noised, sample_sdedit
from .snr_alignment import LARGEST_TAU, AlignedInput, edm_input, flow_input, mixture_to_z0, mode_centring

MODES = ("saf", "partial", "unaligned", "sdedit")
KEY = "inbetween.bridge"
NODE = "Bridge Sampler"
MASK_CHANNELS, IMAGE_CHANNELS = 4, 16  # what Wan's condition holds
SMALLEST_SHARE = 0.01  # of the prior in what sdedit begins on, below which the log tells
ADDED_NOISE = (comfy.model_sampling.EPS, comfy.model_sampling.V_PREDICTION, comfy.model_sampling.EDM)
NO_NOISE = (comfy.model_sampling.IMG_TO_IMG, comfy.model_sampling.IMG_TO_IMG_FLOW)  # they take a picture instead


@dataclass(frozen=True)
class BridgeSettings:
    """What an artist chose; see `bridge`, `snr_alignment` and `sdedit`.

    prior_as_condition: the prior takes the place of the condition's pictures, as in training/bridge.py.

    Raises:
        ValueError: an unknown mode or solver, or centring outside 0..1.
    """

    mode: str = "sdedit"
    solver: str = "sde"
    centring: float = 1.0
    pin_keyframes: bool = True
    prior_as_condition: bool = False
    schedule: BridgeSchedule = field(default_factory=BridgeSchedule)

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}.")
        check_solver(self.solver)
        mode_centring("partial", self.centring)

    @property
    def shown_centring(self) -> float:
        """centring as the mode has it; sdedit has none."""
        return 1.0 if self.mode == "sdedit" else mode_centring(self.mode, self.centring)


class BridgeSampler(comfy.samplers.Sampler):
    """Goes from a prior to a video.

    The latent image counts only where a noise mask keeps it: there it is the prior too. The run's noise is the first
    one that is drawn, the others come from its seed.
    """

    def __init__(self, prior: Mapping[str, Any], settings: BridgeSettings) -> None:
        """prior: a host latent, see `frames.bridge_prior_host`.

        Raises:
            ValueError: a prior that is all zero or holds no numbers; pin_keyframes and a prior that names no keyframe.
        """
        check_prior(prior["samples"], prior["samples"].shape)
        if settings.pin_keyframes and not prior.get(PLACES):
            raise ValueError(
                "pin_keyframes is on, but prior does not say where its keyframes are: take it from Bridge Prior with "
                "a keyframe of strength 1, or switch pin_keyframes off."
            )
        self._prior, self._settings = prior, settings

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
        """The host's call; latents are in the model's scale here.

        Raises:
            ValueError: sigmas that are no schedule or stop half way, no noise, a prior of another shape, or a model of
                another kind.
        """
        check_schedule(sigmas)
        check_guided_video("latent_image", noise, model_wrap)
        settings, base = self._settings, model_wrap.inner_model
        flow = is_flow(base.model_sampling)
        _check_run(settings.mode, sigmas, noise)
        prior = self._prior_like(noise, base)
        if denoise_mask is not None:
            prior = prior * denoise_mask + latent_image * (1 - denoise_mask)
        pin = self._pin(prior)
        options = extra_args.get("model_options", {})
        if settings.prior_as_condition:
            options = _with_prior_as_condition(options, prior)
        steps = len(sigmas) - 1
        times, centring = bridge_times(steps), settings.shown_centring
        aligned = _aligned_input(base.model_sampling, flow, settings.schedule, centring)
        if settings.mode != "sdedit":
            sigmas = _levels(aligned, times, settings.schedule).to(sigmas)
            options = _with_options(options, sample_sigmas=sigmas)
        seed = extra_args.get("seed")
        seeded = comfy.k_diffusion.sampling.default_noise_sampler(noise, seed=seed)
        masked = comfy.samplers.KSamplerX0Inpaint(model_wrap, sigmas)
        masked.latent_image, masked.noise = latent_image, noise

        def estimate(x: Tensor, level: float) -> Tensor:
            return masked(x, x.new_full((len(x),), level), denoise_mask, model_options=options, seed=seed)

        def told(state: Mapping[str, Any]) -> None:
            if callback is not None:
                callback(state["i"], state["denoised"], state["x"], steps)

        calls = 2 * steps - 1 if settings.solver == "ode_2" else steps
        logging.info(call_count("Bridge Sampler", steps, calls, steps))
        if settings.mode == "sdedit":
            levels = levels_of(sigmas, flow)
            _tell_if_forgotten(levels[0])
            x = sample_sdedit(estimate, noised(prior, noise, levels[0]), levels, settings.solver, seeded, told, pin)
            return base.model_sampling.inverse_noise_scaling(sigmas[-1], x)

        def denoise(z: Tensor, t: float) -> Tensor:
            given = aligned(z, prior, t)
            return mixture_to_z0(estimate(given.x, float(given.level)), prior, t, settings.schedule, centring)

        def drawn(t: float, s: float) -> Tensor:
            return noise if t == 1 else seeded(t, s)  # the run's own noise begins

        return sample_bridge(settings.solver, denoise, prior, times, drawn, settings.schedule, told, pin)

    def _prior_like(self, noise: Tensor, base: Any) -> Tensor:
        """The prior in the model's scale, for every video of a batch."""
        given = self._prior["samples"]
        check_family(self._prior.get(VAE_FAMILY, ""), type(base.latent_format).__name__)
        if given.ndim == noise.ndim == 5 and len(given) == 1:
            given = given.expand(len(noise), *given.shape[1:])
        if given.shape[1] != noise.shape[1]:
            raise ValueError(
                f"{NODE}: prior has {given.shape[1]} latent channels, this model's latents have {noise.shape[1]}: make "
                f"it with the VAE of this model."
            )
        check_prior(given, noise.shape)
        return base.process_latent_in(given.to(noise))

    def _pin(self, prior: Tensor) -> Pin | None:
        """What puts the keyframes into every clean estimate."""
        if not self._settings.pin_keyframes:
            return None
        places, frames = self._prior[PLACES], prior.shape[frame_axis(prior)]
        if max(places) >= frames:
            raise ValueError(
                f"{NODE}: prior has a keyframe at latent frame {max(places)}, but only {frames} latent "
                f"frames: it was cut after it was made. Make it anew, or switch pin_keyframes off."
            )
        return prior_pin(prior, places)


def is_flow(sampling: Any) -> bool:
    """Whether a model mixes noise in (Wan, HunyuanVideo) or adds it (SVD).

    Raises:
        ValueError: neither of them.
    """
    known = not isinstance(sampling, NO_NOISE)
    if known and isinstance(sampling, comfy.model_sampling.CONST):
        return True
    if known and isinstance(sampling, ADDED_NOISE):
        return False
    kinds = ", ".join(kind.__name__ for kind in type(sampling).__mro__[1:-1])
    raise ValueError(
        f"{NODE}: how this model takes its noise is not known ({kinds}). Connect Wan, HunyuanVideo or SVD."
    )


def _check_run(mode: str, sigmas: Tensor, noise: Tensor) -> None:
    """Raises ValueError for a run without noise, and for a bridge that is to end half way."""
    if not noise.any():
        raise ValueError(
            f"{NODE}: the run has no noise. Connect RandomNoise in place of DisableNoise; what another sampler began "
            f"cannot be continued here."
        )
    if mode != "sdedit" and sigmas[-1] > 0:
        raise ValueError(
            f"{NODE}: mode {mode} walks the whole bridge in one run, but sigmas end at {float(sigmas[-1]):.4g}: "
            f"connect all of the scheduler's, or take mode sdedit, which another sampler can continue."
        )


def _tell_if_forgotten(level: Level) -> None:
    if level.alpha < SMALLEST_SHARE * (level.alpha + level.sigma):
        logging.warning(
            f"{NODE}: at noise level {level.given:.4g}, where sampling begins, next to nothing is left of the prior. "
            f"Lower denoise in the scheduler."
        )


def _aligned_input(
    sampling: Any, flow: bool, schedule: BridgeSchedule, centring: float
) -> Callable[[Tensor, Tensor, float], AlignedInput]:
    """What the model is given for a point of the bridge, the prior and a time."""
    align, largest = (flow_input, LARGEST_TAU) if flow else (edm_input, float(sampling.sigma_max))
    return lambda z, prior, t: align(z, prior, t, schedule, largest, centring)


def _levels(
    aligned: Callable[[Tensor, Tensor, float], AlignedInput], times: Sequence[float], schedule: BridgeSchedule
) -> Tensor:
    """The noise levels [S+1] at which the model is asked; what reads the host's schedule finds its step by them.

    The log tells where the model knows no level as high as the bridge's.
    """
    point = torch.zeros(1)
    given = [aligned(point, point, t) for t in times[:-1]]
    over = sum(one.clamped for one in given)
    if over:
        logging.warning(
            f"{NODE}: with schedule {schedule.name}, beta_0 {schedule.beta_0:g} and beta_1 {schedule.beta_1:g}, {over} "
            f"of {len(given)} steps are noisier than this model knows; there it is told its highest noise level, "
            f"{float(given[0].level):.4g}. Take schedule gmax, or lower beta_1."
        )
    return torch.tensor([float(one.level) for one in given] + [0.0])


def _with_prior_as_condition(options: Mapping[str, Any], prior: Tensor) -> dict[str, Any]:
    """A copy of model options in which Wan's condition shows the prior; its mask stays."""

    def apply(executor: Any, x: Tensor, t: Tensor, c_concat: Tensor | None = None, *args: Any, **kwargs: Any) -> Any:
        channels = 0 if c_concat is None else c_concat.shape[1]
        if c_concat is None or channels != MASK_CHANNELS + IMAGE_CHANNELS or prior.shape[1] != IMAGE_CHANNELS:
            raise ValueError(
                f"{NODE}: prior_as_condition needs a Wan I2V or FLF2V model with its 20 condition channels, this one "
                f"has {channels}: switch it off, or condition with Keyframes to Wan."
            )
        if c_concat.shape[2:] != prior.shape[2:]:
            raise ValueError(
                f"{NODE}: prior_as_condition shows the whole prior, but the model is given a part of the video, "
                f"{_size(c_concat)} of {_size(prior)}: take out context windows and areas, or switch it off."
            )
        pictures = prior.to(c_concat).repeat(len(c_concat) // len(prior), 1, 1, 1, 1)
        shown = c_concat.clone()
        shown[:, MASK_CHANNELS:] = pictures
        return executor(x, t, shown, *args, **kwargs)

    wrappers = options.get("transformer_options", {}).get("wrappers", {})
    wrappers = {kind: dict(keys) for kind, keys in wrappers.items()}
    wrappers.setdefault(WrappersMP.APPLY_MODEL, {})[KEY] = [apply]
    return _with_options(options, wrappers=wrappers)


def _with_options(options: Mapping[str, Any], **given: Any) -> dict[str, Any]:
    """A copy of model options with other transformer options."""
    return {**options, "transformer_options": {**options.get("transformer_options", {}), **given}}


def _size(latent: Tensor) -> str:
    frames, height, width = latent.shape[2:]
    return f"{frames} latent frames of {width}x{height}"

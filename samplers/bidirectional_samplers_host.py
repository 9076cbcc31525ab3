"""The samplers for SVD's two directions as the host's SAMPLER objects, with its noise, preview, progress and cancel."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import comfy.k_diffusion.sampling  # default_noise_sampler, the host's own seeded noise
import comfy.samplers
from torch import Tensor

from .call_count import call_count
from .motion_distillation import check_distillation, distillation_predictions, sample_mpd
from .recurrence import check_order, check_schedule, evaluations, sample_recurrent, step_order
from .vibid import Directions, sample_vibid, vibid_predictions


def recurrent_sampler(
    pattern: str = "repeat", repeats: int = 5, until: float = 0.5, jump_length: int = 5, noise_scale: float = 1.0
) -> Any:
    """A SAMPLER of Euler steps that go back; see `recurrence`. For models whose noise is added (SVD).

    Raises:
        ValueError: an unknown pattern or a number out of range.
    """
    check_order(pattern, repeats, until, jump_length)

    def sample(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict, callback: Any, disable: Any) -> Tensor:
        check_schedule(sigmas)
        _check_noise_is_added(model, "Recurrent Sampler")
        order = step_order(len(sigmas) - 1, pattern, repeats, until, jump_length)
        steps, directions = len(sigmas) - 1, 2 if hasattr(model.inner_model, "directions") else 1
        logging.info(call_count("Recurrent Sampler", steps, directions * evaluations(order), directions * steps))
        noise = _noise(x, extra_args)
        return sample_recurrent(model, x, sigmas, order, noise, extra_args, callback, noise_scale)

    return comfy.samplers.KSAMPLER(sample)


def vibid_sampler(end_strength: float = 1.0, cfg_pp: bool = True, renoise: bool = True) -> Any:
    """A SAMPLER that goes through both directions one after the other; see `vibid`.

    Raises:
        ValueError: end_strength outside 0..1.
    """
    if not 0 <= end_strength <= 1:
        raise ValueError(f"end_strength is {end_strength:g}: use 0 (off) to 1 (the keyframe itself).")

    def sample(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict, callback: Any, disable: Any) -> Tensor:
        check_schedule(sigmas)
        directions, steps = _directions(model, extra_args, "ViBiD Sampler"), len(sigmas) - 1
        logging.info(call_count("ViBiD Sampler", steps, vibid_predictions(sigmas, renoise), 2 * steps))
        return sample_vibid(directions, x, sigmas, _noise(x, extra_args), callback, end_strength, cfg_pp, renoise)

    return comfy.samplers.KSAMPLER(sample)


def mpd_sampler(
    base: str = "sequential", early: float = 0.2, repeats: int = 3, shift: float = 1.0, ramp: bool = False
) -> Any:
    """A SAMPLER whose backward pass is early on made from the forward one; see `motion_distillation`.

    Raises:
        ValueError: an unknown base or a number out of range.
    """
    check_distillation(base, early, repeats)

    def sample(model: Any, x: Tensor, sigmas: Tensor, extra_args: dict, callback: Any, disable: Any) -> Tensor:
        check_schedule(sigmas)
        directions, steps = _directions(model, extra_args, "MPD Sampler"), len(sigmas) - 1
        calls = distillation_predictions(steps, base, early, repeats)
        logging.info(call_count("MPD Sampler", steps, calls, 2 * steps))
        return sample_mpd(directions, x, sigmas, _noise(x, extra_args), callback, base, early, repeats, shift, ramp)

    return comfy.samplers.KSAMPLER(sample)


def _noise(x: Tensor, extra_args: dict[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """Unit noise from the run's seed."""
    return comfy.k_diffusion.sampling.default_noise_sampler(x, seed=extra_args.get("seed"))


def _directions(model: Any, extra_args: dict[str, Any], sampler: str) -> Directions:
    """The guider's directions.

    Raises:
        ValueError: the guider does not offer them.
    """
    guider = model.inner_model
    if not hasattr(guider, "directions"):
        raise ValueError(f"{sampler} needs the Bidirectional Guider; this guider predicts in one direction only.")
    return guider.directions(extra_args)


def _check_noise_is_added(model: Any, sampler: str) -> None:
    """Raises ValueError for a model whose noise is mixed in (flow), where noise cannot be put back by adding it."""
    sampling = model.inner_model.inner_model.model_sampling
    if float(sampling.sigma_max) <= 1.0:
        raise ValueError(
            f"{sampler} is for SVD; this model's noise levels end at {float(sampling.sigma_max):g} (flow)."
        )

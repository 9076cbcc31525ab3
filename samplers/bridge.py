"""Sampling of a bridge: from the prior, a first guess of the video, to a video; four solvers. Pure torch.

paper        here              shape     unit
z_t          z                 [B,...]   latent at bridge time t (1 the prior, 0 the video)
z_T          prior             [B,...]   the replicated or interpolated keyframes, scale of the model
z0_hat       denoised          [B,...]   the model's estimate of z_0
t -> s       t, s              --        bridge time, s < t
h            bridge_pull       [B,...]   grad log p(z_T | z_t)
s            bridge_score      [B,...]   grad log p(z_t | z_T)
sigma~       --                --        sigma / alpha

Every solver ends on z0_hat where its last time is 0. a, b, c, r and the times: see bridge_schedule.
Source: FrameBridge, ICML 2025, sections 3-4 and appendix A, and its code; first-order solvers after Bridge-TTS,
arXiv:2312.03491; the second-order one is ours.
Differences: eq. 15 has h with another sign and without a factor, here it is the gradient. The code starts on the prior
itself at t = 1000/1001; that leaves out c eps, and its ODE then ends with half the variance. Its "order 2" is of order
1. Here the start has its noise (`start` takes any other, the code's too) and ode_2 is of order 2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from .bridge_schedule import BridgeSchedule, Time, as_float64, per_sample

SOLVERS = ("sde", "ode", "ode_2", "euler_maruyama")
Denoise = Callable[[Tensor, float], Tensor]  # (z, t) -> z0_hat
Noise = Callable[[float, float], Tensor]  # (t, s) -> unit noise like z
Pin = Callable[[Tensor], Tensor]
VAE_FAMILY = "inbetween_vae"  # in a prior: the models that its VAE belongs to
PLACES = "inbetween_keyframes"  # in a prior as a host latent: the latent frames that carry keyframes
Callback = Callable[[dict[str, Any]], None]


def bridge_sample(z_0: Tensor, prior: Tensor, noise: Tensor, t: Time, schedule: BridgeSchedule) -> Tensor:
    """A draw of the bridge between z_0 and the prior: a z_0 + b z_T + c eps.

    Args:
        z_0, prior, noise: [B, ...]; noise of unit size. t: a number or [B], 0..1.
    Returns:
        [B, ...]; exactly z_0 at t = 0 and the prior at t = 1.
    """
    a, b, c = (per_sample(value, z_0) for value in (schedule.a(t), schedule.b(t), schedule.c(t)))
    return a * z_0 + b * prior + c * noise


def bridge_start(prior: Tensor, noise: Tensor, t: float, schedule: BridgeSchedule) -> Tensor:
    """Where sampling begins: the bridge at t with the prior in the place of the unknown video, a p + b p + c eps.

    At 0.999 gmax's a is 0.002. The SDE forgets the guess; the ODE's mean keeps under 1 % of what it is wrong by.
    """
    return bridge_sample(prior, prior, noise, t, schedule)


def bridge_pull(z: Tensor, prior: Tensor, t: Time, schedule: BridgeSchedule) -> Tensor:
    """h = (z_T / alpha_T - z / alpha_t) / (alpha_t (sigma~_T^2 - sigma~_t^2)), what draws z to the prior.

    Raises:
        ValueError: t is 1, where it has no value.
    """
    _check_inside(t, "h", from_zero=True)
    alpha = schedule.alpha(t)
    spread = alpha * schedule.variance(1.0) * schedule.one_minus_r(t)
    return per_sample(1 / (schedule.alpha(1.0) * spread), z) * prior - per_sample(1 / (alpha * spread), z) * z


def bridge_score(z: Tensor, denoised: Tensor, prior: Tensor, t: Time, schedule: BridgeSchedule) -> Tensor:
    """s = -(z - a z0_hat - b z_T) / c^2; s - h = -(z - alpha z0_hat) / sigma^2.

    Raises:
        ValueError: t is 0 or 1, where it has no value.
    """
    _check_inside(t, "the score")
    a, b, c = (per_sample(value, z) for value in (schedule.a(t), schedule.b(t), schedule.c(t)))
    return -(z - a * denoised - b * prior) / c**2


def _check_inside(t: Time, name: str, from_zero: bool = False) -> None:
    times = as_float64(t)
    inside = (times < 1) & (times >= 0 if from_zero else times > 0)
    if not inside.all():
        raise ValueError(f"{name} has no value at bridge time {times.tolist()}: stay inside the bridge, as at 0.999.")


# steps


def sde_step(z: Tensor, denoised: Tensor, noise: Tensor, t: float, s: float, schedule: BridgeSchedule) -> Tensor:
    """First-order step of the backward SDE, also from t = 1.

    z_s = (alpha_s / alpha_t) q z + alpha_s (1 - q) z0_hat + sigma_s sqrt(1 - q) eps, q = sigma~_s^2 / sigma~_t^2.
    Source: FrameBridge's code, step. It is the DDPM posterior: the prior does not occur.
    """
    ratio = float(schedule.variance(s) / schedule.variance(t))
    alpha_s, alpha_t, sigma_s = (float(value) for value in (schedule.alpha(s), schedule.alpha(t), schedule.sigma(s)))
    return (alpha_s / alpha_t * ratio) * z + (alpha_s * (1 - ratio)) * denoised + (sigma_s * (1 - ratio) ** 0.5) * noise


def ode_step(z: Tensor, denoised: Tensor, prior: Tensor, t: float, s: float, schedule: BridgeSchedule) -> Tensor:
    """First-order step of the probability-flow ODE.

    With w = 1 - r: z_s / alpha_s = sqrt(r_s w_s / (r_t w_t)) z / alpha_t + (w_s - sqrt(w_t r_s w_s / r_t)) z0_hat
    + (r_s - sqrt(r_t r_s w_s / w_t)) z_T / alpha_T. Source: FrameBridge's code, bridge_ode_fn; its sigma~^2 is
    sigma~_T^2 r, its sigma-bar~^2 is sigma~_T^2 w.

    Raises:
        ValueError: t is 1, where the ODE is singular.
    """
    _check_inside(t, "a step of the ODE")
    r_t, w_t, r_s, w_s = (float(value(time)) for time in (t, s) for value in (schedule.r, schedule.one_minus_r))
    alpha_t, alpha_s, alpha_T = (float(schedule.alpha(time)) for time in (t, s, 1.0))
    keep = (r_s * w_s / (r_t * w_t)) ** 0.5
    towards = w_s - (w_t * r_s * w_s / r_t) ** 0.5
    back = r_s - (r_t * r_s * w_s / w_t) ** 0.5
    return (alpha_s / alpha_t * keep) * z + (alpha_s * towards) * denoised + (alpha_s / alpha_T * back) * prior


def euler_maruyama_step(
    z: Tensor, denoised: Tensor, noise: Tensor, t: float, s: float, schedule: BridgeSchedule
) -> Tensor:
    """Euler-Maruyama step of the backward SDE: z - (t - s) [f z + g^2 (z - alpha z0_hat) / sigma^2] + g sqrt(t - s) xi.

    The noise of a step to 0 would stay in the video: the sampler ends on z0_hat instead.
    """
    width, beta = t - s, float(schedule.beta(t))
    pull = beta / float(schedule.sigma(t)) ** 2
    kept = 1 - width * (float(schedule.drift(t)) + pull)
    return kept * z + (width * pull * float(schedule.alpha(t))) * denoised + (beta * width) ** 0.5 * noise


# samplers


def sample_bridge(
    solver: str,
    denoise: Denoise,
    prior: Tensor,
    times: Sequence[float],
    noise_sampler: Noise,
    schedule: BridgeSchedule,
    callback: Callback | None = None,
    pin: Pin | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Samples with one of SOLVERS.

    sde: first-order steps of the backward SDE, the solver of the paper. ode: first-order steps of the probability-flow
    ODE; noise is in the start alone. ode_2: each of them made again with the mean of z0_hat at its two ends (ours).
    euler_maruyama: the textbook's steps; they put in all of the base process's noise, those of sde only what z0_hat,
    taken for the truth, leaves: with few steps the one varies too much, the other too little. With vp and fewer than 5
    steps it overshoots. From t = 1, where the ODE is singular, the first step of every ODE is one of the SDE.

    Args:
        denoise: z0_hat [B, ...] from z and t. prior: [B, ...] in the model's scale.
        times: [S+1], falling, from `bridge_times` or `trailing_times`.
        noise_sampler: unit noise like z, from the two times; asked for (1, times[0]) first, then by every step of an
            SDE but the one to 0.
        callback: gets i, level (t), x (z before the step) and denoised, with its keyframes pinned.
        pin: changes every z0_hat before it is used, see `keyframe_pin`. start: z at times[0]; None is `bridge_start`.
    Returns:
        z at times[-1], in the type of start, else of prior.
    Raises:
        ValueError: an unknown solver; see `check_prior`; start of another shape; times that do not fall from 1 or less
            to 0 or more; the model returns values that are not finite.
    Cost: S calls of denoise, 2 S - 1 with ode_2 (from t = 1, 2 S - 2); no memory beside z and the estimate.
    """
    check_solver(solver)
    z = _started(prior, times, noise_sampler, schedule, start)
    prior = prior.to(z)

    def step(z: Tensor, denoised: Tensor, place: int, again: Callable[[Tensor], Tensor]) -> Tensor:
        t, s = times[place], times[place + 1]
        if solver == "euler_maruyama":
            return euler_maruyama_step(z, denoised, noise_sampler(t, s).to(z), t, s, schedule)
        if solver == "sde" or t == 1:
            return sde_step(z, denoised, noise_sampler(t, s).to(z), t, s, schedule)
        ahead = ode_step(z, denoised, prior, t, s, schedule)
        return ahead if solver == "ode" else ode_step(z, (denoised + again(ahead)) / 2, prior, t, s, schedule)

    return walk(denoise, z, times, step, callback, pin)


@torch.no_grad()
def walk(
    model: Callable[[Tensor, float], Tensor],
    x: Tensor,
    levels: Sequence[float],
    step: Callable[[Tensor, Tensor, int, Callable[[Tensor], Tensor]], Tensor],
    callback: Callback | None = None,
    pin: Pin | None = None,
) -> Tensor:
    """x at the last level, by steps from one level to the next; at level 0 it is the clean estimate.

    Args:
        model: clean estimate from x and its level. levels: [S+1], bridge times or noise levels.
        step: (x, its estimate, number of the step, estimate of an x at the next level) -> x at the next level.
        callback: gets i, level, x (before the step) and denoised. pin: changes every estimate before it is used.
    Raises:
        ValueError: the model returns values that are not finite; the sentence names the step.
    """
    for place, (level, following) in enumerate(pairwise(levels)):

        def estimated(x: Tensor, level: float, place: int = place) -> Tensor:
            denoised = model(x, level).to(x)
            if not denoised.isfinite().all():
                raise ValueError(
                    f"The model returned values that are not numbers (NaN or infinite) in step {place + 1} of "
                    f"{len(levels) - 1}: load it in bf16 or fp32, or lower cfg."
                )
            return denoised if pin is None else pin(denoised)

        denoised = estimated(x, level)
        if callback is not None:
            callback({"i": place, "level": level, "x": x, "denoised": denoised})
        x = denoised if following == 0 else step(x, denoised, place, partial(estimated, level=following))
    return x


def check_solver(solver: str) -> None:
    """Raises ValueError for an unknown name."""
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, got {solver!r}.")


def keyframe_pin(keyframes: Mapping[int, Tensor], dim: int) -> Pin:
    """What puts the keyframes in the place of their estimates.

    A pinned frame whose prior is the same keyframe follows an exact bridge between two equal ends. Source: ours.

    Args:
        keyframes: latent frame (negative from the end) -> latent like z with 1 along dim. dim: the axis of frames.
    Raises:
        ValueError: no keyframe; when called, a frame the video does not have.
    """
    if not keyframes:
        raise ValueError("pin_keyframes is on, but keyframes holds no picture: connect keyframes or switch it off.")

    def pinned(denoised: Tensor) -> Tensor:
        frames, result = denoised.shape[dim], denoised.clone()
        for frame, latent in keyframes.items():
            if not -frames <= frame < frames:
                raise ValueError(f"keyframes has a picture at latent frame {frame}, but there are 0 to {frames - 1}.")
            result.narrow(dim, frame, 1).copy_(latent)
        return result

    return pinned


def frame_axis(latent: Tensor) -> int:
    """The axis of a host latent's frames: 2 of a video's [B, C, T, h, w], 0 of pictures' [N, C, h, w]."""
    return 2 if latent.ndim == 5 else 0


def prior_pin(prior: Tensor, places: Sequence[int]) -> Pin:
    """What puts the prior's own latent frames at these places into an estimate; see `keyframe_pin`."""
    dim = frame_axis(prior)
    return keyframe_pin({place: prior.narrow(dim, place, 1) for place in places}, dim)


def check_prior(prior: Tensor, shape: Sequence[int]) -> None:
    """Raises ValueError for a prior of another shape than the latent, with values that are not finite, or all zero.

    An empty latent is all zero before the model's own scale is put on it, so a host checks it before that.
    """
    if tuple(prior.shape) != tuple(shape):
        raise ValueError(
            f"prior has the shape {list(prior.shape)}, but the latent has {list(shape)}: give both the same width, "
            f"height and length."
        )
    if not prior.isfinite().all():
        raise ValueError("prior holds values that are not numbers (NaN or infinite): look at the node that made it.")
    if not prior.any():
        raise ValueError(
            "prior is all zero, as an empty latent is, and holds no picture: connect Bridge Prior or encoded frames."
        )


def _started(
    prior: Tensor, times: Sequence[float], noise_sampler: Noise, schedule: BridgeSchedule, start: Tensor | None
) -> Tensor:
    """z at times[0], after the checks."""
    if len(times) < 2:
        raise ValueError("times has no step: set at least 1 step.")
    if not (times[0] <= 1 and times[-1] >= 0 and all(t > s for t, s in pairwise(times))):
        raise ValueError(f"times go from {times[0]:.4g} to {times[-1]:.4g}: they must fall at every step, from 1 to 0.")
    check_prior(prior, prior.shape if start is None else start.shape)
    if start is not None:
        return start
    if times[0] == 1:
        return prior
    return bridge_start(prior, noise_sampler(1.0, times[0]).to(prior), times[0], schedule)

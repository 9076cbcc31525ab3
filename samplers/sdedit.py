"""Sampling that begins on a noised first guess instead of on noise: SDEdit, with the bridge's four solvers. Pure torch.

paper         here             unit
alpha, sigma  Level            x = alpha x_0 + sigma eps; flow (1 - s, s), EDM and SVD (1, sigma)
D             denoised         clean estimate
q             --               (sigma' alpha / (alpha' sigma))^2, the share of the variance that stays

sde             (sigma'^2 alpha / (alpha' sigma^2)) x + alpha' (1 - q) D + sigma' sqrt(1 - q) eps, the DDPM posterior
ode             (sigma' / sigma) x + (alpha' - alpha sigma' / sigma) D, Euler
ode_2           the same with the mean of D at both ends
euler_maruyama  as sde, with the noise of the whole step: alpha' sqrt(sigma^2 / alpha^2 - sigma'^2 / alpha'^2) eps

Source: Meng et al. 2021, arXiv:2108.01073; the posterior after Ho et al. 2020, arXiv:2006.11239.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from .bridge import check_solver, walk


class Level(NamedTuple):
    """A noise level: x = alpha x_0 + sigma eps. given: as the model takes it."""

    alpha: float
    sigma: float
    given: float


def levels_of(sigmas: Tensor, flow: bool) -> list[Level]:
    """Noise levels [S+1] as the host gives them.

    Raises:
        ValueError: flow, whose levels end at 1, and a level above it.
    """
    if flow and sigmas[0] > 1:
        raise ValueError(
            f"sigmas begin at {float(sigmas[0]):.4g}, but this model's noise levels end at 1: take BasicScheduler with "
            f"this model."
        )
    return [Level(1 - sigma if flow else 1.0, sigma, sigma) for sigma in sigmas.tolist()]


def noised(prior: Tensor, noise: Tensor, level: Level) -> Tensor:
    """Where sampling begins: alpha p + sigma eps."""
    return level.alpha * prior + level.sigma * noise


def sdedit_step(x: Tensor, denoised: Tensor, noise: Tensor | None, now: Level, then: Level) -> Tensor:
    """From one level to a lower one: by the posterior with noise, by Euler's step without. See the module."""
    if noise is None:
        keep = then.sigma / now.sigma
        return keep * x + (then.alpha - now.alpha * keep) * denoised
    stays = (then.sigma * now.alpha / (then.alpha * now.sigma)) ** 2
    return _posterior_mean(x, denoised, now, then) + then.sigma * (1 - stays) ** 0.5 * noise


def sample_sdedit(
    model: Callable[[Tensor, float], Tensor],
    x: Tensor,
    levels: Sequence[Level],
    solver: str,
    noise_sampler: Callable[[float, float], Tensor],
    callback: Callable[[dict[str, Any]], None] | None = None,
    pin: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Samples from the first level to the last.

    Args:
        model: clean estimate from x and the level as the model takes it. x: at levels[0], see `noised`.
        solver: one of `bridge.SOLVERS`. noise_sampler: unit noise like x, from the two levels.
        callback: gets i, level, x and denoised. pin: changes every clean estimate, see `bridge.keyframe_pin`.
    Raises:
        ValueError: an unknown solver; euler_maruyama from pure noise, where its step is infinite; the model returns
            values that are not finite.
    Cost: S calls of model, 2 S - 1 with ode_2.
    """
    check_solver(solver)
    if solver == "euler_maruyama" and levels[0].alpha == 0:
        raise ValueError(
            "solver euler_maruyama cannot begin on pure noise (noise level 1): take sde, or denoise below 1."
        )

    def step(x: Tensor, denoised: Tensor, place: int, again: Callable[[Tensor], Tensor]) -> Tensor:
        now, then = levels[place], levels[place + 1]
        if solver == "sde":
            return sdedit_step(x, denoised, noise_sampler(now.given, then.given), now, then)
        if solver == "euler_maruyama":
            return _euler_maruyama_step(x, denoised, noise_sampler(now.given, then.given), now, then)
        ahead = sdedit_step(x, denoised, None, now, then)
        return ahead if solver == "ode" else sdedit_step(x, (denoised + again(ahead)) / 2, None, now, then)

    return walk(model, x, [level.given for level in levels], step, callback, pin)


def _euler_maruyama_step(x: Tensor, denoised: Tensor, noise: Tensor, now: Level, then: Level) -> Tensor:
    spread = then.alpha * ((now.sigma / now.alpha) ** 2 - (then.sigma / then.alpha) ** 2) ** 0.5
    return _posterior_mean(x, denoised, now, then) + spread * noise


def _posterior_mean(x: Tensor, denoised: Tensor, now: Level, then: Level) -> Tensor:
    keep = then.sigma**2 * now.alpha / (then.alpha * now.sigma**2)
    return keep * x + (then.alpha - keep * now.alpha) * denoised

"""ViBiDSampler: every step once forward and once backward, one after the other, landing on the other keyframe. Pure.

paper         here          shape         unit
D(x, sigma)   predict       [N,C,h,w]     clean estimate with guidance, and the one without
z_0, z_{N-1}  keyframes     [1,C,h,w]     clean latents in the model's scale
DDS           end_strength  --            1 puts the other keyframe in place, 0 is off
F             flip(0)       --            reverses time

Source: ViBiDSampler, arXiv:2410.05651, and its code vibidsampler.py. Its data consistency solves min |A x - y| for the
last frame by conjugate gradients, which end after one step at a copy; it is a copy here.
Differences: the keyframes' latents are the encoder's mode (the code draws from the posterior), and Keyframes to SVD
gives both pictures the same noise (the code draws one for each).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from .recurrence import noised_again


class Directions(Protocol):
    """What a guider offers a sampler that asks for one direction at a time.

    keyframes: clean latents of the first and the last picture in the model's scale, each [1, C, h, w].
    """

    keyframes: tuple[Tensor, Tensor]

    def predict(self, x: Tensor, sigma: Tensor, backward: bool) -> tuple[Tensor, Tensor]:
        """The guided clean estimate and the unguided one, both [N, C, h, w] in the order of x.

        Args:
            x: [N, C, h, w]; for the backward direction the video played backwards.
            sigma: noise level, a scalar tensor. backward: conditioned on the last picture, not the first.
        """
        ...


Noise = Callable[[Tensor, Tensor], Tensor]


@torch.no_grad()
def sample_vibid(
    directions: Directions,
    x: Tensor,
    sigmas: Tensor,
    noise_sampler: Noise,
    callback: Callable[[dict[str, Any]], None] | None = None,
    end_strength: float = 1.0,
    cfg_pp: bool = True,
    renoise: bool = True,
) -> Tensor:
    """Samples a video between two keyframes.

    Args:
        x: [N, C, h, w] at sigmas[0]. sigmas: [S+1]. noise_sampler: unit noise like x.
        end_strength: 0..1, how far the frame that a pass ends on is drawn to its keyframe.
        cfg_pp: the step's direction is that of the unguided estimate. renoise: noise is put in between the two passes.
    Cost: two predictions per step, each with and without guidance. Without renoise the second pass starts where the
        first one ended and moves x only by cfg_pp; it is the paper's ablation.
    """
    for index in range(len(sigmas) - 1):
        sigma, following = sigmas[index], sigmas[index + 1]
        before = x
        x, denoised = vibid_step(directions, x, sigma, following, noise_sampler, end_strength, cfg_pp, renoise)
        if callback is not None:
            callback({"x": before, "i": index, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
    return x


def vibid_predictions(sigmas: Tensor, renoise: bool) -> int:
    """Predictions of one direction that `sample_vibid` makes: two a step, or one in a last step without noise."""
    steps = len(sigmas) - 1
    return 2 * steps - (not renoise and float(sigmas[-1]) == 0)


def vibid_step(
    directions: Directions,
    x: Tensor,
    sigma: Tensor,
    following: Tensor,
    noise_sampler: Noise,
    end_strength: float = 1.0,
    cfg_pp: bool = True,
    renoise: bool = True,
) -> tuple[Tensor, Tensor]:
    """One step: forward, noise, backward. Returns x at `following`, and the last pass's estimate in order of time."""
    first, last = directions.keyframes
    guided, unguided = directions.predict(x, sigma, backward=False)
    ended = with_end(guided, last, end_strength)
    x = directed_step(x, ended, unguided if cfg_pp else ended, sigma, following)
    if renoise:
        x = noised_again(x, sigma, following, noise_sampler(sigma, following))
        level = sigma
    else:
        level = following
    turned = x.flip(0)
    if not renoise and float(following) == 0:
        return x, ended
    guided, unguided = directions.predict(turned, level, backward=True)
    ended = with_end(guided, first, end_strength)
    turned = directed_step(turned, ended, unguided if cfg_pp else ended, level, following)
    return turned.flip(0), ended.flip(0)


def with_end(denoised: Tensor, keyframe: Tensor, strength: float) -> Tensor:
    """The estimate with its last frame drawn to a keyframe: D[N-1] <- (1 - s) D[N-1] + s z."""
    end = torch.lerp(denoised[-1:], keyframe.to(denoised), strength)
    return torch.cat([denoised[:-1], end])


def directed_step(x: Tensor, denoised: Tensor, towards: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    """x <- D + sigma' (x - D_u) / sigma; with D_u the estimate without guidance this is CFG++, with D itself Euler."""
    return denoised + following * (x - towards) / sigma

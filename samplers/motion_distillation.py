"""Motion Prior Distillation (MPD): early on the backward pass is made from the forward one's motion. Pure torch.

paper      here           shape        unit
D_f        --             [N,C,h,w]    clean estimate from the first keyframe
z_{N-1}    keyframes[1]   [1,C,h,w]    clean latent of the last keyframe, the model's scale
D_b        distilled      [N,C,h,w]    D_b(n) = D_f(n) + lambda_n (z_{N-1} - D_f(N-1)), D_b(0) = z_0
lambda     shift          --           1 in the code; lambda_n = shift n / (N - 1) with a ramp (ours)

Source: Motion Prior Distillation, arXiv:2602.12679 (ICLR 2026), and its code mpd_seq.py, mpd_par.py. The code adds the
flipped differences of the forward residuals up; the sum telescopes to the shift above.
Differences: the ramp is ours and leaves the frames near the start alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .direction_fusion import fused, fusion_weights
from .recurrence import noised_again
from .vibid import Directions, Noise, directed_step, vibid_step

BASES = ("sequential", "parallel")
EARLY_REPEATS_PARALLEL = 1


@torch.no_grad()
def sample_mpd(
    directions: Directions,
    x: Tensor,
    sigmas: Tensor,
    noise_sampler: Noise,
    callback: Callable[[dict[str, Any]], None] | None = None,
    base: str = "sequential",
    early: float = 0.2,
    repeats: int = 3,
    shift: float = 1.0,
    ramp: bool = False,
) -> Tensor:
    """Samples a video between two keyframes.

    sequential: in the first `early` of the steps, `repeats` distilled steps, each noised again, then a ViBiD step;
    later ViBiD steps. parallel: in the first `early`, one distilled step and a ViBiD step; later both directions at
    once, fused linearly, `repeats` times noised again and made once more.

    Args:
        x: [N, C, h, w] at sigmas[0]. sigmas: [S+1]. noise_sampler: unit noise like x.
        base: one of BASES; the paper's code takes early 0.2 for sequential and 0.1 for parallel.
        repeats: >= 0. shift: lambda.
    Raises:
        ValueError: an unknown base, repeats below 0, or early outside 0..1.
    Cost: predictions, each with and without guidance, of 25 steps at the defaults: sequential 65, parallel (0.1) 185.
    """
    check_distillation(base, early, repeats)
    steps = len(sigmas) - 1
    for index in range(steps):
        sigma, following = sigmas[index], sigmas[index + 1]
        before = x
        if index < round(early * steps, 6):
            for _ in range(repeats if base == "sequential" else EARLY_REPEATS_PARALLEL):
                x = _distilled_step(directions, x, sigma, following, shift, ramp)
                x = noised_again(x, sigma, following, noise_sampler(sigma, following))
            x, denoised = vibid_step(directions, x, sigma, following, noise_sampler)
        elif base == "sequential":
            x, denoised = vibid_step(directions, x, sigma, following, noise_sampler)
        else:
            for again in range(repeats, -1, -1):
                x, denoised = _parallel_step(directions, x, sigma, following)
                if again:
                    x = noised_again(x, sigma, following, noise_sampler(sigma, following))
        if callback is not None:
            callback({"x": before, "i": index, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
    return x


def distillation_predictions(steps: int, base: str, early: float, repeats: int) -> int:
    """Predictions of one direction that `sample_mpd` makes in so many steps."""
    distilling = sum(index < round(early * steps, 6) for index in range(steps))
    again, later = (repeats, 2) if base == "sequential" else (EARLY_REPEATS_PARALLEL, 2 * (repeats + 1))
    return distilling * (again + 2) + (steps - distilling) * later


def check_distillation(base: str, early: float, repeats: int) -> None:
    """Raises ValueError for an unknown base or a number out of range."""
    if base not in BASES:
        raise ValueError(f"base must be one of {', '.join(BASES)}, got {base!r}.")
    if repeats < 0:
        raise ValueError(f"repeats is {repeats}: use 0 (none) or more.")
    if not 0 <= early <= 1:
        raise ValueError(f"early is {early:g}: it is a share of the steps, 0 to 1.")


def distilled(forward: Tensor, first: Tensor, last: Tensor, shift: float, ramp: bool) -> Tensor:
    """D_b in order of time: the forward estimate moved so that it ends on the last keyframe, its start put in place.

    Args:
        forward: D_f, [N, C, h, w]. first, last: clean latents [1, C, h, w].
    """
    share = torch.full((len(forward),), shift) if not ramp else shift * torch.linspace(0, 1, len(forward))
    moved = forward + share.to(forward).view(-1, 1, 1, 1) * (last.to(forward) - forward[-1:])
    return torch.cat([first.to(forward), moved[1:]])


def _distilled_step(
    directions: Directions, x: Tensor, sigma: Tensor, following: Tensor, shift: float, ramp: bool
) -> Tensor:
    guided, unguided = directions.predict(x, sigma, backward=False)
    estimate = distilled(guided, *directions.keyframes, shift, ramp)
    return directed_step(x, estimate, unguided, sigma, following)


def _parallel_step(directions: Directions, x: Tensor, sigma: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """Both directions from one x, fused linearly; the step's direction is the forward estimate's without guidance."""
    forward, unguided = directions.predict(x, sigma, backward=False)
    backward, _ = directions.predict(x.flip(0), sigma, backward=True)
    estimate = fused(forward, backward, fusion_weights(len(x), "linear"))
    return directed_step(x, estimate, unguided, sigma, following), estimate

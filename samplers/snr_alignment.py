"""SNR alignment: what a diffusion network is fed so that a point of the bridge looks like one of its own. Pure torch.

paper         here           unit
z_t           z              latent at bridge time t
b z_T         --             the prior's share; centring rho of it is taken away: y = z - rho b z_T
--            k              what y holds of clean latents: a + (1 - rho) b
z~, t~        x, level       the network's input and its noise level: sigma (EDM), tau (flow), table index (DDPM)

base                        x                       level
EDM (SVD)                   y / k                   sigma = c / k
flow (Wan, Hunyuan)         y / (k + c)             tau = c / (k + c)
DDPM (CogVideoX, SD)        y / sqrt(k^2 + c^2)     index with sqrt(SNR) of the table = k / c

mode `saf` is rho = 1 and k = a, for networks trained as bridges; with others the prior drops out and what is left is
ordinary ancestral sampling. `unaligned` is rho = 0: with gmax k = 1, and the network sees a z_0 + b z_T at the noise c.
`partial` is in between; what the network then estimates is (a z_0 + (1 - rho) b z_T) / k.

Source: FrameBridge, ICML 2025, section 4.2 and proposition 2, and its code (rho = 1, DDPM tables, by sqrt(SNR));
the EDM and flow rows, `partial` and `unaligned` are ours.
Differences: a level above the largest of the model is not passed on in silence, `AlignedInput.clamped` tells. With vp
a + b is not 1, so that `unaligned` divides by it: the network is fed the mixture at its full contrast.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .bridge_schedule import OFFICIAL_ENTRIES, BridgeSchedule, Time, as_float64, per_sample

CENTRING = {"saf": 1.0, "partial": None, "unaligned": 0.0}
HEADS = ("z0", "eps_psi", "eps_psi_new", "v")
LARGEST_SIGMA_SVD = 700.0
LARGEST_TAU = 1 - 1e-3


@dataclass(frozen=True)
class AlignedInput:
    """What a network is fed.

    x: like z. level: float64 on the CPU, a scalar or [B] as t. clamped: somewhere the aligned level is beyond the
    model's largest (or its table); x is then scaled so that its noise has the level that is given.
    """

    x: Tensor
    level: Tensor
    clamped: bool


def mode_centring(mode: str, centring: float) -> float:
    """rho of a mode; centring is read by `partial` alone.

    Raises:
        ValueError: an unknown mode, or centring outside 0..1.
    """
    if mode not in CENTRING:
        raise ValueError(f"mode must be one of {', '.join(CENTRING)}, got {mode!r}.")
    _check_centring(centring)
    fixed = CENTRING[mode]
    return centring if fixed is None else fixed


def edm_input(
    z: Tensor,
    prior: Tensor,
    t: Time,
    schedule: BridgeSchedule,
    largest: float = LARGEST_SIGMA_SVD,
    centring: float = 1.0,
) -> AlignedInput:
    """y / k at sigma = c / k, for networks that see x_0 + sigma eps.

    Args:
        z, prior: [B, ...]. t: number or [B], 0 <= t < 1. largest: the model's sigma_max.
        centring: rho, 0..1.
    Raises:
        ValueError: t is 1, where there is neither signal nor noise; centring out of range.
    """
    y, k, c = _centred(z, prior, t, schedule, centring)
    divisor = torch.maximum(k, c / largest)
    return AlignedInput(y / per_sample(divisor, z), c / divisor, bool((divisor > k).any()))


def flow_input(
    z: Tensor, prior: Tensor, t: Time, schedule: BridgeSchedule, largest: float = LARGEST_TAU, centring: float = 1.0
) -> AlignedInput:
    """y / (k + c) at tau = c / (k + c), for networks that see (1 - tau) x_0 + tau eps.

    Args:
        z, prior: [B, ...]. t: number or [B], 0 <= t < 1. largest: the model's largest tau, at most 1.
        centring: rho, 0..1.
    Raises:
        ValueError: t is 1, where there is neither signal nor noise; centring out of range.
    """
    y, k, c = _centred(z, prior, t, schedule, centring)
    divisor = torch.maximum(k + c, c / largest)
    return AlignedInput(y / per_sample(divisor, z), c / divisor, bool((divisor > k + c).any()))


def ddpm_input(
    z: Tensor,
    prior: Tensor,
    t: Time,
    schedule: BridgeSchedule,
    table: Tensor,
    extended: bool = True,
    centring: float = 1.0,
) -> AlignedInput:
    """y / sqrt(k^2 + c^2) at the fractional index where the table's alpha / sigma is k / c.

    Args:
        z, prior: [B, ...]. t: number or [B], 0 <= t < 1.
        table: alpha / sigma = sqrt(SNR) of every index of the base model, [entries], falling.
        extended: see `table_index`; the official code of VideoCrafter and CogVideoX has it, that of Latte has not.
        centring: rho, 0..1.
    Raises:
        ValueError: t is 1, where there is neither signal nor noise; centring out of range.
    """
    y, k, c = _centred(z, prior, t, schedule, centring)
    top = float(schedule.bridge_snr(1 / (OFFICIAL_ENTRIES + 1)).sqrt()) if extended else None
    index, clamped = table_index(k / c, table, top)
    return AlignedInput(y / per_sample((k**2 + c**2).sqrt(), z), index, clamped)


def table_index(ratio: Tensor, table: Tensor, top: float | None) -> tuple[Tensor, bool]:
    """Fractional index at which the falling table has this value of sqrt(SNR), and whether one was clamped.

    Linear between entries. Past the ends, with `top`, the largest ratio the bridge has: above table[1] it goes to index
    0 at table[0] + top; below the last entry it runs on by (last - ratio) / last, to less than one index more. Without
    `top` it ends at the first and the last index. Source: FrameBridge's code, align_marginal_and_timesteps
    (CogVideoX, VideoCrafter), resp. gaussian_diffusion.py (Latte).

    Args:
        ratio: a / c, any shape. table: [entries] float64, falling, >= 0.
    Returns:
        like ratio, float64, 0..entries; clamped: a ratio was above table[0] + top, resp. outside the table.
    """
    ratio, table = ratio.double(), table.double().cpu()
    last = len(table) - 1
    first, second, end = table[0] + (top or 0), table[1], table[-1]
    place = torch.searchsorted(-table, -ratio).clamp(1, last) - 1  # table[place] >= ratio > table[place + 1]
    index = place + (table[place] - ratio) / (table[place] - table[place + 1])
    if top is None:
        outside = (ratio > first) | (ratio < end)
        return index.clamp(0, last), bool(outside.any())
    index = torch.where(ratio > second, (ratio - first) / (second - first), index)
    index = torch.where(ratio < end, last + (end - ratio) / end, index)
    return index.clamp(min=0), bool((ratio > first).any())


def mixture_to_z0(
    denoised: Tensor, prior: Tensor, t: Time, schedule: BridgeSchedule, centring: float, smallest_a: float = 0.1
) -> Tensor:
    """z0_hat of what a network estimates with centring below 1: (k D - (1 - rho) b z_T) / a.

    Args:
        denoised: D, [B, ...]. smallest_a: where a is below it, D itself, since the quotient would magnify its errors
            by more than k / smallest_a; above 1 gives D everywhere, which stays near the prior.
    """
    _check_centring(centring)
    a, b = schedule.a(t), schedule.b(t)
    rest = (1 - centring) * b
    kept = a < smallest_a
    by, minus = torch.where(kept, 1.0, (a + rest) / a), torch.where(kept, 0.0, rest / a)
    return per_sample(by, denoised) * denoised - per_sample(minus, denoised) * prior.to(denoised)


def head_to_z0(head: str, output: Tensor, z: Tensor, prior: Tensor, t: Time, schedule: BridgeSchedule) -> Tensor:
    """z0_hat of a network's output.

    z0: the output. eps_psi: (z - sigma out) / alpha. eps_psi_new: (z - b z_T - c out) / a.
    v: (a z~ - c out) / sqrt(a^2 + c^2), z~ = (z - b z_T) / sqrt(a^2 + c^2). Source: FrameBridge's code; eps_psi
    VideoCrafter and Latte, v CogVideoX.

    Args:
        output, z, prior: [B, ...]. t: number or [B], 0 <= t < 1.
    Raises:
        ValueError: an unknown head; t is 1, where eps_psi_new and v say nothing of z_0.
    """
    _check_head(head)
    a, b, c = (schedule.a(t), schedule.b(t), schedule.c(t))
    if head == "z0":
        return output
    if head == "eps_psi":
        sigma, alpha = (per_sample(value, z) for value in (schedule.sigma(t), schedule.alpha(t)))
        return (z - sigma * output) / alpha
    _check_before_the_prior(t)
    y = z - per_sample(b, z) * prior
    if head == "eps_psi_new":
        return (y - per_sample(c, z) * output) / per_sample(a, z)
    size = a**2 + c**2
    return per_sample(a / size, z) * y - per_sample(c / size.sqrt(), z) * output


def head_target(head: str, z_0: Tensor, noise: Tensor, prior: Tensor, t: Time, schedule: BridgeSchedule) -> Tensor:
    """What a head is trained to give at z = a z_0 + b z_T + c eps.

    z0: z_0. eps_psi: (z - alpha z_0) / sigma = sqrt(1 - r) eps + sqrt(r) (z_T / alpha_T - z_0) / sigma~_T.
    eps_psi_new: eps. v: (a eps - c z_0) / sqrt(a^2 + c^2).

    Args:
        z_0, noise, prior: [B, ...]. t: number or [B], 0 <= t < 1.
    Raises:
        ValueError: an unknown head; v at t = 1.
    """
    _check_head(head)
    if head == "z0":
        return z_0
    if head == "eps_psi_new":
        return noise
    if head == "eps_psi":
        drawn = (schedule.r(t) / schedule.variance(1.0)).sqrt()
        towards = per_sample(drawn / schedule.alpha(1.0), z_0) * prior - per_sample(drawn, z_0) * z_0
        return per_sample(schedule.one_minus_r(t).sqrt(), z_0) * noise + towards
    _check_before_the_prior(t)
    a, c = schedule.a(t), schedule.c(t)
    size = (a**2 + c**2).sqrt()
    return per_sample(a / size, z_0) * noise - per_sample(c / size, z_0) * z_0


def _centred(
    z: Tensor, prior: Tensor, t: Time, schedule: BridgeSchedule, centring: float
) -> tuple[Tensor, Tensor, Tensor]:
    """y = z - rho b z_T, k and c."""
    _check_centring(centring)
    _check_before_the_prior(t)
    b = schedule.b(t)
    y = z - per_sample(centring * b, z) * prior.to(z)
    return y, schedule.a(t) + (1 - centring) * b, schedule.c(t)


def _check_before_the_prior(t: Time) -> None:
    if not (as_float64(t) < 1).all():
        raise ValueError("At bridge time 1 there is only the prior, no video and no noise level: begin at 0.999.")


def _check_centring(centring: float) -> None:
    if not 0 <= centring <= 1:
        raise ValueError(f"centring is {centring:g}: use 0 (the prior stays in) to 1 (it is taken out).")


def _check_head(head: str) -> None:
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}.")

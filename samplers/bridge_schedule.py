"""The schedules of a bridge from a prior (t = 1) to a video (t = 0), and the times at which it is walked. Pure torch.

paper        here              unit
t, T         t, 1              bridge time: 0 is the video z_0, 1 is the prior z_T
f, g^2       drift, beta       base process dz = f z dt + g dw, g^2 = beta_0 + t (beta_1 - beta_0)
alpha_t      alpha             base process: z_t = alpha z_0 + sigma eps
sigma_t      sigma             --
SNR_t        snr               alpha^2 / sigma^2
r            r                 SNR_T / SNR_t, from 0 at t = 0 to 1 at t = 1
a, b, c      a, b, c           bridge: z_t = a z_0 + b z_T + c eps
a^2 / c^2    bridge_snr        SNR_t - SNR_T; what SNR alignment aligns

Source: FrameBridge, ICML 2025, sections 3-4 and appendix A, and its code (gmax only).
Differences: every number is float64 on the CPU; the code keeps tables of 1000 float32 entries at t = (i + 1) / 1001.
1 - r has a formula of its own, because the difference is all rounding near t = 1. vp is not in the code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

USUAL_BETAS = {"gmax": (0.01, 50.0), "vp": (0.1, 20.0)}
SCHEDULES = tuple(USUAL_BETAS)
SMALLEST_BETA_1, LARGEST_BETA_1 = 1e-6, 1000.0
OFFICIAL_ENTRIES = 1000
START = 0.999  # T - delta; at T itself the ODE is singular and no network has a noise level

Time = float | Tensor


@dataclass(frozen=True)
class BridgeSchedule:
    """Coefficients of a bridge as functions of t: a number or a tensor of any shape, result float64 on the CPU.

    gmax: f = 0, alpha = 1, sigma^2 = B. vp: f = -g^2 / 2, alpha^2 = exp(-B), sigma^2 = 1 - exp(-B).
    B = beta_0 t + (beta_1 - beta_0) t^2 / 2. The released models take gmax with 0.01 and 50.

    Args:
        name: one of SCHEDULES. beta_0, beta_1: g^2 at t = 0 and t = 1.
    Raises:
        ValueError: an unknown name; a beta that is no number; beta_0 not above 0 or not below beta_1; beta_1 outside
            SMALLEST_BETA_1..LARGEST_BETA_1, beyond which vp runs out of float64.
    """

    name: str = "gmax"
    beta_0: float = 0.01
    beta_1: float = 50.0

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.name!r}.")
        usual_0, usual_1 = USUAL_BETAS[self.name]
        for name, beta, usual in (("beta_0", self.beta_0, usual_0), ("beta_1", self.beta_1, usual_1)):
            if not math.isfinite(beta):
                raise ValueError(f"{name} is {beta}, which is no number: {usual:g} is usual for {self.name}.")
        if self.beta_0 <= 0:
            raise ValueError(f"beta_0 is {self.beta_0:g}: use a number above 0; {usual_0:g} is usual for {self.name}.")
        if not SMALLEST_BETA_1 <= self.beta_1 <= LARGEST_BETA_1:
            nearest = min(max(self.beta_1, SMALLEST_BETA_1), LARGEST_BETA_1)
            raise ValueError(f"beta_1 is {self.beta_1:g}: the nearest that works is {nearest:g}, {usual_1:g} is usual.")
        if self.beta_0 >= self.beta_1:
            raise ValueError(
                f"beta_0 is {self.beta_0:g} and beta_1 is {self.beta_1:g}, but beta_0 must be the smaller: take beta_0 "
                f"below {self.beta_1:g}, or beta_1 above {self.beta_0:g}."
            )

    def beta(self, t: Time) -> Tensor:
        """g^2, the noise per time of the base process."""
        return self.beta_0 + as_float64(t) * (self.beta_1 - self.beta_0)

    def drift(self, t: Time) -> Tensor:
        """f, which scales z."""
        return torch.zeros_like(as_float64(t)) if self.name == "gmax" else -self.beta(t) / 2

    def alpha(self, t: Time) -> Tensor:
        """alpha_t."""
        return torch.ones_like(as_float64(t)) if self.name == "gmax" else torch.exp(-self._integral(t) / 2)

    def sigma(self, t: Time) -> Tensor:
        """sigma_t."""
        return self.alpha(t) * self.variance(t).sqrt()

    def variance(self, t: Time) -> Tensor:
        """sigma_t^2 / alpha_t^2 = 1 / SNR_t."""
        return self._integral(t) if self.name == "gmax" else torch.expm1(self._integral(t))

    def snr(self, t: Time) -> Tensor:
        """alpha_t^2 / sigma_t^2; infinite at t = 0."""
        return 1 / self.variance(t)

    def time_of_snr(self, snr: Time) -> Tensor:
        """The t at which the base process has this SNR, > 0; above 1 if the SNR is below that of the prior."""
        integral = 1 / as_float64(snr)
        integral = integral if self.name == "gmax" else torch.log1p(integral)
        slope = self.beta_1 - self.beta_0
        return 2 * integral / (self.beta_0 + (self.beta_0**2 + 2 * slope * integral).sqrt())

    def bridge_snr(self, t: Time) -> Tensor:
        """a^2 / c^2 = SNR_t (1 - r) = SNR_t - SNR_T; infinite at t = 0 and 0 at t = 1."""
        return self.snr(t) * self.one_minus_r(t)

    def time_of_bridge_snr(self, snr: Time) -> Tensor:
        """The t in 0..1 at which a^2 / c^2 has this value, >= 0."""
        return self.time_of_snr(as_float64(snr) + self.snr(1.0))

    def r(self, t: Time) -> Tensor:
        """SNR_T / SNR_t."""
        return self.variance(t) / self.variance(1.0)

    def one_minus_r(self, t: Time) -> Tensor:
        """1 - r, without its cancellation near t = 1 and exactly 0 there."""
        t = as_float64(t)
        left = (1 - t) * (self.beta_0 + (self.beta_1 - self.beta_0) * (1 + t) / 2)  # B_T - B_t
        whole = self._integral(1.0)
        return left / whole if self.name == "gmax" else torch.expm1(-left) / torch.expm1(-whole)

    def a(self, t: Time) -> Tensor:
        """alpha_t (1 - r), the share of z_0."""
        return self.alpha(t) * self.one_minus_r(t)

    def b(self, t: Time) -> Tensor:
        """r alpha_t / alpha_T, the share of the prior."""
        return self.r(t) * self.alpha(t) / self.alpha(1.0)

    def c(self, t: Time) -> Tensor:
        """sigma_t sqrt(1 - r), the noise; with gmax at most sigma_T / 2."""
        return self.sigma(t) * self.one_minus_r(t).sqrt()

    def _integral(self, t: Time) -> Tensor:
        t = as_float64(t)
        return self.beta_0 * t + (self.beta_1 - self.beta_0) * t * t / 2


def as_float64(t: Time) -> Tensor:
    """t in float64 on the CPU; a number is not rounded to float32 on its way."""
    return t.cpu().double() if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)


def per_sample(value: Tensor, z: Tensor) -> float | Tensor:
    """A coefficient ready to multiply z: a scalar as a number, [B] as [B, 1, ...] in the type and place of z."""
    if value.ndim == 0:
        return float(value)
    return value.to(z.dtype).to(z.device).view(-1, *(1,) * (z.ndim - 1))


def bridge_times(steps: int, start: float = START) -> list[float]:
    """S + 1 times, evenly from start down to 0.

    Args:
        steps: S, >= 1. start: T - delta, 0 < start <= 1.
    Raises:
        ValueError: steps below 1, or start out of range.
    """
    _check_steps(steps)
    if not 0 < start <= 1:
        raise ValueError(f"start is {start:g}: it is a bridge time, above 0 and at most 1.")
    return [start * ((steps - index) / steps) for index in range(steps + 1)]


def trailing_times(steps: int) -> list[float]:
    """S + 1 times of the released samplers: t = (i + 1) / 1001 at the trailing i of 1000 table entries, then 0.

    Source: FrameBridge's code, spacing uniform_trailing (VideoCrafter) and trailing (CogVideoX).

    Raises:
        ValueError: steps below 1 or above the 1000 entries.
    """
    _check_steps(steps)
    if steps > OFFICIAL_ENTRIES:
        raise ValueError(f"steps is {steps}: the official table has {OFFICIAL_ENTRIES} entries, use that many at most.")
    spacing = OFFICIAL_ENTRIES / steps
    return [round(OFFICIAL_ENTRIES - index * spacing) / (OFFICIAL_ENTRIES + 1) for index in range(steps)] + [0.0]


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps is {steps}: use 1 or more.")

"""What both autoencoders are trained by: error, a little noise on the latent, and a price on its size.

loss = e(d) + STEP_COST e(d_n - d_{n-1}) + LATENT_COST mean z^2, e(d) = mean |d| + 5 mean d^2: edges count and so does
PSNR. The second term is there for clips alone: an error that changes from frame to frame is a change of pace,
which a decoder that makes four frames of one latent repeats every four frames. The noise makes the decoder tolerant of
a model's errors, and the price keeps the latent from growing against it. Source: ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

LATENT_NOISE = 0.05
LATENT_COST = 1e-4
STEP_COST = 0.5


def noisy(latents: Tensor, seed: int) -> Tensor:
    """The latents with the noise of this seed."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    return latents + LATENT_NOISE * noise.to(latents)


def reconstruction_loss(made: Tensor, true: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss, and the squared error to log. made, true: [B, C, N, H, W], or [B, C, H, W] for pictures."""
    error = made.float() - true
    loss = _counted(error) + LATENT_COST * latents.float().square().mean()
    if error.ndim == 5 and error.shape[2] > 1:
        loss = loss + STEP_COST * _counted(error.diff(dim=2))
    return loss, {"mse": float(error.detach().square().mean())}


def _counted(error: Tensor) -> Tensor:
    return error.abs().mean() + 5 * error.square().mean()

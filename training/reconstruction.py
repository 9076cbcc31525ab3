"""What both autoencoders are trained by: error, a little noise on the latent, and a price on its size.

loss = mean |d| + 5 mean d^2 + LATENT_COST mean z^2, so that edges count and so does PSNR. The noise makes the decoder
tolerant of a model's errors, and the price keeps the latent from growing against it. Source: ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

LATENT_NOISE = 0.05
LATENT_COST = 1e-4


def noisy(latents: Tensor, seed: int) -> Tensor:
    """The latents with the noise of this seed."""
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    return latents + LATENT_NOISE * noise.to(latents)


def reconstruction_loss(made: Tensor, true: Tensor, latents: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The loss, and the squared error to log."""
    error = made.float() - true
    square = error.square().mean()
    loss = error.abs().mean() + 5 * square + LATENT_COST * latents.float().square().mean()
    return loss, {"mse": float(square.detach())}

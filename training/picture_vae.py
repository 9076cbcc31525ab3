"""Task: the TAESD-format autoencoder of single pictures, for the SVD-format model. The module is the host's own.

The file carries the scale by which the host multiplies SD 1.5's latents, so that the model
sees deviation 1.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from torch import Tensor, nn

from ..demo import world
from ..demo.measures import decibel
from .loop import Batch, load_host_file, rate_over, write_host_file
from .reconstruction import noisy, reconstruction_loss

HOST_SCALE = 0.18215  # of SD 1.5's latent format, and SVD's


class PictureVAE:
    """See the module."""

    name = "picture_vae"
    file = "vae/demo_world_taesd.safetensors"

    def __init__(self, clips: int = 8) -> None:
        """clips: in a batch, of which each gives its first and its last picture."""
        self._clips = clips

    def module(self) -> nn.Module:
        return Reconstruction(started(host_autoencoder()))

    def rate(self, step: int, steps: int) -> float:
        return rate_over(step, 0, steps)

    def batch(self, index: int, step: int, steps: int) -> Batch:
        random = Random(f"picture_vae {index}")
        pictures = []
        for _ in range(self._clips):
            pictures.append(world.clip(random.choice(world.TRAIN), 2).frames)
        return {"pictures": torch.cat(pictures).movedim(-1, 1), "seed": index}

    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean PSNR, dB, over pictures of validation clips."""
        found = []
        for seed in world.VALIDATION[:32]:
            pictures = world.clip(seed, 3).frames.movedim(-1, 1).to(device)
            error = module.decode(module.encode(pictures)).float().clamp(0, 1) - pictures
            found.append(decibel(error.square()))
        return {"psnr": sum(found) / len(found)}

    def export(self, module: nn.Module, path: Path) -> None:
        """One file for VAELoader, with the scale that gives the model deviation 1."""
        pictures = torch.cat([world.clip(seed, 3).frames for seed in world.TRAIN[:64]]).movedim(-1, 1)
        latents = module.encode(pictures.to(next(module.parameters()).device)).float()
        # the host gives encoder(x) / scale + shift and multiplies it by HOST_SCALE
        scale = latents.std() * HOST_SCALE
        module.autoencoder.vae_scale.data.copy_(scale)
        module.autoencoder.vae_shift.data.copy_(-latents.mean() / scale)
        write_host_file(module.autoencoder, path)

    def load(self, module: nn.Module, path: Path) -> None:
        load_host_file(module.autoencoder, path)


class Reconstruction(nn.Module):
    """The loss of a batch of pictures, [B, 3, 64, 64] in 0..1."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def encode(self, pictures: Tensor) -> Tensor:
        return self.autoencoder.taesd_encoder(pictures.contiguous(memory_format=torch.channels_last))

    def decode(self, latents: Tensor) -> Tensor:
        return self.autoencoder.taesd_decoder(latents)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        latents = self.encode(batch["pictures"])
        return reconstruction_loss(self.decode(noisy(latents, int(batch["seed"]))), batch["pictures"], latents)


def host_autoencoder() -> nn.Module:
    """The host's TAESD for four latent channels; its weights are not set yet."""
    from comfy.taesd.taesd import TAESD

    return TAESD(latent_channels=4)


def started(autoencoder: nn.Module) -> nn.Module:
    """Every convolution keeps the variance through its ReLU, and every block begins as nothing beside its skip."""
    from comfy.taesd.taesd import Block

    for part in autoencoder.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in autoencoder.modules():
        if isinstance(part, Block):
            nn.init.zeros_(part.conv[-1].weight)
    return autoencoder

"""Task: an adapter that makes the demo world's transformer guess the clip from the cross-fade of its keyframes.

z_T = F(p, c) = p - v(p, 1): one call at the fixed noise level 1, the cross-fade's latents in the place of the noisy
ones, learned by |F - z_0|^2. Its use: samplers/neural_prior_host.py.
Source: FrameBridge, ICML 2025, section 4.3. Differences: the paper's network has no time input; here it is held at 1.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .bridge import BridgeModel, judged_clips
from .video_model import condition_channels, predicted


class NeuralPrior(BridgeModel):
    """See the module."""

    def __init__(self, vae: Path, base: Path, priors: Path, batch_size: int = 24, judges: int = 16) -> None:
        super().__init__("diffusion", vae, base, priors, batch_size, judges)
        self.name, self.file = "neural_prior", "loras/demo_world_neural_prior.safetensors"

    def module(self) -> nn.Module:
        return PriorMatching(super().module().transformer)

    @torch.no_grad()
    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean square error of the guess on validation clips, beside the cross-fade's own."""
        batch = {key: value.to(device) for key, value in judged_clips(self._vae, self._judges).items()}
        return {
            "error": float(module(batch)[0]),
            "error_cross_fade": float(F.mse_loss(batch["prior"], batch["target"])),
        }


class PriorMatching(nn.Module):
    """The loss of a batch; see `bridge.BridgeMatching` for what it holds."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        return F.mse_loss(self.guess(batch), batch["target"]), {}

    def guess(self, batch: dict[str, Tensor]) -> Tensor:
        """F(p, c), [B, 16, T, h, w]."""
        prior = batch["prior"]
        condition, level = condition_channels(batch["shown"], batch["known"]), prior.new_ones(len(prior))
        made = predicted(self.transformer, prior, level, condition, batch["words"], batch["pictures"])
        return prior - made.float()

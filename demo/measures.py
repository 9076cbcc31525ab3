"""How near a made clip is to the true one. Frames between the two ends count; the ends are given.

measure            unit     better   what
psnr               dB       higher   of all pixels
psnr_moving        dB       higher   of the pixels where something moves (world.Clip.moving)
ssim               --       higher   structural similarity, window 11, kornia
perceptual         --       lower    LPIPS-style distance in the features of the demo world's picture encoder
tail_jump          --       near 1   perceptual step onto the last frame over the median step of the clip
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .world import Clip

NAMES = ("psnr", "psnr_moving", "ssim", "perceptual", "tail_jump")
TITLES = ("PSNR", "moving", "SSIM", "percept.", "tail jump")
FORMATS = (".2f", ".2f", ".4f", ".4f", ".2f")
TAPS = (1, 5, 9, 13)  # layers of TAESD's encoder: the last block of each of its four sizes


@dataclass(frozen=True)
class PictureDistance:
    """LPIPS's form on the features of the demo world's TAESD encoder.

    d = mean over layers and places of |phi / |phi| - phi' / |phi'||^2.
    Source: Zhang et al. 2018, arXiv:1801.03924v2, Eq. 1. Differences: the network is trained on this world alone, and
    its channels are not weighted: no public backbone is at hand here. It is not the network that decodes the videos.
    """

    encoder: Any

    @torch.no_grad()
    def features(self, frames: Tensor) -> list[Tensor]:
        """[n, H, W, 3] in 0..1 -> per layer [n, C, h, w] of unit length over C."""
        x, found = frames.movedim(-1, 1).float(), []
        for index, layer in enumerate(self.encoder):
            x = layer(x)
            if index in TAPS:
                found.append(torch.nn.functional.normalize(x, dim=1))
        return found

    def between(self, these: list[Tensor], those: list[Tensor]) -> Tensor:
        """Features of n frames and of n others -> [n], 0 = equal."""
        layers = [(a - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(these, those, strict=True)]
        return torch.stack(layers).mean(dim=0)


def load_taesd(path: Path) -> torch.nn.Module:
    """The host's TAESD with the weights of a file, in fp32 and not to be trained."""
    from comfy.taesd.taesd import TAESD
    from safetensors.torch import load_file

    network = TAESD(latent_channels=4)
    network.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    return network.eval().requires_grad_(False)


def load_picture_distance(path: Path) -> PictureDistance:
    """The distance with the encoder of a TAESD file."""
    return PictureDistance(load_taesd(path).taesd_encoder)


def measured(frames: Tensor, clip: Clip, distance: PictureDistance) -> dict[str, float]:
    """Every measure of a made clip.

    Args:
        frames: [N, H, W, 3] in 0..1.
        clip: the truth, of the same length and size.
    Raises:
        ValueError: the shapes differ.
    """
    if frames.shape != clip.frames.shape:
        raise ValueError(f"frames has shape {list(frames.shape)}, the true clip {list(clip.frames.shape)}.")
    from kornia.metrics import ssim

    inner = slice(1, -1)
    made, true = frames[inner].float(), clip.frames[inner]
    error = (made - true).square().mean(dim=-1)
    seen, wanted = distance.features(frames.float()), distance.features(clip.frames)
    apart = distance.between(seen, wanted)
    steps = distance.between([layer[1:] for layer in seen], [layer[:-1] for layer in seen])
    similar = ssim(made.movedim(-1, 1), true.movedim(-1, 1), window_size=11)
    return {
        "psnr": decibel(error),
        "psnr_moving": decibel(error[clip.moving[inner]]),
        "ssim": float(similar.mean()),
        "perceptual": float(apart[inner].mean()),
        "tail_jump": float(steps[-1] / steps.median().clamp_min(1e-9)),
    }


def shown(numbers: dict[str, float]) -> str:
    """One line of a table: every measure in ten columns each."""
    return "".join(f"{numbers[name]:>10{form}}" for name, form in zip(NAMES, FORMATS, strict=True))


def decibel(square_error: Tensor) -> float:
    """PSNR, dB, of squared errors on colours in 0..1; 100 where there is none."""
    return float(-10 * square_error.mean().clamp_min(1e-10).log10())


def step_sizes(frames: Tensor) -> Tensor:
    """Mean absolute change of each frame of [N, H, W, 3] to the next, [N-1]."""
    return frames.diff(dim=0).abs().mean(dim=(1, 2, 3))


def rhythm(sizes: Tensor, period: int = 4) -> float:
    """Mean step size by phase, the largest over the smallest: 1 is none.

    Args:
        sizes: [clips, N-1] of `step_sizes`. period: frames of one latent frame; a phase is a step's place mod period.
    """
    means = sizes.mean(dim=0)
    phases = torch.stack([means[phase::period].mean() for phase in range(period)])
    return float(phases.max() / phases.min())

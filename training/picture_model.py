"""Task: the SVD-format UNet of the demo world, which makes 14 frames from the first one.

x = x_0 + sigma e; the UNet sees x / sqrt(1 + sigma^2) and the first frame's latent, and learns v = a e - b x_0 with
a = 1 / sqrt(1 + sigma^2), b = sigma a. Source: Blattmann et al. 2023, arXiv:2311.15127v1, appendix D, and Karras et al.
2022, arXiv:2206.00364v2, table 1. ln sigma ~ N(0.7, 1.6^2), SVD's own.

The module is the host's UNetModel in SVD's layout (demo/world_nodes/svd_host.py). The first frame's latent is fed as
the host feeds it: not scaled, while the video is. Motion bucket, frame rate and augmentation are drawn at random, so
they mean nothing here.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..demo import world
from ..demo.measures import load_taesd
from ..demo.world_nodes.encoders import picture_vectors
from ..demo.world_nodes.svd_host import unet_arguments
from .attention import attention
from .loop import Batch, load_host_file, rate_over, write_host_file
from .picture_vae import HOST_SCALE
from .video_latents import fingerprint, made_with

LENGTH = 14  # frames, SVD's first release
LEVEL_MEAN, LEVEL_DEVIATION = 0.7, 1.6  # of ln sigma
NO_PICTURE = 0.1  # share of clips without their first frame, for classifier-free guidance
ADM_SIZE = 256  # numbers per embedded setting


class PictureModel:
    """See the module."""

    name = "picture_model"
    file = "diffusion_models/demo_world_svd.safetensors"

    def __init__(self, vae: Path, latents: Path, batch_size: int = 8, judges: int = 16) -> None:
        """vae: the trained TAESD's file. latents: the file of `write_latents`. judges: validation clips."""
        self._vae, self._latents, self._batch_size, self._judges = vae, latents, batch_size, judges
        self._clips: dict[str, Tensor] = {}

    def module(self) -> nn.Module:
        return VPrediction(started(svd_unet()))

    def rate(self, step: int, steps: int) -> float:
        return rate_over(step, 0, steps)

    def batch(self, index: int, step: int, steps: int) -> Batch:
        if not self._clips:
            self._clips = load_file(self._latents)
        generator = torch.Generator().manual_seed(index)
        rows = torch.randint(len(self._clips["latents"]), (self._batch_size,), generator=generator)
        latents = self._clips["latents"][rows].float()
        levels = (LEVEL_MEAN + LEVEL_DEVIATION * torch.randn(self._batch_size, generator=generator)).exp()
        shown = (torch.rand(self._batch_size, generator=generator) >= NO_PICTURE).float()
        return {
            "target": latents,
            "vector": picture_vectors(self._clips["first"][rows].float() / 255) * shown[:, None],
            "shown": shown,
            "settings": torch.randn(self._batch_size, 3 * ADM_SIZE, generator=generator).clamp(-1, 1),
            "level": levels,
            "noise": torch.randn(latents.shape, generator=generator),
        }

    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """v loss on validation clips at three noise levels."""
        autoencoder = load_taesd(self._vae).to(device)
        clips = [world.clip(seed, LENGTH).frames for seed in world.VALIDATION[: self._judges]]
        latents = torch.stack([encoded(autoencoder, clip.to(device)) for clip in clips])
        generator = torch.Generator().manual_seed(0)
        batch = {
            "target": latents,
            "vector": picture_vectors(torch.stack([clip[0] for clip in clips]).to(device)),
            "shown": torch.ones(len(clips), device=device),
            "settings": torch.zeros(len(clips), 3 * ADM_SIZE, device=device),
            "noise": torch.randn(latents.shape, generator=generator).to(device),
        }
        numbers = {}
        for level in (0.5, 2.0, 10.0):
            batch["level"] = torch.full((len(clips),), level, device=device)
            numbers[f"v_{level}"] = float(module(batch)[0])
        return numbers

    def export(self, module: nn.Module, path: Path) -> None:
        """For UNETLoader, with the demo's nodes."""
        write_host_file(module.unet, path)

    def load(self, module: nn.Module, path: Path) -> None:
        load_host_file(module.unet, path)


class VPrediction(nn.Module):
    """The loss of a batch."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        target, noise, sigma = batch["target"], batch["noise"], batch["level"]  # [B, T, 4, h, w] twice, [B]
        frames = target.shape[1]
        a = (1 + sigma**2).rsqrt()[:, None, None, None, None]
        b = sigma[:, None, None, None, None] * a
        first = target[:, :1].expand_as(target) / HOST_SCALE * batch["shown"][:, None, None, None, None]
        seen = torch.cat([a * target + b * noise, first], dim=2).flatten(0, 1)  # [B*T, 8, h, w]
        predicted = self.unet(
            seen,
            (0.25 * sigma.log()).repeat_interleave(frames),
            batch["vector"].repeat_interleave(frames, 0)[:, None],
            batch["settings"].repeat_interleave(frames, 0),
            transformer_options={"optimized_attention_override": attention},
            num_video_frames=frames,
        )
        return F.mse_loss(predicted.float(), (a * noise - b * target).flatten(0, 1)), {}


def svd_unet() -> nn.Module:
    """The host's UNet; its weights are not set yet."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    return UNetModel(**unet_arguments(), operations=comfy.ops.disable_weight_init)


def started(unet: nn.Module) -> nn.Module:
    """Every matrix keeps the variance; biases, branches and the output begin at zero; half of time is mixed in."""
    for name, value in unet.named_parameters():
        if name.endswith("mix_factor"):
            nn.init.zeros_(value)
        elif name.endswith("bias"):
            nn.init.zeros_(value)
        elif value.ndim == 1:
            nn.init.ones_(value)
        else:
            nn.init.normal_(value, std=value[0].numel() ** -0.5)
    for name, value in unet.named_parameters():
        if name.endswith(("out_layers.3.weight", "to_out.0.weight", "ff.net.2.weight", "ff_in.net.2.weight")):
            nn.init.zeros_(value)
    nn.init.zeros_(unet.out[-1].weight)
    with torch.no_grad():  # the first frame comes unscaled
        unet.input_blocks[0][0].weight[:, 4:] *= HOST_SCALE
    return unet


@torch.no_grad()
def encoded(autoencoder: nn.Module, frames: Tensor) -> Tensor:
    """Frames [N, H, W, 3] in 0..1 as latents [N, 4, H / 8, W / 8] in the model's scale."""
    x = (frames.movedim(-1, 1) * 2 - 1).contiguous(memory_format=torch.channels_last)
    latents = autoencoder.encode(x)
    return latents.float().contiguous() * HOST_SCALE


def write_latents(vae: Path, path: Path, clips: int) -> None:
    """Encodes training clips into one file, unless this autoencoder made as many already. About 0.15 s a clip.

    In the file: latents [clips, 14, 4, 8, 8] and first frames [clips, 64, 64, 3] uint8; half of the clips are played
    backwards.
    """
    made_by = f"{fingerprint(vae)} {clips}"
    if path.exists() and made_with(path) == made_by:
        return
    autoencoder = load_taesd(vae).to("cuda" if torch.cuda.is_available() else "cpu")
    device = autoencoder.vae_scale.device
    latents, first = [], []
    for seed in world.TRAIN[:clips]:
        frames = world.clip(seed, LENGTH).frames
        frames = frames.flip(0) if Random(f"picture latents {seed}").random() < 0.5 else frames
        latents.append(encoded(autoencoder, frames.to(device)).half().cpu().contiguous())
        first.append((frames[0] * 255).round().byte())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file({"latents": torch.stack(latents), "first": torch.stack(first)}, partial, {"made_by": made_by})
    partial.rename(path)

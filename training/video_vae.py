"""Task: the Wan 2.1-format VAE of the demo world.

The residual branches are left out at first: what remains is nearly linear, costs a fifth and finds in minutes what a
linear code of the clip can do. Then the branches, which start at zero, learn the rest. The decoder can go on alone: its
latents stay as they are, and so does every model that was trained on them.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..demo import world
from ..demo.measures import decibel, rhythm, step_sizes
from . import wan_vae
from .loop import Batch, rate_over
from .reconstruction import noisy, reconstruction_loss
from .world_batches import clip_batch, keyframes_on_grey, to_signed

SCALE_CLIPS, SCALE_FRAMES = 256, 5  # whose latents set the scale; colours differ much from clip to clip
DEEP_RATE = 0.2  # of the highest rate
# clips, frames and side of a batch. Whole clips must be among them: a code learnt on the first frames alone leans on
# the zeros before them and fails where there are none. Quarters of four clips say more than one whole clip
SHALLOW_SIZES = ((8, 1, 64), (2, 17, 64), (2, 33, 64))
DEEP_SIZES = ((8, 1, 64), (4, 17, 32), (4, 33, 32), (1, 33, 64))


class VideoVAE:
    """See the module."""

    name = "video_vae"
    trains_encoder = True
    file = "vae/demo_world_wan_vae.safetensors"

    def __init__(self, width: int = 16, shallow_share: float = 0.15, judges: int = 16) -> None:
        """width: base channels. shallow_share: of the steps, the share without residual branches; 0 to go on.

        judges: validation clips for held-out numbers.
        """
        self._width, self._shallow_share, self._judges = width, shallow_share, judges

    def module(self) -> nn.Module:
        return Reconstruction(started(wan_vae.WanVAE(self._width)), self.trains_encoder)

    def rate(self, step: int, steps: int) -> float:
        """Two phases; the residual branches begin with a lower rate, as they start from zero in a code that works."""
        change = int(self._shallow_share * steps)
        return rate_over(step, 0, change, 0.8) if step <= change else DEEP_RATE * rate_over(step, change, steps)

    def batch(self, index: int, step: int, steps: int) -> Batch:
        random = Random(f"video_vae {index}")
        shallow = step < self._shallow_share * steps
        count, length, side = random.choice(SHALLOW_SIZES if shallow else DEEP_SIZES)
        return {"clip": clip_batch(random, count, length, 0.3, side), "seed": index, "shallow": shallow}

    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """Mean PSNR, dB: of clips, where they move, of last frames, of known keyframes on grey; and the rhythm."""
        found: dict[str, list[float]] = {"psnr": [], "psnr_moving": [], "psnr_last": [], "psnr_grey": []}
        sizes = []
        for seed in world.VALIDATION[: self._judges]:
            clip = world.clip(seed)
            made = self._through(module, clip.frames, device)
            error = (made - clip.frames).square()
            sizes.append(step_sizes(made))
            found["psnr"].append(decibel(error))
            found["psnr_moving"].append(decibel(error[clip.moving]))
            found["psnr_last"].append(decibel(error[-1]))
            ends = [0, world.LENGTH - 1]
            shown = keyframes_on_grey(clip.frames, ends)
            found["psnr_grey"].append(decibel((self._through(module, shown, device) - shown)[ends].square()))
        means = {name: sum(values) / len(values) for name, values in found.items()}
        return {**means, "rhythm": rhythm(torch.stack(sizes))}

    @staticmethod
    def _through(module: nn.Module, frames: Tensor, device: torch.device) -> Tensor:
        """Frames [N, H, W, 3] in 0..1 encoded and decoded."""
        made = module.vae.decode(module.vae.encode(_one_clip(frames, device))[0])[0]
        return (made.float().cpu().movedim(0, -1) / 2 + 0.5).clamp(0, 1)

    def export(self, module: nn.Module, path: Path) -> None:
        """For VAELoader; its latents are brought to the scale that the host expects."""
        device = next(module.parameters()).device
        state = {key: value.detach().cpu().contiguous() for key, value in module.vae.state_dict().items()}
        if self.trains_encoder:
            clips = (world.clip(seed, SCALE_FRAMES).frames for seed in world.TRAIN[:SCALE_CLIPS])
            latents = [module.vae.encode(_one_clip(frames, device))[0].float() for frames in clips]
            state = folded(state, torch.cat(latents).cpu())
        save_file(state, path, self._metadata())

    def _metadata(self) -> dict[str, str]:
        return {}

    def load(self, module: nn.Module, path: Path) -> None:
        """Reads a file of this width, or of half of it, which is widened."""
        state = {key: value.float() for key, value in load_file(path).items()}
        narrower = 2 * len(state["decoder.head.0.gamma"]) == len(module.vae.decoder.head[0].gamma)
        module.vae.load_state_dict(wan_vae.widened(state, module.vae) if narrower else state)


class VideoDecoder(VideoVAE):
    """The decoder alone, on a finished encoder. `shipped.collect` takes its file, whose stage is named later."""

    name = "video_vae_decoder"
    trains_encoder = False

    def __init__(self, encoder: str, width: int = 16, judges: int = 16) -> None:
        """encoder: the `fingerprint` of the file it begins with. Latents of that file are latents of this one."""
        super().__init__(width, 0.0, judges)
        self._encoder = encoder

    def _metadata(self) -> dict[str, str]:
        return {"encoder": self._encoder}


class Reconstruction(nn.Module):
    """The loss of a batch of clips."""

    def __init__(self, vae: wan_vae.WanVAE, trains_encoder: bool = True) -> None:
        super().__init__()
        self.vae = vae
        vae.encoder.requires_grad_(trains_encoder)
        vae.conv1.requires_grad_(trains_encoder)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        for block in self.modules():
            if isinstance(block, wan_vae.ResidualBlock):
                block.shallow = bool(batch["shallow"])
        clip = batch["clip"].contiguous(memory_format=torch.channels_last_3d)
        mean, _ = self.vae.encode(clip)
        return reconstruction_loss(self.vae.decode(noisy(mean, int(batch["seed"]))), clip, mean)


def _one_clip(frames: Tensor, device: torch.device) -> Tensor:
    """[N, H, W, 3] in 0..1 -> [1, 3, N, H, W] in -1..1."""
    return to_signed(frames).transpose(0, 1)[None].to(device)


def started(vae: wan_vae.WanVAE) -> wan_vae.WanVAE:
    """The VAE with every convolution keeping the variance, time passed on as it is, and residual branches at zero."""
    for part in vae.modules():
        if isinstance(part, nn.Conv2d | nn.Conv3d):
            fan = part.in_channels * part.kernel_size[-1] ** 2
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
            now = part.weight[:, :, -1] if isinstance(part, nn.Conv3d) else part.weight
            nn.init.normal_(now.data, std=fan**-0.5)
    for part in vae.modules():
        if isinstance(part, wan_vae.ResidualBlock):
            nn.init.zeros_(part.residual[-1].weight)
        elif isinstance(part, wan_vae.AttentionBlock):
            nn.init.zeros_(part.proj.weight)
        elif isinstance(part, wan_vae.Downsample | wan_vae.Upsample) and part.in_time:
            same = torch.eye(part.time_conv.in_channels)
            weight = part.time_conv.weight.data.zero_()
            if isinstance(part, wan_vae.Downsample):
                weight[:, :, 1, 0, 0] = weight[:, :, 2, 0, 0] = same / 2
            else:
                weight[:, :, -1, 0, 0] = torch.cat([same, same])
    return vae


def folded(state: dict[str, Tensor], latents: Tensor) -> dict[str, Tensor]:
    """The weights, changed so that the host's fixed numbers bring these latents to zero mean and deviation 1.

    The host's model sees (z - m) / s with Wan's own m and s. With the measured mean a and deviation b per channel, the
    encoder's last convolution gives z' = (z - a) / b s + m and the decoder's first one undoes it.

    Args:
        state: the VAE's weights.
        latents: [B, 16, T, H / 8, W / 8], means that the encoder gave for natural clips.
    """
    from comfy.latent_formats import Wan21

    format_ = Wan21()
    host_mean, host_std = format_.latents_mean.flatten(), format_.latents_std.flatten()
    mean, std = latents.mean(dim=(0, 2, 3, 4)), latents.std(dim=(0, 2, 3, 4))
    scale = host_std / std
    shift = host_mean - mean * scale
    channels = len(scale)
    folded_state = dict(state)
    weight, bias = state["conv1.weight"].clone(), state["conv1.bias"].clone()
    weight[:channels] *= scale[:, None, None, None, None]
    bias[:channels] = bias[:channels] * scale + shift
    folded_state["conv1.weight"], folded_state["conv1.bias"] = weight, bias
    weight, bias = state["conv2.weight"], state["conv2.bias"]
    undone = weight[:, :, 0, 0, 0]
    folded_state["conv2.weight"] = weight / scale[None, :, None, None, None]
    folded_state["conv2.bias"] = bias - undone @ (shift / scale)
    return folded_state

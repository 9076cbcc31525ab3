"""The Wan 2.1 video VAE as one pass over the whole clip, to train it. Parameter names are those of its published files.

The host encodes and decodes in pieces with a cache per convolution, which is slow to differentiate. Here a clip passes
at once and gives the same numbers: every convolution in time is causal, with zeros before the first frame. At a halving
of time the first frame passes and a convolution of kernel 3 and stride 2 runs over the sequence; at a doubling the
first frame passes and the rest is convolved with zero history. Source: Wan 2.1, arXiv:2503.20314v2, section 4.1;
checked against the host in tests/host/test_wan_vae_training.py.

symbol   here      shape                        unit
N        --        1 + 4 k                      video frames
T        --        1 + k                        latent frames
x        clip      [B, 3, N, H, W]              RGB, -1..1
z        latent    [B, 16, T, H / 8, W / 8]     --
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT_CHANNELS = 16
WIDTHS = (1, 2, 4, 4)  # channels of each level over the base width
HALVES_TIME = (False, True, True)


class WanVAE(nn.Module):
    """Encoder and decoder; 16 latent channels, 8x in space, 4x in time. Base width 16 has 3.6 M parameters."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encoder = Encoder(width)
        self.conv1 = CausalConv3d(2 * LATENT_CHANNELS, 2 * LATENT_CHANNELS, 1)
        self.conv2 = CausalConv3d(LATENT_CHANNELS, LATENT_CHANNELS, 1)
        self.decoder = Decoder(width)

    def encode(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent, [B, 16, T, H / 8, W / 8] each. The host uses the mean."""
        mean, log_variance = self.conv1(self.encoder(clip)).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, latent: Tensor) -> Tensor:
        """[B, 3, N, H, W], about -1..1."""
        return self.decoder(self.conv2(latent))


class Encoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * factor for factor in (1, *WIDTHS)]
        self.conv1 = CausalConv3d(3, widths[0], 3)
        levels: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise(widths)):
            levels += [ResidualBlock(before, after), ResidualBlock(after, after)]
            if level < len(WIDTHS) - 1:
                levels.append(Downsample(after, HALVES_TIME[level]))
        self.downsamples = nn.Sequential(*levels)
        self.middle = nn.Sequential(ResidualBlock(after, after), AttentionBlock(after), ResidualBlock(after, after))
        self.head = nn.Sequential(RMSNorm(after, 3), nn.SiLU(), CausalConv3d(after, 2 * LATENT_CHANNELS, 3))

    def forward(self, clip: Tensor) -> Tensor:
        return self.head(self.middle(self.downsamples(self.conv1(clip))))


class Decoder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * factor for factor in (WIDTHS[-1], *WIDTHS[::-1])]
        self.conv1 = CausalConv3d(LATENT_CHANNELS, widths[0], 3)
        self.middle = nn.Sequential(
            ResidualBlock(widths[0], widths[0]), AttentionBlock(widths[0]), ResidualBlock(widths[0], widths[0])
        )
        levels: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise(widths)):
            before = before if level == 0 else before // 2  # the doubling before it halved the channels
            levels += [ResidualBlock(before, after), ResidualBlock(after, after), ResidualBlock(after, after)]
            if level < len(WIDTHS) - 1:
                levels.append(Upsample(after, HALVES_TIME[::-1][level]))
        self.upsamples = nn.Sequential(*levels)
        self.head = nn.Sequential(RMSNorm(after, 3), nn.SiLU(), CausalConv3d(after, 3, 3))

    def forward(self, latent: Tensor) -> Tensor:
        return self.head(self.upsamples(self.middle(self.conv1(latent))))


class CausalConv3d(nn.Conv3d):
    """A convolution that sees this frame and those before it, zeros before the first."""

    def __init__(self, before: int, after: int, kernel: int | tuple[int, int, int], stride: int = 1) -> None:
        time, space = kernel if isinstance(kernel, int) else kernel[0], kernel if isinstance(kernel, int) else kernel[1]
        super().__init__(
            before, after, (time, space, space), stride=(stride, 1, 1), padding=(0, space // 2, space // 2)
        )
        self.history = time - 1

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] == 1:  # zeros before it: the last slice in time is all that counts
            return F.conv2d(x[:, :, 0], self.weight[:, :, -1], self.bias, padding=self.padding[1])[:, :, None]
        return super().forward(F.pad(x, (0, 0, 0, 0, self.history, 0)))


class RMSNorm(nn.Module):
    """Scales the channels of every pixel to a root mean square of gamma."""

    def __init__(self, channels: int, dimensions: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * dimensions))

    def forward(self, x: Tensor) -> Tensor:
        size = x.square().mean(dim=1, keepdim=True).clamp_min(1e-12).rsqrt()
        return x * size * self.gamma


class ResidualBlock(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *(RMSNorm(before, 3), nn.SiLU(), CausalConv3d(before, after, 3)),
            *(RMSNorm(after, 3), nn.SiLU(), nn.Identity(), CausalConv3d(after, after, 3)),
        )
        self.shortcut = CausalConv3d(before, after, 1) if before != after else nn.Identity()
        self.shallow = False

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) if self.shallow else self.residual(x) + self.shortcut(x)


class AttentionBlock(nn.Module):
    """One head over the places of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = RMSNorm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        frames = _frames(x)  # [B, C, T, H, W] -> [B*T, C, H, W]
        query, key, value = (part.flatten(2).mT for part in self.to_qkv(self.norm(frames)).chunk(3, dim=1))
        seen = F.scaled_dot_product_attention(query, key, value).mT.reshape(frames.shape)
        return x + _clips(self.proj(seen), len(x))


class Downsample(nn.Module):
    """Half the height and width; with `in_time` every two frames after the first become one."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        if in_time:
            self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1))
        self.in_time = in_time

    def forward(self, x: Tensor) -> Tensor:
        x = _clips(self.resample(_frames(x)), len(x))
        if self.in_time and x.shape[2] > 1:
            x = torch.cat([x[:, :, :1], self.time_conv(x)], dim=2)
        return x


class Upsample(nn.Module):
    """Twice the height and width, half the channels; with `in_time` every frame after the first becomes two."""

    def __init__(self, channels: int, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=(2.0, 2.0), mode="nearest-exact"), nn.Conv2d(channels, channels // 2, 3, padding=1)
        )
        if in_time:
            self.time_conv = CausalConv3d(channels, 2 * channels, (3, 1, 1))
        self.in_time = in_time

    def forward(self, x: Tensor) -> Tensor:
        if self.in_time and x.shape[2] > 1:
            batch, channels, frames, height, width = x.shape
            pairs = self.time_conv(x[:, :, 1:]).reshape(batch, 2, channels, frames - 1, height, width)
            # [B, 2, C, T, H, W] -> [B, C, 2 T, H, W], the two of each frame side by side
            x = torch.cat([x[:, :, :1], pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)], dim=2)
        return _clips(self.resample(_frames(x)), len(x))


def _frames(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(0, 1)


def _clips(x: Tensor, batch: int) -> Tensor:
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def widened(state: dict[str, Tensor], vae: WanVAE) -> dict[str, Tensor]:
    """The weights of a VAE of half the base width as weights of this one, which gives the same pictures.

    Every channel becomes two alike; a convolution that reads them takes shares of 0.5 +- 0.1 of its weight from them,
    so that their gradients differ. The queries of attention are divided by sqrt(2), as their products are summed twice.
    Source: Chen et al. 2016, arXiv:1511.05641v4, section 3.2 (Net2WiderNet).

    Args:
        state: weights of a WanVAE. vae: of twice its width; its weights are not read.
    """
    generator, made = torch.Generator().manual_seed(0), {}
    for name, wanted in vae.state_dict().items():
        value = state[name]
        if wanted.ndim > 1 and wanted.shape[1] == 2 * value.shape[1]:
            share = 0.1 * (2 * torch.rand(value.shape, generator=generator) - 1)
            value = torch.stack([value * (0.5 + share), value * (0.5 - share)], dim=2).flatten(1, 2)
        if len(wanted) == 2 * len(value):
            value = value.repeat_interleave(2, dim=0)
        if ".to_qkv." in name:
            value = torch.cat([value[: len(value) // 3] * 0.5**0.5, value[len(value) // 3 :]])
        made[name] = value
    return made

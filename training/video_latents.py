"""What video models train on: latents of clips and of their condition clips, encoded once with the finished VAE.

One shard holds 32 clips and is a pure function of its number and the VAE, so several processes can write different
shards. Half of the clips are played backwards: the model is asked for both directions of time.

in a shard   shape                       what
target       [32, 16, T, 8, 8]           the clip, in the model's scale (zero mean, deviation 1)
first        [32, 16, T, 8, 8]           its first picture on grey, likewise
last         [32, 16, 1, 8, 8]           the last latent frame of both ends on grey
between      [32, 16, T, 8, 8]           drawn keyframes on grey, at least one of them between the ends
known        [32, N] bool                which video frames `between` knows
ends         [32, 2, 64, 64, 3] uint8    first and last picture
words        [32, 40, 64]                the caption's tokens

The VAE is causal: the last picture changes the last latent frame alone, so `first` with `last` at its end is the
condition of both ends.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from random import Random

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..demo import world
from ..demo.world_nodes.encoders import word_tokens
from .precision import autocast_to, measured_passes
from .wan_vae import WanVAE
from .world_batches import drawn_keyframes, keyframes_on_grey, to_signed

SHARD = 32  # clips


def load_vae(path: Path) -> WanVAE:
    """The trained VAE from the host's file."""
    state = {key: value.float() for key, value in load_file(path).items()}
    vae = WanVAE(state["decoder.head.0.gamma"].shape[0])
    vae.load_state_dict(state)
    return vae.eval().requires_grad_(False)


def model_scale(latents: Tensor) -> Tensor:
    """What the host's model sees of the VAE's latents: Wan 2.1's fixed means and deviations taken out."""
    from comfy.latent_formats import Wan21

    return Wan21().process_in(latents)


@torch.no_grad()
def encoded(vae: WanVAE, clips: Tensor) -> Tensor:
    """Clips [B, N, H, W, 3] in 0..1 as latents [B, 16, T, H / 8, W / 8] in the model's scale, float32."""
    device = next(vae.parameters()).device
    x = to_signed(clips).transpose(1, 2).to(device).contiguous(memory_format=torch.channels_last_3d)
    mean, _ = vae.encode(x)
    return model_scale(mean.float()).cpu().contiguous()


def host_scale(latents: Tensor) -> Tensor:
    """The reverse of `model_scale`."""
    from comfy.latent_formats import Wan21

    return Wan21().process_out(latents)


def write_shards(vae: Path, folder: Path, numbers: range, size: int = SHARD) -> None:
    """Writes the shards that are missing or were made by another VAE. About 6 s each on one core.

    Args:
        vae: the trained VAE's file. numbers: of the shards. size: clips in each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made_by, network = fingerprint(vae), load_vae(vae)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = encoding_precision(network, device)
    for number in numbers:
        path = folder / f"{number:05d}.safetensors"
        if path.exists() and made_with(path) == made_by:
            continue
        partial = path.with_suffix(f".{os.getpid()}")
        with autocast_to(precision, device):
            made = shard(network, number, size)
        save_file(made, partial, {"made_by": made_by})
        partial.rename(path)


def encoding_precision(vae: WanVAE, device: torch.device) -> torch.dtype:
    """What this machine encodes clips in quickest; the VAE is moved to the device."""
    clip = world.clip(world.TRAIN[0]).frames[None]
    vae.to(device)
    return measured_passes(lambda: encoded(vae, clip), device)


def fingerprint(path: Path) -> str:
    """What tells an autoencoder's file from those with other latents: the file's hash, or the encoder that it names."""
    with safe_open(path, "pt") as file:
        named = (file.metadata() or {}).get("encoder")
    return named or hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def made_with(path: Path) -> str:
    """The fingerprint of the autoencoder that made a file of latents."""
    with safe_open(path, "pt") as file:
        return (file.metadata() or {}).get("made_by", "")


def shard(vae: WanVAE, number: int, size: int = SHARD) -> dict[str, Tensor]:
    """One shard of `size` clips; see the module."""
    random = Random(f"video latents {number}")
    clips = [world.clip(seed) for seed in world.TRAIN[number * size : (number + 1) * size]]
    backwards = [random.random() < 0.5 for _ in clips]
    frames = torch.stack(
        [clip.frames.flip(0) if back else clip.frames for clip, back in zip(clips, backwards, strict=True)]
    )
    captions = [
        world.reversed_caption(clip.caption) if back else clip.caption
        for clip, back in zip(clips, backwards, strict=True)
    ]
    known = torch.zeros(size, world.LENGTH, dtype=torch.bool)
    for row in known:
        row[drawn_keyframes(random, world.LENGTH)] = True
    drawn = [row.nonzero()[:, 0].tolist() for row in known]
    ends = [0, world.LENGTH - 1]
    return {
        "target": _encoded_by_parts(vae, frames),
        "first": _encoded_by_parts(vae, _shown(frames, [[0]] * size)),
        "last": _encoded_by_parts(vae, _shown(frames, [ends] * size))[:, :, -1:].contiguous(),
        "between": _encoded_by_parts(vae, _shown(frames, drawn)),
        "known": known,
        "ends": (frames[:, [0, -1]] * 255).round().byte(),
        "words": torch.stack([word_tokens(caption) for caption in captions]),
    }


def both_ends(clips: Mapping[str, Tensor]) -> Tensor:
    """The condition of the first and the last picture, [B, 16, T, h, w], of clips of a shard."""
    return torch.cat([clips["first"][:, :, :-1], clips["last"]], dim=2)


def _shown(clips: Tensor, known: list[list[int]]) -> Tensor:
    return torch.stack([keyframes_on_grey(clip, frames) for clip, frames in zip(clips, known, strict=True)])


def _encoded_by_parts(vae: WanVAE, clips: Tensor) -> Tensor:
    return torch.cat([encoded(vae, part) for part in clips.split(4)]).half()


class LatentStore:
    """The shards of a folder in memory."""

    def __init__(self, folder: Path, vae: Path) -> None:
        """folder: of the shards. vae: the file that must have made them."""
        self._folder, self._vae = folder, vae
        self._clips: dict[str, Tensor] = {}

    def drawn(self, random: Random, count: int) -> dict[str, Tensor]:
        """A batch of clips.

        Raises:
            RuntimeError: there is none, or another VAE made the shards.
        """
        if not self._clips:
            self._clips = self._read()
        clips = len(self._clips["target"])
        chosen = [random.randrange(clips) for _ in range(count)]
        return {key: value[chosen] for key, value in self._clips.items()}

    def _read(self) -> dict[str, Tensor]:
        paths = sorted(self._folder.glob("*.safetensors"))
        made_by = fingerprint(self._vae)
        stale = [path for path in paths if made_with(path) != made_by]
        if not paths or stale:
            found = f"{stale[0].name} was made by another VAE" if stale else "there are none"
            raise RuntimeError(f"{self._folder} should hold latents of {self._vae}, but {found}: write them first")
        shards = [load_file(path) for path in paths]
        return {key: torch.cat([item[key] for item in shards]) for key in shards[0]}

"""What the video model trains on: latents of clips and of their condition clips, encoded once with the finished VAE.

One shard holds 32 clips and is a pure function of its number, so several processes can write different shards, and
training can begin with those that are there.

in a shard   shape                       what
target       [32, 16, T, 8, 8]           the clip, in the model's scale (zero mean, deviation 1)
condition    [32, 16, T, 8, 8]           its keyframes on grey, likewise
known        [32, N] bool                which video frames the condition knows
ends         [32, 2, 64, 64, 3] uint8    first and last picture
words        [32, 40, 64]                the caption's tokens
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..demo import world
from ..demo.world_nodes.encoders import word_tokens
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
    """Clips [B, N, H, W, 3] in 0..1 as latents [B, 16, T, H / 8, W / 8] in the model's scale."""
    device = next(vae.parameters()).device
    x = to_signed(clips).transpose(1, 2).to(device).contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast(device.type, torch.bfloat16):
        mean, _ = vae.encode(x)
    return model_scale(mean.float()).cpu().contiguous()


def write_shards(vae: WanVAE, folder: Path, numbers: range, size: int = SHARD) -> None:
    """Writes the shards that are missing. About 10 s each on one core."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = folder / f"{number:05d}.safetensors"
        if path.exists():
            continue
        partial = path.with_suffix(f".{os.getpid()}")
        save_file(shard(vae, number, size), partial)
        partial.rename(path)


def shard(vae: WanVAE, number: int, size: int = SHARD) -> dict[str, Tensor]:
    """One shard of `size` clips; see the module."""
    random = Random(f"video latents {number}")
    clips = [world.clip(seed) for seed in world.TRAIN[number * size : (number + 1) * size]]
    frames = torch.stack([clip.frames for clip in clips])
    known = torch.zeros(size, world.LENGTH, dtype=torch.bool)
    for row in known:
        row[drawn_keyframes(random, world.LENGTH)] = True
    shown = torch.stack(
        [keyframes_on_grey(clip, row.nonzero()[:, 0].tolist()) for clip, row in zip(frames, known, strict=True)]
    )
    return {
        "target": torch.cat([encoded(vae, part) for part in frames.split(4)]).half(),
        "condition": torch.cat([encoded(vae, part) for part in shown.split(4)]).half(),
        "known": known,
        "ends": (frames[:, [0, -1]] * 255).round().byte(),
        "words": torch.stack([word_tokens(clip.caption) for clip in clips]),
    }


class LatentStore:
    """The shards of a folder in memory; new ones are noticed while training goes on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shards: dict[str, dict[str, Tensor]] = {}

    def refresh(self) -> int:
        """Reads shards that are new and returns how many clips there are."""
        for path in sorted(self._folder.glob("*.safetensors")):
            if path.name not in self._shards:
                self._shards[path.name] = load_file(path)
        return sum(len(item["known"]) for item in self._shards.values())

    def drawn(self, random: Random, count: int, with_last: bool | None = None) -> dict[str, Tensor]:
        """A batch of clips.

        Args:
            with_last: only clips whose condition knows the last frame (True) or does not (False); None takes all.
        Raises:
            RuntimeError: there is no shard.
        """
        if not self._shards and not self.refresh():
            raise RuntimeError(f"there are no latents in {self._folder}: run the stage video_latents first")
        names = sorted(self._shards)
        rows = []
        while len(rows) < count:
            item = self._shards[random.choice(names)]
            row = random.randrange(len(item["known"]))
            if with_last is None or bool(item["known"][row, -1]) == with_last:
                rows.append({key: value[row] for key, value in item.items()})
        return {key: torch.stack([row[key] for row in rows]) for key in rows[0]}

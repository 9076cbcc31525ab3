"""Tasks: adapters that make the demo world's transformer a bridge model, and their counterpart that stays a diffusion.

paper       here            shape               unit
z_0         target          [B, 16, T, h, w]    clip's latents, scale of the model
z_T         prior           [B, 16, T, h, w]    cross-fade of its first and last picture, encoded; or a neural prior
z_t         --              --                  a z_0 + b z_T + c eps at a drawn bridge time t
x, tau      aligned input   --                  what the network sees, samplers/snr_alignment.py

aligned     x = (z_t - b z_T) / (a + c) at tau = c / (a + c); learns eps - z_0        (mode saf of Bridge Sampler)
unaligned   x = z_t / (1 + c) at tau = c / (1 + c); learns eps - (a z_0 + b z_T)      (mode unaligned)
diffusion   x = (1 - tau) z_0 + tau eps at Wan's levels; learns eps - z_0              (any sampler)

All begin with the base t2v, which has never seen a picture, and are trained alike: the same clips, the same number of
steps. An aligned input holds nothing of the prior, so the prior is shown in the 16 condition channels, which the base
leaves at zero: the paper's concatenation; the mask says which frames are known. The counterpart sees the keyframes on
grey there, as Wan's own models do. Image tokens are left out: the base has no use for them.
Source: FrameBridge, ICML 2025, sections 4.1-4.3. Differences: adapters, where the paper trains all weights; two
keyframes, where it has one.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..demo import world
from ..demo.world_nodes.encoders import word_tokens
from ..frames.bridge_prior import prior_between
from ..samplers.bridge import bridge_sample
from ..samplers.bridge_schedule import START, BridgeSchedule, per_sample
from ..samplers.snr_alignment import flow_input
from .adapter import adapted, read_adapter, write_adapter
from .loop import Batch, load_host_file, rate_over
from .precision import autocast_to
from .video_latents import LatentStore, both_ends, encoded, encoding_precision, fingerprint, load_vae, made_with
from .video_model import (
    DIM,
    LAYERS,
    NO_CAPTION,
    condition_channels,
    predicted,
    shifted,
    wan_transformer,
)
from .world_batches import keyframes_on_grey

WAYS = ("aligned", "unaligned", "diffusion")


class BridgeModel:
    """Task: one of WAYS, on priors that are cross-fades."""

    def __init__(self, way: str, vae: Path, base: Path, priors: Path, batch_size: int = 24, judges: int = 16) -> None:
        """vae, base: files of the trained VAE and transformer. priors: folder of `prior_latents`."""
        self.name = f"bridge_{way}"
        self.file = f"loras/demo_world_{self.name}.safetensors"
        self._way, self._vae, self._base, self._priors = way, vae, base, LatentStore(priors, vae)
        self._batch_size, self._judges = batch_size, judges

    def module(self) -> nn.Module:
        transformer = wan_transformer(DIM, LAYERS)
        load_host_file(transformer, self._base)
        return BridgeMatching(adapted(transformer), self._way)

    def rate(self, step: int, steps: int) -> float:
        return rate_over(step, 0, steps)

    def batch(self, index: int, step: int, steps: int) -> Batch:
        random = Random(f"bridge {index}")
        drawn = self._priors.drawn(random, self._batch_size)
        drawn = {key: value if key == "known" else value.float() for key, value in drawn.items()}
        captions = torch.tensor([random.random() >= NO_CAPTION for _ in range(self._batch_size)])
        drawn["words"] = drawn["words"] * captions[:, None, None]
        drawn["time"] = torch.tensor([random.random() for _ in range(self._batch_size)])
        drawn["noise"] = torch.randn(drawn["target"].shape, generator=torch.Generator().manual_seed(index))
        return drawn

    @torch.no_grad()
    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """The loss on validation clips at three times."""
        batch = {key: value.to(device) for key, value in judged_clips(self._vae, self._judges).items()}
        batch["noise"] = torch.randn(batch["target"].shape, generator=torch.Generator().manual_seed(0)).to(device)
        numbers = {}
        for time in (0.1, 0.5, 0.9):
            batch["time"] = torch.full((len(batch["target"]),), time, device=device)
            numbers[f"loss_{time}"] = float(module(batch)[0])
        return numbers

    def export(self, module: nn.Module, path: Path) -> None:
        write_adapter(module.transformer, path)

    def load(self, module: nn.Module, path: Path) -> None:
        read_adapter(module.transformer, path)


class BridgeMatching(nn.Module):
    """The loss of a batch.

    Batch: target, prior, shown (keyframes on grey) and noise [B, 16, T, h, w]; known [B, N] bool; time [B] in 0..1;
    words [B, 40, 64]; pictures [B, 0, H, W, 3], for the base knows none.
    """

    def __init__(self, transformer: nn.Module, way: str) -> None:
        super().__init__()
        if way not in WAYS:
            raise ValueError(f"way must be one of {', '.join(WAYS)}, got {way!r}")
        self.transformer, self._way, self._schedule = transformer, way, BridgeSchedule()

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        x, level, clean = self._seen(batch)
        shown = batch["shown"] if self._way == "diffusion" else batch["prior"]
        condition = condition_channels(shown, batch["known"])
        made = predicted(self.transformer, x, level, condition, batch["words"], batch["pictures"])
        return F.mse_loss(made.float(), batch["noise"] - clean), {}

    def _seen(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The network's input, its level [B], and the clean part of that input."""
        target, prior, noise, time = (batch[key] for key in ("target", "prior", "noise", "time"))
        if self._way == "diffusion":
            level = shifted(time)
            by = level[:, None, None, None, None]
            return (1 - by) * target + by * noise, level, target
        bridge, t = self._schedule, START * time
        a, b = per_sample(bridge.a(t), target), per_sample(bridge.b(t), target)
        z = bridge_sample(target, prior, noise, t, bridge)
        aligned = self._way == "aligned"
        given = flow_input(z, prior, t, bridge, 1.0, 1.0 if aligned else 0.0)
        return given.x, given.level.to(target), target if aligned else a * target + b * prior


def prior_clip(ends: Tensor) -> Tensor:
    """The cross-fade [N, H, W, 3] of a first and a last picture [2, H, W, 3]."""
    return prior_between(ends, [0, world.LENGTH - 1], world.LENGTH)


def prior_latents(vae: Path, latents: Path, folder: Path) -> None:
    """Writes for every shard of video latents one for bridges, where it is missing or was made by another VAE.

    In it: prior and shown [C, 16, T, h, w], the cross-fade and the keyframes on grey; known, both ends; pictures, none;
    target and words are the shard's. About 6 s each on one core.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    made_by, network = fingerprint(vae), load_vae(vae)
    precision = encoding_precision(network, device)
    for path in sorted(latents.glob("*.safetensors")):
        target = folder / path.name
        if target.exists() and made_with(target) == made_by:
            continue
        shard = load_file(path)
        ends = shard["ends"].float() / 255
        fades = torch.stack([prior_clip(pair) for pair in ends])
        with autocast_to(precision, device):
            prior = torch.cat([encoded(network, part) for part in fades.split(4)]).half()
        made = {
            "prior": prior,
            "shown": both_ends(shard),
            "target": shard["target"],
            "pictures": ends[:, :0],
            "words": shard["words"],
            "known": ends_known(len(ends)),
        }
        partial = target.with_suffix(".partial")
        save_file(made, partial, {"made_by": made_by})
        partial.rename(target)


def ends_known(count: int) -> Tensor:
    """[count, N], true for the first and the last frame."""
    known = torch.zeros(count, world.LENGTH, dtype=torch.bool)
    known[:, [0, -1]] = True
    return known


def judged_clips(vae: Path, count: int) -> dict[str, Tensor]:
    """Validation clips, as `BridgeMatching` takes them but for noise and time."""
    network = load_vae(vae)
    clips = [world.clip(seed) for seed in world.VALIDATION[:count]]
    frames = torch.stack([clip.frames for clip in clips])
    ends = frames[:, [0, -1]]
    return {
        "target": encoded(network, frames),
        "prior": encoded(network, torch.stack([prior_clip(pair) for pair in ends])),
        "shown": encoded(network, torch.stack([keyframes_on_grey(clip, [0, world.LENGTH - 1]) for clip in frames])),
        "words": torch.stack([word_tokens(clip.caption) for clip in clips]),
        "pictures": ends[:, :0],
        "known": ends_known(count),
    }

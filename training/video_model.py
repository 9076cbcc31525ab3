"""Task: the Wan 2.1 FLF2V-format transformer of the demo world, by flow matching.

x_s = (1 - s) x_0 + s e, and the model learns v = e - x_0 from x_s, s, the condition and the words.
Source: Lipman et al. 2022, arXiv:2210.02747, with Wan 2.1's linear path (arXiv:2503.20314v2, section 4.2).

The module is the host's own (comfy.ldm.wan.model), so that what is saved is what the host loads. Image tokens come in
one step of four: 514 of them cost as much as everything else, and the condition latents already hold the pictures.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..demo import world
from ..demo.measures import decibel
from ..demo.world_graphs import SHIFT
from ..demo.world_nodes.encoders import TEXT_SIZE, TOKEN_SIZE, picture_tokens, word_tokens
from .attention import attention
from .loop import Batch, load_host_file, rate_over, write_host_file
from .video_latents import LatentStore, encoded, host_scale, load_vae
from .world_batches import keyframes_on_grey

DIM, HEADS, LAYERS, TIME_SIZE = 192, 4, 6, 128
IMAGE_TOKENS = 257
TOKEN_STEPS = 4  # one step of so many has image tokens
NO_CAPTION = 0.1


class VideoModel:
    """See the module."""

    name = "video_model"
    file = "diffusion_models/demo_world_wan_flf2v.safetensors"

    def __init__(self, vae: Path, latents: Path, batch_size: int = 24, judges: int = 16) -> None:
        """vae: the trained VAE's file. latents: the folder of shards. judges: validation clips for held-out numbers."""
        self._vae, self._store, self._batch_size = vae, LatentStore(latents, vae), batch_size
        self._judges = judges

    def module(self) -> nn.Module:
        return FlowMatching(started(wan_transformer(DIM, LAYERS)))

    def rate(self, step: int, steps: int) -> float:
        return rate_over(step, 0, steps)

    def batch(self, index: int, step: int, steps: int) -> Batch:
        random = Random(f"video_model {index}")
        tokens = step % TOKEN_STEPS == 0  # in all processes alike
        drawn = self._store.drawn(random, self._batch_size, random.random() < 0.8 if tokens else None)
        captions = torch.tensor([random.random() >= NO_CAPTION for _ in range(self._batch_size)])
        level = torch.tensor([random.random() for _ in range(self._batch_size)])
        level = shifted(level)
        with_last = bool(drawn["known"][0, -1])
        pictures = drawn["ends"][:, : 2 if with_last else 1].float() / 255
        return {
            "target": drawn["target"].float(),
            "condition": condition_channels(drawn["condition"].float(), drawn["known"]),
            "words": drawn["words"] * captions[:, None, None],
            "pictures": pictures if tokens else pictures[:, :0],
            "level": level,
            "noise": torch.randn(drawn["target"].shape, generator=torch.Generator().manual_seed(index)),
        }

    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """Flow loss on validation clips, and PSNR (dB) of clips sampled from their two ends, beside the VAE's own."""
        vae = load_vae(self._vae).to(device)
        clips = [world.clip(seed) for seed in world.VALIDATION[: self._judges]]
        frames = torch.stack([clip.frames for clip in clips])
        ends = [0, world.LENGTH - 1]
        known = torch.zeros(len(clips), world.LENGTH, dtype=torch.bool)
        known[:, ends] = True
        target = encoded(vae, frames).to(device)
        shown = encoded(vae, torch.stack([keyframes_on_grey(clip, ends) for clip in frames]))
        condition = condition_channels(shown, known).to(device)
        words = torch.stack([word_tokens(clip.caption) for clip in clips]).to(device)
        noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).to(device)
        pictures = frames[:, ends].to(device)
        numbers = {}
        for level in (0.3, 0.6, 0.9):
            batch = {"target": target, "condition": condition, "words": words, "pictures": pictures, "noise": noise}
            batch["level"] = torch.full((len(clips),), level, device=device)
            numbers[f"flow_{level}"] = float(module(batch)[0])
        made = sampled(module.transformer, condition, words, pictures, noise, steps=12)
        numbers["latent_error"] = float((made - target).square().mean())
        for name, latents in (("psnr", made[:8]), ("psnr_vae", target[:8])):
            pictures = (vae.decode(host_scale(latents)).float().cpu().movedim(1, -1) / 2 + 0.5).clamp(0, 1)
            errors = (pictures - frames[: len(latents)]).square()
            numbers[name] = sum(decibel(error) for error in errors) / len(errors)
        return numbers

    def export(self, module: nn.Module, path: Path) -> None:
        """For UNETLoader; the metadata says what the host cannot read off the weights."""
        config = {"transformer": {"num_heads": HEADS, "text_dim": TEXT_SIZE, "freq_dim": TIME_SIZE}}
        write_host_file(module.transformer, path, {"config": json.dumps(config)})

    def load(self, module: nn.Module, path: Path) -> None:
        load_host_file(module.transformer, path)


class FlowMatching(nn.Module):
    """The loss of a batch."""

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        level = batch["level"][:, None, None, None, None]
        noisy = (1 - level) * batch["target"] + level * batch["noise"]
        velocity = predicted(
            self.transformer, noisy, batch["level"], batch["condition"], batch["words"], batch["pictures"]
        )
        return F.mse_loss(velocity.float(), batch["noise"] - batch["target"]), {}


def wan_transformer(width: int, layers: int) -> nn.Module:
    """The host's Wan FLF2V transformer with 36 input channels and a position table for 514 image tokens."""
    import comfy.ops
    from comfy.ldm.wan.model import WanModel

    return WanModel(
        model_type="i2v",
        in_dim=36,
        out_dim=16,
        dim=width,
        ffn_dim=4 * width,
        freq_dim=TIME_SIZE,
        text_dim=TEXT_SIZE,
        num_heads=HEADS,
        num_layers=layers,
        flf_pos_embed_token_number=2 * IMAGE_TOKENS,
        operations=comfy.ops.disable_weight_init,
    )


def started(transformer: nn.Module) -> nn.Module:
    """Wan's own start: even matrices, biases and the last layer at zero. The host leaves its weights unset."""
    for name, value in transformer.named_parameters():
        if name.endswith("modulation"):
            nn.init.normal_(value, std=value.shape[-1] ** -0.5)
        elif name == "head.head.weight" or name.endswith(("bias", "emb_pos")):
            nn.init.zeros_(value)
        elif value.ndim == 1:
            nn.init.ones_(value)
        elif name.startswith(("text_embedding", "time_embedding")):
            nn.init.normal_(value, std=0.02 if value.shape[1] > 256 else value.shape[1] ** -0.5)
        else:
            nn.init.xavier_uniform_(value.data.flatten(1))
    return transformer


def condition_channels(condition: Tensor, known: Tensor) -> Tensor:
    """What Wan appends to the noise: four mask channels (1 = known), then the condition's latents.

    Args:
        condition: [B, 16, T, h, w] in the model's scale.
        known: [B, N] bool, N = 4 T - 3. Frame 0 fills the four channels of latent 0; frame n is channel (n+3) mod 4 of
            latent (n+3) // 4.
    Returns:
        [B, 20, T, h, w].
    """
    entries = torch.cat([known[:, :1].expand(-1, 3), known], dim=1)  # [B, 4 T]
    mask = entries.unflatten(1, (-1, 4)).transpose(1, 2)[..., None, None]  # [B, 4, T, 1, 1]
    return torch.cat([mask.expand(-1, -1, -1, *condition.shape[3:]).to(condition), condition], dim=1)


def predicted(
    transformer: nn.Module, noisy: Tensor, level: Tensor, condition: Tensor, words: Tensor, pictures: Tensor
) -> Tensor:
    """The model's velocity [B, 16, T, h, w].

    Args:
        noisy, condition: [B, 16, T, h, w] and [B, 20, T, h, w]. level: [B], s in 0..1. words: [B, 40, 64].
        pictures: [B, P, H, W, 3] in 0..1; P = 2 (both ends), 1 (the first) or 0 (no image tokens).
    """
    tokens = [picture_tokens(pictures[:, place]) for place in range(pictures.shape[1])]
    images = torch.cat(tokens, dim=1) if tokens else words.new_zeros(len(words), 0, TOKEN_SIZE)
    options = {"optimized_attention_override": attention}
    return transformer(
        torch.cat([noisy, condition], dim=1), level * 1000, words, clip_fea=images, transformer_options=options
    )


def shifted(level: Tensor) -> Tensor:
    """Noise levels 0..1 moved as the host's schedule of SHIFT moves them: s -> a s / (1 + (a - 1) s)."""
    return SHIFT * level / (1 + (SHIFT - 1) * level)


@torch.no_grad()
def sampled(
    transformer: nn.Module, condition: Tensor, words: Tensor, pictures: Tensor, noise: Tensor, steps: int
) -> Tensor:
    """Latents [B, 16, T, h, w] in the model's scale, by Euler steps along the host's schedule of SHIFT."""
    levels = shifted(torch.linspace(1, 0, steps + 1))
    x = noise
    for now, then in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        level = torch.full((len(x),), now, device=x.device)
        x = x + (then - now) * predicted(transformer, x, level, condition, words, pictures).float()
    return x

"""Tasks: the Wan 2.1-format transformers of the demo world, by flow matching.

x_s = (1 - s) x_0 + s e, and the model learns v = e - x_0 from x_s, s, the condition and the words.
Source: Lipman et al. 2022, arXiv:2210.02747, with Wan 2.1's linear path (arXiv:2503.20314v2, section 4.2).

Three bases of one architecture, that of FLF2V; they differ in the pictures that they were trained to know:
flf2v   the first; the last in 80 % of the samples; keyframes between in 40 %
i2v     the first; the last in 5 %. A model that is made to land on a last picture without having learned it
t2v     none

i2v and t2v begin with flf2v's weights but for those that read pictures: the condition's channels and the image tokens'
projection begin anew (zero in t2v, which never sees any).

The module is the host's own (comfy.ldm.wan.model), so that what is saved is what the host loads. Image tokens come in
one step of four: 514 of them cost as much as everything else, and the condition latents already hold the pictures.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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
from .video_latents import LatentStore, both_ends, encoded, host_scale, load_vae
from .world_batches import keyframes_on_grey

DIM, HEADS, LAYERS, TIME_SIZE = 192, 4, 6, 128
CHANNELS = 16  # of the noise; those after it are the condition's
IMAGE_TOKENS = 257
TOKEN_STEPS = 4  # one step of so many has image tokens
NO_CAPTION = 0.1


@dataclass(frozen=True)
class Knowledge:
    """Shares of the training samples whose condition knows the first picture, the last too, and some between."""

    first: float
    last: float
    between: float


BASES = {"flf2v": Knowledge(1.0, 0.8, 0.4), "i2v": Knowledge(1.0, 0.05, 0.0), "t2v": Knowledge(0.0, 0.0, 0.0)}


class VideoModel:
    """See the module."""

    def __init__(self, base: str, vae: Path, latents: Path, batch_size: int = 24, judges: int = 16) -> None:
        """base: one of BASES. vae: the trained VAE's file. latents: the folder of shards.

        judges: validation clips for held-out numbers.
        """
        self.name, self.file = f"video_model_{base}", f"diffusion_models/demo_world_wan_{base}.safetensors"
        self._base, self._knows = base, BASES[base]
        self._vae, self._store, self._batch_size = vae, LatentStore(latents, vae), batch_size
        self._judges = judges

    def module(self) -> nn.Module:
        return FlowMatching(started(wan_transformer(DIM, LAYERS)))

    def rate(self, step: int, steps: int) -> float:
        return rate_over(step, 0, steps)

    def batch(self, index: int, step: int, steps: int) -> Batch:
        random = Random(f"{self.name} {index}")
        drawn = self._store.drawn(random, self._batch_size)
        captions = torch.tensor([random.random() >= NO_CAPTION for _ in range(self._batch_size)])
        level = shifted(torch.tensor([random.random() for _ in range(self._batch_size)]))
        # pictures, and so image tokens, are as many in all of a batch; in all processes alike
        pictures = int(self._knows.first) * (1 + int(random.random() < self._knows.last))
        between = [random.random() < self._knows.between for _ in range(self._batch_size)]
        condition = self._condition(drawn, pictures, torch.tensor(between))
        return {
            "target": drawn["target"].float(),
            "condition": condition,
            "words": drawn["words"] * captions[:, None, None],
            "pictures": drawn["ends"][:, : pictures if step % TOKEN_STEPS == 0 else 0].float() / 255,
            "level": level,
            "noise": torch.randn(drawn["target"].shape, generator=torch.Generator().manual_seed(index)),
        }

    @staticmethod
    def _condition(drawn: dict[str, Tensor], pictures: int, between: Tensor) -> Tensor:
        """Condition channels [B, 20, T, h, w]. pictures: 0, 1 or 2 of the ends. between [B]: rows that know more."""
        if pictures == 0:
            return no_condition(drawn["target"].float())
        condition, known = drawn["first"].float(), torch.zeros_like(drawn["known"])
        known[:, 0] = True
        if pictures == 2:
            condition = both_ends(drawn).float()
            known[:, -1] = True
        condition = torch.where(between[:, None, None, None, None], drawn["between"].float(), condition)
        return condition_channels(condition, torch.where(between[:, None], drawn["known"], known))

    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """Flow loss on validation clips, and PSNR (dB) of sampled clips, beside the VAE's own.

        Both from the pictures that the base mostly knows.
        """
        vae = load_vae(self._vae).to(device)
        clips = [world.clip(seed) for seed in world.VALIDATION[: self._judges]]
        frames = torch.stack([clip.frames for clip in clips])
        known = [0] * int(self._knows.first) + [world.LENGTH - 1] * round(self._knows.last)
        target = encoded(vae, frames).to(device)
        condition = no_condition(target)
        if known:
            shown = encoded(vae, torch.stack([keyframes_on_grey(clip, known) for clip in frames]))
            rows = torch.zeros(len(clips), world.LENGTH, dtype=torch.bool)
            rows[:, known] = True
            condition = condition_channels(shown, rows).to(device)
        words = torch.stack([word_tokens(clip.caption) for clip in clips]).to(device)
        noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).to(device)
        pictures = frames[:, known].to(device)
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
        """This base's file, or flf2v's where there is none: then what reads pictures begins anew."""
        if path.exists():
            return load_host_file(module.transformer, path)
        network = module.transformer
        begun = {name: value.clone() for name, value in network.state_dict().items()}
        load_host_file(network, path.with_name("demo_world_wan_flf2v.safetensors"))
        reading = {name: value for name, value in begun.items() if name.startswith("img_emb.")}
        network.load_state_dict(reading, strict=False)
        with torch.no_grad():
            fresh = begun["patch_embedding.weight"][:, CHANNELS:] * self._knows.first
            network.patch_embedding.weight[:, CHANNELS:] = fresh
        return None


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


def no_condition(latents: Tensor) -> Tensor:
    """The condition channels of a clip of which no picture is known: what the host gives, zeros [B, 20, T, h, w]."""
    return latents.new_zeros(len(latents), 20, *latents.shape[2:])


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

"""Trains backward-motion weights for SVD: what its temporal attention must change to move a video backwards.

paper     here      shape            unit
x_0       target    [B, N, 4, h, w]  latents of a clip in the model's scale
W_v, W_o  deltas    [C, C]           32 tensors, the only ones that are trained; the rest of SVD stays
A~        --        --               the forward pass's temporal maps, turned, take the place of the backward pass's own

For a noised clip the frozen model runs forward from the first picture and its maps are kept; then it runs on the clip
played backwards, from the last picture, by the turned maps and with the weights being trained, and is judged on the
clip played backwards. Source: Generative Inbetweening, arXiv:2408.15239, Section 4 and its released training code:
14 frames, ln sigma ~ N(0.7, 1.6^2), EDM weighting, AdamW at 1e-4, 15,000 steps of batch 4 on 100 clips.
Differences: only the two matrices are moved, as in the released weights (the code's optimiser also holds the biases).

    ./dev train-motion --checkpoint svd.safetensors --videos FOLDER --output RUN

The file is RUN/models/backward_motion/svd_backward_motion.safetensors, for models/backward_motion of ComfyUI.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..patches.backward_motion import LAYERS, MATRICES, motion_key
from .attention import attention
from .loop import Batch, Settings, rate_over, train

LEVEL_MEAN, LEVEL_DEVIATION = 0.7, 1.6  # of ln sigma
NO_PICTURE = 0.1  # share of clips without their pictures, for classifier-free guidance
OVERRIDE = "optimized_attention_override"
VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif"}


class BackwardMotion(nn.Module):
    """The loss of a batch; the weights being trained are this module's only ones.

    Args:
        base: the host's SVD (its BaseModel), frozen.
        written_out: whether attention is computed by `attention`, which is quicker to train through on a CPU.
    """

    def __init__(self, base: Any, written_out: bool) -> None:
        super().__init__()
        self._base, self._written_out = [base.requires_grad_(False)], written_out  # in a list: not a part of this one
        modules = dict(base.diffusion_model.named_modules())
        sizes = {
            motion_key(layer, matrix): modules[f"{layer}.time_stack.0.attn1.{matrix}"]
            for layer in LAYERS
            for matrix in MATRICES
        }
        self.deltas = nn.ParameterDict(
            {_named(key): torch.zeros(one.out_features, one.in_features) for key, one in sizes.items()}
        )

    def motion(self) -> dict[str, Tensor]:
        """The weights by the names of a backward-motion file."""
        return {_key(name): value for name, value in self.deltas.items()}

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean of lambda(sigma) |D - x_0|^2 with lambda = (1 + sigma^2) / sigma^2, of the clip played backwards.

        batch: target [B, N, 4, h, w]; noise like it; level [B]; first and last, each with picture [B, 4, h, w] (as the
        VAE gives it) and token [B, 1, C]; settings [B, 768].
        """
        target, sigma = batch["target"], batch["level"]
        noised = target + sigma[:, None, None, None, None] * batch["noise"]
        from ..patches.temporal_maps_host import MirroredAttention  # the host, after its switches are set

        options = {"transformer_options": {OVERRIDE: attention} if self._written_out else {}}
        with MirroredAttention("all", self.motion()).pair({}) as pair:
            with torch.no_grad():
                self._estimate(noised, sigma, batch, "first", pair.forward(options))
            made = self._estimate(noised.flip(1), sigma, batch, "last", pair.backward(options))
        error = (made - target.flip(1)).square().mean(dim=(1, 2, 3, 4))
        return ((1 + sigma**2) / sigma**2 * error).mean(), {}

    def _estimate(self, x: Tensor, sigma: Tensor, batch: dict[str, Tensor], end: str, options: dict) -> Tensor:
        """D(x, sigma) from one end's picture, [B, N, 4, h, w]."""
        frames = x.shape[1]
        given = {
            "c_concat": batch[f"{end}_picture"],
            "c_crossattn": batch[f"{end}_token"],
            "y": batch["settings"],
        }
        given = {name: value.repeat_interleave(frames, dim=0) for name, value in given.items()}
        made = self._base[0].apply_model(
            x.flatten(0, 1),
            sigma.repeat_interleave(frames),
            **given,
            num_video_frames=frames,
            transformer_options=options["transformer_options"],
        )
        return made.unflatten(0, (-1, frames)).float()


class MotionTask:
    """What both sources of clips share; see `loop.Task`."""

    name = "backward_motion"
    file = "backward_motion/svd_backward_motion.safetensors"

    def __init__(self, base: Any, batch_size: int, judges: int) -> None:
        """base: the host's SVD. judges: clips for held-out numbers."""
        self._base, self._batch_size, self._judges = base, batch_size, judges

    def module(self) -> nn.Module:
        return BackwardMotion(self._base, not torch.cuda.is_available())

    def rate(self, step: int, steps: int) -> float:
        return rate_over(step, 0, steps)

    def batch(self, index: int, step: int, steps: int) -> Batch:
        generator = torch.Generator().manual_seed(index)
        clips = self.clips(Random(f"backward motion {index}"), self._batch_size)
        shown = (torch.rand(self._batch_size, generator=generator) >= NO_PICTURE).float()
        for key in ("first_picture", "last_picture", "first_token", "last_token"):
            clips[key] = clips[key] * shown.view(-1, *[1] * (clips[key].ndim - 1))
        levels = (LEVEL_MEAN + LEVEL_DEVIATION * torch.randn(self._batch_size, generator=generator)).exp()
        return {**clips, "level": levels, "noise": torch.randn(clips["target"].shape, generator=generator)}

    def clips(self, random: Random, count: int) -> dict[str, Tensor]:
        """Clips drawn at random, as `BackwardMotion.forward` takes them but for noise and level."""
        raise NotImplementedError

    def held_out_clips(self) -> dict[str, Tensor]:
        """The clips that are judged on."""
        raise NotImplementedError

    @torch.no_grad()
    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """The loss at three noise levels."""
        batch = {key: value.to(device) for key, value in self.held_out_clips().items()}
        batch["noise"] = torch.randn(batch["target"].shape, generator=torch.Generator().manual_seed(0)).to(device)
        numbers = {}
        for level in (0.5, 2.0, 10.0):
            batch["level"] = torch.full((len(batch["target"]),), level, device=device)
            numbers[f"v_{level}"] = float(module(batch)[0])
        return numbers

    def export(self, module: nn.Module, path: Path) -> None:
        """For Load Backward Motion."""
        state = {key: value.detach().cpu().contiguous() for key, value in module.motion().items()}
        save_file(state, path, {"format": "inbetween.backward_motion", "version": "1"})

    def load(self, module: nn.Module, path: Path) -> None:
        module.load_state_dict({f"deltas.{_named(key)}": value.float() for key, value in load_file(path).items()})


class VideoFolder(MotionTask):
    """Clips of a folder of videos, encoded by the checkpoint's own VAE and CLIP vision; each is used from any frame."""

    def __init__(
        self, checkpoint: Path, videos: Path, frames: int, width: int, height: int, batch_size: int, judges: int
    ) -> None:
        """frames: N, as the checkpoint was trained (14 or 25). The last `judges` videos by name are held out.

        Raises:
            ValueError: no video in the folder, or none is left to train on.
        """
        import comfy.sd

        model, _, vae, vision = comfy.sd.load_checkpoint_guess_config(
            str(checkpoint), output_vae=True, output_clip=False, output_clipvision=True
        )
        super().__init__(model.model, batch_size, judges)
        self._vae, self._vision, self._frames, self._size = vae, vision, frames, (width, height)
        found = sorted(path for path in videos.iterdir() if path.suffix.lower() in VIDEOS)
        if len(found) <= judges:
            raise ValueError(
                f"{videos} has {len(found)} videos; {judges} are held out, so more are needed to train on."
            )
        self._train, self._held_out = found[: len(found) - judges], found[len(found) - judges :]
        self._judged: dict[str, Tensor] | None = None

    def clips(self, random: Random, count: int) -> dict[str, Tensor]:
        return self._encoded([(random.choice(self._train), random.random()) for _ in range(count)])

    def held_out_clips(self) -> dict[str, Tensor]:
        if self._judged is None:
            self._judged = self._encoded([(path, 0.0) for path in self._held_out])
        return self._judged

    @torch.no_grad()
    def _encoded(self, wanted: list[tuple[Path, float]]) -> dict[str, Tensor]:
        """(video, where in it to begin, 0..1) as a batch."""
        rows = []
        for path, place in wanted:
            frames = video_frames(path, self._frames, place, *self._size)
            latents = self._vae.encode(frames)
            tokens = [self._vision.encode_image(frames[end : end + 1]).image_embeds for end in (0, len(frames) - 1)]
            settings = self._base.encode_adm(fps=7, motion_bucket_id=127, augmentation_level=0.0)
            rows.append(
                {
                    "target": self._base.process_latent_in(latents),
                    "first_picture": latents[0],
                    "last_picture": latents[-1],
                    "first_token": tokens[0],
                    "last_token": tokens[1],
                    "settings": settings[0],
                }
            )
        return {key: torch.stack([row[key].float() for row in rows]) for key in rows[0]}


def video_frames(path: Path, count: int, place: float, width: int, height: int) -> Tensor:
    """Neighbouring frames of a video, [count, height, width, 3] in 0..1, scaled to the size and cut at the centre.

    Args:
        place: 0 begins at the first frame, 1 at the last place that leaves `count` frames.
    Raises:
        ValueError: the video is too short.
    """
    import av
    import comfy.utils

    with av.open(str(path)) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    if len(frames) < count:
        raise ValueError(f"{path.name} has {len(frames)} frames, {count} are needed.")
    begin = int(place * (len(frames) - count))
    pictures = torch.stack([torch.from_numpy(frame) for frame in frames[begin : begin + count]]).float() / 255
    return comfy.utils.common_upscale(pictures.movedim(-1, 1), width, height, "bicubic", "center").movedim(1, -1)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev train-motion", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="svd.safetensors, 14 frames")
    parser.add_argument("--videos", type=Path, required=True, help="a folder of videos; the paper made 100 with SVD")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the run; models/ in it has the file")
    parser.add_argument("--frames", type=int, default=14)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=576)
    parser.add_argument("--steps", type=int, default=15_000)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--batch", type=int, default=1, help="clips of each process and step; the paper's 4 are 4 GPUs")
    parser.add_argument("--every", type=int, default=500, help="steps between held-out numbers and checkpoints")
    parser.add_argument("--held-out", type=int, default=4, help="videos that are never trained on")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    from .demo_world import prepare_host

    prepare_host()
    size = (options.frames, options.width, options.height)
    task = VideoFolder(options.checkpoint, options.videos, *size, options.batch, options.held_out)
    train(task, options.output, Settings(options.steps, options.rate, every=options.every, muon=False))
    return 0


def _named(key: str) -> str:
    """A parameter's name, in which torch allows no dots."""
    return key.replace(".", "|")


def _key(name: str) -> str:
    return name.replace("|", ".")

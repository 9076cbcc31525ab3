"""Task: backward-motion weights for the demo world's SVD, from clips of the world."""

from __future__ import annotations

from pathlib import Path
from random import Random

import torch
from torch import Tensor

from ..demo import world
from ..demo.measures import load_taesd
from ..demo.world_nodes.encoders import picture_vectors
from ..demo.world_nodes.svd_host import register_demo_svd
from .backward_motion import MotionTask
from .picture_model import ADM_SIZE, LENGTH, encoded
from .picture_vae import HOST_SCALE


class DemoMotion(MotionTask):
    """See the module."""

    file = "backward_motion/demo_world_backward_motion.safetensors"

    def __init__(self, vae: Path, unet: Path, batch_size: int = 8, judges: int = 16) -> None:
        """vae, unet: files of the trained TAESD and SVD. judges: validation clips."""
        import comfy.sd

        register_demo_svd()
        model = comfy.sd.load_diffusion_model(str(unet)).model
        super().__init__(model.float(), batch_size, judges)
        self._autoencoder = load_taesd(vae)

    def clips(self, random: Random, count: int) -> dict[str, Tensor]:
        return self._batch([random.choice(world.TRAIN) for _ in range(count)])

    def held_out_clips(self) -> dict[str, Tensor]:
        return self._batch(world.VALIDATION[: self._judges])

    def _batch(self, seeds: list[int]) -> dict[str, Tensor]:
        clips = [world.clip(seed, LENGTH).frames for seed in seeds]
        target = torch.stack([encoded(self._autoencoder, frames) for frames in clips])
        found = {"target": target, "settings": torch.zeros(len(clips), 3 * ADM_SIZE)}
        for name, end in (("first", 0), ("last", -1)):
            found[f"{name}_picture"] = target[:, end] / HOST_SCALE
            found[f"{name}_token"] = picture_vectors(torch.stack([frames[end] for frames in clips]))[:, None]
        return found

"""Small random models under the names that the shipped workflows ask for, so that these run unchanged on a CPU."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import small_svd, tiny_models

TEXT_DIM = 768  # what CLIP-L gives, the smallest text encoder that the host's loader can build


def writers() -> dict[str, Callable[[Path], Path]]:
    """File under models/ -> what writes its stand-in."""
    wan = partial(tiny_models.write_wan, text_dim=TEXT_DIM)
    return {
        "diffusion_models/wan2.1_i2v_480p_14B_fp16.safetensors": partial(wan, kind="i2v"),
        "diffusion_models/wan2.1_flf2v_720p_14B_fp16.safetensors": partial(wan, kind="flf2v"),
        "diffusion_models/wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors": partial(wan, kind="i2v_14b"),
        "diffusion_models/wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors": partial(wan, kind="i2v_14b", seed=2),
        "vae/wan_2.1_vae.safetensors": tiny_models.write_wan_vae,
        "text_encoders/umt5_xxl_fp8_e4m3fn_scaled.safetensors": tiny_models.write_clip_text,
        "clip_vision/clip_vision_h.safetensors": tiny_models.write_clip_vision,
        "frame_interpolation/rife_v4.26.safetensors": tiny_models.write_rife,
        "lpips/alexnet-owt-7be5be79.pth": tiny_models.write_alexnet,
        "checkpoints/svd_xt.safetensors": tiny_models.write_svd,
        "backward_motion/svd_backward_motion.safetensors": tiny_models.write_backward_motion,
    }


def write_stand_ins(models: Path) -> Path:
    """Writes the stand-ins that are not there yet and returns the folder. About 250 MB, a few seconds."""
    missing = {name: write for name, write in writers().items() if not (models / name).exists()}
    if missing:
        from comfy.cli_args import args

        args.cpu = True  # the host's modules look for a GPU when they are imported
        for name, write in missing.items():
            write(models / name)
    return models


def cached_stand_ins() -> Path:
    """The stand-ins in the cache that ./dev names, outside the checkout; made anew when what writes them changes."""
    from comfyui_version import __version__

    files = (__file__, tiny_models.__file__, small_svd.__file__)
    sources = b"".join(Path(file).read_bytes() for file in files)
    version = hashlib.sha256(sources).hexdigest()[:8]
    return write_stand_ins(Path(os.environ["INBETWEEN_CACHE"]) / f"stand-ins-{__version__}-{version}")

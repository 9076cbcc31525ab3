"""Small random models under the names that the shipped workflows ask for, so that these run unchanged on a CPU."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import small_clip_vision, small_llama, small_seedvr2, small_svd, tiny_models

TEXT_DIM = 768  # what CLIP-L gives, the smallest text encoder that the host's loader can build
SEEDVR2 = {
    "diffusion_models/seedvr2_3b_int8_convrot.safetensors": tiny_models.write_seedvr2,
    "vae/seedvr2_ema_vae_fp16.safetensors": tiny_models.write_seedvr2_vae,
}
LLAMA_DIM = 4096  # what the Llama of HunyuanVideo gives, however small
UMT5 = "umt5_xxl_fp8_e4m3fn_scaled.safetensors"


def writers() -> dict[str, Callable[[Path], Path]]:
    """File under models/ -> what writes its stand-in."""
    wan = partial(tiny_models.write_wan, text_dim=TEXT_DIM)
    return {
        "diffusion_models/wan2.1_i2v_480p_14B_fp16.safetensors": partial(wan, kind="i2v"),
        "diffusion_models/wan2.1_flf2v_720p_14B_fp16.safetensors": partial(wan, kind="flf2v"),
        "diffusion_models/wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors": partial(wan, kind="i2v_14b"),
        "diffusion_models/wan2.2_i2v_low_noise_14B_fp8_scaled.safetensors": partial(wan, kind="i2v_14b", seed=2),
        "vae/wan_2.1_vae.safetensors": tiny_models.write_wan_vae,
        f"text_encoders/{UMT5}": tiny_models.write_clip_text,
        "clip_vision/clip_vision_h.safetensors": tiny_models.write_clip_vision,
        "diffusion_models/hunyuan_video_image_to_video_720p_bf16.safetensors": partial(
            tiny_models.write_hunyuan, text_dim=LLAMA_DIM, kind="i2v"
        ),
        "vae/hunyuan_video_vae_bf16.safetensors": tiny_models.write_hunyuan_vae,
        "text_encoders/clip_l.safetensors": _link_clip_text,
        "text_encoders/llava_llama3_fp8_scaled.safetensors": tiny_models.write_llama,
        "clip_vision/llava_llama3_vision.safetensors": tiny_models.write_llava_vision,
        "frame_interpolation/rife_v4.26.safetensors": tiny_models.write_rife,
        "lpips/alexnet-owt-7be5be79.pth": tiny_models.write_alexnet,
        "checkpoints/svd_xt.safetensors": tiny_models.write_svd,
        "backward_motion/svd_backward_motion.safetensors": tiny_models.write_backward_motion,
    } | (SEEDVR2 if small_seedvr2.host_has_seedvr2() else {})


def _link_clip_text(path: Path) -> Path:
    """The CLIP-L that stands for UMT5, once more; it is written before."""
    link = path.with_suffix(f".{os.getpid()}")  # another process may be making the same stand-ins
    link.symlink_to(UMT5)
    return link.rename(path)


def write_stand_ins(models: Path) -> Path:
    """Writes the stand-ins that are not there yet and returns the folder. About 400 MB, a few seconds."""
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

    makers = (tiny_models, small_clip_vision, small_llama, small_seedvr2, small_svd)
    files = (__file__, *(module.__file__ for module in makers))
    sources = b"".join(Path(file).read_bytes() for file in files)
    version = hashlib.sha256(sources).hexdigest()[:8]
    return write_stand_ins(Path(os.environ["INBETWEEN_CACHE"]) / f"stand-ins-{__version__}-{version}")

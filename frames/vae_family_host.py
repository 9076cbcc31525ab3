"""Which models a video VAE belongs to, by its class: Wan's and HunyuanVideo's latents have 16 channels alike.

A small stand-in for a VAE (TAEHV) has one class for all of them; of it the log says that it cannot be told.
"""

from __future__ import annotations

import logging
from typing import Any

import comfy.model_base  # to tell the models

FAMILIES = {"Wan": "comfy.ldm.wan.", "HunyuanVideo": "comfy.ldm.models.autoencoder"}
FILES = {"Wan": "wan_2.1_vae or wan2.2_vae", "HunyuanVideo": "hunyuan_video_vae or hunyuanvideo15_vae"}


def vae_family(vae: Any) -> str:
    """ "Wan" or "HunyuanVideo" for their VAEs of video, the class's name for another, "" where it cannot be told."""
    network = type(getattr(vae, "first_stage_model", None))
    if not network.__module__.startswith("comfy.ldm."):
        return ""
    if getattr(vae, "latent_dim", 3) != 3:
        return network.__name__
    return next((name for name, module in FAMILIES.items() if network.__module__.startswith(module)), network.__name__)


def check_vae_of_model(vae: Any, model: Any) -> None:
    """Raises ValueError if a VAE is of another family than a Wan or HunyuanVideo model; other models are let through.

    Args:
        vae: the host's VAE. model: the host's model patcher.
    """
    kinds = {"Wan": comfy.model_base.WAN21, "HunyuanVideo": comfy.model_base.HunyuanVideo}
    wanted = next((name for name, kind in kinds.items() if isinstance(model.model, kind)), None)
    if wanted is None:
        return
    family = vae_family(vae)
    if family and family != wanted:
        raise ValueError(
            f"vae is of {family}, the model is {wanted}: the one's latents are noise to the other; load "
            f"{FILES[wanted]}."
        )
    tell_unknown(family, wanted)


def tell_unknown(family: str, wanted: str) -> None:
    """A line in the log where a VAE cannot be told. family: from `vae_family`. wanted: the model's."""
    if not family:
        logging.warning("vae is a small stand-in: whether it was made for %s cannot be told from it.", wanted)

"""Tells whether a HunyuanVideo model can see keyframes in its condition: by its class and its configuration only.

checkpoint                      condition channels
HunyuanVideo I2V v1 "concat"    17: latents (16) and mask (1)
I2V v2 "replace", T2V           0; v2 replaces the tokens of frame 0 instead
SkyReels I2V                    16: latents without a mask
HunyuanVideo 1.5 I2V, T2V       33: latents (32) and mask (1); nothing tells the two apart
HunyuanVideo 1.5 SR             66: also the video to enlarge
"""

from __future__ import annotations

from typing import Any

import comfy.model_base  # to tell a HunyuanVideo model from another

CONDITION_CHANNELS = {16: 17, 32: 33}  # latent channels: mask and condition channels that hold keyframes
VAE_FILES = {16: "hunyuan_video_vae_bf16", 32: "hunyuanvideo15_vae_fp16"}
CHECKPOINTS = {16: "HunyuanVideo I2V v1 (hunyuan_video_image_to_video_720p_bf16)", 32: "HunyuanVideo 1.5 I2V"}


def check_hunyuan_model(model: Any, latent_channels: int) -> None:
    """Raises ValueError if the model is not a HunyuanVideo that keyframes can condition.

    Args:
        model: the host's model patcher.
        latent_channels: those of the VAE, 16 or 32.
    """
    if not isinstance(model.model, comfy.model_base.HunyuanVideo):
        raise ValueError(
            f"model is {type(model.model).__name__}, not HunyuanVideo: connect {CHECKPOINTS[16]} or {CHECKPOINTS[32]}."
        )
    wanted = model.model.latent_format.latent_channels
    if wanted != latent_channels:
        raise ValueError(
            f"vae has {latent_channels} latent channels, this model needs {wanted}: load {VAE_FILES[wanted]}."
        )
    _check_condition(model, "model")


def check_hunyuan_guider(guider: Any) -> None:
    """Raises ValueError if a guider's HunyuanVideo would not see the keyframes that its conditionings carry.

    Models of other families, and conditionings made in another way (replaced tokens, SkyReels, super-resolution), are
    let through.
    """
    model = guider.model_patcher
    entries = [entry for conds in getattr(guider, "original_conds", {}).values() for entry in conds]
    carried = any("concat_latent_image" in entry and "concat_mask" in entry for entry in entries)
    if carried and isinstance(model.model, comfy.model_base.HunyuanVideo):
        _check_condition(model, "the guider's model")


def _check_condition(model: Any, name: str) -> None:
    channels = model.model.latent_format.latent_channels
    needed, found = CONDITION_CHANNELS[channels], model.model.model_config.unet_config["in_channels"] - channels
    if found != needed:
        raise ValueError(
            f"{name} is a HunyuanVideo with {found} condition channels, keyframes need {needed}: use "
            f"{CHECKPOINTS[channels]}. I2V v2 'replace', T2V, SkyReels and super-resolution models cannot hold "
            f"keyframes this way."
        )

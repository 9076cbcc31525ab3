"""Tells, before any sampling, whether a Wan model can serve keyframes: by its class and its configuration only."""

from __future__ import annotations

from typing import Any

import comfy.model_base  # to tell a Wan model from another

IMAGE_FEATURES = 1280  # numbers per image token that Wan reads
CONDITION_CHANNELS = {16: 20, 48: 0}  # latent channels: mask and condition channels that hold keyframes


def check_wan_model(model: Any, latent_channels: int, image_tokens: bool) -> None:
    """Raises ValueError if the model is not a Wan that keyframes can condition.

    Args:
        model: the host's model patcher.
        latent_channels: those of the VAE, 16 or 48.
        image_tokens: whether the conditioning has clip_vision's image tokens.
    """
    if not isinstance(model.model, comfy.model_base.WAN21):
        raise ValueError(
            f"model is {type(model.model).__name__}, not Wan: connect Wan 2.1 I2V, Wan 2.1 FLF2V, Wan 2.2 14B I2V or "
            f"Wan 2.2 5B."
        )
    wanted = model.model.latent_format.latent_channels
    if wanted != latent_channels:
        fitting = "wan2.2_vae" if wanted == 48 else "wan_2.1_vae"
        raise ValueError(f"vae has {latent_channels} latent channels, this model needs {wanted}: load {fitting}.")
    needed, found = CONDITION_CHANNELS[wanted], _condition_channels(model)
    if found != needed:
        remedy = "an I2V or FLF2V checkpoint" if wanted == 16 else "the Wan 2.2 5B TI2V checkpoint"
        raise ValueError(
            f"this Wan model takes {found} condition channels, keyframes need {needed}: use {remedy} (a T2V, VACE or "
            f"Fun model cannot hold keyframes this way)."
        )
    _check_image_tokens(model, image_tokens)


def check_wan_guider(guider: Any) -> None:
    """Raises ValueError if a guider's Wan model would not see the keyframes that its conditionings carry.

    Models of other families, and conditionings made in another way (VACE, a noise mask), are let through.
    """
    model = guider.model_patcher
    entries = [entry for conds in getattr(guider, "original_conds", {}).values() for entry in conds]
    carried = [entry for entry in entries if "concat_latent_image" in entry]
    if not carried or not isinstance(model.model, comfy.model_base.WAN21):
        return
    if _condition_channels(model) == 0:
        raise ValueError(
            "the guider's model is a Wan without condition channels (T2V or VACE), which would not see the keyframes: "
            "connect an I2V or FLF2V checkpoint."
        )
    outputs = [entry["clip_vision_output"] for entry in carried if entry.get("clip_vision_output") is not None]
    _check_image_tokens(model, bool(outputs))
    for output in outputs:
        check_image_features(output)


def check_image_features(output: Any) -> None:
    """Raises ValueError for image tokens of another encoder than the one that Wan was trained with.

    output: what the host's CLIP vision model gives.
    """
    found = output.penultimate_hidden_states.shape[-1]
    if found != IMAGE_FEATURES:
        raise ValueError(
            f"clip_vision gives {found} numbers per image token, Wan reads {IMAGE_FEATURES}: load "
            f"clip_vision_h.safetensors."
        )


def _condition_channels(model: Any) -> int:
    return model.model.model_config.unet_config["in_dim"] - model.model.latent_format.latent_channels


def _check_image_tokens(model: Any, image_tokens: bool) -> None:
    if model.model.model_config.unet_config.get("model_type") == "i2v" and not image_tokens:
        raise ValueError(
            "clip_vision is missing: Wan 2.1 I2V and FLF2V read the end keyframes through it. Add 'Load CLIP Vision' "
            "with clip_vision_h.safetensors and connect it to Keyframes to Wan."
        )

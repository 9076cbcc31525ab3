"""HunyuanVideo conditioning from a keyframe track: what the host's image-to-video nodes make, for any keyframes.

HunyuanVideo I2V v1 (16 latent channels, 8x) and HunyuanVideo 1.5 I2V (32 channels, 16x) take clean latents and a mask
beside the noise. The VAE tells which of the two. Both were trained with a picture on frame 0 alone.

Differences from the host's HunyuanImageToVideo ("v1 (concat)") and HunyuanVideo15ImageToVideo: keyframes after frame
0 (ours). Such a keyframe is encoded as the second latent of five equal frames, so that its latent stands for four equal
frames, as every latent but the first does. With HunyuanVideo's own VAE, which repeats the first frame into the past,
that is the picture's own latent; with 1.5's, which treats the first frame in another way, it is not. The gaps are zero,
as the models know them, and not grey as Wan's. Only whole latent frames can be held: the mask has one channel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import comfy.model_management
import node_helpers  # conditioning_set_values, the host's own way to write into a conditioning
import torch
from torch import Tensor

from .fit_host import fitted_picture
from .hunyuan_layout import known_latents, known_mask, place_in_latents
from .hunyuan_model_host import CHECKPOINTS, VAE_FILES, check_hunyuan_model
from .keyframe_report import placement_report
from .keyframe_track import KeyframeTrack
from .vae_family_host import tell_unknown, vae_family
from .wan_layout import check_wan_grid, latent_frame_count

GRID = 16  # pixels: 8 by the VAE and 2 by the model, or 16 and 1 with 1.5
SIGLIP_FEATURES = 1152  # numbers per image token that HunyuanVideo 1.5 reads
VERSIONS = {16: "HunyuanVideo I2V v1", 32: "HunyuanVideo 1.5 I2V"}


@dataclass(frozen=True, eq=False)
class HunyuanConditioning:
    """Both conditionings, the empty latent, and the report."""

    positive: list
    negative: list
    latent: dict[str, Any]
    report: str


@torch.no_grad()
def hunyuan_conditioning(
    positive: list,
    negative: list,
    vae: Any,
    track: KeyframeTrack,
    batch_size: int = 1,
    clip_vision: Any | None = None,
    model: Any | None = None,
) -> HunyuanConditioning:
    """Conditions HunyuanVideo I2V on every keyframe of a track.

    With a first keyframe alone (and fit crop) this equals the host's own node for the model bit for bit. Source: the
    host; keyframes after frame 0 are ours.

    Args:
        positive, negative: host conditionings; copied, not changed.
        vae: HunyuanVideo's VAE (16 channels) or that of HunyuanVideo 1.5 (32 channels).
        track: at least one keyframe of strength above 0; size and length on the model's grid.
        batch_size: videos at once.
        clip_vision: SigLIP, looks at the first keyframe for 1.5; v1 does not use it.
        model: only checked, so that a wrong combination is told before sampling.
    Raises:
        ValueError: an empty track, a size or length off the grid, two keyframes in one latent frame, a strength that
            v1 cannot have, or parts that do not fit.
    Cost: one VAE encode of one frame, and of five frames per keyframe after frame 0.
    """
    channels = _hunyuan_latent_channels(vae)
    tell_unknown(vae_family(vae), "HunyuanVideo")
    if model is not None:
        check_hunyuan_model(model, channels)
    track = replace(track, keyframes=tuple(item for item in track.keyframes if item.strength > 0))
    if not track.keyframes:
        raise ValueError("keyframes is empty: connect first_image or last_image, or add a keyframe.")
    check_wan_grid(track.width, track.height, track.length, GRID, "HunyuanVideo")
    if channels == 16:
        _check_strengths(track)
    placed = place_in_latents([item.frame for item in track.keyframes], track.length)
    stills = [
        _still_latent(vae, fitted_picture(keyframe, track), item.latent)
        for keyframe, item in zip(track.keyframes, placed, strict=True)
    ]
    frames, height, width = latent_frame_count(track.length), *stills[0].shape[-2:]

    # v1: the host fills up with zeros after the last one; 1.5: whole videos, one for each of the batch
    latents = known_latents(placed, stills, frames if channels == 32 else placed[-1].latent + 1)
    values = {
        "concat_latent_image": latents.repeat(batch_size, 1, 1, 1, 1) if channels == 32 else latents,
        "concat_mask": known_mask(placed, [item.strength for item in track.keyframes], frames, height, width),
    }
    tokens, note = _image_tokens(clip_vision, track, channels)
    if tokens is not None:
        values["clip_vision_output"] = tokens
    shape = (batch_size, channels, frames, height, width)
    layout = f"{VERSIONS[channels]} (condition latents and mask)"
    notes = [*filter(None, [note]), *_cautions(track, channels, model is not None)]
    return HunyuanConditioning(
        node_helpers.conditioning_set_values(positive, values),
        node_helpers.conditioning_set_values(negative, values),
        {"samples": torch.zeros(shape, device=comfy.model_management.intermediate_device())},
        placement_report(track, placed, layout, "whole latent frames", notes),
    )


def _hunyuan_latent_channels(vae: Any) -> int:
    """16 or 32. Raises ValueError for a VAE that is not HunyuanVideo's."""
    channels, dimensions = getattr(vae, "latent_channels", None), getattr(vae, "latent_dim", 3)
    foreign = vae_family(vae) not in ("HunyuanVideo", "")
    if channels not in VAE_FILES or dimensions != 3 or foreign or getattr(vae, "not_video", False):
        network = type(getattr(vae, "first_stage_model", None)).__name__
        raise ValueError(
            f"vae is not a HunyuanVideo VAE ({network}, {channels} channels, {dimensions}-D): load "
            f"{VAE_FILES[16]} (HunyuanVideo I2V v1) or {VAE_FILES[32]} (HunyuanVideo 1.5 I2V)."
        )
    return channels


def _check_strengths(track: KeyframeTrack) -> None:
    """Raises ValueError for a strength between 0 and 1: the host rounds v1's mask."""
    for item in track.keyframes:
        if item.strength != 1:
            raise ValueError(
                f"strength of {item.source} on frame {item.frame} is {item.strength:g}; {VERSIONS[16]} holds a picture "
                f"whole or not at all: set strength to 1, or to 0 to leave it out, in Add Keyframe."
            )


def _still_latent(vae: Any, picture: Tensor, latent: int) -> Tensor:
    """The latent [1,C,h,w] of a picture that fills latent frame 0 (one video frame) or a later one (four)."""
    clip = picture if latent == 0 else picture.expand(5, -1, -1, -1)
    return vae.encode(clip)[:, :, -1]


def _image_tokens(clip_vision: Any | None, track: KeyframeTrack, channels: int) -> tuple[Any | None, str]:
    """What SigLIP sees in the first keyframe, as the host's nodes pass it on, and a sentence about it."""
    if channels == 16:
        note = f"clip_vision is not used by {VERSIONS[16]}: its prompt reads the first picture, see the node's page."
        return None, note if clip_vision is not None else ""
    if clip_vision is None:
        return None, f"No clip_vision: {VERSIONS[32]} was trained with it (sigclip_vision_patch14_384)."
    if track.first is None:
        return None, "clip_vision is not used: it reads the first keyframe, and there is none on frame 0."
    tokens = clip_vision.encode_image(track.first.image, crop=True)
    found = tokens.last_hidden_state.shape[-1]
    if found != SIGLIP_FEATURES:
        raise ValueError(
            f"clip_vision gives {found} numbers per image token, {VERSIONS[32]} reads {SIGLIP_FEATURES}: load "
            f"sigclip_vision_patch14_384.safetensors."
        )
    return tokens, f"clip_vision reads {track.first.source}."


def _cautions(track: KeyframeTrack, channels: int, checked: bool) -> list[str]:
    """Sentences about what the model has not learned, and what could not be checked."""
    found = []
    if track.first is None:
        found.append("There is no keyframe on frame 0: the model was trained to start from one.")
    if any(item.frame for item in track.keyframes):
        found.append(
            f"{VERSIONS[channels]} was trained with a picture on frame 0 alone. Keyframes after it use its mask in a "
            f"way it has not learned, and each stands still for four frames."
        )
    if not checked:
        others = "I2V v2 'replace' and T2V do not see keyframes" if channels == 16 else "T2V has not learned them"
        found.append(f"The model is not connected, so not checked: it must be {CHECKPOINTS[channels]}; {others}.")
    return found

"""Wan conditioning from a keyframe track: what the host's WanFirstLastFrameToVideo makes, for any number of keyframes.

Wan 2.1 I2V, FLF2V and Wan 2.2 14B I2V take a condition clip and a mask beside the noise (16 latent channels); Wan 2.2
5B keeps known latent frames clean with a noise mask (48 channels). The VAE tells which.

Differences from the host's node: keyframes between the ends; on Wan 2.2 5B also the last one. A keyframe after frame 0
on Wan 2.2 5B is encoded as the second latent of five equal frames, so that its latent holds four equal video frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import comfy.clip_vision  # the Output class that carries image tokens in a conditioning
import comfy.latent_formats  # Wan22: what an unknown latent of the 5B model looks like
import comfy.model_management
import node_helpers  # conditioning_set_values, the host's own way to write into a conditioning
import torch
from torch import Tensor

from .fit_host import fitted_picture
from .keyframe_report import cost_note, placement_report
from .keyframe_track import Keyframe, KeyframeTrack
from .vae_family_host import tell_unknown, vae_family
from .wan_layout import (
    WanPlacement,
    check_wan_grid,
    concat_mask,
    keyframe_clip,
    latent_frame_count,
    place_keyframes,
)
from .wan_model_host import check_image_features, check_wan_model


@dataclass(frozen=True, eq=False)
class WanConditioning:
    """Both conditionings, the empty (or, for 5B, partly known) latent, and the report."""

    positive: list
    negative: list
    latent: dict[str, Any]
    report: str


@torch.no_grad()
def wan_conditioning(
    positive: list,
    negative: list,
    vae: Any,
    track: KeyframeTrack,
    clip_vision: Any | None = None,
    placement: str = "snap",
    batch_size: int = 1,
    model: Any | None = None,
) -> WanConditioning:
    """Conditions Wan on every keyframe of a track.

    With first and last keyframes only this equals the host's WanFirstLastFrameToVideo bit for bit. Source: AFB Design 3
    and Wan 2.1 wan/first_last_frame2video.py; for 5B the host's Wan22ImageToVideoLatent.

    Args:
        positive, negative: host conditionings; copied, not changed.
        vae: Wan 2.1 VAE (16 channels) or Wan 2.2 VAE (48 channels).
        track: at least one keyframe of strength above 0; size and length on Wan's grid.
        clip_vision: encodes the two end keyframes; None for models without image tokens.
        placement: see `wan_layout.place_keyframe`.
        batch_size: videos at once.
        model: only checked, so that a wrong combination is told before sampling.
    Raises:
        ValueError: an empty track, a size or length off the grid, keyframes that collide, or parts that do not fit.
    Cost: one VAE encode of N frames (14B), or one of five frames per keyframe (5B).
    """
    channels = _wan_latent_channels(vae)
    tell_unknown(vae_family(vae), "Wan")
    if model is not None:
        check_wan_model(model, channels, clip_vision is not None)
    if not track.keyframes:
        raise ValueError("keyframes is empty: connect first_image or last_image, or add a keyframe.")
    compression = vae.spacial_compression_encode()
    check_wan_grid(track.width, track.height, track.length, 2 * compression)
    placed = place_keyframes([item.frame for item in track.keyframes], track.length, placement, channels == 48)
    pictures = [fitted_picture(item, track) for item in track.keyframes]
    shape = (latent_frame_count(track.length), track.height // compression, track.width // compression)

    if channels == 48:
        latent = _masked_latent(vae, track, placed, pictures, shape, batch_size)
        notes = ["clip_vision is not used by Wan 2.2 5B."] if clip_vision is not None else []
        notes.append(cost_note(batch_size))
        report = placement_report(track, placed, "Wan 2.2 5B (noise mask, whole latent frames)", placement, notes)
        return WanConditioning(positive, negative, latent, report)

    condition = vae.encode(keyframe_clip(placed, pictures, track.length))
    condition = _with_own_latents(condition, vae, placed, pictures)
    mask = concat_mask(placed, [item.strength for item in track.keyframes], track.length, *shape[1:])
    values = {"concat_latent_image": condition, "concat_mask": mask}
    tokens, note = _image_tokens(clip_vision, track)
    if tokens is not None:
        values["clip_vision_output"] = tokens
    notes = [note, cost_note(batch_size)]
    empty = torch.zeros(batch_size, channels, *shape, device=comfy.model_management.intermediate_device())
    return WanConditioning(
        node_helpers.conditioning_set_values(positive, values),
        node_helpers.conditioning_set_values(negative, values),
        {"samples": empty},
        placement_report(track, placed, "Wan 2.1 / 2.2 14B (condition clip and mask)", placement, notes),
    )


def _wan_latent_channels(vae: Any) -> int:
    """16 or 48. Raises ValueError for a VAE that is not Wan's."""
    channels, dimensions = getattr(vae, "latent_channels", None), getattr(vae, "latent_dim", 3)
    family = vae_family(vae)
    if channels not in (16, 48) or dimensions != 3 or family not in ("Wan", ""):
        network = type(getattr(vae, "first_stage_model", None)).__name__
        raise ValueError(
            f"vae is not a Wan VAE ({network}, {channels} channels, {dimensions}-D): load wan_2.1_vae "
            f"(Wan 2.1 and Wan 2.2 14B) or wan2.2_vae (Wan 2.2 5B)."
        )
    return channels


def _image_tokens(clip_vision: Any | None, track: KeyframeTrack) -> tuple[Any | None, str]:
    """Image tokens of the two end keyframes [1, 257 per picture, 1280], and a sentence about them.

    The pictures go in at their own size and are squeezed to the encoder's square, as Wan does (no crop).
    """
    if clip_vision is None:
        return None, "No clip_vision: right for Wan 2.2, not for Wan 2.1 I2V and FLF2V."
    ends: list[Keyframe] = [item for item in (track.first, track.last) if item is not None]
    if ends:
        note = f"clip_vision reads {' and '.join(item.source for item in ends)}."
    else:
        ends = [track.keyframes[0]]
        note = f"clip_vision reads {ends[0].source} at frame {ends[0].frame}: there is no keyframe at either end."
    outputs = [clip_vision.encode_image(item.image, crop=False) for item in ends]
    check_image_features(outputs[0])
    if len(outputs) == 1:
        return outputs[0], note
    tokens = comfy.clip_vision.Output()
    tokens.penultimate_hidden_states = torch.cat([item.penultimate_hidden_states for item in outputs], dim=-2)
    return tokens, note


def _with_own_latents(condition: Tensor, vae: Any, placed: list[WanPlacement], pictures: list[Tensor]) -> Tensor:
    """The condition [1,16,T,h,w] with the latents of separately encoded pictures put in (placement own_latent)."""
    alone = [(item.latent, picture) for item, picture in zip(placed, pictures, strict=True) if not item.pixel_frames]
    if not alone:
        return condition
    condition = condition.clone()
    for latent, picture in alone:
        condition[:, :, latent] = vae.encode(picture)[:, :, 0]
    return condition


def _masked_latent(
    vae: Any,
    track: KeyframeTrack,
    placed: list[WanPlacement],
    pictures: list[Tensor],
    shape: tuple[int, int, int],
    batch_size: int,
) -> dict[str, Tensor]:
    """Latent and noise mask for Wan 2.2 5B: known latent frames hold keyframes, the rest the latent of "nothing".

    Returns:
        samples [B,48,T,h,w] and noise_mask [B,1,T,h,w] (0 = known), as the host's Wan22ImageToVideoLatent.
    """
    device = comfy.model_management.intermediate_device()
    samples = comfy.latent_formats.Wan22().process_out(torch.zeros(1, 48, *shape, device=device))
    mask = torch.ones(1, 1, *shape, device=device)
    for item, keyframe, picture in zip(placed, track.keyframes, pictures, strict=True):
        alone = item.latent == 0 or not item.pixel_frames
        clip = picture if alone else picture.expand(5, -1, -1, -1)
        samples[:, :, item.latent] = vae.encode(clip)[:, :, -1].to(samples)
        mask[:, :, item.latent] = 1.0 - keyframe.strength
    return {
        "samples": samples.repeat(batch_size, 1, 1, 1, 1),
        "noise_mask": mask.repeat(batch_size, 1, 1, 1, 1),
    }

"""SVD conditioning for both directions of time, from the first and the last keyframe of a track.

Each direction is what the host's SVD_img2vid_Conditioning makes of one picture. Both pictures get the same noise, from
a seed, as Generative Inbetweening and Time Reversal Fusion do; the host's node draws its own each time. The clean
latent of each picture travels along for samplers that put it in place.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch
from torch import Tensor

from .fit_host import fitted_picture
from .keyframe_track import Keyframe, KeyframeTrack

KEYFRAME = "inbetween_keyframe"  # in a positive conditioning: its picture's clean latent, as the VAE gives it
FRAMES = "inbetween_frames"  # the length of the video that a conditioning was made for
TRAINED_SIZES = ((1024, 576), (576, 1024))
MOST_FPS = 10  # beyond, the pace is not what is asked for
TRAINED_LENGTHS = "14 (SVD) or 25 (SVD-XT)"


@dataclass(frozen=True, eq=False)
class SVDConditioning:
    """(positive, negative) of both directions, and the empty latent [N, 4, h, w]."""

    forward: tuple[list, list]
    backward: tuple[list, list]
    latent: dict[str, Tensor]


@torch.no_grad()
def svd_conditioning(
    clip_vision: Any, vae: Any, track: KeyframeTrack, motion_bucket_id: int, augmentation_level: float, seed: int
) -> SVDConditioning:
    """Conditions SVD forward on the first picture and backward on the last.

    Args:
        clip_vision, vae: of the SVD checkpoint.
        track: a first and a last keyframe, none between; its fps goes to the model.
        motion_bucket_id: how much motion, 127 is usual.
        augmentation_level: standard deviation of the noise on the pictures, in colours 0..1 as in the host's node. The
            papers' 0.02 is told to the model; their codes add half as much, 0.02 in colours -1..1.
        seed: of that noise.
    Raises:
        ValueError: another number of keyframes, one of less than full strength, a size that is not a multiple of 8, or
            a VAE of another kind.
    Cost: one VAE encode per picture, two with noise.
    """
    first, last = _ends(track)
    _tell_what_is_unusual(track)
    if track.width % 8 or track.height % 8:
        raise ValueError(f"keyframes is {track.width}x{track.height}; SVD needs sides that are multiples of 8.")
    if getattr(vae, "latent_channels", 4) != 4:
        raise ValueError(
            f"vae has {vae.latent_channels} latent channels, SVD needs 4: use the VAE of the SVD checkpoint."
        )
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, track.height, track.width, 3, generator=generator)
    values = {"motion_bucket_id": motion_bucket_id, "fps": track.fps, "augmentation_level": augmentation_level}
    directions = []
    for keyframe in (first, last):
        picture = fitted_picture(keyframe, track)
        clean = vae.encode(picture)
        concat = vae.encode(picture + augmentation_level * noise.to(picture)) if augmentation_level > 0 else clean
        token = clip_vision.encode_image(keyframe.image).image_embeds.unsqueeze(0)
        shared = {**values, FRAMES: track.length}
        positive = [[token, {**shared, "concat_latent_image": concat, KEYFRAME: clean}]]
        negative = [[torch.zeros_like(token), {**shared, "concat_latent_image": torch.zeros_like(concat)}]]
        directions.append((positive, negative))
    shape = (track.length, 4, track.height // 8, track.width // 8)
    empty = torch.zeros(shape, device=comfy.model_management.intermediate_device())
    return SVDConditioning(directions[0], directions[1], {"samples": empty})


def _tell_what_is_unusual(track: KeyframeTrack) -> None:
    """A line in the log for a video unlike those that SVD was trained on."""
    size, length = (track.width, track.height), track.length
    found = [f"{length} frames"] if length not in (14, 25) else []
    found += [f"{track.width}x{track.height}"] if size not in TRAINED_SIZES else []
    found += [f"{track.fps:g} fps"] if track.fps > MOST_FPS else []
    if found:
        logging.warning(
            "Keyframes to SVD: the track says %s; SVD was trained for %s frames of 1024x576 at about 7 fps, and other "
            "videos come out worse.",
            ", ".join(found),
            TRAINED_LENGTHS,
        )


def _ends(track: KeyframeTrack) -> tuple[Keyframe, Keyframe]:
    """The first and the last keyframe. Raises ValueError if there are not exactly these two."""
    if track.length < 2:
        raise ValueError(
            f"keyframes has a length of {track.length}; SVD makes 2 frames or more, best {TRAINED_LENGTHS}."
        )
    if track.first is None or track.last is None:
        missing = "first_image" if track.first is None else "last_image"
        raise ValueError(f"keyframes has no picture on the {missing[:-6]} frame: connect {missing} of Keyframes.")
    if len(track.keyframes) > 2:
        inner = ", ".join(str(item.frame) for item in track.keyframes[1:-1])
        raise ValueError(
            f"keyframes has {len(track.keyframes)} pictures; SVD takes a first and a last one. Take the one on frame "
            f"{inner} out, or make one video per gap."
        )
    for keyframe in track.keyframes:
        if keyframe.strength != 1:
            raise ValueError(
                f"strength of the picture on frame {keyframe.frame} is {keyframe.strength:g}; SVD holds a picture "
                f"whole: set it to 1."
            )
    return track.first, track.last

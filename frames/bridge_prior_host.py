"""The prior of a bridge from a keyframe track and any of the host's VAEs, of pictures or of video.

A video VAE with temporal compression c gives latent 0 for frame 0 and one latent for every c frames after it. There a
keyframe's latent is that of a still clip, so that it stands for c equal frames; at latent 0 it is the picture's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .bridge_prior import KINDS, prior_between
from .fit_host import fitted_picture, fitted_pictures
from .keyframe_track import Keyframe, KeyframeTrack, colour_frames
from .vae_family_host import vae_family
from .wan_layout import nearest_shown

VAE_FAMILY = "inbetween_vae"  # in a latent: the models that its VAE belongs to, "" if unknown
PLACES = "inbetween_keyframes"  # in a latent: the latent frames that carry keyframes of strength 1


@torch.no_grad()
def bridge_prior(track: KeyframeTrack, vae: Any, kind: str = "linear", frames: Tensor | None = None) -> dict[str, Any]:
    """The host's latent with a prior, and the places of its keyframes of strength 1.

    Args:
        track: its size and length are the video's.
        vae: of the model that will go on from the prior.
        kind: linear, nearest, slerp: between the keyframes' latents; pixel: a cross-fade of the pictures, encoded.
        frames: [N,H,W,3], a whole video by another tool, encoded instead; other sizes are fitted as keyframes are.
    Returns:
        samples [1,C,T,h,w], or [N,C,h,w] for a VAE of pictures.
    Raises:
        ValueError: no keyframe and no frames, a size or length off the VAE's grid, another number of frames than the
            track's, or two keyframes in one latent frame.
    Cost: one VAE encode of the video (pixel, frames), else one or two short ones per keyframe.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    compression = temporal_compression(vae)
    _check_grid(track, vae, compression)
    places = _places(track, compression)
    if frames is not None:
        samples = vae.encode(_whole_video(frames, track, compression))
    elif kind == "pixel":
        _check_not_empty(track)
        at = [item.frame for item in track.keyframes]
        samples = vae.encode(prior_between(fitted_pictures(track), at, track.length))
    else:
        _check_not_empty(track)
        samples = _between_latents(track, vae, kind, places, compression)
    held = [place for place, item in zip(places, track.keyframes, strict=True) if item.strength == 1]
    return {"samples": samples, PLACES: tuple(held), VAE_FAMILY: vae_family(vae)}


def temporal_compression(vae: Any) -> int | None:
    """Frames in a latent after the first, or None for a VAE of pictures."""
    return vae.temporal_compression_decode() if getattr(vae, "latent_dim", 2) == 3 else None


def _between_latents(
    track: KeyframeTrack, vae: Any, kind: str, places: Sequence[int], compression: int | None
) -> Tensor:
    pictures = [fitted_picture(item, track) for item in track.keyframes]
    if compression is None:
        return prior_between(torch.cat([vae.encode(picture) for picture in pictures]), places, track.length, kind)
    count = (track.length - 1) // compression + 1
    stills = [vae.encode(picture.expand(compression + 1, -1, -1, -1))[:, :, -1] for picture in pictures]
    prior = prior_between(torch.cat(stills), places, count, kind)
    prior[0] = vae.encode(pictures[0])[0, :, 0]
    return prior.movedim(0, 1)[None]


def _places(track: KeyframeTrack, compression: int | None) -> list[int]:
    """The latent frame of every keyframe. Raises ValueError if two share one."""
    if compression is None:
        return [item.frame for item in track.keyframes]
    places = [-(-item.frame // compression) for item in track.keyframes]
    for number in range(1, len(places)):
        if places[number] == places[number - 1]:
            here, there = track.keyframes[number - 1].frame, track.keyframes[number].frame
            raise ValueError(
                f"keyframes on frames {here} and {there} fall into one latent frame of {compression} frames: put them "
                f"at least {compression} apart, or take one out."
            )
    return places


def _whole_video(frames: Tensor, track: KeyframeTrack, compression: int | None) -> Tensor:
    colour, _ = colour_frames(frames, "frames")
    if len(colour) != track.length:
        on_grid = compression is None or (len(colour) - 1) % compression == 0
        other = f", or set length to {len(colour)} in Keyframes" if on_grid else ""
        raise ValueError(
            f"frames has {len(colour)} pictures, the length in Keyframes is {track.length}: make as many{other}."
        )
    return fitted_picture(Keyframe(0, colour, source="frames"), track)


def _check_not_empty(track: KeyframeTrack) -> None:
    if not track.keyframes:
        raise ValueError(
            "keyframes is empty and frames is open: connect first_image or last_image of Keyframes, or frames."
        )


def _check_grid(track: KeyframeTrack, vae: Any, compression: int | None) -> None:
    problems = []
    side = vae.spacial_compression_encode()
    for name, value in (("width", track.width), ("height", track.height)):
        if value % side:
            nearest = nearest_shown(value, side)
            problems.append(f"{name} {value} is not a multiple of {side}, as this vae needs; the {nearest}")
    if compression is not None and (track.length - 1) % compression:
        nearest = nearest_shown(track.length, compression, 1)
        problems.append(f"length {track.length} is not {compression}n+1; the {nearest}")
    if problems:
        raise ValueError(". ".join(problems) + ". Change it in the Keyframes node.")

"""Fits keyframe pictures to the video's size with the host's own scaling."""

from __future__ import annotations

import comfy.utils
import torch
from torch import Tensor

from .keyframe_track import Keyframe, KeyframeTrack


def fitted_picture(keyframe: Keyframe, track: KeyframeTrack) -> Tensor:
    """The keyframe's picture at the track's size, scaled bilinearly as the host's Wan nodes do.

    crop: fills the frame, cuts the centre out. pad: shows all, black bars. stretch: ignores the aspect.

    Returns:
        [1,H,W,3] in 0..1; the picture itself where it already has the size.
    Raises:
        ValueError: so narrow a picture that the crop has no pixel.
    """
    picture = keyframe.image.movedim(-1, 1)  # [1,H,W,3] -> [1,3,H,W]
    if track.fit == "pad":
        return _padded(picture, track.width, track.height).movedim(1, -1)
    if track.fit == "crop":
        _check_crop(keyframe, track)
    crop = "center" if track.fit == "crop" else "disabled"
    return comfy.utils.common_upscale(picture, track.width, track.height, "bilinear", crop).movedim(1, -1)


def fitted_pictures(track: KeyframeTrack) -> Tensor:
    """All keyframes of a track in order of time, [K,H,W,3] at the track's size; the track is not empty."""
    return torch.cat([fitted_picture(item, track) for item in track.keyframes])


def fitted_ends(track: KeyframeTrack) -> tuple[Tensor | None, Tensor | None]:
    """The first and the last keyframe, each [1,H,W,3] at the track's size; None where the track has none."""
    first, last = (None if item is None else fitted_picture(item, track) for item in (track.first, track.last))
    return first, last


def _check_crop(keyframe: Keyframe, track: KeyframeTrack) -> None:
    """Raises ValueError where the host's crop, which takes as many pixels from both edges, takes all."""
    rows, columns = keyframe.image.shape[1:3]
    share = (columns * track.height) / (rows * track.width)  # the picture's aspect by the video's
    kept = rows - 2 * round(rows * (1 - share) / 2) if share < 1 else columns - 2 * round(columns * (1 - 1 / share) / 2)
    if kept < 1:
        raise ValueError(
            f"{keyframe.source} is {columns}x{rows}, so narrow that fit 'crop' leaves nothing of it in a video of "
            f"{track.width}x{track.height}: set fit to 'pad' or 'stretch' in Keyframes, or take another picture."
        )


def _padded(picture: Tensor, width: int, height: int) -> Tensor:
    """[1,3,H,W] scaled to fit inside width x height, centred on black."""
    rows, columns = picture.shape[-2:]
    scale = min(width / columns, height / rows)
    inner_width, inner_height = max(1, round(columns * scale)), max(1, round(rows * scale))
    inner = comfy.utils.common_upscale(picture, inner_width, inner_height, "bilinear", "disabled")
    canvas = torch.zeros(1, 3, height, width, dtype=picture.dtype, device=picture.device)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    canvas[..., top : top + inner_height, left : left + inner_width] = inner
    return canvas

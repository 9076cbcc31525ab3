"""A video as its measures need it: three colours, float32, and numbers in every pixel. Pure torch."""

from __future__ import annotations

import torch
from torch import Tensor

from .keyframe_track import colour_frames


def check_pictures(name: str, frames: Tensor) -> None:
    """Raises ValueError, naming the input, unless these are pictures with a number in every pixel.

    Args:
        name: the node's input. frames: [N,H,W,C], floating point, N, H and W at least 1, C of 1, 3 or 4.
    Cost: one sum over all pixels.
    """
    if frames.ndim != 4 or not frames.is_floating_point():
        size = "x".join(map(str, frames.shape))
        raise ValueError(
            f"{name} is {size} {'' if frames.is_floating_point() else 'whole '}numbers, not pictures (frames, height, "
            f"width, colours): connect an image; a mask becomes one by 'Convert Mask to Image'."
        )
    count, height, width, _ = frames.shape
    if not count or not height or not width:
        raise ValueError(f"{name} is empty ({count} frames of {width}x{height}): connect at least one picture.")
    colour_frames(frames[:1], name)
    _check_numbers(name, frames)


def finite_frames(name: str, frames: Tensor) -> tuple[Tensor, str]:
    """The video as [N,H,W,3] float32 and a sentence on what was changed ("" if nothing): grey repeated, alpha dropped.

    Args:
        name: the node's input, named in errors. frames: [N,H,W,C] in 0..1, C of 1, 3 or 4.
    Raises:
        ValueError: pixels that are not numbers, or another number of channels.
    """
    _check_numbers(name, frames)
    colour, change = colour_frames(frames, name)
    return colour, f"{name}: {change}." if change else ""


def _check_numbers(name: str, frames: Tensor) -> None:
    """Raises ValueError for pixels that are not numbers."""
    # a sum is finite only if all of its terms are; it may overflow by itself, so then every frame is looked at
    if torch.isfinite(frames.sum(dtype=torch.float32)):
        return
    broken = [n for n, frame in enumerate(frames) if not torch.isfinite(frame).all()]
    if broken:
        shown = ", ".join(map(str, broken[:5])) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")
        raise ValueError(
            f"{name} has pixels that are not numbers (NaN or infinite) in frame {shown} of {len(frames)}: the model or "
            f"VAE overflowed. Run it in a wider number format (fp32 or bf16 VAE), or lower cfg."
        )

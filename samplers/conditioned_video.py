"""Whether a latent is of the video that conditionings were made for. Pure torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

MASK = "concat_mask"  # in a conditioning: [1,M,T,h,w], whatever its pictures are
FRAMES = "inbetween_frames"  # in SVD's: the length of its video


def check_conditioned_video(name: str, samples: Tensor, entries: Iterable[Mapping[str, Any]]) -> None:
    """Raises ValueError if a latent has other frames or sides than the condition that lies beside it.

    The host would stretch or repeat the condition in silence.

    Args:
        name: the latent's input. samples: [B,C,T,h,w], or [N,C,h,w] for SVD.
        entries: what the conditionings carry.
    """
    for entry in entries:
        mask, frames = entry.get(MASK), entry.get(FRAMES)
        if isinstance(mask, Tensor) and mask.ndim == 5 and samples.ndim != 5:
            made, given = "a video", f"{'x'.join(map(str, samples.shape))}, a picture's latent"
        elif isinstance(mask, Tensor) and mask.ndim == samples.ndim == 5 and mask.shape[2:] != samples.shape[2:]:
            made, given = (f"{t} latent frames of {w}x{h}" for t, h, w in (mask.shape[2:], samples.shape[2:]))
        elif frames is not None and samples.ndim == 4 and frames != len(samples):
            made, given = f"{frames} frames", f"{len(samples)}"
        else:
            continue
        raise ValueError(
            f"{name} has {given}, the conditioning was made for {made}: connect the latent of the same node."
        )


def check_guided_video(name: str, samples: Tensor, guider: Any) -> None:
    """`check_conditioned_video` for all conditionings of one of the host's guiders."""
    conditionings = getattr(guider, "original_conds", {}).values()
    check_conditioned_video(name, samples, (entry for entries in conditionings for entry in entries))


def check_family(family: str, latents: str) -> None:
    """Raises ValueError if a prior was made with the VAE of another model.

    Args:
        family: of the VAE, "" if unknown. latents: name of the model's latent format, such as Wan21.
    """
    families = ("Wan", "HunyuanVideo")
    of_model = next((one for one in families if latents.startswith(one)), "")
    if family in families and of_model and family != of_model:
        raise ValueError(
            f"prior was made with the VAE of {family}, the model is {of_model}: make it with the model's own VAE."
        )

"""Whether a value is what an input takes. Every refusal is one sentence: the input, the value, and what would do."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch

from ..frames.finite_frames import check_pictures
from ..frames.keyframe_track import KeyframeTrack

MOST_DIGITS = 20  # of a whole number that is shown as it is
MOST_LETTERS = 40  # of a text that is shown
# socket: what it takes, and what such a thing can do
OBJECTS = {
    "MODEL": ("a model", ("model", "model_options")),
    "VAE": ("a VAE", ("first_stage_model",)),
    "CLIP_VISION": ("a CLIP vision model", ("encode_image",)),
    "GUIDER": ("a guider", ("model_patcher",)),
    "SAMPLER": ("a sampler", ("sample",)),
    "NOISE": ("noise", ("generate_noise", "seed")),
    "INBETWEEN_METRIC": ("a metric", ("adjacent", "between")),
}
REMEDIES = {
    "VAE": "connect 'Load VAE' (a checkpoint without a VAE gives none)",
    "CLIP_VISION": "connect 'Load CLIP Vision' (a checkpoint without one gives none)",
    "INBETWEEN_METRIC": "connect 'Load LPIPS'",
    "INBETWEEN_KEYFRAMES": "connect 'Keyframes'",
    "INBETWEEN_BACKWARD_MOTION": "connect 'Load Backward Motion'",
}


def checked_number(name: str, value: Any, low: float, high: float, whole: bool) -> int | float:
    """The number as int or float.

    Args:
        name: the input. low, high: its range, both ends within it. whole: whether it takes whole numbers only.
    Raises:
        ValueError: no number, NaN, a fraction where a whole number is wanted, or one outside the range.
    """
    legal = f"use a {'whole ' if whole else ''}number from {_number_shown(low)} to {_number_shown(high)}"
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or value != value:
        raise ValueError(f"{name} is {shown(value)}, which is no number: {legal}.")
    nearest: Any = min(max(value, low), high)
    nearest = round(nearest) if whole else float(nearest)
    if value != nearest:
        raise ValueError(f"{name} is {shown(value)}: {legal}; the nearest is {_number_shown(nearest)}.")
    return nearest


def checked_choice(name: str, value: Any, options: Sequence[Any]) -> str:
    """One of the options, or any text where there are none. Raises ValueError otherwise."""
    if not isinstance(value, str):
        wanted = f"use {_either(options)}" if options else "give the name of a file"
        raise ValueError(f"{name} is {shown(value)}: {wanted}.")
    if options and value not in options:
        raise ValueError(f"{name} is {shown(value)}, which it does not know: use {_either(options)}.")
    return value


def checked_switch(name: str, value: Any) -> bool:
    """A switch's value. Raises ValueError for anything but on and off."""
    if isinstance(value, bool) or (isinstance(value, numbers.Integral) and value in (0, 1)):
        return bool(value)
    raise ValueError(f"{name} is {shown(value)}: it is a switch, use true or false.")


def checked_text(name: str, value: Any) -> str:
    """A text. Raises ValueError for anything else."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is {shown(value)}: it takes a text.")
    return value


def check_thing(name: str, value: Any, kind: str) -> None:
    """Raises ValueError unless the value is what a socket carries. kind: the socket's type; others are let through."""
    if kind in OBJECTS:
        _check_object(name, value, kind)
    elif kind == "IMAGE":
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{name} is {shown(value)}, not a picture: connect an image.")
        check_pictures(name, value)
    elif kind == "LATENT":
        _check_latent(name, value)
    elif kind == "CONDITIONING":
        _check_conditioning(name, value)
    elif kind == "SIGMAS":
        if not isinstance(value, torch.Tensor) or value.ndim != 1:
            raise ValueError(f"{name} is {shown(value)}, not a schedule of noise levels: connect a scheduler.")
        _check_finite(name, value, "a noise level that is no number", "set the scheduler anew")
    elif kind == "INBETWEEN_KEYFRAMES":
        if not isinstance(value, KeyframeTrack):
            raise ValueError(f"{name} is {shown(value)}, not a keyframe track: {REMEDIES[kind]}.")
    elif kind == "INBETWEEN_BACKWARD_MOTION":
        if not isinstance(value, dict) or not all(isinstance(item, torch.Tensor) for item in value.values()):
            raise ValueError(f"{name} is {shown(value)}, not backward-motion weights: {REMEDIES[kind]}.")


def shown(value: Any) -> str:
    """A value in a sentence for its reader: short, and in words where it is a thing and no number or text."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return f"a switch ({'on' if value else 'off'})"
    if isinstance(value, numbers.Real):
        return _number_shown(value)
    if isinstance(value, str):
        return repr(value if len(value) <= MOST_LETTERS else f"{value[:MOST_LETTERS]}...")
    if isinstance(value, torch.Tensor):
        return f"{'x'.join(map(str, value.shape))} numbers" if value.numel() else "nothing (0 numbers)"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "a latent" if "samples" in value else "a set of values"
    return f"a {type(value).__name__}"


def _number_shown(value: Any) -> str:
    if isinstance(value, numbers.Integral):
        digits = int(math.log10(abs(value) or 1)) + 1
        return str(int(value)) if digits <= MOST_DIGITS else f"{'-' if value < 0 else ''}10^{digits - 1}"
    if math.isinf(value):
        return "infinite" if value > 0 else "minus infinite"
    return "NaN" if math.isnan(value) else f"{value:g}"


def _either(options: Sequence[Any]) -> str:
    return " or ".join(filter(None, [", ".join(options[:-1]), *options[-1:]]))


def _check_object(name: str, value: Any, kind: str) -> None:
    wanted, parts = OBJECTS[kind]
    there = all(hasattr(value, part) for part in parts)
    if not there or getattr(value, "first_stage_model", value) is None:  # the host's VAE without weights
        what = shown(value) if not there else "empty"
        raise ValueError(f"{name} is {what}, not {wanted}: {REMEDIES.get(kind, f'connect {wanted}')}.")


def _check_latent(name: str, value: Any) -> None:
    samples = value.get("samples") if isinstance(value, dict) else None
    if not isinstance(samples, torch.Tensor) or samples.ndim not in (4, 5):
        what = shown(value if samples is None else samples)
        raise ValueError(f"{name} is {what}, not the latent of a video: connect the latent of a conditioning node.")
    if not samples.numel():
        size = "x".join(map(str, samples.shape))
        raise ValueError(f"{name} is empty ({size}): it holds no frame; connect the latent of a conditioning node.")
    _check_finite(name, samples, "values that are no numbers", "make it again, in a wider number format")


def _check_conditioning(name: str, value: Any) -> None:
    pairs = value if isinstance(value, list | tuple) else ()
    if not pairs or not all(isinstance(pair, list | tuple) and len(pair) > 1 for pair in pairs):
        what = "empty" if value == [] else shown(value)
        raise ValueError(f"{name} is {what}, not a conditioning: connect a prompt or a conditioning node.")
    for number, pair in enumerate(pairs):
        if not isinstance(pair[1], dict) or not isinstance(pair[0], torch.Tensor | None):
            raise ValueError(f"{name} holds {shown(pair[0])} in entry {number}, not an encoded prompt: connect one.")
        if isinstance(pair[0], torch.Tensor):
            _check_finite(name, pair[0], "values that are no numbers", "encode the prompt again, in fp32 or bf16")


def _check_finite(name: str, values: torch.Tensor, what: str, remedy: str) -> None:
    if not torch.isfinite(values).all():
        raise ValueError(f"{name} has {what} (NaN or infinite): {remedy}.")

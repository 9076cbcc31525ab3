"""The videos of a node's numbered slots, in order and with names. Pure torch.

A slot may hold several videos, as a loop gives them; an empty one, muted or never connected, is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Slots = Mapping[str, Tensor | Sequence[Tensor]]


@dataclass(frozen=True, eq=False)
class SlotVideo:
    """name: the slot's, with the place in its list if that has several. number: from 1. images: [N,H,W,C]."""

    name: str
    number: int
    images: Tensor


def slot_videos(slots: Slots, names: Sequence[str]) -> list[SlotVideo]:
    """All videos of the slots in the order of names, each slot's list in its own order.

    Numbers count every video, and an empty slot as one, so that without lists they are the numbers of the slots.

    Raises:
        ValueError: what is in a slot is no video.
    """
    found: list[SlotVideo] = []
    number = 1
    for slot in names:
        given = slots.get(slot, [])
        held = given if isinstance(given, (list, tuple)) else [given]
        for place, images in enumerate(held, start=1):
            name = slot if len(held) == 1 else f"{slot} ({place})"
            if not isinstance(images, Tensor):
                raise ValueError(f"{name} must be a video, got {images!r}: connect IMAGE.")
            if images.ndim != 4:
                raise ValueError(f"{name} must be a video [frames, height, width, channels], got {list(images.shape)}.")
            found.append(SlotVideo(name, number + place - 1, images))
        number += max(1, len(held))
    return found


def only(name: str, values: Any) -> Any:
    """The value of an input that takes one where slots take lists; a list of equal ones, as a loop gives, is one.

    Raises:
        ValueError: several that differ.
    """
    if not isinstance(values, (list, tuple)):
        return values
    if any(value is not values[0] and value != values[0] for value in values):
        raise ValueError(f"{name} is a list of {len(values)} different values: connect one, which holds for all.")
    return values[0] if values else None


def still_picture(name: str) -> str:
    """What to ask where a video has one frame: a bypassed node passes its picture on."""
    return f"{name} has one frame; is it bypassed?"

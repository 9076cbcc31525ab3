"""Which pictures the image tokens of a conditioning show: known from their number and the mask, never guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PICTURE_TOKENS = 257  # CLIP vision H: one class token and 16 x 16 patches
NO_TOKENS = (
    "this Wan reads pictures through CLIP vision, but the conditioning has no image tokens. Connect clip_vision "
    "(clip_vision_h) to Keyframes to Wan, or clip_vision_output to the host's node."
)
UNKNOWN_PICTURE = (
    "the image tokens show one picture, and nothing tells whether it is the first or the last. Give CLIP vision both "
    "keyframes (Keyframes to Wan does), or set first_weight and last_weight alike and weights_by_position off."
)

Layout = tuple[str, ...] | None  # ("first", "last"), ("first",), ("last",), or None where it is not known


def token_layouts(guider: Any, node: str, needed: bool) -> dict[Any, Layout]:
    """The layout of every conditioning of a guider, by the conditioning's id.

    Args:
        node: the node's name for errors. needed: whether a layout that is not known is an error.
    Raises:
        ValueError: a conditioning without image tokens, with another number, or (if needed) of an unknown layout.
    """
    layouts = {}
    for entry in (entry for entries in guider.conds.values() for entry in entries):
        tokens = entry.get("clip_vision_output")
        if tokens is None:
            raise ValueError(f"{node}: {NO_TOKENS}")
        layout = token_layout(entry, tokens.penultimate_hidden_states.shape[-2], node)
        if needed and layout is None:
            raise ValueError(f"{node}: {UNKNOWN_PICTURE}")
        layouts[entry.get("uuid")] = layout
    return layouts


def token_layout(entry: Mapping[str, Any], tokens: int, node: str) -> Layout:
    """Two pictures are first and last, as every node of the host joins them; of one, the mask tells which end is known.

    Raises:
        ValueError: a number of tokens that is not one or two pictures of clip_vision_h.
    """
    if tokens == 2 * PICTURE_TOKENS:
        return ("first", "last")
    if tokens != PICTURE_TOKENS:
        raise ValueError(
            f"{node}: the conditioning has {tokens} image tokens; one picture of clip_vision_h has {PICTURE_TOKENS}, "
            f"two have {2 * PICTURE_TOKENS}. Use clip_vision_h.safetensors."
        )
    mask = entry.get("concat_mask")
    if mask is None:
        return None
    first, last = (bool((mask[:, :, end] < 1).any()) for end in (0, -1))
    return {(True, False): ("first",), (False, True): ("last",)}.get((first, last))

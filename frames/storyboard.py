"""A storyboard: pictures in their order, and the keyframe track that they make. Pure torch.

symbol    here        shape          unit
K         --          --             pictures, over all slots
--        slots       picture_1..    each holds one picture, a batch, or a list of both

Source: ours. Pictures are counted through all slots: with two in picture_1, the first of picture_2 is picture 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from .keyframe_places import placed_frames
from .keyframe_track import Keyframe, KeyframeTrack, single_picture

SLOTS = tuple(f"picture_{number}" for number in range(1, 51))
OFF = {2: "muted", 4: "bypassed"}  # the page's modes of a node that gives nothing


def storyboard_track(
    slots: Mapping[str, Tensor | Sequence[Tensor | None]], at: str, strength: float, track: KeyframeTrack
) -> KeyframeTrack:
    """The track with all pictures on their places.

    Args:
        slots: pictures [B,H,W,C] in 0..1 by slot, as they came; C of 1, 3 or 4.
        at: places, as in `placed_frames`.
        strength: 0..1 for every picture.
        track: an empty track of the video's size, length and rate.
    Returns:
        The track with one keyframe for each picture, named "picture 1" and so on.
    Raises:
        ValueError: no picture, an empty slot before a full one, or what `placed_frames` and `single_picture` refuse.
    """
    pictures = storyboard_pictures(slots)
    frames = placed_frames(at, len(pictures), track.length, track.fps)
    for number, (frame, (picture, source)) in enumerate(zip(frames, pictures, strict=True), start=1):
        colour, change = single_picture(picture, source)
        track = track.with_keyframe(Keyframe(frame, colour, strength, f"picture {number}", change))
    return track


def storyboard_pictures(slots: Mapping[str, Tensor | Sequence[Tensor | None]]) -> list[tuple[Tensor, str]]:
    """Every picture [1,H,W,C] in its order, with the slot that it came by for errors."""
    batches = {slot: _batches(slots.get(slot)) for slot in SLOTS}
    full = [slot for slot in SLOTS if batches[slot]]
    if not full:
        raise ValueError(
            "pictures is empty: connect a picture to picture_1, and switch on the node it comes from if that is muted "
            "or bypassed."
        )
    for slot, expected in zip(full, SLOTS, strict=False):
        if slot != expected:
            raise ValueError(
                f"{expected} is empty, though {full[-1]} has a picture: switch on the node that is connected there if "
                f"it is muted or bypassed, or connect the pictures without a gap."
            )
    found = []
    for slot in full:
        pictures = [batch[place : place + 1] for batch in batches[slot] for place in range(len(batch))]
        found += [
            (picture, slot if len(pictures) == 1 else f"{slot}, image {place} of {len(pictures)},")
            for place, picture in enumerate(pictures, start=1)
        ]
    return found


def _batches(given: Tensor | Sequence[Tensor | None] | None) -> list[Tensor]:
    """The batches of a slot that have pictures, in order."""
    items = [given] if isinstance(given, Tensor) else given or []
    return [batch for batch in items if batch is not None and len(batch)]


def only_picture(given: Tensor | Sequence[Tensor], name: str) -> Tensor:
    """The one picture [1,H,W,C] of an input that takes one, whether it came alone or in a list.

    Raises:
        ValueError: several, in a list or a batch; the message names Storyboard, which takes them.
    """
    batches = _batches(given)
    count = sum(len(batch) for batch in batches)
    if count != 1:
        raise ValueError(
            f"{name} has {count} pictures, Add Keyframe takes one: connect them to Storyboard, which puts all of them "
            "on the video, or pick one with 'ImageFromBatch' (length 1)."
        )
    return batches[0]


def check_switched_on(workflow: Mapping[str, Any], node_id: str, slots: Mapping[str, object]) -> None:
    """Raises where a slot has a link in the page, and the node at its other end is muted or bypassed.

    The page leaves such a link out of what it sends, so that the storyboard would quietly be one picture shorter.

    Args:
        workflow: the page's own file of the graph; {} where the graph did not come from a page.
        node_id: of the storyboard, with its subgraphs: "7", or "12:7".
        slots: what came.
    Raises:
        ValueError: names the slot and the node that is switched off.
    """
    graph, node = _find(workflow, node_id)
    nodes = {item["id"]: item for item in graph.get("nodes", [])}
    for entry in node.get("inputs", []):
        slot = str(entry.get("name", "")).removeprefix("pictures.")
        if slot not in SLOTS or slots.get(slot) is not None or entry.get("link") is None:
            continue
        source = nodes.get(_origin(graph, entry["link"]), {})
        if source.get("mode") in OFF:
            name = source.get("title") or source.get("type")
            raise ValueError(
                f"{slot} is empty because {name}, which is connected there, is {OFF[source['mode']]}: switch it on, or "
                f"disconnect {slot}."
            )


def _find(workflow: Mapping[str, Any], node_id: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A node of the page's file and the graph that it stands in; {} for what is not there."""
    subgraphs = {item.get("id"): item for item in workflow.get("definitions", {}).get("subgraphs", [])}
    graph: Mapping[str, Any] = workflow
    node: Mapping[str, Any] = {}
    for place, part in enumerate(node_id.split(":")):
        graph = workflow if place == 0 else subgraphs.get(node.get("type"), {})
        node = next((item for item in graph.get("nodes", []) if str(item.get("id")) == part), {})
    return graph, node


def _origin(graph: Mapping[str, Any], link: int) -> object:
    """The id of the node where a link begins; the page writes links as lists, and inside subgraphs by name."""
    for item in graph.get("links", []):
        if isinstance(item, Mapping) and item.get("id") == link:
            return item.get("origin_id")
        if not isinstance(item, Mapping) and item[0] == link:
            return item[1]
    return None

"""A graph for the page: pictures that go to a Storyboard, and its strip to Preview Image."""

from __future__ import annotations

from typing import Any

PICTURES = ("first.png", "middle_1.png", "middle_2.png", "middle_3.png", "last.png")
BOARD, PREVIEW = 10, 11


def storyboard_graph(at: str = "even", pictures: int = 3) -> dict[str, Any]:
    """The page's own format. The pictures are nodes 1, 2 and so on, the storyboard node 10."""
    slots = range(1, pictures + 1)
    loaders = [
        {
            "id": slot,
            "type": "LoadImage",
            "pos": [20, 40 + 330 * (slot - 1)],
            "size": [220, 300],
            "outputs": [_output("IMAGE", "IMAGE", [slot]), _output("MASK", "MASK")],
            "widgets_values": [name, "image"],
        }
        for slot, name in zip(slots, PICTURES, strict=False)
    ]
    board = {
        "id": BOARD,
        "type": "InbetweenStoryboard",
        "pos": [320, 40],
        "size": [420, 420],
        "inputs": [
            {"name": f"pictures.picture_{slot}", "label": f"picture_{slot}", "type": "IMAGE", "shape": 7, "link": link}
            for slot, link in [*((slot, slot) for slot in slots), (pictures + 1, None)]
        ],
        "outputs": [
            _output("keyframes", "INBETWEEN_KEYFRAMES"),
            _output("fps", "FLOAT"),
            _output("frame_count", "INT"),
            _output("strip", "IMAGE", [90]),
        ],
        "widgets_values": [at, 1, 832, 480, 81, 16, "crop"],
    }
    preview = {
        "id": PREVIEW,
        "type": "PreviewImage",
        "pos": [800, 40],
        "size": [400, 200],
        "inputs": [{"name": "images", "type": "IMAGE", "link": 90}],
        "outputs": [],
    }
    nodes = [
        {"flags": {}, "order": order, "mode": 0, "inputs": [], "properties": {}, "widgets_values": []} | node
        for order, node in enumerate([*loaders, board, preview])
    ]
    links = [[slot, slot, 0, BOARD, slot - 1, "IMAGE"] for slot in slots]
    links.append([90, BOARD, 3, PREVIEW, 0, "IMAGE"])
    whole = {"nodes": nodes, "links": links, "groups": [], "config": {}, "extra": {}, "version": 0.4}
    return {"last_node_id": PREVIEW, "last_link_id": 90, **whole}


def _output(name: str, kind: str, links: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "type": kind, "links": links}

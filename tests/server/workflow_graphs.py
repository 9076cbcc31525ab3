"""The shipped workflows as graphs: their nodes, their note, and what leads to a node."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATCHES = ("InbetweenKeyframeAttention", "InbetweenTemporalRoPE")  # from the guider back


def flow(name):
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text())


def note(name):
    """The text of the workflow's only note."""
    (found,) = (node for node in flow(name)["nodes"] if node["type"] in ("Note", "MarkdownNote"))
    return found["widgets_values"][0]


def inputs_by_class(graph):
    return {node["class_type"]: node["inputs"] for node in graph.values()}


def tree(graph, key, patches=True):
    """What a node does, ids and titles left out: its class, its values, and the trees of what is linked to it.

    patches=False leaves out the attention nodes, as bypassing them does.
    """
    node = graph[key]
    if not patches and node["class_type"] in PATCHES:
        return tree(graph, node["inputs"]["model"][0], patches)
    values = {
        name: (tree(graph, value[0], patches), value[1]) if isinstance(value, list) else value
        for name, value in node["inputs"].items()
        if name != "filename_prefix"
    }
    return node["class_type"], values


def saves(graph):
    return {node["_meta"]["title"]: key for key, node in graph.items() if node["class_type"] == "SaveVideo"}

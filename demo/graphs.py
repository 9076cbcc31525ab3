"""Workflow files (the browser's format) as graphs for the HTTP API, with values put in.

The browser's own converter is `app.graphToPrompt()`; tests compare this one with what it made (tests/data/workflows).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
NOTES = {"Note", "MarkdownNote"}
MUTED, BYPASSED = 2, 4
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}

Graph = dict[str, dict[str, Any]]


def workflow(name: str) -> dict[str, Any]:
    """A shipped workflow by its file's stem."""
    return json.loads((WORKFLOWS / f"{name}.json").read_text())


def api_graph(flow: Mapping[str, Any], object_info: Mapping[str, Any]) -> Graph:
    """The API's form of a workflow: per node its class, linked inputs and widget values.

    Args:
        flow: the browser's format, without subgraphs.
        object_info: the server's answer to /object_info; gives the order of widgets.
    Raises:
        ValueError: a node the server does not know, a muted or bypassed node, or too few widget values.
    """
    sources = {link[0]: [str(link[1]), link[2]] for link in flow["links"]}
    graph: Graph = {}
    for node in flow["nodes"]:
        kind = node["type"]
        if kind in NOTES:
            continue
        if kind not in object_info or node.get("mode", 0) in (MUTED, BYPASSED):
            raise ValueError(f"node {node['id']} ({kind}) is unknown to this server, muted or bypassed")
        inputs = _widget_values(node, object_info[kind])
        for slot in node.get("inputs", []):
            if slot.get("link") is not None:
                inputs[slot["name"]] = sources[slot["link"]]
        graph[str(node["id"])] = {"class_type": kind, "inputs": inputs, "_meta": {"title": _title(node, object_info)}}
    return graph


def with_values(graph: Graph, values: Mapping[str, Any]) -> Graph:
    """A copy of a graph with inputs of all nodes of a class set: {"InbetweenKeyframes.width": 64}.

    A key may also name one node by its title: {"Keyframes to Wan (reverse).batch_size": 2}.

    Raises:
        ValueError: a key that fits no node, so that a renamed node is noticed.
    """
    changed = {key: {**node, "inputs": dict(node["inputs"])} for key, node in graph.items()}
    for key, value in values.items():
        name, _, item = key.rpartition(".")
        found = [node for node in changed.values() if name in (node["class_type"], node["_meta"]["title"])]
        if not found:
            raise ValueError(f"no node is called {name!r} in this graph")
        for node in found:
            node["inputs"][item] = value
    return changed


def node_by_title(graph: Graph, title: str) -> str:
    """The id of the one node with this title."""
    found = [key for key, node in graph.items() if node["_meta"]["title"] == title]
    if len(found) != 1:
        raise ValueError(f"{len(found)} nodes are called {title!r}, expected 1")
    return found[0]


def _widget_values(node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    values = list(node.get("widgets_values") or [])
    found = {}
    for group in ("required", "optional"):
        for name in info["input_order"].get(group, []):
            kind, *options = info["input"][group][name]
            options = options[0] if options else {}
            if (not isinstance(kind, list) and kind not in WIDGETS) or options.get("forceInput"):
                continue
            if not values:
                raise ValueError(f"node {node['id']} ({node['type']}) has no value for {name}")
            found[name] = values.pop(0)
            if options.get("control_after_generate"):
                values.pop(0)  # "fixed", "randomize": the browser's own
    return found


def _title(node: Mapping[str, Any], object_info: Mapping[str, Any]) -> str:
    return node.get("title") or object_info[node["type"]]["display_name"]

"""Workflow files (the browser's format) as graphs for the HTTP API, with values put in.

The browser's own converter is `app.graphToPrompt()`; tests compare this one with what it made (tests/data/workflows).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKFLOWS = Path(__file__).resolve().parents[1] / "workflows"
NOTES = {"Note", "MarkdownNote"}
REROUTE, PRIMITIVE = "Reroute", "PrimitiveNode"  # the page's own: a bend in a link, and a widget outside of its node
PAGES_OWN = {*NOTES, REROUTE, PRIMITIVE}
MUTED, BYPASSED = 2, 4
OUTSIDE = -10  # the node inside a subgraph that stands for its inputs
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}

Graph = dict[str, dict[str, Any]]


def workflow(name: str) -> dict[str, Any]:
    """A shipped workflow by its file's stem."""
    return json.loads((WORKFLOWS / f"{name}.json").read_text())


def api_graph(flow: Mapping[str, Any], object_info: Mapping[str, Any]) -> Graph:
    """The API's form of a workflow: per node its class, linked inputs and widget values.

    A subgraph becomes the nodes inside it, once for each node that uses it: node 5 of node 12 is "12:5".

    Args:
        flow: the browser's format; subgraphs have their definitions in it.
        object_info: the server's answer to /object_info; gives the order of widgets.
    Raises:
        ValueError: a node the server does not know, a muted or bypassed node, or a widget without value and default.
    """
    subgraphs = {found["id"]: found for found in flow.get("definitions", {}).get("subgraphs", [])}
    graph: Graph = {}
    _add_level(_Level(flow, subgraphs), graph, object_info)
    return graph


@dataclass(frozen=True)
class _Level:
    """The nodes of a workflow, or those inside one node that uses a subgraph.

    given: by name, what the node that uses the subgraph has at its inputs: a source or, of a widget, a value.
    """

    graph: Mapping[str, Any]
    subgraphs: Mapping[str, Any]
    prefix: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)

    def source(self, link_id: int) -> Any:
        """What a link brings: [node, output] of the API, a _Value, or None where nothing comes in from outside."""
        return self._output(*_origins(self.graph)[link_id])

    def _output(self, node_id: int, slot: int) -> Any:
        if node_id == OUTSIDE:
            return self.given.get(self.graph["inputs"][slot]["name"])
        (node,) = (node for node in self.graph["nodes"] if node["id"] == node_id)
        if node["type"] == REROUTE:
            before = node["inputs"][0].get("link")
            return None if before is None else self.source(before)
        if node["type"] == PRIMITIVE:
            return _Value(node["widgets_values"][0]) if node.get("widgets_values") else None
        if node["type"] in self.subgraphs:
            inside = self.inside(node)
            return inside.source(inside.graph["outputs"][slot]["linkIds"][0])
        return [f"{self.prefix}{node_id}", slot]

    def inside(self, node: Mapping[str, Any]) -> _Level:
        """The level of a node that uses a subgraph."""
        values = iter(node.get("widgets_values") or [])
        given = {}
        for item in node.get("inputs", []):
            value = next(values, None) if "widget" in item else None
            linked = self.source(item["link"]) if item.get("link") is not None else None
            given[item["name"]] = linked if linked is not None or value is None else _Value(value)
        return _Level(self.subgraphs[node["type"]], self.subgraphs, f"{self.prefix}{node['id']}:", given)


def _origins(graph: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
    """Link -> the node and the output it comes from; a subgraph names what a workflow only lists."""
    named = ("id", "origin_id", "origin_slot")
    links = [[link[key] for key in named] if isinstance(link, dict) else link[:3] for link in graph["links"]]
    return {number: (node, slot) for number, node, slot in links}


@dataclass(frozen=True)
class _Value:
    """A widget's value that comes from the node that uses the subgraph."""

    value: Any


def _add_level(level: _Level, graph: Graph, object_info: Mapping[str, Any]) -> None:
    for node in level.graph["nodes"]:
        kind = node["type"]
        if kind in PAGES_OWN:
            continue
        if node.get("mode", 0) in (MUTED, BYPASSED) or kind not in {*object_info, *level.subgraphs}:
            raise ValueError(f"node {node['id']} ({kind}) is unknown to this server, muted or bypassed")
        if kind in level.subgraphs:
            _add_level(level.inside(node), graph, object_info)
            continue
        inputs = _widget_values(node, object_info[kind])
        for slot in node.get("inputs", []):
            source = level.source(slot["link"]) if slot.get("link") is not None else None
            if source is not None:
                inputs[slot["name"]] = source.value if isinstance(source, _Value) else source
        key = f"{level.prefix}{node['id']}"
        graph[key] = {"class_type": kind, "inputs": inputs, "_meta": {"title": _title(node, object_info)}}


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


def needed_for(graph: Graph, output: str) -> Graph:
    """The part of a graph that one node needs."""
    wanted, found = [output], {}
    while wanted:
        key = wanted.pop()
        if key not in found:
            found[key] = graph[key]
            wanted += [value[0] for value in graph[key]["inputs"].values() if is_link(value)]
    return found


def is_link(value: Any) -> bool:
    """Whether an input comes from another node."""
    return isinstance(value, list)


def _widget_values(node: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    given = node.get("widgets_values") or []
    named = given if isinstance(given, Mapping) else {}  # some packs' nodes save their values by name
    values = [] if named else list(given)
    found = {}
    for group in ("required", "optional"):
        for name in info["input_order"].get(group, []):
            kind, *options = info["input"][group][name]
            options = options[0] if options else {}
            if (not isinstance(kind, list) and kind not in WIDGETS) or options.get("forceInput"):
                continue
            if not values:  # the widget is newer than the file
                found[name] = named[name] if name in named else _default(node, name, kind, options)
                continue
            found[name] = values.pop(0)
            if options.get("control_after_generate"):
                values.pop(0)  # "fixed", "randomize": the browser's own
    return found


def _default(node: Mapping[str, Any], name: str, kind: Any, options: Mapping[str, Any]) -> Any:
    """What the page puts into a widget that a file says nothing of."""
    choices = kind if isinstance(kind, list) else options.get("options") or ()
    if "default" not in options and not choices:
        raise ValueError(f"node {node['id']} ({node['type']}) has no value for {name}")
    first = next(iter(choices), None)
    return options.get("default", first["key"] if isinstance(first, dict) else first)


def _title(node: Mapping[str, Any], object_info: Mapping[str, Any]) -> str:
    return node.get("title") or object_info[node["type"]]["display_name"] or node["type"]

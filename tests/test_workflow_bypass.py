"""What the shipped workflows run when Select Anchors is bypassed: the final video, without the reverse pass.

The page passes the first input of an output's type on through a bypassed node, the one in the same place if it fits.
"""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BRIDGING = sorted(path.stem for path in (ROOT / "workflows").glob("afb*.json"))
OUTPUTS = {"PreviewImage", "PreviewAny", "SaveVideo", "SaveImage"}
IN, OUT = -10, -20  # the page's names for a subgraph's two ends


class Graph:
    """A workflow's nodes and links, those of its subgraphs beside them: (graph, id) and (source, slot) by target."""

    def __init__(self, flow):
        inner = {graph["id"]: graph for graph in flow.get("definitions", {}).get("subgraphs", [])}
        self.nodes, self.sources = {}, {}
        self._inside = {}  # a subgraph's node and the graph in it
        for name, graph in (("", flow), *inner.items()):
            for node in graph["nodes"]:
                self.nodes[name, node["id"]] = node
                if node["type"] in inner:
                    self._inside[name, node["id"]] = node["type"]
            for link in graph["links"]:
                _, source, out, target, into, kind = link if isinstance(link, list) else link.values()
                self.sources[name, target, into] = ((name, source), out, kind)

    def needed(self, key, bypassed):
        """Types of the nodes that a node needs, itself among them."""
        found, todo, seen = set(), [key], set()
        while todo:
            one = todo.pop()
            if one not in seen:
                seen.add(one)
                found.add(self.nodes[one]["type"])
                count = len(self.nodes[one]["inputs"])
                todo += [made for slot in range(count) if (made := self._maker(one, slot, bypassed))]
        return found

    def _maker(self, key, slot, bypassed):
        """The node whose result arrives at an input."""
        link = self.sources.get((*key, slot))
        if link is None:
            return None
        source, out, kind = link
        if source[1] == IN:
            (outer,) = (node for node, graph in self._inside.items() if graph == source[0])
            return self._maker(outer, out, bypassed)
        return self._through(source, out, kind, bypassed)

    def _through(self, source, out, kind, bypassed):
        if source in self._inside:
            return self._maker((self._inside[source], OUT), out, bypassed)
        node = self.nodes[source]
        if node["type"] != bypassed:
            return source
        types = [item["type"] for item in node["inputs"]]
        if kind == "*":
            same = out if out < len(types) else 0
        else:
            same = out if types[out : out + 1] == [kind] else types.index(kind) if kind in types else None
        return None if same is None else self._maker(source, same, bypassed)


def run(flow, bypassed=None):
    graph = Graph(flow)
    shown = [key for key, node in graph.nodes.items() if node["type"] in OUTPUTS and key[0] == ""]
    return set().union(*(graph.needed(key, bypassed) for key in shown))


@pytest.mark.parametrize("name", BRIDGING)
def test_without_select_anchors_the_reverse_pass_is_not_made(name):
    flow = json.loads((ROOT / "workflows" / f"{name}.json").read_text())
    assert {"InbetweenReverseCandidates", "InbetweenSelectAnchors"} <= run(flow)
    left = run(flow, "InbetweenSelectAnchors")
    assert left.isdisjoint({"InbetweenReverseCandidates", "InbetweenSelectAnchors", "InbetweenReverseKeyframes"})
    assert {"SamplerCustomAdvanced", "CreateVideo", "InbetweenKeyframes"} <= left


def test_a_preview_of_the_anchor_would_run_it():
    """The wiring that is avoided."""
    flow = json.loads((ROOT / "workflows" / "afb_wan2.1_i2v.json").read_text())
    (anchors,) = (node for node in flow["nodes"] if node["type"] == "InbetweenSelectAnchors")
    flow["nodes"].append({"id": 999, "type": "PreviewImage", "inputs": [{"name": "images", "type": "IMAGE"}]})
    flow["links"].append([999, anchors["id"], 1, 999, 0, "IMAGE"])
    assert "InbetweenReverseCandidates" in run(flow, "InbetweenSelectAnchors")

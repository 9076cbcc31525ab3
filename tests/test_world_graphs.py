"""The demo's graphs are the shipped workflow's, on other models."""

import json
from pathlib import Path

import pytest

from pack.demo import world_graphs

EXPORTED = Path(__file__).parent / "data" / "workflows" / "afb_wan2.1_i2v.api.json"


@pytest.fixture
def shipped(monkeypatch):
    """The workflow as the browser exported it, in place of one that a server's answer would convert."""
    graph = json.loads(EXPORTED.read_text())
    monkeypatch.setattr(world_graphs, "api_graph", lambda flow, object_info: graph)
    return graph


@pytest.fixture
def bridged(shipped):
    return world_graphs.bridged_graph({}, "a.png", "b.png", "a red disc moves right", 7)


def test_every_other_input_and_link_is_the_shipped_one(shipped, bridged):
    given = {name.rpartition(".")[2] for name in world_graphs.VALUES} | {"image", "text", "noise_seed"}
    dropped = {key for key, node in shipped.items() if node["class_type"] == "InbetweenLoadLPIPS"}
    for key, node in bridged.items():
        if key != world_graphs.FRAMES and node["class_type"] == shipped[key]["class_type"]:
            expected = {
                name: value
                for name, value in shipped[key]["inputs"].items()
                if not (isinstance(value, list) and value[0] in dropped)
            }
            assert node["inputs"].keys() == expected.keys()
            for name in expected.keys() - given:
                assert node["inputs"][name] == expected[name], (node["class_type"], name)


def test_only_loaders_and_the_ending_differ_in_class(shipped, bridged):
    classes = {key: node["class_type"] for key, node in bridged.items()}
    changed = {
        node["class_type"]: classes.get(key) for key, node in shipped.items() if classes.get(key) != node["class_type"]
    }
    assert changed == {
        "CLIPLoader": "DemoWorldWords",
        "CLIPVisionLoader": "DemoWorldPictures",
        "InbetweenLoadLPIPS": None,
        "CreateVideo": None,
        "SaveVideo": None,
    }


def test_the_reverse_pass_is_told_the_reverse(bridged):
    texts = {node["_meta"]["title"]: node["inputs"].get("text") for node in bridged.values()}
    assert texts["Forward prompt"] == "a red disc moves right"
    assert texts["Reverse prompt (told backwards)"] == "a red disc moves left"
    assert texts["Negative prompt"] == ""


def test_no_link_leads_nowhere(bridged):
    for graph in (bridged, world_graphs.plain_graph(bridged)):
        for node in graph.values():
            for value in node["inputs"].values():
                if isinstance(value, list):
                    assert value[0] in graph


def test_the_plain_graph_has_one_sampling_and_no_anchor(bridged):
    classes = [node["class_type"] for node in world_graphs.plain_graph(bridged).values()]
    assert "InbetweenSelectAnchors" not in classes
    assert "InbetweenReverseCandidates" not in classes
    assert classes.count("SamplerCustomAdvanced") == 1


def test_making_a_plain_graph_leaves_the_bridged_one_alone(bridged):
    before = json.dumps(bridged, sort_keys=True)
    world_graphs.plain_graph(bridged)
    assert json.dumps(bridged, sort_keys=True) == before

"""Blueprints in subgraphs/: what the node library reads in them, and that nothing inside hangs loose."""

import json
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).resolve().parents[1] / "subgraphs").glob("*.json"))
OUTSIDE, RESULT = -10, -20  # the nodes inside that stand for a subgraph's inputs and outputs


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def blueprint(request):
    """The file's name, its one node, and the subgraph."""
    file = json.loads(request.param.read_text())
    (used,), (subgraph,) = file["nodes"], file["definitions"]["subgraphs"]
    assert file["extra"]["BlueprintSearchAliases"]
    return request.param.stem, used, subgraph


def test_the_blueprints_are_these():
    assert [path.stem for path in FILES] == ["Anchor Frame Bridging", "Keyframes to Video"]


def test_the_library_shows_it_by_its_name_with_a_description(blueprint):
    name, used, subgraph = blueprint
    assert (subgraph["name"], subgraph["category"]) == (name, "Inbetween")
    assert subgraph["description"].endswith(".")
    assert used["type"] == subgraph["id"]
    assert [slot["name"] for slot in used["inputs"]] == [slot["name"] for slot in subgraph["inputs"]]
    assert [slot["name"] for slot in used["outputs"]] == [slot["name"] for slot in subgraph["outputs"]]


def test_every_input_leads_in_every_output_comes_out_and_values_are_those_inside(blueprint):
    _, used, subgraph = blueprint
    links = {link["id"]: link for link in subgraph["links"]}
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    values = iter(used["widgets_values"])
    for place, slot in enumerate(subgraph["inputs"]):
        targets = [links[number] for number in slot["linkIds"]]
        assert targets
        assert {(link["origin_id"], link["origin_slot"]) for link in targets} == {(OUTSIDE, place)}
        if "widget" in used["inputs"][place]:
            value = next(values)
            for link in targets:
                assert value in nodes[link["target_id"]]["widgets_values"], slot["name"]
    assert not list(values)
    for place, slot in enumerate(subgraph["outputs"]):
        (link,) = (links[number] for number in slot["linkIds"])
        assert (link["target_id"], link["target_slot"]) == (RESULT, place)


def test_it_loads_no_model_of_its_own(blueprint):
    """A graph with several loads them once."""
    assert not [node["type"] for node in blueprint[2]["nodes"] if "Loader" in node["type"]]

"""The demo's four workflows: shipped graphs under their own titles, on the demo world."""

import json
from pathlib import Path

import pytest

from pack.bench.methods import all_methods
from pack.bench.suite.demo_workflows import demo_workflows, write_demo_workflows
from pack.demo import world_graphs

EXPORTED = Path(__file__).parent / "data" / "workflows"
SHIPPED = {
    "first-last only": "afb_wan2.1_i2v",
    "AFB": "afb_wan2.1_i2v",
    "KAB + ReTRo": "kab_retro_wan2.1_flf2v",
    "AFB, KAB + ReTRo": "afb_kab_retro_wan2.1",
}
CHANGED = {name.rpartition(".")[2] for name in world_graphs.VALUES} | {"image", "text", "noise_seed", "blocks"}


def shipped(name):
    return json.loads((EXPORTED / f"{name}.api.json").read_text())


@pytest.fixture(autouse=True)
def as_exported(monkeypatch):
    """Workflows as the browser exported them, in place of what a server's answer would convert."""
    monkeypatch.setattr(world_graphs, "workflow", lambda name: name)
    monkeypatch.setattr(world_graphs, "api_graph", lambda name, object_info: shipped(name))


@pytest.fixture
def graphs():
    return demo_workflows({})


def links(node):
    return {name: value for name, value in node["inputs"].items() if isinstance(value, list)}


COUNTED = (
    "SamplerCustomAdvanced",
    "InbetweenReverseCandidates",
    "InbetweenSelectAnchors",
    "InbetweenKeyframeAttention",
    "InbetweenTemporalRoPE",
    "PreviewImage",
)


def titled(graph, title):
    (found,) = (node for node in graph.values() if node["_meta"]["title"] == title)
    return found


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("first-last only", (1, 0, 0, 0, 0, 1)),
        ("AFB", (1, 1, 1, 0, 0, 1)),
        ("KAB + ReTRo", (1, 0, 0, 1, 1, 1)),
        ("AFB, KAB + ReTRo", (1, 1, 1, 2, 1, 1)),
    ],
)
def test_each_does_what_its_name_says_and_nothing_besides(graphs, name, expected):
    assert list(graphs) == list(SHIPPED)
    classes = [node["class_type"] for node in graphs[name].values()]
    assert tuple(map(classes.count, COUNTED)) == expected


@pytest.mark.parametrize("name", SHIPPED)
def test_all_but_models_sampling_and_what_is_filled_is_as_shipped(graphs, name):
    original = shipped(SHIPPED[name])
    for key, node in graphs[name].items():
        if key == world_graphs.FRAMES or node["class_type"] in world_graphs.STANDS_FOR.values():
            continue
        assert (node["class_type"], node["_meta"]) == (original[key]["class_type"], original[key]["_meta"])
        for item, value in node["inputs"].items():
            moved = name == "first-last only" and item == "keyframes"
            assert item in CHANGED or moved or value == original[key]["inputs"][item], (key, item)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_world_s_models_and_sampling_are_in_each(graphs, name):
    for item, value in world_graphs.VALUES.items():
        owner, _, widget = item.partition(".")
        found = [
            node["inputs"][widget]
            for node in graphs[name].values()
            if owner in (node["class_type"], node["_meta"]["title"])
        ]
        assert found or owner == "InbetweenReverseCandidates"
        assert set(found) <= {value}, item
    classes = {node["class_type"] for node in graphs[name].values()}
    assert not classes & {*world_graphs.STANDS_FOR, "InbetweenLoadLPIPS", "CreateVideo", "SaveVideo"}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_suite_finds_its_inputs_by_their_titles(graphs, name):
    graph = graphs[name]
    assert all("image" in titled(graph, f"{end} picture")["inputs"] for end in ("First", "Last"))
    assert {"width", "height", "length"} <= titled(graph, "Keyframes")["inputs"].keys()
    assert "noise_seed" in titled(graph, "RandomNoise")["inputs"]
    prompt = titled(graph, "Prompt" if name == "KAB + ReTRo" else "Forward prompt")["inputs"]["text"]
    if "AFB" in name:
        assert titled(graph, "Reverse prompt (told backwards)")["inputs"]["text"] == world_graphs.reversed_caption(
            prompt
        )
    (source, slot) = titled(graph, "Frames")["inputs"]["images"]
    assert (graph[source]["class_type"], slot) == ("VAEDecode", 0)


def test_the_plain_half_of_the_side_by_side_is_gone(graphs):
    assert not [node for node in graphs["KAB + ReTRo"].values() if "plain" in node["_meta"]["title"]]


def test_attention_has_the_settings_of_the_quality_table(graphs):
    all_methods()  # in their order: tests/test_quality_rows.py sees it
    from pack.bench.methods.c_keyframe_attention import BLOCKS

    settings = [
        node["inputs"]["blocks"]
        for graph in graphs.values()
        for node in graph.values()
        if node["class_type"] == "InbetweenKeyframeAttention"
    ]
    assert settings == [BLOCKS["blocks"]] * 3


@pytest.mark.parametrize("name", SHIPPED)
def test_no_link_leads_nowhere_and_no_node_is_left_over(graphs, name):
    graph = graphs[name]
    used = {source for node in graph.values() for source, _ in links(node).values()}
    assert used | {world_graphs.FRAMES} == set(graph)


def test_files_hold_the_graphs(graphs, tmp_path):
    paths = write_demo_workflows({}, tmp_path / "new")
    assert [path.name for path in paths] == ["first-last.json", "afb.json", "kab_retro.json", "afb_kab_retro.json"]
    assert [json.loads(path.read_text()) for path in paths] == list(graphs.values())
    assert set(paths) == set((tmp_path / "new").iterdir())

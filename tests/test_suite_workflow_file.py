"""Named inputs of a workflow: found, filled, and told where they are missing."""

import json
from pathlib import Path

import pytest

from pack.bench.suite.clips import SuiteClip
from pack.bench.suite.workflow_file import (
    OUTPUT,
    Grid,
    WorkflowError,
    missing_on_server,
    read_workflow,
    unfilled_pictures,
)
from pack.tests.stub_comfy import NODES, workflow

DATA = Path(__file__).parent / "data" / "workflows"
TEXT = ("prompt", "reverse")
NEEDED = {"first", "last", "length", "width", "height", "seed"}
CLIP = SuiteClip("leap", "Large motion", 33, "she leaps", "she lands backwards", Path("leap"))


@pytest.fixture
def written(tmp_path):
    def write(graph, name="own.json"):
        path = tmp_path / name
        path.write_text(json.dumps(graph))
        return path

    return write


@pytest.mark.parametrize(
    ("name", "texts", "grid"),
    [
        ("afb_wan2.1_i2v", TEXT, Grid(4, side=16)),
        ("afb_wan2.2_14b_i2v", TEXT, Grid(4, side=16)),
        ("afb_hunyuan_i2v", TEXT, Grid(4, side=16)),
        ("afb_kab_retro_wan2.1", TEXT, Grid(4, side=16)),
        ("afb_finish_upscale", TEXT, Grid(4, side=16)),
        ("bridge_sdedit_wan2.1", ("prompt",), Grid(4, side=16)),
        ("gi_svd_xt", (), Grid(lengths=(14, 25), side=64)),
        ("trf_svd_xt", (), Grid(lengths=(14, 25), side=64)),
        ("vibid_svd_xt", (), Grid(lengths=(14, 25), side=64)),
        ("mpd_svd_xt", (), Grid(lengths=(14, 25), side=64)),
    ],
)
def test_a_shipped_workflow_can_be_judged_as_it_is(name, texts, grid):
    found = read_workflow(DATA / f"{name}.api.json", {})
    assert set(found.inputs) == NEEDED | set(texts)
    assert found.grid == grid
    assert unfilled_pictures(found) == []
    kinds = {node["class_type"] for node in found.graph.values()}
    assert not kinds & {"SaveVideo", "CreateVideo"}  # nothing is encoded


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("kab_retro_wan2.1_flf2v", 'no node is called "Frames" or "Create Video" and has images'),
        ("best_of_four", 'no node is called "RandomNoise" or "Seed"'),
        ("multi_keyframe_join", 'no node is called "First picture"'),
    ],
)
def test_a_shipped_workflow_that_wants_a_title_says_which(name, said):
    with pytest.raises(WorkflowError, match=said):
        read_workflow(DATA / f"{name}.api.json", {})


def test_the_middle_pictures_of_a_workflow_are_noticed():
    found = read_workflow(DATA / "keyframes_wan2.1_flf2v.api.json", {})
    assert sorted(unfilled_pictures(found)) == ["Middle picture 1", "Middle picture 2"]


def test_a_clip_fills_every_named_input_and_leaves_the_rest(written):
    graph = workflow()
    graph["n8"] = {"class_type": "CLIPTextEncode", "inputs": {"text": "old"}, "_meta": {"title": "Negative prompt"}}
    graph["n9"] = {**graph["n8"], "_meta": {"title": "Reverse prompt (told backwards)"}}
    graph["n6"]["inputs"] |= {"negative": ["n8", 0], "reverse": ["n9", 0]}
    found = read_workflow(written(graph), NODES)
    filled = found.filled(CLIP, ("a.png", "b.png"), (96, 64), 17, 5)
    assert filled["n1"]["inputs"] == {"image": "a.png"}
    assert filled["n2"]["inputs"] == {"image": "b.png"}
    assert filled["n3"]["inputs"] == {"text": "she leaps"}
    assert filled["n4"]["inputs"] == {**graph["n4"]["inputs"], "width": 96, "height": 64, "length": 17}
    assert filled["n5"]["inputs"] == {"noise_seed": 5}
    assert filled["n8"]["inputs"] == {"text": "old"}
    assert filled["n9"]["inputs"] == {"text": "she lands backwards"}
    assert filled[OUTPUT]["inputs"] == {"images": ["n6", 0]}
    assert "n7" not in filled
    assert found.graph["n1"]["inputs"] == {"image": "first.png"}


def test_without_a_reverse_caption_the_caption_stands_for_it(written):
    graph = workflow(n3="Reverse prompt (told backwards)")
    clip = SuiteClip("leap", "", 33, "she leaps", "", Path("leap"))
    filled = read_workflow(written(graph), NODES).filled(clip, ("a.png", "b.png"), (96, 64), 17, 5)
    assert filled["n3"]["inputs"] == {"text": "she leaps"}


def test_length_width_and_height_may_be_nodes_of_their_own(written):
    graph = workflow()
    for key, name in (("n11", "length"), ("n12", "width"), ("n13", "height")):
        graph[key] = {"class_type": "PrimitiveInt", "inputs": {"value": 1}, "_meta": {"title": name.capitalize()}}
        graph["n4"]["inputs"][name] = [key, 0]
    graph["n4"]["_meta"]["title"] = "my keyframes"
    filled = read_workflow(written(graph), NODES).filled(CLIP, ("a.png", "b.png"), (96, 64), 17, 5)
    assert [filled[key]["inputs"]["value"] for key in ("n11", "n12", "n13")] == [17, 96, 64]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda graph: graph["n1"]["_meta"].update(title="Start"), 'no node is called "First picture" and has image'),
        (lambda graph: graph["n5"]["inputs"].clear(), 'no node is called "RandomNoise" or "Seed" and has noise_seed'),
        (
            lambda graph: graph["n4"]["inputs"].update(length=["n5", 0]),
            'the number of frames of "Keyframes" comes from another node: call that node "Length" instead',
        ),
        (lambda graph: graph.update(n8=graph["n7"]), '2 nodes are called "Create Video"'),
        (lambda graph: graph["n4"]["inputs"].pop("b"), 'the frames do not depend on "Last picture"'),
    ],
)
def test_what_is_missing_is_told(change, said, written):
    graph = json.loads(json.dumps(workflow()))
    change(graph)
    with pytest.raises(WorkflowError, match=said):
        read_workflow(written(graph), NODES)


def test_frames_goes_before_create_video(written):
    graph = workflow()
    graph["n8"] = {"class_type": "PreviewImage", "inputs": {"images": ["n1", 0]}, "_meta": {"title": "Frames"}}
    with pytest.raises(WorkflowError, match="the frames do not depend on"):
        read_workflow(written(graph), NODES)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[1, 2]",
        '{"a": 1}',
        '"text"',
        '{"nodes": 1}',
        '{"nodes": [1], "links": []}',
        '{"nodes": [{"id": 1}], "links": []}',
        '{"1": {"class_type": "LoadImage", "inputs": []}}',
    ],
)
def test_a_file_that_is_no_workflow_is_told(text, tmp_path):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(WorkflowError, match=r"x\.json: is no ComfyUI workflow\. Save it from the browser"):
        read_workflow(tmp_path / "x.json", NODES)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(WorkflowError, match=r"x\.json cannot be read: No such file or directory\."):
        read_workflow(tmp_path / "x.json", NODES)


def test_a_picture_in_place_of_a_workflow_is_told(tmp_path):
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(WorkflowError, match=r"x\.png: is no ComfyUI workflow\. Save it from the browser"):
        read_workflow(tmp_path / "x.png", NODES)


def test_what_a_server_lacks_is_told(written):
    found = read_workflow(written(workflow(weights="huge")), NODES)
    assert missing_on_server(found, NODES) == ["\"Stub Video\" asks for weights 'huge', which it does not have."]
    fewer = {kind: spec for kind, spec in NODES.items() if kind != "InbetweenKeyframes"}
    assert missing_on_server(read_workflow(written(workflow()), NODES), fewer) == [
        "it has no node InbetweenKeyframes; is the node pack installed there?"
    ]
    assert missing_on_server(read_workflow(written(workflow()), NODES), NODES) == []


def test_a_choice_that_brings_inputs_of_its_own_is_known(written):
    choices = ["COMFY_DYNAMICCOMBO_V3", {"options": [{"key": "small", "inputs": {}}, {"key": "large", "inputs": {}}]}]
    nodes = {**NODES, "StubVideo": {**NODES["StubVideo"], "input": {"required": {"weights": choices}}}}
    assert missing_on_server(read_workflow(written(workflow(weights="large")), nodes), nodes) == []
    assert missing_on_server(read_workflow(written(workflow(weights="huge")), nodes), nodes) == [
        "\"Stub Video\" asks for weights 'huge', which it does not have."
    ]


def test_a_changed_value_changes_the_digest_and_a_changed_note_does_not(written):
    same, other = (read_workflow(written(workflow(amount)), NODES).digest for amount in (10, 11))
    noted = {**workflow(10), "n9": {"class_type": "Note", "inputs": {}, "_meta": {"title": "Read me"}}}
    assert read_workflow(written(noted), NODES).digest == same != other


@pytest.mark.parametrize(
    ("grid", "asked", "legal"),
    [
        (Grid(4), 33, 33),
        (Grid(4), 34, 37),
        (Grid(4), 36, 37),
        (Grid(8), 26, 33),
        (Grid(), 26, 26),
        (Grid(lengths=(14, 25)), 9, 14),
        (Grid(lengths=(14, 25)), 15, 25),
        (Grid(lengths=(14, 25)), 81, 25),
    ],
)
def test_a_length_that_the_model_cannot_make_becomes_the_next_one_it_can(grid, asked, legal):
    assert grid.legal_length(asked) == legal


def test_a_picture_in_a_folder_below_is_the_servers_to_find(written):
    graph = workflow()
    graph["n8"] = {"class_type": "LoadImage", "inputs": {"image": "below/x.png"}, "_meta": {"title": "Style"}}
    graph["n6"]["inputs"]["style"] = ["n8", 0]
    assert missing_on_server(read_workflow(written(graph), NODES), NODES) == []

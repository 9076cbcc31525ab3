"""Every shipped workflow: known to the server, the same graph as the browser made of it, and it runs."""

import io
import json
from pathlib import Path

import av
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
# the title each host shows for a node may differ; the graph is classes, links and values
LOADERS = {"UNETLoader", "CLIPLoader", "VAELoader", "CLIPVisionLoader", "InbetweenLoadLPIPS"}
PATCHES = ("InbetweenKeyframeAttention", "InbetweenTemporalRoPE")  # from the guider back


def flow(name):
    return json.loads((ROOT / "workflows" / f"{name}.json").read_text())


def test_the_shipped_workflows_are_these():
    assert WORKFLOWS == [
        "afb_kab_retro_wan2.1",
        "afb_wan2.1_i2v",
        "afb_wan2.2_14b_i2v",
        "kab_retro_wan2.1_flf2v",
        "keyframes_wan2.1_flf2v",
    ]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_our_conversion_is_the_browser_s(name, object_info):
    """tests/data/workflows holds what the real frontend's graphToPrompt made of the very file."""
    from pack.demo.graphs import api_graph

    exported = json.loads((ROOT / "tests" / "data" / "workflows" / f"{name}.api.json").read_text())
    expected = {}
    for key, node in exported.items():
        info = object_info[node["class_type"]]["input"]
        known = {**info.get("required", {}), **info.get("optional", {})}
        unknown = {item for item in node["inputs"] if item not in known}
        assert unknown <= {"bit_depth"}  # CreateVideo's on the primary host; the oldest ignores it
        inputs = {item: value for item, value in node["inputs"].items() if item not in unknown}
        expected[key] = (node["class_type"], inputs)
    found = {key: (node["class_type"], node["inputs"]) for key, node in api_graph(flow(name), object_info).items()}
    assert found == expected


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nodes_are_the_host_s_or_ours_and_loaders_say_where_their_files_come_from(name, object_info):
    for node in flow(name)["nodes"]:
        if node["type"] in ("Note", "MarkdownNote"):
            continue
        module = object_info[node["type"]]["python_module"]
        assert module.startswith(("nodes", "comfy_extras", "custom_nodes.comfyui-inbetween")), node["type"]
        if node["type"] in LOADERS:
            models = node["properties"]["models"]
            assert models[0]["name"] == node["widgets_values"][0]
            assert models[0]["url"].startswith("https://")
            assert models[0]["directory"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_one_note_states_the_cost_and_the_video_has_the_track_s_rate(name, object_info):
    from pack.demo.graphs import api_graph

    notes = [node for node in flow(name)["nodes"] if node["type"] in ("Note", "MarkdownNote")]
    assert len(notes) == 1
    assert "model steps" in notes[0]["widgets_values"][0]
    graph = api_graph(flow(name), object_info)
    videos = [node for node in graph.values() if node["class_type"] == "CreateVideo"]
    assert videos
    for video in videos:
        source, slot = video["inputs"]["fps"]
        assert (graph[source]["class_type"], slot) == ("InbetweenKeyframes", 1)
        assert graph[source]["inputs"]["fps"] == 16


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_workflow_runs_and_makes_a_video_of_the_asked_length(name, server, small, run):
    outputs = run(small(name))
    saved = [value["images"][0] for title, value in outputs.items() if title.startswith(("Save Video", "SaveVideo"))]
    assert len(saved) == (2 if name == "kab_retro_wan2.1_flf2v" else 1)
    for file in saved:
        with av.open(str(server.output / file["subfolder"] / file["filename"])) as video:
            stream = video.streams.video[0]
            assert (stream.width, stream.height, float(stream.average_rate)) == (96, 64, 16.0)
            assert sum(1 for _ in video.decode(stream)) == 33
    report = outputs["Report: keyframes"]["text"][0]
    assert "33 frames, 96x64, 16 fps" in report
    if name.startswith("afb"):
        plot = Image.open(io.BytesIO(server.image(outputs["Where the video breaks"]["images"][0])))
        assert plot.size == (1200, 600)
        anchor = Image.open(io.BytesIO(server.image(outputs["The anchor picture"]["images"][0])))
        assert anchor.size == (96, 64)
        assert "anchor 1: frame" in outputs["Report: anchor"]["text"][0]
        assert ": anchor (latent" in report
    else:
        assert ("frame 12: added image" in report) == name.startswith("keyframes")
        assert "clip_vision reads first_image and last_image." in report


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


def models(graph, title):
    """Classes and keys from a guider's model back to the loader."""
    from pack.demo.graphs import node_by_title

    key, found = node_by_title(graph, title), []
    while "model" in graph[key]["inputs"]:
        key = graph[key]["inputs"]["model"][0]
        found.append((graph[key]["class_type"], key))
    return found


def test_the_two_videos_differ_in_the_patches_alone(small):
    graph = small("kab_retro_wan2.1_flf2v")
    patched, plain = (saves(graph)[f"Save Video ({name})"] for name in ("KAB + ReTRo", "plain"))
    assert tree(graph, patched) != tree(graph, plain)
    assert tree(graph, patched, patches=False) == tree(graph, plain)
    classes = [kind for kind, _ in models(graph, "CFG Guider (KAB + ReTRo)")]
    assert classes == [*PATCHES, "ModelSamplingSD3", "UNETLoader"]
    prefixes = {graph[key]["inputs"]["filename_prefix"] for key in (patched, plain)}
    assert prefixes == {"video/inbetween_kab_retro", "video/inbetween_plain"}


def test_without_the_patches_it_is_anchor_frame_bridging(small):
    bridged, patched = small("afb_wan2.1_i2v"), small("afb_kab_retro_wan2.1")
    (before,), (after,) = saves(bridged).values(), saves(patched).values()
    assert tree(patched, after) != tree(bridged, before)
    assert tree(patched, after, patches=False) == tree(bridged, before)


def test_both_passes_are_patched_and_the_final_one_knows_the_anchor(small):
    graph = small("afb_kab_retro_wan2.1")
    reverse, final = (models(graph, f"CFG Guider ({name})") for name in ("reverse", "final video"))
    for passed in (reverse, final):
        assert [kind for kind, _ in passed] == [*PATCHES, "ModelSamplingSD3", "UNETLoader"]
    assert reverse[1:] == final[1:]
    assert "keyframes" not in graph[reverse[0][1]]["inputs"]
    source, slot = graph[final[0][1]]["inputs"]["keyframes"]
    assert (graph[source]["class_type"], slot) == ("InbetweenSelectAnchors", 0)


@pytest.fixture
def decoded(server, run):
    """Runs a graph and returns the bytes of every frame before the encoder, whose output differs from run to run."""

    def frames(graph):
        kept = {key: node for key, node in graph.items() if node["class_type"] not in ("CreateVideo", "SaveVideo")}
        for key, node in graph.items():
            if node["class_type"] == "VAEDecode":
                title = f"frames of {node['_meta']['title']}"
                kept[f"{key}_frames"] = {
                    "class_type": "PreviewImage",
                    "inputs": {"images": [key, 0]},
                    "_meta": {"title": title},
                }
        shown = {title: value["images"] for title, value in run(kept).items() if title.startswith("frames of ")}
        # by title: which of two videos the server makes first is chance
        return [[pixels(server.image(image)) for image in shown[title]] for title in sorted(shown)]

    return frames


def pixels(file):
    return Image.open(io.BytesIO(file)).tobytes()


def test_patches_of_strength_0_make_the_plain_video(small, decoded):
    patched, plain = decoded(small("kab_retro_wan2.1_flf2v"))
    assert len(patched) == len(plain) == 33
    assert (patched != plain) is True
    off = {"InbetweenTemporalRoPE.strength": 0.0, "InbetweenKeyframeAttention.strength": 0.0}
    both = decoded(small("kab_retro_wan2.1_flf2v", **off))
    assert [made == plain for made in both] == [True, True]  # pytest would take hours to show how frames differ


def test_the_anchor_leads_the_final_video_s_attention(small, decoded):
    graph = small("afb_kab_retro_wan2.1", **{"InbetweenKeyframeAttention.blocks": "0-1"})  # the stand-ins have two
    (with_anchor,) = decoded(graph)
    del graph[models(graph, "CFG Guider (final video)")[0][1]]["inputs"]["keyframes"]
    (without,) = decoded(graph)
    assert len(with_anchor) == len(without) == 33
    assert (with_anchor != without) is True

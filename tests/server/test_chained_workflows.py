"""Workflows of several parts: what their parts share, what they differ in, and in which order they follow."""

import json

import pytest

from pack.demo.graphs import api_graph, node_by_title
from pack.tests.server.workflow_graphs import ROOT, flow, inputs_by_class, note, tree

SEGMENTS = TAKES = (1, 2, 3, 4)
FINISHED = "afb_finish_upscale"
# from the finished video back to the model's frames, each with the input that leads on
FINISHING = [
    ("SaveVideo", "video"),
    ("CreateVideo", "images"),
    ("FrameInterpolate", "images"),
    ("SeedVR2PostProcessing", "images"),
    ("VAEDecodeTiled", "samples"),
    ("SeedVR2TemporalMerge", "latents"),
    ("KSampler", "latent_image"),
    ("SeedVR2TemporalChunk", "latent"),
    ("VAEEncodeTiled", "pixels"),
    ("SeedVR2Preprocess", "resized_images"),
    ("ImageScaleBy", "image"),
    ("InbetweenMatchKeyframes", "images"),
]


def linked(graph, key, name):
    """The key of the node at an input."""
    return graph[key]["inputs"][name][0]


def inner(graph, key, name):
    """What a tree has at an input, its output's number left out."""
    return tree(graph, linked(graph, key, name))


def test_each_segment_goes_on_where_the_one_before_ends(object_info):
    graph = api_graph(flow("multi_keyframe_join"), object_info)
    (join,) = (node["inputs"] for node in graph.values() if node["class_type"] == "InbetweenJoinSegments")
    assert (join["overlap"], join["blend"]) == (1, 0)
    decodes = [join[f"segments.segment_{number}"][0] for number in SEGMENTS]
    conditionings = [linked(graph, linked(graph, key, "samples"), "latent_image") for key in decodes]
    tracks = [linked(graph, key, "keyframes") for key in conditionings]
    pictures = [linked(graph, tracks[0], "first_image"), *(linked(graph, key, "last_image") for key in tracks)]
    assert [graph[key]["_meta"]["title"] for key in pictures] == [f"Picture {number}" for number in (1, 2, 3, 4, 5)]
    assert [linked(graph, key, "first_image") for key in tracks] == pictures[:-1]
    prompts = [graph[linked(graph, key, "positive")]["_meta"]["title"] for key in conditionings]
    assert prompts == [f"Prompt {number}" for number in SEGMENTS]
    assert join["fps"] == [tracks[0], 1]
    steps = [node["inputs"]["steps"] for node in graph.values() if node["class_type"] == "BasicScheduler"]
    assert f"**{sum(steps)} model steps**" in note("multi_keyframe_join")


def test_segments_differ_in_pictures_and_prompt_alone(object_info):
    graph = api_graph(flow("multi_keyframe_join"), object_info)
    for node in graph.values():
        if node["class_type"] == "LoadImage":
            node["inputs"]["image"] = "any"
        elif node["_meta"]["title"].startswith("Prompt"):
            node["inputs"]["text"] = "any"
    (join,) = (key for key, node in graph.items() if node["class_type"] == "InbetweenJoinSegments")
    first, *others = (inner(graph, join, f"segments.segment_{number}") for number in SEGMENTS)
    assert all(other == first for other in others)


def test_one_size_and_length_for_all_segments(object_info):
    graph = api_graph(flow("multi_keyframe_join"), object_info)
    tracks = [node["inputs"] for node in graph.values() if node["class_type"] == "InbetweenKeyframes"]
    assert len(tracks) == 4
    for name, title, value in (
        ("width", "width", 832),
        ("height", "height", 480),
        ("length", "frames of a segment", 81),
    ):
        source = node_by_title(graph, title)
        assert [track[name] for track in tracks] == [[source, 0]] * 4
        assert graph[source]["inputs"]["value"] == value


def test_takes_differ_in_the_seed_alone(object_info):
    graph = api_graph(flow("best_of_four"), object_info)
    (best,) = (key for key, node in graph.items() if node["class_type"] == "InbetweenPickBest")
    noises = [node["inputs"] for node in graph.values() if node["class_type"] == "RandomNoise"]
    assert [node["noise_seed"] for node in noises] == list(TAKES)
    samplers = [linked(graph, linked(graph, best, f"takes.take_{number}"), "samples") for number in TAKES]
    assert [graph[linked(graph, key, "noise")]["inputs"]["noise_seed"] for key in samplers] == list(TAKES)
    for node in noises:
        node["noise_seed"] = 0
    first, *others = (inner(graph, best, f"takes.take_{number}") for number in TAKES)
    assert all(other == first for other in others)
    found = inputs_by_class(graph)
    assert f"4 x {found['BasicScheduler']['steps']} = **200 model steps**" in note("best_of_four")
    track = linked(graph, best, "keyframes")
    assert linked(graph, linked(graph, samplers[0], "latent_image"), "keyframes") == track
    assert (found["CreateVideo"]["images"], found["CreateVideo"]["fps"]) == ([best, 0], [track, 1])


@pytest.fixture
def finished(object_info):
    if "SeedVR2Preprocess" not in object_info:
        pytest.skip(f"{FINISHED} needs SeedVR2, which this ComfyUI does not have")
    return api_graph(flow(FINISHED), object_info)


def test_it_begins_as_anchor_frame_bridging_does(finished, object_info):
    plain = api_graph(flow("afb_wan2.1_i2v"), object_info)
    made, expected = (
        [tree(graph, key) for key, node in graph.items() if node["class_type"] == "VAEDecode"]
        for graph in (finished, plain)
    )
    assert len(made) == 1
    assert made == expected


def test_colours_then_size_then_frames(finished):
    key = node_by_title(finished, "Save Video (finished)")
    for kind, name in FINISHING:
        assert finished[key]["class_type"] == kind
        key = linked(finished, key, name)
    assert finished[key]["class_type"] == "VAEDecode"
    matched = inputs_by_class(finished)["InbetweenMatchKeyframes"]
    assert finished[matched["keyframes"][0]]["class_type"] == "InbetweenKeyframes"  # without the anchor
    small = finished[node_by_title(finished, "Create Video (as made)")]["inputs"]
    assert finished[small["images"][0]]["class_type"] == "InbetweenMatchKeyframes"
    steps = inputs_by_class(finished)["BasicScheduler"]["steps"], 15
    assert f"{steps[0]} + {steps[1]} = **{sum(steps)} model steps**" in note(FINISHED)


def test_the_enlarged_video_in_pieces_has_every_frame(finished, small, run):
    graph = small(FINISHED)
    (split,) = (node["inputs"] for node in graph.values() if node["class_type"] == "SeedVR2TemporalChunk")
    split |= {"chunking_mode": "manual", "chunking_mode.frames_per_chunk": 17}  # three pieces, of five latent frames
    (post,) = (key for key, node in graph.items() if node["class_type"] == "SeedVR2PostProcessing")
    graph = {key: node for key, node in graph.items() if node["class_type"] not in ("SaveVideo", "CreateVideo")}
    graph["shown"] = {"class_type": "PreviewImage", "inputs": {"images": [post, 0]}, "_meta": {"title": "frames"}}
    assert len(run(graph)["frames"]["images"]) == 33


@pytest.mark.parametrize(
    ("name", "workflow"), [("Keyframes to Video", "multi_keyframe_join"), ("Anchor Frame Bridging", FINISHED)]
)
def test_the_blueprint_is_offered_and_is_what_the_workflow_runs(name, workflow, server):
    offered = {entry["name"]: key for key, entry in server.get("/global_subgraphs").items()}
    told = server.get(f"/global_subgraphs/{offered[name]}")
    assert told["info"]["node_pack"] == "custom_nodes.comfyui-inbetween"
    stored = json.loads((ROOT / "subgraphs" / f"{name}.json").read_text())
    assert json.loads(told["data"]) == stored
    assert flow(workflow)["definitions"] == stored["definitions"]

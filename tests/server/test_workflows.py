"""Every shipped workflow: known to the server, the same graph as the browser made of it, and it runs."""

import json
from pathlib import Path

import pytest
import torch

from pack.tests.server.workflow_graphs import PATCHES, flow, inputs_by_class, note, saves, tree
from pack.tests.server.workflow_results import LARGE, check_results, is_svd, rate_of

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
SVD = [name for name in WORKFLOWS if is_svd(name)]
RIFE = ("bridge_sdedit_wan2.1",)  # the first guess
NEWER = {"bridge_sdedit_wan2.1": "FrameInterpolate", "afb_finish_upscale": "SeedVR2Preprocess"}  # than the oldest host
# the title each host shows for a node may differ; the graph is classes, links and values
LOADERS = {
    "UNETLoader",
    "CLIPLoader",
    "DualCLIPLoader",
    "VAELoader",
    "CLIPVisionLoader",
    "InbetweenLoadLPIPS",
    "ImageOnlyCheckpointLoader",
    "FrameInterpolationModelLoader",
}


@pytest.fixture(autouse=True)
def the_host_has_the_nodes(request, object_info):
    """Skips a workflow with nodes that came to the host later."""
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    if name in NEWER and NEWER[name] not in object_info:
        pytest.skip(f"{name} needs {NEWER[name]}, which this ComfyUI does not have")


def test_the_shipped_workflows_are_these():
    assert WORKFLOWS == [
        "afb_finish_upscale",
        "afb_hunyuan_i2v",
        "afb_kab_retro_wan2.1",
        "afb_wan2.1_i2v",
        "afb_wan2.2_14b_i2v",
        "best_of_four",
        "bridge_sdedit_wan2.1",
        "gi_svd_xt",
        "kab_retro_wan2.1_flf2v",
        "keyframes_wan2.1_flf2v",
        "mpd_svd_xt",
        "multi_keyframe_join",
        "trf_svd_xt",
        "vibid_svd_xt",
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
        unknown = {item for item in node["inputs"] if item.split(".")[0] not in known}
        assert unknown <= {"bit_depth"}  # CreateVideo's on the primary host; the oldest ignores it
        inputs = {item: value for item, value in node["inputs"].items() if item not in unknown}
        expected[key] = (node["class_type"], inputs)
    found = {key: (node["class_type"], node["inputs"]) for key, node in api_graph(flow(name), object_info).items()}
    assert found == expected


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nodes_are_the_host_s_or_ours_and_loaders_say_where_their_files_come_from(name, object_info):
    opened = flow(name)
    subgraphs = opened.get("definitions", {}).get("subgraphs", [])
    for node in [*opened["nodes"], *(node for subgraph in subgraphs for node in subgraph["nodes"])]:
        if node["type"] in ("Note", "MarkdownNote", *(subgraph["id"] for subgraph in subgraphs)):
            continue
        module = object_info[node["type"]]["python_module"]
        assert module.startswith(("nodes", "comfy_extras", "custom_nodes.comfyui-inbetween")), node["type"]
        if node["type"] in LOADERS:
            models = node["properties"]["models"]
            assert len(models) == (2 if node["type"] == "DualCLIPLoader" else 1)
            assert [model["name"] for model in models] == node["widgets_values"][: len(models)]
            assert all(model["url"].startswith("https://") and model["directory"] for model in models)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_one_note_states_the_cost_and_the_video_has_the_track_s_rate(name, object_info):
    from pack.demo.graphs import api_graph

    graph = api_graph(flow(name), object_info)
    assert (f"**{model_calls(graph)} model calls**" if name in SVD else "model steps") in note(name)
    videos = [node for node in graph.values() if node["class_type"] in ("CreateVideo", "InbetweenJoinSegments")]
    assert videos
    for video in videos:
        source, slot = video["inputs"]["fps"]
        if graph[source]["class_type"] == "ComfyMathExpression":
            source, slot = times_the_interpolation(graph, source)
        assert (graph[source]["class_type"], slot) == ("InbetweenKeyframes", 1)
        assert graph[source]["inputs"]["fps"] == rate_of(name)


def times_the_interpolation(graph, key):
    """The rate that is multiplied by as much as the frames are."""
    expression = graph[key]["inputs"]
    assert expression["expression"] == "a * b"
    (interpolated,) = (node for node in graph.values() if node["class_type"] == "FrameInterpolate")
    assert expression["values.b"] == interpolated["inputs"]["multiplier"]
    return expression["values.a"]


def model_calls(graph):
    """How often an SVD graph asks the model for one direction, counted on the samplers' own code."""
    from pack.samplers.motion_distillation import sample_mpd
    from pack.samplers.recurrence import evaluations, step_order
    from pack.samplers.vibid import sample_vibid

    found = inputs_by_class(graph)
    steps = found["BasicScheduler"]["steps"]
    if "InbetweenRecurrentSampler" in found:
        options = {key: value for key, value in found["InbetweenRecurrentSampler"].items() if key != "noise_scale"}
        return 2 * evaluations(step_order(steps, **options))
    asked, video = [], torch.zeros(2, 1, 1, 1)

    class Directions:
        keyframes = (video[:1], video[:1])

        def predict(self, x, sigma, backward):
            asked.append(backward)
            return x, x

    sample, node = (sample_vibid, "ViBiD") if "InbetweenViBiDSampler" in found else (sample_mpd, "MPD")
    sigmas = torch.linspace(1, 0, steps + 1)
    sample(Directions(), video, sigmas, lambda *levels: video, **found[f"Inbetween{node}Sampler"])
    return len(asked)


@pytest.mark.parametrize(
    ("name", "guider", "steps", "calls"),
    [
        ("gi_svd_xt", (1, 3, "symmetric", "mean", "all"), 50, 350),
        ("trf_svd_xt", (1, 3, "per_direction", "linear", "none"), 50, 110),
        ("vibid_svd_xt", (1, 1, "symmetric", "mean", "none"), 25, 50),
        ("mpd_svd_xt", (1, 1, "symmetric", "mean", "none"), 25, 65),
    ],
)
def test_the_svd_workflows_have_the_papers_settings(name, guider, steps, calls, object_info):
    from pack.demo.graphs import api_graph

    graph = api_graph(flow(name), object_info)
    found = inputs_by_class(graph)
    track, guiding = found["InbetweenKeyframes"], found["InbetweenBidirectionalGuider"]
    assert [track[key] for key in ("width", "height", "length", "fps")] == [1024, 576, 25, 7]
    conditioning = found["InbetweenSVDConditioning"]
    assert (conditioning["motion_bucket_id"], conditioning["augmentation_level"]) == (127, 0.02)
    keys = ("min_cfg", "max_cfg", "cfg_schedule", "fuse", "rotate_attention")
    assert tuple(guiding[key] for key in keys) == guider
    assert ("backward_motion" in guiding) == ("InbetweenLoadBackwardMotion" in found) == name.startswith("gi")
    assert (found["BasicScheduler"]["scheduler"], found["BasicScheduler"]["steps"]) == ("karras", steps)
    assert model_calls(graph) == calls
    assert "https://arxiv.org/abs/" in note(name)
    assert ("Extract Backward Motion" in note(name)) == name.startswith("gi")


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_workflow_runs_and_makes_a_video_of_the_asked_length(name, server, small, run, request):
    if name not in LARGE and f"test_run_makes_the_videos[{name}]" in page_runs(request.session.items):
        pytest.skip("tests/browser runs it in the page and looks at the same results")
    check_results(name, run(small(name)), server)


def page_runs(items):
    """Names of the tests of this session that press Run in the page, if there can be a page."""
    from pack.tests.browser.chromium import missing

    return set() if missing() else {item.name for item in items}


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


def test_hunyuan_s_prompts_read_the_picture_that_their_pass_begins_with(object_info):
    from pack.demo.graphs import api_graph, node_by_title

    graph = api_graph(flow("afb_hunyuan_i2v"), object_info)
    for title, prompt, picture in (
        ("Basic Guider (reverse)", "Reverse prompt (told backwards)", "Last picture"),
        ("Basic Guider (final video)", "Forward prompt", "First picture"),
    ):
        guidance = graph[graph[node_by_title(graph, title)]["inputs"]["conditioning"][0]]
        assert (guidance["class_type"], guidance["inputs"]["guidance"]) == ("FluxGuidance", 6)
        conditioning = graph[guidance["inputs"]["conditioning"][0]]
        text, _ = conditioning["inputs"]["positive"]
        assert graph[text]["_meta"]["title"] == prompt
        seen = graph[graph[text]["inputs"]["clip_vision_output"][0]]
        assert graph[seen["inputs"]["image"][0]]["_meta"]["title"] == picture
        loader, _ = models(graph, title)[-1]
        assert loader == "UNETLoader"
    found = inputs_by_class(graph)
    steps, stop = found["BasicScheduler"]["steps"], found["InbetweenReverseCandidates"]["stop_step"]
    assert f"**{steps + stop} model steps" in note("afb_hunyuan_i2v")


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


def test_each_svd_method_makes_a_video_of_its_own(small, decoded):
    videos = {name: decoded(small(name))[0] for name in SVD}
    for place, name in enumerate(SVD):
        assert len(videos[name]) == 9
        assert all((videos[name] != videos[other]) is True for other in SVD[:place])
    # "all" means nothing without backward motion; as a changed value it is made anew, not taken from a cache
    again = small("trf_svd_xt", **{"InbetweenBidirectionalGuider.rotate_attention": "all"})
    assert (decoded(again)[0] == videos["trf_svd_xt"]) is True


def test_backward_motion_leads_the_video(small, decoded):
    graph = small("gi_svd_xt")
    (led,) = decoded(graph)
    for node in graph.values():
        node["inputs"].pop("backward_motion", None)
    (without,) = decoded(graph)
    assert len(led) == len(without) == 9
    assert (led != without) is True


@pytest.mark.parametrize("name", RIFE)
def test_rife_makes_the_frames_that_the_track_asks_for_and_denoise_leaves_some_of_them(name, object_info):
    from pack.demo.graphs import api_graph, node_by_title

    graph = api_graph(flow(name), object_info)
    found = inputs_by_class(graph)
    first, second = (graph[node_by_title(graph, f"RIFE, {which} pass")]["inputs"] for which in ("first", "second"))
    assert first["multiplier"] * second["multiplier"] + 1 == found["InbetweenKeyframes"]["length"] == 81
    shift, scheduler = found["ModelSamplingSD3"]["shift"], found["BasicScheduler"]
    level = shift * scheduler["denoise"] / (1 + (shift - 1) * scheduler["denoise"])
    assert 0.85 <= level <= 0.97  # what Bridge Sampler's tooltip advises
    assert f"**{scheduler['steps']} model steps**" in note(name)
    assert round(scheduler["steps"] / scheduler["denoise"]) == 50
    assert (found["InbetweenBridgeSampler"]["mode"], found["InbetweenBridgeSampler"]["solver"]) == ("sdedit", "ode")


@pytest.mark.parametrize("name", RIFE)
def test_the_first_guess_leads_the_video(name, small, decoded):
    graph = small(name)
    (made,) = decoded(graph)
    prior = inputs_by_class(graph)["InbetweenBridgePrior"]
    prior.pop("frames", None)
    prior["kind"] = "nearest"
    (other,) = decoded(graph)
    assert len(made) == len(other) == 33
    assert (made != other) is True

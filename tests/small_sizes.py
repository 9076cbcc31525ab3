"""A size of a shipped workflow that a CPU does in a few seconds on the stand-ins, found from what is in its graph."""

from __future__ import annotations

from typing import Any

from pack.demo.graphs import Graph

WIDTH, HEIGHT, STEPS = 96, 64, 4
WIDTH_UPSCALED, HEIGHT_UPSCALED = 64, 32  # of a video that SeedVR2 makes larger: its VAE is slow on a CPU
# class: what its nodes get, wherever it is
SMALL = {
    "BasicScheduler": {"steps": STEPS},
    "InbetweenReverseCandidates": {"stop_step": STEPS // 2},
    "SplitSigmas": {"step": STEPS // 2},
    "ImageScaleToTotalPixels": {"megapixels": 0.01},
}


def small_sizes(graph: Graph) -> dict[str, Any]:
    """Values for `with_values`: {"InbetweenKeyframes.width": 96}. Empty where the demo world's own models are loaded.

    graph: the workflow in the API's form. Those models know one size, and are quick in it.
    """
    if any(str(node["inputs"].get("unet_name")).startswith("demo_world") for node in graph.values()):
        return {}
    classes = {node["class_type"] for node in graph.values()}
    length = 9 if "InbetweenSVDConditioning" in classes else 33
    width, height = (WIDTH_UPSCALED, HEIGHT_UPSCALED) if "SeedVR2Preprocess" in classes else (WIDTH, HEIGHT)
    sizes = {_widget(graph, name): value for name, value in (("width", width), ("height", height), ("length", length))}
    for kind in classes & SMALL.keys():
        sizes |= {f"{kind}.{name}": value for name, value in SMALL[kind].items()}
    for node in graph.values():
        title, inputs = node["_meta"]["title"], node["inputs"]
        if node["class_type"] == "InbetweenAddKeyframe":
            share = inputs["frame"] / (_track(graph, node)["length"] - 1)
            sizes[f"{title}.frame"] = 4 * round(share * (length - 1) / 4)
        elif node["class_type"] == "FrameInterpolate" and inputs["multiplier"] == 5:  # 5 x 16 frames become 2 x 16
            sizes[f"{title}.multiplier"] = 2
        elif node["class_type"] == "InbetweenRecurrentSampler":
            few = {"repeats": 1} if inputs["pattern"] == "repeat" else {"until": 0.5, "jump_length": 1}
            sizes |= {f"{title}.{name}": value for name, value in few.items()}
    return sizes


def _widget(graph: Graph, name: str) -> str:
    """Where an input of Keyframes is set: there, or in the node that gives it to all of a workflow's Keyframes."""
    track = next(node for node in graph.values() if node["class_type"] == "InbetweenKeyframes")
    value = track["inputs"][name]
    return f"{graph[value[0]]['_meta']['title']}.value" if isinstance(value, list) else f"InbetweenKeyframes.{name}"


def _track(graph: Graph, node: dict[str, Any]) -> dict[str, Any]:
    """The inputs of the Keyframes node that a track begins with."""
    while node["class_type"] != "InbetweenKeyframes":
        node = graph[node["inputs"]["keyframes"][0]]
    return node["inputs"]

"""Shipped workflows on the demo world: its models, its size, and nothing else changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .graphs import Graph, api_graph, is_link, needed_for, node_by_title, with_values, workflow
from .world import FPS, LENGTH, SIZE, reversed_caption

WORKFLOW = "afb_wan2.1_i2v"
STEPS, STOP_STEP, SHIFT, CFG = 20, 6, 3.0, 1.0
TRANSFORMER = "demo_world_wan_flf2v.safetensors"
FIRST_PICTURE_TRANSFORMER = "demo_world_wan_i2v.safetensors"  # what bridging is for: hardly taught to reach a last one
VAE = "demo_world_wan_vae.safetensors"
PICTURE_VAE = "demo_world_taesd.safetensors"
STANDS_FOR = {"CLIPLoader": "DemoWorldWords", "CLIPVisionLoader": "DemoWorldPictures"}
FRAMES = "frames"  # the node that shows every frame
FORWARD = "Keyframes to Wan (forward, with anchor)"
# MODELS_AND_SAMPLING of every workflow on the world, VALUES of one that bridges
MODELS_AND_SAMPLING = {
    "UNETLoader.unet_name": TRANSFORMER,
    "VAELoader.vae_name": VAE,
    "ModelSamplingSD3.shift": SHIFT,
    "CFGGuider.cfg": CFG,
    "BasicScheduler.steps": STEPS,
    "InbetweenKeyframes.width": SIZE,
    "InbetweenKeyframes.height": SIZE,
    "InbetweenKeyframes.length": LENGTH,
    "InbetweenKeyframes.fps": FPS,
    "Negative prompt.text": "",
}
VALUES = {**MODELS_AND_SAMPLING, "InbetweenReverseCandidates.stop_step": STOP_STEP}


def bridged_graph(
    object_info: Mapping[str, Any],
    first: str,
    last: str,
    caption: str,
    seed: int,
    name: str = WORKFLOW,
    transformer: str = TRANSFORMER,
) -> Graph:
    """A bridging workflow for two pictures of the demo world.

    Args:
        object_info: the server's answer to /object_info.
        first, last: names of pictures in the server's input folder.
        caption: what happens, in the world's words.
        seed: of the noise.
        name: of the workflow. transformer: the base.
    """
    values = {**VALUES, "UNETLoader.unet_name": transformer}
    prompts = {"Forward prompt.text": caption, "Reverse prompt (told backwards).text": reversed_caption(caption)}
    graph = world_graph(name, object_info, first, last, seed, {**values, **prompts})
    decoded = next(key for key, node in graph.items() if node["class_type"] == "VAEDecode")
    return with_frames(graph, decoded)


def world_graph(
    name: str, object_info: Mapping[str, Any], first: str, last: str, seed: int, values: Mapping[str, Any]
) -> Graph:
    """A shipped workflow with the world's encoders and the given values, and without what makes a video file.

    No LPIPS: its weights cannot be shipped, so 1-SSIM measures. first, last, seed: as for `bridged_graph`.
    """
    given = {"First picture.image": first, "Last picture.image": last, "RandomNoise.noise_seed": seed}
    graph = with_values(api_graph(workflow(name), object_info), {**values, **given})
    for node in graph.values():
        if node["class_type"] in STANDS_FOR:
            node.update(class_type=STANDS_FOR[node["class_type"]], inputs={})
    return without(graph, ("InbetweenLoadLPIPS", "CreateVideo", "SaveVideo"))


def with_frames(graph: Graph, decoded: str) -> Graph:
    """A graph that also shows every frame that one of its nodes decodes."""
    shown = {"class_type": "PreviewImage", "inputs": {"images": [decoded, 0]}, "_meta": {"title": "Frames"}}
    return {**graph, FRAMES: shown}


def plain_graph(bridged: Graph) -> Graph:
    """The same graph with the first and the last picture alone."""
    node = node_by_title(bridged, FORWARD)
    keyframes = [node_by_title(bridged, "Keyframes"), 0]
    changed = {**bridged[node], "inputs": {**bridged[node]["inputs"], "keyframes": keyframes}}
    return needed_for({**bridged, node: changed}, FRAMES)


def without(graph: Graph, classes: Iterable[str]) -> Graph:
    """A graph without the nodes of some classes and the links to them."""
    gone = {key for key, node in graph.items() if node["class_type"] in set(classes)}
    return {
        key: {
            **node,
            "inputs": {
                name: value for name, value in node["inputs"].items() if not (is_link(value) and value[0] in gone)
            },
        }
        for key, node in graph.items()
        if key not in gone
    }

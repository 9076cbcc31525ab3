"""A workflow that the suite fills for each clip: its named inputs, and what its model can make.

An input is named by the title of its node, as the shipped workflows have them; docs/judge.md tells users the same.

what        title                              widget                   must be there
first       First picture                      image                    yes
last        Last picture                       image                    yes
prompt      Prompt, Forward prompt             text, prompt, value      no: SVD has none
reverse     Reverse prompt (told backwards)    text, prompt, value      no
length      Keyframes, Length                  length, value            yes
width       Keyframes, Width                   width, value             yes
height      Keyframes, Height                  height, value            yes
seed        RandomNoise, Seed                  noise_seed, seed, value  yes
frames      Frames, Create Video               images (a link)          yes; one node alone, Frames before Create Video
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...demo.graphs import Graph, api_graph, needed_for
from .clips import SuiteClip

FIRST, LAST = "inbetween_suite_first", "inbetween_suite_last"  # stand for the pictures until a server has them
OUTPUT = "inbetween_suite_frames"  # the node that hands the frames over, losslessly
UPLOADS = "inbetween_suite"  # sub-folder of a server's input folder


class WorkflowError(Exception):
    """A workflow cannot be used; the text has a line for everything that is wrong."""


@dataclass(frozen=True)
class NamedInput:
    """titles: of the nodes. widgets: the first one that a node has is filled. what: for a person."""

    titles: tuple[str, ...]
    widgets: tuple[str, ...]
    what: str
    needed: bool = True


TEXTS = ("text", "prompt", "value")
INPUTS = {
    "first": NamedInput(("First picture",), ("image",), "a Load Image for the first keyframe"),
    "last": NamedInput(("Last picture",), ("image",), "a Load Image for the last keyframe"),
    "prompt": NamedInput(("Prompt", "Forward prompt"), TEXTS, "the caption", needed=False),
    "reverse": NamedInput(("Reverse prompt (told backwards)",), TEXTS, "the reverse prompt", needed=False),
    "length": NamedInput(("Keyframes", "Length"), ("length", "value"), "the number of frames"),
    "width": NamedInput(("Keyframes", "Width"), ("width", "value"), "the width"),
    "height": NamedInput(("Keyframes", "Height"), ("height", "value"), "the height"),
    "seed": NamedInput(("RandomNoise", "Seed"), ("noise_seed", "seed", "value"), "the seed of the noise"),
}
FRAMES = ("Frames", "Create Video")


@dataclass(frozen=True)
class Grid:
    """What a model can make: lengths of step n + 1, or the listed ones; sides that are multiples of `side`."""

    step: int = 1
    lengths: tuple[int, ...] = ()
    side: int = 2

    def legal_length(self, length: int) -> int:
        """The shortest length that is not below the asked one; the longest there is where none is."""
        if self.lengths:
            return min((one for one in self.lengths if one >= length), default=max(self.lengths))
        return length + (1 - length) % self.step


WAN, HUNYUAN, SVD, LTX = Grid(4, side=16), Grid(4, side=16), Grid(lengths=(14, 25), side=64), Grid(8, side=32)
GRIDS = {
    "InbetweenWanConditioning": WAN,
    "WanImageToVideo": WAN,
    "WanFirstLastFrameToVideo": WAN,
    "WanVaceToVideo": WAN,
    "WanFunInpaintToVideo": WAN,
    "Wan22ImageToVideoLatent": Grid(4, side=32),
    "InbetweenHunyuanConditioning": HUNYUAN,
    "HunyuanImageToVideo": HUNYUAN,
    "HunyuanVideo15ImageToVideo": HUNYUAN,
    "InbetweenSVDConditioning": SVD,
    "SVD_img2vid_Conditioning": SVD,
    "LTXVImgToVideo": LTX,
}


@dataclass(frozen=True)
class Workflow:
    """A checked workflow.

    name: the file's stem. graph: the API's format, with OUTPUT at its end. inputs: what -> "node.widget", several where
    several nodes share a title. grid: of its model. digest: changes with the file's meaning.
    """

    name: str
    graph: Graph
    inputs: Mapping[str, tuple[tuple[str, str], ...]]
    grid: Grid
    digest: str

    def filled(
        self, clip: SuiteClip, pictures: tuple[str, str], size: tuple[int, int], length: int, seed: int
    ) -> Graph:
        """The graph for a clip.

        Args:
            clip: gives the prompts; where the reverse caption is not known, the caption stands for it.
            pictures: names of the first and last picture in the server's input folder.
            size: width and height, pixels. length: video frames. seed: of the noise.
        """
        values = {
            "first": pictures[0],
            "last": pictures[1],
            "prompt": clip.caption,
            "reverse": clip.reverse_caption or clip.caption,
            "length": length,
            "width": size[0],
            "height": size[1],
            "seed": seed,
        }
        graph = {key: {**node, "inputs": dict(node["inputs"])} for key, node in self.graph.items()}
        for what, places in self.inputs.items():
            for key, widget in places:
                graph[key]["inputs"][widget] = values[what]
        return graph


def read_workflow(path: Path, object_info: Mapping[str, Any]) -> Workflow:
    """A workflow file, saved by the browser (either format), ready to be filled.

    Args:
        object_info: a server's answer to /object_info.
    Raises:
        WorkflowError: the file cannot be read, a node is unknown to the server, or named inputs are missing.
    """
    graph = _graph(path, object_info)
    found, wrong = _named_inputs(graph)
    output, sentence = _frames_output(graph)
    wrong += [sentence] if sentence else []
    if wrong:
        raise WorkflowError("\n".join(f"{path.name}: {line}" for line in wrong))
    graph = needed_for({**graph, OUTPUT: _preview(output)}, OUTPUT)
    found = {what: tuple(place for place in places if place[0] in graph) for what, places in found.items()}
    lost = [INPUTS[what] for what, places in found.items() if INPUTS[what].needed and not places]
    if lost:
        lines = [f'{path.name}: the frames do not depend on "{one.titles[0]}" ({one.what}).' for one in lost]
        raise WorkflowError("\n".join(lines))
    grids = [GRIDS[node["class_type"]] for node in graph.values() if node["class_type"] in GRIDS]
    text = json.dumps(graph, sort_keys=True)
    return Workflow(path.stem, graph, found, grids[0] if grids else Grid(), hashlib.sha256(text.encode()).hexdigest())


def unfilled_pictures(workflow: Workflow) -> list[str]:
    """Titles of the picture loaders that the suite does not fill: they bring the same picture to every clip."""
    filled = {key for what in ("first", "last") for key, _ in workflow.inputs[what]}
    loaders = {key: node for key, node in workflow.graph.items() if node["class_type"] == "LoadImage"}
    return [node["_meta"]["title"] for key, node in loaders.items() if key not in filled]


def missing_on_server(workflow: Workflow, object_info: Mapping[str, Any]) -> list[str]:
    """What a server lacks to run a workflow: nodes, and files that its loaders name. Empty if nothing."""
    lines = []
    filled = {place for places in workflow.inputs.values() for place in places}
    for key, node in workflow.graph.items():
        kind, title = node["class_type"], node["_meta"]["title"]
        if kind not in object_info:
            lines.append(f"it has no node {kind}; is the node pack installed there?")
            continue
        spec = object_info[kind]["input"]
        for name, widget in {**spec.get("required", {}), **spec.get("optional", {})}.items():
            choices, value = _choices(*widget), node["inputs"].get(name)
            open_to_all = not choices or (key, name) in filled or isinstance(value, list) or value is None
            if not open_to_all and value not in choices:
                lines.append(f'"{title}" asks for {name} {value!r}, which it does not have.')
    return list(dict.fromkeys(lines))


def _choices(kind: Any, options: Mapping[str, Any] | None = None) -> list[Any]:
    """What a widget may be set to; empty where that is not a list, or not the whole of it."""
    options = options or {}
    if any(name.endswith("_upload") for name in options):
        return []  # files of the input folder itself; those in folders below it are not listed
    found = kind if isinstance(kind, list) else options.get("options") or ()
    return [one["key"] if isinstance(one, dict) and "key" in one else one for one in found]


def _graph(path: Path, object_info: Mapping[str, Any]) -> Graph:
    no_workflow = f"{path.name}: is no ComfyUI workflow. Save it from the browser, or with Export (API)."
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WorkflowError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError:
        found = None
    if isinstance(found, dict) and "nodes" in found:
        try:
            return api_graph(found, object_info)
        except ValueError as error:
            raise WorkflowError(
                f"{path.name}: {error}. Delete that node or install what brings it; or save the workflow with "
                f"Export (API), which leaves muted nodes out."
            ) from None
        except (KeyError, TypeError, AttributeError):
            raise WorkflowError(no_workflow) from None
    if not isinstance(found, dict) or not found or not all(_is_node(one) for one in found.values()):
        raise WorkflowError(no_workflow)
    titled = {}
    for key, node in found.items():
        shown = object_info.get(node["class_type"], {}).get("display_name") or node["class_type"]
        title = (node.get("_meta") or {}).get("title") or shown
        titled[key] = {**node, "inputs": node.get("inputs", {}), "_meta": {"title": title}}
    return titled


def _is_node(found: Any) -> bool:
    return isinstance(found, dict) and "class_type" in found and isinstance(found.get("inputs", {}), dict)


def _named_inputs(graph: Graph) -> tuple[dict[str, tuple[tuple[str, str], ...]], list[str]]:
    """Where each input is, and a sentence for each that is missing."""
    found, wrong = {}, []
    for what, named in INPUTS.items():
        nodes = {key: node for key, node in graph.items() if node["_meta"]["title"] in named.titles}
        places = [(key, widget) for key, node in nodes.items() if (widget := _widget(node, named.widgets))]
        linked = [key for key, widget in places if isinstance(graph[key]["inputs"][widget], list)]
        titles = " or ".join(f'"{title}"' for title in named.titles)
        if linked:
            title, other = graph[linked[0]]["_meta"]["title"], named.titles[-1]
            wrong.append(f'{named.what} of "{title}" comes from another node: call that node "{other}" instead.')
        elif places:
            found[what] = tuple(places)
        elif named.needed:
            wrong.append(f"no node is called {titles} and has {' or '.join(named.widgets)} ({named.what}).")
    return found, wrong


def _widget(node: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in node["inputs"]), None)


def _frames_output(graph: Graph) -> tuple[list[Any], str]:
    """[node, output] that gives the frames, and a sentence where that is not clear."""
    for title in FRAMES:
        links = [node["inputs"].get("images") for node in graph.values() if node["_meta"]["title"] == title]
        links = [link for link in links if isinstance(link, list)]
        if len(links) == 1:
            return links[0], ""
        if links:
            return [], f'{len(links)} nodes are called "{title}": call the one whose frames are to be judged "Frames".'
    return (
        [],
        'no node is called "Frames" or "Create Video" and has images: call the one that shows the frames "Frames".',
    )


def _preview(output: list[Any]) -> dict[str, Any]:
    return {"class_type": "PreviewImage", "inputs": {"images": output}, "_meta": {"title": OUTPUT}}

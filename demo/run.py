"""./dev demo: the shipped Anchor Frame Bridging workflow through a real server, on two photographs, on the CPU."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from .graphs import Graph, api_graph, with_values, workflow
from .server import Server
from .stand_ins import cached_stand_ins

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = "afb_wan2.2_14b_i2v"
LAST_FRAMING = (190, 30, 580, 255)  # the part of first.jpg that last.jpg shows, pixels
# the workflow as it ships, with a size and a number of steps that a CPU does in seconds
VALUES = {
    "InbetweenKeyframes.width": 320,
    "InbetweenKeyframes.height": 192,
    "InbetweenKeyframes.length": 33,
    "BasicScheduler.steps": 20,
    "SplitSigmas.step": 10,
    "InbetweenReverseCandidates.stop_step": 6,
}


def main(arguments: list[str]) -> int:
    output = ROOT / "output"
    started = time.monotonic()
    stages = Stages()
    with stages.stage("Small random models"):
        models = cached_stand_ins()
    with tempfile.TemporaryDirectory(prefix="inbetween-demo-") as folder:
        base = prepared_base(Path(folder), models)
        server = Server(base, output)
        with stages.stage("Starting ComfyUI on the CPU"):
            server.start()
        try:
            graph = with_values(api_graph(workflow(WORKFLOW), server.get("/object_info")), VALUES)
            entry = server.run(graph, Progress(graph, stages))
            results = collected(server, graph, entry, output)
        finally:
            server.stop()
    print(f"{'Everything':<40} {time.monotonic() - started:7.1f} s\n")
    for name, path in results.items():
        print(f"{name:<12} {path}")
    print(
        "\nThe models are random stand-ins under the real files' names: they prove that everything runs, "
        "the picture is noise shaped by the keyframes."
    )
    return 0


def prepared_base(base: Path, models: Path) -> Path:
    """A server's folder with the models linked and the pictures that the shipped workflows ask for.

    first.png and last.png are the two photographs; middle_1.png and middle_2.png the framings that the same camera
    move passes through at frames 28 and 52 of 81.
    """
    (base / "models").symlink_to(models, target_is_directory=True)
    (base / "input").mkdir()
    first, last = (Image.open(ROOT / "demo" / "pictures" / f"{name}.jpg") for name in ("first", "last"))
    pictures = {"first": first, "middle_1": framing(first, 28 / 80), "middle_2": framing(first, 52 / 80), "last": last}
    for name, picture in pictures.items():
        picture.save(base / "input" / f"{name}.png")
    return base


def framing(first: Image.Image, share: float) -> Image.Image:
    """What the camera sees after a share (0..1) of its move from the first picture's framing to the last one's."""
    whole = (0, 0, *first.size)
    box = [start + share * (end - start) for start, end in zip(whole, LAST_FRAMING, strict=True)]
    return first.resize(first.size, Image.Resampling.LANCZOS, box)


def collected(server: Server, graph: Graph, entry: dict[str, Any], output: Path) -> dict[str, Path]:
    """Puts the plot, the anchor and the reports beside the video and returns every path by what it is."""
    outputs = entry["outputs"]
    found: dict[str, Path] = {}
    for key, node in graph.items():
        images = outputs.get(key, {}).get("images", [])
        if node["class_type"] == "SaveVideo":
            found["video"] = output / images[0]["subfolder"] / images[0]["filename"]
        elif node["class_type"] == "PreviewImage":
            name = node["_meta"]["title"].lower().replace(" ", "_")
            path = output / f"{name}.png"
            path.write_bytes(server.image(images[0]))
            found[name] = path
    reports = [key for key, node in graph.items() if node["class_type"] == "PreviewAny"]
    path = output / "report.txt"
    path.write_text("\n\n".join(f"{graph[key]['_meta']['title']}\n{outputs[key]['text'][0]}" for key in reports) + "\n")
    found["report"] = path
    return found


class Stages:
    """Prints how long each stage took; those of no length (loaders, wiring) are left out."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}

    def begin(self, name: str) -> None:
        self._began[name] = time.monotonic()

    def end(self, name: str) -> None:
        seconds = time.monotonic() - self._began.pop(name)
        if seconds >= 0.05:
            print(f"\r{name:<40} {seconds:7.1f} s   ", flush=True)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.begin(name)
        yield
        self.end(name)


class Progress:
    """Prints what the server is at: one line per node, with its steps while they run."""

    def __init__(self, graph: Graph, stages: Stages) -> None:
        self._titles = {key: node["_meta"]["title"] for key, node in graph.items()}
        self._stages, self._current = stages, ""

    def __call__(self, kind: str, data: dict[str, Any]) -> None:
        if kind in ("executing", "execution_success"):
            if self._current:
                self._stages.end(self._current)
            self._current = self._titles.get(data.get("node") or "", "")
            if self._current:
                self._stages.begin(self._current)
        elif kind == "progress_state" and sys.stdout.isatty():
            for state in data["nodes"].values():
                if state["state"] == "running" and state["max"] > 1:
                    done = f"{self._titles.get(state['node_id'], '')} {state['value']:.0f}/{state['max']:.0f}"
                    print(f"\r{done:<60}", end="", flush=True)

"""./dev demo: the shipped Anchor Frame Bridging workflow on the demo world, through a real server, on the CPU.

Three held-out pairs of pictures, one of each kind that moves. For each: the truth, the video from the first and the
last picture alone, and the video with the anchor that the workflow found.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from .base_folder import ROOT, WORLD_MODELS, held_out_pairs, pair_name, prepared_base
from .graphs import Graph
from .measures import TITLES, load_picture_distance, measured, shown
from .server import Server
from .side_by_side import write_animation, write_sheet
from .world import FPS, Clip
from .world_graphs import FIRST_PICTURE_TRANSFORMER, FRAMES, PICTURE_VAE, bridged_graph, plain_graph

MANY_CLIPS = WORLD_MODELS / "many_clips.txt"  # the rows of this comparison out of that table
TRUTH, PLAIN, BRIDGED = "ground truth", "first-last only", "with anchor"


def main(arguments: list[str]) -> int:
    output = ROOT / "output"
    started = time.monotonic()
    stages = Stages()
    videos: dict[str, dict[str, Tensor]] = {}
    reports: list[str] = []
    clips = held_out_pairs()
    with tempfile.TemporaryDirectory(prefix="inbetween-demo-") as folder:
        server = Server(prepared_base(Path(folder), WORLD_MODELS), output)
        with stages.stage("Starting ComfyUI on the CPU"):
            server.start()
        try:
            for clip in clips:
                with stages.stage(clip.kind):
                    videos[clip.kind], report = made(server, clip, output)
                    reports.append(f"{clip.kind}: {clip.caption}\n{report}")
        finally:
            server.stop()
    with stages.stage("Side by side, and the table"):
        for clip in clips:
            write_animation(output / f"{pair_name(clip)}.webp", videos[clip.kind], FPS)
            write_sheet(output / f"{pair_name(clip)}.png", videos[clip.kind])
        lines = table(clips, videos)
        (output / "table.txt").write_text(lines + "\n")
        (output / "report.txt").write_text("\n\n".join(reports) + "\n")
    print(f"{'Everything':<40} {time.monotonic() - started:7.1f} s\n\n{lines}\n")
    print("Against the truth, between the ends; higher PSNR and SSIM, lower perceptual distance. One clip says little.")
    print(f"On many, as ./dev bench quality measured the shipped models:\n\n{MANY_CLIPS.read_text().strip()}\n")
    for clip in clips:
        print(f"{clip.kind:<16} {output / pair_name(clip)}.webp (to watch) and .png (to read)")
    return 0


def made(server: Server, clip: Clip, output: Path) -> tuple[dict[str, Tensor], str]:
    """The three videos of a pair, [N, H, W, 3] in 0..1 each, and what the nodes reported."""
    ends = [f"{pair_name(clip)}_{end}.png" for end in ("first", "last")]
    bridged = bridged_graph(
        server.get("/object_info"), *ends, clip.caption, clip.seed, transformer=FIRST_PICTURE_TRANSFORMER
    )
    videos = {TRUTH: clip.frames}
    videos[PLAIN], _ = _frames_of(server, plain_graph(bridged))
    videos[BRIDGED], outputs = _frames_of(server, bridged)
    for key, node in bridged.items():
        if node["class_type"] == "InbetweenSelectAnchors":
            path = output / f"{pair_name(clip)}_break.png"
            path.write_bytes(server.image(outputs[key]["images"][0]))  # the plot, then the anchor
    texts = [outputs[key]["text"][0] for key, node in bridged.items() if node["class_type"] == "PreviewAny"]
    return videos, "\n".join(texts)


def _frames_of(server: Server, graph: Graph) -> tuple[Tensor, dict[str, Any]]:
    outputs = server.run(graph, lambda kind, data: None)["outputs"]
    pictures = [Image.open(io.BytesIO(server.image(found))) for found in outputs[FRAMES]["images"]]
    return torch.stack([pil_to_tensor(item.convert("RGB")).movedim(0, -1) / 255 for item in pictures]), outputs


def table(clips: list[Clip], videos: dict[str, dict[str, Tensor]]) -> str:
    """PSNR, SSIM and perceptual distance of every made video, one line each."""
    from comfy.cli_args import args

    args.cpu = True  # the distance is the host's TAESD, whose modules look for a GPU when they are imported
    distance = load_picture_distance(WORLD_MODELS / "vae" / PICTURE_VAE)
    lines = [f"{'pair':<16}{'video':<18}" + "".join(f"{title:>10}" for title in TITLES)]
    for clip in clips:
        for name in (PLAIN, BRIDGED):
            lines.append(f"{clip.kind:<16}{name:<18}{shown(measured(videos[clip.kind][name], clip, distance))}")
    return "\n".join(lines)


class Stages:
    """Prints how long each stage took."""

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if sys.stdout.isatty():
            print(f"{name} ...", end="", flush=True)
        began = time.monotonic()
        yield
        print(f"\r{name:<40} {time.monotonic() - began:7.1f} s", flush=True)

"""`./dev bench suite --demo`: clips and models of the demo world, four methods, a ComfyUI server on the CPU."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...demo.base_folder import ROOT, WORLD_MODELS, prepared_base
from ...demo.server import Server
from ...demo.tgi_bench import write_tgi_bench
from ...demo.world import FPS, LENGTH, SIZE
from .demo_workflows import write_demo_workflows

CLIPS_PER_KIND = 8


def judge_demo_world(options: argparse.Namespace, judged: Callable[..., int]) -> int:
    """Fills in what the options leave open, starts a server unless some are given or Ray starts them, and judges.

    The models know one length, LENGTH; the data's other lengths are there to try the reader on, see demo/tgi_bench.py.
    """
    options.out = options.out or ROOT / "output" / "suite"
    options.data = write_tgi_bench(options.out / "demo_world", CLIPS_PER_KIND, (LENGTH,))
    options.lengths, options.size, options.fps = [LENGTH], [f"{SIZE}x{SIZE}"], FPS

    def workflows(object_info: Mapping[str, Any]) -> list[Path]:
        return write_demo_workflows(object_info, options.out / "workflows")

    if options.server or options.ray:
        return judged(options, demo_server, workflows)
    with tempfile.TemporaryDirectory(prefix="inbetween-suite-") as folder:
        print("Starting ComfyUI on the CPU ...", flush=True)
        with demo_server(Path(folder)) as server:
            options.server = [server.address]
            return judged(options, demo_server, workflows)


def demo_server(scratch: Path) -> Server:
    """A server of the demo world."""
    return Server(prepared_base(scratch, WORLD_MODELS))

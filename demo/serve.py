"""./dev serve: ComfyUI with this pack for a person with a browser.

The shipped workflows find small random models under the real names; the demo world's trained ones are there too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from .base_folder import ROOT, WORLD_MODELS, prepared_base
from .server import Server
from .stand_ins import cached_stand_ins


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8188)
    options = parser.parse_args(arguments)
    models = cached_stand_ins()
    with tempfile.TemporaryDirectory(prefix="inbetween-serve-") as folder:
        base = prepared_base(Path(folder), models, WORLD_MODELS)
        with Server(base, ROOT / "output", options.port) as server:
            print(f"ComfyUI with this pack: {server.address}   (results go to {server.output}, Ctrl-C ends it)")
            print("Templates > comfyui-inbetween has the workflows. Their models are random stand-ins: lower the")
            print("size and the steps, and expect noise. For trained ones choose the demo_world_* files, the nodes")
            print("Demo World Words and Demo World Pictures, and the world_* pictures at 64x64 and 33 frames.")
            try:
                while server.running:
                    time.sleep(0.5)
            except KeyboardInterrupt:
                print("\nending")
    return 0

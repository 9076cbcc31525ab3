"""./dev serve: ComfyUI with this pack for a person with a browser.

The demo world's templates make videos as they are (docs/walkthrough). The shipped workflows find small random models
under the real names.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from .base_folder import ROOT, WORLD_MODELS, prepared_base
from .server import PortTakenError, Server
from .stand_ins import cached_stand_ins


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8188)
    options = parser.parse_args(arguments)
    for ended in (signal.SIGTERM, signal.SIGHUP):  # a closed terminal must not leave the server behind
        signal.signal(ended, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="inbetween-serve-") as folder:
        try:
            base = prepared_base(Path(folder), cached_stand_ins(), WORLD_MODELS)
            with Server(base, ROOT / "output", options.port) as server:
                say_what_is_there(server)
                while server.running:
                    time.sleep(0.5)
        except PortTakenError as error:
            sys.exit(f"{error}; end that one, or choose another with --port")
        except KeyboardInterrupt:
            print("\nending")
    return 0


def say_what_is_there(server: Server) -> None:
    print(f"ComfyUI with this pack: {server.address}   (results go to {server.output}, Ctrl-C ends it)")
    print("Templates > inbetween-demo-world > afb_demo_world, then Run: a first video, in about half a minute.")
    print("Templates > comfyui-inbetween has the workflows for real models. Random stand-ins take their places here:")
    print("lower the size and the steps, and expect noise.")

"""Runs one of the repository's programs with the pack importable as `pack` and the host on the path.

The checkout's own folder must not be on the path: its `nodes/` would hide ComfyUI's nodes.py.
"""

import importlib
import os
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def put_host_first() -> None:
    """Puts ComfyUI (COMFYUI_PATH) within reach of import, and nothing of this checkout in its way."""
    host = os.environ["COMFYUI_PATH"]
    hiding = (ROOT, ROOT / "demo", Path(host).resolve())
    sys.path[:] = [host, *(entry for entry in sys.path if Path(entry or ".").resolve() not in hiding)]


def import_pack() -> None:
    """Puts `pack` (this checkout) and ComfyUI within reach of import."""
    put_host_first()
    pack = sys.modules["pack"] = types.ModuleType("pack")
    pack.__path__ = [str(ROOT)]


if __name__ == "__main__":
    import_pack()
    sys.exit(importlib.import_module(f"pack.{sys.argv[1]}").main(sys.argv[2:]))

"""Makes the checkout importable as `pack`; host tests run where COMFYUI_PATH names a ComfyUI (./dev test sets it)."""

import os
import sys
import types
from pathlib import Path

import pytest
import torch

ROOT, HOST = Path(__file__).resolve().parents[1], os.environ.get("COMFYUI_PATH")
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]  # else `import nodes` finds ours
if HOST:
    sys.path.insert(0, HOST)
pack = sys.modules["pack"] = types.ModuleType("pack")
pack.__path__ = [str(ROOT)]
collect_ignore = ([] if HOST else ["host", "server"]) + ([] if torch.cuda.is_available() else ["gpu"])

GOLDEN = ROOT.parent / "shared" / "golden"


@pytest.fixture(scope="session")
def golden():
    """Path of a golden file: ../shared/golden, or the few copied into tests/data; skips if it is in neither."""

    def find(name: str) -> Path:
        for folder in (GOLDEN, ROOT / "tests" / "data"):
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"golden data {name} is not here: expected it in {GOLDEN}")

    return find

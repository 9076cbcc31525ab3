"""Makes the checkout importable as `pack`; host tests run where COMFYUI_PATH names a ComfyUI (./dev test sets it).

Tests of the server and of the browser share one real ComfyUI server on the CPU, with stand-ins under the real models'
names.
"""

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
collect_ignore = ([] if HOST else ["host", "server", "browser"]) + ([] if torch.cuda.is_available() else ["gpu"])

GOLDEN = ROOT.parent / "shared" / "golden"


def pytest_addoption(parser):
    parser.addoption("--pictures", action="store_true", help="tests/browser writes workflows/*.jpg and docs/ anew")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.path.parent.name in ("server", "browser"):
            item.add_marker(pytest.mark.server)
    items.sort(key=lambda item: item.path.parent.name == "browser")  # last: what they show needs all else to work
    if hasattr(config, "workerinput"):  # one of several workers: what takes longest begins first
        items.sort(key=lambda item: item.get_closest_marker("server") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Workers take whole files, and what shares the server is one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "server" if Path(file).parent.name in ("server", "browser") else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def golden():
    """Path of a golden file: ../shared/golden, or the few copied into tests/data; skips if it is in neither."""

    def find(name: str) -> Path:
        for folder in (GOLDEN, ROOT / "tests" / "data"):
            if (folder / name).exists():
                return folder / name
        pytest.skip(f"golden data {name} is not here: expected it in {GOLDEN}")

    return find


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory):
    """The folder of stand-ins: cached where ./dev says, else made for this run."""
    from pack.demo.stand_ins import cached_stand_ins, write_stand_ins

    if "INBETWEEN_CACHE" in os.environ:
        return cached_stand_ins()
    return write_stand_ins(tmp_path_factory.mktemp("stand_ins"))


@pytest.fixture(scope="session")
def server(stand_ins, tmp_path_factory):
    from pack.demo.base_folder import WORLD_MODELS, prepared_base
    from pack.demo.server import Server

    base = prepared_base(tmp_path_factory.mktemp("server"), stand_ins, WORLD_MODELS)
    odd_values = ROOT / "tests" / "server" / "odd_values"
    (base / "custom_nodes" / "inbetween-odd-values").symlink_to(odd_values, target_is_directory=True)
    with Server(base) as running:
        yield running


@pytest.fixture(scope="session")
def object_info(server):
    return server.get("/object_info")

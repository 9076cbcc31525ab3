"""The host's own loader takes the pack, and all of its nodes are there."""

import asyncio
import sys
from pathlib import Path

from pack.tests.contract import CONTRACT

ROOT = Path(__file__).resolve().parents[2]


def test_the_host_loads_the_pack_as_it_loads_any_other(host, monkeypatch):
    monkeypatch.setattr(host, "NODE_CLASS_MAPPINGS", dict(host.NODE_CLASS_MAPPINGS))
    assert asyncio.run(host.load_custom_node(str(ROOT)))
    found = [name for name in host.NODE_CLASS_MAPPINGS if name.startswith("Inbetween")]
    assert found == list(CONTRACT)


def test_the_models_folder_for_lpips_is_known(host):
    import folder_paths

    from pack.frames.lpips_host import backbone_files

    backbone_files()
    assert str(Path(folder_paths.models_dir) / "lpips") in folder_paths.get_folder_paths("lpips")


def test_loading_the_pack_does_not_import_the_slow_libraries(host):
    """Start-up stays light: lpips, kornia and what they bring come with the first node that needs them."""
    import subprocess

    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'demo')!r}); from launch import import_pack; import_pack();"
        "from comfy.cli_args import args; args.cpu = True; import utils.install_util;"
        "import importlib; before = set(sys.modules); importlib.import_module('pack.nodes');"
        "new = set(sys.modules) - before; print([m for m in ('lpips', 'kornia', 'skimage') if m in new])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("[]")

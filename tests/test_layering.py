"""The layers of the pack, read from its imports: who may know the host, and who may know whom."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("nodes", "frames", "patches", "samplers")
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
STANDARD = {
    "__future__", "collections", "contextlib", "dataclasses", "enum", "functools", "inspect", "itertools", "json",
    "math", "numbers", "os", "re", "typing", "warnings",
}  # fmt: skip
HOST = {
    "comfy_api.latest",
    "comfy.model_patcher",
    "comfy.patcher_extension",
    "comfy.samplers",
    "comfy.model_management",
    "comfy.utils",
    "folder_paths",
}
# more of the host, or a library, for one file; the file says why
ALSO = {
    "frames/wan_conditioning_host.py": {
        "comfy.clip_vision",
        "comfy.latent_formats",
        "node_helpers",
    },
    "frames/wan_model_host.py": {"comfy.model_base"},
    "frames/hunyuan_conditioning_host.py": {"node_helpers"},
    "frames/joined_video_host.py": {"fractions"},
    "frames/svd_conditioning_host.py": {"logging"},
    "frames/vae_family_host.py": {"comfy.model_base", "logging"},
    "frames/hunyuan_model_host.py": {"comfy.model_base"},
    "patches/video_model_host.py": {"comfy.model_base", "logging"},
    "patches/keyframe_attention_host.py": {"comfy.ldm.modules.attention"},
    "patches/attention_record_host.py": {"comfy.k_diffusion.sampling", "comfy.sample", "latent_preview"},
    "patches/temporal_maps_host.py": {"threading"},
    "patches/backward_motion_files_host.py": {"errno", "pathlib", "safetensors"},
    "samplers/bidirectional_guider_host.py": {"comfy.model_base", "logging"},
    "samplers/bidirectional_samplers_host.py": {"comfy.k_diffusion.sampling", "logging"},
    "samplers/bridge_sampler_host.py": {"comfy.k_diffusion.sampling", "comfy.model_sampling", "logging"},
    "samplers/neural_prior_host.py": {"comfy.sample"},
    "samplers/candidates_host.py": {"comfy.model_base", "comfy.sample", "latent_preview"},
    "frames/lpips_host.py": {"lpips"},
    "frames/structural_similarity.py": {"kornia"},
    "frames/colour_drift.py": {"kornia"},
    "frames/segment_join.py": {"fractions"},
    "frames/breakpoint_plot.py": {"PIL"},
    "frames/chart.py": {"PIL", "numpy"},
    "frames/keyframe_places.py": {"unicodedata"},
    "frames/storyboard_strip.py": {"PIL", "numpy"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """(level, module) of every import of a file, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def within(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def test_there_are_files_to_check():
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=named)
def test_only_nodes_and_host_adapters_know_the_host(path):
    knows_host = path.parent.name == "nodes" or path.stem.endswith("_host")
    allowed = STANDARD | {"torch"} | ALSO.get(named(path), set()) | (HOST if knows_host else set())
    strangers = [module for level, module in imports(path) if level == 0 and not within(module, allowed)]
    assert strangers == []


@pytest.mark.parametrize("path", FILES, ids=named)
def test_layers_only_look_where_they_may(path):
    layer = path.relative_to(ROOT).parts[0]
    wrong = []
    for level, module in imports(path):
        if level == 1:
            continue  # the same folder
        if level == 2 and layer == "nodes" and module.split(".")[0] in LAYERS:
            continue  # nodes compose the other layers
        if level:
            wrong.append((level, module))
    assert wrong == []


@pytest.mark.parametrize("path", [p for p in FILES if p.parent.name != "nodes"], ids=named)
def test_pure_files_do_not_import_host_adapters(path):
    if path.stem.endswith("_host"):
        return
    assert [module for level, module in imports(path) if level == 1 and module.endswith("_host")] == []


def test_the_root_imports_nothing_at_module_level():
    tree = ast.parse((ROOT / "__init__.py").read_text())
    assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


def test_nodes_do_no_arithmetic():
    """A `*`, `/`, `@` or `**` in a node belongs into a pure file."""
    operators = ast.Mult | ast.Div | ast.MatMult | ast.Pow
    wrong = [
        (named(path), node.lineno)
        for path in FILES
        if path.parent.name == "nodes"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.BinOp) and isinstance(node.op, operators)
    ]
    assert wrong == []


def test_no_folder_or_file_is_called_by_what_it_is_not():
    names = {part for path in ROOT.rglob("*.py") for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "helpers", "common", "misc"}


def test_every_file_starts_with_a_docstring():
    assert [named(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))] == []

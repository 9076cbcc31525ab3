"""What is published: the archive without tests and tools, and nothing in it that a registry's scanner flags."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLAGGED = {
    "subprocess": r"\bsubprocess\b|os\.system|os\.popen|\bPopen\b",
    "network": r"\burllib\b|\brequests\b|import socket|\bhttp\.client\b|\baiohttp\b|load_state_dict_from_url|hf_hub",
    "environment": r"os\.environ|os\.getenv",
    "pickle": r"\bpickle\b|weights_only\s*=\s*False|torch\.load\(",
    "dynamic code": r"(?<![.\w])eval\(|\bexec\(|__import__|importlib",
    "print": r"(?<![\w.])print\(",
}


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is not a git checkout, so what would be published is not known")
    return listed.stdout.splitlines()


def published() -> list[str]:
    """Tracked files that .comfyignore leaves in. Its entries begin with /, or docs/ would take web/docs/ too."""
    ignored = [line.strip() for line in (ROOT / ".comfyignore").read_text().splitlines() if line.strip()]
    assert all(re.fullmatch(r"/[\w./-]+", line) for line in ignored)
    return [
        name
        for name in tracked()
        if not any(f"/{name}" == entry or (entry.endswith("/") and f"/{name}".startswith(entry)) for entry in ignored)
    ]


def test_the_archive_holds_the_pack_and_nothing_else():
    top = {name.split("/")[0] for name in published()}
    expected = {"__init__.py", "frames", "nodes", "patches", "samplers", "web", "locales", "workflows", "LICENSE"}
    assert top == expected | {"subgraphs", "README.md", "pyproject.toml", "requirements.txt"}
    assert any(name.startswith("web/docs/") for name in published())


def test_nothing_in_the_archive_is_what_a_scanner_flags():
    found = [
        f"{name}: {reason}"
        for name in published()
        if name.endswith(".py")
        for reason, pattern in FLAGGED.items()
        if re.search(pattern, (ROOT / name).read_text())
    ]
    assert found == []


def test_the_scanner_test_would_notice():
    assert re.search(FLAGGED["environment"], "os.environ['HOME']")
    assert re.search(FLAGGED["pickle"], "torch.load(path)")
    assert re.search(FLAGGED["print"], "    print(1)")


def test_requirements_are_what_the_project_file_says():
    text = (ROOT / "pyproject.toml").read_text()
    declared = re.search(r"^dependencies = \[(.*)\]$", text, re.M).group(1)
    assert re.findall(r'"([^"]+)"', declared) == (ROOT / "requirements.txt").read_text().split()


def test_the_licence_is_there():
    assert "GNU GENERAL PUBLIC LICENSE" in (ROOT / "LICENSE").read_text()
    assert 'license = { file = "LICENSE" }' in (ROOT / "pyproject.toml").read_text()


def test_no_tracked_file_is_large_but_the_demo_s_models():
    """Those are below 40 MB together (tests/host/test_demo_models.py) and not published."""
    files = [name for name in tracked() if (ROOT / name).exists() and not name.startswith("demo/models/")]
    assert [name for name in files if (ROOT / name).stat().st_size > 4 * 2**20] == []


def test_every_template_has_a_small_picture_for_its_card():
    templates = [ROOT / name for name in published() if re.fullmatch(r"workflows/.+\.json", name)]
    sizes = {
        path.stem: path.with_suffix(".jpg").stat().st_size for path in templates if path.with_suffix(".jpg").exists()
    }
    missing = [path.stem for path in templates if path.stem not in sizes]
    assert not missing, "./dev test tests/browser --pictures makes them"
    assert [name for name, size in sizes.items() if size > 60_000] == []

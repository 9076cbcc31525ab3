"""./dev: an environment holds what the host that is used asks for, and a run is split where that is worth it."""

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

DEV = Path(__file__).resolve().parents[1] / "dev"


@pytest.fixture
def dev(tmp_path, monkeypatch):
    """The script as a module, with a cache of its own and nothing that is installed."""
    loader = importlib.machinery.SourceFileLoader("dev_script", str(DEV))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("dev_script", loader))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader.exec_module(module)
    module.commands = []
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(module, "make_environment", lambda folder: folder.mkdir(parents=True))
    monkeypatch.setattr(module, "run", lambda command, environment=None: module.commands.append(command))
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    return module


def host(folder, *requirements):
    folder.mkdir()
    (folder / "comfyui_version.py").write_text('__version__ = "0.46.0"')
    (folder / "requirements.txt").write_text("\n".join(requirements))
    return folder


def test_a_host_of_ones_own_gets_an_environment_of_its_own_requirements(dev, tmp_path, monkeypatch):
    pythons = {}
    for name, version in (("newer", "av>=17.0.0"), ("other", "av>=16.0.0")):
        own = host(tmp_path / name, "torch", "torchaudio", version, "comfy-kitchen==1.0  # a comment")
        monkeypatch.setenv("COMFYUI_PATH", str(own))
        pythons[name], variables = dev.set_up()
        assert variables["COMFYUI_PATH"] == str(own)
        assert {version, "comfy-kitchen==1.0", "lpips==0.1.4"} < set(dev.commands[-1])
        assert "torch" not in dev.commands[-1]  # but the release that fits the others
    assert pythons["newer"] != pythons["other"]
    assert len(dev.commands) == 2
    assert dev.set_up()[0] == pythons["other"]
    assert len(dev.commands) == 2  # made once


def test_a_host_of_ones_own_and_a_version_exclude_each_other(dev, tmp_path, monkeypatch):
    monkeypatch.setenv("COMFYUI_PATH", str(host(tmp_path / "own")))
    with pytest.raises(SystemExit, match="COMFYUI_PATH is set, so --host cannot choose a version"):
        dev.set_up("0.16.3")


@pytest.mark.parametrize(
    ("arguments", "parallel"),
    [
        ([], True),
        (["tests/host", "tests/server"], True),
        (["tests/host"], True),
        (["tests/test_bridge.py"], False),
        (["tests/test_bridge.py::test_x", "-k", "a"], False),
        (["tests/test_bridge.py", "tests/test_world.py"], True),
        (["tests/host", "-n", "4"], False),
        (["tests/host", "--pdb"], False),
        (["-s"], False),
    ],
)
def test_one_file_runs_in_one_process(dev, arguments, parallel):
    assert dev.in_parallel(arguments) is parallel


@pytest.mark.parametrize(
    ("arguments", "chosen"),
    [
        ([], "not slow"),
        (["--all"], ""),
        (["--fast"], "not server and not slow"),
        (["--host", "0.16.3"], "not slow and not workshop"),
        (["--host", "0.30.0", "--all"], ""),
    ],
)
def test_what_is_left_out(dev, monkeypatch, arguments, chosen):
    called = []
    monkeypatch.setattr(dev, "set_up", lambda version: ("python", {}))
    monkeypatch.setattr(dev.subprocess, "call", lambda command, **options: called.append(command))
    dev.test([*arguments, "tests/host"])
    (command,) = called
    assert command[command.index("-m", 2) + 1] == command[command.index(chosen)] == chosen
    assert command[-1] == "tests/host"

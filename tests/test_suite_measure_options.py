"""Which optional measures a run has, and the line that says how to get each of the others."""

import argparse
import sys

import pytest
import torch

from pack.bench.suite import measure_options
from pack.bench.suite.measure_options import CLIP_EXTRAS, REQUIREMENTS, SET_EXTRAS, add_arguments, chosen_measures

NAMES = ["FID", "FVD", "CD-FVD", "X-CLIP", "VBench"]


def chosen(*arguments: str):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return chosen_measures(parser.parse_args([*arguments, "--measure-on", "cpu"]))


def test_without_options_there_is_a_line_for_each_that_says_what_to_give():
    found = chosen()
    assert (found.sets, found.clips, found.batches) == ([], [], [])
    assert [line.split(" is left out: ")[0] for line in found.absent] == NAMES
    assert all("\n" not in line for line in found.absent)
    for extra, line in zip((*SET_EXTRAS, *CLIP_EXTRAS), found.absent, strict=False):
        assert f"give {extra.option} {extra.metavar} ({extra.source})" in line and "https://" in line
    assert "--vbench PYTHON" in found.absent[-1]


def test_without_the_library_the_line_says_how_to_install_it(monkeypatch, tmp_path):
    there = measure_options.importlib.util.find_spec
    gone = ("torch_fidelity", "cdfvd")
    monkeypatch.setattr(measure_options.importlib.util, "find_spec", lambda name: None if name in gone else there(name))
    file = tmp_path / "weights.pth"
    file.touch()
    lines = chosen("--fid-weights", str(file)).absent
    command = f"with `{sys.executable} -m pip install -r {REQUIREMENTS}`"
    assert lines[0] == f"FID is left out: install torch-fidelity {command}"
    assert lines[1].startswith(f"FVD is left out: install cd-fvd {command}, and give --fvd-weights FILE (i3d")
    assert "install" not in lines[3]


def test_what_the_line_says_to_install_is_pinned_for_these_libraries():
    lines = REQUIREMENTS.read_text().splitlines()
    for extra in SET_EXTRAS:
        assert any(line.startswith(f"{extra.package}==") for line in lines)


def test_a_file_that_cannot_be_used_leaves_the_others_alone(tmp_path):
    pytest.importorskip("torch_fidelity", reason="optional")
    torch.save({}, tmp_path / "empty.pth")
    found = chosen("--fid-weights", str(tmp_path / "empty.pth"), "--xclip", str(tmp_path / "nowhere"))
    assert found.absent[0].startswith(f"FID is left out: {tmp_path}/empty.pth cannot be used (RuntimeError")
    assert found.absent[3].startswith(f"X-CLIP is left out: {tmp_path}/nowhere cannot be used (FileNotFoundError")


def test_what_can_be_had_is_taken_and_the_rest_is_named(monkeypatch, tmp_path):
    class VBench:
        def __init__(self, python, files, device):
            self.left_out = {"dynamic_degree": "there is no raft-things.pth"}
            self.given = (python, files, device)

    monkeypatch.setattr(measure_options, "VBenchDimensions", VBench)
    taken = measure_options.Extra("FID", "--fid-weights", "FILE", "", "torch", "torch", lambda *given: given)
    monkeypatch.setattr(measure_options, "SET_EXTRAS", (taken,))
    found = chosen("--fid-weights", "a", "--vbench", "b", "--vbench-files", "c")
    assert [tuple(map(str, given)) for given in found.sets] == [("a", "cpu")]
    assert [tuple(map(str, one.given)) for one in found.batches] == [("b", "c", "cpu")]
    assert [line.split(" is left out")[0] for line in found.absent] == ["X-CLIP", "VBench's dynamic degree"]

"""VBench in another environment: what is asked of it, and that its answers are its own of the same frames.

INBETWEEN_VBENCH_PYTHON names the Python of an environment with VBench 0.1.5; without it a stand-in package answers.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pack.bench.suite import vbench_program
from pack.bench.suite.set_measures import MeasureError
from pack.bench.suite.vbench_measures import DIMENSIONS, VBenchDimensions
from pack.bench.suite.video_files import write_as_rgb

VBENCH = os.environ.get("INBETWEEN_VBENCH_PYTHON")

STAND_IN = """
import json, os, av
from statistics import fmean  # the standard library's, not the suite's file of that name
class VBench:
    def __init__(self, device, info, output):
        self.device, self.output = device, output
    def evaluate(self, videos_path, name, dimension_list, local, mode):
        assert local and mode == "custom_input" and self.device.type == "cpu"
        (dimension,) = dimension_list
        if dimension == "dynamic_degree":
            raise RuntimeError("the pictures are too small\\nfor it")
        files = sorted(os.listdir(videos_path), reverse=True)[: -1 if dimension == "motion_smoothness" else None]
        paths = [os.path.join(videos_path, file) for file in files]
        results = {dimension: [fmean([0, 1]), [{"video_path": path, "video_results": number(path)} for path in paths]]}
        print("noise on stdout")
        json.dump(results, open(os.path.join(self.output, name + "_eval_results.json"), "w"))
def number(path):
    with av.open(path) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return float(frames[0].mean()) + len(frames) / 1000
"""


def video(seed: int, length: int = 9, height: int = 35, width: int = 51):
    return np.random.default_rng(seed).integers(0, 256, (length, height, width, 3), dtype=np.uint8)


@pytest.fixture
def stand_in(tmp_path):
    """A Python that finds a package called vbench: (python, folder of its networks)."""
    package = tmp_path / "packages" / "vbench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(STAND_IN)
    (package / "utils.py").write_text('import os\nCACHE_DIR = os.environ["VBENCH_CACHE_DIR"]\n')
    for dimension in DIMENSIONS:
        (package / f"{dimension}.py").write_text("")
    (package / "aesthetic_quality.py").write_text("import a_library_that_is_not_there")
    python, networks = tmp_path / "python", tmp_path / "networks"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{package.parent}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    for dimension in ("motion_smoothness", "imaging_quality", "dynamic_degree"):
        for name in vbench_program.FILES[dimension]:
            (networks / name).parent.mkdir(parents=True)
            (networks / name).touch()
    return python, networks


def test_a_dimension_without_its_library_or_networks_is_left_out(stand_in):
    vbench = VBenchDimensions(*stand_in, "cpu")
    assert vbench.dimensions == ["temporal_flickering", "motion_smoothness", "dynamic_degree", "imaging_quality"]
    assert [measure.title for measure in vbench.measures] == [name.replace("_", " ") for name in vbench.dimensions]
    assert vbench.left_out["aesthetic_quality"].startswith("ModuleNotFoundError: No module named 'a_library")
    assert vbench.left_out["background_consistency"] == f"there is no {stand_in[1]}/clip_model/ViT-B-32.pt"
    assert vbench.left_out["subject_consistency"].count("dino_vitbase16_pretrain.pth") == 2


def test_each_video_gets_its_own_numbers_on_the_scale_of_the_tables(stand_in):
    vbench, clips = VBenchDimensions(*stand_in, "cpu"), [video(0, 9), video(1, 12), video(2, 9)]
    found, notes = vbench.scores(iter(clips), 12.5)
    for clip, scores in zip(clips, found, strict=True):
        of = clip[0].mean() + len(clip) / 1000
        assert scores["vbench_temporal_flickering"] == pytest.approx(of)
        assert scores["vbench_imaging_quality"] == pytest.approx(of / 100)
        assert "vbench_dynamic_degree" not in scores  # so that a later run tries again
    assert notes == ["VBench's dynamic degree stopped: RuntimeError: the pictures are too small"]
    assert found[1]["vbench_motion_smoothness"] == pytest.approx(clips[1][0].mean() + 0.012)
    assert found[0]["vbench_motion_smoothness"] is None  # VBench passed over it
    assert vbench.scores([], 12.5) == ([], [])


def test_a_python_without_vbench_and_none_at_all_are_named(tmp_path):
    with pytest.raises(MeasureError, match="has no VBench that works .ModuleNotFoundError: No module named 'vbench'"):
        VBenchDimensions(Path(sys.executable), tmp_path, "cpu")
    with pytest.raises(MeasureError, match="nowhere cannot be run .No such file"):
        VBenchDimensions(tmp_path / "nowhere", tmp_path, "cpu")


def test_what_python_says_when_it_stops_is_passed_on(stand_in):
    vbench = VBenchDimensions(*stand_in, "no such device")
    (stand_in[0].parent / "packages" / "vbench" / "__init__.py").write_text("raise SystemExit('gone')")
    with pytest.raises(MeasureError, match="VBench stopped: gone"):
        vbench.scores([video(0)], 8)


needs_vbench = pytest.mark.skipif(not VBENCH, reason="INBETWEEN_VBENCH_PYTHON names no Python with VBench")
DIRECTLY = """
import json, sys
from vbench.{name} import compute_{name}
from vbench.utils import init_submodules
networks = init_submodules(["{name}"], local=True)["{name}"]
print(json.dumps(compute_{name}(sys.argv[1], "cpu", networks)[1][0]["video_results"]))
"""
SEEDED = """
import os, sys, torch
from easydict import EasyDict
from omegaconf import OmegaConf
import vbench
from vbench.third_party.RAFT.core.raft import RAFT
from vbench.third_party.amt.utils.build_utils import build_from_cfg
torch.manual_seed(0)
raft = RAFT(EasyDict(small=False, mixed_precision=False, alternate_corr=False))
config = os.path.join(os.path.dirname(vbench.__file__), "third_party/amt/cfgs/AMT-S.yaml")
amt = build_from_cfg(OmegaConf.load(config).network)
for path, state in (
    ("raft_model/models/raft-things.pth", {"module." + name: value for name, value in raft.state_dict().items()}),
    ("amt_model/amt-s.pth", {"state_dict": amt.state_dict()}),
):
    os.makedirs(os.path.dirname(os.path.join(sys.argv[1], path)))
    torch.save(state, os.path.join(sys.argv[1], path))
"""


@needs_vbench
def test_the_numbers_are_vbench_s_own_of_the_same_frames(tmp_path):
    """With seeded networks where VBench's file format is known, and those that need none."""
    variables = {**os.environ, "VBENCH_CACHE_DIR": str(tmp_path)}
    subprocess.run([VBENCH, "-c", SEEDED, str(tmp_path)], check=True, env=variables)
    vbench = VBenchDimensions(Path(VBENCH), tmp_path, "cpu")
    assert {"temporal_flickering", "motion_smoothness", "dynamic_degree"} <= set(vbench.dimensions)
    clips = [video(seed, 5, 129, 135) for seed in (0, 1)]
    found, notes = vbench.scores(clips, 8)
    assert notes == []
    for clip, scores in zip(clips, found, strict=True):
        write_as_rgb(tmp_path / "clip.mp4", clip, 8)
        asked = {"prompt_en": "clip", "dimension": vbench.dimensions, "video_list": [str(tmp_path / "clip.mp4")]}
        (tmp_path / "info.json").write_text(json.dumps([asked]))
        for name in vbench.dimensions:
            program = DIRECTLY.format(name=name)
            said = subprocess.run(
                [VBENCH, "-c", program, str(tmp_path / "info.json")], env=variables, stdout=subprocess.PIPE, check=True
            )
            theirs = json.loads(said.stdout.splitlines()[-1])
            assert scores[f"vbench_{name}"] == pytest.approx(float(theirs), rel=1e-4)
        still = np.abs(np.diff(clip.astype(float), axis=0)).mean()
        assert scores["vbench_temporal_flickering"] == pytest.approx(1 - still / 255, rel=1e-6)

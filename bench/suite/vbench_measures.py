"""VBench's dimensions for videos of one's own, from an environment of the user's where VBench is installed.

VBench 0.1.5 asks for NumPy 1 and transformers 4.33, ComfyUI for newer ones: they cannot share an environment. So
`--vbench` names the Python of another one, and vbench_program.py runs there, once for many videos, since it loads its
networks anew each time. It is given every frame exactly, as H.264 in RGB without loss, and uses VBench's own entry,
`VBench.evaluate(mode="custom_input", local=True)`. A dimension whose networks are not on the disk is left out, so that
nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from .results import Measure
from .set_measures import MeasureError
from .video_files import Frames, write_as_rgb


def plain(dimension: str) -> str:
    """The name of a dimension as a person reads it."""
    return dimension.replace("_", " ")


PROGRAM = Path(__file__).with_name("vbench_program.py")
DIMENSIONS = {
    name: Measure(f"vbench_{name}", plain(name), "", "higher", ".4f")
    for name in (
        "subject_consistency",
        "background_consistency",
        "temporal_flickering",
        "motion_smoothness",
        "dynamic_degree",
        "aesthetic_quality",
        "imaging_quality",
    )
}
PERCENT = {"imaging_quality"}  # of one video VBench gives 0 to 100, and 0 to 1 of all


class BatchMeasure(Protocol):
    """Numbers of one video that are only worth their start for many: see ClipMeasure.

    videos_at_once: how many to give in one call.
    """

    name: str
    measures: tuple[Measure, ...]
    about: str
    videos_at_once: int

    def scores(self, videos: Iterable[Frames], fps: float) -> tuple[list[dict[str, float | None]], list[str]]:
        """Of each video, in their order, and a sentence for each measure that stopped: its key is in no video's scores.

        Holds one video at a time in memory. Raises MeasureError where there are no numbers at all.
        """


class VBenchDimensions:
    """Those dimensions that the environment has. All are from 0 to 1; dynamic degree is 0 or 1."""

    about = (
        "VBench 0.1.5, custom input: all frames; imaging quality as 0 to 1. Flickering is meant for still scenes, and "
        "counts motion as flicker."
    )
    name, videos_at_once = "VBench", 64

    def __init__(self, python: Path, files: Path | None, device: str) -> None:
        """python: of the environment. files: VBench's folder of networks, its own default where None.

        Raises MeasureError where that Python has no VBench that works.
        """
        self.python, self.device = python.absolute(), device  # not resolved: an environment's Python is a link
        self.variables = {**os.environ, "HF_HUB_OFFLINE": "1"}
        if files is not None:
            self.variables["VBENCH_CACHE_DIR"] = str(files.absolute())
        for name in ("PYTHONPATH", "PYTHONHOME"):  # of this environment
            self.variables.pop(name, None)
        reasons = self._run("check")
        self.left_out = {name: why for name, why in reasons.items() if why}
        self.dimensions = [name for name in DIMENSIONS if name not in self.left_out]
        self.measures = tuple(DIMENSIONS[name] for name in self.dimensions)
        if not self.dimensions:
            raise MeasureError(
                f"VBench is left out: {python} has no VBench that works ({next(iter(reasons.values()))})"
            )

    def scores(self, videos: Iterable[Frames], fps: float) -> tuple[list[dict[str, float | None]], list[str]]:
        names = []
        with tempfile.TemporaryDirectory() as folder:
            for video in videos:
                names.append(f"{len(names):06d}.mp4")
                write_as_rgb(Path(folder, names[-1]), video, fps)
            answers = self._run("score", folder, self.device, *self.dimensions) if names else {}
        stopped = {name: why for name, why in answers.items() if isinstance(why, str)}
        there = {name: numbers for name, numbers in answers.items() if name not in stopped}
        scores = [{DIMENSIONS[of].key: shared(there[of].get(name), of) for of in there} for name in names]
        return scores, [f"VBench's {plain(name)} stopped: {why}" for name, why in stopped.items()]

    def _run(self, command: str, *arguments: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder, "answer.json")
            call = [str(self.python), "-", command, str(answer), *arguments]
            source = PROGRAM.read_bytes()  # run by its path, it would import from this folder instead of the libraries
            try:
                done = subprocess.run(call, input=source, env=self.variables, cwd=folder, capture_output=True)
            except OSError as error:
                raise MeasureError(f"VBench is left out: {self.python} cannot be run ({error.strerror})") from error
            if done.returncode or not answer.exists():
                lines = done.stderr.decode(errors="replace").strip().splitlines()
                raise MeasureError(f"VBench stopped: {lines[-1] if lines else f'exit status {done.returncode}'}")
            return json.loads(answer.read_text(encoding="utf-8"))


def shared(number: float | None, dimension: str) -> float | None:
    """A number of one video on the scale of VBench's tables, 0 to 1."""
    return number / 100 if number is not None and dimension in PERCENT else number

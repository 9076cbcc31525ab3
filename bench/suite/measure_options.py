"""Which of the optional measures a run has: their options, and a line for each that is left out and how to get it."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .clip_measures import CaptionSimilarity, ClipMeasure
from .plan import told
from .set_measures import I3DDistance, InceptionDistance, MeasureError, SetMeasure, VideoMAEDistance
from .vbench_measures import BatchMeasure, VBenchDimensions, plain

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements-measures.txt"


@dataclass(frozen=True)
class Extra:
    """A measure that needs a library and a file of the user's.

    name: its title. option, attribute: what gives the file. source: which file, and where it is from. library: by its
    name to import; package: by its name to pip.
    """

    name: str
    option: str
    metavar: str
    source: str
    library: str
    package: str
    make: Callable[[Path, str], Any]

    @property
    def attribute(self) -> str:
        return self.option.strip("-").replace("-", "_")


FIDELITY = "https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0"
I3D = "i3d_pretrained_400.pt from https://github.com/songweige/TATS/tree/main/tats/fvd"
MODEL_ZOO = "https://github.com/OpenGVLab/VideoMAEv2/blob/master/docs/MODEL_ZOO.md"
VIDEOMAE = f"vit_g_hybrid_pt_1200e_ssv2_ft.pth, VideoMAE-v2's giant of {MODEL_ZOO}"
INCEPTION = f"weights-inception-2015-12-05-6726825d.pth from {FIDELITY}"
CLIP = "a copy of https://huggingface.co/microsoft/xclip-base-patch32"
FVD_LIBRARY = ("cdfvd", "cd-fvd")
SET_EXTRAS = (
    Extra("FID", "--fid-weights", "FILE", INCEPTION, "torch_fidelity", "torch-fidelity", InceptionDistance),
    Extra("FVD", "--fvd-weights", "FILE", I3D, *FVD_LIBRARY, I3DDistance),
    Extra("CD-FVD", "--cdfvd-weights", "FILE", VIDEOMAE, *FVD_LIBRARY, VideoMAEDistance),
)
CLIP_EXTRAS = (Extra("X-CLIP", "--xclip", "FOLDER", CLIP, "transformers", "transformers", CaptionSimilarity),)


@dataclass(frozen=True)
class ChosenMeasures:
    """What a run can measure beyond its own.

    files: by a measure's name, what it was given, told. absent: a sentence for each measure that cannot be had.
    """

    sets: list[SetMeasure] = field(default_factory=list)
    clips: list[ClipMeasure] = field(default_factory=list)
    batches: list[BatchMeasure] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)

    def about(self) -> list[str]:
        """A sentence on each measure that there is."""
        return [item.about for item in (*self.sets, *self.clips, *self.batches)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of all measures here, as a group."""
    group = parser.add_argument_group("measures by other libraries, each left out unless its files are given")
    for extra in (*SET_EXTRAS, *CLIP_EXTRAS):
        group.add_argument(extra.option, type=Path, metavar=extra.metavar, help=f"{extra.name}: {extra.source}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    of_vbench = "VBench: the Python of an environment where it is installed"
    networks = "VBench's networks (default: its own, ~/.cache/vbench)"
    where = "where these networks run: cpu, cuda, cuda:1 (default: %(default)s)"
    group.add_argument("--vbench", type=Path, metavar="PYTHON", help=of_vbench)
    group.add_argument("--vbench-files", type=Path, metavar="FOLDER", help=networks)
    group.add_argument("--measure-on", default=device, metavar="DEVICE", help=where)


def chosen_measures(options: argparse.Namespace) -> ChosenMeasures:
    """Loads every measure that the options give files for. Raises nothing: what cannot be had is a line of `absent`."""
    chosen = ChosenMeasures()
    for extras, into in ((SET_EXTRAS, chosen.sets), (CLIP_EXTRAS, chosen.clips)):
        for extra in extras:
            try:
                file = getattr(options, extra.attribute)
                into.append(loaded(extra, file, options.measure_on))
                chosen.files[extra.name] = told(file)
            except MeasureError as error:
                chosen.absent.append(str(error))
    try:
        if options.vbench is None:
            raise MeasureError(
                "VBench is left out: install it into an environment of its own (pip install vbench==0.1.5), and give "
                "--vbench PYTHON of that"
            )
        vbench = VBenchDimensions(options.vbench, options.vbench_files, options.measure_on)
    except MeasureError as error:
        chosen.absent.append(str(error))
    else:
        chosen.batches.append(vbench)
        chosen.files["VBench"] = told(options.vbench_files)
        chosen.absent.extend(f"VBench's {plain(name)} is left out: {why}" for name, why in vbench.left_out.items())
    return chosen


def loaded(extra: Extra, file: Path | None, device: str) -> Any:
    """A measure, ready. Raises MeasureError that says how to get what is missing."""
    missing = []
    if importlib.util.find_spec(extra.library) is None:
        missing.append(f"install {extra.package} with `{sys.executable} -m pip install -r {REQUIREMENTS}`")
    if file is None:
        missing.append(f"give {extra.option} {extra.metavar} ({extra.source})")
    if missing:
        raise MeasureError(f"{extra.name} is left out: {', and '.join(missing)}")
    return extra.make(file, device)

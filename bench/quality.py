"""./dev bench quality: every installed method on held-out clips of the demo world, beside its own base, in one table.

The seed of a clip is also the seed of its noise, so that every method starts from the same noise and a row can be made
again from the JSON. A method is compared clip by clip with one row of its group, mostly its base's first-last only;
that row is run even where --methods does not name it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..demo import world
from ..demo.base_folder import ROOT, WORLD_MODELS
from ..demo.host_process import start_host
from ..demo.measures import NAMES, TITLES, load_picture_distance, measured, shown
from ..demo.world_graphs import CFG, PICTURE_VAE, SHIFT, STEPS
from .demo_world import BASES, DemoWorld
from .methods import Method, all_methods
from .paired import Difference, difference
from .scene import Scene

COMPARED = {"psnr": True, "psnr_moving": True, "tail_jump": False}  # measures, and whether more is better
ANY_BASE = next(iter(BASES))  # whose VAE serves rows without a transformer

Row = dict[str, Any]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench quality", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=32, help="how many clips; any 24 hold every kind at every pace")
    parser.add_argument("--first-seed", type=int, help=f"of the first clip; {world.TEST[0]} if it is not given")
    parser.add_argument("--validation", action="store_true", help="the validation clips, to choose settings on")
    parser.add_argument("--methods", nargs="*", default=[], help="only rows whose title is or holds one of these")
    parser.add_argument("--bases", nargs="*", default=[], help="only groups whose name begins with one of these")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=cores, help="clips that are made at once")
    parser.add_argument("--models", type=Path, default=WORLD_MODELS)
    parser.add_argument("--json", type=Path, default=ROOT / "output" / "quality.json", help="every clip's numbers")
    options = parser.parse_args(arguments)
    first = options.first_seed
    if first is None:
        first = (world.VALIDATION if options.validation else world.TEST)[0]
    if options.clips < 1 or first < 0:
        parser.error(f"--clips {options.clips} from --first-seed {first}: at least 1 clip, seeds from 0 on")
    unknown = [word for word in options.methods if not chosen(all_methods(), [word], [])]
    unknown += [word for word in options.bases if not chosen(all_methods(), [], [word])]
    asked = chosen(all_methods(), options.methods, options.bases)
    if unknown or not asked:
        named = f"{unknown[0]!r} names no row" if unknown else "no row of --bases is named by --methods"
        parser.error(f"{named}; there are: {'; '.join(map(titled, all_methods()))}")
    seeds = range(first, first + options.clips)
    for base in sorted({item.base for item in asked if item.base in BASES}):
        if not (options.models / "diffusion_models" / BASES[base]).exists():
            print(f"{base} is left out: there is no {BASES[base]} in {options.models}")
            asked = [item for item in asked if item.base != base]
    if not asked:
        return 1
    options.json.parent.mkdir(parents=True, exist_ok=True)
    results = judged(asked, seeds, options)
    print(f"\n{len(seeds)} clips, seeds {seeds[0]} to {seeds[-1]} ({split_of(seeds)})\n")
    print(tables(asked, results))
    for kind in world.KINDS:
        of_kind = [row for row in results if row["kind"] == kind]
        if of_kind:
            print(f"\n{kind}, {len({row['seed'] for row in of_kind})} clips\n\n{tables(asked, of_kind)}")
    print(f"\nEvery clip's numbers: {options.json}")
    return 0


def chosen(methods: Sequence[Method], words: Sequence[str], bases: Sequence[str]) -> list[Method]:
    """The methods that were asked for, and the rows that they are compared with."""
    titles = {titled(item).lower() for item in methods}

    def named(item: Method, word: str) -> bool:
        """A whole title names its row alone, a part of one every row that has it."""
        title = titled(item).lower()
        return word == title if word in titles else word in title

    asked = [
        item
        for item in methods
        if (not words or any(named(item, word.lower()) for word in words))
        and (not bases or any(item.group.lower().startswith(base.lower()) for base in bases))
    ]
    wanted = {(item.group, item.against) for item in asked}
    return [item for item in methods if item in asked or (item.group, item.name) in wanted]


def titled(item: Method) -> str:
    return f"{item.group}: {item.name}"


def split_of(seeds: Sequence[int]) -> str:
    """Which of the world's splits the seeds are of."""
    named = {"training": world.TRAIN, "validation": world.VALIDATION, "test": world.TEST}
    found = {next((name for name, split in named.items() if seed in split), "no split's") for seed in seeds}
    return " and ".join(sorted(found)) + " clips"


def judged(asked: Sequence[Method], seeds: Sequence[int], options: argparse.Namespace) -> list[Row]:
    """Every row's numbers on every clip, clip by clip; the JSON is written anew after each.

    Each process makes whole clips, with one thread: two threads of one process are hardly quicker than one.
    """
    results: list[Row] = []
    names = [(item.group, item.name) for item in asked]
    with (
        tempfile.TemporaryDirectory(prefix="inbetween-bench-") as folder,
        ProcessPoolExecutor(options.processes, get_context("fork")) as pool,
    ):
        judge = partial(judged_seed, options.models, Path(folder), names)
        for number, rows in enumerate(pool.map(judge, seeds), start=1):
            results += rows
            options.json.write_text(json.dumps({"made_with": conditions(options.models), "clips": results}, indent=1))
            print(f"\r{number}/{len(seeds)} clips", end="", flush=True)
    print()
    return results


def judged_seed(models: Path, folder: Path, names: Sequence[tuple[str, str]], seed: int) -> list[Row]:
    """The numbers of one clip, a row for each (group, name). folder: where this process's host may keep files."""
    judge, scenes = _judge(models, folder / str(os.getpid())), dict[str, Scene]()
    by_name = {(item.group, item.name): item for item in all_methods()}
    rows = []
    with torch.inference_mode():
        for group, name in names:
            item = by_name[group, name]
            if group not in scenes:
                base = item.base if item.base in BASES else ANY_BASE
                scenes[group] = Scene(judge.world(base), world.clip(seed, item.length), seed)
            rows.append(judged_clip(item, scenes[group].begun(), judge.distance))
    return rows


@dataclass(frozen=True)
class Judge:
    """What a process needs for every clip: the world on each base, loaded when it is first asked for."""

    world: Callable[[str], DemoWorld]
    distance: Any


@cache
def _judge(models: Path, folder: Path) -> Judge:
    """Made once in a process."""
    torch.set_num_threads(1)
    folder.mkdir()
    (folder / "models").symlink_to(models.resolve(), target_is_directory=True)
    host = start_host(folder).NODE_CLASS_MAPPINGS
    with torch.inference_mode():
        return Judge(cache(partial(DemoWorld, host)), load_picture_distance(models / "vae" / PICTURE_VAE))


def judged_clip(item: Method, scene: Scene, distance: Any) -> Row:
    """The numbers of one method on one clip."""
    frames = item.make(scene)
    clip = scene.truth
    numbers = {**measured(frames, clip, distance), "calls": scene.calls, "seconds": scene.seconds}
    labels = {"seed": scene.seed, "kind": clip.kind, "pace": clip.pace}
    return {"group": item.group, "method": item.name, **labels, **numbers}


def conditions(models: Path) -> dict[str, Any]:
    """What else a result depends on: the model files, the sampling and the host."""
    from comfyui_version import __version__  # a file of one line, no host behind it

    files = sorted(models.rglob("*.safetensors"))
    return {
        "host": __version__,
        "torch": torch.__version__,
        "steps": STEPS,
        "shift": SHIFT,
        "cfg": CFG,
        "models": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def tables(methods: Sequence[Method], results: Sequence[Row]) -> str:
    """For each group the means over clips, and the differences."""
    groups: dict[str, list[Method]] = {}
    for item in methods:
        groups.setdefault(item.group, []).append(item)
    return "\n\n".join(f"{group}\n{table(items, results)}" for group, items in groups.items())


def table(methods: Sequence[Method], results: Sequence[Row]) -> str:
    """A group's means, one line per method, of the tail jump the median, since it is a ratio; then the differences."""
    width = max(len(item.name) for item in methods) + 2
    lines = [f"{'':<{width}}" + "".join(f"{title:>10}" for title in (*TITLES, "calls", "seconds"))]
    for item in methods:
        rows = _rows(item, results)
        means = {key: sum(row[key] for row in rows) / len(rows) for key in (*NAMES, "calls", "seconds")}
        means["tail_jump"] = median(row["tail_jump"] for row in rows)
        lines.append(f"{item.name:<{width}}{shown(means)}{means['calls']:>10.1f}{means['seconds']:>10.2f}")
    compared = [item for item in methods if item.against is not None]
    if compared:
        titles = (TITLES[NAMES.index(measure)] for measure in COMPARED)
        lines += [f"{'difference [95 %], better on':<{width}}" + "".join(f"{title:>32}" for title in titles)]
    for item in compared:
        cells = (difference_shown(found) for found in differences(item, results).values())
        lines.append(f"{item.name:<{width}}" + "".join(f"{cell:>32}" for cell in cells))
    return "\n".join(lines)


def differences(item: Method, results: Sequence[Row]) -> dict[str, Difference]:
    """By measure, against the row that the method is compared with."""
    rows = _rows(item, results)
    others = [row for row in results if (row["group"], row["method"]) == (item.group, item.against)]
    return {
        measure: difference([row[measure] for row in rows], [row[measure] for row in others], higher)
        for measure, higher in COMPARED.items()
    }


def difference_shown(found: Difference) -> str:
    between = "no interval" if found.low is None else f"{found.low:+.2f}, {found.high:+.2f}"
    return f"{found.mean:+.2f} [{between}] {found.better}/{found.clips}"


def _rows(item: Method, results: Sequence[Row]) -> list[Row]:
    return [row for row in results if (row["group"], row["method"]) == (item.group, item.name)]

"""./dev bench quality: every installed method on held-out clips of the demo world, in one table.

The seed of a clip is also the seed of its noise, so that every method starts from the same noise and a row can be made
again from the JSON beside the table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ..demo import world
from ..demo.base_folder import ROOT, WORLD_MODELS
from ..demo.host_process import start_host
from ..demo.measures import NAMES, TITLES, load_picture_distance, measured, shown
from ..demo.world_graphs import CFG, PICTURE_VAE, SHIFT, STEPS
from .demo_world import DemoWorld, Pair
from .methods import Method, all_methods


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench quality", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=32, help="how many held-out clips, 1 to 256, the kinds in turn")
    parser.add_argument("--methods", nargs="*", help="only rows whose name holds one of these words")
    parser.add_argument("--validation", action="store_true", help="the validation clips, to choose settings on")
    parser.add_argument("--models", type=Path, default=WORLD_MODELS)
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "quality.json")
    options = parser.parse_args(arguments)
    split = world.VALIDATION if options.validation else world.TEST
    if not 1 <= options.clips <= len(split):
        parser.error(f"--clips {options.clips} is not between 1 and {len(split)}")
    seeds = split[: options.clips]
    results: list[dict[str, Any]] = []
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="inbetween-bench-") as folder, torch.inference_mode():
        (Path(folder) / "models").symlink_to(options.models.resolve(), target_is_directory=True)
        loaded = DemoWorld(start_host(Path(folder)).NODE_CLASS_MAPPINGS)
        distance = load_picture_distance(options.models / "vae" / PICTURE_VAE)
        for item in all_methods():
            if _asked(item, options.methods):
                results += judged(item, loaded, seeds, distance)
                text = {"made_with": conditions(options.models), "clips": results}
                options.output.write_text(json.dumps(text, indent=1))
    print(f"\n{len(seeds)} {'validation' if options.validation else 'test'} clips, seeds {seeds[0]} to {seeds[-1]}\n")
    print(table(results))
    for kind in world.KINDS:
        of_kind = [row for row in results if row["kind"] == kind]
        if of_kind:
            print(f"\n{kind}, {len({row['seed'] for row in of_kind})} clips\n\n{table(of_kind)}")
    print(f"\nEvery clip's numbers: {options.output}")
    return 0


def conditions(models: Path) -> dict[str, Any]:
    """What else a result depends on: the model files, the sampling and the host."""
    from comfyui_version import __version__

    files = sorted(models.rglob("*.safetensors"))
    return {
        "host": __version__,
        "torch": torch.__version__,
        "steps": STEPS,
        "shift": SHIFT,
        "cfg": CFG,
        "models": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
    }


def judged(item: Method, loaded: DemoWorld, seeds: Sequence[int], distance: Any) -> list[dict[str, Any]]:
    """One row of numbers per clip."""
    rows = []
    for seed in seeds:
        clip = world.clip(seed, item.length)
        before, began = loaded.calls, time.monotonic()
        frames = item.make(loaded, clip if item.sees_truth else Pair.of(clip), seed)
        seconds = time.monotonic() - began
        numbers = {**measured(frames, clip, distance), "calls": loaded.calls - before, "seconds": seconds}
        rows.append({"method": item.name, "seed": seed, "kind": clip.kind, **numbers})
        print(f"\r{item.name:<32} {len(rows)}/{len(seeds)}  ", end="", flush=True)
    print()
    return rows


def table(results: Sequence[dict[str, Any]]) -> str:
    """Means over clips, one line per method; of the tail jump the median, since it is a ratio."""
    names = list(dict.fromkeys(row["method"] for row in results))
    lines = [f"{'method':<34}" + "".join(f"{title:>10}" for title in (*TITLES, "calls", "seconds"))]
    for name in names:
        rows = [row for row in results if row["method"] == name]
        means = {key: sum(row[key] for row in rows) / len(rows) for key in (*NAMES, "calls", "seconds")}
        means["tail_jump"] = median(row["tail_jump"] for row in rows)
        lines.append(f"{name:<34}{shown(means)}{means['calls']:>10.1f}{means['seconds']:>10.2f}")
    return "\n".join(lines)


def _asked(item: Method, words: Sequence[str] | None) -> bool:
    return not words or any(word.lower() in item.name.lower() for word in words)

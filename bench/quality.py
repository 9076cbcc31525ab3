"""./dev bench quality: every installed method on held-out clips of the demo world, in one table.

The seed of a clip is also the seed of its noise, so that every method starts from the same noise and a row can be made
again from the JSON beside the table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..demo import world
from ..demo.measures import NAMES, TITLES, load_picture_distance, measured, shown
from ..demo.world_graphs import PICTURE_VAE
from .demo_world import DemoWorld
from .methods import Method, all_methods

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "demo" / "models"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench quality", description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=32, help="how many held-out clips, the kinds in turn")
    parser.add_argument("--methods", nargs="*", help="only rows whose name holds one of these words")
    parser.add_argument("--validation", action="store_true", help="the validation clips, to choose settings on")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--output", type=Path, default=ROOT / "output")
    options = parser.parse_args(arguments)
    seeds = (world.VALIDATION if options.validation else world.TEST)[: options.clips]
    methods = [item for item in all_methods() if _asked(item, options.methods)]
    with tempfile.TemporaryDirectory(prefix="inbetween-bench-") as folder, torch.inference_mode():
        loaded = DemoWorld(Path(folder), options.models.resolve())
        distance = load_picture_distance(options.models / "vae" / PICTURE_VAE)
        results = [row for item in methods for row in judged(item, loaded, seeds, distance)]
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "quality.json"
    path.write_text(json.dumps({"split": "validation" if options.validation else "test", "clips": results}, indent=1))
    print(f"\n{len(seeds)} {'validation' if options.validation else 'test'} clips, seeds {seeds[0]} to {seeds[-1]}\n")
    print(table(results))
    for kind in world.KINDS:
        of_kind = [row for row in results if row["kind"] == kind]
        if of_kind:
            print(f"\n{kind}, {len({row['seed'] for row in of_kind})} clips\n\n{table(of_kind)}")
    print(f"\nEvery clip's numbers: {path}")
    return 0


def judged(item: Method, loaded: DemoWorld, seeds: Sequence[int], distance: Any) -> list[dict[str, Any]]:
    """One row of numbers per clip."""
    rows = []
    for seed in seeds:
        clip = world.clip(seed)
        before, began = loaded.calls, time.monotonic()
        frames = item.make(loaded, clip, seed)
        seconds = time.monotonic() - began
        rows.append(
            {
                "method": item.name,
                "seed": seed,
                "kind": clip.kind,
                **measured(frames, clip, distance),
                "calls": loaded.calls - before,
                "seconds": seconds,
            }
        )
        print(f"\r{item.name:<32} {len(rows)}/{len(seeds)}  ", end="", flush=True)
    print()
    return rows


def table(results: Sequence[dict[str, Any]]) -> str:
    """Means over clips, one line per method."""
    names = list(dict.fromkeys(row["method"] for row in results))
    lines = [f"{'method':<34}" + "".join(f"{title:>10}" for title in (*TITLES, "calls", "seconds"))]
    for name in names:
        rows = [row for row in results if row["method"] == name]
        means = {key: sum(row[key] for row in rows) / len(rows) for key in (*NAMES, "calls", "seconds")}
        lines.append(f"{name:<34}{shown(means)}{means['calls']:>10.1f}{means['seconds']:>10.2f}")
    return "\n".join(lines)


def _asked(item: Method, words: Sequence[str] | None) -> bool:
    return not words or any(word.lower() in item.name.lower() for word in words)

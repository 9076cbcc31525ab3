"""./dev bench suite: which workflow, with which settings, on your kind of material?

Makes every clip of a folder with every workflow, over one or many ComfyUI servers, and judges the videos against the
truth. docs/judge.md explains the data, the names that the suite looks for in a workflow, and the results.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import signal
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import torch
from tqdm import tqdm

from .batch_scores import keep_batch_scores
from .clips import ClipError
from .dataset import Dataset, open_dataset
from .fleet import LOCAL, Fleet, connected
from .measure_options import add_arguments, chosen_measures, files_given
from .report import clip_columns, results
from .spread import SHORTEST, Plan, Spread
from .store import FILE, Store, StoreError
from .workflow_file import Workflow, WorkflowError, read_workflow
from .write import write_results

DONE, NOT_DONE, UNUSABLE = 0, 1, 2
MOST_FPS = 240
AGAIN = "run the same command again to go on."
VERSION, LPIPS = "ComfyUI", "--lpips"  # settings that are asked for by name


class UsageError(Exception):
    """The command cannot be carried out; the text has a line for everything that is wrong."""


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    try:
        if options.demo:
            from .demo_run import judge_demo_world

            return judge_demo_world(options, judged)
        return judged(options)
    except (UsageError, StoreError, ClipError) as error:
        print(error, file=sys.stderr)
        return UNUSABLE


def parsed(arguments: list[str]) -> argparse.Namespace:
    """The command's options; ends the process with a sentence where one is missing."""
    parser = argparse.ArgumentParser(prog="./dev bench suite", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="a folder in TGI-Bench's layout, or of clips")
    parser.add_argument(
        "--workflows", type=Path, nargs="+", help="workflow files, as the browser saves or exports them"
    )
    parser.add_argument("--out", type=Path, help="folder of the results; the same one again goes on")
    parser.add_argument("--server", nargs="+", default=[LOCAL], help="ComfyUI servers, one a GPU")
    parser.add_argument("--lengths", type=int, nargs="+", help="in frames; without it all that TGI-Bench's files have")
    parser.add_argument("--size", nargs="+", default=["832x480"], help="WxH of all, for one workflow also NAME=WxH")
    parser.add_argument("--seed", type=int, default=0, help="every clip's own seed follows from it")
    parser.add_argument("--fps", type=float, default=16.0, help="of the files for the eye")
    parser.add_argument("--caption", help="the prompt of clips that have none; without it they are left out")
    parser.add_argument("--baseline", help="the workflow that the others are compared with; without it the first")
    parser.add_argument("--lpips", type=Path, help="a backbone file for LPIPS, as for the node Load LPIPS")
    parser.add_argument("--demo", action="store_true", help="the demo world: its clips, models, workflows and a server")
    add_arguments(parser)
    options = parser.parse_args(arguments)
    missing = [name for name in ("data", "workflows", "out") if getattr(options, name) is None and not options.demo]
    if missing:
        parser.error(" and ".join(f"--{name}" for name in missing) + " must be given (or --demo)")
    return options


def judged(options: argparse.Namespace) -> int:
    """Makes, scores and writes what the options ask for; returns the exit status.

    Raises:
        UsageError, StoreError, ClipError: nothing can be made.
    """
    _check(options)
    dataset = open_dataset(options.data, options.lengths, options.caption)
    store = Store(options.out)
    try:
        return _finished(asyncio.run(_made(options, dataset, store)), store)
    except OSError as error:
        print(f"{error}\nWhat is finished is kept: {AGAIN}", file=sys.stderr)
    except sqlite3.OperationalError as error:
        print(f"{options.out / FILE}: {error}.\nWhat is finished is kept: {AGAIN}", file=sys.stderr)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print(f"\nStopped. What is finished is kept: {AGAIN}", file=sys.stderr)
    finally:
        store.close()
    return NOT_DONE


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for what is wrong whatever the data and the servers are."""
    wrong = []
    short = [length for length in options.lengths or () if length < SHORTEST]
    if short:
        wrong.append(f"--lengths {short[0]}: at least {SHORTEST} frames can be judged.")
    if not (math.isfinite(options.fps) and 1 <= options.fps <= MOST_FPS):
        wrong.append(f"--fps {options.fps:g}: frames a second are 1 to {MOST_FPS}.")
    if options.out.resolve().is_relative_to(options.data.resolve()):
        wrong.append(
            f"--out {options.out} is in the folder of the clips, and the next run would take the results for clips: "
            f"give a folder outside of {options.data}."
        )
    if wrong:
        raise UsageError("\n".join(wrong))


async def _made(options: argparse.Namespace, dataset: Dataset, store: Store) -> _Assignment:
    """Makes and scores every clip."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        fleet = await connected(options.server, session, store.setting(VERSION))
        workflows, wrong = _workflows(options.workflows, fleet)
        left_out = [*fleet.left_out, *wrong]
        _tell(left_out)
        if not workflows or not fleet.servers:
            raise UsageError("There is no workflow and server to go on with.")
        job = _Assignment(options, dataset, {one.name: one for one in workflows}, fleet.version)
        _tell(job.notes)
        job.enter(store)
        _tell(dataset.left_out)
        job.left_out = [*left_out, *dataset.left_out]
        counts = store.counts(job.plan.names, job.plan.lengths)
        if not counts:
            raise UsageError(f"{options.data} has no clip that can be judged.")
        with tqdm(total=sum(counts.values()), initial=counts.get("scored", 0), smoothing=0.05, unit="clip") as bar:
            spread = Spread(job.plan, store, bar)
            await spread.run(fleet.servers)
    job.notes += spread.notes
    return job


class _Assignment:
    """What the options come to, once the servers and workflows are known.

    notes, left_out: sentences for under the tables.
    """

    def __init__(
        self, options: argparse.Namespace, dataset: Dataset, workflows: Mapping[str, Workflow], version: str
    ) -> None:
        self.dataset = dataset
        self.left_out: list[str] = []
        self.measures = chosen_measures(options)
        self.notes = [*self.measures.about(), *self.measures.absent]
        size, sizes = _sizes(options.size, workflows)
        if options.baseline and options.baseline not in workflows:
            raise UsageError(f"--baseline {options.baseline} is none of the workflows: {', '.join(workflows)}.")
        self.baseline = options.baseline or next(iter(workflows))
        metric, note = _lpips(options.lpips)
        self.notes += note
        lengths = dataset.lengths
        self.plan = Plan(
            options.out, workflows, lengths, sizes, size, options.seed, options.fps, metric, self.measures.clips
        )
        self.settings = {
            VERSION: version,
            "--data": dataset.name,
            "--seed": str(options.seed),
            "--fps": f"{options.fps:g}",
            "--size": "x".join(map(str, size)),
            **{f"the size of {name}": "x".join(map(str, own)) for name, own in sizes.items()},
            **{f"the contents of {one.name}.json": one.digest for one in workflows.values()},
            **({LPIPS: options.lpips.name} if metric else {}),
            **files_given(options),
        }

    def enter(self, store: Store) -> None:
        """Puts every clip into the store, and back into its queue what is not finished."""
        if (before := store.setting(LPIPS)) and not self.plan.metric:
            raise UsageError(
                f"the keyframe distances here were made with {LPIPS} {before}, and without it they are other numbers: "
                f"give it again, or give another --out."
            )
        store.settle(self.settings)
        store.add(self.plan.names, self.dataset.clips())
        store.resume([measure.key for measure in clip_columns(self.plan)])


def _finished(job: _Assignment, store: Store) -> int:
    """Writes the results; returns the exit status."""
    folder = job.plan.folder
    counts = store.counts(job.plan.names, job.plan.lengths)
    open_ones = sum(counts.get(state, 0) for state in ("waiting", "running", "made"))
    unfinished = [f"{open_ones} clips are not made yet, because no server answers: {AGAIN}"] if open_ones else []
    job.notes += keep_batch_scores(job.plan, store, job.measures.batches)
    left_out = [*job.left_out, *unfinished]
    found = results(job.plan, store, job.measures, job.baseline, job.dataset.name, job.notes, left_out)
    if counts.get("scored"):
        write_results(found, folder, store.caption)
        print((folder / "table.md").read_text(encoding="utf-8"))
        print(f"Clips side by side: {folder / 'index.html'}")
    else:
        _tell(["No clip was made.", *found.left_out])
    return DONE if counts.get("scored") and not open_ones else NOT_DONE


def _workflows(paths: Sequence[Path], fleet: Fleet) -> tuple[list[Workflow], list[str]]:
    """The workflows that can be filled and run, and sentences on the others."""
    found, wrong = [], []
    for path in paths if fleet.servers else ():
        try:
            if any(path.stem == one.name for one in found):
                raise WorkflowError(f"{path}: another workflow is called {path.stem} too; rename the file.")
            found.append(read_workflow(path, fleet.object_info))
        except WorkflowError as error:
            wrong += str(error).splitlines()
    before = len(fleet.left_out)
    usable = fleet.keep_able(found)
    return usable, [*wrong, *fleet.left_out[before:]]


def _sizes(
    words: Sequence[str], workflows: Mapping[str, Workflow]
) -> tuple[tuple[int, int], dict[str, tuple[int, int]]]:
    """The size of the scores, and what each workflow makes."""
    size, own = (832, 480), {}
    for word in words:
        match = re.fullmatch(r"(?:(.+)=)?(\d+)x(\d+)", word)
        if not match or (match[1] and match[1] not in workflows):
            raise UsageError(f"--size {word} is not WxH or NAME=WxH; names are {', '.join(workflows)}.")
        pair = (int(match[2]), int(match[3]))
        if match[1]:
            own[match[1]] = pair
        else:
            size = pair
    sizes = {name: own.get(name, size) for name in workflows}
    wrong = [
        f"{name} cannot make {pair[0]}x{pair[1]}: its sides are multiples of {side}; the nearest is "
        f"{_nearest(pair[0], side)}x{_nearest(pair[1], side)}. Give --size {name}=WxH."
        for name, pair in sizes.items()
        for side in [workflows[name].grid.side]
        if any(length % side or not length for length in pair)
    ]
    if any(side % 2 or side < 16 for side in size):
        wrong.append(f"--size {size[0]}x{size[1]}: sides are even and at least 16.")
    if wrong:
        raise UsageError("\n".join(wrong))
    return size, sizes


def _nearest(length: int, side: int) -> int:
    return max(side, side * round(length / side))


def _lpips(path: Path | None) -> tuple[Any, list[str]]:
    """LPIPS on the backbone of a file, or None and a sentence."""
    if path is None:
        return None, ["LPIPS is absent: give --lpips FILE, torchvision's alexnet-owt-7be5be79.pth for instance."]
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    import folder_paths

    from ...frames.lpips_host import FOLDER, load_lpips

    folder_paths.add_model_folder_path(FOLDER, str(path.resolve().parent))
    try:
        return load_lpips(path.name), []
    except ValueError as error:
        raise UsageError(f"--lpips {path}: {error}") from None


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)

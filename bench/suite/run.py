"""./dev bench suite: which workflow, with which settings, on your kind of material?

Makes every clip of a folder with every workflow, over one or many ComfyUI servers, and judges the videos against the
truth. docs/judge.md explains the data, the names that the suite looks for in a workflow, and the results.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from tqdm import tqdm

from ...demo.server import Server
from .clips import ClipError
from .dataset import Dataset, open_dataset
from .measure_options import ChosenMeasures, add_arguments, chosen_measures
from .more_scores import keep_more_scores
from .plan import Plan
from .progress import MADE, OPEN, SCORED, TAKEN, Progress
from .report import results
from .scoring import loaded_lpips
from .servers import LOCAL, SHORTEST, Fleet, Start, connected
from .spread import Spread
from .workflow_file import Workflow, WorkflowError, read_workflow
from .write import write_results

DONE, NOT_DONE, UNUSABLE = 0, 1, 2
MOST_FPS = 240
WriteWorkflows = Callable[[Mapping[str, Any]], list[Path]]
AGAIN = "run the same command again to go on."
OBJECTS = 200 * 2**20  # bytes of memory that Ray may share between processes; nothing large goes through it
LOCK = "suite.lock"


class UsageError(Exception):
    """The command cannot be carried out; the text has a line for everything that is wrong."""


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    try:
        if options.demo:
            from .demo_run import judge_demo_world

            return judge_demo_world(options, judged)
        return judged(options)
    except (UsageError, ClipError) as error:
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
    parser.add_argument("--server", nargs="+", help=f"ComfyUI servers, one a GPU (default: {LOCAL})")
    parser.add_argument(
        "--ray", metavar="ADDRESS", help="a cluster of Ray; without --server, a ComfyUI is started on each of its GPUs"
    )
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


def judged(options: argparse.Namespace, start: Start | None = None, workflows: WriteWorkflows | None = None) -> int:
    """Makes, scores and writes what the options ask for; returns the exit status.

    Args:
        start: a server where none is given, ComfyUI's own folder without it.
        workflows: writes the files once the servers' nodes are known; None for those of the options.
    Raises:
        UsageError, ClipError: nothing can be made.
    """
    _check(options)
    dataset = open_dataset(options.data, options.lengths, options.caption)
    try:
        with _locked(options.out), _session(options.ray), contextlib.closing(Fleet()) as fleet:
            urls = options.server or ([] if options.ray else [LOCAL])
            connected(fleet, urls, start or host_server)
            if workflows:
                options.workflows = workflows(fleet.object_info)
            return _finished(options, dataset, fleet)
    except OSError as error:
        print(f"{error}\nWhat is finished is kept: {AGAIN}", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\nStopped. What is finished is kept: {AGAIN}", file=sys.stderr)
    return NOT_DONE


def host_server(scratch: Path) -> Server:
    """A server of the ComfyUI at COMFYUI_PATH, with its models and packs."""
    return Server(Path(os.environ["COMFYUI_PATH"]), scratch=scratch)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """The folder of the results, for one run at a time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "w")
    except OSError as error:
        raise UsageError(f"--out {folder} cannot be written: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"--out {folder} is in use by another run; wait for it or choose another folder."
            ) from None
        yield


@contextlib.contextmanager
def _session(address: str | None) -> Iterator[None]:
    """Ray: of the cluster at an address, else of this machine's cores; one that is there already is used."""
    if ray.is_initialized():
        yield
        return
    own = {"num_cpus": len(os.sched_getaffinity(0)), "object_store_memory": OBJECTS, "include_dashboard": False}
    try:
        ray.init(address or "local", log_to_driver=False, logging_level="error", **({} if address else own))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(f"--ray {address} cannot be joined: {str(error).strip().splitlines()[0]}") from None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        ray.shutdown()


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


def _finished(options: argparse.Namespace, dataset: Dataset, fleet: Fleet) -> int:
    """Makes and scores every clip, and writes the results; returns the exit status."""
    workflows, wrong = _workflows(options.workflows, fleet)
    _tell([*fleet.left_out, *wrong])
    if not workflows or not fleet.workers:
        raise UsageError("There is no workflow and server to go on with.")
    measures = chosen_measures(options)
    plan, baseline = _plan(options, dataset, {one.name: one for one in workflows}, fleet.version)
    notes = [*measures.about(), *measures.absent]
    notes += (
        []
        if plan.lpips
        else ["LPIPS is absent: give --lpips FILE, torchvision's alexnet-owt-7be5be79.pth for instance."]
    )
    _tell(notes)
    progress = Progress(plan, dataset)
    _tell([*progress.survey(), *dataset.left_out])
    total = progress.count(OPEN, MADE, SCORED)
    if not total:
        raise UsageError(f"{options.data} has no clip that can be judged.")
    with tqdm(total=total, initial=progress.count(SCORED), smoothing=0.05, unit="clip") as bar:
        Spread(progress, fleet, bar).run()
    fleet.close()
    left_out = [*fleet.left_out, *wrong, *dataset.left_out]
    if count := progress.count(OPEN, MADE, TAKEN):
        left_out.append(f"{count} clips are not made yet, because no server answers: {AGAIN}")
    _write(progress, measures, baseline, dataset.name, notes, left_out)
    return DONE if progress.count(SCORED) and not count else NOT_DONE


def _write(
    progress: Progress,
    measures: ChosenMeasures,
    baseline: str,
    title: str,
    notes: Sequence[str],
    left_out: Sequence[str],
) -> None:
    folder = progress.plan.folder
    more_notes = keep_more_scores(progress, measures)
    found = results(progress, measures, baseline, title, [*notes, *more_notes], left_out)
    if progress.count(SCORED):
        write_results(found, folder)
        print((folder / "table.md").read_text(encoding="utf-8"))
        print(f"Clips side by side: {folder / 'index.html'}")
    else:
        _tell(["No clip was made.", *found.left_out])


def _plan(
    options: argparse.Namespace, dataset: Dataset, workflows: Mapping[str, Workflow], version: str
) -> tuple[Plan, str]:
    """What the options come to, and the baseline."""
    size, sizes = _sizes(options.size, workflows)
    if options.baseline and options.baseline not in workflows:
        raise UsageError(f"--baseline {options.baseline} is none of the workflows: {', '.join(workflows)}.")
    try:
        loaded_lpips(options.lpips)  # a file that is none is told before anything is made
    except ValueError as error:
        raise UsageError(f"--lpips {options.lpips}: {error}") from None
    out, lengths, seed = options.out.resolve(), dataset.lengths, options.seed
    plan = Plan(
        out, workflows, lengths, sizes, size, seed, options.fps, version, options.lpips and options.lpips.resolve()
    )
    return plan, options.baseline or next(iter(workflows))


def _workflows(paths: Sequence[Path], fleet: Fleet) -> tuple[list[Workflow], list[str]]:
    """The workflows that can be filled and run, and sentences on the others."""
    found, wrong = [], []
    for path in paths if fleet.workers else ():
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


def _tell(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, file=sys.stderr)

"""One training loop for every model of the demo world: accelerate, a moving average, checkpoints, held-out numbers.

A batch is a pure function of the process and the step, so a run that was stopped goes on as if it had not.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from .optimizer import MatrixOptimizer
from .precision import Precision, measured_precision

log = logging.getLogger(__name__)

Batch = Any  # a tensor, or a dict or tuple of tensors


class Task(Protocol):
    """What is trained: a module whose forward takes a batch and gives the loss, and what belongs to it.

    Attributes:
        name: of the stage. file: where the host looks for the result, under a models folder.
    """

    name: str
    file: str

    def module(self) -> nn.Module:
        """A fresh module; its forward maps a batch to (loss, numbers to log)."""

    def rate(self, step: int, steps: int) -> float:
        """Share of the highest learning rate at this step, 1 to steps."""

    def batch(self, index: int, step: int, steps: int) -> Batch:
        """What one process sees at a step, 0 to steps-1; `index` is another for every process and step."""

    def held_out(self, module: nn.Module, device: torch.device) -> dict[str, float]:
        """Numbers on clips that training never sees."""

    def export(self, module: nn.Module, path: Path) -> None:
        """Writes the host's file."""

    def load(self, module: nn.Module, path: Path) -> None:
        """Reads the host's file into a module, to go on from it."""


@dataclass(frozen=True)
class Settings:
    """How long and how fast; what is not said here is the same for every model.

    Attributes:
        steps: optimiser steps in all. Several processes take as many steps, each with a batch of its own.
        rate: the highest learning rate.
        workers: processes that draw batches; 0 draws them in this one.
        every: steps between held-out numbers and checkpoints.
        threads: CPU threads of this process.
        muon: whether matrices are trained by Muon; else AdamW trains everything.
    """

    steps: int
    rate: float
    workers: int = 0
    every: int = 500
    threads: int = 1
    muon: bool = True


WARM_UP = 100  # steps
COOL_DOWN = 0.5
AVERAGE = 0.998  # share of the moving average that stays at each step
CLIP = 1.0  # the longest gradient


def train(task: Task, folder: Path, settings: Settings, start_from: Path | None = None) -> None:
    """Trains a task, or goes on with one, and writes the model files at every checkpoint and at the end.

    Args:
        folder: of this run: state.pt (to go on), log.jsonl (numbers), models/ (the host's files).
        start_from: a models folder; a new run begins with the weights in its file.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    # some parts rest in some steps: residual branches, image tokens
    device = PartialState().device
    module = task.module().to(device)
    precision = _precision(task, module, settings, device)
    accelerator = Accelerator(kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)])
    average = {key: value.detach().clone() for key, value in module.state_dict().items()}
    optimizer = MatrixOptimizer(module, settings.rate, settings.muon, precision.optimizer)
    step, spent = 0, 0.0
    state_file = folder / "state.pt"
    if state_file.exists():
        state = torch.load(state_file, map_location=accelerator.device, weights_only=True)
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, spent = state["average"], state["step"], state["seconds"]
    elif start_from is not None:
        task.load(module, start_from / task.file)
        average = {key: value.detach().clone() for key, value in module.state_dict().items()}
    module = accelerator.prepare(module)
    began, first = time.monotonic(), step
    losses = Means()
    for batch in _batches(task, settings, accelerator, step):
        step += 1
        optimizer.set_rate(task.rate(step, settings.steps) * settings.rate)
        with precision.autocast(device):
            loss, numbers = module(_moved(batch, accelerator.device))
        module.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(module.parameters(), CLIP)
        optimizer.step()
        losses.add({"loss": float(loss.detach()), **numbers})
        _update(average, accelerator.unwrap_model(module), min(AVERAGE, step / (step + 10)))
        if accelerator.is_main_process and (step == settings.steps or step % settings.every == 0):
            elapsed = spent + time.monotonic() - began
            found = _judged(task, average, precision, device, folder)
            row = {"step": step, "seconds": round(elapsed), **losses.taken(), **found}
            with open(folder / "log.jsonl", "a") as file:
                file.write(json.dumps(row) + "\n")
            rate = (step - first) / (time.monotonic() - began)
            pace = f"{rate:.2f} steps/s, {(settings.steps - step) / rate / 60:.0f} min left"
            log.info("%s %s  %s", task.name, "  ".join(f"{key} {_shown(value)}" for key, value in row.items()), pace)
            # last, so that a run ended before here repeats what it has not written
            _checkpoint(state_file, accelerator.unwrap_model(module), optimizer, average, step, elapsed)
    accelerator.wait_for_everyone()


def _precision(task: Task, module: nn.Module, settings: Settings, device: torch.device) -> Precision:
    """What this machine is quickest in, measured on the task's first batch."""
    batch = _moved(task.batch(0, 0, settings.steps), device)

    def run() -> None:
        loss, _ = module(batch)
        loss.backward()
        module.zero_grad(set_to_none=True)

    return measured_precision(run, device)


@torch.no_grad()
def _judged(
    task: Task, average: dict[str, Tensor], precision: Precision, device: torch.device, folder: Path
) -> dict[str, float]:
    """Writes the averaged weights as the host's file and returns their held-out numbers."""
    averaged = task.module().to(device)
    averaged.load_state_dict(average)
    averaged.eval()
    path = folder / "models" / task.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with precision.autocast(device):
        task.export(averaged, path)
        return task.held_out(averaged, device)


def rate_over(step: int, begin: int, end: int, fall: float = COOL_DOWN) -> float:
    """Share of the highest learning rate in a phase: up over WARM_UP, flat, and along a cosine to 0 at the end.

    fall: the last share of the phase, in which the rate falls.
    """
    warm = min(1.0, (step - begin) / WARM_UP)
    level = end - fall * (end - begin)
    return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, (step - level) / (end - level)))))


class Means:
    """Running means of what is logged since it was last taken."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, numbers: dict[str, float]) -> None:
        for key, value in numbers.items():
            total, count = self._sums.get(key, (0.0, 0))
            self._sums[key] = total + float(value), count + 1

    def taken(self) -> dict[str, float]:
        means = {key: total / count for key, (total, count) in self._sums.items()}
        self._sums = {}
        return means


class _Steps(Dataset):
    """The batch of each step of this process."""

    def __init__(self, task: Task, settings: Settings, process: int, processes: int, start: int) -> None:
        self._task, self._settings, self._start = task, settings, start
        self._process, self._processes = process, processes

    def __len__(self) -> int:
        return max(0, self._settings.steps - self._start)

    def __getitem__(self, offset: int) -> Batch:
        if offset >= len(self):
            raise IndexError(offset)
        step = self._start + offset
        return self._task.batch(step * self._processes + self._process, step, self._settings.steps)


def _batches(task: Task, settings: Settings, accelerator: Accelerator, start: int) -> Iterator[Batch]:
    steps = _Steps(task, settings, accelerator.process_index, accelerator.num_processes, start)
    return iter(DataLoader(steps, batch_size=None, num_workers=settings.workers))


def _moved(batch: Batch, device: torch.device) -> Batch:
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: _moved(value, device) for key, value in batch.items()}
    return batch


@torch.no_grad()
def _update(average: dict[str, Tensor], module: nn.Module, share: float) -> None:
    for key, value in module.state_dict().items():
        average[key].lerp_(value, 1 - share)


def load_host_file(part: nn.Module, path: Path) -> None:
    """Reads a safetensors file of any precision into the part of a module that it was written from."""
    part.load_state_dict({key: value.float() for key, value in load_file(path).items()})


def write_host_file(part: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Writes a part of a module as safetensors, in its own precision."""
    state = {key: value.detach().cpu().contiguous() for key, value in part.state_dict().items()}
    save_file(state, path, metadata)


def _checkpoint(
    path: Path, module: nn.Module, optimizer: MatrixOptimizer, average: dict[str, Tensor], step: int, seconds: float
) -> None:
    """Writes to a second file first: a run that is ended meanwhile keeps its last checkpoint."""
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average,
        "step": step,
        "seconds": seconds,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.4g}"

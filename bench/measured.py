"""Time and peak memory of one piece of work, on a GPU or a CPU."""

from __future__ import annotations

import json
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile


def measured(work: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor, int]:
    """Seconds, result, and the most memory that a work holds at a time, above what was held before it."""
    if device.type == "cuda":
        work()  # the first run warms up; none on a CPU, where a run takes minutes
    return measured_once(work, device)


def measured_once(work: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor, int]:
    """The same without a run before it that warms up."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, start = torch.cuda.memory_allocated(), time.perf_counter()
        result = work()
        torch.cuda.synchronize()
        return time.perf_counter() - start, result, torch.cuda.max_memory_allocated() - before
    with _sampled_memory() as seen:
        start = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - start
    return seconds, result, max(seen) - seen[0]


def tensor_peak(work: Callable[[], Tensor], device: torch.device | None = None) -> int:
    """Bytes of tensors that a work holds at most at a time, above what was held before it.

    On a CPU from the allocator's own record: a process keeps memory that was freed.

    Args:
        device: where the work is done; None: a GPU if there is one.
    """
    if torch.cuda.is_available() if device is None else device.type == "cuda":
        return measured(work, torch.device("cuda"))[2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that a record does not remember an earlier one's events
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
            work()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        record.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    held = [event["args"] for event in events if event["name"] == "[memory]"]
    return max(one["Total Allocated"] for one in held) - (held[0]["Total Allocated"] - held[0]["Bytes"])


@contextmanager
def _sampled_memory() -> Iterator[list[int]]:
    """This process's memory, read every 2 ms."""
    seen, done = [_resident_bytes()], threading.Event()

    def sample() -> None:
        while not done.wait(0.002):
            seen.append(_resident_bytes())

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

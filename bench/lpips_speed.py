"""./dev bench lpips: LPIPS of neighbouring frames, each frame once against each pair by itself.

Like for like: both one at a time, or both in one batch; and what the node runs against the plain loop over pairs. The
backbones are random; speed does not depend on weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench lpips", description=__doc__)
    parser.add_argument("--frames", type=int, default=33)
    parser.add_argument("--size", type=int, default=128, help="sides of the square frames, pixels")
    parser.add_argument("--repeats", type=int, default=5, help="runs of which the median is printed")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--backbones", nargs="+", default=["alex", "squeeze", "vgg"])
    options = parser.parse_args(arguments)
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    torch.set_num_threads(options.threads)
    frames = torch.rand(options.frames, options.size, options.size, 3, generator=torch.Generator().manual_seed(0))
    ideal = 2 * (options.frames - 1) / options.frames
    size = f"{options.size}x{options.size}"
    print(f"{options.frames} frames of {size}, {options.threads} thread(s), ideal {ideal:.2f}x\n")
    print(f"{'backbone':<23} {'how':<14} {'pairwise s':>11} {'once s':>9} {'ratio':>7} {'largest difference':>20}")
    for kind in options.backbones:
        metric, network = random_lpips(kind)
        ways = (("one at a time", 1, 1), ("one batch", options.frames - 1, options.frames), ("as the node", 1, 0))
        for how, pairs, chunk in ways:
            both = compared(metric, network, frames, options.repeats, pairs, chunk)
            times = f"{both.pairwise:>11.3f} {both.once:>9.3f} {both.pairwise / both.once:>6.2f}x"
            print(f"{metric.name:<23} {how:<14} {times} {both.difference:>20.1e}", flush=True)
    return 0


@dataclass(frozen=True)
class Compared:
    """Seconds of both ways to the distances of neighbouring frames, and how far their results are apart at most."""

    pairwise: float
    once: float
    difference: float


def random_lpips(kind: str) -> tuple[Any, torch.nn.Module]:
    """The pack's LPIPS with a random backbone (alex, squeeze or vgg), and the lpips package's network inside it."""
    from ..frames.lpips_host import LPIPSMetric, random_network

    network = random_network(kind)
    return LPIPSMetric(kind, network), network


def compared(metric: Any, network: torch.nn.Module, frames: Tensor, repeats: int, pairs: int, chunk: int) -> Compared:
    """The lpips package on `pairs` pairs at once, and the pack's metric on `chunk` frames at once (0: its own choice).

    Args:
        metric, network: from `random_lpips`. frames: [F,H,W,3] in 0..1, on the CPU; both bring them to the device.
    """
    from ..frames.perceptual_distance import to_lpips_range

    metric.adjacent(frames[:2])  # the network is on its device from here on

    def pairwise() -> Tensor:
        images = to_lpips_range(frames).to(metric.device)
        both = zip(images[:-1].split(pairs), images[1:].split(pairs), strict=True)
        return torch.cat([network(these, those).flatten() for these, those in both]).cpu()

    (slow, expected), (fast, found) = alternating(repeats, pairwise, partial(metric.adjacent, frames, chunk))
    return Compared(slow, fast, float((expected - found).abs().max()))


@torch.no_grad()
def alternating(repeats: int, *works: Callable[[], Tensor]) -> list[tuple[float, Tensor]]:
    """Median seconds and result of each work, run in turns so that a busy machine troubles all alike."""
    seconds: list[list[float]] = [[] for _ in works]
    results = [work() for work in works]  # the first run warms up and is not counted
    for _ in range(repeats):
        for index, work in enumerate(works):
            start = time.perf_counter()
            results[index] = work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[index].append(time.perf_counter() - start)
    return [(statistics.median(times), result) for times, result in zip(seconds, results, strict=True)]

"""./dev bench lpips: LPIPS of neighbouring frames, each frame once against each pair by itself.

Like for like: both one at a time, or both in one batch. The backbones are random; speed does not depend on weights.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch


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
    print(f"{'backbone':<16} {'how':<14} {'pairwise s':>11} {'once s':>9} {'ratio':>7} {'largest difference':>20}")
    for kind in options.backbones:
        compare(kind, frames, options.repeats)
    return 0


def compare(kind: str, frames: torch.Tensor, repeats: int) -> None:
    """Prints two rows for a backbone: one frame or pair at a time, and all in one batch."""
    from ..frames.lpips_host import BACKBONES, LPIPSMetric, random_network
    from ..frames.perceptual_distance import to_lpips_range

    network = random_network(kind)
    metric = LPIPSMetric(kind, network)
    metric.adjacent(frames[:2])  # the network is on its device from here on
    images = to_lpips_range(frames).to(metric.device)

    def one_by_one() -> torch.Tensor:
        return torch.cat([network(images[n, None], images[n + 1, None]).flatten() for n in range(len(images) - 1)])

    def in_one_batch() -> torch.Tensor:
        return network(images[:-1], images[1:]).flatten()

    for how, pairwise, chunk in (("one at a time", one_by_one, 1), ("one batch", in_one_batch, len(frames))):
        once = partial(metric.adjacent, frames, chunk)
        (slow, expected), (fast, found) = alternating(repeats, pairwise, once)
        difference = float((expected.cpu() - found).abs().max())
        shown = BACKBONES[kind][0]
        print(f"{shown:<16} {how:<14} {slow:>11.3f} {fast:>9.3f} {slow / fast:>6.2f}x {difference:>20.1e}")


@torch.no_grad()
def alternating(repeats: int, *works: Callable[[], torch.Tensor]) -> list[tuple[float, torch.Tensor]]:
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

"""./dev bench gpu: what the methods cost beside the model at real sizes, on a GPU.

Random weights at the sizes of Wan 2.1 1.3B and 14B and of SVD-XT, through the host's own model patcher, guiders and
sampling: Keyframe Attention, Temporal RoPE, both, steps of both directions, LPIPS, and what Anchor Frame Bridging does
beside model calls. Every ratio is to the plain step or run of the same program run. A model that the GPU's memory does
not hold is left out, and a line says so. Nothing is said of quality. What is printed is also written to
bench/results/<device>.md.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import re
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from . import svd_cost, wan_cost
from .afb_cost import AnchorParts, part_costs
from .lpips_speed import compared, random_lpips
from .measured import tensor_peak
from .report import Report
from .step_cost import StepCost
from .svd_cost import SVDRuns, random_svd
from .wan_cost import WANS, WanRuns, WanSize, needed_bytes, random_wan

RESULTS = Path(__file__).parent / "results"
ANCHOR_STEPS = 15  # of 50, the paper's early stop
AT_ONCE = 16  # frames that LPIPS takes at once; the lpips package takes 8 pairs
SECTIONS = ("wan", "svd", "lpips", "afb")
Video = tuple[int, int, int]  # width, height, frames


@dataclass(frozen=True)
class Sizes:
    """What is measured. budget: seconds that the counted steps of one Wan may take together."""

    wans: tuple[WanSize, ...] = WANS
    videos: tuple[Video, ...] = ((832, 480, 81),)
    svd_channels: int = 320
    svd_video: Video = (1024, 576, 25)
    guidances: tuple[float, ...] = (1.0, 3.0)
    vae_width: int = 96
    backbones: tuple[str, ...] = ("alex", "squeeze", "vgg")
    repeats: int = 3
    budget: float = 120.0


LARGE = (1280, 720, 81)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench gpu", description=__doc__)
    parser.add_argument("--large", action="store_true", help="1280x720 as well")
    parser.add_argument("--repeats", type=int, default=3, help="steps of which the median is taken")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="lpips and afb compare with wan")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for <device>.md")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("./dev bench gpu: PyTorch sees no CUDA device here, so nothing was measured.")
        return 0
    from comfy.cli_args import args

    args.use_pytorch_cross_attention = True  # the kernel that artists have
    videos = (*Sizes.videos, LARGE) if options.large else Sizes.videos
    try:
        return measure(Sizes(videos=videos, repeats=options.repeats), options.out, options.only)
    except OSError as error:
        print(f"--out {options.out} cannot be written ({error.strerror}): choose another folder.")
        return 2


def measure(sizes: Sizes, folder: Path, sections: Sequence[str] = SECTIONS) -> int:
    """Prints every section and writes what was printed to <device>.md in a folder, on the host's device.

    Returns:
        0, or 1 if a section ended in an error other than too little memory.
    """
    bench = _Bench(sizes, Report(folder / f"{file_name(_device_name())}.md"))
    works: list[tuple[str, str, Callable[[], None]]] = []
    for video in sizes.videos:  # the largest last: it takes longest, and what is done is in the file
        shown = _shown(video)
        works += [("wan", f"{size.name}, {shown}", partial(bench.wan, size, video)) for size in sizes.wans]
        works += [("lpips", f"LPIPS, {shown}", partial(bench.lpips, video))]
        works += [("afb", f"Anchor Frame Bridging beside model calls, {shown}", partial(bench.afb, video))]
        if video == sizes.videos[0]:
            works += [("svd", f"SVD-XT, {_shown(sizes.svd_video)}", bench.svd)]
    with torch.inference_mode():
        bench.head()
        return max([bench.section(title, work) for kind, title, work in works if kind in sections])


class _Bench:
    """The sections, and the seconds of a plain step that later ones compare with."""

    def __init__(self, sizes: Sizes, report: Report) -> None:
        import comfy.model_management

        self._sizes, self._report = sizes, report
        self._device = comfy.model_management.get_torch_device()
        self._plain: dict[tuple[str, Video], float] = {}

    def head(self) -> None:
        """What was measured where."""
        import comfy.model_management
        from comfy.ldm.modules.attention import optimized_attention
        from comfyui_version import __version__

        memory = _gigabytes(comfy.model_management.get_total_memory(self._device))
        self._report.say(
            f"# {_device_name()}",
            "",
            f"`./dev bench gpu`, {datetime.date.today()}: {memory} GB, PyTorch {torch.__version__}, ComfyUI "
            f"{__version__} with {optimized_attention.__name__}.",
            "",
            "Random weights at the released sizes: they say what a method costs, nothing of quality. Ratios are to the "
            "plain step or run that was measured here in the same run; the steps of a table were taken in turns. "
            "Peak: memory above what is held before, so without the model's weights. MB and GB are powers of 2.",
        )

    def section(self, title: str, work: Callable[[], None]) -> int:
        """Runs one; where it fails, a sentence says so and the next one goes on. 1 for an error that is not memory."""
        import comfy.model_management

        start, failed = time.perf_counter(), 0
        self._report.say("", f"## {title}", "")
        try:
            work()
        except comfy.model_management.OOM_EXCEPTION:
            self._report.say("Not finished: the memory of the device ran out.")
        except Exception as error:  # of whatever kind: the other sections still say something
            traceback.print_exc()
            reason = (str(error).strip().splitlines() or ["no reason given"])[0]
            self._report.say(f"Not finished: {type(error).__name__}, {reason}")
            failed = 1
        gc.collect()
        comfy.model_management.cleanup_models_gc()
        comfy.model_management.soft_empty_cache()
        self._report.say("", f"({title}: {time.perf_counter() - start:.0f} s)")
        return failed

    def wan(self, size: WanSize, video: Video) -> None:
        needed, free = needed_bytes(size, video), free_bytes(self._device)
        if free < needed:
            wants = f"it needs about {_gigabytes(needed)} GB by the host's estimate"
            self._report.say(f"Left out: {wants}, and {_gigabytes(free)} GB are free.")
            return
        runs = WanRuns(random_wan(size), video)
        costs, counted = runs.costs(self._sizes.repeats, self._sizes.budget)
        self._plain[size.name, video] = costs[wan_cost.PLAIN].seconds
        frames, rows, columns = wan_cost.latent_shape(video)[2:]
        self._report.say(
            f"Dim {size.dim}, {size.heads} heads, {size.layers} blocks, feed-forward {size.feed}, bf16; inputs of "
            f"FLF2V (36 channels, 514 image tokens). {frames * (rows // 2) * (columns // 2)} tokens, cfg "
            f"{wan_cost.CFG:g}; median of {counted} steps.",
            f"A run: {wan_cost.WINDOW:.0%} of its steps in the window; there {_biased_blocks(size)} blocks are led, in "
            f"the positive prompt's half.",
            *filter(None, [size.remark]),
            "",
        )
        self._steps(costs, wan_cost.PLAIN)

    def svd(self) -> None:
        width, height, frames = self._sizes.svd_video
        runs = SVDRuns(random_svd(self._sizes.svd_channels), frames, height // 8, width // 8)
        for guidance in self._sizes.guidances:
            costs, counted = runs.costs(guidance, self._sizes.repeats)
            self._report.say(
                *([""] if guidance != self._sizes.guidances[0] else []),
                f"{self._sizes.svd_channels} channels, max_cfg {guidance:g}; median of {counted} steps. A step of both "
                f"directions is two evaluations with their conditionings, so 2.000x is no overhead.",
                "",
            )
            self._steps(costs, svd_cost.PLAIN)

    def lpips(self, video: Video) -> None:
        frames = _random_video(video)
        rows = []
        for kind in self._sizes.backbones:
            metric, network = random_lpips(kind)
            both = compared(metric, network, frames, self._sizes.repeats, AT_ONCE // 2, AT_ONCE)
            peak = tensor_peak(partial(metric.adjacent, frames, AT_ONCE), self._device)
            shares = [_ratio(both.once, seconds) for seconds in self._plain_steps(video).values()]
            rows.append([metric.name, f"{both.once:.3f}", _ratio(both.once, both.pairwise), *shares, _megabytes(peak)])
        plain = [f"to a plain step of {name}" for name in self._plain_steps(video)]
        self._report.say(f"All {video[2]} frames, {AT_ONCE} at once; pairs: the lpips package, each frame twice.", "")
        self._report.table(["LPIPS scoring", "s", "to pairs", *plain, "peak, MB"], rows)

    def afb(self, video: Video) -> None:
        plain = {name: wan_cost.STEPS * seconds for name, seconds in self._plain_steps(video).items()}
        if not plain:
            self._report.say("Left out: no plain step of Wan was measured here to compare it with.")
            return
        text = [[torch.zeros(1, 1, 8), {}]]
        parts = AnchorParts(video, _random_vae(self._sizes.vae_width), text)
        costs = part_costs(parts, random_lpips("alex")[0], self._device)
        seconds, peak = sum(one.seconds for one in costs.values()), max(one.peak for one in costs.values())
        self._report.say(
            f"A random Wan VAE ({self._sizes.vae_width} channels wide) and LPIPS (AlexNet). A plain run: "
            f"{wan_cost.STEPS} plain steps, without its VAE. The model calls come on top: {ANCHOR_STEPS} of "
            f"{wan_cost.STEPS} steps, {ANCHOR_STEPS / wan_cost.STEPS:.3f}x.",
            "",
        )
        rows = [
            [
                name,
                f"{cost.seconds:.3f}",
                *(_ratio(cost.seconds, run, 5) for run in plain.values()),
                _megabytes(cost.peak),
            ]
            for name, cost in (*costs.items(), ("all of it", StepCost(seconds, peak)))
        ]
        self._report.table(
            ["beside model calls", "s", *(f"to a plain run of {name}" for name in plain), "peak, MB"], rows
        )

    def _plain_steps(self, video: Video) -> dict[str, float]:
        return {name: seconds for (name, of), seconds in self._plain.items() if of == video}

    def _steps(self, costs: dict[str, StepCost], plain: str) -> None:
        """A table of steps, each to the plain one."""
        one = costs[plain]
        rows = [
            [
                name,
                f"{cost.seconds:.3f}",
                _ratio(cost.seconds, one.seconds),
                _megabytes(cost.peak),
                _ratio(cost.peak, one.peak),
            ]
            for name, cost in costs.items()
        ]
        self._report.table(["step", "s", "to plain", "peak, MB", "to plain's peak"], rows)


def _biased_blocks(size: WanSize) -> str:
    from ..patches.block_range import scaled_blocks

    return f"{len(scaled_blocks(size.layers))} of {size.layers}"


def free_bytes(device: torch.device) -> int:
    """Memory that a model may still take: what torch.cuda.mem_get_info says, and what PyTorch holds unused."""
    import comfy.model_management

    return comfy.model_management.get_free_memory(device)


def _random_video(video: Video) -> torch.Tensor:
    """[F,H,W,3] in 0..1, on the CPU as the host hands pictures from node to node."""
    width, height, frames = video
    return torch.rand(frames, height, width, 3, generator=torch.Generator().manual_seed(0))


def _random_vae(width: int) -> Any:
    """A Wan 2.1 VAE as the host's loader makes it of a file."""
    import comfy.sd
    import comfy.utils

    from ..demo.tiny_models import write_wan_vae

    with tempfile.TemporaryDirectory(prefix="inbetween-bench-") as folder:
        path = write_wan_vae(Path(folder) / "vae.safetensors", width)
        return comfy.sd.VAE(sd=comfy.utils.load_torch_file(str(path)))


def _device_name() -> str:
    import comfy.model_management

    device = comfy.model_management.get_torch_device()
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def file_name(device: str) -> str:
    """The device's name in letters, digits, points and hyphens."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", device).strip("-")


def _shown(video: Video) -> str:
    width, height, frames = video
    return f"{frames} frames of {width}x{height}"


def _ratio(value: float, to: float, digits: int = 3) -> str:
    return f"{value / to:.{digits}f}x"


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.0f}"


def _gigabytes(size: float) -> str:
    return f"{size / 2**30:.1f}"

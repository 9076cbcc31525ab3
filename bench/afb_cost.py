"""./dev bench afb: what Anchor Frame Bridging adds to the plain graph, in model calls and in everything else.

Runs both graphs on a small random Wan through the host's own samplers. Model calls count as they would with real
weights; the seconds of everything else (decode, scoring, plotting) are those of real frames of this size, but for the
VAE, which is a small one too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..demo.host_process import start_host
from ..demo.stand_ins import cached_stand_ins
from .measured import measured
from .step_cost import StepCost

ENCODE, DECODE, SCORING, SELECTION = "VAE encode", "VAE decode", "LPIPS scoring", "selection and plot"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench afb", description=__doc__)
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--height", type=int, default=192)
    parser.add_argument("--length", type=int, default=33)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--stop-step", type=int, default=15)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="inbetween-bench-") as folder, torch.inference_mode():
        base = Path(folder)
        (base / "models").symlink_to(cached_stand_ins(), target_is_directory=True)
        graph = _Graph(base, options)
        plain, bridged = graph.run(bridge=False), graph.run(bridge=True)
    size = f"{options.length} frames, {options.width}x{options.height}, {options.stop_step} of {options.steps} steps"
    print(f"{size}, cfg 5\n")
    print(f"{'':<28} {'plain graph':>12} {'with anchor':>12}")
    print(f"{'model calls':<28} {plain['calls']:>12} {bridged['calls']:>12} {bridged['calls'] / plain['calls']:>7.2f}x")
    names = [name for name in bridged if name != "calls"]
    for name in names:
        print(f"{name + ', s':<28} {plain.get(name, 0.0):>12.2f} {bridged[name]:>12.2f}")
    total = [sum(run.get(name, 0.0) for name in names) for run in (plain, bridged)]
    print(f"{'sum, s':<28} {total[0]:>12.2f} {total[1]:>12.2f} {total[1] / total[0]:>7.2f}x")
    added = sum(bridged[name] - plain.get(name, 0.0) for name in names if name != "model calls")
    print(f"\nEverything that AFB adds and that is no model call: {added:.2f} s.")
    return 0


class AnchorParts:
    """What the workflow calls around the model, for a video between two random pictures.

    Args:
        size: width, height, frames. vae: the model's. text: a conditioning, which stands for both prompts.
    """

    def __init__(self, size: tuple[int, int, int], vae: Any, text: list) -> None:
        from ..nodes.keyframes import Keyframes, ReverseKeyframes

        pictures = torch.rand(2, size[1], size[0], 3, generator=torch.Generator().manual_seed(1))
        self.track = Keyframes.execute(*size, 16.0, "crop", pictures[:1], pictures[1:]).args[0]
        self.reversed_track = ReverseKeyframes.execute(self.track).args[0]
        self.vae, self._text = vae, text

    def conditioned(self, track: Any) -> tuple[list, list, dict[str, Any]]:
        """Positive, negative and the empty latent of a track."""
        from ..nodes.conditioning import WanConditioning

        return WanConditioning.execute(self._text, self._text, self.vae, track).args[:3]

    def anchored(self, candidates: Tensor, metric: Any) -> Any:
        """The track with the anchor that is found among the candidates, [F,H,W,3]."""
        from ..nodes.anchors import SelectAnchors

        return SelectAnchors.execute(self.track, candidates, metric=metric).args[0]


def part_costs(parts: AnchorParts, metric: Any, device: torch.device) -> dict[str, StepCost]:
    """What Anchor Frame Bridging adds beside model calls, each kind of work by itself: seconds and peak.

    metric: LPIPS. device: the host's, where its work is done.
    """
    found: dict[str, StepCost] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        seconds, result, peak = measured(work, device)
        found[name] = StepCost(seconds, peak)
        return result

    latent = timed(ENCODE, lambda: parts.conditioned(parts.reversed_track))[2]["samples"]
    generator = torch.Generator().manual_seed(2)
    latent = torch.randn(latent.shape, generator=generator)
    frames = timed(DECODE, lambda: parts.vae.decode(latent))[0]
    distances = timed(SCORING, lambda: metric.adjacent(frames))
    timed(SELECTION, lambda: parts.anchored(frames, _Scored(metric.name, distances)))
    return found


class _Scored:
    """A metric that has its distances already."""

    def __init__(self, name: str, distances: Tensor) -> None:
        self.name, self._distances = name, distances

    def adjacent(self, frames: Tensor) -> Tensor:
        return self._distances

    def between(self, these: Tensor, those: Tensor) -> Tensor:
        """That candidates run backwards is not asked here."""
        return torch.zeros(len(these))


class _Graph:
    """The nodes of the workflow called one after another, with a clock on each kind of work."""

    def __init__(self, base: Path, options: argparse.Namespace) -> None:
        import comfy.utils

        comfy.utils.set_progress_bar_enabled(False)
        self.options = options
        self.host = start_host(base).NODE_CLASS_MAPPINGS
        self.model = self.host["UNETLoader"]().load_unet("wan2.2_i2v_high_noise_14B_fp8_scaled.safetensors", "default")[
            0
        ]
        self.vae = self.host["VAELoader"]().load_vae("wan_2.1_vae.safetensors")[0]
        self.text = [[torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(0)), {}]]

    def run(self, bridge: bool) -> dict[str, Any]:
        import comfy.patcher_extension

        from ..frames.lpips_host import load_lpips
        from ..nodes.anchors import ReverseCandidates

        seconds: dict[str, Any] = {"calls": 0, "model calls": 0.0}

        def counted(executor, *positional, **named):
            seconds["calls"] += 1
            with _Clock(seconds, "model calls"):
                return executor(*positional, **named)

        model = self.model.clone()
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        model.add_wrapper_with_key(kind, "bench.calls", counted)
        vae = _Timed(self.vae, seconds, {"encode": ENCODE, "decode": DECODE})
        parts = AnchorParts((self.options.width, self.options.height, self.options.length), vae, self.text)
        track = parts.track
        noise = self.host["RandomNoise"].execute(1).args[0]
        sampler = self.host["KSamplerSelect"].execute("euler").args[0]
        sigmas = self.host["BasicScheduler"].execute(model, "simple", self.options.steps, 1.0).args[0]

        def guided(of_track: Any) -> tuple[Any, Any]:
            positive, negative, latent = parts.conditioned(of_track)
            return self.host["CFGGuider"].execute(model, positive, negative, 5.0).args[0], latent

        if bridge:
            metric = _Timed(load_lpips("alexnet-owt-7be5be79.pth"), seconds, {"adjacent": SCORING})
            guider, latent = guided(parts.reversed_track)
            stop = self.options.stop_step
            found = ReverseCandidates.execute(noise, guider, sampler, sigmas, latent, vae, stop).args[0]
            with _Clock(seconds, SELECTION):
                track = parts.anchored(found, metric)
            seconds[SELECTION] -= seconds[SCORING]
        guider, latent = guided(track)
        video = self.host["SamplerCustomAdvanced"].execute(noise, guider, sampler, sigmas, latent).args[0]
        self.host["VAEDecode"]().decode(vae, video)
        return seconds


class _Clock:
    """Adds the seconds of a `with` block to an entry."""

    def __init__(self, seconds: dict[str, Any], name: str) -> None:
        self._seconds, self._name = seconds, name

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + time.perf_counter() - self._start


class _Timed:
    """An object some of whose methods are timed."""

    def __init__(self, inner: Any, seconds: dict[str, Any], methods: dict[str, str]) -> None:
        self._inner, self._seconds, self._methods = inner, seconds, methods

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in self._methods:
            return value

        def timed(*positional: Any, **named: Any) -> Any:
            with _Clock(self._seconds, self._methods[name]):
                return value(*positional, **named)

        return timed

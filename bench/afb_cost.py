"""./dev bench afb: what Anchor Frame Bridging adds to the plain graph, in model calls and in everything else.

Runs both graphs on a small random Wan through the host's own samplers. Model calls count as they would with real
weights; the seconds of everything else (decode, scoring, plotting) are those of real frames of this size, but for the
VAE, which is a small one too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ..demo.host_process import start_host
from ..demo.stand_ins import cached_stand_ins


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
        from ..nodes.anchors import ReverseCandidates, SelectAnchors
        from ..nodes.conditioning import WanConditioning
        from ..nodes.keyframes import Keyframes, ReverseKeyframes

        seconds: dict[str, Any] = {"calls": 0, "model calls": 0.0}

        def counted(executor, *positional, **named):
            seconds["calls"] += 1
            with _Clock(seconds, "model calls"):
                return executor(*positional, **named)

        model = self.model.clone()
        kind = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL
        model.add_wrapper_with_key(kind, "bench.calls", counted)
        vae = _Timed(self.vae, seconds, {"encode": "VAE encode", "decode": "VAE decode"})
        size = (self.options.width, self.options.height, self.options.length)
        pictures = torch.rand(2, size[1], size[0], 3, generator=torch.Generator().manual_seed(1))
        track = Keyframes.execute(*size, 16.0, "crop", pictures[:1], pictures[1:]).args[0]
        noise = self.host["RandomNoise"].execute(1).args[0]
        sampler = self.host["KSamplerSelect"].execute("euler").args[0]
        sigmas = self.host["BasicScheduler"].execute(model, "simple", self.options.steps, 1.0).args[0]

        def guided(of_track: Any) -> tuple[Any, Any]:
            made = WanConditioning.execute(self.text, self.text, vae, of_track).args
            return self.host["CFGGuider"].execute(model, made[0], made[1], 5.0).args[0], made[2]

        if bridge:
            metric = _Timed(load_lpips("alexnet-owt-7be5be79.pth"), seconds, {"adjacent": "LPIPS scoring"})
            guider, latent = guided(ReverseKeyframes.execute(track).args[0])
            stop = self.options.stop_step
            found = ReverseCandidates.execute(noise, guider, sampler, sigmas, latent, vae, stop).args[0]
            with _Clock(seconds, "selection and plot"):
                track = SelectAnchors.execute(track, found, metric=metric).args[0]
            seconds["selection and plot"] -= seconds["LPIPS scoring"]
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

"""./dev bench svd: what a fused step of both directions costs, in time and memory, over plain steps of SVD.

A random SVD at the released layout. Fused steps call the model once for each direction and conditioning; a plain step
calls it once, with both conditionings in one batch where guidance needs both. Nothing is said of quality.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .measured import measured, tensor_peak

# method: what the guider turns, whether the backward pass has weights of its own
FUSED = {
    "fused, no maps (TRF)": ("none", False),
    "fused, maps of up blocks": ("up", False),
    "fused, all maps and weights (GI)": ("all", True),
}
LEVEL = 14.0  # of noise, the same for every step


def main(arguments: list[str]) -> int:
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="./dev bench svd", description=__doc__)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--size", default="1024x576" if gpu else "512x320", help="of the video, pixels")
    parser.add_argument("--channels", type=int, default=320 if gpu else 128, help="width of the UNet; SVD has 320")
    parser.add_argument("--repeats", type=int, default=3, help="steps of which the median is printed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)
    from comfy.cli_args import args

    args.cpu = not gpu
    args.use_pytorch_cross_attention = True  # the kernel that artists have
    torch.set_num_threads(options.threads)
    width, height = (int(side) // 8 for side in options.size.split("x"))
    where = torch.cuda.get_device_name() if gpu else f"CPU, {options.threads} thread(s)"
    model = _random_svd(options.channels)
    numbers = f"{options.channels} channels, {str(model.model.get_dtype()).removeprefix('torch.')}"
    print(f"SVD of {numbers}, {options.frames} frames of {options.size}, {where}; median of {options.repeats} steps")
    with torch.inference_mode():
        for guidance in (1.0, 3.0):
            _print_guidance(_Runs(model, options.frames, height, width, options.repeats), guidance)
    return 0


def _print_guidance(runs: _Runs, guidance: float) -> None:
    print(f"\n{'max_cfg ' + format(guidance, 'g'):<34} {'s':>8} {'to two plain':>13} {'peak MB':>9} {'to plain':>9}")
    seconds, peak = runs.plain(guidance)
    print(f"{'plain, one direction':<34} {seconds:>8.2f} {'':>13} {peak / 2**20:>9.0f}", flush=True)
    for name, (turn, weights) in FUSED.items():
        took, held = runs.fused(guidance, turn, weights)
        times = f"{took:>8.2f} {took / (2 * seconds):>12.2f}x"
        print(f"{name:<34} {times} {held / 2**20:>9.0f} {held / peak:>8.2f}x", flush=True)


class _Runs:
    """Single steps of one model. Peak: bytes above what is held before a step, so without the model's weights."""

    def __init__(self, model: Any, frames: int, height: int, width: int, repeats: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._model, self._repeats = model, repeats
        self._noise = torch.randn(frames, 4, height, width, generator=generator)
        self._tokens = torch.randn(2, 1, 1, 1024, generator=generator)
        self._pictures = torch.randn(2, 1, 4, height, width, generator=generator)

    def plain(self, guidance: float) -> tuple[float, int]:
        """(seconds, peak) of a step of the host's own guider."""
        import comfy.samplers

        guider = comfy.samplers.CFGGuider(self._model)
        guider.set_conds(*self._conditionings(0))
        guider.set_cfg(guidance)
        return self._step(guider)

    def fused(self, guidance: float, turn: str, weights: bool) -> tuple[float, int]:
        """(seconds, peak) of a step of the pack's guider."""
        from ..patches.temporal_maps_host import MirroredAttention
        from ..samplers.bidirectional_guider_host import BidirectionalGuider

        attention = MirroredAttention(turn, _random_motion(self._model) if weights else None)
        guider = BidirectionalGuider(self._model, attention, 1.0, guidance, "symmetric", "mean")
        guider.set_directions(self._conditionings(0), self._conditionings(1))
        return self._step(guider)

    def _conditionings(self, end: int) -> tuple[list, list]:
        settings = {"motion_bucket_id": 127, "fps": 7, "augmentation_level": 0.02}
        token, picture = self._tokens[end], self._pictures[end]
        positive = [[token, {**settings, "concat_latent_image": picture}]]
        return positive, [[torch.zeros_like(token), {**settings, "concat_latent_image": torch.zeros_like(picture)}]]

    def _step(self, guider: Any) -> tuple[float, int]:
        import comfy.samplers

        seen: list[float] = []
        peaks: list[int] = []

        def sampler(model: Callable, x: Tensor, sigmas: Tensor, extra_args: dict, **rest: Any) -> Tensor:
            def step() -> Tensor:
                return model(x, x.new_full((len(x),), LEVEL), **extra_args)

            peaks.append(tensor_peak(step))  # warms up, too
            seen.extend(measured(step, x.device)[0] for _ in range(self._repeats))
            return x

        sampler, noise = comfy.samplers.KSAMPLER(sampler), self._noise
        guider.sample(noise, torch.zeros_like(noise), sampler, torch.tensor([LEVEL, 0.0]), disable_pbar=True, seed=0)
        return statistics.median(seen), peaks[0]


def _random_svd(channels: int) -> Any:
    """A host model patcher with SVD in its released layout and random weights."""
    import comfy.model_base
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models

    from ..demo.world_nodes.svd_host import unet_arguments

    device = comfy.model_management.get_torch_device()
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    layout = {"model_channels": channels, "channel_mult": [1, 2, 4, 4], "num_head_channels": 64, "context_dim": 1024}
    config = comfy.supported_models.SVD_img2vid({**unet_arguments(), **layout, "legacy": False, "dtype": dtype})
    config.set_inference_dtype(dtype, None)
    model = comfy.model_base.SVD_img2vid(config, device=device).eval()
    generator = torch.Generator(device).manual_seed(0)
    for value in model.diffusion_model.parameters():
        scale = 1.0 if value.ndim == 1 else value[0].numel() ** -0.5
        value.data.normal_(std=scale, generator=generator)
    return comfy.model_patcher.ModelPatcher(model, device, torch.device("cpu"))


def _random_motion(model: Any) -> dict[str, Tensor]:
    """A small change of the 32 matrices."""
    from ..patches.backward_motion import LAYERS, MATRICES, motion_key

    modules, generator = dict(model.model.diffusion_model.named_modules()), torch.Generator().manual_seed(1)
    found = {}
    for layer in LAYERS:
        for matrix in MATRICES:
            weight = modules[f"{layer}.time_stack.0.attn1.{matrix}"].weight
            found[motion_key(layer, matrix)] = 0.01 * torch.randn(weight.shape, generator=generator).to(weight.dtype)
    return found

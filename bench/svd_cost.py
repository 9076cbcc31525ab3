"""./dev bench svd: what a fused step of both directions costs, in time and memory, over plain steps of SVD.

A random SVD at the released layout. Fused steps call the model once for each direction and conditioning; a plain step
calls it once, with both conditionings in one batch where guidance needs both. Nothing is said of quality.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor

from .random_weights import draw_weights
from .step_cost import Step, StepCost, step_costs

PLAIN = "plain, one direction"

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
    model = random_svd(options.channels)
    numbers = f"{options.channels} channels, {str(model.model.get_dtype()).removeprefix('torch.')}"
    print(f"SVD of {numbers}, {options.frames} frames of {options.size}, {where}; median of {options.repeats} steps")
    with torch.inference_mode():
        runs = SVDRuns(model, options.frames, height, width)
        for guidance in (1.0, 3.0):
            _print_guidance(guidance, runs.costs(guidance, options.repeats)[0])
    return 0


def _print_guidance(guidance: float, costs: dict[str, StepCost]) -> None:
    print(f"\n{'max_cfg ' + format(guidance, 'g'):<34} {'s':>8} {'to two plain':>13} {'peak MB':>9} {'to plain':>9}")
    plain = costs.pop(PLAIN)
    print(f"{PLAIN:<34} {plain.seconds:>8.2f} {'':>13} {plain.peak / 2**20:>9.0f}")
    for name, cost in costs.items():
        times = f"{cost.seconds:>8.2f} {cost.seconds / (2 * plain.seconds):>12.2f}x"
        print(f"{name:<34} {times} {cost.peak / 2**20:>9.0f} {cost.peak / plain.peak:>8.2f}x", flush=True)


class SVDRuns:
    """Steps of one SVD on a video of noise, [frames, 4, height, width] in latents."""

    def __init__(self, model: Any, frames: int, height: int, width: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self._model = model
        self._noise = torch.randn(frames, 4, height, width, generator=generator)
        self._tokens = torch.randn(2, 1, 1, 1024, generator=generator)
        self._pictures = torch.randn(2, 1, 4, height, width, generator=generator)

    def costs(self, guidance: float, repeats: int) -> tuple[dict[str, StepCost], int]:
        """What `step_costs` finds of the plain step and of every way to fuse two directions."""
        steps = {PLAIN: Step(self._plain(guidance))}
        steps |= {name: Step(self._fused(guidance, *way)) for name, way in FUSED.items()}
        return step_costs(steps, self._noise, torch.tensor([LEVEL, 0.0]), repeats)

    def _plain(self, guidance: float) -> Any:
        """The host's own guider."""
        import comfy.samplers

        guider = comfy.samplers.CFGGuider(self._model)
        guider.set_conds(*self._conditionings(0))
        guider.set_cfg(guidance)
        return guider

    def _fused(self, guidance: float, turn: str, weights: bool) -> Any:
        """The pack's guider."""
        from ..patches.temporal_maps_host import MirroredAttention
        from ..samplers.bidirectional_guider_host import BidirectionalGuider

        attention = MirroredAttention(turn, _random_motion(self._model) if weights else None)
        guider = BidirectionalGuider(self._model, attention, 1.0, guidance, "symmetric", "mean")
        guider.set_directions(self._conditionings(0), self._conditionings(1))
        return guider

    def _conditionings(self, end: int) -> tuple[list, list]:
        settings = {"motion_bucket_id": 127, "fps": 7, "augmentation_level": 0.02}
        token, picture = self._tokens[end], self._pictures[end]
        positive = [[token, {**settings, "concat_latent_image": picture}]]
        return positive, [[torch.zeros_like(token), {**settings, "concat_latent_image": torch.zeros_like(picture)}]]


def random_svd(channels: int) -> Any:
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
    draw_weights(model.diffusion_model)
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

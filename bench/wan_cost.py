"""Whole steps of Wan at its released sizes, plain and with the pack's attention nodes, with random weights.

The model is built on the host's device at once, so that 14B needs no room in the computer's own memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .random_weights import draw_weights
from .step_cost import Step, StepCost, step_costs

STEPS, CFG = 50, 5.0
TEXT_TOKENS, PICTURE_TOKENS, PICTURE_WIDTH = 512, 514, 1280  # of UMT5, and of CLIP vision H for two pictures
WINDOW = 0.4  # share of the steps that the paper biases
INSIDE, OUTSIDE = 10, 40  # of 50 steps, one that the paper biases and one that it does not
PLAIN, ROPE = "plain", "Temporal RoPE"
ISOLATED, BIASED = "Keyframe Attention, after its window", "Keyframe Attention, in its window"
BOTH_ISOLATED, BOTH_BIASED = "both, after the window", "both, in the window"
RUNS = {  # what a whole run has on average: a step of the first kind in the window, one of the second else
    "Keyframe Attention, mean of a run": (BIASED, ISOLATED),
    "Temporal RoPE, mean of a run": (ROPE, ROPE),
    "both, mean of a run": (BOTH_BIASED, BOTH_ISOLATED),
}


@dataclass(frozen=True)
class WanSize:
    """A Wan 2.1 that takes two pictures: condition channels, image tokens, a table of their 514 positions.

    feed: width of the feed-forward. text: width of a text token. remark: what a reader has to know about this size.
    """

    name: str
    dim: int
    heads: int
    layers: int
    feed: int
    text: int = 4096
    remark: str = ""

    def config(self) -> dict[str, Any]:
        """What the host builds it from."""
        layout = {"image_model": "wan2.1", "model_type": "i2v", "in_dim": 36, "out_dim": 16, "freq_dim": 256}
        own = {"dim": self.dim, "num_heads": self.heads, "num_layers": self.layers, "ffn_dim": self.feed}
        return {**layout, **own, "text_dim": self.text, "flf_pos_embed_token_number": PICTURE_TOKENS}


WANS = (
    WanSize(
        "Wan 2.1 1.3B",
        1536,
        12,
        30,
        8960,
        remark="Wan's own releases have 1.3B as T2V and VACE alone: these are its sizes with the inputs of FLF2V.",
    ),
    WanSize("Wan 2.1 14B", 5120, 40, 40, 13824),
)


def random_wan(size: WanSize) -> Any:
    """A host model patcher with a Wan of this size in bf16, all on the host's device."""
    import comfy.model_management
    import comfy.model_patcher

    device = comfy.model_management.get_torch_device()
    model = empty_wan(size, device)
    draw_weights(model.diffusion_model)
    # else the host would look for room for weights that are there already
    model.model_loaded_weight_memory = comfy.model_management.module_size(model)
    return comfy.model_patcher.ModelPatcher(model, device, device)


def needed_bytes(size: WanSize, video: tuple[int, int, int]) -> int:
    """Memory that a step needs by the host's own estimate: weights, and a batch of both conditionings."""
    import comfy.model_management

    model = empty_wan(size, torch.device("meta"))
    step = model.memory_required([2, *latent_shape(video)[1:]])
    return comfy.model_management.module_size(model) + int(step) + comfy.model_management.minimum_inference_memory()


def latent_shape(video: tuple[int, int, int]) -> tuple[int, int, int, int, int]:
    """[1, 16, T, h, w] of a video of a width, height and number of frames."""
    width, height, frames = video
    return (1, 16, (frames - 1) // 4 + 1, height // 8, width // 8)


class WanRuns:
    """Steps of one Wan on a video of noise between two pictures, at cfg 5.

    video: width, height, frames.
    """

    def __init__(self, model: Any, video: tuple[int, int, int]) -> None:
        import comfy.samplers

        shape = latent_shape(video)
        generator = torch.Generator().manual_seed(0)
        self._model, self._generator, self.noise = model, generator, torch.randn(shape, generator=generator)
        self._conditionings = [self._conditioning(shape) for _ in ("positive", "negative")]
        self.schedule = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", STEPS)

    def costs(self, repeats: int, budget: float) -> tuple[dict[str, StepCost], int]:
        """What `step_costs` finds of each way, and the mean step of a run with the paper's window."""
        costs, counted = step_costs(self.steps(), self.noise, self.schedule, repeats, budget)
        for name, (inside, outside) in RUNS.items():
            seconds = WINDOW * costs[inside].seconds + (1 - WINDOW) * costs[outside].seconds
            costs[name] = StepCost(seconds, max(costs[inside].peak, costs[outside].peak))
        return costs, counted

    def steps(self) -> dict[str, Step]:
        """A step of every way through the nodes as an artist sets them: blocks 12.5 % to 32.5 % of the depth."""
        from ..nodes.attention import KeyframeAttention, TemporalRoPE

        led = KeyframeAttention.execute(self._model, blocks="").args[0]
        scaled, both = (TemporalRoPE.execute(model).args[0] for model in (self._model, led))
        return {
            PLAIN: Step(self._guider(self._model), INSIDE),
            ISOLATED: Step(self._guider(led), OUTSIDE),
            BIASED: Step(self._guider(led), INSIDE),
            ROPE: Step(self._guider(scaled), INSIDE),
            BOTH_ISOLATED: Step(self._guider(both), OUTSIDE),
            BOTH_BIASED: Step(self._guider(both), INSIDE),
        }

    def _guider(self, model: Any) -> Any:
        import comfy.samplers

        guider = comfy.samplers.CFGGuider(model)
        guider.set_conds(*self._conditionings)
        guider.set_cfg(CFG)
        return guider

    def _conditioning(self, shape: tuple[int, ...]) -> list:
        """One as the host's WanFirstLastFrameToVideo makes it: first and last latent frame known."""
        import comfy.clip_vision

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=self._generator)

        seen = comfy.clip_vision.Output()
        seen.penultimate_hidden_states = drawn(1, PICTURE_TOKENS, PICTURE_WIDTH)
        mask = torch.ones(1, 4, *shape[2:])
        mask[:, :, [0, -1]] = 0
        given = {"concat_latent_image": drawn(*shape), "concat_mask": mask, "clip_vision_output": seen}
        return [[drawn(1, TEXT_TOKENS, self._model.model.diffusion_model.text_dim), given]]


def empty_wan(size: WanSize, device: torch.device) -> Any:
    """The host's model with weights that hold anything, on a device."""
    import comfy.model_base
    import comfy.supported_models

    config = comfy.supported_models.WAN21_I2V({**size.config(), "dtype": torch.bfloat16})
    config.set_inference_dtype(torch.bfloat16, None)
    return comfy.model_base.WAN21(config, image_to_video=True, device=device).eval()

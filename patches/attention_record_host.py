"""Watches what Keyframe Attention does at one step of a run, for a picture of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.sample  # fix_empty_latent_channels, as the host's own samplers call it
import comfy.samplers
import comfy.utils
import latent_preview  # the host's preview and progress callback
import torch
from comfy.k_diffusion.sampling import sample_euler  # the steps before the one that is watched
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .keyframe_attention import distance_to_target, place_between
from .keyframe_attention_host import KEY, NODE, RECORD, Recorded


@dataclass(frozen=True, eq=False)
class BranchRecord:
    """One branch at one step, mean over blocks and batch; each pair is before and after the bias.

    places: [T], 0 where a frame attends as the first frame does, 1 as the last. distances: [T], share of attention that
    lies elsewhere than in the interpolated one. blocks: how many were biased.
    """

    places: tuple[Tensor, Tensor]
    distances: tuple[Tensor, Tensor]
    blocks: int


@torch.no_grad()
def record_attention(
    noise: Any, guider: Any, sigmas: Tensor, latent_image: dict[str, Any], step: int
) -> dict[str, BranchRecord]:
    """What the bias did at one step, by branch ("text", and "first" and "last", or "image").

    Args:
        noise, guider, sigmas, latent_image: as SamplerCustomAdvanced; the guider's model has Keyframe Attention.
        step: 1 to steps - 1; the steps before it are sampled by Euler.
    Raises:
        ValueError: the model has no Keyframe Attention, the step is outside the schedule, or nothing is biased there.
    Cost: step + 1 evaluations; the biased blocks form their probabilities twice.
    """
    patcher, steps = guider.model_patcher, len(sigmas) - 1
    if not patcher.wrappers.get(WrappersMP.APPLY_MODEL, {}).get(KEY):
        raise ValueError(f"the guider's model has no {NODE}: put that node between the model and the guider.")
    if steps < 2:
        raise ValueError("sigmas has one step; step 0 is never biased, so there is nothing to draw. Use more steps.")
    if not 1 <= step < steps:
        raise ValueError(f"step is {step}; of this schedule of {steps} steps, 1 to {steps - 1} can be drawn.")
    samples = comfy.sample.fix_empty_latent_channels(patcher, latent_image["samples"])
    found: deque[Recorded] = deque()  # the host copies lists in a model's options
    guider.sample(
        noise.generate_noise({**latent_image, "samples": samples}),
        samples,
        comfy.samplers.KSAMPLER(_watching(step, found)),
        sigmas,
        denoise_mask=latent_image.get("noise_mask"),
        callback=latent_preview.prepare_callback(patcher, step + 1),
        disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
        seed=noise.seed,
    )
    if not found:
        raise ValueError(
            f"at step {step} of {steps} no block is biased: choose a step up to end_percent, and blocks that the "
            f"model has."
        )
    window = [item for item in found if item.numbers == found[0].numbers]  # with context windows, the first
    return {name: _branch([item for item in window if item.branch == name]) for name in _names(found)}


def _watching(step: int, found: deque[Recorded]) -> Callable:
    """A sampler that steps to a step, and there makes one call whose biased attentions are recorded."""

    def sample(model: Any, x: Tensor, sigmas: Tensor, extra_args: Any, callback: Any, disable: Any) -> Tensor:
        x = sample_euler(model, x, sigmas[: step + 1], extra_args=extra_args, callback=callback, disable=disable)
        options = extra_args["model_options"]
        watched = {**options, "transformer_options": {**options.get("transformer_options", {}), RECORD: found}}
        model(x, sigmas[step] * x.new_ones([len(x)]), **{**extra_args, "model_options": watched})
        return x

    return sample


def _names(found: deque[Recorded]) -> list[str]:
    present = {item.branch for item in found}
    return [name for name in ("text", "first", "last", "image") if name in present]


def _branch(items: list[Recorded]) -> BranchRecord:
    def mean(values: list[Tensor]) -> Tensor:
        return torch.cat([value.cpu() for value in values]).mean(dim=0)

    places = (mean([place_between(item.before) for item in items]), mean([place_between(item.after) for item in items]))
    before = mean([distance_to_target(item.before, item.anchors) for item in items])
    after = mean([distance_to_target(item.after, item.anchors) for item in items])
    return BranchRecord(places, (before, after), len({item.block for item in items}))

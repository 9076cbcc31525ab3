"""A node that gives what no host node gives: numbers that are none, things of the wrong kind, pictures without pixels.

Put beside the pack in the tests' server. Its output fits every input, as those of many a pack's nodes do.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "1e30": 1e30, "10^30": 10**30}
PLAIN = {"none": None, "true": True, "list": [1, 2], "set": {"a": 1}, "text": "a dog"}
THINGS = {
    "MODEL": ("model", "model_options"),
    "VAE": ("first_stage_model",),
    "CLIP_VISION": ("encode_image",),
    "GUIDER": ("model_patcher",),
    "SAMPLER": ("sample",),
    "NOISE": ("generate_noise", "seed"),
    "INBETWEEN_METRIC": ("adjacent", "between"),
}


def odd_value(words: str) -> Any:
    """The value that a text such as "nan", "-3", "picture 2x8x8x3", "latent 1x16x3x8x12" or "thing VAE" stands for."""
    import torch

    if words in NUMBERS or words in PLAIN:
        return {**NUMBERS, **PLAIN}[words]
    kind, _, rest = words.partition(" ")
    if kind == "thing":
        return SimpleNamespace(**dict.fromkeys(THINGS[rest], lambda *_: None))
    if kind in ("picture", "latent", "conditioning", "sigmas", "mask"):
        *fill, size = rest.split()
        made = torch.rand([int(side) for side in size.split("x")], generator=torch.Generator().manual_seed(1))
        made = made.fill_(NUMBERS[fill[0]]) if fill and made.numel() else made
        if kind == "conditioning":
            return [[made, {}]] if made.numel() else []
        return {"samples": made} if kind == "latent" else made
    if kind == "clip":  # a CLIP vision model with so many numbers per token
        made = torch.ones(1, 257, int(rest))
        found = SimpleNamespace(penultimate_hidden_states=made, last_hidden_state=made, image_embeds=made[:, 0])
        return SimpleNamespace(encode_image=lambda *_, **__: found)
    return int(words) if words.lstrip("-").isdigit() else float(words)


async def comfy_entrypoint():
    from comfy_api.latest import ComfyExtension, io

    class OddValue(io.ComfyNode):
        """Whatever its text says."""

        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                node_id="OddValue",
                category="inbetween/tests",
                inputs=[io.String.Input("words")],
                outputs=[io.AnyType.Output()],
            )

        @classmethod
        def execute(cls, words: str) -> io.NodeOutput:
            return io.NodeOutput(odd_value(words))

    class OddValueExtension(ComfyExtension):
        async def get_node_list(self) -> list[type[io.ComfyNode]]:
            return [OddValue]

    return OddValueExtension()

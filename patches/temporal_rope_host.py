"""Rescaled temporal rotary embedding on the host's Wan and HunyuanVideo: every block's table of rotations is changed.

A wrapper around every model call works out what each token's temporal rotation is multiplied with, and hands it to the
blocks through the host's block replacement, chained with what other nodes have put there. The host's own table stays,
so positions that another node has scaled or shifted are scaled further, and windows keep their own origin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .block_range import block_indices
from .temporal_rope import MODES, balanced_mid_scale, changed_rotations, frame_scales, rotation_change
from .video_model_host import HUNYUAN, Call, Run, call_grid, check_wan, patched

KEY = "inbetween.temporal_rope"
NODE = "Temporal RoPE"


@dataclass(frozen=True)
class TemporalRoPE:
    """What the node was set to; see its tooltips. The defaults are the paper's code."""

    strength: float = 1.0
    mode: str = "amplitude"
    edge_scale: float = 1.06
    mid_scale: float = 0.94
    edge_frames: int = 0
    smooth_radius: int = 2
    blocks: str = ""
    balance: bool = False

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise ValueError(
                f"strength is {self.strength:g}; use 0 (off) or more. To exchange ends and middle, exchange "
                f"edge_scale and mid_scale."
            )
        if self.mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {self.mode!r}.")

    def scales(self, frames: int) -> Tensor:
        """Scale of every latent frame of the whole video, [T] float64."""
        mid_scale = self.mid_scale
        if self.balance:
            mid_scale = balanced_mid_scale(frames, self.edge_scale, self.edge_frames, self.smooth_radius)
        scales = frame_scales(frames, self.edge_scale, mid_scale, self.edge_frames, self.smooth_radius)
        return 1 + self.strength * (scales - 1)


def add_temporal_rope(model: Any, settings: TemporalRoPE) -> Any:
    """A clone of a video model whose blocks see time at other scales; the model itself is not changed.

    Args:
        model: the host's model patcher, a plain Wan 2.1 or 2.2, or HunyuanVideo.
    Raises:
        ValueError: another model, or blocks that it does not have.
    Cost: one copy of the table of rotations per block, L D 2 floats; no model calls.
    """
    wan = not isinstance(model.model, HUNYUAN)
    network = check_wan(model, NODE, " or HunyuanVideo") if wan else _hunyuan(model)
    names = _block_names(network, wan)
    if settings.blocks.strip():
        names = [names[number] for number in block_indices(settings.blocks, len(names))]

    def start(guider: Any, run: Run, shape: tuple[int, ...]) -> None:
        if len(shape) == 5:
            settings.scales(shape[2])  # says what does not fit before the model is loaded

    def patch(call: Call) -> Callable[[], bool] | None:
        grid = call_grid(call)
        scales = settings.scales(grid.total)[grid.numbers]
        if bool((scales == 1).all()):
            return None
        embedder = network.rope_embedder if wan else network.pe_embedder
        spacing = (call.options.get("rope_options") or {}).get("scale_t", 1.0) if wan else 1.0
        change = rotation_change(scales, settings.mode, embedder.axes_dim[0], embedder.theta, spacing)
        change = change.repeat_interleave(grid.tokens, dim=0).to(call.x.device, torch.float32)
        used: list[bool] = []
        replaced = call.options.get("patches_replace", {})
        blocks = dict(replaced.get("dit", {}))
        blocks.update({name: _Block(blocks.get(name), wan, change, used) for name in names})
        call.options["patches_replace"] = {**replaced, "dit": blocks}
        return lambda: bool(used)

    return patched(model, KEY, NODE, start, patch)


class _Block:
    """Hands a block, or what another node has put in its place, the changed rotations."""

    def __init__(self, previous: Callable | None, wan: bool, change: Tensor, used: list[bool]) -> None:
        self._previous, self._wan, self._change, self._used = previous, wan, change, used

    def __call__(self, args: dict, extra: dict) -> dict:
        self._used[:] = [True]
        args = {**args, "pe": self._changed(args["pe"])}
        if self._previous is not None:
            return self._previous(args, extra)
        return extra["original_block"](args)

    def _changed(self, table: Tensor) -> Tensor:
        """Wan's table is [1, L, 1, D/2, 2, 2], HunyuanVideo's [1, 1, L, D/2, 2, 2]."""
        if not self._wan:
            return changed_rotations(table, self._change)
        return changed_rotations(table.movedim(1, 2), self._change).movedim(2, 1)


def _block_names(network: Any, wan: bool) -> list[tuple[str, int]]:
    """The host's names of a model's blocks in their order; HunyuanVideo's single blocks come after the double ones."""
    if wan:
        return [("double_block", number) for number in range(len(network.blocks))]
    double, single = len(network.double_blocks), len(network.single_blocks)
    return [("double_block", number) for number in range(double)] + [
        ("single_block", number) for number in range(single)
    ]


def _hunyuan(model: Any) -> Any:
    """Its network. Raises ValueError for a picture model of the family."""
    network = model.get_model_object("diffusion_model")
    if len(network.patch_size) != 3:
        raise ValueError(f"{NODE}: model is {type(model.model).__name__}, which makes pictures and has no time.")
    return network

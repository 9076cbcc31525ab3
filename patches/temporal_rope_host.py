"""Rescaled temporal rotary embedding on the host's Wan and HunyuanVideo: every block's table of rotations is changed.

A wrapper around every model call works out what each token's temporal rotation is multiplied with, and hands it to the
blocks through the host's block replacement, chained with what other nodes have put there. The host's own table stays,
so positions that another node has scaled or shifted are scaled further, and windows keep their own origin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .block_range import block_indices
from .temporal_rope import TemporalRoPE, changed_rotations, rotation_change
from .video_model_host import HUNYUAN, Call, Run, call_grid, check_wan, patched

KEY = "inbetween.temporal_rope"
NODE = "Temporal RoPE"


def add_temporal_rope(model: Any, settings: TemporalRoPE) -> Any:
    """A clone of a video model whose blocks see time at other scales; the model itself is not changed.

    Args:
        model: the host's model patcher, a plain Wan 2.1 or 2.2, or HunyuanVideo.
    Raises:
        ValueError: another model, or blocks that it does not have.
    Cost: a second table of rotations while the model is called, L D 2 floats, and the change, L D_t 2; no model calls.
    """
    wan = not isinstance(model.model, HUNYUAN)
    network = check_wan(model, NODE, " or HunyuanVideo") if wan else _hunyuan(model)
    names = _block_names(network, wan)
    if settings.blocks.strip():
        names = [names[number] for number in block_indices(settings.blocks, len(names))]

    def start(guider: Any, run: Run, shape: tuple[int, ...]) -> None:
        if not names:
            run.tell(NODE, f"this model has none of the blocks {settings.blocks}, so nothing is changed.")
        if len(shape) == 5:
            try:
                settings.scales(shape[2])  # says what does not fit before the model is loaded
            except ValueError as error:
                raise ValueError(f"{NODE}: {error}") from error

    def patch(call: Call) -> Callable[[], bool] | None:
        grid = call_grid(call)
        scales = settings.scales(grid.total)[grid.numbers]
        if not names or bool((scales == 1).all()):
            return None
        embedder = network.rope_embedder if wan else network.pe_embedder
        spacing = (call.options.get("rope_options") or {}).get("scale_t", 1.0) if wan else 1.0
        change = rotation_change(scales, settings.mode, embedder.axes_dim[0], embedder.theta, spacing)
        change = change.to(call.x.device, torch.float32).repeat_interleave(grid.tokens, dim=0)
        tables = _Tables(wan, change)
        replaced = call.options.get("patches_replace", {})
        blocks = dict(replaced.get("dit", {}))
        blocks.update({name: _Block(blocks.get(name), tables) for name in names})
        call.options["patches_replace"] = {**replaced, "dit": blocks}
        return lambda: tables.used

    return patched(model, KEY, NODE, start, patch)


class _Tables:
    """A call's changed table of rotations, made when a block first asks for it."""

    def __init__(self, wan: bool, change: Tensor) -> None:
        self._wan, self._change = wan, change
        self._table: Tensor | None = None
        self._changed: Tensor | None = None

    @property
    def used(self) -> bool:
        return self._changed is not None

    def changed(self, table: Tensor) -> Tensor:
        """Wan's table is [1, L, 1, D/2, 2, 2], HunyuanVideo's [B, 1, L, D/2, 2, 2]."""
        if self._changed is None or self._table is not table:
            self._table = table
            ordered = table.movedim(1, 2) if self._wan else table
            changed = changed_rotations(ordered, self._change)
            self._changed = changed.movedim(2, 1) if self._wan else changed
        return self._changed


class _Block:
    """Hands a block, or what another node has put in its place, the changed rotations."""

    def __init__(self, previous: Callable | None, tables: _Tables) -> None:
        self._previous, self._tables = previous, tables

    def __call__(self, args: dict, extra: dict) -> dict:
        args = {**args, "pe": self._tables.changed(args["pe"])}
        if self._previous is not None:
            return self._previous(args, extra)
        return extra["original_block"](args)


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

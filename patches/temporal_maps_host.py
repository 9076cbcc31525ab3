"""Keeps the temporal attention maps of one pass of SVD and puts them, turned, into the pass played backwards.

Both passes are calls of the same host model; what differs is put into a copy of the call's options: an attention
override for the maps, and patches around the temporal self-attention for the weights of a fine-tune, which are added to
what the model's own weights give. Nothing is read from the model's weights, so any precision, offload and LoRA works.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.nn.functional import linear

from .backward_motion import LAYERS, MATRICES, check_deltas, motion_key
from .temporal_maps import attended, temporal_maps, turned

OVERRIDE = "optimized_attention_override"
TURNS = ("all", "up", "none")
Place = tuple[int, int]  # of a conditioning: 0 in the positive list or 1 in the negative, and its place there
FIRST = (0, 0)
BLOCKS = {"input": "input_blocks.{}.1", "middle": "middle_block.1", "output": "output_blocks.{}.1"}


@dataclass(frozen=True, eq=False)
class MirroredAttention:
    """How the two passes of a step share their temporal attention.

    turn: "all" layers, those of the "up" blocks, or "none". deltas: weights of the backward pass, see
    `backward_motion.motion_deltas`; None for the model's own.
    """

    turn: str = "none"
    deltas: Mapping[str, Tensor] | None = None

    def __post_init__(self) -> None:
        if self.turn not in TURNS:
            raise ValueError(f"rotate_attention must be one of {', '.join(TURNS)}, got {self.turn!r}.")

    @property
    def is_plain(self) -> bool:
        """Whether both passes are plain calls of the model."""
        return self.turn == "none" and self.deltas is None

    @contextmanager
    def pair(self, places: Mapping[Any, Place], run: dict[Any, Tensor] | None = None) -> Iterator[_Pair]:
        """The options of a forward and a backward pass; what they keep is dropped at the end, also after an error.

        Compiled layers are called uncompiled meanwhile: the host's compile nodes drop the guards on these options, so
        that what was compiled for one pass, or for another graph, would run in all of them.

        Args:
            places: by conditioning id, its place; the same for what belongs together in both passes.
            run: filled with the side weights on the model's device; the same dict in all steps of a run, so that they
                are sent there once.
        """
        maps: dict[tuple[str, Place], Tensor] = {}
        with nullcontext() if self.is_plain else torch.compiler.set_stance("force_eager"):
            try:
                yield _Pair(self, maps, places, {} if run is None else run)
            finally:
                maps.clear()


def mirrored_attention(turn: str, deltas: Mapping[str, Tensor] | None) -> MirroredAttention:
    """What an artist chose: turning all layers belongs to backward-motion weights and is left out without them."""
    return MirroredAttention("none" if turn == "all" and deltas is None else turn, deltas)


class _Pair:
    """Model options of the two passes."""

    def __init__(self, attention: MirroredAttention, maps: dict, places: Mapping[Any, Place], run: dict) -> None:
        self._attention, self._maps, self._places, self._run = attention, maps, places, run

    def forward(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of model options for the forward pass, which keeps its maps."""
        if self._attention.turn == "none":
            return dict(options)
        turn, maps, places = self._attention.turn, self._maps, self._places
        return _with(options, lambda previous: _Pass(previous, turn, maps, places, keep=True))

    def backward(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of model options for the backward pass, which takes them."""
        attention = self._attention
        if attention.is_plain:
            return dict(options)
        turn, deltas, maps, places = attention.turn, attention.deltas, self._maps, self._places
        return _with(options, lambda previous: _Pass(previous, turn, maps, places, deltas=deltas, sent=self._run))


def check_motion_fits(model: ModelPatcher, deltas: Mapping[str, Tensor]) -> None:
    """Raises ValueError if backward-motion weights were made for another model than this SVD."""
    network = model.get_model_object("diffusion_model")
    modules = dict(network.named_modules())
    sizes = {}
    for layer in LAYERS:
        for matrix in MATRICES:
            module = modules.get(f"{layer}.time_stack.0.attn1.{matrix}")
            if module is not None:
                sizes[motion_key(layer, matrix)] = (module.out_features, module.in_features)
    check_deltas(deltas, sizes)


def _with(options: Mapping[str, Any], make: Callable[[Callable | None], _Pass]) -> dict[str, Any]:
    """A copy of model options with a pass's override and patches, chained with those that are there.

    make: the pass, given the override that is there.
    """
    inner = dict(options.get("transformer_options", {}))
    one = make(inner.get(OVERRIDE))
    patches = dict(inner.get("patches", {}))
    patches["attn1_patch"] = [*patches.get("attn1_patch", []), one.before]
    patches["attn1_output_patch"] = [one.after, *patches.get("attn1_output_patch", [])]
    return {**options, "transformer_options": {**inner, "patches": patches, OVERRIDE: one.override}}


class _Pass(threading.local):
    """The temporal self-attentions of one pass; the host may call the model in several threads, and each has its own.

    In every layer the host calls self-attention twice, over space and then over time. Shapes cannot tell them apart
    when a frame has as many pixels as the video has frames, so calls are counted.
    """

    def __init__(
        self,
        previous: Callable | None,
        turn: str,
        maps: dict[tuple[str, Place], Tensor],
        places: Mapping[Any, Place],
        keep: bool = False,
        deltas: Mapping[str, Tensor] | None = None,
        sent: dict[Any, Tensor] | None = None,
    ) -> None:
        """previous: the override that another node has set."""
        self._turn, self._maps, self._places, self._keep, self._deltas = turn, maps, places, keep, deltas
        self._sent: dict[Any, Tensor] = {} if sent is None else sent
        self._previous = previous
        self._spatial = ""  # the layer whose spatial self-attention was the last to begin
        self._layer = ""  # the layer whose temporal self-attention is going on
        self._values: Tensor | None = None
        self._attended: Tensor | None = None

    def before(self, n: Tensor, context: Tensor, value: Tensor, extra: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """The host's attn1_patch: what goes into a self-attention."""
        kind, number = extra["block"][:2]
        layer = BLOCKS[kind].format(number)
        temporal = self._spatial == layer
        self._spatial, self._layer = ("", layer) if temporal else (layer, "")
        self._values, self._attended = value if temporal else None, None
        return n, context, value

    def override(self, function: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """The host's attention hook."""
        if not self._layer or self._attended is not None:
            return self._plain(function, *args, **kwargs)
        q, k, v, *rest = args
        chunks = self._chunks(kwargs.get("transformer_options") or {}, len(q))
        v = self._with_motion(v, "to_v", self._values)
        turns = self._turn == "all" or (self._turn == "up" and self._layer.startswith("output_blocks"))
        if turns and self._keep:
            maps = temporal_maps(q, k, rest[0] if rest else kwargs["heads"])
            self._maps.update({(self._layer, place): maps[rows] for place, rows in chunks})
        if turns and not self._keep:
            self._attended = self._by_turned_maps(chunks, v)
        else:
            self._attended = self._plain(function, q, k, v, *rest, **kwargs)
        return self._attended

    def after(self, n: Tensor, extra: Mapping[str, Any]) -> Tensor:
        """The host's attn1_output_patch: what comes out of a self-attention."""
        if not self._layer:
            return n
        if self._attended is None:
            raise RuntimeError(
                f"the temporal attention of {self._layer} did not pass through the Bidirectional Guider: another node "
                f"replaces it. Take that node out."
            )
        n = self._with_motion(n, "to_out.0", self._attended)
        self._layer, self._values, self._attended = "", None, None
        return n

    def _plain(self, function: Callable, *args: Any, **kwargs: Any) -> Tensor:
        if self._previous is None:
            return function(*args, **kwargs)
        return self._previous(function, *args, **kwargs)

    def _by_turned_maps(self, chunks: list[tuple[Place, slice]], v: Tensor) -> Tensor:
        parts = []
        for place, rows in chunks:
            maps = self._maps.pop((self._layer, place), None)
            if maps is None:
                raise RuntimeError(
                    f"the forward pass has no temporal attention map of {self._layer} for conditioning {place[1] + 1}: "
                    f"forward and backward conditioning must have as many entries, active at the same steps."
                )
            parts.append(attended(turned(maps.to(v.device)), v[rows]))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _chunks(self, options: Mapping[str, Any], rows: int) -> list[tuple[Place, slice]]:
        """(place of the conditioning, its rows) for every chunk of the batch."""
        ids = options.get("uuids") or [None]
        size = rows // len(ids)
        return [(self._places.get(one, FIRST), slice(n * size, (n + 1) * size)) for n, one in enumerate(ids)]

    def _with_motion(self, made: Tensor, matrix: str, given: Tensor | None) -> Tensor:
        """What a layer's matrix made, with what backward motion makes of the same."""
        if self._deltas is None or given is None:
            return made
        name = motion_key(self._layer, matrix)
        key = (name, made.device, made.dtype)
        if key not in self._sent:
            self._sent[key] = self._deltas[name].to(made.device, made.dtype)
        return made + linear(given, self._sent[key])

"""What the patches ask of the host: which video model this is, which frames a call holds; and how they are set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import comfy.model_base  # to tell the model families apart
from comfy.patcher_extension import WrappersMP
from torch import Tensor

from .other_nodes import node_of, replacing_node

WAN = (comfy.model_base.WAN21, comfy.model_base.WAN22)
HUNYUAN = comfy.model_base.HunyuanVideo
NEGATIVE = "inbetween.negative"  # in transformer_options: numbers of the conditionings that are negative
CALL = ("c_concat", "c_crossattn", "control", "transformer_options")  # the host may pass these by place or by name


def _others(extra: Mapping[str, Any]) -> dict[str, Any]:
    """What a model call is given by name alone."""
    return {name: value for name, value in extra.items() if name not in CALL}


def _order(options: Mapping[str, Any]) -> list[int]:
    """Which conditioning each chunk of the batch belongs to."""
    return options.get("cond_or_uncond", [0])


def check_wan(model: Any, node: str, others: str = "") -> Any:
    """The diffusion model of what was loaded as a plain Wan 2.1 or 2.2. others: families that the node takes too.

    Raises:
        ValueError: another family, or a Wan with more token streams than the video's.
    """
    base = model.model
    if not isinstance(base, comfy.model_base.WAN21):
        raise ValueError(f"{node}: model is {type(base).__name__}, not Wan. Connect Wan 2.1 or Wan 2.2{others}.")
    network = model.get_model_object("diffusion_model")
    left = node_of(type(network)) is not None and hasattr(network, "blocks")  # another node laid its class over Wan's
    if type(base) not in WAN or not (left or type(network).__name__ == "WanModel"):
        raise ValueError(
            f"{node}: model is {type(base).__name__}. VACE, Camera, HuMo, Animate, S2V, SCAIL and other Wan models "
            f"with token streams of their own are not supported: connect Wan 2.1 (T2V, I2V, FLF2V) or 2.2 (14B, 5B)."
        )
    return network


@dataclass
class Run:
    """One sampling run. negative: ids of the conditionings that the guider calls negative, by any name with that word.

    called: whether a model call came by. reached: whether the patch was seen to work. told: what the log was told.
    layouts: by conditioning, which pictures its image tokens show, None where it is not known.
    places: where in the whole sampling the run's steps were, 0..1. known: by part of a schedule, its levels' places.
    """

    negative: set[Any]
    called: bool = False
    reached: bool = False
    told: set[str] = field(default_factory=set)
    layouts: dict[Any, tuple[str, ...] | None] = field(default_factory=dict)
    places: set[float] = field(default_factory=set)
    known: dict[tuple[float, ...], list[tuple[float, ...]]] = field(default_factory=dict)

    def tell(self, node: str, message: str) -> None:
        """Writes to the log, once in a run."""
        if message not in self.told:
            self.told.add(message)
            logging.info("%s: %s", node, message)


@dataclass(frozen=True)
class Call:
    """One model call. options: the host's transformer_options, a copy. extra: all else that the model is given."""

    base: Any
    x: Tensor
    options: dict[str, Any]
    extra: dict[str, Any]
    run: Run | None

    @property
    def network(self) -> Any:
        return self.base.diffusion_model

    def positive_chunks(self) -> list[bool]:
        """For every chunk of the batch, whether it is a positive pass."""
        negative = self.options.get(NEGATIVE)
        return [number == 0 if negative is None else number not in negative for number in _order(self.options)]


def patched(
    model: Any,
    key: str,
    node: str,
    start: Callable[[Any, Run, tuple[int, ...]], None],
    patch: Callable[[Call], Callable[[], bool] | None],
    finish: Callable[[Run], None] | None = None,
) -> Any:
    """A clone of the model with a patch in every model call, in place of an earlier one of the same key.

    Args:
        model: the host's model patcher, not changed.
        key: names the patch in the host's wrappers; applying it twice leaves one.
        node: the node's name for errors and the log.
        start: called with the guider, the run and the shape of the noise before a run's model is loaded.
        patch: changes a call's options; returns a function that tells afterwards whether the patch was used, or None
            if there was nothing to do.
        finish: called after a run that made all its steps.
    """

    def outer(executor: Any, noise: Tensor, *args: Any, **kwargs: Any) -> Any:
        guider = executor.class_obj
        lists = [entries for name, entries in guider.conds.items() if "negative" in name]
        run = Run({entry.get("uuid") for entries in lists for entry in entries})
        start(guider, run, tuple(noise.shape))
        options = guider.model_options.setdefault("transformer_options", {})
        options[key] = run
        try:
            result = executor(noise, *args, **kwargs)
        finally:
            options.pop(key, None)
        sigmas = args[2] if len(args) > 2 else kwargs["sigmas"]
        if not run.called and len(sigmas) > 1:
            logging.warning("%s had no effect: another node removed its part in the model's calls.", node)
        if finish is not None:
            finish(run)
        return result

    def apply(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Any:
        extra = {**dict(zip(CALL, args, strict=False)), **kwargs}
        options = dict(extra.pop("transformer_options", None) or {})
        run: Run | None = options.get(key)
        _refuse_extra_streams(extra, node)
        used = patch(Call(executor.class_obj, x, options, extra, run))
        result = executor(x, t, *(extra.get(name) for name in CALL[:3]), options, **_others(extra))
        if run is not None:
            run.called = True
            if used is not None:
                run.reached = used() or run.reached
                if not run.reached:
                    raise RuntimeError(_lost(node, replacing_node(executor.class_obj.diffusion_model)))
        return result

    def number(executor: Any, base: Any, conds: list, x: Tensor, t: Tensor, model_options: dict) -> Any:
        # for a prompt with an area the host adds a copy of it, with its id, to the other list: the first entry tells
        options = dict(model_options.get("transformer_options", {}))
        run: Run | None = options.get(key)
        if run is not None:
            first = [entries[0].get("uuid") if entries else None for entries in conds]
            options[NEGATIVE] = frozenset(place for place, identity in enumerate(first) if identity in run.negative)
            model_options = {**model_options, "transformer_options": options}
        return executor(base, conds, x, t, model_options)

    clone = model.clone()
    wrappers = {
        WrappersMP.OUTER_SAMPLE: outer,
        WrappersMP.CALC_COND_BATCH: number,
        WrappersMP.APPLY_MODEL: apply,
    }
    for kind, wrapper in wrappers.items():
        clone.remove_wrappers_with_key(kind, key)
        clone.add_wrapper_with_key(kind, key, wrapper)
    return clone


def _lost(node: str, other: str | None) -> str:
    """Why a patch was set and not used. other: a node that runs a part of the model in a way of its own."""
    if other is not None:
        return (
            f"{node} and {other} cannot be combined: the other one runs the model in a way of its own, which leaves "
            f"out what {node} sets. Take one of them out."
        )
    return (
        f"{node} was set, but the model did not pass through it: another node replaced its part without calling it. "
        f"Put {node} after that node, or take one of them out."
    )


@dataclass(frozen=True)
class Grid:
    """The video's tokens in one model call.

    numbers: [T] the whole video's numbers of the latent frames; total: latent frames of the whole video.
    tokens: h * w, tokens of a frame. before: tokens of a reference picture ahead of the video's.
    """

    numbers: list[int]
    total: int
    tokens: int
    before: int

    @property
    def frames(self) -> int:
        """Latent frames of the call."""
        return len(self.numbers)

    @property
    def length(self) -> int:
        """All tokens, L."""
        return self.before + self.frames * self.tokens


def call_grid(call: Call) -> Grid:
    """The grid of a call on x [B, C, T, H, W]: the whole video or one context window.

    Raises:
        RuntimeError: the host's context window names other frames than the call holds.
    """
    frames, height, width = call.x.shape[-3:]
    down, right = call.network.patch_size[-2:]
    tokens = -(-height // down) * -(-width // right)
    reference = getattr(call.network, "ref_conv", None) is not None and call.extra.get("reference_latent") is not None
    before = tokens if reference else 0
    window = call.options.get("context_window")
    if window is None:
        return Grid(list(range(frames)), frames, tokens, before)
    ahead = getattr(window, "causal_anchor_index", None)
    numbers = ([] if ahead is None else [int(ahead)]) + [int(index) for index in window.index_list]
    if len(numbers) != frames:
        raise RuntimeError(
            f"The host's context window names {len(numbers)} frames, the call has {frames}: this ComfyUI passes "
            f"context windows in a way that this version of the pack does not know."
        )
    return Grid(numbers, window.total_frames, tokens, before)


def _refuse_extra_streams(extra: Mapping[str, Any], node: str) -> None:
    """Raises ValueError if a call carries tokens beside the video's whose place in the sequence is not known."""
    found = [name for name in ("time_dim_concat", "context_latents") if extra.get(name) is not None]
    if found:
        raise ValueError(
            f"{node}: the conditioning carries {found[0]}, which adds frames of its own to the model's sequence. Take "
            f"that node out, or this one."
        )

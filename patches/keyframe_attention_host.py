"""Keyframe-anchored attention on the host's Wan: isolation, weights and bias, through the host's attention hook.

A wrapper around every model call installs an attention override for that call; it tells the calls of a block apart by
their key lengths, splits the image call in two, and adds the bias in the chosen blocks and steps. Weights are never
read. Overrides that other nodes have set are called with the kernel they should use; one that does not use the kernel
it is given is left out of the biased calls, which it would undo.

The bias is the same for all queries of a frame, so each frame is one call of the host's kernel with one number per key.
Chosen by measurement, one text branch of 480x832x81 at Wan 14B's width on a CPU core: plain 4.5 s; frame by frame 4.4 s
and frames folded into the batch 4.6 s, both with no more memory than plain; the bias as an extra key channel 4.8 s and
45 MB more. The means cost 4.3 s and 80 MB. Forming the probabilities once for means and output, 5.6 s in all, needs
150 MB more and a kernel of our own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from comfy.ldm.modules.attention import attention_pytorch  # the host's kernel that takes a bias on every machine
from torch import Tensor

from .block_range import block_indices, scaled_blocks
from .image_tokens_host import NO_TOKENS, PICTURE_TOKENS, UNKNOWN_PICTURE, Layout, token_layouts
from .keyframe_attention import anchored_bias, cosine_taper, frame_means, keyframe_anchors, position_weights
from .keyframe_attention_settings import KeyframeAttention
from .other_nodes import node_of, replacing_node
from .schedule_place import outside_window
from .schedule_place_host import step_in_window
from .video_model_host import Call, Grid, Run, call_grid, check_wan, patched

KEY = "inbetween.keyframe_attention"
RECORD = "inbetween.keyframe_attention.record"  # a deque in transformer_options that biased calls are appended to
NODE = "Keyframe Attention"
OVERRIDE = "optimized_attention_override"


def add_keyframe_attention(model: Any, settings: KeyframeAttention) -> Any:
    """A clone of a Wan model whose cross-attention is led by the keyframes; the model itself is not changed.

    Args:
        model: the host's model patcher, a plain Wan 2.1 or 2.2.
    Raises:
        ValueError: not such a model, blocks that it does not have, or image branches on a model without them.
    Cost: no model calls. A biased block forms its attention probabilities once more, a piece of a frame at a time
        (about 100 MB), and its attention frame by frame; see `./dev bench attention`.
    """
    network = check_wan(model, NODE)
    depth, pictures = len(network.blocks), network.img_emb is not None
    blocks = block_indices(settings.blocks, depth) if settings.blocks.strip() else scaled_blocks(depth)
    if settings.branches == "image" and not pictures:
        raise ValueError("branches is image, but this Wan has no image attention (T2V, Wan 2.2): use all or text.")

    def start(guider: Any, run: Run, shape: tuple[int, ...]) -> None:
        _check_track(settings, shape)
        if pictures:
            run.layouts = token_layouts(guider, NODE, settings.needs_layout)
        else:
            run.tell(NODE, "this Wan has no image attention (T2V, Wan 2.2), so its text attention alone is led.")
        if not blocks:
            run.tell(NODE, f"no block is biased: the model has 0 to {depth - 1}. Leave blocks empty to scale them.")

    def patch(call: Call) -> Callable[[], bool]:
        attention = _Attention(settings, blocks, call)
        # a compiler must not write this call's numbers into its graph
        call.options[OVERRIDE] = torch.compiler.disable(attention.override)
        return attention.used

    def finish(run: Run) -> None:
        unused = outside_window(run.places, settings.start_percent, settings.end_percent)
        if blocks and unused:
            run.tell(NODE, f"{unused} What is set for every step, such as isolate, was on.")

    return patched(model, KEY, NODE, start, patch, finish)


@dataclass(frozen=True, eq=False)
class Recorded:
    """Mean attention of every frame in one biased call, [B, T, K], before and after the bias.

    anchors: places among the call's frames. numbers: the frames' places in the whole video.
    """

    block: int
    branch: str
    before: Tensor
    after: Tensor
    anchors: list[int]
    numbers: list[int]


class _Attention:
    """The attentions of one model call, told apart, weighted and biased."""

    def __init__(self, settings: KeyframeAttention, blocks: tuple[int, ...], call: Call) -> None:
        self._settings, self._run, self._grid = settings, call.run, call_grid(call)
        self._previous: Callable | None = call.options.get(OVERRIDE)
        self._record: deque | None = call.options.get(RECORD)
        self._positive, self._rows = call.positive_chunks(), len(call.x)
        self._roles, self._layouts = _roles(call, self._grid)
        self._anchors = keyframe_anchors(self._grid.numbers, settings.keyframes)
        rows = any(self._positive) or settings.on_negative
        in_time = step_in_window(call, NODE, settings.start_percent, settings.end_percent)
        biased = in_time and rows and blocks and self._grid.frames > 2
        self._blocks = blocks if biased else ()
        self._block, self._next = -1, 0
        self._network, self._reached, self._biased, self._hindrance = call.network, False, False, ""

    def used(self) -> bool:
        """Whether the model came by.

        Raises:
            RuntimeError: it did, but no attention that was to be biased could be.
        """
        if self._hindrance and not self._biased:
            other = replacing_node(self._network) or node_of(self._previous) or "another node"
            raise RuntimeError(
                f"{NODE} has no effect: {other} {self._hindrance}. Take one of them out; a node for guidance through "
                f"attention (NAG) leaves it whole at cfg 1."
            )
        return self._reached

    def override(self, function: Callable, *args: Any, **kwargs: Any) -> Tensor:
        """The host's hook: one attention. args begin with q, k, v, each [B, tokens, heads * D]."""
        q, k, v = args[:3]

        def through(kernel: Callable, keys: Tensor, values: Tensor) -> Tensor:
            if self._previous is None:
                return kernel(q, keys, values, *args[3:], **kwargs)
            return self._previous(kernel, q, keys, values, *args[3:], **kwargs)

        def branch(name: str, keys: Tensor, values: Tensor) -> Tensor:
            if not self._is_biased(name):
                return through(function, keys, values)
            kernel = _BiasedKernel(self, function, name)
            out = through(kernel, keys, values)
            if kernel.used:
                return out
            self._tell("another node's attention kernel is left out where attention is biased.")
            return kernel(q, keys, values, *args[3:], **kwargs)

        role = self._role(q, k, kwargs)
        if role == "text":
            self._reached = True
            return branch("text", k, _scaled(v, self._settings.text_weight))
        if role == "image":
            return self._pictures(branch, k, v)
        return through(function, k, v)

    def biased(self, function: Callable, name: str, *args: Any, **kwargs: Any) -> Tensor:
        """Attention [B, L, C] with the bias on the positive chunks; the others, and a reference's tokens, without."""
        q, k, v, *rest = args
        if kwargs.get("mask") is not None or len(rest) > 1:
            self._hindrance = "masks the attention that would be biased"
            self._tell("another node masks attention that would be biased; it is left as that node wants it.")
            return function(*args, **kwargs)
        if not self._is_whole(q) or kwargs.get("skip_reshape") or kwargs.get("skip_output_reshape"):
            self._hindrance = "takes the attention apart that would be biased"
            self._tell("another node takes attention apart where it would be biased; those calls are left as they are.")
            return function(*args, **kwargs)
        self._biased = True
        heads = kwargs["heads"] if "heads" in kwargs else rest[0]
        out, ahead = torch.empty_like(q), self._grid.before
        for rows, positive in zip(self._chunks(q), self._positive, strict=True):
            if not (positive or self._settings.on_negative):
                out[rows] = function(q[rows], k[rows], v[rows], *rest, **kwargs)
                continue
            if ahead:
                out[rows, :ahead] = function(q[rows, :ahead], k[rows], v[rows], *rest, **kwargs)
            self._fill_video(out[rows, ahead:], name, q[rows, ahead:], k[rows], v[rows], heads)
        return out

    def _fill_video(self, out: Tensor, name: str, q: Tensor, k: Tensor, v: Tensor, heads: int) -> None:
        """Writes the biased attention of a video, [B, T*h*w, C], into out, frame by frame."""
        settings, frames = self._settings, self._grid.frames
        shape = (frames, self._grid.tokens)
        q, out = q.unflatten(1, shape), out.unflatten(1, shape)
        means = frame_means(q, k, heads)
        taper = settings.strength * cosine_taper(frames, self._anchors, settings.beta_end, settings.beta_mid)
        bias = anchored_bias(means, self._anchors, taper, settings.epsilon)
        if self._record is not None:
            after = frame_means(q, k, heads, bias)
            self._record.append(Recorded(self._block, name, means, after, self._anchors, self._grid.numbers))
        bias = bias[:, :, None, None].to(q.dtype)  # [B, T, 1, 1, K]
        for frame in range(frames):
            out[:, frame] = attention_pytorch(q[:, frame], k, v, heads, mask=bias[:, frame])

    def _pictures(self, branch: Callable, k: Tensor, v: Tensor) -> Tensor:
        """The image attention: each picture with its own softmax or both with one, and their weights."""
        settings, half = self._settings, PICTURE_TOKENS
        if k.shape[1] != 2 * half:
            return self._one_picture(branch("image", k, v))
        first, last = _scaled(v[:, :half], settings.first_weight), _scaled(v[:, half:], settings.last_weight)
        if settings.isolate:
            first, last = branch("first", k[:, :half], first), branch("last", k[:, half:], last)
        elif settings.weights_by_position:  # each picture's part of what both give together
            nothing = torch.zeros_like(first)
            first = branch("image", k, torch.cat([first, nothing], dim=1))
            last = branch("image", k, torch.cat([nothing, last], dim=1))
        else:
            plain = settings.first_weight == settings.last_weight == 1
            return branch("image", k, v if plain else torch.cat([first, last], dim=1))
        if not settings.weights_by_position:
            return first + last
        weights = position_weights(self._places(first))
        return self._by_frame(first, weights[0]) + self._by_frame(last, weights[1])

    def _one_picture(self, out: Tensor) -> Tensor:
        """The attention to one picture, with the weight of the end that each chunk's conditioning shows."""
        settings = self._settings
        if not settings.needs_layout:
            return _scaled(out, settings.first_weight)
        if not self._is_whole(out):
            self._tell("another node takes attention apart, so the weights of one picture are left out.")
            return out
        parts = []
        for rows, layout in zip(self._chunks(out), self._layouts, strict=True):
            if layout is None:
                raise ValueError(f"{NODE}: {UNKNOWN_PICTURE}")
            last = layout == ("last",)
            part = _scaled(out[rows], settings.last_weight if last else settings.first_weight)
            if settings.weights_by_position:
                part = self._by_frame(part, position_weights(self._places(part))[last])
            parts.append(part)
        return torch.cat(parts)

    def _by_frame(self, out: Tensor, weights: Tensor) -> Tensor:
        """[B, L, C] with every frame's tokens multiplied by its weight; a reference's tokens stay."""
        ahead, shape = self._grid.before, (self._grid.frames, self._grid.tokens)
        video = (out[:, ahead:].unflatten(1, shape) * weights[:, None, None]).flatten(1, 2)
        return torch.cat([out[:, :ahead], video], dim=1) if ahead else video

    def _places(self, like: Tensor) -> Tensor:
        """Place of every frame in the whole video, 0..1, [T]."""
        numbers = torch.tensor(self._grid.numbers, dtype=like.dtype, device=like.device)
        return numbers / max(1, self._grid.total - 1)

    def _chunks(self, batch: Tensor) -> list[slice]:
        size = len(batch) // len(self._positive)
        return [slice(number * size, (number + 1) * size) for number in range(len(self._positive))]

    def _is_biased(self, name: str) -> bool:
        kind = "text" if name == "text" else "image"
        return self._block in self._blocks and self._settings.branches in ("all", kind)

    def _is_whole(self, q: Tensor) -> bool:
        """Whether this is the attention of the whole batch over the whole sequence, [B, L, C]."""
        return q.ndim == 3 and q.shape[:2] == (self._rows, self._grid.length)

    def _tell(self, message: str) -> None:
        if self._run is not None:
            self._run.tell(NODE, message)

    def _role(self, q: Tensor, k: Tensor, kwargs: Mapping[str, Any]) -> str | None:
        """Which of the block's attentions this is: by the length of its keys, by order where lengths agree."""
        block = (kwargs.get("transformer_options") or {}).get("block_index", -1)
        if block != self._block:
            self._block, self._next = block, 0
        if q.shape[1] == self._grid.length:
            for place in (*range(self._next, len(self._roles)), *range(self._next)):
                if self._roles[place][1] == k.shape[1]:
                    self._next = place + 1
                    return self._roles[place][0]
        return None


class _BiasedKernel:
    """An attention function with the bias inside, to be called like the host's; remembers whether it was."""

    def __init__(self, attention: _Attention, function: Callable, name: str) -> None:
        self._attention, self._function, self._name, self.used = attention, function, name, False

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        self.used = True
        return self._attention.biased(self._function, self._name, *args, **kwargs)


def _roles(call: Call, grid: Grid) -> tuple[list[tuple[str, int]], list[Layout]]:
    """A block's attentions in order with the lengths of their keys; and per chunk which pictures the image tokens show.

    Raises:
        ValueError: a model with image attention was given no image tokens.
    """
    text = ("text", call.extra["c_crossattn"].shape[1])
    layouts: list[Layout] = [None] * len(call.positive_chunks())
    if call.network.img_emb is None:
        return [("self", grid.length), text], layouts
    tokens = call.extra.get("clip_fea")
    if tokens is None:
        raise ValueError(f"{NODE}: {NO_TOKENS}")
    if call.run is not None and "uuids" in call.options:
        layouts = [call.run.layouts.get(identity) for identity in call.options["uuids"]]
    return [("self", grid.length), ("image", tokens.shape[-2]), text], layouts


def _check_track(settings: KeyframeAttention, shape: tuple[int, ...]) -> None:
    """Raises ValueError if the track is for a video of another length than the noise's [B, C, T, h, w]."""
    if settings.length and len(shape) == 5 and settings.latent_frames != shape[2]:
        raise ValueError(
            f"{NODE}: keyframes is a track of {settings.length} video frames ({settings.latent_frames} latent), but "
            f"this run has {shape[2]} latent frames: connect the track that the conditioning uses."
        )


def _scaled(values: Tensor, weight: float) -> Tensor:
    """A branch's weight, which is mostly put on its values; a weight of 1 costs and changes nothing."""
    return values if weight == 1 else values * weight

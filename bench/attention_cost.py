"""./dev bench attention: what Keyframe Attention adds to one block of Wan 14B, in time and memory.

The cross-attention runs at its full size through the node's own hook. On a CPU the rest of the block (self-attention
and feed-forward) is measured on a part of the tokens and scaled, which the table says; on a GPU it runs whole.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from .measured import measured
from .random_weights import draw_weights

SIZES = {"480x832x81": (21, 30, 52), "720x1280x81": (21, 45, 80)}  # latent frames, token rows and columns
TEXT, PICTURES = 512, 514
DEPTH, BIASED_BLOCKS, BIASED_STEPS = 40, 8, 0.4  # Wan 14B and the paper's window; half of the calls are positive


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev bench attention", description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--width", type=int, default=5120, help="channels of the model, 128 a head")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--part", type=int, default=64, help="on a CPU, one in so many tokens for the rest of the block"
    )
    options = parser.parse_args(arguments)
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    args.use_pytorch_cross_attention = True  # the kernel that artists have
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {options.threads} thread(s)"
    for size in options.sizes:
        _print_size(size, _Block(options.width, device), options, where)
    return 0


def _print_size(size: str, block: _Block, options: argparse.Namespace, where: str) -> None:
    frames, rows, columns = SIZES[size]
    tokens = frames * rows * columns
    print(f"\n{size}: {tokens} tokens, width {options.width}, bf16, {where}")
    with torch.inference_mode():
        x, context = block.inputs(tokens)
        rest, how = block.rest_seconds(x, options.part)
        print(f"self-attention and feed-forward: {rest:.2f} s ({how})\n")
        print(f"{'extra peak, MB':>84}")
        heads = ("cross-attention s", "block s", "to plain", "cross-attention", "whole block")
        print(f"{'':<28} {heads[0]:>18} {heads[1]:>9} {heads[2]:>9} {heads[3]:>15} {heads[4]:>13}")
        ways = {
            "plain": {},
            "isolation": block.options((frames, 2 * rows, 2 * columns), biased=False),
            "isolation and bias (KAB)": block.options((frames, 2 * rows, 2 * columns), biased=True),
            "as the official code": {"optimized_attention_override": _official(frames)},
        }
        feed_peak = block.feed_forward_peak(x)
        found = []
        for name, way in ways.items():
            found.append(measured(lambda way=way: block.cross_attention(x, context, way), x.device))
            seconds, _, peak = found[-1]
            plain, _, plain_peak = found[0]
            ratio = (rest + seconds) / (rest + plain)
            here = (peak - plain_peak) / 2**20
            whole = (max(peak, feed_peak) - max(plain_peak, feed_peak)) / 2**20
            times = f"{seconds:>18.2f} {rest + seconds:>9.2f} {ratio:>8.3f}x"
            print(f"{name:<28} {times} {here:>15.0f} {whole:>13.0f}", flush=True)
    official = found[3][1]
    difference = float((found[2][1] - official).abs().max() / official.abs().max())
    isolated, biased = found[1][0], found[2][0]
    added = (isolated - plain) + BIASED_BLOCKS / DEPTH * BIASED_STEPS * 0.5 * (biased - isolated)
    print(f"\nlargest difference of KAB and the official code, to the largest value: {difference:.1e}")
    print(f"over a whole run with the paper's window: {100 * added / (rest + plain):+.2f} % of the time")
    if x.device.type == "cpu":
        print("A CPU's kernels peak elsewhere than a GPU's (its normalisation copies in float32): memory is the CPU's.")


class _Block:
    """One block of a random Wan at a width, with the node's hook."""

    def __init__(self, width: int, device: torch.device) -> None:
        import comfy.ops
        from comfy.ldm.wan.model import WanAttentionBlock

        settings = {"operations": comfy.ops.disable_weight_init, "device": device, "dtype": torch.bfloat16}
        self.heads, self.width, self.device = width // 128, width, device
        feed = 27 * width // 10  # 13,824 at 5,120
        self.block = WanAttentionBlock("i2v_cross_attn", width, feed, self.heads, operation_settings=settings)
        draw_weights(self.block)
        self.generator = torch.Generator(device).manual_seed(1)

    def inputs(self, tokens: int) -> tuple[Tensor, Tensor]:
        def drawn(count: int) -> Tensor:
            return torch.randn(1, count, self.width, generator=self.generator, device=self.device, dtype=torch.bfloat16)

        return drawn(tokens), drawn(PICTURES + TEXT)

    def cross_attention(self, x: Tensor, context: Tensor, options: dict[str, Any]) -> Tensor:
        options = {**options, "block_index": 0}
        return self.block.cross_attn(x, context, context_img_len=PICTURES, transformer_options=options)

    def options(self, shape: tuple[int, int, int], biased: bool) -> dict[str, Any]:
        """What Keyframe Attention puts into a call of a model with this block, asked from its wrapper."""
        import comfy.model_base
        from comfy.patcher_extension import WrappersMP

        from ..patches.keyframe_attention_host import KEY, add_keyframe_attention
        from ..patches.keyframe_attention_settings import KeyframeAttention

        network = _named_wan(self.block)
        base = comfy.model_base.WAN21.__new__(comfy.model_base.WAN21)
        torch.nn.Module.__init__(base)
        base.__dict__["diffusion_model"] = network
        settings = KeyframeAttention(blocks="0", end_percent=0.4 if biased else 0.0)
        wrapped = add_keyframe_attention(_Patcher(base, network), settings).wrappers[WrappersMP.APPLY_MODEL][KEY]
        seen: dict[str, Any] = {}

        def instead(x: Tensor, t: Tensor, concat: Any, text: Any, control: Any, options: dict, **extra: Any) -> None:
            seen.update(options)

        executor = _Executor(base, instead)
        x = torch.empty(1, 16, *shape, device="meta")
        base.model_sampling = SimpleNamespace(sigma_max=1.0, percent_to_sigma=lambda share: 1 - share)
        sigmas = {"sigmas": torch.tensor([0.8]), "sample_sigmas": torch.linspace(1, 0, 6), "cond_or_uncond": [0]}
        tokens = {"clip_fea": torch.empty(1, PICTURES, 1280, device="meta")}
        text = torch.empty(1, TEXT, 4096, device="meta")
        wrapped[0](executor, x, None, c_crossattn=text, transformer_options=sigmas, **tokens)
        return {"optimized_attention_override": seen["optimized_attention_override"]}

    def rest_seconds(self, x: Tensor, part: int) -> tuple[float, str]:
        """Seconds of the block without its cross-attention."""
        from comfy.ldm.modules.attention import optimized_attention

        count = x.shape[1] if x.is_cuda else -(-x.shape[1] // part)
        own, some = self.block.self_attn, x[:, :count]

        def work() -> Tensor:
            q = own.norm_q(own.q(some))
            own.norm_k(own.k(some)), own.v(some)
            mixed = own.o(optimized_attention(q, x, x, heads=self.heads))  # every key, some of the queries
            return self.block.ffn(mixed)

        seconds = measured(work, x.device)[0]
        how = "whole" if count == x.shape[1] else f"{count} of the tokens as queries, scaled"
        return seconds * x.shape[1] / count, how

    def feed_forward_peak(self, x: Tensor) -> int:
        """Bytes that the feed-forward, the block's peak, holds at least: both sides of its activation."""
        return 2 * x.shape[1] * self.block.ffn[0].out_features * x.element_size()


def _official(frames: int) -> Callable:
    """KAB as the official code forms it: explicit float32 softmax of each frame, twice, keys of each branch apart."""
    from ..patches.keyframe_attention import cosine_taper

    taper = cosine_taper(frames, [0, frames - 1], 0.7, 0.3)

    def softmax(q: Tensor, k: Tensor, bias: Tensor | float = 0.0) -> Tensor:
        return (q.float() @ k.float().transpose(-1, -2) * q.shape[-1] ** -0.5 + bias).softmax(-1)

    def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
        q = q.unflatten(1, (frames, -1)).unflatten(-1, (heads, -1))[0].transpose(1, 2)  # [T, heads, h*w, D]
        k, v = (item.unflatten(-1, (heads, -1))[0].transpose(0, 1) for item in (k, v))
        ends = [softmax(q[end], k).mean(dim=(0, 1)) for end in (0, -1)]
        parts = []
        for frame in range(frames):
            bias: Tensor | float = 0.0
            if taper[frame] > 0:
                place = frame / (frames - 1)
                target = (1 - place) * ends[0] + place * ends[1]
                own = softmax(q[frame], k).mean(dim=(0, 1))
                bias = float(taper[frame]) * (target.clamp(min=5e-4).log() - own.clamp(min=5e-4).log())
            parts.append((softmax(q[frame], k, bias).to(v.dtype) @ v).transpose(0, 1).flatten(1))
        return torch.cat(parts)[None]

    def override(function: Callable, q: Tensor, k: Tensor, v: Tensor, heads: int, **rest: Any) -> Tensor:
        if k.shape[1] == PICTURES:
            half = PICTURES // 2
            pairs = ((k[:, :half], v[:, :half]), (k[:, half:], v[:, half:]))
            return sum(attention(q, keys, values, heads) for keys, values in pairs)
        return attention(q, k, v, heads)

    return override


def _named_wan(block: torch.nn.Module) -> torch.nn.Module:
    """A WanModel of this one block; the rest of it is not used."""
    from comfy.ldm.wan.model import WanModel

    network = WanModel.__new__(WanModel)
    torch.nn.Module.__init__(network)
    network.blocks = torch.nn.ModuleList([block])
    network.img_emb, network.ref_conv, network.patch_size = torch.nn.Identity(), None, (1, 2, 2)
    return network


class _Patcher:
    """As much of the host's model patcher as Keyframe Attention asks for; a real one would load 14 B weights."""

    def __init__(self, base: Any, network: Any) -> None:
        import comfy.model_patcher

        self.model, self._network, self.wrappers = base, network, {}
        self._patcher = comfy.model_patcher.ModelPatcher

    def get_model_object(self, name: str) -> Any:
        return self._network

    def clone(self) -> _Patcher:
        return self

    def remove_wrappers_with_key(self, kind: str, key: str) -> None:
        self._patcher.remove_wrappers_with_key(self, kind, key)

    def add_wrapper_with_key(self, kind: str, key: str, wrapper: Callable) -> None:
        self._patcher.add_wrapper_with_key(self, kind, key, wrapper)


class _Executor:
    def __init__(self, class_obj: Any, call: Callable) -> None:
        self.class_obj, self._call = class_obj, call

    def __call__(self, *positional: Any, **named: Any) -> Any:
        return self._call(*positional, **named)

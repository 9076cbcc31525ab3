"""Small random models in the host's file formats. They prove wiring, not quality.

Each function writes one .safetensors file that the host's own loader node accepts. Weights are seeded, so a file is the
same on every machine.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

SEED = 20260317


def filled(module: torch.nn.Module, seed: int = SEED, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """The module's state dict with every weight drawn anew: matrices scaled to keep variance, vectors near their role."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in sorted(module.state_dict().items()):
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim >= 2 and "modulation" not in key and "emb_pos" not in key and "embedding.weight" not in key:
            weight = noise * scale / (value[0].numel() ** 0.5)
        elif key.endswith(("gamma", "weight")) and value.ndim != 2:
            weight = 1 + 0.05 * noise
        else:
            weight = 0.05 * noise
        state[key] = weight.contiguous()
    return state


def write_wan(
    path: Path, kind: str, dim: int = 48, heads: int = 2, layers: int = 2, text_dim: int = 16, seed: int = SEED
) -> Path:
    """A Wan transformer for UNETLoader.

    Args:
        kind: t2v (16 channels), i2v (36 and image tokens), flf2v (also a position table), i2v_14b (36, no image tokens),
            ti2v_5b (48 channels, noise mask).
    """
    import comfy.ops
    from comfy.ldm.wan.model import WanModel

    channels = {"t2v": 16, "i2v": 36, "flf2v": 36, "i2v_14b": 36, "ti2v_5b": 48}[kind]
    model = WanModel(
        model_type="i2v" if kind in ("i2v", "flf2v") else "t2v",
        in_dim=channels,
        out_dim=48 if kind == "ti2v_5b" else 16,
        dim=dim,
        ffn_dim=2 * dim,
        freq_dim=16,
        text_dim=text_dim,
        num_heads=heads,
        num_layers=layers,
        flf_pos_embed_token_number=514 if kind == "flf2v" else None,
        operations=comfy.ops.disable_weight_init,
    )
    config = {"transformer": {"num_heads": heads, "text_dim": text_dim, "freq_dim": 16}}
    return _write(path, filled(model, seed), {"config": json.dumps(config)})


def write_wan_vae(path: Path, dim: int = 4, seed: int = SEED) -> Path:
    """A Wan 2.1 VAE for VAELoader: 16 latent channels, 8x in space, 4x in time."""
    from comfy.ldm.wan.vae import WanVAE

    model = WanVAE(
        dim=dim,
        z_dim=16,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=2,
        attn_scales=[],
        temperal_downsample=[False, True, True],
        dropout=0.0,
    )
    return _write(path, filled(model, seed))


def write_clip_text(path: Path, seed: int = SEED) -> Path:
    """A CLIP-L text encoder for CLIPLoader, random: the smallest that loader can build (123 M, 246 MB in fp16)."""
    import comfy.sd1_clip

    model = comfy.sd1_clip.SDClipModel(device="cpu", dtype=torch.float16)
    return _write(path, {key: value.half() for key, value in filled(model.transformer, seed).items()})


def _write(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(state, partial, metadata)
    partial.rename(path)
    return path

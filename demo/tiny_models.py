"""Small random models in the host's file formats. They prove wiring, not quality.

Each function writes one .safetensors file that the host's own loader node accepts. Weights are seeded, so a file is the
same on every machine.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from . import small_clip_vision, small_llama, small_seedvr2
from .small_svd import CHANNELS, HEAD_SIZE
from .world_nodes.svd_host import unet_arguments

SEED = 20260317
# of a CLIP vision H: what brings the mean over the picture into the vector that SVD reads
_CLIP_VISION_DRAWN = ("layers.0.self_attn.v_proj.weight", "layers.0.self_attn.out_proj.weight", "projection.weight")
_CLIP_VISION_ONES = ("pre_layrnorm.weight", "layers.0.layer_norm1.weight", "post_layernorm.weight")


def filled(module: torch.nn.Module, seed: int = SEED, scale: float = 1.0) -> dict[str, torch.Tensor]:
    """The module's weights with every weight drawn anew: matrices keep the variance, vectors stay near their role."""
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
        kind: t2v (16 channels), i2v (36 and image tokens), flf2v (also a position table), i2v_14b (36, no image
            tokens), ti2v_5b (48 channels, noise mask), t2v_ref (t2v with a reference picture ahead of the video).
    """
    import comfy.ops
    from comfy.ldm.wan.model import WanModel

    channels = {"t2v": 16, "t2v_ref": 16, "i2v": 36, "flf2v": 36, "i2v_14b": 36, "ti2v_5b": 48}[kind]
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
        in_dim_ref_conv=16 if kind == "t2v_ref" else None,
        operations=comfy.ops.disable_weight_init,
    )
    config = {"transformer": {"num_heads": heads, "text_dim": text_dim, "freq_dim": 16}}
    return _write(path, filled(model, seed), {"config": json.dumps(config)})


def write_hunyuan(path: Path, text_dim: int = 16, seed: int = SEED, kind: str = "t2v") -> Path:
    """A HunyuanVideo transformer for UNETLoader: one head of 128, one double and one single block (6 MB; 1.5: 12 MB).

    Args:
        kind: t2v (16 channels, also I2V v2), i2v (33 channels, I2V v1), skyreels (32), i2v_15 (HunyuanVideo 1.5: 65
            channels and image tokens), sr_15 (its super-resolution: 98).
    """
    import comfy.ops
    from comfy.ldm.hunyuan_video.model import HunyuanVideo

    newer = kind.endswith("_15")
    model = HunyuanVideo(
        in_channels={"t2v": 16, "i2v": 33, "skyreels": 32, "i2v_15": 65, "sr_15": 98}[kind],
        out_channels=32 if newer else 16,
        patch_size=[1, 1, 1] if newer else [1, 2, 2],
        hidden_size=128,
        num_heads=1,
        depth=1,
        depth_single_blocks=1,
        mlp_ratio=4.0,
        axes_dim=[16, 56, 56],
        theta=256,
        context_in_dim=text_dim,
        vec_in_dim=None if newer else 768,
        qkv_bias=True,
        guidance_embed=kind == "i2v",
        byt5=False,
        meanflow=False,
        use_cond_type_embedding=newer,
        vision_in_dim=1152 if newer else None,
        meanflow_sum=newer,
        operations=comfy.ops.disable_weight_init,
    )
    return _write(path, filled(model, seed))


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


def write_hunyuan_vae(path: Path, seed: int = SEED) -> Path:
    """TAEHV for VAELoader, which stands for HunyuanVideo's VAE of 246 M: 16 channels, 8x in space, 4x in time (22 MB).

    In half precision the host takes it for HunyuanVideo's, in single precision for Wan's.
    """
    from comfy.taesd.taehv import TAEHV

    return _write(path, {key: value.half() for key, value in filled(TAEHV(latent_channels=16), seed).items()})


def write_llama(path: Path, seed: int = SEED) -> Path:
    """HunyuanVideo's Llama for DualCLIPLoader, where small_llama is at work: 4096 wide, as its reader asks (27 MB)."""
    import comfy.ops
    from comfy.text_encoders.llama import Llama2

    model = Llama2(small_llama.CONFIG, torch.float32, "cpu", comfy.ops.disable_weight_init)
    return _write(path, {key: value.half() for key, value in filled(model, seed).items()})


def write_clip_text(path: Path, seed: int = SEED) -> Path:
    """A CLIP-L text encoder for CLIPLoader, random: the smallest that loader can build (123 M, 246 MB in fp16)."""
    import comfy.sd1_clip

    model = comfy.sd1_clip.SDClipModel(device="cpu", dtype=torch.float16)
    return _write(path, {key: value.half() for key, value in filled(model.transformer, seed).items()})


def write_clip_vision(path: Path, seed: int = SEED) -> Path:
    """A CLIP vision H for CLIPVisionLoader, where small_clip_vision is at work: two of its 32 layers.

    Only the embeddings are random; the layers are zero and pass them on, and the file is sparse: 3 MB on the disk.
    """
    shapes = _clip_vision_shapes()
    generator, values = torch.Generator().manual_seed(seed), {}
    for key, shape in shapes.items():
        if ".embeddings." in key:
            values[key] = 0.02 * torch.randn(shape, generator=generator)
        elif key.endswith("pre_layrnorm.weight"):
            values[key] = torch.ones(shape)
    return _write_sparse(path, shapes, values)


def write_llava_vision(path: Path, seed: int = SEED) -> Path:
    """What HunyuanVideo's Llama sees with, for CLIPVisionLoader, where small_clip_vision is at work.

    A CLIP vision L with two of its 24 layers, and a projector. The layers are zero and pass the embeddings on; of the
    projector 64 rows are random. Sparse: 3 MB on the disk.
    """
    shapes = _clip_vision_shapes("clip_vision_config_vitl_336_llava.json")
    generator, values = torch.Generator().manual_seed(seed), {}
    for key, shape in shapes.items():
        if ".embeddings." in key:
            values[key] = 0.02 * torch.randn(shape, generator=generator)
        elif key.startswith("multi_modal_projector.") and key.endswith(".weight"):
            values[key] = torch.randn((64, shape[1]), generator=generator) / shape[1] ** 0.5
        elif key.endswith("pre_layrnorm.weight"):
            values[key] = torch.ones(shape)
    return _write_sparse(path, shapes, values)


def write_svd(path: Path, seed: int = SEED) -> Path:
    """An SVD checkpoint for ImageOnlyCheckpointLoader, where small_svd and small_clip_vision are at work.

    The UNet has the released one's 16 temporal layers (20 M parameters). TAESD stands for the VAE. The first layer of
    the CLIP vision takes the mean over the picture, the second is zero and passes it on. Sparse: 57 MB on the disk.
    """
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
    from comfy.taesd.taesd import TAESD

    unet = UNetModel(**_svd_arguments(), operations=comfy.ops.disable_weight_init)
    values = {f"model.diffusion_model.{key}": value for key, value in filled(unet, seed).items()}
    vae = filled(TAESD(latent_channels=4), seed) | {"vae_scale": torch.tensor(1.0), "vae_shift": torch.tensor(0.0)}
    values |= {f"first_stage_model.{key}": value for key, value in vae.items()}
    shapes = {key: value.shape for key, value in values.items()}
    generator = torch.Generator().manual_seed(seed)
    for name, shape in _clip_vision_shapes().items():
        key = f"conditioner.embedders.0.open_clip.model.visual.{name}"
        shapes[key] = shape
        if name.endswith(_CLIP_VISION_DRAWN) or ".embeddings." in name:
            values[key] = torch.randn(shape, generator=generator) / shape[-1] ** 0.5
        elif name.endswith(_CLIP_VISION_ONES):
            values[key] = torch.ones(shape)
    return _write_sparse(path, shapes, values)


def write_backward_motion(path: Path, seed: int = SEED) -> Path:
    """The 32 tensors of a backward motion for `write_svd`, for Load Backward Motion."""
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    with torch.device("meta"):
        unet = UNetModel(**_svd_arguments())
    generator = torch.Generator().manual_seed(seed)
    ends = tuple(f".time_stack.0.attn1.{matrix}.weight" for matrix in ("to_v", "to_out.0"))
    state = {
        key: (0.3 * torch.randn(value.shape, generator=generator) / value.shape[1] ** 0.5).half()
        for key, value in sorted(unet.state_dict().items())
        if key.endswith(ends)
    }
    return _write(path, state)


def write_rife(path: Path, channels: int = 8, seed: int = SEED) -> Path:
    """A RIFE 4.26 for Load Frame Interpolation Model, small: five blocks. The oldest host has no such node."""
    features, hidden = 4, 8  # of a picture, and what one block hands to the next
    shapes = {f"encode.cnn{layer}.weight": (16, 3 if layer == 0 else 16, 3, 3) for layer in range(3)}
    shapes["encode.cnn3.weight"] = (16, features, 4, 4)
    for number in range(5):
        # two pictures, their features, the time; from the second block on also the mask, what was handed on, the flow
        given = 7 + 2 * features + (1 + hidden + 4 if number else 0)
        block = f"blocks.{number}"
        shapes[f"{block}.conv0.0.0.weight"] = (channels // 2, given, 3, 3)
        shapes[f"{block}.conv0.1.0.weight"] = (channels, channels // 2, 3, 3)
        for layer in range(8):
            shapes[f"{block}.convblock.{layer}.conv.weight"] = (channels, channels, 3, 3)
        shapes[f"{block}.lastconv.0.weight"] = (channels, 4 * (4 + 1 + hidden), 4, 4)
    generator, state = torch.Generator().manual_seed(seed), {}
    for key, shape in sorted(shapes.items()):
        upwards = "cnn3" in key or "lastconv" in key  # a transposed convolution has its outputs second
        state[key] = torch.randn(shape, generator=generator) / (9 * shape[0 if upwards else 1]) ** 0.5
        state[key.removesuffix("weight") + "bias"] = torch.zeros(shape[1 if upwards else 0])
        if ".convblock." in key:
            state[key.replace("conv.weight", "beta")] = torch.ones(1, channels, 1, 1)
    return _write(path, state)


def write_seedvr2(path: Path, seed: int = SEED) -> Path:
    """A SeedVR2 3B for UNETLoader, where small_seedvr2 is registered: all 32 blocks, 32 wide (1.4 M parameters)."""
    import comfy.ops
    from comfy.ldm.seedvr.model import NaDiT

    layout = {"norm_eps": 1e-5, "num_layers": 32, "mlp_type": "swiglu", "vid_out_norm": True}
    model = NaDiT(**layout, **small_seedvr2.SMALL, operations=comfy.ops.disable_weight_init)
    kept = {key: value for key, value in model.state_dict().items() if key.endswith(".freqs")}  # positions, not learned
    return _write(path, filled(model, seed) | kept)


def write_seedvr2_vae(path: Path, seed: int = SEED) -> Path:
    """SeedVR2's VAE for VAELoader, where small_seedvr2 is registered: 16 latent channels, 8x in space, 4x in time."""
    small_seedvr2.register_small_seedvr2()
    from comfy.ldm.seedvr.vae import VideoAutoencoderKLWrapper

    return _write(path, filled(VideoAutoencoderKLWrapper(), seed))


def write_alexnet(path: Path, seed: int = SEED) -> Path:
    """The convolutions of torchvision's AlexNet, random, as a .pth. Its distance still grows with change."""
    import torchvision

    with torch.device("meta"):
        model = torchvision.models.alexnet(weights=None).features
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, value in sorted(model.state_dict().items()):
        scale = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.05
        state[f"features.{key}"] = torch.randn(value.shape, generator=generator) * scale
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)
    return path


def _svd_arguments() -> dict[str, Any]:
    """What builds the small SVD's UNet: the released one's layout at the width that small_svd registers."""
    small = {"model_channels": CHANNELS, "channel_mult": [1, 2, 4, 4], "num_head_channels": HEAD_SIZE}
    return {**unet_arguments(), **small, "context_dim": 1024}


def _clip_vision_shapes(name: str = "clip_vision_config_h.json") -> dict[str, torch.Size]:
    """The tensors of a small CLIP vision of a configuration in the host, by the host's names.

    Of the last layer but one a single vector stays, by which the host tells the configuration.
    """
    import comfy.clip_model
    import comfy.clip_vision
    import comfy.ops

    config = json.loads((Path(comfy.clip_vision.__file__).parent / name).read_text())
    with torch.device("meta"):
        model = comfy.clip_model.CLIPVisionModelProjection(config, torch.float16, "meta", comfy.ops.manual_cast)
    layers = [f".layers.{number}." for number in range(small_clip_vision.LAYERS)]
    told_by = f".layers.{config['num_hidden_layers'] - 2}.layer_norm1.weight"
    return {
        key: value.shape
        for key, value in sorted(model.state_dict().items())
        if ".layers." not in key or key.endswith(told_by) or any(layer in key for layer in layers)
    }


def _write_sparse(path: Path, shapes: dict[str, torch.Size], values: dict[str, torch.Tensor]) -> Path:
    """A .safetensors in half precision in which what has no value is zero and takes no room on the disk.

    A value may be the first rows of its tensor; the others are zero.
    """
    offset, header = 0, {}
    for key, shape in shapes.items():
        size = 2 * shape.numel()
        header[key] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for key, value in values.items():
            file.seek(8 + len(text) + header[key]["data_offsets"][0])
            file.write(value.half().numpy().tobytes())
        file.truncate(8 + len(text) + offset)
    partial.rename(path)
    return path


def _write(path: Path, state: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(state, partial, metadata)
    partial.rename(path)
    return path

"""The size of the demo world's SVD: the host knows SVD by its width, so a narrower one needs an entry of its own."""

from __future__ import annotations

from typing import Any

from .encoders import VECTOR_SIZE

CHANNELS, HEAD_SIZE = 64, 16


def demo_svd() -> type:
    """The host's SVD with the demo world's width, number of head channels and picture vector."""
    import comfy.supported_models
    import torch

    known = comfy.supported_models.SVD_img2vid
    fields = {
        "unet_config": {**known.unet_config, "model_channels": CHANNELS, "context_dim": VECTOR_SIZE},
        "unet_extra_config": {"num_heads": -1, "num_head_channels": HEAD_SIZE, "attn_precision": torch.float32},
    }
    return type("DemoSVD", (known,), fields)


def register_demo_svd() -> None:
    """Lets UNETLoader know the demo world's SVD. For the demo alone: the pack adds nothing to the host's list."""
    import comfy.supported_models

    if not any(model.__name__ == "DemoSVD" for model in comfy.supported_models.models):
        comfy.supported_models.models.insert(0, demo_svd())


def unet_arguments() -> dict[str, Any]:
    """What builds the host's UNetModel in SVD's layout: four levels, 16 layers with temporal attention."""
    return {
        "image_size": 8,
        "in_channels": 8,
        "out_channels": 4,
        "model_channels": CHANNELS,
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 1, 1, 1],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        "transformer_depth_middle": 1,
        "num_classes": "sequential",
        "adm_in_channels": 768,
        "num_head_channels": HEAD_SIZE,
        "context_dim": VECTOR_SIZE,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": True,
        "use_temporal_attention": True,
        "use_temporal_resblock": True,
        "extra_ff_mix_layer": True,
        "use_spatial_context": True,
        "merge_strategy": "learned_with_images",
        "merge_factor": 0.0,
        "video_kernel_size": [3, 1, 1],
    }

"""Low-rank adapters on the demo world's transformer, through peft, saved as a LoRA that the host loads."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import nn

RANK = 16
LAYERS = r"patch_embedding|blocks\.\d+\.(self_attn\.[qkvo]|ffn\.[02])"
PREFIX = "diffusion_model."  # the host's name for a model's network


def adapted(transformer: nn.Module) -> nn.Module:
    """The transformer with fresh adapters, which alone are trained; they begin as no change at all."""
    transformer.requires_grad_(False)
    torch.manual_seed(0)
    return inject_adapter_in_model(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=LAYERS), transformer)


def write_adapter(transformer: nn.Module, path: Path) -> None:
    """For the host's LoraLoaderModelOnly."""
    state = get_peft_model_state_dict(transformer)
    save_file({PREFIX + key: value.detach().cpu().contiguous() for key, value in state.items()}, path)


def read_adapter(transformer: nn.Module, path: Path) -> None:
    """Puts a file of `write_adapter` into an adapted transformer."""
    state = {key.removeprefix(PREFIX): value.float() for key, value in load_file(path).items()}
    found = set_peft_model_state_dict(transformer, state)
    if found.unexpected_keys:
        raise ValueError(f"{path.name} was made for another transformer: it has {found.unexpected_keys[0]}.")

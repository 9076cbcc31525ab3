"""Backward-motion files: 32 small tensors in models/backward_motion, made once from a released fine-tune."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from .backward_motion import host_key, motion_deltas

FOLDER = "backward_motion"
FORMAT = {"format": "inbetween.backward_motion", "version": "1"}
SOURCES = ("diffusion_models", "checkpoints")  # the host's folders that a UNet is looked for in
SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})(\..+)")


def motion_files() -> list[str]:
    """Names of the files in models/backward_motion."""
    _register_folder()
    return [name for name in folder_paths.get_filename_list(FOLDER) if name.endswith(".safetensors")]


def motion_path(name: str) -> str:
    """Full path of a file in models/backward_motion.

    Raises:
        ValueError: it is not there; the sentence says how it is made.
    """
    _register_folder()
    path = folder_paths.get_full_path(FOLDER, name)
    if path is None:
        raise ValueError(
            f"file {name!r} is not in {folder_paths.get_folder_paths(FOLDER)[0]}. Make it once with 'Extract Backward "
            f"Motion' from the fine-tuned UNet of Generative Inbetweening."
        )
    return path


def load_motion(name: str) -> dict[str, Tensor]:
    """The deltas of a file by the host's names; see `backward_motion.motion_deltas`.

    Raises:
        ValueError: the file is missing, unreadable, or holds something else.
    """
    path = motion_path(name)
    try:
        deltas = comfy.utils.load_torch_file(path, safe_load=True)
    except Exception as error:  # every reader fails in its own way; the artist needs one sentence
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ValueError(f"file {name!r} cannot be read as safetensors ({reason[:120]}).") from error
    foreign = [key for key in deltas if host_key(key) != key]
    if foreign or not deltas:
        raise ValueError(
            f"file {name!r} holds no backward motion: it has {', '.join(foreign[:3]) or 'no tensors'}. A whole UNet is "
            f"turned into such a file by 'Extract Backward Motion'."
        )
    return deltas


def unet_files() -> list[str]:
    """Files that may hold an SVD UNet, in models/diffusion_models and models/checkpoints."""
    return sorted({name for folder in SOURCES for name in folder_paths.get_filename_list(folder)})


def extract_motion(finetuned_unet: str, base_unet: str, filename: str) -> dict[str, Tensor]:
    """Writes models/backward_motion/<filename>.safetensors: fine-tuned minus base, in the fine-tune's precision.

    Args:
        finetuned_unet, base_unet: from `unet_files`; of a UNet in shards, any one of them.
        filename: without folders; the ending is added.
    Raises:
        ValueError: a file that is missing or no SVD UNet, a name with a folder in it, or one that is taken by other
            weights.
    """
    name = filename.removesuffix(".safetensors")
    if not name or Path(name).name != name or name in (".", ".."):
        raise ValueError(f"filename is {filename!r}: give a plain name such as svd_backward_motion.")
    finetuned, base = _temporal_matrices(finetuned_unet), _temporal_matrices(base_unet)
    deltas = motion_deltas(finetuned, base)
    precision = torch.float16 if all(value.dtype == torch.float16 for value in finetuned.values()) else torch.float32
    deltas = {key: value.to(precision).contiguous() for key, value in deltas.items()}
    _register_folder()
    path = Path(folder_paths.get_folder_paths(FOLDER)[0]) / f"{name}.safetensors"
    if path.exists():
        if not _equal(load_motion(path.name), deltas):
            raise ValueError(f"filename {name!r} is taken by other weights in {path.parent}: choose another name.")
        return deltas
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(deltas, path, FORMAT)
    return deltas


def _register_folder() -> None:
    """Makes models/backward_motion known to the host; again and again does no harm."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def _temporal_matrices(name: str) -> dict[str, Tensor]:
    """The temporal value and output matrices of a UNet file and its shards; nothing else is read from safetensors."""
    path = next((found for found in (folder_paths.get_full_path(folder, name) for folder in SOURCES) if found), None)
    if path is None:
        raise ValueError(f"file {name!r} is neither in models/diffusion_models nor in models/checkpoints.")
    tensors: dict[str, Tensor] = {}
    for part in _shards(Path(path)):
        try:
            tensors |= _wanted(part)
        except Exception as error:  # every reader fails in its own way; the artist needs one sentence
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ValueError(f"{part.name} cannot be read as a weights file ({reason[:120]}).") from error
    return tensors


def _shards(path: Path) -> list[Path]:
    """The file, or all of its shards (name-00001-of-00002.safetensors). Raises ValueError if one is missing."""
    found = SHARD.fullmatch(path.name)
    if not found:
        return [path]
    stem, count, ending = found.groups()
    parts = [path.with_name(f"{stem}-{number:05}-of-{count}{ending}") for number in range(1, int(count) + 1)]
    missing = [part.name for part in parts if not part.exists()]
    if missing:
        raise ValueError(f"{path.name} is one of {int(count)} shards, but {missing[0]} is not beside it.")
    return parts


def _wanted(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys() if host_key(key)}
    state: Mapping[str, Any] = comfy.utils.load_torch_file(str(path), safe_load=True)
    return {key: value for key, value in state.items() if host_key(key)}


def _equal(these: Mapping[str, Tensor], those: Mapping[str, Tensor]) -> bool:
    return these.keys() == those.keys() and all(torch.equal(these[key], those[key]) for key in these)

"""Backward-motion files: 32 small tensors in models/backward_motion, made once from a released fine-tune."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.utils
import folder_paths
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from .backward_motion import host_key, motion_deltas

FOLDER = "backward_motion"
FORMAT = {"format": "inbetween.backward_motion", "version": "1"}
SOURCES = ("diffusion_models", "checkpoints")  # the host's folders that a UNet is looked for in
MOST_LETTERS = 200  # of a file's name, in bytes; systems take 255 with the ending
REASONS = {
    errno.ENOSPC: "the disk is full; make room and run it again",
    errno.EDQUOT: "the disk quota is used up; make room and run it again",
    errno.EEXIST: "a file lies where that folder should be; move it away",
    errno.ENOTDIR: "a file lies where that folder should be; move it away",
    errno.EACCES: "this folder may not be written to; change its permissions",
    errno.EPERM: "this folder may not be written to; change its permissions",
    errno.EROFS: "this disk may only be read; choose another folder in extra_model_paths.yaml",
    errno.ENAMETOOLONG: "the name is too long; give a shorter one",
}
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
        raise ValueError(
            f"file {name!r} cannot be read as a weights file: it is damaged or none. Delete it and make it again with "
            f"'Extract Backward Motion'."
        ) from error
    foreign = [key for key in deltas if host_key(key) != key]
    if foreign or not deltas:
        held = f"{len(foreign)} of its weights are of another kind" if foreign else "it is empty"
        raise ValueError(
            f"file {name!r} holds no backward motion: {held}. A whole UNet is turned into such a file by "
            f"'Extract Backward Motion'."
        )
    if not all(value.ndim == 2 and value.is_floating_point() and value.isfinite().all() for value in deltas.values()):
        raise ValueError(
            f"file {name!r} has weights that are no numbers (NaN or infinite) or no matrices: delete it and make it "
            f"again with 'Extract Backward Motion'."
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
        ValueError: a file that is missing or no SVD UNet, a name that is none or taken by other weights, or a folder
            that cannot be written to.
    """
    path = _target(filename)
    finetuned, base = _temporal_matrices(finetuned_unet), _temporal_matrices(base_unet)
    deltas = motion_deltas(finetuned, base, (f"finetuned_unet {finetuned_unet!r}", f"base_unet {base_unet!r}"))
    precision = torch.float16 if all(value.dtype == torch.float16 for value in finetuned.values()) else torch.float32
    deltas = {key: value.to(precision).contiguous() for key, value in deltas.items()}
    if path.exists():
        if not _equal(load_motion(path.name), deltas):
            raise ValueError(f"filename {path.stem!r} is taken by other weights in {path.parent}: choose another name.")
        return deltas
    _write(path, save(deltas, FORMAT))
    return deltas


def extraction_state(finetuned_unet: str, base_unet: str, filename: str) -> str:
    """What an extraction depends on and makes, as a text that changes with it: the two files and the written one."""
    try:
        paths = [*(part for name in (finetuned_unet, base_unet) for part in _shards(_source(name))), _target(filename)]
    except ValueError:
        return ""  # the node tells what is wrong
    return " ".join(f"{path}:{_stamp(path)}" for path in paths)


def _stamp(path: Path) -> str:
    """Size and time of a file, empty without one."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}"


def _target(filename: str) -> Path:
    """The path of the file to write. Raises ValueError for what is no plain name."""
    name = filename.removesuffix(".safetensors")
    if not name.isprintable() or not name or Path(name).name != name or name in (".", ".."):
        raise ValueError(f"filename is {filename[:MOST_LETTERS]!r}: give a plain name such as svd_backward_motion.")
    if len(os.fsencode(name)) > MOST_LETTERS:
        raise ValueError(
            f"filename has {len(name)} letters, more than a file's name can have: use {MOST_LETTERS} at most, such as "
            f"svd_backward_motion."
        )
    _register_folder()
    return Path(folder_paths.get_folder_paths(FOLDER)[0]) / f"{name}.safetensors"


def _write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all. Raises ValueError where it cannot be written."""
    partial = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        reason = REASONS.get(error.errno or 0, "the folder or the disk does not take it")
        raise ValueError(f"filename {path.stem!r} cannot be written to {path.parent}: {reason}.") from error


def _register_folder() -> None:
    """Makes models/backward_motion known to the host; again and again does no harm."""
    folder_paths.add_model_folder_path(FOLDER, os.path.join(folder_paths.models_dir, FOLDER))


def _temporal_matrices(name: str) -> dict[str, Tensor]:
    """The temporal value and output matrices of a UNet file and its shards; nothing else is read from safetensors."""
    tensors: dict[str, Tensor] = {}
    for part in _shards(_source(name)):
        try:
            tensors |= _wanted(part)
        except Exception as error:  # every reader fails in its own way; the artist needs one sentence
            raise ValueError(
                f"file {part.name!r} cannot be read as a weights file: it is damaged, not whole, or holds more than "
                f"weights. Get it again, as .safetensors."
            ) from error
    return tensors


def _source(name: str) -> Path:
    """The path of a UNet file. Raises ValueError if it is not there."""
    path = next((found for found in (folder_paths.get_full_path(folder, name) for folder in SOURCES) if found), None)
    if path is None:
        raise ValueError(
            f"file {name!r} is neither in models/diffusion_models nor in models/checkpoints: put it there and press R."
        )
    return Path(path)


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
    return {key: value for key, value in state.items() if host_key(key) and isinstance(value, Tensor)}


def _equal(these: Mapping[str, Tensor], those: Mapping[str, Tensor]) -> bool:
    return these.keys() == those.keys() and all(torch.equal(these[key], those[key]) for key in these)

"""The trained files as they are shipped: half precision, with the format's metadata."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

log = logging.getLogger(__name__)


def collect(runs: Path, models: Path) -> None:
    """Copies every stage's files into one models folder, as fp16.

    Raises:
        ValueError: a weight does not fit into half precision.
    """
    for path in sorted(runs.glob("*/models/*/*.safetensors")):
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
            state = {key: file.get_tensor(key).half() for key in file.keys()}
        for key, value in state.items():
            if not torch.isfinite(value).all():
                raise ValueError(f"{path.name}: {key} has values that half precision cannot hold")
        target = models / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, target, metadata)
        log.info("%s, %.1f MB", target, target.stat().st_size / 1e6)

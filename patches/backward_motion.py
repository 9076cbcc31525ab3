"""Backward-motion weights: what a fine-tune of SVD for backward motion changed in its temporal attention. Pure torch.

paper     here                      shape    unit
W_v, W_o  to_v, to_out.0            [C, C]   the temporal self-attention's value and output matrices, 16 layers
Delta W   motion_deltas             [C, C]   fine-tuned minus the base it started from; 32 tensors

Source: Generative Inbetweening, arXiv:2408.15239, Section 4, and its code, svd_keyframe_interpolation
keyframe_interpolation.py: W = W_loaded + (W_finetuned - W_base), so that a fine-tune of 14-frame SVD serves SVD-XT.
Differences: the code also moves 16 output biases, whose difference is 0 (they were not trained); they are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

LAYERS = (
    *(f"input_blocks.{number}.1" for number in (1, 2, 4, 5, 7, 8)),
    "middle_block.1",
    *(f"output_blocks.{number}.1" for number in range(3, 12)),
)
MATRICES = ("to_v", "to_out.0")
COUNT = len(LAYERS) * len(MATRICES)
REMEDIES = ("the UNet that Generative Inbetweening released", "the 14-frame SVD it was made from (svd.safetensors)")
_HOST = re.compile(
    r"(?:.*\.)?((?:input_blocks|output_blocks)\.\d+\.1|middle_block\.1)\.time_stack\.0\.attn1\.(\S+)\.weight"
)
_DIFFUSERS = re.compile(
    r"(?:.*\.)?(?:(down|up)_blocks\.(\d+)\.attentions\.(\d+)|mid_block\.attentions\.0)"
    r"\.temporal_transformer_blocks\.0\.attn1\.(\S+)\.weight"
)


def motion_key(layer: str, matrix: str) -> str:
    """The name of one tensor in a backward-motion file, which is the host's own without its prefix."""
    return f"{layer}.time_stack.0.attn1.{matrix}.weight"


def host_key(key: str) -> str | None:
    """The name under which the host knows a temporal value or output matrix; None for any other tensor.

    down_blocks.b.attentions.a -> input_blocks.{1 + 3b + a}.1, up_blocks.b.attentions.a -> output_blocks.{3b + a}.1.

    Args:
        key: a name in the host's layout or in diffusers', with or without a prefix.
    """
    found = _HOST.fullmatch(key)
    if found:
        layer, matrix = found.groups()
    else:
        found = _DIFFUSERS.fullmatch(key)
        if not found:
            return None
        side, block, attention, matrix = found.groups()
        layer = "middle_block.1"
        if side:
            number = 3 * int(block) + int(attention)
            layer = f"input_blocks.{number + 1}.1" if side == "down" else f"output_blocks.{number}.1"
    return motion_key(layer, matrix) if layer in LAYERS and matrix in MATRICES else None


def motion_deltas(
    finetuned: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    names: tuple[str, str] = ("finetuned_unet", "base_unet"),
) -> dict[str, Tensor]:
    """Fine-tuned minus base of every temporal value and output matrix, by the host's names.

    Args:
        finetuned, base: state dicts in the host's or diffusers' layout; only the 32 tensors are read.
        names: what errors call the two.
    Returns:
        float32, 32 tensors for SVD.
    Raises:
        ValueError: a tensor is missing from one of them, or has another shape there, or nothing differs, or a
            difference is no number.
    """
    of_tuned, of_base = _host_named(finetuned), _host_named(base)
    expected = [motion_key(layer, matrix) for layer in LAYERS for matrix in MATRICES]
    for name, found, remedy in zip(names, (of_tuned, of_base), REMEDIES, strict=True):
        lacking = sum(key not in found for key in expected)
        if lacking:
            raise ValueError(
                f"{name} is no SVD UNet: it lacks {lacking} of {COUNT} temporal attention matrices. Choose {remedy}."
            )
    both = " and ".join(names)
    wrong = [key for key in expected if of_tuned[key].shape != of_base[key].shape or of_base[key].ndim != 2]
    if wrong:
        raise ValueError(
            f"{both} are of different sizes ({_size(of_tuned[wrong[0]].shape)} and {_size(of_base[wrong[0]].shape)}): "
            f"choose {' and '.join(REMEDIES)}."
        )
    deltas = {key: of_tuned[key].float() - of_base[key].float() for key in expected}
    if not any(value.any() for value in deltas.values()):
        raise ValueError(f"{both} hold the same weights: choose {' and '.join(REMEDIES)}.")
    if not all(value.isfinite().all() for value in deltas.values()):
        raise ValueError(f"{both} differ by what is no number (NaN or infinite): one is damaged; get both again.")
    return deltas


def check_deltas(deltas: Mapping[str, Tensor], sizes: Mapping[str, tuple[int, ...]]) -> None:
    """Raises ValueError if a backward-motion file does not fit a model.

    Args:
        deltas: by the host's names. sizes: shapes of the model's own temporal value and output matrices, by name.
    """
    foreign, missing = [key for key in deltas if key not in sizes], [key for key in sizes if key not in deltas]
    if foreign or missing:
        held = f"{len(foreign)} of its matrices are not in this model"
        problem = (
            held if foreign else f"it lacks {len(missing)} of this model's {len(sizes)} temporal attention matrices"
        )
        raise ValueError(
            f"the backward-motion file was made for another model: {problem}. Make it with 'Extract Backward Motion' "
            f"from the UNet of this model's fine-tune, or load SVD or SVD-XT."
        )
    wrong = [key for key in sizes if tuple(deltas[key].shape) != tuple(sizes[key])]
    if wrong:
        raise ValueError(
            f"the backward-motion file was made for a model of another width: a matrix is "
            f"{_size(deltas[wrong[0]].shape)} there and {_size(sizes[wrong[0]])} in this model. Load SVD or SVD-XT, or "
            f"another file."
        )


def _host_named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    named = ((host_key(key), value) for key, value in state.items())
    return {key: value for key, value in named if key is not None}


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "1"

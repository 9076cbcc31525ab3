"""What stands for UMT5 and CLIP in the demo world: a table of words and fixed projections of a picture. Pure torch.

Nothing here is trained or random, so no file carries it.

symbol   here            shape             unit
--       word tokens     [40, 64]          the word in the first 48 numbers, its place in the last 16
--       picture tokens  [257, 1280]       one for the whole picture, 256 for a grid of 16 x 16 patches
--       picture vector  [256]             a thumbnail of 8 x 8, its colours and its brightness
"""

from __future__ import annotations

import difflib
import math

import torch
import torch.nn.functional as F
from torch import Tensor

WORDS = (
    *("a", "and", "on", "behind", "moves", "turns", "grows", "shrinks", "clockwise", "counterclockwise", "ground"),
    *("pillar", ":", "large", "linear", "motion", "occlusion", "near-static"),
    *("disc", "square", "triangle", "bar", "striped", "spotted", "plain"),
    *("right", "down", "left", "up"),
    *("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white", "black"),
    *("evenly", "easing", "early", "late", "halting", "overshooting", "recoiling"),  # of the second edition
)
WORD_SLOTS, PLACE_SIZE = 48, 16
TEXT_SIZE = WORD_SLOTS + PLACE_SIZE
TEXT_LENGTH = 40  # words
GRID, PATCH = 16, 4  # patches along a side, pixels along a patch
TOKEN_SIZE = 1280  # what Wan expects of CLIP
THUMBNAIL = 8
VECTOR_SIZE = 4 * THUMBNAIL**2


def word_tokens(text: str) -> Tensor:
    """The words of a caption as [40, 64]; rows past the last word are zero, and all are for an empty text.

    Raises:
        ValueError: a word is not in WORDS, or there are more than 40.
    """
    words = text.lower().replace(":", " : ").replace(",", " ").replace(".", " ").split()
    if len(words) > TEXT_LENGTH:
        raise ValueError(f"text has {len(words)} words; the demo world reads at most {TEXT_LENGTH}.")
    tokens = torch.zeros(TEXT_LENGTH, TEXT_SIZE)
    for place, word in enumerate(words):
        if word not in WORDS:
            near = difflib.get_close_matches(word, WORDS, 1, 0)[0]
            raise ValueError(
                f"text has the word {word!r}, which the demo world does not know; the nearest it knows is {near!r}. "
                f"Its words are: {' '.join(WORDS)}"
            )
        tokens[place, WORDS.index(word)] = 1
        angle = place / 50.0 ** (torch.arange(PLACE_SIZE // 2) / (PLACE_SIZE // 2))
        tokens[place, WORD_SLOTS:] = torch.cat([angle.sin(), angle.cos()])
    return tokens


def picture_tokens(pictures: Tensor) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1 as [B, 257, 1280]: the mean patch, then 16 x 16 patches in rows."""
    patches = F.unfold(_resized(pictures, GRID * PATCH), PATCH, stride=PATCH).mT  # [B, 256, 48]
    patches = torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1)
    return patches @ _cosines(patches.shape[-1], TOKEN_SIZE).to(patches)


def picture_vectors(pictures: Tensor) -> Tensor:
    """Pictures [B, H, W, 3] in 0..1 as [B, 256]: every pixel of an 8 x 8 thumbnail, colours and brightness."""
    small = _resized(pictures, THUMBNAIL)
    return torch.cat([small, small.mean(dim=1, keepdim=True)], dim=1).flatten(1)


def _resized(pictures: Tensor, size: int) -> Tensor:
    """[B, 3, size, size], -1..1."""
    moved = pictures.movedim(-1, 1).float() * 2 - 1
    return F.interpolate(moved, (size, size), mode="bilinear", antialias=True, align_corners=False)


def _cosines(before: int, after: int) -> Tensor:
    """[before, after] rows of a cosine transform: lengths and angles stay as they were."""
    row, column = torch.arange(before)[:, None], torch.arange(after)[None, :]
    return (math.pi * row * (column + 0.5) / after).cos() * (2 / after) ** 0.5

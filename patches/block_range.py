"""Which blocks of a model a patch works in, from what an artist typed. Pure."""

from __future__ import annotations

import re

PAPER_BLOCKS = "5-12"  # KAB's, of Wan 14B's 40
MOST_LETTERS = 40  # of a text that is shown
PAPER_SHARE = (5 / 40, 13 / 40)


def block_indices(text: str, depth: int) -> tuple[int, ...]:
    """Numbers of the blocks named by a text such as "5-12" or "0, 3, 8-10", ascending and each once.

    The paper's own range, "5-12", is taken as it is in a model of any depth, as in the official code: blocks that the
    model does not have are left out. Anything else must lie inside the model.

    Args:
        text: numbers and ranges, commas between. depth: blocks of the model, numbered from 0.
    Raises:
        ValueError: no item at all, or one that is no number or range, runs backwards, or lies outside the model.
    """
    if not text.strip(" ,"):
        raise ValueError(
            f"blocks is {text[:MOST_LETTERS]!r}, which names no block: write for instance 5-12 or 0,3,8-10."
        )
    found: set[int] = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", item)
        if match is None:
            raise ValueError(
                f"blocks has {item[:MOST_LETTERS]!r}, which is no block or range: write for instance 5-12 or 0,3,8-10."
            )
        start, end = int(match[1]), int(match[2] or match[1])
        if start > end:
            raise ValueError(f"blocks has {item!r}, which runs backwards: write {end}-{start}.")
        if end >= depth and f"{start}-{end}" != PAPER_BLOCKS:
            raise ValueError(f"blocks has {item!r}, but this model's blocks are 0 to {depth - 1}.")
        found.update(range(start, min(end, depth - 1) + 1))
    return tuple(sorted(found))


def scaled_blocks(depth: int) -> tuple[int, ...]:
    """The paper's blocks 5-12 of 40 (12.5 % to 32.5 %) in a model of another depth: 4-9 of 30. At least one block."""
    start, end = (round(share * depth) for share in PAPER_SHARE)
    return tuple(range(start, max(end, start + 1)))

"""Clips of the demo world in the layout of TGI-Bench: folders of jpg pictures and a caption file for each length.

The layout is that of the data set's README (Hugging Face: use08174/TGI-Benchmark):

    large_motion_01_25/00000.jpg, 00001.jpg, ...
    25_dataset_caption.json     a list of {folder, first_image_desc, last_image_desc, challenge, caption}

Differences: a folder belongs to one length, because a clip of the world shows the same motion in more frames where it
is longer; entries also have reverse_caption, the same told backwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from .base_folder import picture
from .world import KINDS, TEST, Clip, clip, reversed_caption

LENGTHS = (25, 33, 65, 81)  # video frames; TGI-Bench's
QUALITY = 95  # of the jpg files; no colours are shared between pixels, which 64 x 64 would show
MOTION = re.compile(r" (moves|turns) \w+| grows| shrinks|^.*? : ")


def write_tgi_bench(folder: Path, clips_per_kind: int = 8, lengths: Sequence[int] = LENGTHS) -> Path:
    """Writes held-out clips of the demo world, the kinds in turn; the same bytes each time.

    Args:
        folder: made if it is not there.
        clips_per_kind: 1 to 64, from the first test seeds on.
        lengths: N, video frames.
    Returns:
        The folder.
    Raises:
        ValueError: more clips than the world holds out, or fewer than 1.
    Cost: about 3 s and 6,528 small files as it stands.
    """
    most = len(TEST) // len(KINDS)
    if not 1 <= clips_per_kind <= most:
        raise ValueError(f"clips_per_kind must be 1 to {most}, got {clips_per_kind}")
    for length in lengths:
        entries = []
        for place, seed in enumerate(TEST[: clips_per_kind * len(KINDS)]):
            made = clip(seed, length)
            name = f"{re.sub('[ -]', '_', made.kind)}_{place // len(KINDS) + 1:02d}_{length}"
            _write_frames(folder / name, made)
            entries.append(entry(name, made))
        text = json.dumps(entries, indent=2) + "\n"
        (folder / f"{length}_dataset_caption.json").write_text(text, encoding="utf-8")
    return folder


def entry(name: str, made: Clip) -> dict[str, str]:
    """What a caption file says of a clip."""
    still = MOTION.sub("", made.caption)
    return {
        "folder": name,
        "first_image_desc": f"{still}, at the start of the way",
        "last_image_desc": f"{still}, at the end of the way",
        "challenge": made.kind.capitalize(),
        "caption": made.caption,
        "reverse_caption": reversed_caption(made.caption),
    }


def _write_frames(folder: Path, made: Clip) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(made.frames):
        picture(frame).save(folder / f"{number:05d}.jpg", quality=QUALITY, subsampling=0)

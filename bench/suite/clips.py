"""A clip that methods are judged on: two pictures, a caption, and the truth between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class ClipError(Exception):
    """A clip cannot be read; the text is a sentence that names the file."""


@dataclass(frozen=True)
class SuiteClip:
    """One clip at one length.

    Attributes:
        name: of its folder or file, unique among the clips of this length.
        kind: TGI-Bench's challenge, "" where there is none.
        length: N, video frames.
        caption: the prompt.
        reverse_caption: the same told backwards, "" where it is not known.
        source: a folder of pictures, one a frame, or a video file.
    """

    name: str
    kind: str
    length: int
    caption: str
    reverse_caption: str
    source: Path

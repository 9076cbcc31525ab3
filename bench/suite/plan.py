"""What a run is about, and what each of its results depends on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clips import SuiteClip
from .records import VideoFiles
from .scoring import Settings
from .video_files import file_name
from .workflow_file import Workflow

PACK = re.search(r'^version = "(.+)"', (Path(__file__).parents[2] / "pyproject.toml").read_text(), re.MULTILINE)[1]


def told(path: Path | None) -> str:
    """A file by name and size: numbers of two files do not belong into one table."""
    return f"{path.name} ({path.stat().st_size} bytes)" if path and path.is_file() else path.name if path else ""


@dataclass(frozen=True)
class Plan:
    """What a run is about.

    Attributes:
        folder: of the results.
        workflows: by name. lengths: in frames.
        sizes: width and height that each workflow makes. size: at which all are scored.
        seed: of the run; every clip has its own, the same for all workflows.
        fps: of the files for the eye.
        host: version of ComfyUI. lpips: a backbone's file, None without it.
    """

    folder: Path
    workflows: Mapping[str, Workflow]
    lengths: Sequence[int]
    sizes: Mapping[str, tuple[int, int]]
    size: tuple[int, int]
    seed: int
    fps: float
    host: str
    lpips: Path | None = None

    @property
    def names(self) -> list[str]:
        return list(self.workflows)

    def files(self, workflow: str, clip: SuiteClip) -> VideoFiles:
        """Where a video and all that is known of it lies."""
        inside = Path(file_name(workflow)) / str(clip.length) / file_name(clip.name)
        truth = Path("=truth") / str(clip.length) / file_name(clip.name)
        places = (("scores", inside, ".json"), ("frames", inside, ".mkv"), ("videos", inside, ".mp4"))
        every = (*places, ("videos", truth, ".mp4"))
        return VideoFiles(*(self.folder / top / path.with_name(path.name + ending) for top, path, ending in every))

    def features(self, measure: str, workflow: str | None, clip: SuiteClip) -> Path:
        """Where a measure of sets keeps what it knows of a video. workflow: None for the truth."""
        whose = "=truth" if workflow is None else file_name(workflow)
        return self.folder / "features" / measure / whose / str(clip.length) / f"{file_name(clip.name)}.npz"

    def made_of(self, workflow: str, clip: SuiteClip, digest: str) -> dict[str, Any]:
        """All that a video depends on, by what a person calls it. digest: of the clip's files."""
        found = self.workflows[workflow]
        texts = {"prompt": clip.caption, "reverse": clip.reverse_caption or clip.caption}
        return {
            "workflow": found.digest,
            "pictures": digest,
            **{f"caption ({name})": text for name, text in texts.items() if name in found.inputs},
            "size": list(self.sizes[workflow]),
            "length": found.grid.legal_length(clip.length),
            "seed": clip_seed(self.seed, clip),
            "ComfyUI": self.host,
            "pack": PACK,
        }

    @property
    def scoring(self) -> Settings:
        """How videos are scored."""
        return Settings(self.size, self.fps, told(self.lpips), self.lpips, PACK)


def clip_seed(seed: int, clip: SuiteClip) -> int:
    """The seed of a clip's noise, 0 to 2^48 - 1: the same for all workflows and servers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{clip.length}/{clip.name}".encode()).digest()[:6], "big")

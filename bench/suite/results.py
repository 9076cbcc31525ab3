"""What the suite knows of its clips once they are made: how scores travel from the store to the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Measure:
    """One number that a video is judged by.

    key: its name in files. title: of its column. unit: "" for none. better: "higher", "lower" or "near 1".
    form: how its numbers are written. whole_set: a distance of two sets of videos, with no value for a single clip.
    """

    key: str
    title: str
    unit: str
    better: str
    form: str
    whole_set: bool = False


PSNR = Measure("psnr", "PSNR", "dB", "higher", ".2f")
SSIM = Measure("ssim", "SSIM", "", "higher", ".4f")
LPIPS = Measure("lpips", "LPIPS", "", "lower", ".4f")
KEYFRAMES = Measure("keyframe_distance", "keyframe distance", "", "lower", ".4f")
TAIL = Measure("tail_jump", "tail jump", "", "near 1", ".2f")


@dataclass(frozen=True)
class ClipScore:
    """The scores of one video: one clip, made by one workflow.

    Attributes:
        workflow, clip, kind, length: whose; length in video frames, as asked for.
        scores: by the key of a measure; None where a number does not exist (PSNR of identical frames).
        per_frame: "psnr", "ssim" and, with LPIPS, "lpips": one number a frame, all `length` frames; None as above.
        made: (frames, width, height) as the model made it, before it was brought to the length and size of all.
        video, truth: files for the eye (mp4), as paths from the results' folder.
        seconds: that its server worked. caption: the prompt.
    """

    workflow: str
    clip: str
    kind: str
    length: int
    scores: dict[str, float | None]
    per_frame: dict[str, list[float | None]]
    made: tuple[int, int, int]
    video: str
    truth: str
    seconds: float
    caption: str = ""


@dataclass(frozen=True)
class SetScore:
    """A distance of two sets of videos. kind: None for all kinds. clips: how many are in each set."""

    workflow: str
    length: int
    kind: str | None
    measure: str
    value: float | None
    clips: int


@dataclass(frozen=True)
class Results:
    """Everything that tables, curves and pages are made of.

    Attributes:
        title: of the page and the table.
        workflows: names in the order of the command; the baseline is one of them.
        measures: columns, those of single clips first.
        clips: starts an iteration over all scores, one after another: by length, then clip, then workflow, so that
            the videos of a clip follow each other. Nothing keeps all of them in memory.
        sets: distances of sets.
        notes: sentences that belong under the tables (what was resampled, which measures are absent and why).
        left_out: what could not be made or scored, a sentence each.
    """

    title: str
    workflows: Sequence[str]
    baseline: str
    measures: Sequence[Measure]
    clips: Callable[[], Iterator[ClipScore]]
    sets: Sequence[SetScore] = field(default_factory=tuple)
    notes: Sequence[str] = field(default_factory=tuple)
    left_out: Sequence[str] = field(default_factory=tuple)

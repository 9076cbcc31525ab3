"""Results of a run that did not take place, with names that no file format likes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from pack.bench.suite.results import KEYFRAMES, LPIPS, PSNR, SSIM, TAIL, ClipScore, Measure, Results, SetScore

FID = Measure("fid", "FID", "", "lower", ".2f", whole_set=True)
KINDS = ("camera motion", "occlusion")
NASTY = 'Anna\'s "<script>alert(1)</script>" | 猫 & ünï#1?%, \\*'
WORKFLOWS = ("first-last only", "KAB <b>& ReTRo</b>", NASTY)


def score(
    workflow: str = "a", clip: str = "clip", kind: str = "", length: int = 5, **scores: float | None
) -> ClipScore:
    frames = {key: [value] * length for key, value in scores.items() if key in ("psnr", "ssim", "lpips")}
    video = f"videos/{length}/{clip}/{workflow}.mp4"
    return ClipScore(workflow, clip, kind, length, scores, frames, (length, 96, 64), video, "videos/truth.mp4", 1.5)


def results_of(scores: Sequence[ClipScore], workflows: Sequence[str] = ("a", "b"), **more: object) -> Results:
    """Results of these scores; the first workflow is the baseline."""
    return Results(**{  # type: ignore[arg-type]
        "title": "A run", "workflows": workflows, "baseline": workflows[0], "measures": [PSNR, LPIPS],
        "clips": lambda: iter(scores), **more,
    })  # fmt: skip


def made_up(clips: int = 8, lengths: Sequence[int] = (5, 9), folder: str = "videos") -> Results:
    """Three workflows, the second one better; the last lacks the second clip, and one PSNR is missing."""

    def stream() -> Iterator[ClipScore]:
        for length in lengths:
            for n in range(clips):
                chance = random.Random(f"{length} {n}")
                base = chance.uniform(15, 21)
                for w, workflow in enumerate(WORKFLOWS):
                    if (w, n) == (2, 1):
                        continue
                    psnr = base + (1 + chance.random() if w == 1 else 0.2 * chance.random())
                    scores = {"psnr": None if (w, n) == (0, 0) else psnr, "ssim": psnr / 30, "lpips": 1 - psnr / 30}
                    scores |= {"keyframe_distance": 0.02, "tail_jump": 1 + 0.1 * w}
                    frames = {key: [scores[key]] * length for key in ("psnr", "ssim", "lpips")}
                    name = f"clip {n:05d}" if n else NASTY
                    video, truth = f"{folder}/{length} {n} {w}#.mp4", f"{folder}/{length} {n} truth.mp4"
                    kind = KINDS[n % 2]
                    told = (workflow, name, kind, length, scores, frames, (length, 96, 64), video, truth, 1.5)
                    yield ClipScore(*told, caption=f"<i>caption</i> of {name}")

    sets = [
        SetScore(name, length, kind, "fid", 80.0 - 3 * place, clips if kind is None else clips // 2)
        for place, name in enumerate(WORKFLOWS)
        for length in lengths
        for kind in (None, *KINDS)
    ]
    return Results(
        NASTY, WORKFLOWS, WORKFLOWS[0], [PSNR, SSIM, LPIPS, KEYFRAMES, TAIL, FID], stream, sets, [f"note {NASTY}"],
        [f"{NASTY}: the file is broken"],
    )  # fmt: skip

"""The results of a run as the tables and pages want them, read from the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .measure_options import ChosenMeasures
from .more_scores import set_scores
from .plan import Plan
from .progress import Progress
from .records import OWN, Record
from .results import KEYFRAMES, LPIPS, PSNR, SSIM, TAIL, ClipScore, Results
from .workflow_file import unfilled_pictures


def results(
    progress: Progress,
    measures: ChosenMeasures,
    baseline: str,
    title: str,
    notes: Sequence[str],
    left_out: Sequence[str],
) -> Results:
    """Everything that is scored, for the workflows and lengths of this run.

    Args:
        measures: beyond the suite's own. title: of the data. notes: what is said of measures.
        left_out: sentences known before the first clip.
    """
    plan = progress.plan
    distances, more_notes = set_scores(progress, measures)
    others = [*measures.clips, *measures.batches]

    def clips() -> Iterator[ClipScore]:
        for clip, records in progress.scored():
            for workflow, record in records.items():
                files, made = plan.files(workflow, clip), record["made"]
                yield ClipScore(
                    workflow=workflow,
                    clip=clip.name,
                    kind=clip.kind,
                    length=clip.length,
                    scores=_numbers(record, [OWN, *(item.name for item in others)]),
                    per_frame=record["scores"][OWN]["per_frame"],
                    made=(made["frames"], made["width"], made["height"]),
                    video=files.shown.relative_to(plan.folder).as_posix(),
                    truth=files.truth.relative_to(plan.folder).as_posix(),
                    seconds=made["seconds"],
                    caption=clip.caption,
                )

    return Results(
        title=title,
        workflows=plan.names,
        baseline=baseline,
        measures=[
            *(PSNR, SSIM, *([LPIPS] if plan.lpips else []), KEYFRAMES, TAIL),
            *(one for item in others for one in item.measures),
            *(item.measure for item in measures.sets),
        ],
        clips=clips,
        sets=distances,
        notes=[_how(plan), *_made_otherwise(progress), *_prompts(progress), *notes, *more_notes],
        left_out=[*left_out, *progress.reasons],
    )


def _numbers(record: Record, measures: Sequence[str]) -> dict[str, float | None]:
    found = (record["scores"].get(name, {}).get("numbers", {}) for name in measures)
    return {key: value for numbers in found for key, value in numbers.items()}


def _how(plan: Plan) -> str:
    width, height = plan.size
    ends = "LPIPS" if plan.lpips else "1-SSIM"
    return (
        f"All are scored at {width}x{height}. PSNR, SSIM and LPIPS are of the frames between the two keyframes; the "
        f"keyframe distance is {ends} of the first and last one; the tail jump is the largest of the last 8 steps "
        f"over the median step."
    )


def _made_otherwise(progress: Progress) -> list[str]:
    """Sentences on videos that the model made longer, shorter or at another size than they are scored at."""
    lines = dict[str, None]()
    for clip, records in progress.scored():
        for workflow, record in records.items():
            made = record["made"]
            if made["frames"] != clip.length:
                lines.setdefault(
                    f"{workflow} makes {made['frames']} frames where {clip.length} are asked for: for each of the "
                    f"{clip.length} the nearest in time is taken."
                )
            if (made["width"], made["height"]) != progress.plan.size:
                lines.setdefault(f"{workflow} makes {made['width']}x{made['height']} and is scaled.")
    return sorted(lines)


def _prompts(progress: Progress) -> list[str]:
    lines = []
    for name, workflow in progress.plan.workflows.items():
        for title in unfilled_pictures(workflow):
            lines.append(f'{name} loads the same "{title}" for every clip: it should not be judged here.')
        if "prompt" not in workflow.inputs:
            lines.append(f"{name} takes no prompt.")
        told = (not clip.reverse_caption for clip, records in progress.scored() if name in records)
        if "reverse" in workflow.inputs and (count := sum(told)):
            lines.append(f"The reverse prompt of {name} is the caption itself, not told backwards, for {count} clips.")
    return lines

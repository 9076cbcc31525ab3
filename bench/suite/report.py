"""The results of a run as the tables and pages want them, read from the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .measure_options import ChosenMeasures
from .results import KEYFRAMES, LPIPS, PSNR, SSIM, TAIL, ClipScore, Measure, Results
from .set_scores import set_scores
from .spread import Plan
from .store import Store
from .workflow_file import unfilled_pictures


def clip_columns(plan: Plan) -> list[Measure]:
    """The measures of single clips in this run."""
    more = [measure for item in plan.more for measure in item.measures]
    return [PSNR, SSIM, *([LPIPS] if plan.metric else []), KEYFRAMES, TAIL, *more]


def results(
    plan: Plan,
    store: Store,
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
    distances, more_notes = set_scores(plan, store, measures.sets)
    batches = [one for item in measures.batches for one in item.measures]

    def clips() -> Iterator[ClipScore]:
        for job in store.scored(plan.names, plan.lengths):
            yield ClipScore(
                workflow=job.workflow,
                clip=job.clip.name,
                kind=job.clip.kind,
                length=job.clip.length,
                scores=job.scores,
                per_frame=job.per_frame,
                made=job.made or (0, 0, 0),
                video=plan.video_file(job).relative_to(plan.folder).as_posix(),
                truth=plan.truth_file(job.clip).relative_to(plan.folder).as_posix(),
                seconds=job.seconds,
            )

    reasons = [
        f"{clip}, {length} frames, {workflow}: {why}"
        for workflow, clip, length, why in store.reasons(plan.names, plan.lengths)
    ]
    return Results(
        title=title,
        workflows=plan.names,
        baseline=baseline,
        measures=[*clip_columns(plan), *batches, *(item.measure for item in measures.sets)],
        clips=clips,
        sets=distances,
        notes=[*_how(plan), *_made_otherwise(plan, store), *_prompts(plan, store), *notes, *more_notes],
        left_out=[*left_out, *reasons],
    )


def _how(plan: Plan) -> list[str]:
    width, height = plan.size
    ends = "LPIPS" if plan.metric else "1-SSIM"
    return [
        f"All are scored at {width}x{height}. PSNR, SSIM and LPIPS are of the frames between the two keyframes; the "
        f"keyframe distance is {ends} of the first and last one; the tail jump is the largest of the last 8 steps "
        f"over the median step.",
    ]


def _made_otherwise(plan: Plan, store: Store) -> list[str]:
    """Sentences on videos that the model made longer, shorter or at another size than they are scored at."""
    lines = []
    for workflow, length, (frames, width, height) in store.made_sizes(plan.names, plan.lengths):
        if frames != length:
            lines.append(
                f"{workflow} makes {frames} frames where {length} are asked for: for each of the {length} the nearest "
                f"in time is taken."
            )
        if (width, height) != plan.size:
            lines.append(f"{workflow} makes {width}x{height} and is scaled.")
    return list(dict.fromkeys(lines))


def _prompts(plan: Plan, store: Store) -> list[str]:
    lines = []
    for name, workflow in plan.workflows.items():
        for title in unfilled_pictures(workflow):
            lines.append(f'{name} loads the same "{title}" for every clip: it should not be judged here.')
        if "prompt" not in workflow.inputs:
            lines.append(f"{name} takes no prompt.")
        if "reverse" in workflow.inputs and (count := store.without_reverse([name], plan.lengths)):
            lines.append(f"The reverse prompt of {name} is the caption itself, not told backwards, for {count} clips.")
    return lines

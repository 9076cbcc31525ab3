"""Scores of videos by what is only worth its start for many of them, kept so that a later run need not repeat it."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from .set_measures import MeasureError
from .spread import FramesGoneError, Plan
from .store import Job, Store
from .vbench_measures import BatchMeasure


def keep_batch_scores(plan: Plan, store: Store, measures: Sequence[BatchMeasure]) -> list[str]:
    """Scores what a measure has not scored yet; gives a sentence for each measure, dimension or clip that failed."""
    notes: dict[str, None] = {}
    for measure in measures:
        jobs = _open_jobs(plan, store, measure, notes)
        with tqdm(total=len(jobs), desc="VBench", unit="clip", disable=not jobs) as bar:
            try:
                for start in range(0, len(jobs), measure.videos_at_once):
                    part = jobs[start : start + measure.videos_at_once]
                    found, stopped = measure.scores((plan.scored_video(job) for job in part), plan.fps)
                    notes |= dict.fromkeys(stopped)
                    for job, scores in zip(part, found, strict=True):
                        store.add_scores(job, scores)
                    bar.update(len(part))
            except MeasureError as error:
                notes.setdefault(str(error))
            except FramesGoneError as error:
                notes.setdefault(f"VBench stopped at frames that are damaged: {error}")
    return list(notes)


def _open_jobs(plan: Plan, store: Store, measure: BatchMeasure, notes: dict[str, None]) -> list[Job]:
    """The jobs that a measure has not scored and whose frames are there; a sentence for each whose frames are not."""
    keys = [one.key for one in measure.measures]
    found = []
    for job in store.scored(plan.names, plan.lengths):
        if all(key in job.scores for key in keys):
            continue
        if plan.exact_file(job).exists():
            found.append(job.without_scores())
        else:
            notes.setdefault(f"VBench lacks a clip whose frames are gone: {plan.exact_file(job)}")
    return found
